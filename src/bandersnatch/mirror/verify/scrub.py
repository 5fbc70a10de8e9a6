"""Every project in turn: looked at, repaired, and written down as right."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.catalogue.records import NEVER, CatalogueUpdate, Marker, Verified, VerifyEntry
from bandersnatch.concurrency import bounded_map
from bandersnatch.events import DamageFound, DamageLeft, DamageRepaired, ProjectVerified
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.verify.repair import left_to_do
from bandersnatch.model.names import ProjectName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from bandersnatch.catalogue.records import Deferred, FileRecord, FileStat, ProjectRecord
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.verify.budget import Budget, VerifyOptions
    from bandersnatch.mirror.verify.examine import Examiner, Findings
    from bandersnatch.mirror.verify.repair import Repairer, Repairs
    from bandersnatch.storage.port import StoredObject

_EVER = 2**62
"""Seconds since 1970 that nothing is read after."""

_AHEAD = 86_400
"""Seconds by which two clocks may differ."""

_BEHIND_ALL = ProjectName("~")
"""What is behind every name of a project, in their order."""

_COMMIT_AFTER = 10.0
"""Seconds between two commits: what a kill costs at most."""

_QUICKLY_TOGETHER = 500


class Scrub:
    """Looks at the projects, those that were verified longest ago first."""

    def __init__(
        self,
        mirror: Mirror,
        examiner: Examiner,
        repairer: Repairer,
        budget: Budget,
        orders: VerifyOptions,
        unfinished: Mapping[ProjectName, Deferred],
    ) -> None:
        self._mirror = mirror
        self._examiner = examiner
        self._repairer = repairer
        self._budget = budget
        self._orders = orders
        self._unfinished = unfinished
        self._after = NEVER
        self._batch = CatalogueUpdate()
        self._committed_at = mirror.clock.monotonic()

    # ------------------------------------------------------------ reading everything

    async def run(self, now: int) -> None:
        """Read what was not read for longest; what was done is written down whatever ends it.

        What was read a day after ``now``, by a clock that was ahead, was not, and comes first.
        """
        catalogue, max_age = self._mirror.catalogue, self._orders.max_age
        if max_age is not None:
            last = now - max_age
        else:
            last = min(now, int(await catalogue.marker(Marker.VERIFY_CYCLE) or now))
            await self._mark({Marker.VERIFY_CYCLE: str(last)})
        self._after = last

        def is_read(found: FileRecord) -> bool:
            return not last < (found.verified or NEVER) <= now + _AHEAD

        async def verify(stale: VerifyEntry) -> None:
            await self._verify(stale.name, is_read)

        ahead = VerifyEntry(_BEHIND_ALL, now + _AHEAD, 0, 0)
        parts: list[tuple[VerifyEntry | None, int]] = [(ahead, _EVER), (None, last + 1)]
        try:
            for after, before in parts:
                while not self._budget.is_spent and (
                    some := await catalogue.verify_queue(before, after)
                ):
                    after = some[-1]  # noqa: PLW2901 - the next piece begins there
                    await bounded_map(verify, some, most=self._orders.workers)
        finally:
            await self._commit()
        if max_age is None and not self._budget.is_spent:
            await self._mark({Marker.VERIFY_CYCLE: "", Marker.VERIFIED: str(last)})

    async def _verify(self, name: ProjectName, is_read: Callable[[FileRecord], bool]) -> None:
        record = await self._mirror.catalogue.project(name)
        if record is None or self._budget.is_spent:
            return
        findings = await self._examiner.examine(record, is_read)
        await self._settle(findings)
        self._mirror.events(ProjectVerified(name, len(record.files), findings.size))

    # ------------------------------------------------------------ comparing sizes and times

    async def run_quickly(self) -> None:
        """Compare sizes and times, and read only what differs; in the order of names."""
        catalogue = self._mirror.catalogue
        after = await catalogue.marker(Marker.QUICK_VERIFY)
        try:
            while some := await catalogue.list_entries(after):
                names = [each.name for each in some]
                for start in range(0, len(names), _QUICKLY_TOGETHER):
                    await self._compare(names[start : start + _QUICKLY_TOGETHER])
                after = names[-1]
                await self._mark({Marker.QUICK_VERIFY: after})
        finally:
            await self._commit()
        await self._mark({Marker.QUICK_VERIFY: ""})

    async def _compare(self, names: Collection[ProjectName]) -> None:
        mirror, pages = self._mirror, self._mirror.settings.pages
        stored = await mirror.catalogue.file_stats(names)
        keys = [
            *(key for files in stored.values() for file in files for key in _keys(file)),
            *(key for name in names for key in pages.layout.pages(name).values()),
        ]
        there = iter(await mirror.storage.stat(keys))
        differ = {
            name: {file.path for file in files if not _is_as_recorded(file, there)}
            for name, files in stored.items()
        }
        for name in names:
            found = [next(there) for _ in pages.formats]
            has_pages = None not in found
            paths = differ.get(name, set())
            if paths or not (has_pages or await Publisher.of(mirror).has_pages(name)):
                await self._verify(name, _is_among(paths))
            else:
                mirror.events(ProjectVerified(name, len(stored.get(name, ())), 0))

    # ------------------------------------------------------------ what comes of it

    async def _settle(self, findings: Findings) -> None:
        """Repair what is wrong, and write down what is right."""
        events = self._mirror.events
        damage = list(findings.damage)
        for each in damage:
            events(DamageFound(each.key, each.what))
        if not self._orders.repair:
            for each in damage:
                events(DamageLeft(each.key, each.what, "a dry run repairs nothing"))
            return
        self._write_down(findings)
        if damage:
            self._take_over(findings, await self._repairer.repair(findings))
        waited = self._mirror.clock.monotonic() - self._committed_at
        if damage or waited >= _COMMIT_AFTER:
            await self._commit()

    def _write_down(self, findings: Findings) -> None:
        """Remember what was found right, and the times of files that somebody touched."""
        record, right = findings.record, findings.right
        at = max(findings.at, self._after + 1)  # or it would count as verified before
        recorded = {found.file.path: found.modified for found in record.files}
        if any(modified != recorded[path] for path, modified in right.items()):
            findings.record = _with_times(record, right)
            self._put(findings.record)
        if len(right) == len(recorded) and not any(findings.damage):
            self._batch.verified.append(Verified(record.name, at))
        elif right:
            self._batch.verified.append(Verified(record.name, at, frozenset(right)))

    def _take_over(self, findings: Findings, repairs: Repairs) -> None:
        """Remember what became of the damage; ``mirror`` goes on with what is left."""
        events, record = self._mirror.events, repairs.record
        for damage in repairs.done:
            events(DamageRepaired(damage.key))
        for damage, reason in repairs.left:
            events(DamageLeft(damage.key, damage.what, reason))
        if record is not findings.record:
            self._put(record)
        if repairs.left and record.name not in self._unfinished:
            self._batch.deferred.append(left_to_do(record, repairs.left, findings.at))

    def _put(self, record: ProjectRecord) -> None:
        """Put a record in the place of the old one; what is known to be left to do stays."""
        self._batch.records.append(record)
        if (left := self._unfinished.get(record.name)) is not None:
            self._batch.deferred.append(left)

    async def _commit(self) -> None:
        batch, self._batch = self._batch, CatalogueUpdate()
        if batch:
            await self._mirror.storage.flush()
            await self._mirror.catalogue.commit(batch)
        self._committed_at = self._mirror.clock.monotonic()

    async def _mark(self, markers: dict[Marker, str]) -> None:
        if self._orders.repair:
            self._batch.markers.update(markers)
            await self._commit()


def _is_among(paths: Collection[str]) -> Callable[[FileRecord], bool]:
    return lambda found: found.file.path in paths


def _keys(file: FileStat) -> Iterator[StorageKey]:
    """Yield where a file lies, and its core metadata if that is advertised."""
    key = layout.StorageKey(layout.WEB + file.path)
    if not layout.is_key(key):
        return
    yield key
    if file.sidecar:
        yield layout.StorageKey(key + layout.SIDECAR_SUFFIX)


def _is_as_recorded(file: FileStat, there: Iterator[StoredObject | None]) -> bool:
    """Whether the next objects are the file and its core metadata, as they were recorded."""
    if not layout.is_key(file.path):
        return False
    found = next(there)
    has_sidecar = not file.sidecar or next(there) is not None
    return (
        found is not None
        and file.size in {None, found.size}
        and found.modified == file.modified
        and has_sidecar
    )


def _with_times(record: ProjectRecord, times: Mapping[str, int]) -> ProjectRecord:
    files = tuple(
        replace(found, modified=times.get(found.file.path, found.modified))
        for found in record.files
    )
    return replace(record, files=files)
