"""The figures that measure reliability, counted over the whole suite.

``docs/development/oracle.md`` explains them.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COUNTED: Mapping[str, tuple[str, str]] = {
    "G1": ("runs whose exit status is wrong", "0"),
    "G2": ("failed projects without exactly one ERROR line and one entry in the report", "0"),
    "G3": ("runs that destroy valid content", "0"),
    "G4": ("runs that change something outside the mirror", "0"),
    "G5": ("runs after which `status` claims more than the tree shows", "0"),
    "G6": ("runs in which a failing project delays another", "0"),
    "G7": ("kills after which one more run does not give the tree of a clean mirror", "0"),
    "G8": ("power cuts after which published content is wrong", "0"),
    "G9": (
        "transient faults that are not recovered in the same run, or requests sent too early",
        "0",
    ),
    "G12": ("second commands that work while a first holds the lock", "0"),
    "G14": ("reads during a run that find an invalid page", "0"),
    "G15": ("seeded mutants that no test detects", "0"),
    "G17": ("stuck mirrors that the health check does not report", "0"),
}
"""Counted figures: what a violation is, and how many are allowed."""

MEASURED: Mapping[str, tuple[str, str]] = {
    "G10": ("memory for one answer, in MiB above the limit of the document", "64"),
    "G11": ("bytes written for a file beyond its announced size", "one chunk"),
    "G13": ("projects that a run removed beyond the limit", "0"),
    "G18": ("bytes of release files read for a project if only its page changed", "0"),
}
"""Measured figures: the quantity, and the largest value that is allowed."""

NOT_COUNTED: Mapping[str, tuple[str, str]] = {
    "G16": (
        "fixed defects without a test",
        "review checks that the commit that fixes a defect has a test for it",
    ),
}
"""Figures that no test run can count, and what is done instead."""


class Figures:
    """The figures of one test."""

    def __init__(self) -> None:
        self.observed: Counter[str] = Counter()
        self.violated: Counter[str] = Counter()
        self.largest: dict[str, float] = {}

    def count(self, figure: str, violations: int = 0, *, of: int = 1) -> None:
        """Add ``of`` observations, of which some were violations."""
        assert figure in COUNTED, figure
        self.observed[figure] += of
        self.violated[figure] += violations

    def measure(self, figure: str, value: float) -> None:
        """Add one observation with its value."""
        assert figure in MEASURED, figure
        self.observed[figure] += 1
        self.largest[figure] = max(value, self.largest.get(figure, value))

    @contextmanager
    def judging(self, figure: str) -> Iterator[None]:
        """Add one observation, a violation if the block raises an exception."""
        try:
            yield
        except Exception:
            self.count(figure, 1)
            raise
        self.count(figure)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values, to send them to another process."""
        return {
            "observed": dict(self.observed),
            "violated": dict(self.violated),
            "largest": self.largest,
        }

    def add(self, other: Mapping[str, Any]) -> None:
        """Add the figures of another test, as ``as_dict`` returned them."""
        self.observed.update(other["observed"])
        self.violated.update(other["violated"])
        for figure, value in other["largest"].items():
            self.largest[figure] = max(value, self.largest.get(figure, value))
