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
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bandersnatch.errors import (
    ForeignLink,
    MissingObject,
    ObstructedPath,
    StorageError,
    UnstorableName,
    UnusablePlace,
)
from bandersnatch.storage.areas import AREAS, PARTIAL, split_key, temporary_name
from bandersnatch.storage.temporary import create_file
from bandersnatch.storage.tree import Tree, mapped_errors
from tests.support.disks import files, listing, modes, open_files, umask
from tests.support.storages import key, names
from tests.support.system import needs_descriptors, needs_links

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


@contextmanager
def opened(root: Path | str) -> Iterator[Tree]:
    """Open a tree; what is planted later is not part of it."""
    tree = Tree(str(root))
    tree.open()
    try:
        yield tree
    finally:
        tree.close()


@pytest.fixture
def tree(root: Path) -> Iterator[Tree]:
    with opened(root) as tree:
        yield tree


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
        tree.require_key(bad)


SEGMENTS = st.sampled_from(
    ["", ".", "..", "...", ".. ", "..\n", "\n", "a", "~", "\\", "..\\..", "C:", "\0", "é", "\ud800"]
)


@given(st.lists(SEGMENTS | st.text(max_size=3), max_size=6).map("/".join))
@example("../")
@example("..\n/x")
def test_a_key_is_rejected_or_its_path_is_below_the_root(text: str) -> None:
    try:
        Tree("/srv/mirror").require_key(text)
    except StorageError:
        return

    path = f"/srv/mirror/{text}"
    assert posixpath.normpath(path) == path
    assert path.encode()


@given(st.lists(st.sampled_from([*AREAS, "web/x", "x", "simple", "removed"]), min_size=1))
def test_a_key_is_divided_into_the_area_that_it_is_in_and_the_rest(names: list[str]) -> None:
    text = "/".join(names)

    area, rest = split_key(text)

    assert f"{area}/{rest}".lstrip("/") == text
    assert area in {"", *AREAS}
    assert rest
    longest = max((each for each in AREAS if text.startswith(f"{each}/")), key=len, default="")
    assert area == longest


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

    @needs_links
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


def test_the_root_may_be_a_link(root: Path) -> None:
    root.with_name("link").symlink_to(root)
    with opened(root.with_name("link")) as tree:
        tree.write(BELOW, b"1", durable=True)
        tree.link(PAGE, BELOW)

        assert tree.read(PAGE) == b"1"


@pytest.mark.parametrize("through", ["mirror", "link"], ids=["its path", "a link to it"])
def test_an_absolute_link_within_the_tree_is_read(root: Path, through: str) -> None:
    """Earlier releases linked kept versions by the absolute path of the mirror."""
    root.with_name("link").symlink_to(root)
    with opened(root.with_name("link")) as tree:
        tree.write(BELOW, b"1", durable=True)
        plant(root, PAGE, root.with_name(through) / BELOW)

        assert tree.read(PAGE) == b"1"


