"""Later runs with the catalogue in PostgreSQL: the same figures as with SQLite."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from check import check_complete
from database import database
from figures import Figure
from generate import change
from measure import measure, median
from rig import Mirrored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rig import Ran, Rig

_ALWAYS = "reconcile-interval = 1 s"
"""Makes each run compare the whole list if it begins that long after the last one."""


def postgres(rig: Rig) -> Iterator[Figure]:
    """Copy the catalogue of 700,000 projects to PostgreSQL, and run with it."""
    many, directory = rig.many(), rig.fresh("mirror")
    shutil.copytree(
        many.directory, directory, symlinks=True, ignore=shutil.ignore_patterns("catalogue.*")
    )
    with database() as server:
        command = rig.command(None, directory, "catalogue", "copy", str(many.directory), server.url)
        copied = measure(command, log=rig.fresh("copy.log"))
        yield Figure("postgres", "wall time of the copy", copied.wall, "s")
        yield Figure("postgres", "peak memory of the copy", copied.memory / 1e6, "MB")
        mirrored, option = Mirrored(many.index, directory), f"catalogue = {server.url}"
        yield from _costs("unchanged", _repeated(rig, mirrored, option), 1.0, 100)
        yield from _costs("compared", _repeated(rig, mirrored, f"{option}\n{_ALWAYS}"), None, 300)
        yield from _costs("10 changed", _changed(rig, mirrored, option), None, 300)


def _repeated(rig: Rig, mirrored: Mirrored, options: str) -> list[Ran]:
    ran = []
    with rig.serving(mirrored.index) as served:
        for _ in range(rig.runs):
            time.sleep(2.0 if _ALWAYS in options else 0.0)
            ran.append(rig.mirror(served, mirrored.directory, options=options))
    check_complete(mirrored.directory, mirrored.index, ())
    return ran


def _changed(rig: Rig, mirrored: Mirrored, options: str) -> list[Ran]:
    ran = []
    for _ in range(rig.runs):
        paths = change(mirrored.index, rig.sizes.changed_of_many)
        names = [path.split("/")[2] for path in paths if path.startswith("/simple/")]
        with rig.serving(mirrored.index) as served:
            ran.append(rig.mirror(served, mirrored.directory, options=options))
        check_complete(mirrored.directory, mirrored.index, names)
    return ran


def _costs(what: str, ran: list[Ran], seconds: float | None, memory: int) -> Iterator[Figure]:
    costs = [each.cost for each in ran]
    note = f"CPU {median(costs, 'cpu'):.2f} s"
    wall, peak = median(costs, "wall"), median(costs, "memory") / 1e6
    yield Figure("postgres", f"wall time, {what}", wall, "s", seconds, note=note)
    yield Figure("postgres", f"peak memory, {what}", peak, "MB", memory)
