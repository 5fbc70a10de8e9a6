"""The benchmark: ``python bench/run.py``; needs nginx and curl, and nothing from outside.

Each scenario runs whole programs and measures them from outside, in turn with ``curl --parallel``
of the same list where there is something to compare; it looks through every mirror that was
made, and fails if that is not complete. Figures of one run belong together; those of different
hours or machines do not.

Every run writes a new tree and nothing is deleted before the last has ended: ext4 looks past
every inode that was freed in the last seconds, so that creating files just after a large
deletion costs the kernel up to twenty times as much, whoever does it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import scenarios_again as again
import scenarios_first as first
import scenarios_verify as verify
from figures import Failure, Figure, as_json, as_markdown, machine
from rig import Rig
from sizes import FULL, NORMAL, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCENARIOS: dict[str, Callable[[Rig], Iterator[Figure]]] = {
    "first": first.first,
    "delayed": first.delayed,
    "tls": first.tls,
    "unchanged": again.unchanged,
    "unchanged-many": again.unchanged_many,
    "listed-many": again.listed_many,
    "compared-many": again.compared_many,
    "verify-quick": verify.verify_quick,
    "verify": verify.verify,
    "changed": again.changed,
    "changed-many": again.changed_many,
    "allowlist": again.allowlist,
    "large": first.large,
    "long": first.long,
    "pages": first.pages,
    "help": again.start,
}
"""In the order that they run in: what a later one goes on from comes before it."""


def main() -> None:
    """Run the scenarios that are asked for, and print their table."""
    arguments = _arguments()
    if arguments.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:<16}{(scenario.__doc__ or '').strip()}")
        return
    work = Path(arguments.work or tempfile.mkdtemp(prefix="bandersnatch-bench-")).absolute()
    work.mkdir(parents=True, exist_ok=True)
    if list(work.iterdir()):
        sys.exit(f"{work} is not empty; remove what is there and wait a minute")
    sizes = QUICK if arguments.quick else FULL if arguments.full else NORMAL
    runs = arguments.runs or (1 if arguments.quick else 3)
    before, rig = machine(), Rig(work, sizes, runs)
    lines: list[Figure | Failure] = []
    for name in SCENARIOS:
        if not arguments.only or name in arguments.only:
            lines += _run(name, rig)
    table = as_markdown(lines, sizes, before, runs)
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(f"{table}\n")
    if arguments.json:
        arguments.json.write_text(as_json(lines, sizes, before, runs))
    if not arguments.work:
        shutil.rmtree(work)
    if any(isinstance(line, Failure) for line in lines):
        sys.exit(1)


def _run(name: str, rig: Rig) -> Iterator[Figure | Failure]:
    """Run a scenario and tell of each figure at once; one that fails does not end the others."""
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
    add("--list", action="store_true", help="tell what there is, and end")
    add("--only", nargs="+", choices=list(SCENARIOS), metavar="NAME", help="run only these")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    size.add_argument("--full", action="store_true", help="700,000 pages in the first sync of them")
    add("--runs", type=int, help="of each thing that is measured: 3, or 1 with --quick")
    add("--work", help="a directory to work in, and to keep; a temporary one otherwise")
    add("--json", type=Path, metavar="FILE", help="a file for the figures")
    add("--markdown", type=Path, metavar="FILE", help="a file for the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