def test_a_link_to_another_area_is_read_where_that_is_a_link_itself(
    root: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    plant(root, "web/json", elsewhere)
    with opened(root) as tree:
        tree.write(key("web/json/foo"), b"1", durable=False)
        plant(root, PAGE, "../../json/foo")
        plant(root, "web/simple/bar", elsewhere / "foo")

        assert tree.read(PAGE) == tree.read(key("web/simple/bar")) == b"1"
        plant(elsewhere, "up", "../index.html")
        with pytest.raises(ForeignLink):
            tree.read(key("web/json/up"))


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

    @needs_links
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


def test_nothing_is_found_below_a_loop_of_links(tree: Tree, root: Path) -> None:
    plant(root, "web/loop", "loop")

    assert tree.stat(key("web/loop/x")) is None
    with pytest.raises(StorageError, match="it is a link"):
        tree.read(key("web/loop/x"))


# ---------------------------------------------------------------- areas


@needs_links
@pytest.mark.parametrize("area", AREAS)
def test_an_area_may_be_a_link_to_another_directory(root: Path, area: str) -> None:
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    plant(root, area, elsewhere)
    with opened(root) as tree:
        use_area(tree, area, elsewhere)
    assert list(elsewhere.iterdir()) == []
    assert (root / area).is_symlink()


def use_area(tree: Tree, area: str, elsewhere: Path) -> None:
    """Use every operation below an area that is a link."""
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


@pytest.mark.parametrize("area", AREAS)
def test_an_area_that_becomes_a_link_after_it_was_opened_is_not_followed(
    tree: Tree, root: Path, outside: Path, area: str
) -> None:
    plant(root, area, outside)

    with pytest.raises(ObstructedPath, match="it is a link, which is not followed here"):
        tree.write(key(f"{area}/index.html"), b"page", durable=False)
    assert tree.stat(key(f"{area}/index.html")) is None
    assert not tree.delete(key(f"{area}/index.html"))
    assert found(tree, "") == []


@needs_descriptors
@pytest.mark.parametrize("area", AREAS)
def test_an_area_that_is_exchanged_with_a_link_stays_open(
    root: Path, outside: Path, area: str
) -> None:
    (root / area).mkdir(parents=True)
    with opened(root) as tree:
        (root / area).rename(root / "moved")
        plant(root, area, outside)

        tree.write(key(f"{area}/index.html"), b"page", durable=True)

    assert files(root) == {"moved/index.html": b"page"}


def test_a_link_out_of_a_linked_area_is_not_followed(root: Path, outside: Path) -> None:
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    plant(root, "web/simple", elsewhere)
    (elsewhere / "index.html").symlink_to(outside / "index.html")
    (elsewhere / "foo").symlink_to(outside)

    with opened(root) as tree:
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
    planted = root / PARTIAL / "name"
    if kind == "file":
        planted.write_bytes(b"left by a run that was killed")
    elif kind == "fifo":
        os.mkfifo(planted)
    elif kind == "hard link":
        os.link(outside / "index.html", planted)
    else:
        planted.symlink_to(outside / ("index.html" if kind == "link" else "never"))

    os.close(create_file(tree.staging(PAGE), "name"))
    tree.publish(tree.staging(PAGE), "name", PAGE)

    assert files(root) == {PAGE: b""}


def test_nobody_can_guess_the_name_of_a_temporary_file(tree: Tree, root: Path) -> None:
    assert len({temporary_name() for _ in range(100)}) == 100


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
    assert tree.stat(PAGE) is None  # its area is open now
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
        (PermissionError(errno.EACCES, "x"), UnusablePlace, "Permission denied"),
        (OSError(errno.ENAMETOOLONG, "x", LONG), UnstorableName, "its name is too long"),
        (OSError(errno.ENAMETOOLONG, "x"), UnusablePlace, os.strerror(errno.ENAMETOOLONG)),
        (OSError(errno.EILSEQ, "CON is reserved"), UnstorableName, "CON is reserved"),
        (OSError(errno.EILSEQ, os.strerror(errno.EILSEQ)), UnusablePlace, "[Ii]nvalid"),
        (OSError(errno.EXDEV, "x"), StorageError, "another file system is mounted below its area"),
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


def test_only_a_name_beyond_ascii_is_no_valid_sequence_for_a_file_system() -> None:
    error = OSError(errno.EILSEQ, os.strerror(errno.EILSEQ))
    for place, kind in (("web/e3/x", UnusablePlace), ("web/e3/\xe9", UnstorableName)):
        with pytest.raises(StorageError) as caught, mapped_errors(place):
            raise error
        assert type(caught.value) is kind


def test_other_errors_are_not_mapped() -> None:
    with pytest.raises(ValueError, match="a bug"), mapped_errors("web/x"):
        raise ValueError("a bug")


# ---------------------------------------------------------------- durability


def is_unsynced(tree: Tree) -> bool:
    """Whether a change was not flushed; forget it."""
    disks = tree.areas.disks()
    found = any(disk.unsynced for disk in disks)
    for disk in disks:
        disk.unsynced = False
    return found


def test_every_change_sets_unsynced(tree: Tree) -> None:
    tree.write(PAGE, b"1", durable=False)
    acts: list[Callable[[], object]] = [
        lambda: tree.write(BELOW, b"1", durable=False),
        lambda: tree.link(PAGE, BELOW),
        lambda: tree.move(PAGE, key("web/x")),
        lambda: tree.delete(key("web/x")),
    ]
    assert is_unsynced(tree)
    for act in acts:
        act()
        assert is_unsynced(tree)


def test_a_call_that_changes_nothing_does_not_set_unsynced(tree: Tree) -> None:
    tree.delete(PAGE)
    tree.move(PAGE, key("web/x"))
    tree.stat(PAGE)

    assert not is_unsynced(tree)
