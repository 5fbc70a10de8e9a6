"""The parser of the command line; the flags of a command are added when it is parsed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bandersnatch.cli.arguments import add_global_flags
from bandersnatch.cli.commands import COMMANDS, load_command

if TYPE_CHECKING:
    from collections.abc import Sequence


class _CommandParser(ArgumentParser):
    """The parser of one command, which gets its arguments only when it has to parse.

    To create those of all commands takes as long as a tenth of a run with nothing to do.
    """

    command = ""

    def parse_known_args(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as argparse has it
        self.complete()
        return super().parse_known_args(*args, **options)

    def complete(self) -> None:
        """Add the arguments of the command, once."""
        if self.command:
            add_global_flags(self, default=False)
            load_command(self.command).add_arguments(self)
            self.command = ""


def parser() -> ArgumentParser:
    """Return the parser of the whole command line."""
    top = ArgumentParser(
        prog="bandersnatch", description="Mirror PyPI, or a part of it.", add_help=False
    )
    add_global_flags(top, default=True)
    commands = top.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", parser_class=_CommandParser
    )
    for name, text in COMMANDS.items():
        added = commands.add_parser(name, help=text, description=text, add_help=False)
        added.command = name
    return top


def complete_parser() -> ArgumentParser:
    """Return the parser with the arguments of all commands, which imports all their modules."""
    whole = parser()
    for action in whole._actions:  # noqa: SLF001 - argparse has no other list of them
        if isinstance(action.choices, dict):
            for each in action.choices.values():
                each.complete()
    return whole


def parse(argv: Sequence[str]) -> Namespace:
    """Return the arguments; exits with status 2 if they are wrong, 0 for ``--help``."""
    whole = parser()
    if not argv:
        whole.print_help()
        raise SystemExit(0)
    arguments = whole.parse_args(argv)
    if arguments.command is None:
        whole.error(f"name a command: {', '.join(COMMANDS)}")
    return arguments
