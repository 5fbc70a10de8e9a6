"""What filters are made from: the configuration's texts, each line with where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol, TypeVar

from bandersnatch.errors import SHOWN_CHARACTERS, InvalidRules, OptionError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    _Result = TypeVar("_Result")

Sections = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule is written; ``line`` counts from 1, and is 0 where that is not known."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{self.text[:SHOWN_CHARACTERS]!r} in {where}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an option or a list file, without its comment and the space around it."""

    text: str
    origin: Origin


class Files(Protocol):
    """The files that options name."""

    def read(self, path: str, /) -> bytes:
        """Return what is in a file.

        :raises OptionError: if it cannot be read.
        """
        ...

    def find(self, directory: str, pattern: str, /) -> Sequence[str]:
        """Return the paths of the files in a directory that a shell pattern names, sorted.

        :raises OptionError: if there are none.
        """
        ...


class NoFiles:
    """Files for those who have none."""

    def read(self, path: str, /) -> bytes:
        """Refuse."""
        raise OptionError(f"{path} cannot be read")

    def find(self, directory: str, pattern: str, /) -> Sequence[str]:
        """Refuse."""
        raise OptionError(f"no file in {directory} is named {pattern}")


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """All that filters may be made from.

    ``path`` is the configuration file's. ``lines`` are the numbers of the lines that an option's
    value stands on, where they are known. ``enabled`` are the names of all enabled filters.
    ``now`` is when the run began, in seconds since 1970.
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
        """Return where a line of an option's value stands."""
        origins = self._origins(section, option)
        return origins[index] if index < len(origins) else Origin(self.path, 0, "")

    def lines(self, section: str, option: str) -> list[Line]:
        """Return the lines of an option's value that say something."""
        texts = (self.text(section, option) or "").split("\n")
        told = zip(map(without_comment, texts), self._origins(section, option), strict=True)
        return [Line(said, origin) for said, origin in told if said]

    def _origins(self, section: str, option: str) -> list[Origin]:
        texts = (self.text(section, option) or "").split("\n")
        numbers = self.numbers.get((section, option), ())
        if len(numbers) != len(texts):
            numbers = [next(iter(numbers), 0)] * len(texts)
        told = zip(texts, numbers, strict=True)
        return [Origin(self.path, number, text.strip()) for text, number in told]


def without_comment(text: str) -> str:
    """Return a line without the comment that a ``#`` at its beginning or after a space begins."""
    if text.lstrip().startswith("#"):
        return ""
    for space in (" #", "\t#"):
        text = text.partition(space)[0]
    return text.strip()


def read_each(
    lines: Iterable[Line], section: str, option: str, read: Callable[[Line], _Result]
) -> list[_Result]:
    """Return what ``read`` makes of each line.

    :raises InvalidRules: with every line that ``read`` raises ``OptionError`` for.
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
    """Return the error for a word that is not known, with the known ones or the nearest."""
    names = sorted(known)
    hint = suggestion(word, names) or f"; there are: {', '.join(names)}"
    return OptionError(f"{word[:SHOWN_CHARACTERS]!r} is not {what}{hint}")


def suggestion(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return the question whether a known word was meant, to follow a complaint, or ""."""
    close = get_close_matches(word, sorted(known), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""
