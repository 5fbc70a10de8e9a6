"""Requirement files (https://pip.pypa.io/en/stable/reference/requirements-file-format/)."""

from __future__ import annotations

import re
import shlex
from collections import deque
from dataclasses import dataclass, field
from difflib import get_close_matches
from posixpath import basename, dirname, join, normpath
from typing import TYPE_CHECKING, TypeAlias

from bandersnatch.errors import InvalidRules, InvalidValue, OptionError, Problem
from bandersnatch.filters.lockfiles import is_lock_file, locked
from bandersnatch.filters.names import ListedRequirement, Skipped, decoded, requirement, text_lines
from bandersnatch.filters.options import Files, FilterOptions, Line, Origin, line_problem
from bandersnatch.model.pep508 import parse_pep508

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Included:
    """Another file that a line names: of requirements (``-r``) or of constraints (``-c``)."""

    path: str
    constraints: bool
    line: Line


Statement: TypeAlias = ListedRequirement | Included | Skipped

_REQUIREMENT, _CONSTRAINT, _EDITABLE = "--requirement", "--constraint", "--editable"
_SHORT = {"-r": _REQUIREMENT, "-c": _CONSTRAINT, "-e": _EDITABLE}
_OPTIONS = (
    *(_REQUIREMENT, _CONSTRAINT, _EDITABLE, "--index-url", "--pypi-url", "--extra-index-url"),
    *("--no-index", "--find-links", "--no-binary", "--only-binary", "--prefer-binary", "--pre"),
    *("--require-hashes", "--trusted-host", "--use-feature", "--always-unzip", "--all-releases"),
    *("--only-final", "--hash", "--global-option", "--install-option", "--config-settings"),
    *("--config-setting", "--no-deps", "--uploaded-prior-to"),
)
_IGNORED_SHORT = frozenset({"-i", "-f", "-Z", "-C"})

