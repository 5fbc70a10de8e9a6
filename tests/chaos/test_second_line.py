"""Cases 146 to 153: heavy documents, the sweep, disks that are missing, failures of one project."""

from __future__ import annotations

import errno
import gzip
import sys
from typing import TYPE_CHECKING

import pytest

from bandersnatch.cli.exit_codes import ExitCode, code_for_report
from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import StorageError, UnexpectedError
from bandersnatch.events import ProjectFailed
from bandersnatch.mirror.report import RunReport
from bandersnatch.storage.mounts import MountTables, require_disk
from tests.support import faults
from tests.support.clock import QuickClock
from tests.support.index import Index
from tests.support.system_calls import Call, noted, watch
from tests.support.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from bandersnatch.index.port import FetchedDetail
    from bandersnatch.model.content import Validators
    from bandersnatch.model.names import ProjectName
    from tests.chaos.case import Case

MARKUP = {
    "less-than signs": b"< ",
    "tags": b"<p>",
    "attributes": b"<p " + b"a " * 20_000 + b">",
    "links without an address": b"<a>",
}


@pytest.mark.parametrize("kind", MARKUP)
def test_case_146_a_heavy_page_fails_its_project_soon(case: Case, kind: str) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    page = b"<title>Links for foo</title>" + MARKUP[kind] * (2**22 // len(MARKUP[kind]))
    case.fault("detail", faults.body(page, "text/html"), project="foo")

    ran = case.mirror(exits=4)

    assert len(gzip.compress(page)) < 20_000
    assert ran.failed == {"foo": "InvalidPage"}
    assert "it is too heavy" in ran.log
    assert len(case.site.filenames("bar")) == 2
    case.heals()


def test_case_146_a_heavy_list_ends_the_run_soon(case: Case) -> None:
    case.mirrored("foo", "bar")
    case.site.configure(api_method="simple")
    case.index.release("foo", "2.0")
    case.fault("list", faults.body(b"<title>Simple</title>" + b"<p>" * 2**21, "text/html"))

    ran = case.mirror(exits=3)

    assert "it is too heavy" in ran.log
    case.heals()


def test_case_147_what_no_serial_shows_is_found(case: Case) -> None:
    case.mirrored("foo", "bar", "baz")
    case.clock.advance(days=31)
    case.index.archive("foo")

    ran = case.mirror()

    assert ran.report["sweep"] == {"asked": 3, "found": 1}
    assert case.site.page("foo")["project-status"] == {"status": "archived"}
    case.heals()


def test_case_148_pages_that_the_sweep_cannot_read_are_asked_for_again(case: Case) -> None:
    case.mirrored("foo", "bar", "baz")
    case.clock.advance(days=31)
    case.index.release("bar", "2.0")
    case.index.archive("foo")
    case.fault("detail", faults.status(500), project="foo")

    ran = case.mirror(exits=4)

    assert ran.failed.keys() == {"foo"}
    assert case.site.status == case.index.serial
    case.heals()


@pytest.mark.parametrize("named", ["mirror", "."])
def test_case_149_a_mount_point_without_a_mount_is_refused(tmp_path: Path, named: str) -> None:
    (tmp_path / "fstab").write_text(f"/dev/sdb {(tmp_path / named).resolve()} ext4 defaults 0 0\n")
    (tmp_path / "mounts").write_text("")
    tables = MountTables(
        fstab=str(tmp_path / "fstab"), units=str(tmp_path), mounted=str(tmp_path / "mounts")
    )

    with pytest.raises(StorageError, match="is the disk mounted"):
        require_disk(str(tmp_path / "mirror"), must_exist=False, tables=tables)

    assert not (tmp_path / "mirror").exists()


def test_case_150_a_mirror_that_must_exist_is_not_begun(case: Case) -> None:
    case.index.release("foo", "1.0")
    case.site.configure(must_exist="true")

    ran = case.site.mirror()

    assert ran.code == 7
    assert "is the disk mounted?" in ran.log
    assert not case.site.root.exists()
    case.site.configure(must_exist="false")
    case.mirror()
    case.site.configure(must_exist="true")
    case.mirror()
    case.site.configure(must_exist="false")
    case.heals()


@pytest.mark.parametrize("error", [errno.EACCES, errno.ENOTDIR, errno.EIO])
def test_case_151_a_project_that_cannot_be_removed_keeps_no_other(case: Case, error: int) -> None:
    case.mirrored("foo", "bar", "baz", "qux")
    for name in ("foo", "bar"):
        case.index.remove_project(name)
    case.index.release("baz", "2.0")

    def decide(call: Call) -> int | None:
        is_there = any("simple/foo/" in path for path in call.paths)
        return error if call.name == "rename" and is_there else None

    command = [sys.executable, "-m", "bandersnatch", "-c", str(case.site.config), "mirror"]
    ran = watch(command, case.site.root, decide)

    with noted(ran.log):
        assert ran.code == 7
        assert "Traceback" not in ran.log
        assert case.site.names() == ["baz", "qux"]
        assert not (case.site.web / "simple/bar").exists()
        assert len(case.site.filenames("baz")) == 2
        assert watch(command, case.site.root).code == 0
    assert not (case.site.web / "simple/foo").exists()
    case.site.check()


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("deep"), OSError("odd")])
def test_case_152_an_unforeseen_exception_is_the_failure_of_one_project(error: Exception) -> None:
    index = Index()
    for name in ("foo", "bar", "baz"):
        index.release(name, "1.0")
    world = World(index, QuickClock(), ApiMethod.XMLRPC)
    fetch = world.upstream.fetch_detail

    async def fetch_detail(
        name: ProjectName, known: Validators, /, *, doubtful: bool = False
    ) -> FetchedDetail | None:
        if name == "foo":
            raise error
        return await fetch(name, known, doubtful=doubtful)

    world.upstream.fetch_detail = fetch_detail  # type: ignore[method-assign]
    world.run()

    failed = [each for each in world.report if isinstance(each, ProjectFailed)]
    assert [(each.name, type(each.error)) for each in failed] == [("foo", UnexpectedError)]
    assert world.page("bar") is not None
    assert world.page("baz") is not None
    report = RunReport("mirror", world.clock.now())
    for each in failed:
        report(each)
    assert code_for_report(report) is ExitCode.BUG


@pytest.mark.parametrize("failing", [range(25), range(15, 40), range(0, 40, 2)])
def test_case_153_most_projects_fail_and_all_others_are_synced(case: Case, failing: range) -> None:
    names = [f"p{number:02}" for number in range(40)]
    case.mirrored(*names)
    for name in names:
        case.index.release(name, "2.0")
    for number in failing:
        case.fault("detail", faults.status(500), project=names[number])

    ran = case.mirror(exits=4)

    assert ran.failed.keys() == {names[number] for number in failing}
    assert {*ran.synced} == {*names} - ran.failed.keys()
    case.heals()
