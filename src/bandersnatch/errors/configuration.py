"""What the operator wrote, on the command line or in a file, and what it is made into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.errors.tree import BandersnatchError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the configuration.

    ``section`` and ``option`` are empty where the file as a whole is meant.
    """

    section: str
    option: str
    message: str

    def __str__(self) -> str:
        where = f"[{self.section}] {self.option}".strip() if self.section else self.option
        return f"{where}: {self.message}" if where else self.message


class ConfigError(BandersnatchError):
    """The configuration cannot be used; every problem found is listed."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__(file, problems)
        self.file, self.problems = file, tuple(problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.file}: {problem}" for problem in self.problems)


class OptionError(BandersnatchError):
    """The value of one option cannot be used; the reader adds file, section and option."""


class InvalidRules(BandersnatchError):
    """A filter cannot be made of what is set for it; every problem found is listed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class FilterFailed(BandersnatchError):
    """A filter of a plugin raised, or returned what is no answer; nothing is let through."""

    sentence = "the filter {filter_name} failed: {why}"

    def __init__(self, filter_name: str, why: str) -> None:
        super().__init__(filter_name, why)
        self.filter_name, self.why = filter_name, why


class UsageError(BandersnatchError):
    """The command line asks for something that makes no sense."""
