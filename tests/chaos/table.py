"""The document that a run of the matrix writes: what became of each case, and the figures."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.cases import CHAPTERS, NOT_APPLICABLE, NOT_YET, TITLES
from tests.chaos.figures import COUNTED, MEASURED, NOT_COUNTED, Figures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

FIGURES = "figures"
"""The name under which a test hands over what it counted."""

_CASE = re.compile(r"::test_case_(\d{3})_")

_HEAD = """\
# Faults

What goes wrong between an index and a mirror, on the disk and around the process, and whether the
tests that let it happen pass. A run of `tox -e chaos` writes this page. In every test an
independent checker, which knows only what the index has, reads the whole tree before and after
each run, and what the run said:

* what was right is still there, or was replaced by what is right and newer, or waits in `removed/`;
* pages name only what is there and right, in all their forms alike, at every moment of a run;
* `status` claims no more than the tree shows; the exit status is 0 if, and only if, all that is
  selected is shown;
* each project that failed has one line in the log and one entry in the report, and held back no
  other;
* nothing temporary is left over, and nothing outside the mirror changed;
* when the fault is over, the next run gives the tree of a clean mirror, byte for byte.
"""


def case_of(nodeid: str) -> int | None:
    """Return the number of the case that a test is about, None if it is about none."""
    found = _CASE.search(nodeid)
    return int(found[1]) if found else None


@dataclass
class Outcome:
    """What became of the tests of one case."""

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
    """A plugin that collects the outcome of every case and writes the document at the end.

    It goes by reports, which the workers of a distributed run send to where this is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[int, Outcome] = defaultdict(Outcome)
        self._figures = Figures()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of one test."""
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
        """Write the document."""
        self._path.write_text(document(self._outcomes, self._figures), encoding="utf-8")


def _reason(report: pytest.TestReport) -> str:
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")


def document(outcomes: dict[int, Outcome], figures: Figures) -> str:
    """Return the document."""
    return _HEAD + "\n".join([*_cases(outcomes), "", *_figures(figures), ""])


def _cases(outcomes: dict[int, Outcome]) -> Iterator[str]:
    for number, title in TITLES.items():
        if number in CHAPTERS:
            yield from ("", f"## {CHAPTERS[number]}", "", "| # | Fault | Tests |", "|---|---|---|")
        yield f"| {number} | {title} | {_became(number, outcomes)} |"


def _became(number: int, outcomes: dict[int, Outcome]) -> str:
    if number in outcomes:
        return str(outcomes[number])
    if number in NOT_APPLICABLE:
        return f"not applicable: {NOT_APPLICABLE[number]}"
    return f"**not yet**: {NOT_YET[number]}" if number in NOT_YET else "not run"


def _figures(figures: Figures) -> Iterator[str]:
    yield from ("## Figures", "", "Counted over all these tests:", "")
    yield from ("| # | What | Observed | Violations | Allowed |", "|---|---|---|---|---|")
    for figure, (what, allowed) in COUNTED.items():
        seen = figures.observed[figure]
        told = figures.violated[figure] if seen else "not counted"
        yield f"| {figure} | {what} | {seen} | {told} | {allowed} |"
    yield from ("", "| # | What | Measured | Largest | Allowed |", "|---|---|---|---|---|")
    for figure, (what, allowed) in MEASURED.items():
        seen = figures.observed[figure]
        value = f"{figures.largest[figure]:g}" if seen else "not measured"
        yield f"| {figure} | {what} | {seen} | {value} | {allowed} |"
    yield from ("", "| # | What | Not counted, for |", "|---|---|---|")
    for figure, (what, instead) in NOT_COUNTED.items():
        yield f"| {figure} | {what} | {instead} |"
