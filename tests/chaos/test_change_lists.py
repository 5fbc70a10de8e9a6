"""Case 123: the lists of changes, by which a copy of a mirror is kept, while runs are killed."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.workloads import REMOVAL, UPDATE, Trials, Workload
from tests.support.system_calls import KILL, Call, noted, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.case import Case
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

FEW, PARTS = 4, 8
LIST = "changed"


def listing(prepare: Callable[[Index, Site], None]) -> Callable[[Index, Site], None]:
    """Return a preparation of the same mirror with lists of changes."""

    def prepared(index: Index, site: Site) -> None:
        prepare(index, site)
        site.configure(diff_file="{{ mirror_directory }}/" + LIST)

    return prepared


LISTED = [Workload(each.name, listing(each.prepare), each.command) for each in (UPDATE, REMOVAL)]


@dataclass
class Copy:
    """A copy of a mirror that is updated from its lists alone."""

    home: Path
    site: Site

    @property
    def web(self) -> Path:
        """The copy of what is served."""
        return self.home / "web"

    def begin(self) -> None:
        """Copy the whole mirror."""
        shutil.copytree(self.site.web, self.web)

    def follow(self) -> None:
        """Copy what the lists name: each name must be a file, or no longer exist."""
        root = self.site.root
        for line in (root / f"{LIST}.deleted").read_text().splitlines():
            (self.home / Path(line).relative_to(root)).unlink(missing_ok=True)
        for line in (root / LIST).read_text().splitlines():
            source = Path(line)
            if source.exists():  # a changed file may have been removed later in the same run
                target = self.home / source.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def tree(self) -> dict[str, bytes]:
        """Return the content that lists name: everything except copies of legacy documents."""
        return told_of(self.web)


def told_of(web: Path) -> dict[str, bytes]:
    """Return the content that is served and named by lists."""
    return {
        str(path.relative_to(web)): path.read_bytes()
        for path in web.rglob("*")
        if path.is_file()
        and path.name not in {"last-modified", ".mirror"}
        and path.relative_to(web).parts[0] != "pypi"
    }


def follow_after(trials: Trials, calls: list[Call]) -> None:
    """Kill a run before each of these calls; assert that the next lists are complete."""
    for last in calls:
        site = trials.copy()
        copy = Copy(site.home / "copy", site)
        copy.begin()

        def decide(call: Call, last: Call = last) -> int | None:
            return KILL if call.number == last.number else None

        watched = trials.watch(site, decide)
        with noted(f"killed before call {watched.calls[-1]}"):
            assert watched.killed or watched.code == 0, watched.log
            if not watched.killed:
                copy.follow()
            trials.must_succeed(trials.finish(site))
            copy.follow()
            assert copy.tree() == told_of(site.web)
            assert not (site.root / ".journal").exists()


def just_after_changes(calls: Sequence[Call]) -> list[Call]:
    """Return the calls that follow a change of the served tree."""
    return [
        call
        for before, call in pairwise(calls)
        if before.name in {"rename", "unlink"} and any(p.startswith("web/") for p in before.paths)
    ]


@pytest.fixture
def prepare(tmp_path: Path, server: IndexServer) -> Callable[[Workload], Trials]:
    """Return a function that prepares a workload."""
    return lambda workload: Trials(tmp_path, server, workload)


@pytest.mark.parametrize("workload", LISTED, ids=str)
def test_case_123_the_next_lists_have_what_a_killed_run_published(
    prepare: Callable[[Workload], Trials], workload: Workload
) -> None:
    trials = prepare(workload)

    follow_after(trials, spread(just_after_changes(trials.calls()), FEW))


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("workload", LISTED, ids=str)
def test_case_123_after_a_kill_at_any_moment_the_lists_are_complete(
    prepare: Callable[[Workload], Trials], workload: Workload, part: int
) -> None:
    trials = prepare(workload)

    follow_after(trials, trials.calls()[part::PARTS])


def test_case_123_the_lists_of_a_run_with_a_storage_failure_name_its_changes(
    prepare: Callable[[Workload], Trials],
) -> None:
    """Three formats of a page are written in one step, and the third write may fail."""
    trials = prepare(LISTED[0])
    site = trials.copy()
    copy = Copy(site.home / "copy", site)
    copy.begin()
    changed = 0

    def decide(call: Call) -> int | None:
        nonlocal changed
        changed += call.name == "rename" and call.paths[-1].startswith("web/simple/beta/")
        return errno.ENOSPC if changed == 2 and call.name == "rename" else None

    watched = trials.watch(site, decide)

    assert (watched.code, changed) == (7, 2), watched.log
    copy.follow()
    assert copy.tree() == told_of(site.web)
    trials.must_succeed(trials.finish(site))
    copy.follow()
    assert copy.tree() == told_of(site.web)


def test_case_123_the_next_run_completes_lists_that_could_not_be_written(case: Case) -> None:
    case.mirrored("foo")
    full = case.site.home / "neighbour" / "full"
    full.symlink_to("/dev/full")
    case.site.configure(diff_file=full)
    case.index.release("foo", "2.0")
    assert case.site.mirror().code == 7
    case.site.configure(diff_file=case.site.root / LIST)

    assert case.site.mirror().code == 0

    lines = (case.site.root / LIST).read_text().splitlines()
    named = {str(Path(line).relative_to(case.site.web)) for line in lines}
    new = {path for path in case.site.tree() if "foo-2.0" in path or path.startswith("simple/foo/")}
    assert len(new) == 5
    assert new <= named


def test_case_123_an_undisturbed_run_lists_only_its_changes(case: Case) -> None:
    case.site.configure(diff_file=case.site.root / LIST)
    case.mirrored("foo", "bar")
    assert not (case.site.root / ".journal").exists()

    assert case.site.mirror("--force-check").code == 0

    assert (case.site.root / LIST).read_text() == ""
    assert (case.site.root / f"{LIST}.deleted").read_text() == ""


def test_case_123_a_hostile_journal_is_ignored(case: Case) -> None:
    case.site.configure(diff_file=case.site.root / LIST)
    case.mirrored("foo")
    notes = [b"+../neighbour/precious.txt", b"-web/none", b"?web/simple/foo/index.html", b"+\xff"]
    notes += [b"+status", b"+web/simple/foo/index.html", b"+web/simple/fo"]
    (case.site.root / ".journal").write_bytes(b"\0".join(notes))

    assert case.site.mirror().code == 0

    assert (case.site.root / LIST).read_text() == f"{case.site.web}/simple/foo/index.html"
    assert (case.site.root / f"{LIST}.deleted").read_text() == f"{case.site.web}/none"
