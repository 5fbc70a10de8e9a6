"""``Tree``: neither keys nor planted links lead out of it."""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bandersnatch.errors import ForeignLink, MissingObject, StorageError, UnstorableName
from bandersnatch.storage import tree as tree_module
from bandersnatch.storage.tree import AREAS, PARTIAL, Tree, mapped_errors
from tests.support.disks import files, listing, modes, open_files, umask
from tests.support.storages import key, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bandersnatch.layout import StorageKey

PAGE = key("web/simple/foo/index.html")
BELOW = key("web/simple/foo/versions/1/index.html")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "mirror"
    (root / PARTIAL).mkdir(parents=True)
    with umask(0o022):
        yield root


@pytest.fixture
def tree(root: Path) -> Tree:
    return Tree(str(root))


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """Return a directory beside the mirror; the test must not change it."""
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "index.html").write_bytes(b"secret")
    (outside / "inner" / "index.html").write_bytes(b"secret")
    before = listing(outside)
    yield outside
    assert listing(outside) == before


def found(tree: Tree, prefix: str = "web/") -> list[str]:
    """Return the keys that a walk yields."""
    return [each.key for each in tree.walk(key(prefix))]


def plant(root: Path, where: str, target: Path | str) -> Path:
    """Create a link, and return its path."""
    path = root / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


# ---------------------------------------------------------------- keys

ACTS: dict[str, Callable[[Tree, StorageKey], object]] = {
    "stat": lambda tree, bad: tree.stat(bad),
    "read": lambda tree, bad: tree.read(bad),
    "holds": lambda tree, bad: tree.has_content(bad, b""),
    "write": lambda tree, bad: tree.write(bad, b"x", durable=False),
    "delete": lambda tree, bad: tree.delete(bad),
    "link from": lambda tree, bad: tree.link(bad, PAGE),
    "link to": lambda tree, bad: tree.link(PAGE, bad),
    "move from": lambda tree, bad: tree.move(bad, key("web/new")),
    "move to": lambda tree, bad: tree.move(PAGE, bad),
    "walk": lambda tree, bad: list(tree.walk(key(f"{bad}/"))),
}
LEADING_OUT = [
    *("/", "/etc/passwd", ".", "..", "../outside", "web/..", "web/../..", "web/./x", "./web"),
    *("web//x", "web/../../outside/index.html", "a\0b", "web/\ud800", "web/../mirror"),
]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("bad", LEADING_OUT)
def test_every_method_rejects_a_key_that_could_lead_out(
    tree: Tree, root: Path, outside: Path, act: str, bad: str
) -> None:
    tree.write(PAGE, b"page", durable=False)
    before = listing(root)

    with pytest.raises(StorageError, match="it is not a key of this storage"):
        ACTS[act](tree, key(bad))

    assert listing(root) == before


@pytest.mark.parametrize("bad", ["", "web/", "web/x/"])
def test_an_empty_key_is_rejected(tree: Tree, bad: str) -> None:
    with pytest.raises(StorageError):
        tree.path(key(bad))


SEGMENTS = st.sampled_from(
    ["", ".", "..", "...", ".. ", "..\n", "\n", "a", "~", "\\", "..\\..", "C:", "\0", "é", "\ud800"]
)


@given(st.lists(SEGMENTS | st.text(max_size=3), max_size=6).map("/".join))
@example("../")
@example("..\n/x")
def test_a_key_is_rejected_or_its_path_is_below_the_root(text: str) -> None:
    try:
        path = Tree("/srv/mirror").path(key(text))
    except StorageError:
        return

    assert path == f"/srv/mirror/{text}"
    assert posixpath.normpath(path) == path
    assert path.encode()


@pytest.mark.parametrize("good", ["a", "...", "..a", "a..", ".a/.b", "a b/c\nd", "é", "-", "~"])
def test_an_unusual_valid_key_is_accepted(tree: Tree, good: str) -> None:
    tree.write(key(f"web/{good}"), b"1", durable=False)

    assert tree.read(key(f"web/{good}")) == b"1"
    assert found(tree) == [f"web/{good}"]


