"""Measured figures, rendered as a table in Markdown and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sizes import Sizes


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table; without ``aim`` it is for information, ``at_least`` is for rates."""

    scenario: str
    quantity: str
    value: float
    unit: str
    aim: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without an aim."""
        if self.aim is None:
            return None
        return self.value >= self.aim if self.at_least else self.value <= self.aim

    def verdict(self) -> str:
        """Return whether the aim is met, or by how much it is missed."""
        if self.aim is None:
            return ""
        if self.met:
            return "met"
        if not self.aim:
            return f"missed by {_number(self.value)}"
        return f"missed by {abs(self.value / self.aim - 1) * 100:.0f} %"

    def row(self, *, judged: bool) -> str:
        """Return the line in Markdown."""
        sign = "at least" if self.at_least else "at most"
        aim = "" if self.aim is None else f"{sign} {_number(self.aim)} {self.unit}".strip()
        quantity = f"{self.quantity} ({self.note})" if self.note else self.quantity
        value = f"{_number(self.value)} {self.unit}".strip()
        verdict = self.verdict() if judged else ""
        return f"| {self.scenario} | {quantity} | {value} | {aim} | {verdict} |"


@dataclass(frozen=True, slots=True)
class Failure:
    """A scenario that could not be measured, or whose mirror was incomplete."""

    scenario: str
    reason: str

    def row(self, *, judged: bool) -> str:
        """Return the line in Markdown."""
        del judged
        first = self.reason.splitlines()[0] if self.reason else ""
        return f"| {self.scenario} | **failed**: {first} | | | failed |"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def machine() -> dict[str, object]:
    """Return the properties of the machine that the figures depend on."""
    nginx = subprocess.run(["nginx", "-v"], check=False, capture_output=True, text=True).stderr
    curl = subprocess.run(["curl", "-V"], check=False, capture_output=True, text=True).stdout
    return {
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": nginx.strip().rpartition("/")[2],
        "curl": curl.split(" ", 2)[1] if curl else "",
        "load": round(os.getloadavg()[0], 1),
    }


def as_markdown(
    lines: Sequence[Figure | Failure], sizes: Sizes, before: dict[str, object], runs: int
) -> str:
    """Return the table as Markdown, headed by the properties of the machine."""
    facts = ", ".join(f"{key} {value}" for key, value in before.items())
    rows = [f"Medians of {runs} runs; {facts} at the start.", ""]
    if not sizes.judged:
        rows = [
            "**Small sizes: this shows that the benchmark works; the figures mean nothing.**",
            "",
            *rows,
        ]
    rows += ["| scenario | measured | figure | aim | |", "|---|---|--:|--:|---|"]
    return "\n".join([*rows, *(line.row(judged=sizes.judged) for line in lines)])


def as_json(
    lines: Iterable[Figure | Failure], sizes: Sizes, before: dict[str, object], runs: int
) -> str:
    """Return the figures as JSON."""
    figures = [
        {**asdict(line), "met": line.met} if isinstance(line, Figure) else asdict(line)
        for line in lines
    ]
    whole = {"machine": before, "runs": runs, "sizes": asdict(sizes), "figures": figures}
    return json.dumps(whole, indent=2) + "\n"
