"""Measures a first run, or ``verify``, with 1, 2 and 4 processes.

    python bench/processes.py [--projects 600] [--files 2400] [--delay 0.0] [--runs 3]
    python bench/processes.py --verify [--largest 2000000]
    python bench/processes.py --curl --projects 5000 --files 20000

The index is served by nginx on the same cores, in memory like the mirrors, with ``--delay`` seconds
before each answer. The programs run by turns. The line of each number of processes has the median
wall time, the ratio to the time of the first number in the same round, processor seconds of all
processes, and the peak memory of the largest of them.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from check import check_complete
from generate import Shape
from measure import measure, median
from rig import Rig
from sizes import NORMAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measure import Cost


def main() -> None:
    """Measure, and print a line for each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--projects", type=int, default=600)
    parser.add_argument("--files", type=int, default=2_400)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--curl", action="store_true", help="compare with curl in each round")
    parser.add_argument("--verify", action="store_true", help="measure verify, not a first run")
    parser.add_argument("--largest", type=int, default=50_000, help="bytes of the largest file")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="bandersnatch-bench-", dir="/dev/shm"))
    try:
        measure_all(Rig(work, NORMAL, arguments.runs), arguments)
    finally:
        shutil.rmtree(work)


def measure_all(rig: Rig, arguments: argparse.Namespace) -> None:
    """Measure each number of processes in each round."""
    index = rig.generate(Shape(arguments.projects, arguments.files, largest=arguments.largest))
    counts: list[int] = arguments.processes

    with rig.serving(index, delay=arguments.delay) as served:
        tree = rig.fresh("verified")
        if arguments.verify:
            rig.mirror(served, tree)

        def run(count: int) -> Cost:
            if arguments.verify:
                flags = ("verify", "--workers", "4", "--max-age", "0")
                options = f"processes = {count}"
                return measure(
                    rig.command(served, tree, *flags, options=options), log=rig.fresh("log")
                )
            directory = rig.fresh("mirror")
            cost = rig.mirror(served, directory, options=f"processes = {count}").cost
            check_complete(directory, index)
            shutil.rmtree(directory)
            return cost

        def fetch() -> Cost:
            target = rig.fresh("curl")
            cost = rig.curl(served, index.paths(), target)
            shutil.rmtree(target)
            return cost

        rounds, fetched = [], []
        for _ in range(arguments.runs):
            fetched += [fetch()] if arguments.curl else []
            rounds.append([run(count) for count in counts])
    report(rounds, counts)
    for place, count in enumerate(counts if fetched else ()):
        ratios = [each[place].wall / curl.wall for each, curl in zip(rounds, fetched, strict=True)]
        print(f"{count} process(es): {statistics.median(ratios):.2f} x of curl")


def report(rounds: Sequence[Sequence[Cost]], counts: Sequence[int]) -> None:
    """Print a line for each number of processes."""
    for place, count in enumerate(counts):
        wall, cpu, memory = (
            median([each[place] for each in rounds], quantity)
            for quantity in ("wall", "cpu", "memory")
        )
        ratio = statistics.median(each[place].wall / each[0].wall for each in rounds)
        print(
            f"{count} process(es): {wall:.2f} s, {ratio:.2f} x of {counts[0]}, "
            f"{cpu:.2f} s of processor time, {memory / 2**20:.0f} MiB in the largest"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
