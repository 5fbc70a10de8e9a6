"""The contract of ``Directory``, for each implementation."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from bandersnatch.storage.descriptors import DescriptorDirectory
from bandersnatch.storage.directory import DirectoryEntry, open_regular
from tests.support.disks import files, open_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bandersnatch.storage.directory import Directory

OPENERS: dict[str, Callable[[str], Directory]] = {"descriptors": DescriptorDirectory.at}
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
NOT_OPENED = r"not a regular file|levels of symbolic links|No such device"
KINDS = ("file", "link", "dangling", "fifo", "socket")


@pytest.fixture(params=OPENERS)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "at").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"secret")
    before = open_files()
    with OPENERS[request.param](str(tmp_path / "at")) as directory:
        yield directory
    assert open_files() == before
    assert files(tmp_path / "outside") == {"file": b"secret"}


@pytest.fixture
def here(tmp_path: Path, at: Directory) -> Path:
    assert at.path == str(tmp_path / "at")
    return tmp_path / "at"


def plant(path: Path, kind: str) -> None:
    """Create an entry of some kind; links lead to a directory outside."""
    if kind == "file":
        path.write_bytes(b"1")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    else:
        path.symlink_to(path.parent.parent / ("outside" if kind == "link" else "never"))


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_directory_is_opened(at: Directory, here: Path, kind: str) -> None:
    plant(here / "x", kind)

    with pytest.raises(NotADirectoryError):
        at.open("x")
    with pytest.raises(FileNotFoundError):
        at.open("never")


def test_a_directory_is_created_and_opened(at: Directory, here: Path) -> None:
    at.make_directory("x", 0o700)
    with pytest.raises(FileExistsError):
        at.make_directory("x")

    with at.open("x") as below:
        assert below.path == str(here / "x")
        assert below.real_path() == str((here / "x").resolve())
        assert below.device() == at.device()
        assert below.mount() == at.mount()
        os.close(below.open_file("y", CREATE, 0o644))

    assert stat.S_IMODE((here / "x").stat().st_mode) == 0o700
    assert files(here) == {"x/y": b""}


def test_an_area_may_be_a_link(at: Directory, here: Path, tmp_path: Path) -> None:
    plant(here / "x", "link")

    with at.open_target("x") as found:
        assert found.entries() == [DirectoryEntry("file", is_directory=False)]
        assert found.real_path() == str((tmp_path / "outside").resolve())
    (here / "loop").symlink_to("loop")
    for name in ("loop", "never"):
        with pytest.raises(OSError, match=r"No such file|levels of symbolic links"):
            at.open_target(name)


@pytest.mark.parametrize("kind", [*KINDS, "directory"])
def test_entries_have_their_own_status(at: Directory, here: Path, kind: str) -> None:
    plant(here / "x", kind)

    assert at.entries() == [DirectoryEntry("x", is_directory=kind == "directory")]
    assert os.path.samestat(at.status("x"), (here / "x").lstat())


def test_the_target_of_a_link_has_a_status(at: Directory, here: Path) -> None:
    plant(here / "link", "link")
    plant(here / "dangling", "dangling")
    plant(here / "file", "file")

    assert stat.S_ISDIR(at.target_status("link").st_mode)
    assert at.target_status("file").st_size == 1
    with pytest.raises(FileNotFoundError):
        at.target_status("dangling")


def test_links_are_created_and_read(at: Directory, here: Path) -> None:
    at.make_link("x", "../outside")

    assert at.read_link("x") == "../outside" == str((here / "x").readlink())
    with pytest.raises(FileExistsError):
        at.make_link("x", "y")
    plant(here / "file", "file")
    with pytest.raises(OSError, match="Invalid argument"):
        at.read_link("file")


@pytest.mark.parametrize("kind", [*KINDS, "directory"])
def test_only_regular_files_are_opened_and_no_pipe_blocks(
    at: Directory, here: Path, kind: str
) -> None:
    plant(here / "x", kind)
    before = open_files()

    if kind == "file":
        os.close(open_regular(at, "x"))
    else:
        with pytest.raises(OSError, match=NOT_OPENED):
            open_regular(at, "x")
    with pytest.raises(FileExistsError):
        at.open_file("x", CREATE)

    assert open_files() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_renamed_file_replaces_everything_but_a_directory(
    at: Directory, here: Path, kind: str
) -> None:
    at.make_directory("to")
    plant(here / "to/x", kind)
    plant(here / "to/directory", "directory")
    (here / "new").write_bytes(b"new")

    with at.open("to") as to:
        with pytest.raises(IsADirectoryError):
            at.rename("new", to, "directory")
        at.rename("new", to, "x")

    assert files(here) == {"to/x": b"new"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_deleted_itself(at: Directory, here: Path, kind: str) -> None:
    plant(here / "x", kind)

    with pytest.raises(NotADirectoryError):
        at.remove_directory("x")
    at.delete("x")

    assert list(here.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        at.delete("x")


def test_only_an_empty_directory_is_removed(at: Directory, here: Path) -> None:
    at.make_directory("x")
    plant(here / "x/y", "file")
    with pytest.raises(OSError, match="not empty"):
        at.remove_directory("x")
    with pytest.raises(OSError, match=r"Is a directory|not permitted"):
        at.delete("x")

    (here / "x/y").unlink()
    at.remove_directory("x")

    assert list(here.iterdir()) == []


def test_a_directory_that_is_exchanged_with_a_link_is_not_followed(
    at: Directory, here: Path
) -> None:
    at.make_directory("x")
    with at.open("x") as below:
        (here / "x").rename(here / "moved")
        plant(here / "x", "link")
        try:
            os.close(below.open_file("file", CREATE))
        except OSError:
            return  # as a portable implementation does

    assert files(here) == {"moved/file": b""}


def test_a_directory_is_flushed_and_measured(at: Directory) -> None:
    at.sync()
    at.sync_file_system()
    free, total = at.usage()

    assert 0 < free < total
