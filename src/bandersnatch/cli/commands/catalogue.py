"""``catalogue copy``: copies the catalogue of a mirror between a file and PostgreSQL."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import add_global_flags
from bandersnatch.errors import OptionError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.catalogue.records import DamagedRow
    from bandersnatch.catalogue.row_copy import CopiedRows
    from bandersnatch.cli.invocation import Invocation
    from bandersnatch.config.catalogue import CatalogueSettings

_CONNECTION = re.compile(r"^postgres(?:ql)?:|(?:^|\s)(?:host|dbname|user|password|service)\s*=")
"""Matches what names a database, perhaps with a password, and is not a URL."""

_PLACE = "the directory with catalogue.sqlite, or the URL of PostgreSQL"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the parts of ``catalogue``."""
    parts = parser.add_subparsers(dest="part", metavar="copy", required=True)
    text = "copy everything that a catalogue has into an empty one"
    copy = parts.add_parser("copy", help=text, description=text, add_help=False)
    add_global_flags(copy, default=False)
    copy.add_argument("source", metavar="FROM", help=f"what is copied: {_PLACE}")
    copy.add_argument("target", metavar="TO", help="where to, in the same form; it must be empty")


def run(invocation: Invocation) -> int:
    """Run ``catalogue copy``.

    :raises UsageError: if an argument cannot be used, or if the target is not empty.
    """
    arguments = invocation.arguments
    source = _place("FROM", arguments.source)
    target = _place("TO", arguments.target)
    if source == target or _is_same_directory(source, target):
        raise UsageError("FROM and TO are the same catalogue")
    return invocation.run(_copy(invocation, source, target))


def _is_same_directory(source: CatalogueSettings | str, target: CatalogueSettings | str) -> bool:
    places = (source, target)
    paths = [os.path.realpath(each) for each in places if isinstance(each, str)]
    return len(paths) == len(places) and paths[0] == paths[1]


def _place(name: str, text: str) -> CatalogueSettings | str:
    """Return the settings of a catalogue in PostgreSQL, or the absolute path of a directory."""
    from bandersnatch.config import readers
    from bandersnatch.config.catalogue import read_catalogue

    if "://" not in text and _CONNECTION.search(text):
        raise UsageError(f"{name}: write the database as a URL: postgresql://USER@HOST/DATABASE")
    try:
        if "://" not in text:
            return readers.path(text)
        settings = read_catalogue(text)
    except OptionError as error:
        raise UsageError(f"{name}: {error}") from error
    assert settings is not None, "the text is not empty"
    return settings


def _damage(row: DamagedRow) -> str:
    """Return a sentence about what was not copied."""
    if not row.table:
        return f"the file was damaged, and is {row.key} now; only its undamaged rows were copied"
    where = f"of {row.table} for {row.key}" if row.key else f"of {row.table}"
    return f"a damaged row {where} was left out"


async def _copy(
    invocation: Invocation, source: CatalogueSettings | str, target: CatalogueSettings | str
) -> int:
    from bandersnatch.app import open_to_copy
    from bandersnatch.cli.text import counted

    async def work() -> CopiedRows:
        async with (
            open_to_copy(source, must_exist=True) as old,
            open_to_copy(target, must_exist=False) as new,
        ):
            try:
                return await new.copy_from(old)
            finally:
                for row in await old.take_damaged():
                    invocation.logger.warning("%s", _damage(row))

    found = await invocation.signals.interruptible(work())
    places = " to ".join(each if isinstance(each, str) else each.shown for each in (source, target))
    names = ("project", "file", "other row")
    numbers = ", ".join(counted(*each) for each in zip(found, names, strict=True))
    return invocation.answer(f"Copied {numbers}: {places}")
