"""The commands: one module each, with its flags, its run and its output."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.cli.invocation import Invocation
    from bandersnatch.cli.session import Session

COMMANDS = {
    "init": "write a first configuration, and report what its mirror will cost",
    "mirror": "bring the mirror up to date with the index",
    "work": "sync projects for a mirror that runs on another machine, as one of its workers",
    "sync": "bring only the named projects up to date",
    "verify": "check every file and page, and repair what is damaged",
    "delete": "remove projects from the mirror; removed/ keeps their files for the grace time",
    "restore": "restore removed projects from removed/",
    "copy": "copy the mirror to another disk or into a bucket",
    "plan": "report what mirror would do, what it would cost, and what each filter drops",
    "why": "explain why a project, a version or a file is in the mirror, or is not",
    "closure": "show what the selected projects need, and what that costs",
    "prove": "prove that the mirror alone can install what is selected",
    "status": "report how current the mirror is, what it has, and what is not done",
    "serve": "serve the mirror to pip, uv and browsers over HTTP",
    "webserver-config": "print the configuration of a web server for this mirror",
    "doctor": "ask a served mirror or index as pip and uv do, and report what is wrong",
    "run": "run mirror regularly until a signal ends it, and serve the mirror if asked",
    "config": "check the configuration",
    "catalogue": "copy the catalogue of a mirror between a file and PostgreSQL",
    "completion": "print the script with which a shell completes command lines",
    "man": "print the manual page",
}
"""The names of the commands, each with what it does."""

UNCONFIGURED = frozenset({"init", "doctor", "catalogue", "completion", "man"})
"""The commands that read no configuration."""


class Command(Protocol):
    """What a command's module has."""

    def add_arguments(self, parser: ArgumentParser, /) -> None:
        """Add the command's flags and arguments."""
        ...

    async def run(self, session: Session, /) -> int:
        """Run the command and return its exit code.

        :raises BandersnatchError: if the command cannot do what it was asked to.
        """
        ...


class UnconfiguredCommand(Protocol):
    """What the module of a command of ``UNCONFIGURED`` has."""

    def run(self, invocation: Invocation, /) -> int:
        """Run the command and return its exit code.

        :raises BandersnatchError: if the command cannot do what it was asked to.
        """
        ...


def load_command(name: str) -> Command:
    """Import and return the module of a command of ``COMMANDS``; the others stay unimported."""
    return cast("Command", import_module(f"{__name__}.{name.replace('-', '_')}"))


def load_unconfigured(name: str) -> UnconfiguredCommand:
    """Import and return the module of a command of ``UNCONFIGURED``."""
    return cast("UnconfiguredCommand", import_module(f"{__name__}.{name.replace('-', '_')}"))
