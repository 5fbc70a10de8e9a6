"""Lists of project names and requirements (PEP 508), and the text files that contain them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cache, cached_property
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from bandersnatch.config.readers import mistake_in
from bandersnatch.errors import InvalidRules, InvalidValue, OptionError
from bandersnatch.filters.options import (
    FilterOptions,
    Line,
    Origin,
    line_problem,
    read_each,
    without_comment,
)
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.pep508 import MAX_LENGTH, parse_pep508
from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from packaging.version import Version


_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),  # begins as that of UTF-16 does
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_CODING_COMMENT = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_LINE_END = re.compile(r"\r\n|\r|\n")


def file_lines(path: str, content: bytes) -> list[Line]:
    """Return the lines of a list file that are neither empty nor comments.

    :raises OptionError: if the file is not text.
    """
    lines = []
    for number, text in text_lines(decoded(path, content)):
        stripped = without_comment(text)
        if stripped:
            lines.append(Line(stripped, Origin(path, number, text.strip())))
    return lines


def decoded(path: str, content: bytes) -> str:
    """Decode a text file by its byte order mark, its coding comment, or as UTF-8.

    :raises OptionError: if the file is not text in that encoding.
    """
    coding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "")
    if not coding:
        comments = map(_CODING_COMMENT.match, content.split(b"\n", 2)[:2])
        coding = next((found[1].decode() for found in comments if found), "utf-8")
    try:
        return content.decode(coding)
    except LookupError:
        raise OptionError(f"{path} gives its encoding as {coding}, which is unknown") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise OptionError(f"{path}, line {line} is not {coding}; save it as UTF-8") from None
    except UnicodeError:
        raise OptionError(f"{path} is not {coding}; save it as UTF-8") from None


def text_lines(text: str) -> list[tuple[int, str]]:
    """Return the lines of a text with their numbers, as editors count them."""
    return list(enumerate(_LINE_END.split(text), start=1))


_NAME = re.compile(r"[A-Za-z0-9*?](?:[A-Za-z0-9._*?-]*[A-Za-z0-9*?])?", re.ASCII)
_WILDCARD = re.compile(r"[*?]")
_PREFIX_OR_SUFFIX = re.compile(r"[^*?]+\*|\*[^*?]+")
_SEPARATORS = re.compile(r"[-_.]+")
_ANY = SpecifierSet()
_NOT_A_REQUIREMENT = "it is not a project's name or a requirement; write one a line, like foo>=1"


@dataclass(frozen=True, slots=True)
class ListedRequirement:
    """One entry of a list.

    ``name`` is normalised, and a shell pattern if it has ``*`` or ``?``. ``bare`` is whether the
    entry is a name and nothing else. ``extras`` are normalised (PEP 685).
    """

    name: str
    specifier: SpecifierSet
    bare: bool
    origin: Origin
    extras: frozenset[str] = frozenset()

    @property
    def is_pattern(self) -> bool:
        """Whether the name is a pattern."""
        return _WILDCARD.search(self.name) is not None

    @property
    def pin(self) -> str | None:
        """The only version that is allowed, if the specifier gives one with ``==`` or ``===``."""
        exact = (each for each in self.specifier if each.operator in {"==", "==="})
        return min(
            (each.version for each in exact if not _is_prefix_match(each.version)), default=None
        )

    def matches(self, version: str) -> bool:
        """Return whether a version satisfies the specifier, pre-releases included.

        A text that is not a version satisfies only ``===`` with the same text, and an entry without
        a specifier if it is a version.
        """
        parsed = parse_version(version)
        same = [each.version for each in self.specifier if each.operator == "==="]
        if not same:
            return parsed is not None and self.specifier.contains(parsed, prereleases=True)
        return all(_is_same(version, each) for each in same) and all(
            parsed is not None and each.contains(parsed, prereleases=True)
            for each in self.specifier
            if each.operator != "==="
        )


def _is_prefix_match(version: str) -> bool:
    return version.endswith(".*")


def _is_same(version: str, other_version: str) -> bool:
    """Return whether two texts are the same version to ``===``, which adds no zeros."""
    one, other = parse_version(version), parse_version(other_version)
    if one is None or other is None:
        return version.lower() == other_version.lower()
    return str(one) == str(other)


def satisfying(entries: Collection[ListedRequirement]) -> Callable[[str], bool]:
    """Return the test whether a version, as a text, satisfies an entry, with a cache.

    The answers are those of `ListedRequirement.matches`. Entries like ``foo==1.0``, of which one
    project may have thousands, are found by a lookup.
    """
    by_any = any(not len(each.specifier) for each in entries)
    pins = {version for each in entries if (version := _plain_pin(each)) is not None}
    ranges = [each.specifier for each in entries if not _is_by_text(each) and not _plain_pin(each)]
    texts = [each for each in entries if _is_by_text(each)]

    @cache
    def is_satisfied(text: str) -> bool:
        version = parse_version(text)
        if version is not None:
            if by_any:
                return True
            if pins:  # PEP 440: == ignores a local version unless it has one
                public = parse_version(version.public) if version.local else version
                if public in pins:
                    return True
            for each in ranges:  # any() would double the time
                if each.contains(version, prereleases=True):
                    return True
        return bool(texts) and any(each.matches(text) for each in texts)

    return is_satisfied


def _is_by_text(entry: ListedRequirement) -> bool:
    return any(each.operator == "===" for each in entry.specifier)


def _plain_pin(entry: ListedRequirement) -> Version | None:
    specifiers = list(entry.specifier)
    if len(specifiers) != 1 or specifiers[0].operator != "==":
        return None
    version = parse_version(specifiers[0].version)
    return version if version is not None and version.local is None else None


def requirement(line: Line) -> ListedRequirement:
    """Read a name, a pattern or a requirement (PEP 508).

    :raises OptionError: if it is none of these, or matches every project.
    """
    # A comment may follow without a space; only in a URL "#" means something else.
    text = line.text if "@" in line.text else line.text.partition("#")[0].rstrip()
    found = _NAME.match(text)
    if found is None or len(text) > MAX_LENGTH:
        raise _not_a_requirement(text)
    name, rest = found[0], text[found.end() :]
    if not name.strip("*?-._"):
        raise OptionError(f"{name} has no letter and no digit, so it names nearly every project")
    plain = _WILDCARD.sub("x", name)
    try:
        project_name(plain)
        # Most lines are names alone, and there may be very many.
        parsed = parse_pep508(plain + rest) if rest.strip() else None
    except InvalidValue:
        raise _not_a_requirement(text) from None
    normalized = _SEPARATORS.sub("-", name).lower()
    if parsed is None:
        return ListedRequirement(normalized, _ANY, bare=True, origin=line.origin)
    extras = frozenset(_SEPARATORS.sub("-", extra).lower() for extra in parsed.extras)
    return ListedRequirement(
        normalized, parsed.specifier, bare=False, origin=line.origin, extras=extras
    )


def _not_a_requirement(text: str) -> OptionError:
    return OptionError(_NOT_A_REQUIREMENT + "".join(f"; it {each}" for each in mistake_in(text)))


def listed(
    options: FilterOptions, section: str, option: str = "packages"
) -> list[ListedRequirement]:
    """Return the entries of an option, and of the files that the option with ``-file`` names.

    :raises InvalidRules: with every line that cannot be read.
    """
    from_file = f"{option}-file"
    sources = [(option, options.lines(section, option))]
    found, problems = [], []
    for path in options.lines(section, from_file):
        try:
            sources.append((from_file, file_lines(path.text, options.files.read(path.text))))
        except OptionError as error:
            problems.append(line_problem(path, section, from_file, str(error)))
    for source, lines in sources:
        try:
            found += read_each(lines, section, source, requirement)
        except InvalidRules as error:
            problems += error.problems
    if problems:
        raise InvalidRules(problems)
    return found


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that requires something that the index does not have, and why."""

    line: Line
    why: str


