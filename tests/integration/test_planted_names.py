"""Anything at any name that the program uses: it ends, says which name, and changes nothing else.

A pipe must not make it wait, a link must not be followed, a directory or device not be replaced
blindly. Once the planted thing is away, two runs give the tree of a clean mirror.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import socket
import stat
import threading
from contextlib import chdir, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

LIMIT = 60
"""Seconds in which a run must have ended, on a busy machine."""

STATE = (
    *("status", "todo", "generation", ".lock", ".journal", "catalogue.sqlite", ".partial"),
    *("catalogue.sqlite-journal", "catalogue.sqlite-wal", "catalogue.sqlite-shm"),
    *("catalogue.sqlite.unusable", ".plan", ".partial/t0", ".partial/0123", "web/.mirror"),
)
AREA = ("web", "web/simple", "web/packages", "web/json", "web/pypi", "removed")
SERVED = (
    *("web/last-modified", "web/simple/index.html", "web/simple/index.v1_json", "web/simple/foo"),
    *("web/simple/foo/index.html", "web/simple/new", "web/json/foo", "web/pypi/foo"),
    *("web/packages/aa", "removed/simple", "removed/packages", "removed/json/gone"),
)
OUTPUTS = ("../list", "../list.deleted", "../report.json", "mirrored", "mirrored.deleted")
GIVEN = ("../list", "../report.json")
"""The outputs that the operator names, outside the mirror."""
NAMES = (*STATE, *AREA, *SERVED, *OUTPUTS)
PLANTED = b"not expected here"
KINDS = ("file", "directory", "link", "linked directory", "dangling", "fifo", "socket", "device")


def plant(path: Path, kind: str, outside: Path) -> None:
    """Replace whatever is at a path by something of a kind."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        path.write_bytes(PLANTED)
    elif kind == "directory":
        (path / "inner").mkdir(parents=True)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        if os.geteuid() != 0:
            pytest.skip("only root can make a device")
        os.mknod(path, 0o644 | stat.S_IFCHR, os.makedev(1, 3))
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener, chdir(path.parent):
            listener.bind(path.name)
    else:
        targets = {"link": "precious", "linked directory": "inner", "dangling": "never"}
        path.symlink_to(outside / targets[kind])


def remove(path: Path) -> None:
    """Remove what was planted at a path, if it is still there."""
    if path.is_dir() and not path.is_symlink():
        if (path / "inner").exists():
            shutil.rmtree(path)
    elif not path.is_file() or path.is_symlink() or path.read_bytes() == PLANTED:
        path.unlink(missing_ok=True)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """Return a directory that must not change."""
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "precious").write_bytes(b"precious")
    (outside / "inner/index.html").write_bytes(b"precious")
    before = listing(outside)
    yield outside
    assert listing(outside) == before


def run(site: Site, planted: Path) -> tuple[int, str]:
    """Run ``mirror``, and return its exit status and log; fail if it waits for a pipe."""
    waited = threading.Event()

    def release() -> None:
        waited.set()
        if planted.is_fifo():
            os.close(os.open(planted, os.O_RDWR | os.O_NONBLOCK))

    timer = threading.Timer(LIMIT, release)
    timer.start()
    try:
        ran = site.mirror()
    finally:
        timer.cancel()
        timer.join()
    assert not waited.is_set(), "it waited for the other end of a pipe"
    return ran.code, ran.out + ran.log


def prepare(index: Index, site: Site, name: str) -> None:
    """Mirror some projects, and change the index."""
    inside = name.startswith("mirrored")
    diff = site.root / "mirrored" if inside else site.home / "list"
    site.configure(json="true", diff_file=diff)
    for project in ("foo", "bar", "gone"):
        index.release(project, "1.0", sdist=True)
    assert site.mirror().code == 0
    site.clock.advance(hours=1)
    index.release("foo", "2.0")
    index.release("new", "1.0")
    index.remove_file("bar", "bar-1.0.tar.gz")
    index.remove_project("gone")


def check_planted(index: Index, site: Site, outside: Path, name: str, kind: str) -> None:
    """Plant one thing, run the program, remove the thing, and check that the mirror heals."""
    prepare(index, site, name)
    path = (site.root / name).resolve() if name.startswith("..") else site.root / name
    aside = site.home / "aside"
    if name in AREA and path.exists():
        path.rename(aside)  # it comes back, as a disk that is mounted again
    plant(path, kind, outside)

    code, log = run(site, path)

    assert code in {0, 4, 7}, log
    assert "Traceback" not in log
    if code:
        named = name.removeprefix("../").removesuffix("/foo")
        assert any(part in log for part in (named, path.name)), log
    remove(path)
    if aside.exists():
        aside.rename(path)
    for _ in range(2):
        site.clock.advance(hours=1)
        code, log = run(site, path)
    assert code == 0, log
    assert site.names() == ["bar", "foo", "new"]
    assert "foo-2.0-py3-none-any.whl" in site.filenames("foo")
    site.check()


