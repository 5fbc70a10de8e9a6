"""What requirement and lock files ask for (contract, section 5.4)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from posixpath import basename, dirname, join, normpath
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.lists.lockfiles import is_lock_file, locked
from bandersnatch.filters.lists.names import ListedRequirement
from bandersnatch.filters.lists.pip_format import (
    Included,
    Skipped,
    Statement,
    logical_lines,
    statements,
)
from bandersnatch.filters.lists.textfiles import decoded
from bandersnatch.filters.options import line_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandersnatch.filters.options import Files, FilterOptions, Line

SECTION, OPTION = "allowlist", "requirements"
DEEPEST = 20
"""How many files may name one another in a row."""

_SHOWN_FILES = 3


@dataclass(frozen=True, slots=True)
class RequirementSet:
    """What one file asks for, with the files that it names; its constraints hold for it alone."""

    entries: tuple[ListedRequirement, ...]
    constraints: tuple[ListedRequirement, ...]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What all the files ask for, and of what in them nothing comes.

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
        """What the versions of projects that are required must satisfy too."""
        return tuple(entry for each in self.sets for entry in each.constraints)

    @property
    def where(self) -> str:
        """The files, in words."""
        more = len(self.sources) - _SHOWN_FILES
        shown = ", ".join(self.sources[:_SHOWN_FILES])
        return f"{shown} and {more} more" if more > 0 else shown


def required(options: FilterOptions) -> Requirements:
    """Return what the files of ``[allowlist] requirements`` ask for; nothing if it is not set.

    :raises InvalidRules: with everything that is wrong with the files, each with its line.
    """
    reading = _Reading(options.files)
    directory = (options.text(SECTION, "requirements_path") or "").strip() or "."
    roots: dict[str, Line] = {}
    for line in options.lines(SECTION, OPTION):
        try:
            for path in _paths(options.files, directory, line.text):
                roots.setdefault(path, line)
        except OptionError as error:
            reading.problems.append(line_problem(line, SECTION, OPTION, str(error)))
    sets = tuple(reading.whole(path, line) for path, line in roots.items())
    if reading.problems:
        raise InvalidRules(reading.problems)
    return Requirements(sets, tuple(roots), tuple(reading.warnings))


def _paths(files: Files, directory: str, text: str) -> Sequence[str]:
    """Return the paths of the files that a line names; an absolute one stands alone."""
    if not set(text) & set("*?"):
        return [text if directory == "." else join(directory, text)]
    if not text.startswith("/"):
        return files.find(directory, text)
    parts = text.split("/")
    fixed = next(n for n, part in enumerate(parts) if set(part) & set("*?"))
    return files.find("/".join(parts[:fixed]) or "/", "/".join(parts[fixed:]))


@dataclass
class _Reading:
    """One reading of all the files; each is read once, however many name it."""

    files: Files
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _known: dict[str, list[Statement]] = field(default_factory=dict)

    def whole(self, path: str, line: Line) -> RequirementSet:
        """Return what a file asks for, with the files that it names.

        A file that names itself, maybe through others, adds nothing to itself.
        """
        found: dict[bool, list[ListedRequirement]] = {False: [], True: []}
        seen: set[tuple[str, bool]] = set()
        waiting = deque([(Included(normpath(path), constraints=False, line=line), 0)])
        while waiting:
            asked, depth = waiting.popleft()
            if (asked.path, asked.constraints) in seen:
                continue
            seen.add((asked.path, asked.constraints))
            if depth > DEEPEST:
                why = f"{DEEPEST} files name one another up to here"
                self.problems.append(line_problem(asked.line, SECTION, OPTION, why))
                continue
            for each in self._statements(asked.path, asked.line):
                if isinstance(each, ListedRequirement):
                    found[asked.constraints].append(each)
                elif isinstance(each, Included):
                    nested = normpath(join(dirname(asked.path), each.path))
                    waiting.append((Included(nested, each.constraints, each.line), depth + 1))
        return RequirementSet(tuple(found[False]), tuple(found[True]))

    def _statements(self, path: str, line: Line) -> list[Statement]:
        """Return what a file says; nothing if it cannot be read, which ``problems`` then tell."""
        if path not in self._known:
            try:
                self._known[path] = self._read(path)
            except OptionError as error:
                self._known[path] = []
                self.problems.append(line_problem(line, SECTION, OPTION, str(error)))
            self.warnings += [
                f"{each.line.origin} is skipped: {each.why}"
                for each in self._known[path]
                if isinstance(each, Skipped)
            ]
        return self._known[path]

    def _read(self, path: str) -> list[Statement]:
        filename = basename(path)
        is_lock = is_lock_file(filename)
        text = decoded(path, self.files.read(path))
        if is_lock:
            return [*locked(path, filename, text)]
        said: list[Statement] = []
        for line in logical_lines(path, text):
            try:
                said += statements(line)
            except OptionError as error:
                self.problems.append(line_problem(line, SECTION, OPTION, str(error)))
        return said
