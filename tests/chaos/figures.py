"""The figures that "trusted" is measured by, and the counting of them over the whole suite."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COUNTED: Mapping[str, tuple[str, str]] = {
    "G1": ("runs whose exit status is not true", "0"),
    "G2": ("failed projects without just one ERROR line and an entry in the report", "0"),
    "G3": ("runs that destroy what was right", "0"),
    "G4": ("runs that change something outside the mirror", "0"),
    "G5": ("runs after which `status` claims more than the tree shows", "0"),
    "G6": ("runs in which one project that fails delays another", "0"),
    "G7": ("kills after which one more run does not give the tree of a clean mirror", "0"),
    "G8": ("power cuts after which something published is wrong", "0"),
    "G9": ("faults that pass and are not recovered in the same run, or asked again too early", "0"),
    "G12": ("second commands that work beside a first", "0"),
    "G14": ("looks of a reader during a run that find something false", "0"),
    "G15": ("seeded mutants that live", "0"),
    "G17": ("stuck mirrors that a health check does not see", "0"),
}
"""What is counted: what a violation is, and how many there may be."""

MEASURED: Mapping[str, tuple[str, str]] = {
    "G10": ("memory for any one answer, MiB above the limit of the document", "64"),
    "G11": ("bytes written for a file beyond its announced size", "one piece"),
    "G13": ("projects that a run removed beyond the larger of 5 and 0.5 %, or all of them", "0"),
    "G18": ("bytes of release files read for a project of which only the page changed", "0"),
}
"""What is measured: the largest value that was seen, and how large it may be."""

NOT_COUNTED: Mapping[str, tuple[str, str]] = {
    "G16": (
        "mended defects without a test",
        "a commit that mends one has its test; no run can tell of one that has none",
    ),
}
"""What no run of the tests can count, and what is done instead."""


class Figures:
    """What one test counted."""

    def __init__(self) -> None:
        self.observed: Counter[str] = Counter()
        self.violated: Counter[str] = Counter()
        self.largest: dict[str, float] = {}

    def count(self, figure: str, violations: int = 0, *, of: int = 1) -> None:
        """Add observations, of which some were violations."""
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
        """Add one observation, which is a violation if what is asserted here is not so."""
        try:
            yield
        except Exception:
            self.count(figure, 1)
            raise
        self.count(figure)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, in what can be sent from one process to another."""
        return {
            "observed": dict(self.observed),
            "violated": dict(self.violated),
            "largest": self.largest,
        }

    def add(self, told: Mapping[str, Any]) -> None:
        """Add what another one counted."""
        self.observed.update(told["observed"])
        self.violated.update(told["violated"])
        for figure, value in told["largest"].items():
            self.largest[figure] = max(value, self.largest.get(figure, value))