# ---------------------------------------------------------------- links in place of files


@pytest.mark.parametrize("target", ["index.html", "new", "inner"], ids=["file", "none", "folder"])
class TestALinkThatLeadsOut:
    """The link may lead to a file, to a directory, or nowhere."""

    def test_is_not_read(self, tree: Tree, root: Path, outside: Path, target: str) -> None:
        plant(root, PAGE, outside / target)

        with pytest.raises(ForeignLink, match="it is a link that leads out of the mirror"):
            tree.read(PAGE)
        assert tree.stat(PAGE) is None
        assert not tree.has_content(PAGE, b"secret")

    def test_is_replaced(self, tree: Tree, root: Path, outside: Path, target: str) -> None:
        path = plant(root, PAGE, outside / target)

        tree.write(PAGE, b"page", durable=False)

        assert not path.is_symlink()
        assert files(root) == {PAGE: b"page"}

    def test_is_replaced_by_another(
        self, tree: Tree, root: Path, outside: Path, target: str
    ) -> None:
        path = plant(root, PAGE, outside / target)

        tree.link(PAGE, BELOW)

        assert str(path.readlink()) == "versions/1/index.html"

    def test_is_deleted_itself(self, tree: Tree, root: Path, outside: Path, target: str) -> None:
        path = plant(root, PAGE, outside / target)

        assert tree.delete(PAGE)

        assert not path.is_symlink()

    def test_is_moved_itself(self, tree: Tree, root: Path, outside: Path, target: str) -> None:
        path = plant(root, PAGE, outside / target)

        tree.move(PAGE, key("removed/x"))

        assert not path.is_symlink()
        assert (root / "removed/x").is_symlink()

    def test_does_not_receive_what_is_moved_there(
        self, tree: Tree, root: Path, outside: Path, target: str
    ) -> None:
        path = plant(root, PAGE, outside / target)
        tree.write(key("removed/x"), b"x", durable=False)

        tree.move(key("removed/x"), PAGE)

        assert not path.is_symlink()
        assert files(root) == {PAGE: b"x"}


@pytest.mark.parametrize("target", ["loop", "nothing", "file/x"])
def test_a_dangling_link_is_missing_and_can_be_replaced(
    tree: Tree, root: Path, target: str
) -> None:
    tree.write(key("web/file"), b"", durable=False)
    plant(root, "web/loop", target)

    assert found(tree) == ["web/file"]
    with pytest.raises(MissingObject):
        tree.read(key("web/loop"))
    tree.write(key("web/loop"), b"1", durable=False)
    assert found(tree) == ["web/file", "web/loop"]


def test_a_link_within_the_tree_is_read(tree: Tree, root: Path) -> None:
    tree.write(key("web/target"), b"1", durable=False)
    plant(root, PAGE, "../../target")

    assert tree.read(PAGE) == b"1"
    assert found(tree) == [PAGE, "web/target"]


def test_a_link_to_a_missing_file_within_the_tree_is_missing(tree: Tree, root: Path) -> None:
    plant(root, PAGE, "never")

    with pytest.raises(MissingObject):
        tree.read(PAGE)


def test_the_root_may_be_a_link(tree: Tree, root: Path) -> None:
    root.with_name("link").symlink_to(root)
    tree = Tree(str(root.with_name("link")))
    tree.write(BELOW, b"1", durable=True)
    tree.link(PAGE, BELOW)

    assert tree.read(PAGE) == b"1"


# ---------------------------------------------------------------- links in place of directories

PARENTS = pytest.mark.parametrize("where", ["web/simple/foo", "web/simple/foo/versions"])


def prepared(tree: Tree, root: Path, outside: Path, where: str, *, swapped: bool) -> None:
    """Replace a directory by a link, maybe after the tree has seen the directory."""
    if swapped:
        tree.write(BELOW, b"page", durable=False)
        shutil.rmtree(root / where)
    plant(root, where, outside)


