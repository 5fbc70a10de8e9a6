"""Metrics in the text format of Prometheus, for ``metrics-file`` and for ``/metrics``.

All are made of the catalogue, which has the totals of the last run, so that both outputs agree.
Names follow https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from bandersnatch import __version__
from bandersnatch.catalogue.records import MISSED, NEVER, Totals, TrashTotals
from bandersnatch.state_word import MirrorState, RunTotals, StateFacts, StateWord, judge, read_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.fleet_counts import FleetCounts

CONTENT_TYPE = CONTENT_TYPE_LATEST

_PREFIX = "bandersnatch_"


class Snapshot(Struct, frozen=True):
    """What is known of a mirror at one time.

    ``pending`` counts the projects that are not done by their causes; ``waiting_since`` is when the
    first of them was met, in seconds since 1970, None if there are none. ``free`` has the free
    bytes of each disk of the mirror.
    """

    state: MirrorState
    facts: StateFacts
    totals: Totals
    trash: TrashTotals
    pending: Mapping[str, int]
    waiting_since: int | None
    free: Mapping[str, int]

    @property
    def lag(self) -> int | None:
        """For how long a known change is not in the mirror; None if it is unknown.

        0 if the last run left nothing undone.
        """
        if self.waiting_since is not None:
            return max(0, self.facts.now - self.waiting_since)
        is_unknown = self.facts.end is None or self.state.word is StateWord.FAILED
        return None if is_unknown else 0


class Served(Struct, frozen=True):
    """What a server has answered: requests by kind and status, and the bytes of their bodies."""

    requests: Mapping[tuple[str, int], int]
    sent: int


async def read_snapshot(
    catalogue: MirrorCatalogue, *, now: int, is_running: bool, free: Mapping[str, int]
) -> Snapshot:
    """Return what the catalogue says of a mirror; ``now`` is in seconds since 1970.

    :raises StorageError: if it cannot be read.
    """
    facts = await read_facts(catalogue, now=now, is_running=is_running)
    deferred = [each for each in await catalogue.deferred() if each.deferral not in MISSED]
    return Snapshot(
        state=judge(facts),
        facts=facts,
        totals=await catalogue.totals(),
        trash=await catalogue.trash_totals(),
        pending=Counter(str(each.cause) or "in progress" for each in deferred),
        waiting_since=min((each.since for each in deferred), default=None),
        free=free,
    )


def render_metrics(
    snapshot: Snapshot | None, served: Served | None = None, fleet: FleetCounts | None = None
) -> bytes:
    """Return the metrics of a mirror, if anything is known of it, and of a server of it.

    ``fleet`` are the workers that a server has counted.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(snapshot, served, fleet))
    return generate_latest(registry)