@dataclass(frozen=True)
class NameList:
    """Entries by project; a lookup takes the same time for any number of entries."""

    entries: tuple[ListedRequirement, ...]

    @cached_property
    def exact(self) -> dict[ProjectName, list[ListedRequirement]]:
        """The entries that are not patterns, by project."""
        found: dict[ProjectName, list[ListedRequirement]] = {}
        for each in self.entries:
            if not each.is_pattern:
                found.setdefault(project_name(each.name), []).append(each)
        return found

    @cached_property
    def _pattern_entries(self) -> list[ListedRequirement]:
        return [each for each in self.entries if each.is_pattern]

    @cached_property
    def _by_length(self) -> dict[int, dict[str, list[ListedRequirement]]]:
        """The patterns ``foo*`` by the length of their fixed part, ``*foo`` by minus the length."""
        found: dict[int, dict[str, list[ListedRequirement]]] = {}
        for each in filter(_is_prefix_or_suffix, self._pattern_entries):
            fixed = each.name.strip("*")
            length = -len(fixed) if each.name.startswith("*") else len(fixed)
            found.setdefault(length, {}).setdefault(fixed, []).append(each)
        return found

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], ListedRequirement]]:
        """All other patterns."""
        others = (each for each in self._pattern_entries if not _is_prefix_or_suffix(each))
        return [(re.compile(translate(each.name)), each) for each in others]

    @cached_property
    def covers(self) -> Callable[[ProjectName], bool]:
        """The test whether an entry is about a project, fast enough for all names of an index."""
        exact = self.exact
        ends = [(_slice(length), frozenset(fixed)) for length, fixed in self._by_length.items()]
        patterns = dict.fromkeys(pattern.pattern for pattern, _ in self._patterns)
        match = re.compile("|".join(patterns)).match if patterns else None

        def is_covered(name: ProjectName) -> bool:
            if name in exact:
                return True
            for part, fixed in ends:
                if name[part] in fixed:
                    return True
            return match is not None and match(name) is not None

        return is_covered

    @property
    def names(self) -> frozenset[ProjectName] | None:
        """The listed projects, or None if there are patterns."""
        return None if self._pattern_entries else frozenset(self.exact)

    def counted(self) -> str:
        """Return how many there are, in words: "the 42 projects and 2 patterns"."""
        exact, patterns = len(self.exact), len({each.name for each in self._pattern_entries})
        counts = [_count(exact, "project")] if exact or not patterns else []
        return f"the {' and '.join(counts + ([_count(patterns, 'pattern')] if patterns else []))}"

    def __contains__(self, name: ProjectName) -> bool:
        """Return whether an entry is about the project."""
        return self.covers(name)

    def of(self, name: ProjectName) -> list[ListedRequirement]:
        """Return the entries that are about a project."""
        if not self.covers(name):
            return []
        found = list(self.exact.get(name, ()))
        for length, fixed in self._by_length.items():
            found += fixed.get(name[_slice(length)], ())
        found += [each for pattern, each in self._patterns if pattern.match(name)]
        return found

    def fingerprint(self) -> str:
        """Return a text that changes whenever an entry does, and not with their order."""
        return entries_fingerprint(self.entries)

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return the fingerprint of the entries about one project."""
        return entries_fingerprint(self.of(name))


def entries_fingerprint(entries: Iterable[ListedRequirement]) -> str:
    """Return a text that changes whenever an entry does, and not with their order."""
    return " ".join(sorted({f"{each.name}{each.specifier}" for each in entries}))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _is_prefix_or_suffix(entry: ListedRequirement) -> bool:
    """Return whether a pattern is one ``*`` before or after a fixed part."""
    return _PREFIX_OR_SUFFIX.fullmatch(entry.name) is not None


def _slice(length: int) -> slice:
    """Return the slice of a prefix of this length, or of a suffix if it is negative."""
    return slice(length) if length > 0 else slice(length, None)


def name_list(entries: Iterable[ListedRequirement]) -> NameList:
    """Return the entries as a list."""
    return NameList(tuple(entries))
