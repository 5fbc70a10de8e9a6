"""The estimate of a run, as numbers and as a table."""

from __future__ import annotations

import pytest

from bandersnatch.catalogue.records import CatalogueUpdate
from bandersnatch.cli.commands.plan import table
from bandersnatch.events import (
    FileDownloaded,
    FileRemoved,
    FileRestored,
    FilesFiltered,
    ProjectExcluded,
    ProjectRemoved,
    StepStarted,
)
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.queries.estimate import Estimate
from bandersnatch.model.names import ProjectName
from bandersnatch.storage.port import StorageSpace
from tests.support.memory_catalogue import MemoryCatalogue
from tests.support.memory_storage import MemoryStorage
from tests.support.records import make_record

A, B = ProjectName("a"), ProjectName("b")
FILE, SIDE = StorageKey("web/packages/a.whl"), StorageKey("web/packages/a.whl.metadata")


def sample() -> Estimate:
    """Return an estimate that has counted events of every kind."""
    made = Estimate()
    for event in (
        StepStarted("something"),
        FileDownloaded(A, FILE, 1000),
        FileDownloaded(A, FILE, 500),
        FileDownloaded(A, SIDE, 0),
        FileDownloaded(B, FILE, 20),
        FileRestored(B, FILE, 7),
        FileRestored(B, SIDE, 0),
        FileRemoved(B, FILE, 9),
        FileRemoved(B, SIDE, 0),
        ProjectRemoved(B),
        FilesFiltered(A, "exclude_platform", 3, 300),
        FilesFiltered(B, "exclude_platform", 1, 50),
        FilesFiltered(B, "project_status", 2, 60),
        ProjectExcluded(B, "project_status"),
    ):
        made(event)
    return made


def test_release_files_and_core_metadata_are_counted_separately() -> None:
    estimate = sample().as_dict()
    assert estimate["download"] == {
        "projects": 2,
        "files": 3,
        "bytes": 1520,
        "core_metadata_files": 1,
        "per_project": {"a": {"files": 2, "bytes": 1500}, "b": {"files": 1, "bytes": 20}},
    }
    assert estimate["restore"] == {"files": 1, "bytes": 7}
    assert estimate["remove"] == {"projects": ["b"], "files": 1, "bytes": 9}


def test_what_each_filter_drops_is_counted() -> None:
    assert sample().as_dict()["filters"] == {
        "exclude_platform": {"projects": 0, "files": 4, "bytes": 350},
        "project_status": {"projects": 1, "files": 2, "bytes": 60},
    }


async def test_the_sizes_before_and_after_are_estimated() -> None:
    catalogue, made = MemoryCatalogue(), Estimate()
    await catalogue.commit(CatalogueUpdate(records=[make_record("a", "1.zip")]))
    await made.before(catalogue)
    records = [make_record(f"p{n:02}", *[f"{m}.zip" for m in range(n)]) for n in range(25)]
    await catalogue.commit(CatalogueUpdate(records=records))
    await made.after(catalogue, MemoryStorage())
    assert made.size_before == len("a-1.zip")
    assert made.size_after == len("a-1.zip") + sum(n * len("p00-0.zip") for n in range(11)) + sum(
        10 * len("p00-0.zip") + (n - 10) * len("p00-10.zip") for n in range(11, 25)
    )
    assert made.projects_after == 26
    assert [name for name, _ in made.largest] == [f"p{n:02}" for n in range(24, 4, -1)]
    assert made.fits is None, "a storage in memory does not tell its room"


class BusyDisk(MemoryStorage):
    """A disk that others write to: each answer has less free space."""

    def __init__(self, *places: str) -> None:
        super().__init__()
        self._left = [StorageSpace(StorageKey(place), 9 - n) for n, place in enumerate(places)]

    async def free_space(self, prefix: StorageKey, /) -> StorageSpace:  # type: ignore[override]
        del prefix
        return self._left.pop(0)


@pytest.mark.parametrize(
    ("places", "lines"),
    [(("", ""), ["the disk"]), (("", "removed/"), ["the disk", "the disk of removed/"])],
)
async def test_a_disk_is_named_once(places: tuple[str, ...], lines: list[str]) -> None:
    made = Estimate()
    await made.after(MemoryCatalogue(), BusyDisk(*places))

    found = [line for line in table(made, None).splitlines() if line.startswith("Free on ")]
    assert [line.removeprefix("Free on ").partition(":")[0] for line in found] == lines


@pytest.mark.parametrize(
    ("free", "fits", "verdict"), [(1520, True, "enough"), (1519, False, "NOT ENOUGH")]
)
def test_whether_the_downloads_fit_is_estimated(*, free: int, fits: bool, verdict: str) -> None:
    made = sample()
    made.space = StorageSpace(StorageKey(""), free)
    assert made.fits is fits
    assert f"Free on the disk: 1.52 KB: {verdict}" in table(made, None)


def test_the_table_has_the_whole_estimate() -> None:
    made = sample()
    made.largest, made.size_before, made.size_after, made.projects_after = (
        [(A, 9000), (B, 1)],
        5,
        9001,
        2,
    )
    assert table(made, 1000.0) == (
        "To download: 3 files of 2 projects, 1.52 KB\n"
        "  and 1 core metadata file of unknown size\n"
        "Time for that: about 0:00:02 at 1 KB/s\n"
        "To restore from removed/: 1 file\n"
        "To move to removed/: 1 file, 9 bytes, with 1 whole project\n"
        "Mirror afterwards: 2 projects, 9 KB (now 5 bytes)\n"
        "\n"
        "dropped by        projects  files       size\n"
        "exclude_platform         0      4  350 bytes\n"
        "project_status           1      2   60 bytes\n"
        "\n"
        "largest projects  new files  to download  size then\n"
        "a                         2       1.5 KB       9 KB\n"
        "b                         1     20 bytes     1 byte"
    )


def test_each_file_is_listed_on_request() -> None:
    made = Estimate(files=[])
    for size, name in ((5, "b"), (1234, "a")):
        made(FileDownloaded(A, StorageKey(f"web/packages/{name}.whl"), size))
    made(FileDownloaded(A, SIDE, 0))
    assert made.as_dict()["files"] == [
        {"path": "web/packages/a.whl", "bytes": 1234},
        {"path": "web/packages/b.whl", "bytes": 5},
    ]
    assert table(made, None).endswith(
        "\n\nfiles to download   bytes\nweb/packages/a.whl  1,234\nweb/packages/b.whl      5"
    )
    assert "files" not in sample().as_dict()


def test_the_table_of_an_empty_estimate_is_short() -> None:
    assert table(Estimate(), None) == (
        "To download: 0 files of 0 projects, 0 bytes\n"
        "Mirror afterwards: 0 projects, 0 bytes (now 0 bytes)"
    )