class _Metrics(Collector):
    def __init__(
        self, snapshot: Snapshot | None, served: Served | None, fleet: FleetCounts | None
    ) -> None:
        self._snapshot = snapshot
        self._served = served
        self._fleet = fleet

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics."""
        yield _labelled("info", "The release of the program.", "version", {__version__: 1})
        if self._snapshot is not None:
            yield from _state(self._snapshot)
            yield from _contents(self._snapshot)
            yield from _last_run(self._snapshot)
        if self._served is not None:
            yield from _workers(self._fleet)
            yield from _serving(self._served)


def _state(snapshot: Snapshot) -> Iterator[Metric]:
    word = snapshot.state.word
    words = {each.value: int(each is word) for each in StateWord if each is not StateWord.RUNNING}
    yield _labelled("state", "1 for the word that the mirror's state has.", "state", words)
    yield _gauge("running", "1 while a command changes the mirror.", snapshot.state.is_running)
    pending = "Projects that are not done, by reason."
    yield _labelled("pending_projects", pending, "reason", snapshot.pending)
    if snapshot.lag is not None:
        text = "For how long the oldest change that a run has met is not in the mirror."
        yield _gauge("lag_seconds", text, snapshot.lag)
    for name, text, value in (
        ("last_success", "When the last run began that left nothing undone.", "last_success"),
        ("last_run_start", "When the last run began.", "last_run"),
    ):
        seconds = getattr(snapshot.facts, value)
        if seconds is not None:
            yield _gauge(f"{name}_timestamp_seconds", text, seconds)


def _contents(snapshot: Snapshot) -> Iterator[Metric]:
    totals, trash = snapshot.totals, snapshot.trash
    yield _gauge("projects", "Projects in the mirror.", totals.projects)
    yield _gauge("files", "Release files in the mirror.", totals.files)
    yield _gauge("size_bytes", "Bytes of the release files in the mirror.", totals.size)
    yield _gauge("removed_files", "Files that wait in removed/.", trash.files)
    yield _gauge("removed_size_bytes", "Bytes of the files that wait in removed/.", trash.size)
    text = "Projects with content that was never verified."
    yield _gauge("unverified_projects", text, totals.unverified)
    if totals.verified != NEVER:
        text = "When the content was verified that was verified longest ago."
        yield _gauge("oldest_verification_timestamp_seconds", text, totals.verified)
    yield _labelled(
        "disk_free_bytes", "Free bytes of a disk of the mirror.", "place", snapshot.free
    )


def _last_run(snapshot: Snapshot) -> Iterator[Metric]:
    end = snapshot.facts.end
    if end is None:
        return
    run: RunTotals = end.totals
    yield _gauge("last_run_exit_code", "The exit code of the last run that ended.", end.code)
    yield _gauge("last_run_end_timestamp_seconds", "When the last run ended.", end.ended)
    text = "How long the last run took."
    yield _gauge("last_run_duration_seconds", text, max(0, end.ended - end.began))
    text = "How long each phase of the last run took."
    yield _labelled("last_run_phase_duration_seconds", text, "phase", run.phases)
    text = "Projects of the last run, by result."
    yield _labelled("last_run_projects", text, "result", run.projects)
    text = "Projects that failed in the last run, by error."
    yield _labelled("last_run_failures", text, "error", run.failures)
    yield from _traffic(run)
    text = "Workers, or processes of the machine, that synced projects of the last run."
    yield _gauge("last_run_workers", text, run.workers)
    yield _labelled("last_run_jobs", "Jobs of these, by result.", "result", run.jobs)
    if run.serial is not None:
        yield _gauge("serial", "The serial up to which the mirror reflects the index.", run.serial)
    if run.index_serial is not None:
        text = "The newest serial of the index in the last run."
        yield _gauge("index_serial", text, run.index_serial)
    if run.serial is not None and run.index_serial is not None:
        text = "Serials that the mirror was behind the index after the last run."
        yield _gauge("lag_serials", text, max(0, run.index_serial - run.serial))


def _traffic(run: RunTotals) -> Iterator[Metric]:
    text = "Files that the last run downloaded."
    yield _gauge("last_run_downloaded_files", text, run.files_downloaded)
    text = "Bytes that the last run downloaded."
    yield _gauge("last_run_downloaded_bytes", text, run.bytes_downloaded)
    requests = GaugeMetricFamily(
        f"{_PREFIX}last_run_requests",
        "Requests of the last run, by host and status.",
        labels=["host", "status"],
    )
    for host, statuses in sorted(run.requests.items()):
        for status, count in sorted(statuses.items()):
            requests.add_metric([host, status], count)
    yield requests
    yield _gauge("last_run_retries", "Requests that the last run repeated.", run.retries)


def _workers(fleet: FleetCounts | None) -> Iterator[Metric]:
    workers: dict[str, float] = {}
    jobs: dict[str, float] = {}
    paused: dict[str, float] = {}
    if fleet is not None:
        workers = {
            "working": fleet.working,
            "idle": fleet.idle,
            "without_share": fleet.without_share,
            "silent": fleet.silent,
        }
        jobs = {"waiting": fleet.waiting, "running": fleet.running}
        paused = {each.host: each.until for each in fleet.paused}
    text = "Workers of the run that is under way, by what they do."
    yield _labelled("workers", text, "state", workers)
    yield _labelled("jobs", "Jobs of the run that is under way.", "state", jobs)
    text = "When the pause ends that a host has asked for, and that all workers keep."
    yield _labelled("host_pause_end_timestamp_seconds", text, "host", paused)


def _serving(served: Served) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        f"{_PREFIX}served_requests",
        "Requests that this process of serve has answered, by kind and status.",
        labels=["kind", "status"],
    )
    for (kind, status), count in sorted(served.requests.items()):
        requests.add_metric([kind, str(status)], count)
    yield requests
    text = "Bytes of bodies that this process of serve has sent."
    yield CounterMetricFamily(f"{_PREFIX}served_bytes", text, value=served.sent)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}{name}", text, value=value)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{_PREFIX}{name}", text, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family
