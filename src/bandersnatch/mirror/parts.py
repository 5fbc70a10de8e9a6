"""A mirror and the index it follows: everything that a command works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.mirror.files import FileSync
from bandersnatch.mirror.page import PageReader
from bandersnatch.mirror.project import ProjectSync
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.remove import Removals
from bandersnatch.mirror.terms import PageTerms

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.config.settings import Settings
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.mirror.outcome import Visit
    from bandersnatch.ports import Clock, EventSink, MirrorCatalogue, MirrorStorage, PackageIndex


@dataclass(frozen=True, slots=True)
class Mirror:
    """What the composition root hands to a command; each port is open and ready."""

    index: PackageIndex
    storage: MirrorStorage
    catalogue: MirrorCatalogue
    clock: Clock
    events: EventSink
    settings: Settings
    filters: FilterChain

    @property
    def terms(self) -> PageTerms:
        """What says whether a project's page was made under the options and filters of now."""
        return PageTerms(self.settings, self.filters)

    def publisher(self) -> Publisher:
        """Return what writes this mirror's pages."""
        own_urls = self.settings.files.release_files
        return Publisher(
            self.storage, self.settings.pages, self.clock, self.events, own_urls=own_urls
        )

    def removals(self, now: datetime) -> Removals:
        """Return what takes things out of this mirror."""
        return Removals(self.storage, self.events, now=int(now.timestamp()))

    def file_sync(self) -> FileSync:
        """Return what has this mirror's release files."""
        return FileSync(
            self.index,
            self.storage,
            self.settings.files,
            self.settings.pages.digest_name,
            self.clock,
            self.events,
        )

    def project_sync(self, visit: Visit, now: datetime) -> ProjectSync:
        """Return what brings one project after the other up to date."""
        settings = self.settings
        return ProjectSync(
            self.catalogue,
            PageReader(self.index, settings, self.events, now=now),
            self.filters,
            self.file_sync(),
            self.publisher(),
            self.removals(now),
            settings=settings,
            visit=visit,
        )