def is_a_fault(name: str, kind: str) -> bool:
    """Whether nothing of a kind should be at a name.

    An area may be a linked directory, and a file that the operator names may be a link.
    """
    if name in GIVEN:
        return kind not in {"link", "dangling"}
    return name not in AREA or kind not in {"linked directory", "directory"}


ALL = [(name, kind) for name in NAMES for kind in KINDS if is_a_fault(name, kind)]


def pairs(count: int) -> list[tuple[str, str]]:
    """Return some pairs of name and kind, with each name and each kind among them."""
    dice = random.Random(20261130)
    chosen = [
        dice.choice([(name, kind) for kind in KINDS if is_a_fault(name, kind)]) for name in NAMES
    ]
    return [*chosen, *dice.sample([each for each in ALL if each not in chosen], count)]


@pytest.mark.parametrize(("name", "kind"), pairs(4))
def test_what_is_planted_at_a_name_does_no_harm(
    index: Index, site: Site, outside: Path, name: str, kind: str
) -> None:
    check_planted(index, site, outside, name, kind)


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "kind"), ALL)
def test_every_kind_at_every_name_does_no_harm(
    index: Index, site: Site, outside: Path, name: str, kind: str
) -> None:
    check_planted(index, site, outside, name, kind)


# ---------------------------------------------------------------- exchanged while a run is at work

_EXCHANGE = 2
_RENAMEAT2 = 316
_HERE = -100


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return whether that is possible."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    return bool(libc.syscall(_RENAMEAT2, _HERE, paths[0], _HERE, paths[1], _EXCHANGE) == 0)


@contextmanager
def exchanging(one: Path, other: Path, server: IndexServer) -> Iterator[None]:
    """Exchange two names all the time from the first request on; leave each at its place.

    What is a link when a run begins may be an area that the operator made.
    """
    if os.uname().machine != "x86_64" or not exchange(one, other):
        pytest.skip("no names can be exchanged in one step here")
    exchange(one, other)
    begin, stop = threading.Event(), threading.Event()

    def work() -> None:
        begin.wait()
        while not stop.is_set():
            exchange(one, other)

    thread = threading.Thread(target=work)
    thread.start()
    server.on_request = lambda _: begin.set()
    try:
        yield
    finally:
        server.on_request = lambda _: None
        stop.set()
        begin.set()
        thread.join()
        if one.is_symlink():
            exchange(one, other)


EXCHANGED: dict[str, Callable[[Site], Path]] = {
    "a project": lambda site: site.web / "simple/foo",
    "its versions": lambda site: site.web / "simple/foo/versions",
    "the first level": lambda site: min((site.web / "packages").iterdir()),
    "the second level": lambda site: min(min((site.web / "packages").iterdir()).iterdir()),
    "pages": lambda site: site.web / "simple",
    "files": lambda site: site.web / "packages",
    "the served tree": lambda site: site.web,
    "the trash": lambda site: site.root / "removed",
    "temporary files": lambda site: site.root / ".partial",
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=[] if number % 4 == 0 else pytest.mark.nightly)
        for number, what in enumerate(EXCHANGED)
    ],
)
def test_a_directory_that_is_exchanged_with_a_link_during_runs_is_not_followed(
    index: Index, server: IndexServer, site: Site, outside: Path, what: str
) -> None:
    site.configure(keep_index_versions=3)
    names = [f"foo{number}" for number in range(6)]
    for name in ("foo", *names):
        index.release(name, "1.0", sdist=True)
    assert site.mirror().code == 0
    (site.root / "removed").mkdir(exist_ok=True)
    planted = site.root / "planted"
    planted.symlink_to(outside)
    for number in range(2):
        for name in ("foo", *names):
            index.release(name, f"{number + 2}.0")
            index.remove_file(name, next(iter(index.projects[name].files)))
        with exchanging(EXCHANGED[what](site), planted, server):
            ran = site.mirror()
        assert ran.code in {0, 4, 7}, ran.log
        assert "Traceback" not in ran.log
    planted.unlink()

    site.mirror("--force-check")
    ran = site.mirror("--force-check")
    assert ran.code == 0, ran.log
    site.check()
