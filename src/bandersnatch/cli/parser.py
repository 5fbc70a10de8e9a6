"""The argument tree (contract, section 1)."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bandersnatch import __version__

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Callable, Sequence
    from typing import TypeAlias, TypeVar

    from bandersnatch.model.names import ProjectName

    Commands: TypeAlias = _SubParsersAction[ArgumentParser]
    _Value = TypeVar("_Value")

QUESTIONS = frozenset({"plan", "why", "status", "config"})
"""The commands that look, and change nothing."""

DEFAULT_CONFIG = Path("/etc/bandersnatch.conf")


def _global_flags(*, default: bool) -> ArgumentParser:
    """Return the flags that are accepted before and after the subcommand.

    After it they must not reset what was given before it, so they have no defaults there.
    """
    unset = False if default else SUPPRESS
    flags = ArgumentParser(add_help=False)
    flags.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        default=DEFAULT_CONFIG if default else SUPPRESS,
        help=f"configuration file (default: {DEFAULT_CONFIG})",
    )
    flags.add_argument(
        "--debug", action="store_true", default=unset, help="log everything that happens"
    )
    flags.add_argument("--quiet", action="store_true", default=unset, help="say nothing but errors")
    flags.add_argument("--version", action="version", version=f"bandersnatch {__version__}")
    return flags


def parser() -> ArgumentParser:
    """Return the parser of the whole command line."""
    top = ArgumentParser(
        prog="bandersnatch",
        description="Mirror PyPI, or a part of it.",
        parents=[_global_flags(default=True)],
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    after = _global_flags(default=False)

    reporting = ArgumentParser(add_help=False)
    reporting.add_argument(
        "--report", type=Path, metavar="FILE", help="write what was done to FILE, as JSON"
    )
    run = ArgumentParser(add_help=False, parents=[reporting])
    run.add_argument(
        "--accept-change",
        action="append",
        default=[],
        metavar="PROJECT",
        help="let files of PROJECT that are published already change their content",
    )

    text = "bring the mirror up to date with the index"
    mirror = commands.add_parser("mirror", help=text, description=text, parents=[after, run])
    mirror.add_argument(
        "--force-check", action="store_true", help="look at every project, whatever the state says"
    )
    mirror.add_argument(
        "--cleanup-todo",
        action="store_true",
        help="accepted for compatibility: a project that is gone never stays in todo",
    )
    mirror.add_argument("--dry-run", action="store_true", help="say what would be done, do nothing")

    text = "bring only the projects that are named up to date"
    sync = commands.add_parser("sync", help=text, description=text, parents=[after, run])
    sync.add_argument("projects", nargs="+", metavar="PROJECT")
    sync.add_argument(
        "--skip-simple-root", action="store_true", help="leave the root page as it is"
    )
    _add_verify(commands, [after, reporting])
    _add_removals(commands, [after, reporting])
    _add_questions(commands, after)
    return top


def _add_verify(commands: Commands, parents: list[ArgumentParser]) -> None:
    text = "check every file and page, and repair what is damaged"
    verify = commands.add_parser("verify", help=text, description=text, parents=parents)
    verify.add_argument(
        "--delete", action="store_true", help="move what belongs to no project to removed/"
    )
    verify.add_argument("--dry-run", action="store_true", help="say what is wrong, do nothing")
    verify.add_argument(
        "--json-update",
        action="store_true",
        help="first ask the index for what changed of every page, and of every JSON document",
    )
    verify.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="projects to read side by side (default: the option verifiers)",
    )
    verify.add_argument(
        "--quick", action="store_true", help="compare sizes and times, read only what differs"
    )
    verify.add_argument(
        "--sample", metavar="PERCENT", help="read so much of the mirror, the longest unread first"
    )
    verify.add_argument("--max-age", metavar="DAYS", help="read what was not read for so many days")
    verify.add_argument(
        "--budget", metavar="TIME|SIZE", help="stop after so much: '2 h' or '50 GB'"
    )
    verify.add_argument("--rate", metavar="RATE", help="read no faster: '20 MB/s'")
    verify.add_argument(
        "--ignore-unreadable",
        action="append",
        default=[],
        metavar="PROJECT",
        help="with --delete: treat PROJECT, which cannot be read, as owning no files",
    )


def _add_removals(commands: Commands, parents: Sequence[ArgumentParser]) -> None:
    """Add the commands that take projects out of the mirror, and bring them back."""
    text = "take projects out of the mirror; their files wait in removed/ for the grace time"
    delete = commands.add_parser("delete", help=text, description=text, parents=parents)
    delete.add_argument("projects", nargs="+", metavar="PROJECT")
    delete.add_argument(
        "--until-next-change",
        action="store_true",
        help="also projects that the filters want: each stays away until the index changes it",
    )
    delete.add_argument("--dry-run", action="store_true", help="say what would go, do nothing")
    delete.add_argument(
        "--workers", type=int, metavar="N", help="accepted for compatibility, without effect"
    )
    delete.add_argument(
        "--skip-json-fetch",
        action="store_true",
        help="accepted for compatibility, without effect: nothing is fetched",
    )

    text = "bring projects back that lie in removed/"
    restore = commands.add_parser("restore", help=text, description=text, parents=parents)
    restore.add_argument("projects", nargs="+", metavar="PROJECT")
    restore.add_argument(
        "--dry-run", action="store_true", help="say what would come back, do nothing"
    )


def _add_questions(commands: Commands, after: ArgumentParser) -> None:
    """Add the commands that look, and change nothing."""
    text = "say what mirror would do, what it would cost, and what each filter keeps out"
    plan = commands.add_parser("plan", help=text, description=text, parents=[after])
    plan.add_argument(
        "projects", nargs="*", metavar="PROJECT", help="only these (default: all there is to do)"
    )
    plan.add_argument("--bandwidth", metavar="RATE", help="tell the time at RATE: '100 Mbit/s'")
    plan.add_argument("--files", action="store_true", help="list each file to download, too")
    plan.add_argument("--json", action="store_true", help="print JSON instead of a table")

    text = "say why a project, a version or a file is in the mirror, or is not"
    why = commands.add_parser("why", help=text, description=text, parents=[after])
    why.add_argument("project", metavar="PROJECT")
    why.add_argument("what", nargs="?", metavar="VERSION|FILE")

    text = "say how far the mirror is, what it has, and what is not done"
    status = commands.add_parser("status", help=text, description=text, parents=[after])
    status.add_argument("--json", action="store_true", help="print JSON instead of a table")
    status.add_argument(
        "--max-age",
        metavar="TIME",
        help="exit with 8 if the last run that left nothing undone is longer ago: '2 h'",
    )
    index = status.add_mutually_exclusive_group()
    index.add_argument("--offline", action="store_true", help="do not ask the index")
    index.add_argument(
        "--max-lag",
        metavar="N|TIME",
        help="exit with 8 if the mirror is more changes, or a longer time, behind: 500, '2 h'",
    )

    config = commands.add_parser("config", help="look at the configuration", parents=[after])
    within = config.add_subparsers(dest="part", metavar="check", required=True)
    text = "check the configuration, and say in words what it means; asks nothing of the network"
    within.add_parser("check", help=text, description=text, parents=[after])


def parse(argv: Sequence[str]) -> Namespace:
    """Return the arguments; leaves the program with status 2 if they make no sense."""
    whole = parser()
    if not argv:
        whole.print_help()
        raise SystemExit(0)
    arguments = whole.parse_args(argv)
    if arguments.command is None:
        commands = "mirror, sync, verify, delete, restore, plan, why, status or config check"
        whole.error(f"name a command: {commands}")
    return arguments


def flag_value(flag: str, text: str | None, reader: Callable[[str], _Value]) -> _Value | None:
    """Return the value of a flag, None if it is not given.

    :raises UsageError: if ``reader`` refuses the text.
    """
    from bandersnatch.errors import OptionError, UsageError  # noqa: PLC0415 - --help needs none

    if text is None:
        return None
    try:
        return reader(text)
    except OptionError as error:
        raise UsageError(f"{flag} {error}") from error


def project_names(texts: Sequence[str]) -> list[ProjectName]:
    """Return the names of projects that arguments give.

    :raises UsageError: if one of them cannot be a name.
    """
    from bandersnatch.errors import InvalidValue, UsageError  # noqa: PLC0415 - --help needs none
    from bandersnatch.model.names import project_name  # noqa: PLC0415

    try:
        return [project_name(text) for text in texts]
    except InvalidValue as error:
        raise UsageError(str(error)) from error
