"""The diff file: its path, and its contents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from bandersnatch.cli.changelist import diff_path, open_diff_file
from bandersnatch.config.schema import DiffSettings, Settings, StorageSettings
from bandersnatch.errors import StorageError
from bandersnatch.events import (
    FileDownloaded,
    FileQueued,
    FileRemoved,
    FileRestored,
    PageRemoved,
    PageWritten,
    ProjectRemoved,
    ProjectSynced,
    StepStarted,
)
from bandersnatch.layout import StorageKey
from bandersnatch.model.names import project_name
from tests.support.memory_storage import MemoryStorage
from tests.support.system import needs_posix

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, 12, 0, 0, 999_999, tzinfo=UTC)
EPOCH = 1_795_262_400
FOO = project_name("foo")


def key(name: str) -> StorageKey:
    """Return a key in the served tree."""
    return StorageKey(f"web/{name}")


def settings(path: Path | str, *, epoch: bool = False, mirror: str = "/srv/pypi") -> Settings:
    """Return settings with a diff file."""
    return Settings(StorageSettings(mirror), diff=DiffSettings(str(path), append_epoch=epoch))


# ---------------------------------------------------------------- where


def test_the_diff_file_is_at_the_path_of_the_option(tmp_path: Path) -> None:
    assert diff_path(settings(tmp_path / "list"), NOW) == tmp_path / "list"


def test_the_diff_file_in_a_directory_has_the_default_name(tmp_path: Path) -> None:
    assert diff_path(settings(tmp_path), NOW) == tmp_path / "mirrored-files"


def test_the_epoch_is_appended_to_the_name_in_whole_seconds(tmp_path: Path) -> None:
    path = diff_path(settings(tmp_path / "list", epoch=True), NOW)

    assert path == tmp_path / f"list-{EPOCH}"


@pytest.mark.parametrize("slash", ["", "/"])
def test_with_the_epoch_the_diff_file_is_beside_the_directory(tmp_path: Path, slash: str) -> None:
    (tmp_path / "diffs").mkdir()

    path = diff_path(settings(f"{tmp_path}/diffs{slash}", epoch=True), NOW)

    assert path == tmp_path / f"diffs-{EPOCH}"


def test_the_diff_file_is_in_a_directory_with_the_epoch_in_its_name(tmp_path: Path) -> None:
    (tmp_path / f"diffs-{EPOCH}").mkdir()

    path = diff_path(settings(tmp_path / "diffs", epoch=True), NOW)

    assert path == tmp_path / f"diffs-{EPOCH}" / "mirrored-files"


def test_a_relative_path_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert diff_path(settings("some/list"), NOW) == tmp_path / "some" / "list"


# ---------------------------------------------------------------- what


async def test_changed_and_deleted_paths_are_in_two_lists(tmp_path: Path) -> None:
    path = tmp_path / "new" / "directory" / "list"
    async with open_diff_file(settings(path), NOW, MemoryStorage()) as sink:
        for event in (
            StepStarted("reading"),
            FileQueued(key("packages/a"), 1),
            FileDownloaded(FOO, key("packages/a"), 1),
            FileRestored(FOO, key("packages/b"), 1),
            FileRemoved(FOO, key("packages/c")),
            PageWritten(key("simple/foo/index.html")),
            ProjectSynced(FOO, None),
            PageRemoved(key("simple/bar/index.html")),
            ProjectRemoved(FOO),
        ):
            sink(event)

    assert path.read_text() == (
        "/srv/pypi/web/packages/a\n/srv/pypi/web/packages/b\n/srv/pypi/web/simple/foo/index.html"
    )
    assert path.with_name("list.deleted").read_text() == (
        "/srv/pypi/web/packages/c\n/srv/pypi/web/simple/bar/index.html"
    )


async def test_the_copy_of_a_legacy_document_is_not_listed(tmp_path: Path) -> None:
    """If both were deleted, both are listed, so that whoever deletes by the list keeps no copy."""
    both = [key("json/foo"), key("pypi/foo/json")]
    async with open_diff_file(settings(tmp_path / "list"), NOW, MemoryStorage()) as sink:
        for each in both:
            sink(PageWritten(each))
        for each in both:
            sink(PageRemoved(each))

    assert (tmp_path / "list").read_text() == "/srv/pypi/web/json/foo"
    deleted = (tmp_path / "list.deleted").read_text().splitlines()
    assert deleted == ["/srv/pypi/web/json/foo", "/srv/pypi/web/pypi/foo/json"]


async def test_both_lists_are_empty_if_nothing_changed(tmp_path: Path) -> None:
    async with open_diff_file(settings(tmp_path / "list"), NOW, MemoryStorage()):
        pass

    assert (tmp_path / "list").read_bytes() == b""
    assert (tmp_path / "list.deleted").read_bytes() == b""


async def test_the_lists_of_the_previous_run_are_emptied(tmp_path: Path) -> None:
    for name in ("list", "list.deleted"):
        (tmp_path / name).write_text("old\nlines\n")

    async with open_diff_file(settings(tmp_path / "list"), NOW, MemoryStorage()):
        assert (tmp_path / "list").read_bytes() == b""
        assert (tmp_path / "list.deleted").read_bytes() == b""


async def test_a_line_is_written_immediately(tmp_path: Path) -> None:
    """The list of a killed run is correct up to where it ends."""
    async with open_diff_file(settings(tmp_path / "list"), NOW, MemoryStorage()) as sink:
        sink(PageWritten(key("simple/a/index.html")))
        sink(PageWritten(key("simple/b/index.html")))

        assert len((tmp_path / "list").read_text().splitlines()) == 2


async def test_paths_are_absolute_for_a_relative_mirror_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_diff_file(settings("list", mirror="./mirror"), NOW, MemoryStorage()) as sink:
        sink(PageWritten(key("simple/index.html")))

    assert (tmp_path / "list").read_text() == f"{tmp_path}/mirror/web/simple/index.html"


async def test_an_undecodable_directory_name_is_written_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "gr\udcf6\udcdfe"
    odd.mkdir()
    monkeypatch.chdir(odd)
    async with open_diff_file(
        settings(tmp_path / "list", mirror="mirror"), NOW, MemoryStorage()
    ) as sink:
        sink(PageWritten(key("simple/index.html")))

    assert b"/gr\xf6\xdfe/mirror/web/simple" in (tmp_path / "list").read_bytes()


@pytest.mark.parametrize(
    ("path", "why"), [("file/list", "File exists"), ("list-that-is-a-link", "File exists")]
)
async def test_a_list_that_cannot_be_created_is_a_storage_error(
    tmp_path: Path, path: str, why: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "list-that-is-a-link").symlink_to(tmp_path / "file" / "list")

    with pytest.raises(StorageError, match=f"/{path}: {why}"):
        async with open_diff_file(settings(tmp_path / path), NOW, MemoryStorage()):
            pytest.fail("there is no list to write to")


@needs_posix
async def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "list").symlink_to("/dev/full")

    with pytest.raises(StorageError, match="No space left on device"):
        async with open_diff_file(settings(tmp_path / "list"), NOW, MemoryStorage()) as sink:
            sink(PageWritten(key("simple/index.html")))
