"""Later runs: their cost must depend on what changed, not on what exists."""

from __future__ import annotations

import json
import sys
import time
from statistics import median as middle
from typing import TYPE_CHECKING

from check import check_complete, check_project, check_state
from figures import Figure
from generate import PAGE, change
from inotify import watching
from measure import measure, median

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rig import Mirrored, Ran, Rig

_ALWAYS = "reconcile-interval = 1 s"
"""Makes each run compare the whole list if it begins that long after the last one."""


def _repeated(rig: Rig, mirrored: Mirrored, options: str = "") -> list[Ran]:
    """Run the program on a mirror that is up to date."""
    ran = []
    with rig.serving(mirrored.index) as served:
        for _ in range(rig.runs):
            time.sleep(2.0 if options else 0.0)
            ran.append(rig.mirror(served, mirrored.directory, options=options))
    check_complete(mirrored.directory, mirrored.index, ())
    return ran


def _run_costs(name: str, ran: list[Ran], seconds: float, memory: int) -> Iterator[Figure]:
    costs = [each.cost for each in ran]
    note = f"CPU {median(costs, 'cpu'):.2f} s"
    yield Figure(name, "wall time", median(costs, "wall"), "s", seconds, note=note)
    yield Figure(name, "peak memory", median(costs, "memory") / 1e6, "MB", memory)


def _traffic(
    name: str, ran: list[Ran], requests: int | None, received: int | None
) -> Iterator[Figure]:
    yield Figure(name, "requests", middle(len(each.requests) for each in ran), "", requests)
    size = middle(each.received for each in ran) / 1000
    yield Figure(name, "received", size, "kB", received)


def unchanged(rig: Rig) -> Iterator[Figure]:
    """Find that nothing changed in 5,000 projects."""
    ran = _repeated(rig, rig.few())
    yield from _run_costs("unchanged", ran, 0.3, 60)
    yield from _traffic("unchanged", ran, 3, 20)


def unchanged_many(rig: Rig) -> Iterator[Figure]:
    """Find that nothing changed in 700,000 projects, from the changelog."""
    ran = _repeated(rig, rig.many())
    yield from _run_costs("unchanged-many", ran, 0.5, 80)
    yield from _traffic("unchanged-many", ran, None, None)


def listed_many(rig: Rig) -> Iterator[Figure]:
    """Find the same from the list of projects, which is the same as in the last run."""
    many, options = rig.many(), "api-method = simple"
    with rig.serving(many.index) as served:
        rig.mirror(served, many.directory, options=options)  # the first one compares it
        ran = [rig.mirror(served, many.directory, options=options) for _ in range(rig.runs)]
    check_complete(many.directory, many.index, ())
    for each in ran:
        _require_listing(each, 1)
    yield from _run_costs("listed-many", ran, 1.5, 250)
    yield from _traffic("listed-many", ran, None, None)


def compared_many(rig: Rig) -> Iterator[Figure]:
    """Compare each of 700,000 projects with a new list, as once a day."""
    many = rig.many()
    ran = _repeated(rig, many, _ALWAYS)
    for each in ran:
        _require_listing(each, 1)
    yield from _run_costs("compared-many", ran, 2.0, 300)
    yield from _traffic("compared-many", ran, None, None)


def changed(rig: Rig) -> Iterator[Figure]:
    """Sync 200 changed projects of 5,000; each round changes others."""
    few, count = rig.few(), rig.sizes.changed
    curl, own, sizes = [], [], []
    for _ in range(rig.runs):
        paths = change(few.index, count)
        sizes.append(len(paths))
        with rig.serving(few.index) as served:
            curl.append(rig.curl(served, paths, rig.fresh("curl")))
            own.append(rig.mirror(served, few.directory))
        check_complete(few.directory, few.index)
    wall = median([each.cost for each in own], "wall")
    its = median(curl, "wall")
    note = f"curl {its:.2f} s for {middle(sizes):.0f} URLs"
    yield Figure("changed", f"wall time, {count} changed", wall, "s", 0.7, note=note)
    yield from _traffic("changed", own, None, None)
    memory = median([each.cost for each in own], "memory") / 1e6
    yield Figure("changed", "peak memory", memory, "MB")


def changed_many(rig: Rig) -> Iterator[Figure]:
    """Sync 10 changed projects of 700,000."""
    many, count = rig.many(), rig.sizes.changed_of_many
    root = many.directory / "web/simple"
    ran, written = [], []
    for _ in range(rig.runs):
        paths = change(many.index, count)
        names = [path.split("/")[2] for path in paths if path.startswith("/simple/")]
        with rig.serving(many.index) as served, watching(root) as seen:
            ran.append(rig.mirror(served, many.directory))
        written.append(max(seen.count(name) for name in ("index.html", PAGE)))
        check_complete(many.directory, many.index, names)
    yield from _run_costs("changed-many", ran, 2.0, 300)
    yield Figure("changed-many", "writes of a root page", max(written), "", 1)
    yield from _traffic("changed-many", ran, None, None)


def allowlist(rig: Rig) -> Iterator[Figure]:
    """Follow 50 projects of a large index without its list of projects."""
    index, allowed = rig.many().index, rig.sizes.allowed
    names = list(index.projects)[:: len(index.projects) // allowed][:allowed]
    lines = "\n".join(f"    {name}" for name in names)
    options = f"[plugins]\nenabled = allowlist_project\n[allowlist]\npackages =\n{lines}"
    directory = rig.fresh("mirror")
    with rig.serving(index) as served:
        before = rig.mirror(served, directory, options=options)
        ran = [rig.mirror(served, directory, options=options) for _ in range(rig.runs)]
    check_state(directory, index)
    for name in names:
        check_project(directory / "web", index.projects[name])
    _check_listed(directory, names)
    asked = sum(_listings(each) for each in (before, *ran))
    yield Figure("allowlist", "requests for the list in all runs", asked, "", 0)
    yield from _run_costs("allowlist", ran, 0.3, 60)
    yield from _traffic("allowlist", ran, None, None)


def start(rig: Rig) -> Iterator[Figure]:
    """Run ``--help``, by turns with an interpreter that does nothing."""
    commands = {
        "help": [sys.executable, "-m", "bandersnatch", "--help"],
        "python": [sys.executable, "-c", "pass"],
    }
    log, times = rig.fresh("help.log"), {name: [0.0] * 0 for name in commands}
    measure(commands["help"], log=log)  # compiles modules that were never imported
    for _ in range(rig.sizes.starts):
        for name, command in commands.items():
            times[name].append(measure(command, log=log).wall)
    best = min(times["help"])
    note = f"an interpreter alone {middle(times['python']):.3f} s"
    yield Figure("help", "wall time, the median", middle(times["help"]), "s", 0.1, note=note)
    yield Figure("help", "wall time, the best", best, "s", 0.1)


def _listings(ran: Ran) -> int:
    return sum(request.path == "/simple/" for request in ran.requests)


def _require_listing(ran: Ran, count: int) -> None:
    if _listings(ran) != count:
        raise RuntimeError(f"{_listings(ran)} requests for the list, not {count}")


def _check_listed(directory: Path, names: list[str]) -> None:
    page = json.loads((directory / "web/simple" / PAGE).read_bytes())
    if sorted(each["name"] for each in page["projects"]) != sorted(names):
        raise RuntimeError("the list does not name the allowed projects")