@PARENTS
@pytest.mark.parametrize("swapped", [False, True])
class TestALinkInPlaceOfADirectory:
    """The link is planted before or during the run."""

    def test_is_not_written_through(
        self, tree: Tree, root: Path, outside: Path, where: str, *, swapped: bool
    ) -> None:
        prepared(tree, root, outside, where, swapped=swapped)

        with pytest.raises(StorageError, match="it is a link") as caught:
            tree.write(BELOW, b"page", durable=False)

        assert caught.value.key == where
        assert files(root) == {}

    def test_is_not_linked_through(
        self, tree: Tree, root: Path, outside: Path, where: str, *, swapped: bool
    ) -> None:
        prepared(tree, root, outside, where, swapped=swapped)

        with pytest.raises(StorageError, match="it is a link"):
            tree.link(BELOW, key("web/x"))

    def test_is_not_moved_through(
        self, tree: Tree, root: Path, outside: Path, where: str, *, swapped: bool
    ) -> None:
        prepared(tree, root, outside, where, swapped=swapped)
        tree.write(key("web/x"), b"x", durable=False)

        tree.move(key(f"{where}/index.html"), key("web/new"))
        with pytest.raises(StorageError, match="it is a link"):
            tree.move(key("web/x"), key(f"{where}/index.html"))

        assert files(root) == {"web/x": b"x"}

    def test_is_not_read_deleted_or_walked_through(
        self, tree: Tree, root: Path, outside: Path, where: str, *, swapped: bool
    ) -> None:
        prepared(tree, root, outside, where, swapped=swapped)
        inner = key(f"{where}/index.html")

        with pytest.raises(StorageError, match="it is a link"):
            tree.read(inner)
        assert not tree.delete(inner)
        assert found(tree) == found(tree, f"{where}/") == found(tree, f"{where}/inner/") == []


def test_a_file_in_place_of_a_directory_is_named_in_the_error(tree: Tree) -> None:
    tree.write(key("web/simple/foo"), b"a file", durable=False)

    with pytest.raises(StorageError, match="it is not a directory") as caught:
        tree.write(BELOW, b"page", durable=False)

    assert caught.value.key == "web/simple/foo"
    assert tree.stat(BELOW) is None
    assert not tree.delete(BELOW)
    assert found(tree, "web/simple/foo/") == []


def test_a_key_below_a_loop_of_links_is_an_error(tree: Tree, root: Path) -> None:
    plant(root, "web/loop", "loop")

    with pytest.raises(StorageError):
        tree.stat(key("web/loop/x"))


# ---------------------------------------------------------------- areas


@pytest.mark.parametrize("area", AREAS)
def test_an_area_may_be_a_link_to_another_directory(tree: Tree, root: Path, area: str) -> None:
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    plant(root, area, elsewhere)
    one, two, alias = names([f"{area}/foo/1", f"{area}/foo/2", f"{area}/foo/index.html"])

    tree.write(one, b"1", durable=True)
    tree.write(two, b"2", durable=False)
    tree.link(alias, one)

    assert tree.read(alias) == tree.read(one) == b"1"
    assert found(tree, f"{area}/") == found(tree, f"{area[:3]}") == [one, two, alias]
    assert files(elsewhere) == {"foo/1": b"1", "foo/2": b"2"}
    tree.move(two, one)
    assert tree.delete(one)
    assert tree.delete(alias)
    assert list(elsewhere.iterdir()) == []
    assert (root / area).is_symlink()


def test_a_link_out_of_a_linked_area_is_not_followed(tree: Tree, root: Path, outside: Path) -> None:
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    plant(root, "web/simple", elsewhere)
    (elsewhere / "index.html").symlink_to(outside / "index.html")
    (elsewhere / "foo").symlink_to(outside)

    for bad in ("web/simple/index.html", PAGE):
        with pytest.raises(StorageError, match="it is a link"):
            tree.read(key(bad))
    with pytest.raises(StorageError, match="it is a link"):
        tree.write(PAGE, b"page", durable=False)


