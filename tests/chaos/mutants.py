"""Defects of other mirrors, seeded into this one, one by one: each must fail a test.

Run as ``python -m tests.chaos.mutants [name ...]``. Each mutant is one small change of one function
in a copy of the repository. The tests that should detect it run first, and all if they do not.
``--processes N`` is the number of processes of pytest.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.chaos.seeded import MUTANTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.seeded import Mutant

ROOT = Path(__file__).parents[2]
_LONGEST = 1800
_FAILED = frozenset({1, 2})
"""Exit statuses of pytest after a failure; with several processes it counts as interrupted."""


# ---------------------------------------------------------------- running


class Workshop:
    """A copy of the repository, in which one mutant at a time is tested."""

    def __init__(self, home: Path, processes: int) -> None:
        self._home = home
        self._processes = processes
        unneeded = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "dist", "build")
        shutil.copytree(ROOT, home, ignore=unneeded, dirs_exist_ok=True)

    def test_for(self, mutant: Mutant, *, everywhere: bool = True) -> str | None:
        """Return the test that fails with a mutant, and fails again, or None if there is none.

        If none of the tests that it names fails, all tests are run with ``everywhere``.
        """
        path = self._home / mutant.path
        sound = path.read_text(encoding="utf-8")
        path.write_text(mutant.applied(sound), encoding="utf-8")
        try:
            named = [f"tests/{test}" for test in mutant.tests]
            for tests in (named, ["tests"]) if everywhere else (named,):
                test = self.failing(tests)
                if test and self.failing([test.partition("[")[0]]):
                    return test
        finally:
            path.write_text(sound, encoding="utf-8")
        return None

    def failing(self, tests: Sequence[str]) -> str | None:
        """Run tests until one fails and return it, None if none fails."""
        paths = os.pathsep.join([str(self._home / "src"), str(self._home)])
        parallel = ["-n", str(self._processes)] if self._processes > 1 else []
        try:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no"),
                    *("-p", "no:cacheprovider", "-p", "no:randomly"),
                    *("--ignore=tests/chaos/test_mutants.py", *parallel, *tests),
                ],
                cwd=self._home,
                env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                timeout=_LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return tests[0]
        if done.returncode not in {0, *_FAILED}:
            raise RuntimeError(f"the tests could not be run:\n{done.stdout}{done.stderr}")
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        assert done.returncode == 0 or failed is not None, done.stdout
        return failed[1] if failed else None


def main() -> int:
    """Test the named mutants, or all; print the result of each, and the score."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help="part of a mutant's name")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    arguments = parser.parse_args()
    chosen = [
        mutant
        for mutant in MUTANTS
        if not arguments.names or any(part in mutant.name for part in arguments.names)
    ]
    survivors = 0
    with TemporaryDirectory() as home:
        workshop = Workshop(Path(home), arguments.processes)
        for mutant in chosen:
            test = workshop.test_for(mutant)
            survivors += test is None
            print(f"| {mutant.name} | {test or '**survives**'} |", flush=True)  # noqa: T201 - a script prints
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants are detected")  # noqa: T201 - as above
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
