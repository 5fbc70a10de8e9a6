"""Cases 85 to 90: edited state, and planted links, pipes and devices."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import stat
from contextlib import chdir
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.chaos.case import Case
    from tests.support.index import File

EDITED = [
    "9\n../../neighbour 5",
    "9\n/etc/passwd 9\n.. 3",
    "9\na/b 1\n\x1b[31mfoo 4",
    "../../neighbour",
    "-1\nfoo -1",
    "9" * 400,
    "\x00",
]


@pytest.mark.parametrize("todo", EDITED, ids=lambda each: ascii(each)[:20])
@pytest.mark.parametrize("name", ["todo", "status"])
def test_case_085_an_edited_state_file_does_no_harm(case: Case, name: str, todo: str) -> None:
    """It is not trusted: everything is checked again, nothing downloaded, exit status 0."""
    case.mirrored("foo", "bar")
    case.index.release("foo", "2.0")
    (case.site.root / name).write_text(todo)
    before = around(case)

    ran = case.site.mirror()

    assert ran.code == 0, ran.log
    assert around(case) == before
    assert "\x1b" not in ran.log
    assert len(case.asked("file")) == 1
    case.heals()


def around(case: Case) -> dict[str, object]:
    """Return everything outside the mirror."""
    found = listing(case.site.home / "neighbour")
    return {**found, **listing(case.site.home / "mirror-of-another")}


ROWS = [
    *["../neighbour/precious.txt", "../../neighbour/precious.txt", "/etc/hostname", "../status"],
    *["packages/../../../neighbour/precious.txt", "simple/bar/index.html", "json/bar"],
]


@pytest.mark.parametrize(
    "command", [["delete", "--until-next-change", "foo"], ["verify"], ["mirror"]]
)
def test_case_086_an_edited_row_does_no_harm(case: Case, command: list[str]) -> None:
    case.mirrored("bar", "foo")
    before = around(case)
    bars = {path: text for path, text in case.site.tree().items() if "bar" in path}
    for row in ROWS:
        with sqlite3.connect(case.site.root / "catalogue.sqlite") as database:
            database.execute("UPDATE file SET path = ? WHERE project = 'foo'", (row,))
        case.clock.advance(hours=1)

        ran = case.site.run(*command)

        assert "Traceback" not in ran.log
        assert around(case) == before
        assert bars.items() <= case.site.tree().items()
        case.index.yank("foo", "1.0", row)
        if case.site.mirror("--force-check").code == 7:
            case.mirror()  # creates a new catalogue
    case.heals()


@pytest.mark.parametrize("path", ["", ".", "..", "packages//x", "packages/aa\0"])
@pytest.mark.parametrize("first", ["mirror", "verify", "verify --quick"])
def test_case_086_a_row_with_an_invalid_path_is_repaired(case: Case, path: str, first: str) -> None:
    case.mirrored("bar", "foo")
    with sqlite3.connect(case.site.root / "catalogue.sqlite") as database:
        database.execute("UPDATE file SET path = ? WHERE project = 'foo'", (path,))
    if first != "mirror":
        case.clock.advance(hours=1)
        ran = case.site.run(*first.split())
        assert ran.code == 0, ran.log
        assert "the catalogue has damaged rows (project foo)" in ran.log

    case.mirror("--force-check")

    assert case.asked("file", "sidecar") == []
    assert case.site.run("verify", "--quick").report["damage"]["found"] == 0
    case.heals()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE file SET path = x'ff' WHERE project = 'foo'",
        "UPDATE file SET path = CAST(x'ff' AS TEXT) WHERE project = 'foo'",
        "UPDATE file SET hashes = 'sha256:00' WHERE project = 'foo'",
        "UPDATE file SET uploaded = 'today' WHERE project = 'foo'",
        "UPDATE project SET standing = 'invalid' WHERE name = 'foo'",
        "UPDATE project SET status = 'not a status!' WHERE name = 'foo'",
        "INSERT INTO trash VALUES ('.', 1, '', 1, 1)",
        "INSERT INTO deferred (name, deferral) VALUES ('.', 'pending')",
    ],
)
def test_case_107_an_invalid_row_is_dropped_and_costs_no_download(case: Case, damage: str) -> None:
    case.mirrored("bar", "foo")
    with sqlite3.connect(case.site.root / "catalogue.sqlite") as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(damage)
    case.index.yank("foo", "1.0", "again")

    ran = case.mirror("--force-check")

    assert "the catalogue has damaged rows" in ran.log
    assert case.asked("file", "sidecar") == []
    assert not (case.site.root / "catalogue.sqlite.unusable").exists()
    case.heals()


URLS = [
    *[
        "../../../../neighbour/precious.txt",
        "file:///etc/hostname",
        "//example.org/../x",
        "../../json/bar",
    ],
    *["../../packages/..%2f..%2f..%2fneighbour/precious.txt", "javascript:alert(1)", "\x1b[31m"],
]


@pytest.mark.parametrize(
    "command", [["delete", "--until-next-change", "foo"], ["verify"], ["mirror"]]
)
def test_case_086_an_edited_page_does_no_harm(case: Case, command: list[str]) -> None:
    """The catalogue is deleted, so that the pages are the only source."""
    case.mirrored("bar", "foo")
    before = around(case)
    bars = {path: text for path, text in case.site.tree().items() if "bar" in path}
    for url in URLS:
        page = case.site.web / "simple/foo/index.v1_json"
        told = json.loads(page.read_text())
        told["files"][0]["url"] = url
        page.write_text(json.dumps(told))
        (case.site.root / "catalogue.sqlite").unlink()

        ran = case.site.run(*command)

        assert "Traceback" not in ran.log
        assert around(case) == before
        assert bars.items() <= case.site.tree().items()
        case.index.yank("foo", "1.0", "again")
        assert case.site.mirror("--force-check").code == 0
    case.heals()


@pytest.mark.parametrize("name", ["", ".", "..", "*", "/", "../foo", "foo/bar", "fo o", "x" * 201])
@pytest.mark.parametrize("command", ["delete", "restore", "sync"])
def test_case_087_an_argument_that_is_not_a_project_name_is_refused(
    case: Case, command: str, name: str
) -> None:
    case.mirrored("foo")
    before = listing(case.site.home)

    ran = case.site.ask(command, "foo", name)

    assert ran.code == 2
    (line,) = ran.errors()
    assert "project name" in line
    assert listing(case.site.home) == before
    assert case.server.asked == []


def test_case_087_unknown_projects_are_named(case: Case) -> None:
    case.mirrored("foo")
    before = case.site.tree()
    names = [f"unheard-of-{number}" for number in range(300)]

    ran = case.site.run("delete", "--until-next-change", *names)

    assert ran.code == 4
    assert ran.failed == dict.fromkeys(names, "UnmirroredProject")
    assert case.site.tree() == before
    case.heals()


# ---------------------------------------------------------------- links, pipes, directories


def link_to(target: Path) -> Callable[[Path], None]:
    """Return a function that plants a link to a target."""
    return lambda path: path.symlink_to(target)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, chdir(path.parent):
        listener.bind(path.name)


def device(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a device")
    os.mknod(path, 0o644 | stat.S_IFCHR, os.makedev(1, 3))


def prepared(case: Case) -> File:
    """Mirror two projects, and return a new file to download."""
    case.mirrored("foo", "bar")
    case.index.release("bar", "2.0")
    (file,) = case.index.release("foo", "2.0")
    return file


def in_place_of(path: Path, plant: Callable[[Path], None]) -> None:
    """Replace whatever is at a path."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    plant(path)