# ---------------------------------------------------------------- temporary names


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link", "file", "fifo"])
def test_an_existing_temporary_file_is_replaced(
    tree: Tree, root: Path, outside: Path, kind: str
) -> None:
    for number in range(2):
        planted = root / PARTIAL / f"t{number}"
        if kind == "file":
            planted.write_bytes(b"left by a run that was killed")
        elif kind == "fifo":
            os.mkfifo(planted)
        elif kind == "hard link":
            os.link(outside / "index.html", planted)
        else:
            planted.symlink_to(outside / ("index.html" if kind == "link" else "never"))

    tree.write(BELOW, b"page", durable=False)
    tree.link(PAGE, BELOW)

    assert files(root) == {BELOW: b"page"}
    assert tree.read(PAGE) == b"page"


# ---------------------------------------------------------------- special files


def test_a_hard_link_is_replaced_and_not_written_through(
    tree: Tree, root: Path, outside: Path
) -> None:
    (root / PAGE).parent.mkdir(parents=True)
    (root / PAGE).hardlink_to(outside / "index.html")

    tree.write(PAGE, b"page", durable=False)

    assert (root / PAGE).stat().st_nlink == 1
    assert tree.read(PAGE) == b"page"


def test_deleting_a_hard_link_keeps_its_other_names(tree: Tree, root: Path, outside: Path) -> None:
    (root / PAGE).parent.mkdir(parents=True)
    (root / PAGE).hardlink_to(outside / "index.html")

    assert tree.delete(PAGE)


