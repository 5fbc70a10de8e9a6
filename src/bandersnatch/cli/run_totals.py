"""What a run of ``mirror`` did, as the catalogue keeps it for metrics."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bandersnatch.events import PhaseStarted
from bandersnatch.state_word import RunTotals

if TYPE_CHECKING:
    from bandersnatch.clock import Clock
    from bandersnatch.events import Event, RunPhase
    from bandersnatch.index.port import Traffic
    from bandersnatch.mirror.report import RunReport


class PhaseTimer:
    """Measures the phases of a run from its events."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._phase: RunPhase | None = None
        self._began = 0.0
        self._seconds: dict[RunPhase, float] = {}

    def __call__(self, event: Event) -> None:
        """End the phase before if the event begins a phase."""
        if isinstance(event, PhaseStarted):
            self._end()
            self._phase = event.phase

    def _end(self) -> None:
        now = self._clock.monotonic()
        if self._phase is not None:
            self._seconds[self._phase] = self._seconds.get(self._phase, 0.0) + now - self._began
        self._began = now

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each phase so far."""
        self._end()
        return {phase.value: round(seconds, 3) for phase, seconds in self._seconds.items()}


def totals_of(report: RunReport, phases: dict[str, float], traffic: Traffic) -> RunTotals:
    """Return the totals of a run; ``phases`` has the seconds of each phase."""
    requests: dict[str, dict[str, int]] = {}
    for (host, status), count in traffic.requests.items():
        requests.setdefault(host, {})[status] = count
    return RunTotals(
        projects={
            "synced": len(report.synced),
            "unchanged": report.unchanged,
            "removed": len(report.removed),
            "restored": len(report.restored),
            "excluded": report.excluded,
            "absent": len(report.absent),
            "failed": len(report.failures),
        },
        failures=dict(Counter(type(each.error).__name__ for each in report.failures.values())),
        files_downloaded=report.files_downloaded,
        bytes_downloaded=report.bytes_downloaded,
        requests=requests,
        retries=traffic.retries,
        phases=phases,
        serial=report.serial_after,
        index_serial=report.index_serial,
        workers=report.workers,
        jobs={"done": report.jobs_done, "lost": report.jobs_lost} if report.workers else {},
    )
