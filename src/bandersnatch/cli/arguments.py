"""Flags that several commands have, and the values of arguments."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bandersnatch import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bandersnatch.model.names import ProjectName

    _Value = TypeVar("_Value")

DEFAULT_CONFIG = Path("/etc/bandersnatch.conf")


def add_global_flags(flags: ArgumentParser, *, default: bool) -> None:
    """Add the flags that are accepted before and after the command.

    Those after the command have no ``default``, so that they do not reset those before it.
    """
    unset = False if default else SUPPRESS
    flags.add_argument(
        "-h", "--help", action="help", default=SUPPRESS, help="show this help message and exit"
    )
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
    flags.add_argument("--quiet", action="store_true", default=unset, help="log only errors")
    flags.add_argument("--version", action="version", version=f"bandersnatch {__version__}")


def add_report(parser: ArgumentParser) -> None:
    """Add ``--report``."""
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write what was done to FILE, as JSON"
    )


def add_accept_change(parser: ArgumentParser) -> None:
    """Add ``--accept-change``."""
    parser.add_argument(
        "--accept-change",
        action="append",
        default=[],
        metavar="PROJECT",
        help="accept changed content of published files of PROJECT",
    )


def add_removal_limits(parser: ArgumentParser) -> None:
    """Add ``--max-removals`` and ``--max-file-removals``."""
    parser.add_argument("--max-removals", metavar="N", help="remove up to N projects in this run")
    parser.add_argument(
        "--max-file-removals",
        metavar="N",
        help="let the index take up to N files off pages in this run",
    )


def add_projects(parser: ArgumentParser, nargs: str, text: str | None = None) -> None:
    """Add the names of projects."""
    parser.add_argument("projects", nargs=nargs, metavar="PROJECT", help=text)


def flag_value(flag: str, text: str | None, reader: Callable[[str], _Value]) -> _Value | None:
    """Return the value of a flag, None if it is not given.

    :raises UsageError: if ``reader`` refuses the text.
    """
    from bandersnatch.errors import OptionError, UsageError  # noqa: PLC0415 - not for --help

    if text is None:
        return None
    try:
        return reader(text)
    except OptionError as error:
        raise UsageError(f"{flag} {error}") from error


def project_names(texts: Sequence[str]) -> list[ProjectName]:
    """Return the normalised names of the projects that arguments name.

    :raises UsageError: if one of them is not a valid name.
    """
    from bandersnatch.errors import InvalidValue, UsageError  # noqa: PLC0415 - not for --help
    from bandersnatch.model.names import project_name  # noqa: PLC0415

    try:
        return [project_name(text) for text in texts]
    except InvalidValue as error:
        raise UsageError(str(error)) from error