def plant_odd(path: Path, kind: str) -> None:
    """Create a special file, such as a pipe, in place of a file."""
    path.parent.mkdir(parents=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "device":
        if os.geteuid() != 0:
            pytest.skip("only root can make a device")
        os.mknod(path, 0o644 | stat.S_IFCHR, os.makedev(1, 3))
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            here = Path.cwd()
            os.chdir(path.parent)  # the path of a socket must be short
            listener.bind(path.name)
            os.chdir(here)


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket", "device"])
def test_reading_a_special_file_is_an_error_without_blocking(
    tree: Tree, root: Path, kind: str
) -> None:
    """Opening a FIFO would block until another process writes."""
    plant_odd(root / PAGE, kind)
    before = open_files()

    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(tree.read, PAGE)
        try:
            with pytest.raises(StorageError) as caught:
                future.result(timeout=5)
        finally:
            if kind == "fifo" and not future.done():
                os.close(os.open(root / PAGE, os.O_RDWR | os.O_NONBLOCK))

    assert caught.value.key == PAGE
    assert not isinstance(caught.value, MissingObject)
    assert tree.stat(PAGE) is None
    assert found(tree) == []
    assert open_files() <= before


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_a_special_file_is_replaced_and_not_written_to(tree: Tree, root: Path, kind: str) -> None:
    plant_odd(root / PAGE, kind)

    tree.write(PAGE, b"page", durable=False)

    assert files(root) == {PAGE: b"page"}


def test_a_directory_in_place_of_a_file_is_not_changed(tree: Tree, root: Path) -> None:
    tree.write(key(f"{PAGE}/inner"), b"1", durable=False)
    tree.write(key("web/x"), b"x", durable=False)
    before = listing(root / "web")

    tree.move(PAGE, key("removed/x"))
    acts: list[Callable[[], object]] = [
        lambda: tree.write(PAGE, b"page", durable=False),
        lambda: tree.link(PAGE, key("web/x")),
        lambda: tree.delete(PAGE),
        lambda: tree.move(key("web/x"), PAGE),
    ]
    for act in acts:
        with pytest.raises(StorageError):
            act()

    assert listing(root / "web") == before
    assert list((root / PARTIAL).iterdir()) == []


# ---------------------------------------------------------------- modes, directories


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_files_can_be_read_by_all_and_written_by_their_owner(
    tree: Tree, root: Path, mask: int
) -> None:
    with umask(mask):
        tree.write(PAGE, b"page", durable=True)
        tree.write(key("status"), b"1", durable=True)

    found = modes(root / "web")
    assert found.pop("simple/foo/index.html") == 0o644
    assert set(found.values()) == {0o755}
    assert (root / "status").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("away", ["deleted", "moved"])
@pytest.mark.parametrize("area", AREAS)
def test_empty_directories_are_removed_except_areas(
    tree: Tree, root: Path, area: str, away: str
) -> None:
    stays, goes = names([f"{area}/a/keep", f"{area}/a/b/c/d"])
    tree.write(stays, b"1", durable=False)
    tree.write(goes, b"1", durable=False)

    for each in (goes, stays):
        if away == "deleted":
            assert tree.delete(each)
        else:
            tree.move(each, key("x"))
        assert not (root / area / "a/b").exists()
        assert (root / area / "a").exists() == (each == goes)

    assert list((root / area).iterdir()) == []
    assert (root / PARTIAL).is_dir()


def test_a_directory_removed_by_another_program_is_created_again(tree: Tree, root: Path) -> None:
    tree.write(BELOW, b"1", durable=False)
    shutil.rmtree(root / "web")

    tree.write(BELOW, b"2", durable=False)

    assert files(root) == {BELOW: b"2"}


def test_the_number_of_known_directories_is_limited(tree: Tree, root: Path) -> None:
    tree._known.update(f"/{number}" for number in range(tree_module._MAX_KNOWN_DIRECTORIES))

    tree.write(BELOW, b"1", durable=False)
    tree.write(PAGE, b"2", durable=False)

    assert len(tree._known) < 10
    assert files(root) == {BELOW: b"1", PAGE: b"2"}


def test_a_directory_can_be_filled_while_it_is_emptied(tree: Tree, root: Path) -> None:
    """One thread removes an empty directory that another is about to write to."""
    together = threading.Barrier(4, timeout=30)

    def work(mine: int) -> None:
        together.wait()
        for number in range(120):
            each = key(f"web/a/b{number % 2}/c/{mine}")
            tree.write(each, b"1", durable=number % 10 == 0)
            if mine % 2:
                tree.move(each, key(f"removed/a/{mine}"))
                tree.move(key(f"removed/a/{mine}"), each)
            assert tree.delete(each, durable=number % 10 == 1)

    with ThreadPoolExecutor(4) as executor:
        for done in [executor.submit(work, mine) for mine in range(4)]:
            done.result()

    assert files(root) == {}
    assert not (root / "web/a").exists()


def test_syncing_a_removed_directory_does_nothing(tree: Tree, root: Path) -> None:
    tree_module._sync_directory(str(root / "web/a"))
    assert not (root / "web/a").exists()


def test_two_threads_may_move_the_same_file(tree: Tree, root: Path) -> None:
    together = threading.Barrier(2, timeout=30)
    rounds = range(150)
    for number in rounds:
        tree.write(key(f"web/{number}/x"), b"1", durable=False)

    def work() -> None:
        for number in rounds:
            together.wait()
            tree.move(key(f"web/{number}/x"), key(f"removed/{number}/x"))

    with ThreadPoolExecutor(2) as executor:
        for done in [executor.submit(work) for _ in range(2)]:
            done.result()

    assert len(files(root / "removed")) == len(rounds)


# ---------------------------------------------------------------- walking


def test_names_that_cannot_be_decoded_are_skipped(tree: Tree, root: Path) -> None:
    """Neither a key nor a row of the catalogue could have such a name."""
    tree.write(key("web/a"), b"1", durable=False)
    (root / "web" / os.fsdecode(b"folder\xff")).mkdir()
    (root / "web" / os.fsdecode(b"folder\xff") / "x").touch()
    (root / "web" / os.fsdecode(b"file\xff")).touch()

    assert found(tree) == ["web/a"]


def test_a_walk_with_an_empty_prefix_begins_at_the_root(tree: Tree) -> None:
    tree.write(key("status"), b"1", durable=False)
    tree.write(PAGE, b"1", durable=False)

    assert found(tree, "") == ["status", PAGE]
    assert found(tree, "st") == ["status"]


class FailingEntry:
    """An entry of a directory on a disk that fails."""

    def stat(self) -> os.stat_result:
        raise OSError(errno.EIO, "bad")

    def is_symlink(self) -> bool:
        return False


def test_a_failing_disk_raises_instead_of_appearing_empty() -> None:
    with pytest.raises(OSError, match="bad"):
        tree_module._stat_target(cast("os.DirEntry[str]", FailingEntry()))


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")
@pytest.mark.parametrize("name", ["lost+found", "foo"])
def test_only_lost_and_found_is_skipped_when_unreadable(tree: Tree, root: Path, name: str) -> None:
    tree.write(PAGE, b"1", durable=False)
    closed = root / "web/simple" / name
    closed.mkdir(exist_ok=True)
    closed.chmod(0)
    try:
        if name == "lost+found":
            assert found(tree) == [PAGE]
        else:
            with pytest.raises(PermissionError):
                found(tree)
    finally:
        closed.chmod(0o755)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")
def test_an_unreadable_file_is_replaced(tree: Tree, root: Path) -> None:
    tree.write(PAGE, b"page", durable=False)
    (root / PAGE).chmod(0)

    assert not tree.has_content(PAGE, b"page")
    tree.write(PAGE, b"page", durable=False)
    assert tree.read(PAGE) == b"page"


# ---------------------------------------------------------------- failures


LONG = "x" * 256


def test_a_name_that_is_too_long_raises_unstorable_name(tree: Tree, root: Path) -> None:
    tree.write(PAGE, b"1", durable=False)

    acts: list[Callable[[], object]] = [
        lambda: tree.write(key(f"web/{LONG}"), b"1", durable=False),
        lambda: tree.write(key(f"web/{LONG}/x"), b"1", durable=False),
        lambda: tree.link(key(f"web/{LONG}"), PAGE),
        lambda: tree.move(PAGE, key(f"web/{LONG}")),
    ]
    for act in acts:
        with pytest.raises(UnstorableName, match="its name is too long for the file system"):
            act()

    assert tree.stat(key(f"web/{LONG}")) is None
    tree.move(key(f"web/{LONG}"), PAGE)
    assert files(root) == {PAGE: b"1"}


@pytest.mark.parametrize("durable", [False, True])
def test_a_failed_write_leaves_only_the_old_content(
    tree: Tree, root: Path, *, durable: bool
) -> None:
    tree.write(PAGE, b"old", durable=durable)

    with pytest.raises(TypeError):
        tree.write(PAGE, cast("bytes", "no bytes"), durable=durable)

    assert files(root) == {PAGE: b"old"}


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), MissingObject, "it does not exist"),
        (OSError(errno.ENOSPC, "x"), StorageError, "No space left on device"),
        (PermissionError(errno.EACCES, "x"), StorageError, "Permission denied"),
        (OSError(errno.ENAMETOOLONG, "x"), UnstorableName, "its name is too long"),
        (OSError(errno.EXDEV, "x"), StorageError, "it is on another file system than .partial"),
        (OSError("odd"), StorageError, "odd"),
    ],
)
def test_os_errors_are_mapped(error: OSError, kind: type[StorageError], says: str) -> None:
    with pytest.raises(StorageError, match=says) as caught, mapped_errors("web/x"):
        raise error

    assert type(caught.value) is kind
    assert caught.value.key == "web/x"
    assert caught.value.__cause__ is error
    assert not caught.value.transient


def test_other_errors_are_not_mapped() -> None:
    with pytest.raises(ValueError, match="a bug"), mapped_errors("web/x"):
        raise ValueError("a bug")


# ---------------------------------------------------------------- durability


def test_every_change_sets_unsynced(tree: Tree) -> None:
    tree.write(PAGE, b"1", durable=False)
    acts: list[Callable[[], object]] = [
        lambda: tree.write(BELOW, b"1", durable=False),
        lambda: tree.link(PAGE, BELOW),
        lambda: tree.move(PAGE, key("web/x")),
        lambda: tree.delete(key("web/x")),
    ]
    for act in acts:
        tree.unsynced = False
        act()
        assert tree.unsynced


def test_a_call_that_changes_nothing_does_not_set_unsynced(tree: Tree) -> None:
    tree.delete(PAGE)
    tree.move(PAGE, key("web/x"))
    tree.stat(PAGE)

    assert not tree.unsynced
