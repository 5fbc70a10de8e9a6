"""The parser of the command line; the flags of a command are added when it is parsed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bandersnatch.cli.arguments import global_flags
from bandersnatch.cli.commands import COMMANDS, load_command

if TYPE_CHECKING:
    from collections.abc import Sequence


class _CommandParser(ArgumentParser):
    """The parser of one command, which imports its module only when it has to parse."""

    command = ""

    def parse_known_args(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as argparse has it
        if self.command:
            load_command(self.command).add_arguments(self)
            self.command = ""
        return super().parse_known_args(*args, **options)


def parser() -> ArgumentParser:
    """Return the parser of the whole command line."""
    top = ArgumentParser(
        prog="bandersnatch",
        description="Mirror PyPI, or a part of it.",
        parents=[global_flags(default=True)],
    )
    commands = top.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", parser_class=_CommandParser
    )
    after = _CommandParser(parents=[global_flags(default=False)], add_help=False)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, description=text, parents=[after]).command = name
    return top


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
