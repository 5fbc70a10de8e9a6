"""What a run would do, counted from the events of a dry one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from bandersnatch.catalogue.records import Standing
from bandersnatch.events import (
    CoreMetadataMissing,
    Event,
    FileDownloaded,
    FileEvent,
    FileQueued,
    FileRemoved,
    FileRestored,
    FilesFiltered,
    FilesRejected,
    PageRemoved,
    PageWritten,
    ProjectAbsent,
    ProjectBlocked,
    ProjectEvent,
    ProjectExcluded,
    ProjectFailed,
    ProjectPostponed,
    ProjectRemoved,
    ProjectRestored,
    ProjectSynced,
    ProjectUnchanged,
    RunEvent,
    VerifyEvent,
)
from bandersnatch.layout import SIDECAR_SUFFIX

if TYPE_CHECKING:
    from bandersnatch.catalogue.port import Catalogue
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import FileStore

LARGEST = 20
"""Projects that are told of by name."""


@dataclass(slots=True)
class Amount:
    """Files, and their bytes as far as the index tells them."""

    files: int = 0
    size: int = 0

    def add(self, size: int, files: int = 1) -> None:
        """Count some more."""
        self.files += files
        self.size += size


@dataclass(slots=True)
class FilterEffect:
    """What one filter drops: whole projects, and files with their bytes."""

    projects: int = 0
    dropped: Amount = field(default_factory=Amount)


@dataclass(slots=True)
class Estimate:
    """Takes a dry run's events; sizes in bytes.

    Files are release files. ``downloads`` are those of each project. ``sidecars`` counts core
    metadata to download, whose sizes no index tells. ``size_before`` and ``size_after`` are those
    of all files that are served; ``largest`` are the projects with the most of it afterwards.
    ``free`` is the room on the disk, None if that is not known. ``files`` are the files to
    download with their sizes, in the order in which they would be, None if nobody asked for them.
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
    free: int | None = None
    files: list[tuple[StorageKey, int]] | None = None

    def __call__(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, FileEvent):
            self._count_files(event)
        elif isinstance(event, ProjectEvent):
            self._count_project(event)
        elif not isinstance(event, RunEvent | VerifyEvent):
            assert_never(event)

    def _count_files(self, event: FileEvent) -> None:
        match event:
            case FileDownloaded(name=name, key=key, size=size):
                self._count_download(name, key, size)
            case FileRestored(key=key, size=size):
                if not key.endswith(SIDECAR_SUFFIX):
                    self.restored.add(size)
            case FileRemoved(key=key, size=size):
                if not key.endswith(SIDECAR_SUFFIX):
                    self.removed.add(size)
            case FilesFiltered(by=by, count=count, size=size):
                self.filters.setdefault(by, FilterEffect()).dropped.add(size, count)
            case FileQueued() | FilesRejected() | CoreMetadataMissing():
                pass
            case PageWritten() | PageRemoved():
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

    def _count_project(self, event: ProjectEvent) -> None:
        match event:
            case ProjectExcluded(by=by):
                self.filters.setdefault(by, FilterEffect()).projects += 1
            case ProjectRemoved(name=name):
                self.projects_removed.append(name)
            case ProjectSynced() | ProjectUnchanged() | ProjectAbsent() | ProjectRestored():
                pass
            case ProjectFailed() | ProjectBlocked() | ProjectPostponed():
                pass
            case _:
                assert_never(event)

    async def before(self, catalogue: Catalogue) -> None:
        """Note what is here before the run."""
        had = await catalogue.summaries(None)
        self.size_before = sum(each.size for each in had.values())

    async def after(self, catalogue: Catalogue, files: FileStore) -> None:
        """Note what would be here after the run."""
        had = await catalogue.summaries(None)
        here = {n: each.size for n, each in had.items() if each.standing is not Standing.EXCLUDED}
        self.projects_after = len(here)
        self.size_after = sum(here.values())
        ordered = sorted(here.items(), key=lambda item: (-item[1], item[0]))
        self.largest = ordered[:LARGEST]
        self.free = await files.free_space()

    @property
    def to_download(self) -> Amount:
        """All release files that would be downloaded."""
        whole = Amount()
        for each in self.downloads.values():
            whole.add(each.size, each.files)
        return whole

    @property
    def fits(self) -> bool | None:
        """Whether there is room for it, None if that is not known."""
        return None if self.free is None else self.to_download.size <= self.free

    def seconds(self, bandwidth: float) -> float:
        """Return how long the downloads take at so many bytes a second."""
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
            "disk": {
                "projects_after": self.projects_after,
                "bytes_before": self.size_before,
                "bytes_after": self.size_after,
                "bytes_free": self.free,
                "fits": self.fits,
                "largest": [{"name": name, "bytes": size} for name, size in self.largest],
            },
        }