PLACES: Mapping[str, Callable[[File], str]] = {
    "file": lambda file: f"web{file.path}",
    "core metadata": lambda file: f"web{file.path}.metadata",
    "page": lambda _: "web/simple/foo/index.html",
    "json page": lambda _: "web/simple/foo/index.v1_json",
    "root": lambda _: "web/simple/index.html",
    "temporary": lambda _: ".partial/t0",
    "download": lambda file: f".partial/{file.sha256}",
}
TARGETS = {
    "a file": "precious.txt",
    "nothing": "no-such-file",
    "a directory": "",
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("place", PLACES)
def test_case_088_a_planted_link_is_replaced_and_not_followed(
    case: Case, place: str, target: str
) -> None:
    file = prepared(case)
    path = case.site.root / PLACES[place](file)
    in_place_of(path, link_to(case.site.home / "neighbour" / TARGETS[target]))
    before = around(case)

    assert case.site.mirror().code == 0

    assert around(case) == before
    assert not path.is_symlink()
    case.heals()


@pytest.mark.parametrize("place", ["web/packages/xx", "web/simple/foo"])
def test_case_088_a_directory_that_is_a_link_fails_its_projects_only(
    case: Case, place: str
) -> None:
    file = prepared(case)
    path = case.site.root / place.replace("xx", file.path.split("/")[2])
    in_place_of(path, link_to(case.site.home / "neighbour"))
    before = around(case)

    ran = case.site.mirror()

    assert ran.code == 4
    assert ran.failed == {"foo": "ObstructedPath"}
    assert "it is a link, which is not followed here" in ran.log
    assert ran.synced == ["bar"]
    assert around(case) == before
    path.unlink()
    case.site.mirror("--force-check")
    case.heals()


@pytest.mark.parametrize("name", ["status", "todo"])
def test_case_088_a_state_file_that_is_a_link_stops_the_run_before_any_change(
    case: Case, name: str
) -> None:
    """State decides on the whole run, and such a link is no accident."""
    prepared(case)
    path = case.site.root / name
    before, times = around(case), case.site.times()
    told = path.read_bytes() if path.exists() else None
    in_place_of(path, link_to(case.site.home / "neighbour/precious.txt"))

    ran = case.site.mirror()

    assert ran.code == 7
    assert f"storage failed at {name}: it is a link that leads out of the mirror" in ran.log
    assert (around(case), case.site.times()) == (before, times)
    path.unlink()
    if told is not None:
        path.write_bytes(told)
    case.heals()


def test_case_088_a_whole_area_may_be_a_link(case: Case) -> None:
    case.mirrored("foo")
    elsewhere = case.site.root / "elsewhere"
    (case.site.web / "simple").rename(elsewhere)
    (case.site.web / "simple").symlink_to(elsewhere)
    case.index.release("foo", "2.0")

    assert case.site.mirror().code == 0

    assert (case.site.web / "simple").is_symlink()
    assert len(case.site.filenames("foo")) == 2
    case.site.check()


def test_case_088_a_link_swapped_in_during_a_run_is_not_followed(case: Case) -> None:
    """At each request a directory becomes a link, or a directory again."""
    case.mirrored("foo", "bar")
    for version in range(2, 12):
        case.index.release("foo", f"{version}.0")
    path, aside = case.site.web / "simple/foo", case.site.root / "aside"
    before = around(case)

    def swap(_: object) -> None:
        if path.is_symlink():
            path.unlink()
            aside.rename(path)
        elif path.is_dir():
            path.rename(aside)
            path.symlink_to(case.site.home / "neighbour")

    for _ in range(10):
        case.server.on_request = swap
        case.site.mirror()
        case.server.on_request = lambda _: None
        assert around(case) == before
        case.index.release("foo", f"{case.index.serial}.0")
    if path.is_symlink():
        swap(None)
    case.site.mirror("--force-check")
    shutil.rmtree(aside, ignore_errors=True)
    case.heals()


def test_case_089_a_hard_linked_published_file_is_replaced_and_not_overwritten(
    case: Case,
) -> None:
    file = prepared(case)
    case.mirror()
    theirs = case.site.home / "neighbour" / "theirs"
    for path in (case.site.web / file.path[1:], case.site.web / "simple/foo/index.html"):
        theirs.unlink(missing_ok=True)
        theirs.write_text("not yours")
        path.unlink()
        os.link(theirs, path)

        assert case.site.run("verify").code == 0

        assert theirs.read_text() == "not yours"
        assert theirs.stat().st_nlink == 1
    case.heals()


@pytest.mark.parametrize("kind", [pipe, bound_socket, device])
@pytest.mark.parametrize("place", PLACES)
def test_case_090_a_special_file_is_replaced_and_never_opened(
    case: Case, place: str, kind: Callable[[Path], None]
) -> None:
    """A rename puts the file in its place, without opening it."""
    file = prepared(case)
    path = case.site.root / PLACES[place](file)
    in_place_of(path, kind)

    assert case.site.mirror().code == 0

    assert path.is_file() or not path.exists()
    case.heals()


@pytest.mark.parametrize("place", ["file", "page", "json page", "download"])
def test_case_090_a_directory_in_the_place_of_a_file_fails_its_project_only(
    case: Case, place: str
) -> None:
    """A directory may have content that is not the mirror's to delete."""
    file = prepared(case)
    path = case.site.root / PLACES[place](file)
    in_place_of(path, lambda path: path.mkdir())
    (path / "kept").write_text("somebody's")

    for synced in (["bar"], []):
        ran = case.site.mirror()
        assert ran.code == 4, ran.log
        assert ran.failed == {"foo": "ObstructedPath"}
        assert len(ran.errors()) == 1
        assert "a directory is in its place; move that away" in ran.log
        assert ran.synced == synced
        assert (path / "kept").read_text() == "somebody's"

    shutil.rmtree(path)
    case.heals()


def test_case_090_a_directory_in_the_place_of_core_metadata_omits_the_metadata(case: Case) -> None:
    file = prepared(case)
    path = case.site.web / f"{file.path[1:]}.metadata"
    in_place_of(path, lambda path: path.mkdir())

    ran = case.site.mirror()

    assert ran.code == 0
    assert ran.report["files"]["core_metadata_missing"] == 1
    path.rmdir()
    case.heals()


@pytest.mark.parametrize("place", ["file", "page"])
def test_case_090_verify_reports_a_directory_and_continues(case: Case, place: str) -> None:
    file = prepared(case)
    case.mirror()
    in_place_of(case.site.root / PLACES[place](file), lambda path: path.mkdir())
    other = case.site.web / "simple/bar/index.html"
    other.unlink()

    ran = case.site.run("verify")

    assert ran.code == 8, ran.log
    assert "a directory is in its place; move that away" in ran.log
    assert other.is_file()
