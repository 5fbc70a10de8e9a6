"""``OutputFile``: reports and diff files are written, and nothing else is."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import StorageError
from bandersnatch.storage.areas import AREAS, PARTIAL
from bandersnatch.storage.output import OutputFile, write_new
from tests.support.disks import bound, files, is_there, listing, mounted, open_files, umask
from tests.support.system import needs_posix

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW = b"new content"
OLD = b"old"
SPECIAL = {
    "directory": "Is a directory",
    "fifo": "it is a named pipe; name a regular file, or a descriptor such as /dev/fd/3",
    "socket": "it is a socket; name a regular file",
}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Return the directory of a mirror."""
    (tmp_path / "mirror").mkdir()
    with umask(0o022):
        yield tmp_path / "mirror"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """Return a directory that must not change."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(OLD)
    before = listing(outside)
    opened = open_files()
    yield outside
    assert listing(outside) == before
    assert open_files() == opened


def replace(path: Path | str, root: Path) -> None:
    """Write a whole file."""
    with OutputFile(str(path), str(root)) as file:
        file.replace(NEW)


def stream(path: Path | str, root: Path) -> None:
    """Write a file and the one beside it, a little at a time."""
    with OutputFile(str(path), str(root)) as file:
        for suffix in ("", ".deleted"):
            with os.fdopen(file.create(suffix), "wb") as opened:
                opened.write(NEW[:3])
                opened.flush()
                opened.write(NEW[3:])


WRITERS = pytest.mark.parametrize("write", [replace, stream])


def plant(path: Path, kind: str, outside: Path) -> None:
    """Create something that is not a regular file."""
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    elif kind == "hard link":
        path.hardlink_to(outside / "precious")
    else:
        path.symlink_to(outside / ("precious" if kind == "link" else "never"))


# ---------------------------------------------------------------- regular files


@WRITERS
@pytest.mark.parametrize("where", ["beside", "in the mirror"])
def test_a_new_file_is_written(root: Path, tmp_path: Path, write: object, where: str) -> None:
    home = root if where == "in the mirror" else tmp_path / "home"
    home.mkdir(exist_ok=True)

    replace(home / "report", root)
    assert files(home) == {"report": NEW}
    stream(home / "list", root)

    assert files(home) == {"report": NEW, "list": NEW, "list.deleted": NEW}
    assert stat.S_IMODE((home / "list").stat().st_mode) == 0o644


@needs_posix
@WRITERS
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755, 0o2644])
def test_the_mode_of_the_file_is_kept(root: Path, tmp_path: Path, write: object, mode: int) -> None:
    path = tmp_path / "report"
    path.write_bytes(OLD)
    path.chmod(mode)
    before = path.stat().st_ino

    replace(path, root)

    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (NEW, mode)
    assert path.stat().st_ino != before


@pytest.mark.parametrize("parents", [False, True])
def test_missing_directories_are_created_if_that_is_wanted(
    root: Path, tmp_path: Path, *, parents: bool
) -> None:
    for home in (tmp_path / "new", root / "new"):
        with OutputFile(str(home / "a/list"), str(root), parents=True) as file:
            file.replace(NEW)
        assert files(home) == {"a/list": NEW}
    with pytest.raises(StorageError, match="No such file or directory"):
        replace(tmp_path / "never/list", root)


def test_a_failed_write_leaves_the_old_file(root: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, size="64k"):
        (disk / "report").write_bytes(OLD)
        with (
            pytest.raises(StorageError, match="No space left on device"),
            OutputFile(str(disk / "report"), str(root)) as file,
        ):
            file.replace(bytes(1_000_000))

        assert files(disk) == {"report": OLD}


# ---------------------------------------------------------------- what is not written to


@WRITERS
@pytest.mark.parametrize("where", ["beside", "in the mirror"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_a_special_file_is_refused_and_stays(
    root: Path, tmp_path: Path, outside: Path, write: object, where: str, kind: str
) -> None:
    home = root if where == "in the mirror" else tmp_path
    plant(home / "x", kind, outside)
    before = listing(home)

    for each in (replace, stream):
        with pytest.raises(StorageError) as caught:
            each(home / "x", root)
        assert (caught.value.key, caught.value.why) == (str(home / "x"), SPECIAL[kind])

    assert listing(home) == before


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_special_file_beside_the_list_is_refused(
    root: Path, tmp_path: Path, outside: Path, kind: str
) -> None:
    plant(tmp_path / "list.deleted", kind, outside)

    with pytest.raises(StorageError) as caught:
        stream(tmp_path / "list", root)

    assert caught.value.key == str(tmp_path / "list.deleted")


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link"])
def test_a_link_beside_the_list_is_replaced_and_not_followed(
    root: Path, tmp_path: Path, outside: Path, kind: str
) -> None:
    plant(tmp_path / "list.deleted", kind, outside)

    stream(tmp_path / "list", root)

    assert not (tmp_path / "list.deleted").is_symlink()
    assert (tmp_path / "list.deleted").read_bytes() == NEW


def test_a_hard_link_is_replaced(root: Path, tmp_path: Path, outside: Path) -> None:
    plant(tmp_path / "report", "hard link", outside)

    replace(tmp_path / "report", root)

    assert (tmp_path / "report").read_bytes() == NEW


@pytest.mark.parametrize("name", ["report", "sub/report", "web/report", "web/sub/report"])
@pytest.mark.parametrize("kind", ["link", "dangling"])
def test_a_link_in_the_mirror_is_not_followed(
    root: Path, outside: Path, name: str, kind: str
) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    plant(root / name, kind, outside)

    for write in (replace, stream):
        with pytest.raises(StorageError, match="it is a link"):
            write(root / name, root)


WAYS_IN = ["mirror/sub/report", "link to it/sub/report", "two links/sub/report", "straight"]


@pytest.mark.parametrize("way", [*WAYS_IN, "relative", "link to it/../mirror/sub/report"])
def test_a_directory_of_the_mirror_that_is_a_link_is_not_followed(
    root: Path, tmp_path: Path, outside: Path, way: str
) -> None:
    (root / "sub").symlink_to(outside)
    (tmp_path / "link to it").symlink_to(root)
    (tmp_path / "two links").symlink_to("link to it")
    (tmp_path / "straight").symlink_to(root / "sub/report")
    (tmp_path / "relative").symlink_to("../" + tmp_path.name + "/mirror/sub/report")
    for write in (replace, stream):
        with pytest.raises(StorageError, match="it is a link"):
            write(tmp_path / way, root)


def test_a_circle_of_links_is_an_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(StorageError, match="Too many levels of symbolic links"):
        replace(tmp_path / "a", root)


def test_a_link_elsewhere_that_leads_into_the_mirror_is_no_way_around(
    root: Path, tmp_path: Path
) -> None:
    (root / "status").write_bytes(b"7")
    (tmp_path / "report").symlink_to(root / "status")

    with pytest.raises(StorageError, match="it is a place of the mirror's own files"):
        replace(tmp_path / "report", root)

    assert files(root) == {"status": b"7"}


OWN = [
    *("status", "todo", "generation", ".lock", ".journal", "catalogue.sqlite", "web/.mirror"),
    *("catalogue.sqlite-journal", "web/last-modified", PARTIAL, f"{PARTIAL}/x", *AREAS),
    *(f"{area}/x" for area in AREAS if area != "web"),
    *("web/simple/foo/index.html", "removed/packages/x"),
]


@pytest.mark.parametrize("name", OWN)
def test_what_the_mirror_owns_is_not_written(root: Path, name: str) -> None:
    with pytest.raises(StorageError, match="it is a place of the mirror's own files"):
        replace(root / name, root)

    assert files(root) == {}


@given(st.text("stauodgenrix.-/w", min_size=1, max_size=20))
def test_other_names_are_not_the_mirrors(name: str) -> None:
    from bandersnatch.storage.output import _is_owned  # noqa: PLC0415 - private

    first = name.partition("/")[0]
    if name not in OWN and first not in {"web", "removed", PARTIAL}:
        assert not _is_owned(name)


# ---------------------------------------------------------------- links and devices elsewhere


@WRITERS
def test_a_link_elsewhere_is_resolved_and_stays(root: Path, tmp_path: Path, write: object) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/report")
    (tmp_path / "above").symlink_to("real")

    replace(tmp_path / "link", root)
    stream(tmp_path / "above/list", root)

    assert (tmp_path / "link").is_symlink()
    assert files(tmp_path / "real") == {"report": NEW, "list": NEW, "list.deleted": NEW}


@needs_posix
@WRITERS
def test_a_character_device_is_written_to(root: Path, tmp_path: Path, write: object) -> None:
    (tmp_path / "null").symlink_to(os.devnull)
    for path in (os.devnull, tmp_path / "null"):
        replace(path, root)
        stream(path, root)
    with pytest.raises(StorageError, match="No space left on device"):
        replace("/dev/full", root)

    assert Path(os.devnull).is_char_device()
    assert not is_there(Path(f"{os.devnull}.deleted"))


def pipe() -> tuple[int, int]:
    return os.pipe()


@needs_posix
@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
@pytest.mark.parametrize("write", [replace, stream])
def test_an_open_descriptor_is_written_to_whatever_it_is(
    root: Path, tmp_path: Path, name: str, write: object
) -> None:
    reading, writing = pipe()
    replace(name.format(writing), root)
    stream(name.format(writing), root)
    os.close(writing)
    assert os.read(reading, 1000) == NEW + NEW
    os.close(reading)

    with (tmp_path / "out").open("wb") as out:
        out.write(b"before ")
        out.flush()
        replace(name.format(out.fileno()), root)
        out.write(b" after")
    assert (tmp_path / "out").read_bytes() == b"before " + NEW + b" after"


def test_a_descriptor_that_is_not_open_is_an_error(root: Path) -> None:
    with pytest.raises(StorageError, match="Bad file descriptor"):
        replace("/dev/fd/987654", root)


# ---------------------------------------------------------------- files that cannot be replaced


@WRITERS
def test_a_file_that_is_a_mount_is_written_in_place(
    root: Path, tmp_path: Path, write: object
) -> None:
    source, path = tmp_path / "source", tmp_path / "list"
    source.write_bytes(OLD)
    path.write_bytes(b"")
    with bound(path, source):
        replace(path, root)
        assert source.read_bytes() == NEW
        source.write_bytes(b"much longer content than what is written next")
        stream(path, root)

    assert files(tmp_path) == {"source": NEW, "list": b"", "list.deleted": NEW}


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")
def test_a_file_in_a_directory_without_write_permission_is_written_in_place(
    root: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "report").write_bytes(OLD)
    home.chmod(0o555)
    try:
        replace(home / "report", root)
    finally:
        home.chmod(0o755)

    assert files(home) == {"report": NEW}


def test_a_new_file_never_replaces_anything(tmp_path: Path, outside: Path) -> None:
    write_new(str(tmp_path / "new"), NEW)
    assert not (tmp_path / "new").stat().st_mode & 0o111, "a configuration is no program"
    assert (tmp_path / "new").read_bytes() == NEW

    for kind in ("link", "dangling", "fifo", "directory"):
        plant(tmp_path / kind, kind, outside)
        with pytest.raises(FileExistsError):
            write_new(str(tmp_path / kind), NEW)
