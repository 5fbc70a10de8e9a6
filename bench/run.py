"""The benchmark: ``python bench/run.py``; needs nginx and curl, and nothing from outside.

It mirrors a generated index with ``bandersnatch`` and fetches the very same list with
``curl --parallel`` into the very same tree, in turn, and compares the two by their medians.
Figures of one run belong together; those of different hours or machines do not.

Every run writes a new tree and nothing is deleted before the last has ended: ext4 looks past
every inode that was freed in the last seconds, so that creating files just after a large
deletion costs the kernel up to twenty times as much, whoever does it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from generate import Generated, Shape, generate
from measure import Cost, measure
from serve import Served, served

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIG = """\
[mirror]
directory = {directory}
master = {url}
allow-non-https = true
workers = {workers}
download-workers = {download_workers}
"""


@dataclass
class Figures:
    """The costs of the runs of each kind, and what is counted once."""

    curl: list[Cost] = field(default_factory=list)
    curl_flat: list[Cost] = field(default_factory=list)
    first: list[Cost] = field(default_factory=list)
    again: list[Cost] = field(default_factory=list)
    requests_first: int = 0
    requests_again: int = 0


def main() -> None:
    """Run the benchmark as the arguments say, and print its table."""
    arguments = _arguments()
    work = Path(arguments.work or tempfile.mkdtemp(prefix="bandersnatch-bench-"))
    if list(work.glob("round-*")):
        sys.exit(f"{work} holds the trees of an earlier run; remove them and wait a minute")
    shape = Shape(arguments.projects, arguments.files)
    made = generate(work / "index", shape)
    figures = Figures()
    with served(work / "index", work / "nginx", serial=made.serial) as index:
        for number in range(arguments.runs):
            print(f"round {number + 1} of {arguments.runs}", file=sys.stderr)
            trees = work / f"round-{number + 1}"
            trees.mkdir()
            figures.curl.append(_curl(index, made, trees, arguments.connections))
            figures.curl_flat.append(_curl(index, made, trees, arguments.connections, flat=True))
            _mirror(index, trees, arguments, figures)
            _check_complete(trees / "mirror", made)
    table = _table(figures, made)
    print(table)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(_as_dict(figures), indent=2) + "\n")
    if not arguments.work:
        shutil.rmtree(work)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--projects", type=int, default=Shape().projects)
    parser.add_argument("--files", type=int, default=Shape().files)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--download-workers", type=int, default=16)
    parser.add_argument("--connections", type=int, default=16, help="of curl")
    parser.add_argument("--work", help="a directory to work in, and to keep")
    parser.add_argument("--json", help="a file for the figures")
    return parser.parse_args()


def _curl(
    index: Served, made: Generated, work: Path, connections: int, *, flat: bool = False
) -> Cost:
    """Fetch everything into the tree that a mirror is, or into one directory."""
    target = work / ("curl-flat" if flat else "curl")
    target.mkdir()
    lines = []
    for number, path in enumerate(made.paths):
        name = str(number) if flat else f"{path}index.v1_json" if path[-1] == "/" else path
        lines += [f'url = "{index.url}{path}"', f'output = "{target}/{name.lstrip("/")}"']
    listing = work / "curl.list"
    listing.write_text("\n".join(lines))
    command = ["curl", "--silent", "--fail", "--parallel", "--parallel-max", str(connections)]
    command += ["--create-dirs", "--config", str(listing)]
    return measure(command, log=work / "curl.log")


def _mirror(index: Served, work: Path, arguments: argparse.Namespace, figures: Figures) -> None:
    directory = work / "mirror"
    config = work / "bandersnatch.conf"
    config.write_text(
        CONFIG.format(
            directory=directory,
            url=index.url,
            workers=arguments.workers,
            download_workers=arguments.download_workers,
        )
    )
    command = [sys.executable, "-m", "bandersnatch", "-c", str(config), "--quiet", "mirror"]
    before = index.requests()
    figures.first.append(measure(command, log=work / "first.log"))
    between = index.requests()
    figures.again.append(measure(command, log=work / "again.log"))
    figures.requests_first = between - before
    figures.requests_again = index.requests() - between


def _check_complete(mirror: Path, made: Generated) -> None:
    """Compare the tree with the list: everything that was to be fetched is there."""
    for path in made.paths:
        stored = mirror / "web" / path.lstrip("/")
        there = (stored / "index.html").is_file() if path.endswith("/") else stored.is_file()
        if not there:
            raise RuntimeError(f"the mirror lacks {path}")


def _median(costs: Iterable[Cost], name: str) -> float:
    return float(statistics.median(getattr(cost, name) for cost in costs))


def _table(figures: Figures, made: Generated) -> str:
    size, rounds = made.size / 1e6, len(figures.curl)
    rows = [
        f"{len(made.paths)} things, {size:.0f} MB, medians of {rounds} rounds",
        "",
        "| | wall s | CPU s | memory MB | requests | wall / curl | CPU / curl |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, costs, requests in (
        ("curl, the same tree", figures.curl, len(made.paths)),
        ("curl, one directory", figures.curl_flat, len(made.paths)),
        ("first run", figures.first, figures.requests_first),
        ("run with nothing to do", figures.again, figures.requests_again),
    ):
        wall, cpu = _median(costs, "wall"), _median(costs, "cpu")
        rows.append(
            f"| {name} | {wall:.2f} | {cpu:.2f} | {_median(costs, 'memory') / 1e6:.0f} "
            f"| {requests} | {wall / _median(figures.curl, 'wall'):.1f} "
            f"| {cpu / _median(figures.curl, 'cpu'):.1f} |"
        )
    return "\n".join(rows)


def _as_dict(figures: Figures) -> dict[str, object]:
    return {
        name: {key: _median(costs, key) for key in ("wall", "user", "system", "cpu", "memory")}
        for name, costs in (
            ("curl", figures.curl),
            ("curl_flat", figures.curl_flat),
            ("first", figures.first),
            ("again", figures.again),
        )
    }


if __name__ == "__main__":
    main()
