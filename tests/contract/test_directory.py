"""The contract of ``Directory``, for each implementation."""

from __future__ import annotations

import errno
import os
import socket
import stat
from functools import partial
from typing import TYPE_CHECKING

import pytest

from bandersnatch.storage.directory import DirectoryEntry, open_regular
from bandersnatch.storage.paths import PathDirectory
from bandersnatch.storage.system import has_descriptors, open_directory
from bandersnatch.storage.windows import long_path
from tests.support.disks import files, open_files
from tests.support.system import needs_links

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bandersnatch.storage.directory import Directory

OPENERS: dict[str, Callable[[str], Directory]] = {
    "paths": PathDirectory.at,
    "windows": partial(PathDirectory.at, is_windows=True),
}
if has_descriptors():
    from bandersnatch.storage.descriptors import DescriptorDirectory

    OPENERS["descriptors"] = DescriptorDirectory.at

    class SteppingDirectory(DescriptorDirectory):
        """As on a system without ``openat2``."""

        def open_below(self, names: Sequence[str], /) -> Directory:
            """Open each directory on the way."""
            return self.open_steps(names)

    OPENERS["descriptors, step by step"] = SteppingDirectory.at
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


@needs_links
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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_directory_some_levels_below_is_opened_without_following_links(
    at: Directory, here: Path, kind: str, depth: int
) -> None:
    names = ["a", "b", "c"]
    (here / "a/b/c").mkdir(parents=True)
    with at.open_below(names) as below:
        assert below.path == str(here / "a/b/c")
        below.make_directory("new")
    assert (here / "a/b/c/new").is_dir()
    with pytest.raises(FileNotFoundError):
        at.open_below(["a", "never", "c"])

    planted = here.joinpath(*names[:depth])
    planted.rename(here / "moved")
    plant(planted, kind)

    with pytest.raises(NotADirectoryError):
        at.open_below(names)


def test_a_directory_that_can_be_written_to_is_recognised(at: Directory) -> None:
    at.check_writable()


def test_the_time_of_a_file_is_set_and_that_of_a_target_is_not(at: Directory, here: Path) -> None:
    plant(here / "x", "file")
    at.set_time("x", 1_000_000_000_123_456_789)

    assert (here / "x").stat().st_mtime_ns == 1_000_000_000_123_456_789
    with pytest.raises(FileNotFoundError):
        at.set_time("never", 0)


@pytest.mark.parametrize("kind", ["second name", "link", "directory"])
def test_the_time_of_a_file_of_somebody_else_is_not_set(
    at: Directory, here: Path, kind: str
) -> None:
    """Another program can exchange a temporary file before its time is set."""
    theirs = here / "theirs"
    theirs.write_bytes(b"1")
    if kind == "second name":
        os.link(theirs, here / "x")
    elif kind == "link":
        (here / "x").symlink_to(theirs)
    else:
        (here / "x").mkdir()
    before = theirs.stat().st_mtime_ns

    with pytest.raises(OSError):  # noqa: PT011 - systems differ
        at.set_time("x", 0)

    assert theirs.stat().st_mtime_ns == before


# ---------------------------------------------------------------- directories by their paths


