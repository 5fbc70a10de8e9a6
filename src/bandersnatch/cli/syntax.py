"""The command line as values, read from its parser: what completion and the manual page need."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.cli.parser import complete_parser

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser


class ValueKind(Enum):
    """What a value is, as far as a shell can complete it."""

    TEXT = auto()
    FILE = auto()
    DIRECTORY = auto()
    CHOICE = auto()


_KINDS = {"FILE": ValueKind.FILE, "DIR": ValueKind.DIRECTORY}


class Value(Struct, frozen=True):
    """What follows a flag, or stands for itself: its name in the help and its ``choices``."""

    name: str
    kind: ValueKind = ValueKind.TEXT
    choices: tuple[str, ...] = ()


class Flag(Struct, frozen=True):
    """An option with all its spellings, such as ``-c`` and ``--config``."""

    spellings: tuple[str, ...]
    help: str
    value: Value | None = None
    is_repeatable: bool = False


class Argument(Struct, frozen=True):
    """A value that stands for itself, such as the name of a project."""

    value: Value
    help: str
    is_required: bool
    is_repeatable: bool


class Syntax(Struct, frozen=True):
    """A command, or the whole program: the words that call it, and what may follow them."""

    words: tuple[str, ...]
    help: str
    flags: tuple[Flag, ...]
    arguments: tuple[Argument, ...]
    commands: tuple[Syntax, ...]

    @property
    def name(self) -> str:
        """Return the last of the words."""
        return self.words[-1]

    def walk(self) -> list[Syntax]:
        """Return this and all commands within it, each before its own commands."""
        return [self, *(inner for each in self.commands for inner in each.walk())]


def read_syntax() -> Syntax:
    """Return the syntax of the whole command line."""
    return _syntax(complete_parser(), ("bandersnatch",))


def _syntax(parser: ArgumentParser, words: tuple[str, ...]) -> Syntax:
    actions = parser._actions  # noqa: SLF001 - argparse has no other list of them
    inner = [each.choices for each in actions if isinstance(each.choices, dict)]
    own = [each for each in actions if not isinstance(each.choices, dict)]
    return Syntax(
        words,
        parser.description or "",
        tuple(_flag(each) for each in own if each.option_strings),
        tuple(_argument(each) for each in own if not each.option_strings),
        tuple(_syntax(each, (*words, name)) for parsers in inner for name, each in parsers.items()),
    )


def _flag(action: Action) -> Flag:
    return Flag(
        tuple(action.option_strings),
        _help(action),
        None if action.nargs == 0 else _value(action),
        is_repeatable="Append" in type(action).__name__,
    )


def _argument(action: Action) -> Argument:
    many = action.nargs in {"*", "+"}
    return Argument(
        _value(action),
        _help(action),
        is_required=action.nargs not in {"*", "?"},
        is_repeatable=many,
    )


def _value(action: Action) -> Value:
    name = str(action.metavar or action.dest)
    if action.choices:
        return Value(name, ValueKind.CHOICE, tuple(map(str, action.choices)))
    return Value(name, _KINDS.get(name, ValueKind.TEXT))


def _help(action: Action) -> str:
    """Return the help of an action as one line."""
    text = (action.help or "") % vars(action)
    return " ".join(text.split())
