"""What a run would do, counted from the events of a dry one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bandersnatch.catalogue.records import Standing
from bandersnatch.events import (
    Event,
    FileDownloaded,
    FileRemoved,
    FileRestored,
    FilesFiltered,
    ProjectExcluded,
    ProjectRemoved,
)
from bandersnatch.layout import SIDECAR_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable

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
class RuleYield:
    """What one filter keeps out: whole projects, and files with their bytes."""

    projects: int = 0
    kept_out: Amount = field(default_factory=Amount)


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
    rules: dict[str, RuleYield] = field(default_factory=dict)
    size_before: int = 0
    size_after: int = 0
    projects_after: int = 0
    largest: list[tuple[ProjectName, int]] = field(default_factory=list)
    free: int | None = None
    files: list[tuple[StorageKey, int]] | None = None

    def __call__(self, event: Event) -> None:
        """Count an event."""
        count = _COUNTED.get(type(event))
        if count is not None:
            count(self, event)

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

    def as_dict(self) -> dict[str, Any]:
        """Return the forecast with nothing but JSON's own types; "files" only if asked for."""
        whole = self.to_download
        listed = sorted(self.files or ())
        told = {"files": [{"path": path, "bytes": size} for path, size in listed]}
        return {
            **(told if self.files is not None else {}),
            "download": {
                "projects": len(self.downloads),
                "files": whole.files,
                "bytes": whole.size,
                "core_metadata_files": self.sidecars,
                "per_project": {
                    name: {"files": each.files, "bytes": each.size}
                    for name, each in sorted(self.downloads.items())
                },
            },
            "restore": {"files": self.restored.files, "bytes": self.restored.size},
            "remove": {
                "projects": self.projects_removed,
                "files": self.removed.files,
                "bytes": self.removed.size,
            },
            "rules": {
                name: {
                    "projects": each.projects,
                    "files": each.kept_out.files,
                    "bytes": each.kept_out.size,
                }
                for name, each in sorted(self.rules.items())
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


def _downloaded(forecast: Estimate, event: FileDownloaded) -> None:
    if event.key.endswith(SIDECAR_SUFFIX):
        forecast.sidecars += 1
    else:
        forecast.downloads.setdefault(event.name, Amount()).add(event.size)
        if forecast.files is not None:
            forecast.files.append((event.key, event.size))


def _filtered(forecast: Estimate, event: FilesFiltered) -> None:
    forecast.rules.setdefault(event.by, RuleYield()).kept_out.add(event.size, event.count)


def _excluded(forecast: Estimate, event: ProjectExcluded) -> None:
    forecast.rules.setdefault(event.by, RuleYield()).projects += 1


def _restored(forecast: Estimate, event: FileRestored) -> None:
    if not event.key.endswith(SIDECAR_SUFFIX):
        forecast.restored.add(event.size)


def _removed(forecast: Estimate, event: FileRemoved) -> None:
    if not event.key.endswith(SIDECAR_SUFFIX):
        forecast.removed.add(event.size)


def _project_removed(forecast: Estimate, event: ProjectRemoved) -> None:
    forecast.projects_removed.append(event.name)


_COUNTED: dict[type, Callable[[Estimate, Any], None]] = {
    FileDownloaded: _downloaded,
    FileRemoved: _removed,
    FileRestored: _restored,
    FilesFiltered: _filtered,
    ProjectExcluded: _excluded,
    ProjectRemoved: _project_removed,
}
