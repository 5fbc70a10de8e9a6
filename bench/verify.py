"""What ``verify`` costs: ``python bench/verify.py``; needs nginx, and nothing from outside.

It mirrors a generated index once, and then lets ``sha256sum`` and ``verify`` read the same files in
turn: everything, with one worker, and sizes and times alone. The first round warms the cache of
the file system and is not counted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from generate import Shape, generate
from measure import measure
from run import CONFIG
from serve import served

if TYPE_CHECKING:
    from measure import Cost

_SUM = "find {files} -type f -print0 | xargs -0 sha256sum"
COMMANDS = {
    "`verify --workers 1`": ("verify", "--workers", "1", "--budget", "1 d"),
    "`verify --workers 2`": ("verify", "--workers", "2", "--budget", "1 d"),
    "`verify --quick`": ("verify", "--quick"),
    "`verify --dry-run`, the whole tree": ("verify", "--dry-run"),
}


def main() -> None:
    """Run the benchmark as the arguments say, and print its table."""
    arguments = _arguments()
    work = Path(arguments.work or tempfile.mkdtemp(prefix="bandersnatch-bench-"))
    made = generate(work / "index", Shape(arguments.projects, arguments.files))
    config = work / "bandersnatch.conf"
    with served(work / "index", work / "nginx", serial=made.serial) as index:
        text = CONFIG.format(
            directory=work / "mirror", url=index.url, workers=10, download_workers=16
        )
        config.write_text(text)
        own = [sys.executable, "-m", "bandersnatch", "-c", str(config), "--quiet"]
        measure([*own, "mirror"], log=work / "mirror.log")
    shell = ["sh", "-c", _SUM.format(files=work / "mirror/web/packages")]
    costs: dict[str, list[Cost]] = {"`sha256sum`": [], **{name: [] for name in COMMANDS}}
    for number in range(arguments.runs + 1):
        print(f"round {number} of {arguments.runs}", file=sys.stderr)
        taken = {"`sha256sum`": measure(shell, log=work / "sum.log")}
        for name, command in COMMANDS.items():
            taken[name] = measure([*own, *command], log=work / "verify.log")
        for name, cost in taken.items():
            costs[name] += [cost] * (number > 0)
    files = [path for path in (work / "mirror/web/packages").rglob("*") if path.is_file()]
    print(_table(costs, len(files), sum(path.stat().st_size for path in files)))
    if arguments.json:
        told = {n: {"wall": _wall(c), "cpu": _cpu(c)} for n, c in costs.items()}
        Path(arguments.json).write_text(json.dumps(told, indent=2) + "\n")
    if not arguments.work:
        shutil.rmtree(work)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--projects", type=int, default=Shape().projects)
    parser.add_argument("--files", type=int, default=Shape().files)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", help="a directory to work in, and to keep")
    parser.add_argument("--json", help="a file for the figures")
    return parser.parse_args()


def _wall(costs: list[Cost]) -> float:
    return statistics.median(cost.wall for cost in costs)


def _cpu(costs: list[Cost]) -> float:
    return statistics.median(cost.cpu for cost in costs)


def _table(costs: dict[str, list[Cost]], files: int, size: int) -> str:
    rounds = len(costs["`sha256sum`"])
    rows = [
        f"{files} files and sidecars, {size / 1e6:.0f} MB, medians of {rounds} rounds",
        "",
        "| | wall s | CPU s | files / s | MB / s of CPU | memory MB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, some in costs.items():
        memory = max(cost.memory for cost in some) / 1e6
        rows.append(
            f"| {name} | {_wall(some):.2f} | {_cpu(some):.2f} | {files / _wall(some):.0f} "
            f"| {size / 1e6 / _cpu(some):.0f} | {memory:.0f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
