"""Estimates what a run would do, from the events of a dry run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from bandersnatch import events
from bandersnatch.layout import PACKAGES, SIDECAR_SUFFIX, TRASH, StorageKey
from bandersnatch.mirror.queries.closure import load_graph

if TYPE_CHECKING:
    from bandersnatch.catalogue.port import Catalogue
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.queries.closure import Branch
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import FileStore, StorageSpace

LARGEST = 20
"""The number of largest projects that are reported."""


@dataclass(slots=True)
class Amount:
    """A number of files and their size in bytes, as far as the index knows sizes."""

    files: int = 0
    size: int = 0

    def add(self, size: int, files: int = 1) -> None:
        """Add files with a size in bytes."""
        self.files += files
        self.size += size


@dataclass(slots=True)
class FilterEffect:
    """What one filter drops: whole projects, and files with their bytes."""

    projects: int = 0
    dropped: Amount = field(default_factory=Amount)


@dataclass(slots=True)
class Estimate:
    """The event sink of a dry run, which counts what the run would do. Sizes are in bytes.

    Files are release files. ``downloads`` are those of each project. ``sidecars`` counts the core
    metadata to download, whose sizes the index does not publish. ``size_before`` and
    ``size_after`` are the sizes of all served files, ``largest`` the projects with the largest
    size afterwards. ``space`` is the free space for release files, ``trash_space`` that for trash
    if it is on another disk; None if they are unknown. ``files`` are the files to download with
    their sizes, in order; None if they are not collected. ``branches`` are the costliest branches
    of the dependencies that are followed afterwards, None if none are followed.
    """

    downloads: dict[ProjectName, Amount] = field(default_factory=dict)
    sidecars: int = 0
    restored: Amount = field(default_factory=Amount)
    removed: Amount = field(default_factory=Amount)
    projects_removed: list[ProjectName] = field(default_factory=list)
    filters: dict[str, FilterEffect] = field(default_factory=dict)
    size_before: int = 0
    size_after: int = 0
    projects_after: int = 0
    largest: list[tuple[ProjectName, int]] = field(default_factory=list)
    space: StorageSpace | None = None
    trash_space: StorageSpace | None = None
    files: list[tuple[StorageKey, int]] | None = None
    branches: list[Branch] | None = None

    def __call__(self, event: events.Event) -> None:
        """Count an event."""
        if isinstance(event, events.FileEvent):
            self._count_files(event)
        elif isinstance(event, events.ProjectEvent):
            self._count_project(event)
        elif not isinstance(event, events.RunEvent | events.VerifyEvent):
            assert_never(event)

    def _count_files(self, event: events.FileEvent) -> None:
        match event:
            case events.FileDownloaded(name=name, key=key, size=size):
                self._count_download(name, key, size)
            case events.FileRestored(key=key, size=size):
                if not key.endswith(SIDECAR_SUFFIX):
                    self.restored.add(size)
            case events.FileRemoved(key=key, size=size):
                if not key.endswith(SIDECAR_SUFFIX):
                    self.removed.add(size)
            case events.FilesFiltered(by=by, count=count, size=size):
                self.filters.setdefault(by, FilterEffect()).dropped.add(size, count)
            case (
                events.FileQueued()
                | events.FilesRejected()
                | events.FilesIgnored()
                | events.CoreMetadataMissing()
                | events.CoreMetadataSkipped()
                | events.DownloadMirrorFailed()
                | events.DownloadMirrorDropped()
            ):
                pass
            case events.PageWritten() | events.PageRemoved():
                pass
            case _:
                assert_never(event)

    def _count_download(self, name: ProjectName, key: StorageKey, size: int) -> None:
        if key.endswith(SIDECAR_SUFFIX):
            self.sidecars += 1
            return
        self.downloads.setdefault(name, Amount()).add(size)
        if self.files is not None:
            self.files.append((key, size))

    def _count_project(self, event: events.ProjectEvent) -> None:
        match event:
            case events.ProjectExcluded(by=by):
                self.filters.setdefault(by, FilterEffect()).projects += 1
            case events.ProjectRemoved(name=name):
                self.projects_removed.append(name)
            case (
                events.ProjectSynced()
                | events.ProjectUnchanged()
                | events.ProjectAbsent()
                | events.ProjectRestored()
            ):
                pass
            case events.ProjectFailed() | events.ProjectBlocked() | events.ProjectPostponed():
                pass
            case _:
                assert_never(event)

    async def before(self, catalogue: Catalogue) -> None:
        """Record the size of the mirror before the run."""
        summaries = await catalogue.summaries(None)
        self.size_before = sum(each.size for each in summaries.values())

    async def after(self, catalogue: Catalogue, files: FileStore) -> None:
        """Record the contents of the mirror after the dry run, and the free space."""
        summaries = await catalogue.summaries(None)
        sizes = {name: each.size for name, each in summaries.items() if each.is_published}
        self.projects_after = len(sizes)
        self.size_after = sum(sizes.values())
        ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
        self.largest = ordered[:LARGEST]
        self.space, trash = await files.free_space(PACKAGES), await files.free_space(TRASH)
        # On a busy disk the two answers about it differ.
        is_same = not trash or not self.space or trash.place == self.space.place
        self.trash_space = None if is_same else trash

    async def after_closure(self, mirror: Mirror) -> None:
        """Record what the dependencies cost after the dry run, if any are followed."""
        graph = await load_graph(mirror)
        self.branches = None if graph is None else graph.branches()

    @property
    def to_download(self) -> Amount:
        """All release files to download."""
        whole = Amount()
        for each in self.downloads.values():
            whole.add(each.size, each.files)
        return whole

    @property
    def fits(self) -> bool | None:
        """Whether the storage has space for the downloads; None if that is unknown."""
        return None if self.space is None else self.to_download.size <= self.space.free

    @property
    def trash_fits(self) -> bool | None:
        """Whether the trash has space for what is removed; None if it is on the same disk."""
        return None if self.trash_space is None else self.removed.size <= self.trash_space.free

    def seconds(self, bandwidth: float) -> float:
        """Return how long the downloads take, ``bandwidth`` being in bytes per second."""
        return self.to_download.size / bandwidth

    def as_dict(self, bandwidth: float | None = None) -> dict[str, object]:
        """Return the estimate as the object that ``plan --json`` prints.

        It has "files" only if they are collected, and the time of the downloads only with a
        ``bandwidth``, in bytes per second.
        """
        whole = self.to_download
        listed = [{"path": path, "bytes": size} for path, size in sorted(self.files or ())]
        return {
            **({} if self.files is None else {"files": listed}),
            "download": {
                "projects": len(self.downloads),
                "files": whole.files,
                "bytes": whole.size,
                "core_metadata_files": self.sidecars,
                "per_project": {
                    name: {"files": each.files, "bytes": each.size}
                    for name, each in sorted(self.downloads.items())
                },
                **({} if bandwidth is None else {"seconds": round(self.seconds(bandwidth))}),
            },
            "restore": {"files": self.restored.files, "bytes": self.restored.size},
            "remove": {
                "projects": self.projects_removed,
                "files": self.removed.files,
                "bytes": self.removed.size,
            },
            "filters": {
                name: {
                    "projects": each.projects,
                    "files": each.dropped.files,
                    "bytes": each.dropped.size,
                }
                for name, each in sorted(self.filters.items())
            },
            "disk": self._disk(),
            **({} if self.branches is None else {"branches": self._branches(self.branches)}),
        }

    def _branches(self, branches: list[Branch]) -> list[dict[str, object]]:
        return [
            {"name": each.name, "projects": each.projects, "bytes": each.size, "chain": each.chain}
            for each in branches
        ]

    def _disk(self) -> dict[str, object]:
        return {
            "projects_after": self.projects_after,
            "bytes_before": self.size_before,
            "bytes_after": self.size_after,
            "bytes_free": self.space.free if self.space is not None else None,
            "fits": self.fits,
            "trash_bytes_free": self.trash_space.free if self.trash_space is not None else None,
            "trash_fits": self.trash_fits,
            "largest": [{"name": name, "bytes": size} for name, size in self.largest],
        }