_COMMENT_LINE = re.compile(r"\s*#")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_OPTION = re.compile(r"(?:^|\s)(-.*)")
_AT_A_URL = re.compile(r"[A-Za-z0-9][\w.-]*\s*(?:\[[^\]]*\]\s*)?@", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:", re.ASCII)
_ARCHIVE = re.compile(
    r"\.(?:whl|zip|tar|tgz|tbz|txz|tlz|tar\.(?:gz|bz2|xz|lz|lzma))(?:\[[^\]]*\])?\Z", re.IGNORECASE
)
_USER = re.compile(r"(?<=://)[^\s/]*@")


def logical_lines(path: str, text: str) -> list[Line]:
    """Return the lines that are not empty, continued ones joined, without their comments.

    The number is that of the first joined line. The origin's text has no credentials of a URL.
    """
    lines: list[Line] = []
    begun: list[str] = []
    first = 0
    for number, written in [*text_lines(text), (0, "")]:
        first = first if begun else number
        stripped = written.rstrip()
        is_comment = _COMMENT_LINE.match(stripped) is not None
        if stripped.endswith("\\") and not is_comment:
            begun.append(stripped.rstrip("\\"))
            continue
        begun.append(f" {stripped}" if is_comment else stripped)
        whole = _COMMENT.sub("", "".join(begun)).strip()
        if whole:
            lines.append(Line(whole, Origin(path, first, _USER.sub("", whole))))
        begun = []
    return lines


def statements(line: Line) -> list[Statement]:
    """Return what a line requires; nothing for options that only tell pip where to search.

    Markers are not evaluated: a requirement of any environment counts.

    :raises OptionError: if it is not a line of a requirement file.
    """
    found = _OPTION.search(line.text)
    required = line.text[: found.start()].strip() if found else line.text
    options = _options(found[1], line) if found else []
    if not required:
        return options
    if options:
        raise OptionError("an option that names another file must be on a line of its own")
    return [_required(required, line)]


def _required(text: str, line: Line) -> ListedRequirement | Skipped:
    if _AT_A_URL.match(text) and _is_requirement(text):
        return Skipped(line, "its files come from a URL, not from the index")
    target = re.split(r"[\s;]", text, maxsplit=1)[0]
    is_path = "/" in target or "\\" in target or target.startswith(".")
    is_variable = target.startswith("${")
    if not is_variable and (is_path or _SCHEME.match(target) or _ARCHIVE.search(target)):
        return Skipped(line, "it is a URL or a path, not a project of the index")
    try:
        entry = requirement(Line(text, line.origin))
    except OptionError as error:
        hint = "; variables are not replaced" if "${" in text else ""
        raise OptionError(f"{error}{hint}") from None
    if entry.is_pattern:
        raise OptionError("patterns are allowed in [allowlist] packages only, not in such a file")
    return entry


def _is_requirement(text: str) -> bool:
    try:
        parse_pep508(text)
    except InvalidValue:
        return False
    return True


def _options(text: str, line: Line) -> list[Statement]:
    """Return the files and projects that the options of a line name; other options are ignored."""
    try:
        words = iter(shlex.split(text))
    except ValueError as error:
        raise OptionError(f"its quotes cannot be read ({error})") from None
    found: list[Statement] = []
    for word in words:
        if not word.startswith("-") or word == "--":
            continue  # the value of an ignored option
        option, value = _option(word)
        if option in {_REQUIREMENT, _CONSTRAINT}:
            found.append(_included(option, value or next(words, ""), line))
        elif option == _EDITABLE:
            found.append(Skipped(line, "it is an editable project, not one of the index"))
        elif option is None:
            found.append(Skipped(line, f"{word.partition('=')[0]} is not a known option"))
    return found


def _option(word: str) -> tuple[str | None, str]:
    """Return the full name of an option, None if it is unknown, and the value joined to it.

    :raises OptionError: if it may be a misspelt option that names a file.
    """
    if not word.startswith("--"):
        known = _SHORT.get(word[:2], word[:2])
        return (known if known in {*_SHORT.values(), *_IGNORED_SHORT} else None), word[2:]
    name, _, value = word.partition("=")
    meant = [name] if name in _OPTIONS else [each for each in _OPTIONS if each.startswith(name)]
    if len(meant) == 1:
        return meant[0], value  # pip accepts an unambiguous prefix of a name
    close = get_close_matches(name, (_REQUIREMENT, _CONSTRAINT), n=1)
    if close or meant:
        raise OptionError(f"{name} is not an option; did you mean {(close or meant)[0]}?")
    return None, value


def _included(option: str, path: str, line: Line) -> Included:
    if not path:
        raise OptionError(f"{option} names no file")
    if "://" in path:
        raise OptionError(f"{option} names a URL; fetch that file and name its path")
    return Included(path, option == _CONSTRAINT, line)


SECTION, OPTION = "allowlist", "requirements"
DEEPEST = 20
"""The longest chain of files that name one another."""

_SHOWN_FILES = 3


@dataclass(frozen=True, slots=True)
class RequirementSet:
    """What one file requires, with the files that it names; its constraints apply to it alone."""

    entries: tuple[ListedRequirement, ...]
    constraints: tuple[ListedRequirement, ...]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What all files require, with warnings about entries that are skipped.

    ``sources`` are the paths of the files that the configuration names.
    """

    sets: tuple[RequirementSet, ...] = ()
    sources: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[ListedRequirement, ...]:
        """The projects that are required."""
        return tuple(entry for each in self.sets for entry in each.entries)

    @property
    def constraints(self) -> tuple[ListedRequirement, ...]:
        """What the versions of required projects must satisfy in addition."""
        return tuple(entry for each in self.sets for entry in each.constraints)

    @property
    def place(self) -> str:
        """The files, in words."""
        more = len(self.sources) - _SHOWN_FILES
        shown = ", ".join(self.sources[:_SHOWN_FILES])
        return f"{shown} and {more} more" if more > 0 else shown


def required(options: FilterOptions) -> Requirements:
    """Return what the files of ``[allowlist] requirements`` require; nothing if it is not set.

    :raises InvalidRules: with every problem of the files, each with its line.
    """
    reader = _Reader(options.files)
    directory = (options.text(SECTION, "requirements_path") or "").strip() or "."
    roots: dict[str, Line] = {}
    for line in options.lines(SECTION, OPTION):
        try:
            for path in _paths(options.files, directory, line.text):
                roots.setdefault(path, line)
        except OptionError as error:
            reader.problems.append(line_problem(line, SECTION, OPTION, str(error)))
    sets = tuple(reader.whole(path, line) for path, line in roots.items())
    if reader.problems:
        raise InvalidRules(reader.problems)
    return Requirements(sets, tuple(roots), tuple(reader.warnings))


def _paths(files: Files, directory: str, text: str) -> Sequence[str]:
    """Return the paths of the files that a line names; a relative one is in ``directory``."""
    if not set(text) & set("*?"):
        return [text if directory == "." else join(directory, text)]
    if not text.startswith("/"):
        return files.find(directory, text)
    parts = text.split("/")
    fixed = next(n for n, part in enumerate(parts) if set(part) & set("*?"))
    return files.find("/".join(parts[:fixed]) or "/", "/".join(parts[fixed:]))


@dataclass
class _Reader:
    """Reads all files, each of them once."""

    files: Files
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _by_path: dict[str, list[Statement]] = field(default_factory=dict)

    def whole(self, path: str, line: Line) -> RequirementSet:
        """Return what a file requires, with the files that it names.

        A file that names itself, directly or not, adds nothing to itself.
        """
        found: dict[bool, list[ListedRequirement]] = {False: [], True: []}
        seen: set[tuple[str, bool]] = set()
        waiting = deque([(Included(normpath(path), constraints=False, line=line), 0)])
        while waiting:
            included, depth = waiting.popleft()
            if (included.path, included.constraints) in seen:
                continue
            seen.add((included.path, included.constraints))
            if depth > DEEPEST:
                why = f"{DEEPEST} files name one another up to here"
                self.problems.append(line_problem(included.line, SECTION, OPTION, why))
                continue
            for each in self._statements(included.path, included.line):
                if isinstance(each, ListedRequirement):
                    found[included.constraints].append(each)
                elif isinstance(each, Included):
                    nested = normpath(join(dirname(included.path), each.path))
                    waiting.append((Included(nested, each.constraints, each.line), depth + 1))
        return RequirementSet(tuple(found[False]), tuple(found[True]))

    def _statements(self, path: str, line: Line) -> list[Statement]:
        """Return the statements of a file; none, and a problem, if it cannot be read."""
        if path not in self._by_path:
            try:
                self._by_path[path] = self._read(path)
            except OptionError as error:
                self._by_path[path] = []
                self.problems.append(line_problem(line, SECTION, OPTION, str(error)))
            self.warnings += [
                f"{each.line.origin} is skipped: {each.why}"
                for each in self._by_path[path]
                if isinstance(each, Skipped)
            ]
        return self._by_path[path]

    def _read(self, path: str) -> list[Statement]:
        filename = basename(path)
        is_lock = is_lock_file(filename)
        text = decoded(path, self.files.read(path))
        if is_lock:
            return [*locked(path, filename, text)]
        found: list[Statement] = []
        for line in logical_lines(path, text):
            try:
                found += statements(line)
            except OptionError as error:
                self.problems.append(line_problem(line, SECTION, OPTION, str(error)))
        return found
