"""Scrubs the mirror: examines every project, repairs damage, and records what is intact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.catalogue import records
from bandersnatch.concurrency import bounded_map
from bandersnatch.errors import LostProcesses
from bandersnatch.events import (
    DamageFound,
    DamageRepaired,
    ProjectFailed,
    ProjectVerified,
    RepairFailed,
)
from bandersnatch.layout import PACKAGES, SIMPLE
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.readoption import deferred_again
from bandersnatch.mirror.verify.findings import FilesByAge, FilesByPath
from bandersnatch.mirror.verify.quick import QuickCheck
from bandersnatch.mirror.verify.repair import Repairer, Repairs, defer_damaged
from bandersnatch.model.names import ProjectName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.verify.budget import Budget, VerifyOptions
    from bandersnatch.mirror.verify.findings import Damage, FileSelection, Findings

DRY_RUN = "a dry run repairs nothing"

_END_OF_TIME = 2**62
"""Seconds since 1970; later than any verification."""

_CLOCK_TOLERANCE = 86_400
"""Seconds by which two clocks may differ."""

_LAST_NAME = ProjectName("~")
"""Sorts after every project name."""

_COMMIT_INTERVAL = 10.0
"""Seconds between two commits; a kill loses no more than this."""

_QUICK_BATCH = 500


class Scrub:
    """Examines projects, those first whose content was read longest ago."""

    def __init__(
        self,
        mirror: Mirror,
        examine: Callable[[records.ProjectRecord, FileSelection], Awaitable[Findings]],
        repairer: Repairer,
        budget: Budget,
        options: VerifyOptions,
        deferred: Mapping[ProjectName, records.Deferred],
        *,
        concurrency: int,
    ) -> None:
        """Assign the collaborators; ``deferred`` are the catalogue's deferrals.

        ``concurrency`` is how many projects are examined at a time.
        ``unproven`` are the damaged pages that only the index can restore; their projects are
        deferred.
        """
        self._mirror = mirror
        self._examine = examine
        self._repairer = repairer
        self._budget = budget
        self._options = options
        self._deferred = deferred
        self._concurrency = concurrency
        self.unproven: dict[ProjectName, list[Damage]] = {}
        self._cycle_began = records.NEVER
        self._batch = records.CatalogueUpdate()
        self._committed_at = mirror.clock.monotonic()

    # ------------------------------------------------------------ reading content

    async def run(self, now: int) -> None:
        """Read all content that was last read before this cycle began, the oldest first.

        Without ``max_age`` a cycle continues over as many runs as it takes. A time more than a
        day after ``now``, in seconds since 1970, was recorded by a wrong clock and comes first.
        Whatever ends the run, its results so far are committed.
        """
        catalogue, max_age = self._mirror.catalogue, self._options.max_age
        if max_age is not None:
            began = now - max_age
        else:
            began = min(now, int(await catalogue.marker(records.Marker.VERIFY_CYCLE) or now))
            await self._mark({records.Marker.VERIFY_CYCLE: str(began)})
        self._cycle_began = began

        selection = FilesByAge(began, now + _CLOCK_TOLERANCE)

        async def verify(entry: records.VerifyEntry) -> None:
            await self._verify(entry.name, selection)

        future = records.VerifyEntry(_LAST_NAME, now + _CLOCK_TOLERANCE, 0, 0)
        ranges: list[tuple[records.VerifyEntry | None, int]] = [
            (future, _END_OF_TIME),
            (None, began + 1),
        ]
        try:
            for after, before in ranges:
                while not self._budget.is_spent and (
                    batch := await catalogue.verify_queue(before, after)
                ):
                    after = batch[-1]  # noqa: PLW2901 - the next batch begins there
                    await bounded_map(verify, batch, most=self._concurrency)
        finally:
            await self._commit()
        if max_age is None and not self._budget.is_spent:
            await self._mark({records.Marker.VERIFY_CYCLE: "", records.Marker.VERIFIED: str(began)})

    async def _verify(self, name: ProjectName, selection: FileSelection) -> None:
        record = await self._mirror.catalogue.project(name)
        if record is None or self._budget.is_spent:
            return
        try:
            findings = await self._examine(record, selection)
        except LostProcesses as error:
            self._mirror.events(ProjectFailed(name, error, will_retry=True))
            return
        await self._settle(record, findings)
        self._mirror.events(ProjectVerified(name, len(record.files), findings.size))

    # ------------------------------------------------------------ comparing sizes and times

    async def run_quickly(self) -> None:
        """Compare sizes and times in the order of names, and read only the files that differ."""
        mirror, catalogue = self._mirror, self._mirror.catalogue
        after = await catalogue.marker(records.Marker.QUICK_VERIFY)
        is_whole = not after
        until = int(await catalogue.marker(records.Marker.QUICK_VERIFIED) or records.NEVER)
        async with mirror.storage.listing(SIMPLE, PACKAGES) as listing:
            pages = mirror.settings.pages.layout
            check = QuickCheck(mirror.storage, listing, pages, until=until)
            try:
                while some := await catalogue.list_entries(after):
                    names = [each.name for each in some]
                    for start in range(0, len(names), _QUICK_BATCH):
                        await self._compare(check, names[start : start + _QUICK_BATCH])
                    after = names[-1]
                    await self._mark({records.Marker.QUICK_VERIFY: after})
            finally:
                await self._commit()
        markers = {records.Marker.QUICK_VERIFY: ""}
        if is_whole and listing.newest is not None and not self._budget.is_spent:
            markers[records.Marker.QUICK_VERIFIED] = str(listing.newest)
        await self._mark(markers)

    async def _compare(self, check: QuickCheck, names: Collection[ProjectName]) -> None:
        """Verify the projects of which a file or page is not as recorded."""
        mirror = self._mirror
        recorded = await mirror.catalogue.file_stats(names)
        for name, found in (await check.compare(names, recorded)).items():
            # A page without a stat may still be a link that can be read.
            lacks_page = found.lacks_page and not await Publisher.of(mirror).has_pages(name)
            if found.paths or lacks_page:
                await self._verify(name, FilesByPath(frozenset(found.paths)))
            else:
                mirror.events(ProjectVerified(name, len(recorded.get(name, ())), 0))

    # ------------------------------------------------------------ results

    async def _settle(self, record: records.ProjectRecord, findings: Findings) -> None:
        """Report and repair the damage, and record what is intact."""
        events = self._mirror.events
        damage = list(findings.damage)
        for each in damage:
            events(DamageFound(each.key, each.what))
        if not self._options.repair:
            for each in damage:
                events(RepairFailed(each.key, each.what, DRY_RUN))
            return
        record = self._record_intact(record, findings)
        if damage:
            repairs = await self._repairer.repair(record, findings)
            self._record_repairs(record, findings, repairs)
        waited = self._mirror.clock.monotonic() - self._committed_at
        if damage or waited >= _COMMIT_INTERVAL:
            await self._commit()

    def _record_intact(
        self, record: records.ProjectRecord, findings: Findings
    ) -> records.ProjectRecord:
        """Record which files are intact; return the record, with new times of touched files."""
        intact = findings.intact
        at = max(findings.at, self._cycle_began + 1)  # or the project would be queued again
        recorded = {found.file.path: found.modified for found in record.files}
        if any(modified != recorded[path] for path, modified in intact.items()):
            record = _with_times(record, intact)
            self._update_record(record)
        if len(intact) == len(recorded) and not any(findings.damage):
            self._batch.verified.append(records.Verified(record.name, at))
        elif intact:
            self._batch.verified.append(records.Verified(record.name, at, frozenset(intact)))
        return record

    def _record_repairs(
        self, examined: records.ProjectRecord, findings: Findings, repairs: Repairs
    ) -> None:
        """Report and record the repairs; defer a project that is still damaged."""
        events, record = self._mirror.events, repairs.record
        for damage in repairs.repaired:
            events(DamageRepaired(damage.key))
        for damage, reason in repairs.failed:
            events(RepairFailed(damage.key, damage.what, reason))
        if record is not examined:
            self._update_record(record)
        if repairs.unproven:
            self.unproven[record.name] = repairs.unproven
            earlier = self._deferred.get(record.name)
            again = deferred_again(record.name, earlier, record.display, findings.at)
            self._batch.deferred.append(again)
        elif repairs.failed and record.name not in self._deferred:
            self._batch.deferred.append(defer_damaged(record, repairs.failed, findings.at))

    def _update_record(self, record: records.ProjectRecord) -> None:
        """Replace a record, and keep the project's deferral, which that would resolve."""
        self._batch.records.append(record)
        if (deferred := self._deferred.get(record.name)) is not None:
            self._batch.deferred.append(deferred)

    async def _commit(self) -> None:
        batch, self._batch = self._batch, records.CatalogueUpdate()
        if batch:
            await self._mirror.storage.flush()
            await self._mirror.catalogue.commit(batch)
        self._committed_at = self._mirror.clock.monotonic()

    async def _mark(self, markers: dict[records.Marker, str]) -> None:
        if self._options.repair:
            self._batch.markers.update(markers)
            await self._commit()


def _with_times(record: records.ProjectRecord, times: Mapping[str, int]) -> records.ProjectRecord:
    files = tuple(
        structs.replace(found, modified=times.get(found.file.path, found.modified))
        for found in record.files
    )
    return structs.replace(record, files=files)