REFUSED = [
    *("CON", "con", "nul.tar.gz", "Aux .zip", "com1", "LPT\N{SUPERSCRIPT ONE}.whl", "conin$"),
    *("a:b", "a\\b", "a?", "a*", "a<", "a>", "a|", 'a"', "a\x01", "a.", "a ", "..."),
]


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_windows_does_not_allow_are_refused(tmp_path: Path, name: str) -> None:
    with PathDirectory.at(str(tmp_path), is_windows=True) as directory:
        for refused in (
            lambda: directory.open_file(name, CREATE),
            lambda: directory.open_file(name, os.O_RDONLY),
            lambda: directory.make_directory(name),
            lambda: directory.open(name),
            lambda: directory.status(name),
        ):
            with pytest.raises(OSError, match="Windows") as caught:
                refused()
            assert caught.value.errno == errno.EILSEQ

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["console", "com10", "nul-1.0.tar.gz", ".com1", "a b", "é", "lpt"])
def test_other_names_are_allowed(tmp_path: Path, name: str) -> None:
    with PathDirectory.at(str(tmp_path), is_windows=True) as directory:
        os.close(directory.open_file(name, CREATE))

    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("path", "long"),
    [
        ("C:\\mirror", "\\\\?\\C:\\mirror"),
        ("C:/mirror/./web", "\\\\?\\C:\\mirror\\web"),
        ("\\\\server\\share\\mirror", "\\\\?\\UNC\\server\\share\\mirror"),
        ("\\\\?\\C:\\mirror", "\\\\?\\C:\\mirror"),
    ],
)
def test_paths_of_windows_have_no_limit_of_260_characters(path: str, long: str) -> None:
    assert long_path(path) == long


@pytest.mark.parametrize("exchanged", ["at/w/x", "at/w"])
def test_a_directory_behind_a_link_that_was_made_later_is_not_used(
    tmp_path: Path, exchanged: str
) -> None:
    (tmp_path / "at/w/x").mkdir(parents=True)
    (tmp_path / "outside/x").mkdir(parents=True)
    (tmp_path / "outside/x/y").write_bytes(b"1")
    with (
        PathDirectory.at(str(tmp_path / "at")) as directory,
        directory.open("w") as above,
        above.open("x") as below,
    ):
        (tmp_path / exchanged).rename(tmp_path / "moved")
        (tmp_path / exchanged).symlink_to(tmp_path / "outside" / exchanged[5:])
        for refused in (
            below.entries,
            below.usage,
            lambda: below.status("y"),
            lambda: below.open_file("y", os.O_RDONLY),
            lambda: below.delete("y"),
            lambda: below.rename("y", directory, "y"),
        ):
            with pytest.raises(NotADirectoryError):
                refused()

    assert files(tmp_path / "outside") == {"x/y": b"1"}


@pytest.mark.skipif(not has_descriptors(), reason="the system has no descriptors of directories")
def test_an_open_directory_is_used_wherever_its_path_leads(tmp_path: Path) -> None:
    """Another program exchanges it with a link: what is done then concerns the open one."""
    (tmp_path / "at/x/y").mkdir(parents=True)
    (tmp_path / "outside/y").mkdir(parents=True)
    (tmp_path / "outside/theirs").write_bytes(b"1")
    with open_directory(str(tmp_path / "at")) as directory, directory.open("x") as below:
        (tmp_path / "at/x").rename(tmp_path / "moved")
        (tmp_path / "at/x").symlink_to(tmp_path / "outside")

        assert [each.name for each in below.entries()] == ["y"]
        os.close(below.open_file("new", CREATE))
        with below.open("y") as inner:
            os.close(inner.open_file("z", CREATE))
        with pytest.raises(FileNotFoundError):
            below.status("theirs")

    assert files(tmp_path / "outside") == {"theirs": b"1"}
    assert files(tmp_path / "moved") == {"new": b"", "y/z": b""}


def test_a_directory_that_is_numbered_anew_is_used(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with PathDirectory.at(str(tmp_path)) as directory, directory.open("x") as below:
        (tmp_path / "x").rename(tmp_path / "moved")
        (tmp_path / "x").mkdir()

        os.close(below.open_file("y", CREATE))

    assert files(tmp_path) == {"x/y": b""}


def test_written_files_are_flushed_one_by_one(tmp_path: Path) -> None:
    """Also those that were renamed, deleted, or deleted by another program."""
    with PathDirectory.at(str(tmp_path)) as directory:
        for name in ("1", "2", "3", "4"):
            os.close(directory.open_file(name, CREATE))
        directory.rename("1", directory, "new")
        directory.delete("2")
        (tmp_path / "3").unlink()

        directory.sync_file_system()
        directory.sync_file_system()

    assert sorted(files(tmp_path)) == ["4", "new"]
