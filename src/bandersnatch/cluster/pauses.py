"""The pauses that hosts have asked for, as the coordinator of their workers knows them; pure."""

from __future__ import annotations

from bandersnatch.cluster.messages import HostPause


class HostPauses:
    """The pauses that are not over; times are seconds of one clock."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}

    def add(self, pause: HostPause, now: float) -> None:
        """Take in a pause that begins now; one that is under way is never shortened."""
        self._ends[pause.host] = max(now + pause.seconds, self._ends.get(pause.host, 0.0))

    def left(self, now: float) -> tuple[HostPause, ...]:
        """Return the pauses that are not over, with the seconds that are left of each."""
        self._ends = {host: end for host, end in self._ends.items() if end > now}
        return tuple(HostPause(host, end - now) for host, end in sorted(self._ends.items()))
