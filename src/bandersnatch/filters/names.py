"""Lists of names and requirements, where a name may be a shell pattern such as ``foo-*``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from bandersnatch.errors import InvalidValue, OptionError
from bandersnatch.filters.options import FilterOptions, Line, Origin, read_each, without_comment
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z0-9*?](?:[A-Za-z0-9._*?-]*[A-Za-z0-9*?])?", re.ASCII)
_WILD = re.compile(r"[*?]")
_SEPARATORS = re.compile(r"[-_.]+")
_CODINGS = ((b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
            (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # fmt: skip
_CODING_COMMENT = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


@dataclass(frozen=True, slots=True)
class ListedRequirement:
    """One entry of a list.

    ``name`` is normalised, and a shell pattern if it has ``*`` or ``?``. ``bare`` is whether the
    entry is a name and nothing else.
    """

    name: str
    specifier: SpecifierSet
    bare: bool
    origin: Origin

    @property
    def wild(self) -> bool:
        """Whether the name is a pattern."""
        return _WILD.search(self.name) is not None

    @property
    def pin(self) -> str | None:
        """The one version that is allowed, if the specifier says so with ``==`` or ``===``."""
        exact = [each for each in self.specifier if each.operator in {"==", "==="}]
        fixed = [each.version for each in exact if not each.version.endswith(".*")]
        return fixed[0] if fixed else None

    def matches(self, version: str) -> bool:
        """Whether a version satisfies the specifier; pre-releases are considered.

        A text that is no version satisfies ``===`` with just that text, and nothing else.
        """
        if parse_version(version) is None:
            return bool(self.specifier) and all(
                each.operator == "===" and each.version == version for each in self.specifier
            )
        return self.specifier.contains(version, prereleases=True)


def requirement(line: Line) -> ListedRequirement:
    """Read a name, a pattern or a requirement (PEP 508).

    :raises OptionError: if it is none of these, or would name every project.
    """
    found = _NAME.match(line.text)
    if found is None:
        raise OptionError("it is not a project's name or a requirement")
    name, rest = found[0], line.text[found.end() :]
    if not name.strip("*?-._"):
        raise OptionError(f"{name} names every project; name some")
    try:
        parsed = Requirement(_WILD.sub("x", name) + rest)
        project_name(parsed.name)
    except (InvalidRequirement, InvalidValue):
        raise OptionError("it is not a project's name or a requirement") from None
    normalized = _SEPARATORS.sub("-", name).lower()
    return ListedRequirement(normalized, parsed.specifier, not rest.strip(), line.origin)


def listed(
    options: FilterOptions, section: str, option: str = "packages"
) -> list[ListedRequirement]:
    """Return the entries of a list: those of the option, and of the file ``packages-file`` names.

    :raises InvalidRules: with every line that cannot be read.
    """
    found = read_each(options.lines(section, option), section, option, requirement)
    path = (options.text(section, f"{option}-file") or "").strip()
    if not path:
        return found
    lines = read_each(
        [Line(path, options.origin(section, f"{option}-file"))],
        section,
        f"{option}-file",
        lambda line: file_lines(line.text, options.files.read(line.text)),
    )[0]
    return found + read_each(lines, section, f"{option}-file", requirement)


def file_lines(path: str, content: bytes) -> list[Line]:
    """Return the lines of a list file that say something.

    :raises OptionError: if it is no text.
    """
    lines = []
    for number, text in enumerate(decoded(path, content).splitlines(), start=1):
        said = without_comment(text)
        if said:
            lines.append(Line(said, Origin(path, number, text.strip())))
    return lines


def decoded(path: str, content: bytes) -> str:
    """Return a text file's text: by its byte order mark, its coding comment, or as UTF-8.

    :raises OptionError: if it is no such text.
    """
    coding = next((name for mark, name in _CODINGS if content.startswith(mark)), "")
    if not coding:
        comments = map(_CODING_COMMENT.match, content.split(b"\n", 2)[:2])
        coding = next((found[1].decode() for found in comments if found), "utf-8")
    try:
        return content.decode(coding)
    except LookupError:
        raise OptionError(f"{path} says that its encoding is {coding}; nobody knows that") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise OptionError(f"{path}, line {line} is not {coding}; save it as UTF-8") from None


@dataclass(frozen=True)
class NameList:
    """Entries by the projects they are about; asking for one costs the same however many."""

    entries: tuple[ListedRequirement, ...]

    @cached_property
    def exact(self) -> dict[ProjectName, list[ListedRequirement]]:
        """The entries that name one project."""
        found: dict[ProjectName, list[ListedRequirement]] = {}
        for each in self.entries:
            if not each.wild:
                found.setdefault(ProjectName(each.name), []).append(each)  # type: ignore[call-arg]
        return found

    @cached_property
    def _prefixes(self) -> dict[int, dict[str, list[ListedRequirement]]]:
        """The patterns that are a beginning and ``*``, by the length of the beginning."""
        found: dict[int, dict[str, list[ListedRequirement]]] = {}
        for each in self.entries:
            if each.wild and _is_prefix(each.name):
                beginning = each.name[:-1]
                found.setdefault(len(beginning), {}).setdefault(beginning, []).append(each)
        return found

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], ListedRequirement]]:
        others = (each for each in self.entries if each.wild and not _is_prefix(each.name))
        return [(re.compile(translate(each.name)), each) for each in others]

    @property
    def names(self) -> frozenset[ProjectName] | None:
        """The projects that are listed, or None if patterns stand for others too."""
        if any(each.wild for each in self.entries):
            return None
        return frozenset(self.exact)

    def __contains__(self, name: ProjectName) -> bool:
        """Whether an entry is about the project."""
        return name in self.exact or bool(self._prefixes or self._patterns) and bool(self.of(name))

    def of(self, name: ProjectName) -> list[ListedRequirement]:
        """Return the entries that are about a project."""
        found = list(self.exact.get(name, ()))
        for length, beginnings in self._prefixes.items():
            found += beginnings.get(name[:length], ())
        found += [each for pattern, each in self._patterns if pattern.match(name)]
        return found

    @property
    def terms(self) -> str:
        """A text that changes whenever an entry does, and not with their order."""
        return " ".join(sorted({f"{each.name}{each.specifier}" for each in self.entries}))

    def terms_for(self, name: ProjectName) -> str:
        """Return the part of ``terms`` that is about one project."""
        return " ".join(sorted({f"{each.name}{each.specifier}" for each in self.of(name)}))


def _is_prefix(pattern: str) -> bool:
    return pattern.endswith("*") and _WILD.search(pattern[:-1]) is None


def name_list(entries: Iterable[ListedRequirement]) -> NameList:
    """Return the entries as a list that can be asked."""
    return NameList(tuple(entries))
