"""The benchmark: ``python bench/run.py``; needs nginx, curl and openssl, and no network.

The scenarios ``postgres`` and ``whole-postgres`` need PostgreSQL.

Each scenario runs whole programs and measures them from outside, by turns with ``curl --parallel``
of the same URLs where that can be compared. It checks every mirror, and fails if one is incomplete.
Compare figures of one run only, not of different hours or machines.

Every run writes a new tree, and trees on disk are not deleted before the end: ext4 skips every
inode that was freed in the last seconds, so that creating files just after a large deletion costs
the kernel up to twenty times as much.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import scenarios_first as first
import scenarios_later as later
import scenarios_postgres
import scenarios_verify as verify
import scenarios_whole as whole
from figures import Failure, Figure, as_json, as_markdown, machine
from rig import Rig
from sizes import NORMAL, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCENARIOS: dict[str, Callable[[Rig], Iterator[Figure]]] = {
    "first": first.first,
    "first-memory": first.in_memory,
    "delayed": first.delayed,
    "tls": first.tls,
    "unchanged": later.unchanged,
    "unchanged-many": later.unchanged_many,
    "listed-many": later.listed_many,
    "compared-many": later.compared_many,
    "verify-quick": verify.verify_quick,
    "verify": verify.verify,
    "changed": later.changed,
    "changed-many": later.changed_many,
    "postgres": scenarios_postgres.postgres,
    "allowlist": later.allowlist,
    "large": first.large,
    "long": first.long,
    "pages": first.pages,
    "help": later.start,
    "whole": whole.whole,
    "whole-postgres": whole.whole_postgres,
    "real": whole.real,
}
"""In the order of execution: some use the mirror of an earlier one."""

LONG = ("whole", "whole-postgres", "real")
"""The scenarios that take an hour; they run with ``--full``, with ``--quick``, or if named."""


def main() -> None:
    """Run the selected scenarios and print the table."""
    arguments = _arguments()
    if arguments.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:<16}{(scenario.__doc__ or '').strip()}")
        return
    work = Path(arguments.work or tempfile.mkdtemp(prefix="bandersnatch-bench-")).absolute()
    work.mkdir(parents=True, exist_ok=True)
    if list(work.iterdir()):
        sys.exit(f"{work} is not empty; empty it and wait a minute")
    sizes = QUICK if arguments.quick else NORMAL
    if arguments.full:
        sizes = replace(sizes, whole=arguments.full)
    runs = arguments.runs or (1 if arguments.quick else 3)
    before, rig = machine(), Rig(work, sizes, runs)
    lines: list[Figure | Failure] = []
    for name in _selected(arguments):
        lines += _run(name, rig)
    table = as_markdown(lines, sizes, before, runs)
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(f"{table}\n")
    if arguments.json:
        arguments.json.write_text(as_json(lines, sizes, before, runs))
    rig.close()
    if not arguments.work:
        shutil.rmtree(work)
    if any(isinstance(line, Failure) for line in lines):
        sys.exit(1)


def _selected(arguments: argparse.Namespace) -> list[str]:
    if arguments.only:
        return [name for name in SCENARIOS if name in arguments.only]
    is_all = arguments.full or arguments.quick
    return [name for name in SCENARIOS if is_all or name not in LONG]


def _run(name: str, rig: Rig) -> Iterator[Figure | Failure]:
    """Run a scenario and print each figure; a failure does not end the benchmark."""
    print(f"-- {name}", file=sys.stderr, flush=True)
    try:
        for figure in SCENARIOS[name](rig):
            print(figure.row(judged=rig.sizes.judged), file=sys.stderr, flush=True)
            yield figure
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr, flush=True)
        yield Failure(name, str(error))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else ""
    )
    add = parser.add_argument
    add("--list", action="store_true", help="list the scenarios")
    add("--only", nargs="+", choices=list(SCENARIOS), metavar="NAME", help="run only these")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small sizes, to check that it works")
    full = "the whole index as well, with 700,000 projects or as many as are given"
    size.add_argument(
        "--full", nargs="?", type=int, const=NORMAL.whole, metavar="PROJECTS", help=full
    )
    add("--runs", type=int, help="runs of each scenario (default: 3, or 1 with --quick)")
    add("--work", help="a working directory, which is kept (default: a temporary one)")
    add("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    add("--markdown", type=Path, metavar="FILE", help="write the table to FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
