"""The page that a run of the fault tests writes: the outcome of each case, and the figures."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.cases import CHAPTERS, FAULTS, NOT_APPLICABLE, NOT_YET
from tests.chaos.figures import COUNTED, MEASURED, NOT_COUNTED, Figures
from tests.chaos.searches import search_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

FIGURES = "figures"
"""The user property that carries the figures of a test."""

_CASE = re.compile(r"::test_case_(\d{3})_")

_HEAD = """\
# Faults

Every fault between an index and a mirror, on the disk and around the process that the tests cause;
what must happen, with the exit status of the run; and whether it does. `tox -e chaos` writes this
page. The number of a case is part of the names of its tests, `test_case_<number>_...` in
`tests/chaos/`.

In every test an independent checker, which knows only what the index has, reads the whole tree
and the output of the program before and after each run.
[Its rules](../development/oracle.md) hold for every case, so the table states only what is
particular to one. The last column names the generator in `tests/chaos/` that
[draws neighbours of the fault from seeds](../development/oracle.md#rules-for-generated-faults):

* what was valid still exists, or was replaced by something valid and newer, or is in `removed/`;
* pages name only files that exist and are valid, the same in all formats, at every moment of a run;
* `status` claims no more than the tree shows; the exit status is 0 if, and only if, everything
  selected is shown;
* each failed project has one line in the log and one entry in the report, and delays no other;
* no temporary file is left, and nothing outside the mirror changes;
* when the fault is over, the next run gives the tree of a clean mirror, byte for byte.
"""


def case_of(nodeid: str) -> int | None:
    """Return the case number in the name of a test, None without one."""
    found = _CASE.search(nodeid)
    return int(found[1]) if found else None


@dataclass
class Outcome:
    """The results of the tests of one case."""

    passed: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.failed:
            return f"**failed** ({self.failed} of {self.failed + self.passed})"
        if self.passed:
            tests = "1 test" if self.passed == 1 else f"{self.passed} tests"
            return f"passed ({tests})" + (f"; {self.reasons[0]}" if self.reasons else "")
        return f"not run: {self.reasons[0]}" if self.reasons else "not run"


class FaultTable:
    """A pytest plugin that collects the outcome of every case and writes the page at the end.

    It uses test reports, which the workers of a distributed run send to the main process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[int, Outcome] = defaultdict(Outcome)
        self._figures = Figures()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record one phase of one test."""
        if report.when == "teardown":
            for key, value in report.user_properties:
                if key == FIGURES and isinstance(value, dict):
                    self._figures.add(value)
        number = case_of(report.nodeid)
        if number is None:
            return
        outcome = self._outcomes[number]
        if report.failed:
            outcome.failed += 1
        elif report.skipped:
            outcome.reasons.append(_reason(report))
        elif report.when == "call":
            outcome.passed += 1

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        self._path.write_text(document(self._outcomes, self._figures), encoding="utf-8")


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def document(outcomes: dict[int, Outcome], figures: Figures) -> str:
    """Return the page as Markdown."""
    return _HEAD + "\n".join([*_cases(outcomes), "", *_figures(figures), ""])


def _cases(outcomes: dict[int, Outcome]) -> Iterator[str]:
    for number, fault in FAULTS.items():
        if number in CHAPTERS:
            yield from ("", f"## {CHAPTERS[number]}", "")
            yield "| # | Fault | Expected outcome | Exit | Tests | Searched by |"
            yield "|---|---|---|---|---|---|"
        result = f"{_result(number, outcomes)} | {search_of(number)}"
        yield f"| {number} | {' | '.join(fault)} | {result} |"


def _result(number: int, outcomes: dict[int, Outcome]) -> str:
    if number in outcomes:
        return str(outcomes[number])
    if number in NOT_APPLICABLE:
        return f"not applicable: {NOT_APPLICABLE[number]}"
    return f"**not yet**: {NOT_YET[number]}" if number in NOT_YET else "not run"


def _figures(figures: Figures) -> Iterator[str]:
    yield from ("## Figures", "", "Counted over all tests of a run:", "")
    yield from ("| # | Violation | Observed | Violations | Allowed |", "|---|---|---|---|---|")
    for figure, (what, allowed) in COUNTED.items():
        seen = figures.observed[figure]
        violations = figures.violated[figure] if seen else "not counted"
        yield f"| {figure} | {what} | {seen} | {violations} | {allowed} |"
    yield from ("", "| # | Quantity | Measured | Largest | Allowed |", "|---|---|---|---|---|")
    for figure, (what, allowed) in MEASURED.items():
        seen = figures.observed[figure]
        value = f"{figures.largest[figure]:g}" if seen else "not measured"
        yield f"| {figure} | {what} | {seen} | {value} | {allowed} |"
    yield from ("", "| # | Violation | Why it is not counted |", "|---|---|---|")
    for figure, (what, instead) in NOT_COUNTED.items():
        yield f"| {figure} | {what} | {instead} |"
