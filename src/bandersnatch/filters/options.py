"""The options that filters are built from, each line with its place in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol, TypeVar

from bandersnatch.errors import SHOWN_CHARACTERS, InvalidRules, OptionError, Problem

if TYPE_CHECKING:
    _Result = TypeVar("_Result")

Sections = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule is written; ``line`` counts from 1, and is 0 if it is unknown."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{self.text[:SHOWN_CHARACTERS]!r} in {place}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an option or a list file, without comment and surrounding space."""

    text: str
    origin: Origin


class Files(Protocol):
    """The files that options name."""

    def read(self, path: str, /) -> bytes:
        """Return the content of a file.

        :raises OptionError: if it cannot be read.
        """
        ...

    def find(self, directory: str, pattern: str, /) -> Sequence[str]:
        """Return the sorted paths of the files in a directory that match a shell pattern.

        :raises OptionError: if there are none.
        """
        ...


class NoFiles:
    """No files at all."""

    def read(self, path: str, /) -> bytes:
        """Raise ``OptionError``."""
        raise OptionError(f"{path} cannot be read")

    def find(self, directory: str, pattern: str, /) -> Sequence[str]:
        """Raise ``OptionError``."""
        raise OptionError(f"no file in {directory} is named {pattern}")


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """Everything that a filter is built from.

    ``path`` is that of the configuration file. ``numbers`` are the numbers of the lines of an
    option's value, by section and option, where they are known. ``enabled`` are the names of all
    enabled filters. ``now`` is when the run began, in seconds since 1970.
    """

    sections: Sections = field(default_factory=dict)
    path: str = "bandersnatch.conf"
    numbers: Mapping[tuple[str, str], Sequence[int]] = field(default_factory=dict)
    enabled: frozenset[str] = frozenset()
    files: Files = field(default_factory=NoFiles)
    now: int = 0

    def text(self, section: str, option: str) -> str | None:
        """Return the value of an option, or None if it is not set."""
        return self.sections.get(section, {}).get(option)

    def origin(self, section: str, option: str, index: int = 0) -> Origin:
        """Return where a line of an option's value is written."""
        origins = self._origins(section, option)
        return origins[index] if index < len(origins) else Origin(self.path, 0, "")

    def lines(self, section: str, option: str) -> list[Line]:
        """Return the lines of an option's value that are neither empty nor comments."""
        texts = (self.text(section, option) or "").split("\n")
        lines = zip(map(without_comment, texts), self._origins(section, option), strict=True)
        return [Line(text, origin) for text, origin in lines if text]

    def _origins(self, section: str, option: str) -> list[Origin]:
        texts = (self.text(section, option) or "").split("\n")
        numbers = self.numbers.get((section, option), ())
        if len(numbers) != len(texts):
            numbers = [next(iter(numbers), 0)] * len(texts)
        numbered = zip(texts, numbers, strict=True)
        return [Origin(self.path, number, text.strip()) for text, number in numbered]


def without_comment(text: str) -> str:
    """Return a line without its comment; ``#`` begins one at the start or after a space."""
    if text.lstrip().startswith("#"):
        return ""
    for space in (" #", "\t#"):
        text = text.partition(space)[0]
    return text.strip()


def read_each(
    lines: Iterable[Line], section: str, option: str, read: Callable[[Line], _Result]
) -> list[_Result]:
    """Return the result of ``read`` for each line.

    :raises InvalidRules: with every line for which ``read`` raises ``OptionError``.
    """
    results, problems = [], []
    for line in lines:
        try:
            results.append(read(line))
        except OptionError as error:
            problems.append(line_problem(line, section, option, str(error)))
    if problems:
        raise InvalidRules(problems)
    return results


def line_problem(line: Line, section: str, option: str, why: str) -> Problem:
    """Return a problem that names the line."""
    return Problem(section, option, f"{line.origin}: {why}")


def nearest(word: str, known: Iterable[str], what: str) -> OptionError:
    """Return the error for an unknown word, with the nearest known one, or else all of them."""
    names = sorted(known)
    hint = suggestion(word, names) or f"; there are: {', '.join(names)}"
    return OptionError(f"{word[:SHOWN_CHARACTERS]!r} is not {what}{hint}")


def suggestion(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return the question whether a known word was meant, to append to a message, or ""."""
    close = get_close_matches(word, sorted(known), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""
