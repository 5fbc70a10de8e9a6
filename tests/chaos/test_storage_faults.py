"""Cases 101, 102, 104 and 107 to 112: faults of disks, trees and state.

Cases 100 and 103 are in ``test_failing_calls.py``, 105 and 106 in ``test_power_cut.py``.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from tests.chaos.workloads import UPDATE, Trials
from tests.support.disks import listing, make_read_only, modes, mounted, umask
from tests.support.system_calls import noted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.case import Case
    from tests.support.server import IndexServer
    from tests.support.system_calls import Call

# ---------------------------------------------------------------- disks


ALL_OF_IT = "1000 TB"
"""More than any disk has: all space is to stay free."""


def test_case_101_without_space_pages_are_published_and_files_wait(case: Case) -> None:
    names = [f"needs-files-{number}" for number in range(5)]
    case.mirrored("yanked", "shrinking", "new-file", *names)
    case.index.release("shrinking", "2.0")
    case.mirror()
    case.server.forget()
    case.index.yank("yanked", "1.0", "broken")
    case.index.remove_file("shrinking", "shrinking-1.0-py3-none-any.whl")
    for name in ("new-file", *names):
        case.index.release(name, "2.0")
    case.index.release("new-project", "1.0")
    waiting = ["new-file", "new-project", *names]
    before = case.site.status
    case.site.configure(min_free_space=ALL_OF_IT)

    ran = case.mirror(exits=7, behind=waiting)

    (line,) = ran.errors()
    assert "not enough free space for web/packages/" in line
    assert "free some space, or lower min-free-space" in line
    assert ran.stopped == ["InsufficientSpace"]
    assert ran.synced == ["shrinking", "yanked"]
    assert sorted(ran.report["projects"]["blocked"]) == sorted(waiting)
    assert {line.partition(" ")[0] for line in case.site.todo()[1:]} == set(waiting)
    assert case.asked("file", "sidecar") == []
    assert case.site.page("yanked")["files"][0]["yanked"] == "broken"
    assert before <= case.site.status < case.index.serial
    assert "Waiting for disk space: needs-files-0, needs-files-1" in ran.out
    case.site.configure(min_free_space="0")
    case.heals()


def test_case_101_sync_reports_a_project_that_waits_for_space(case: Case) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    case.site.configure(min_free_space=ALL_OF_IT)

    ran = case.sync("foo", exits=7, behind=["foo"])

    assert ran.report["projects"]["blocked"] == ["foo"]
    case.site.configure(min_free_space="0")
    case.heals()


def test_case_101_downloads_stop_before_the_reserved_space_is_used(
    case: Case,
) -> None:
    """Downloads never use it; pages and the catalogue are small, and continue."""
    mebibyte, floor, beside = 1024 * 1024, 8 * 1024 * 1024, 512 * 1024
    names = [f"large-{number}" for number in range(8)]
    for name in names:
        case.index.release(name, "1.0", size=2 * mebibyte, metadata=False)
    case.site.root.mkdir()
    with mounted(case.site.root, size="16m"):
        case.site.configure(min_free_space="8 MB")

        ran = case.mirror(exits=7, behind=names)

        found = os.statvfs(case.site.root)
        free = found.f_bavail * found.f_frsize
        assert floor - beside <= free < floor + 2 * mebibyte
        assert len(ran.synced) == 3
        assert len(ran.report["projects"]["blocked"]) == 5
        case.site.configure(min_free_space="0")
        case.index.remove_project("large-7")
        case.index.remove_project("large-6")
        case.server.forget()
        assert case.site.mirror().report["projects"]["blocked"] == []


def test_case_101_a_small_disk_works_as_before(case: Case) -> None:
    """One hundredth of it stays free, and not a gigabyte."""
    case.index.release("foo", "1.0", size=3 * 1024 * 1024)
    case.site.root.mkdir()
    with mounted(case.site.root, size="4m"):
        case.mirror()


def test_case_101_verify_reports_what_it_has_no_space_to_repair(case: Case) -> None:
    case.mirrored("foo")
    right = case.site.tree()
    for path in served(case):
        if "packages" in path.parts:
            path.unlink()
    case.site.configure(min_free_space=ALL_OF_IT)

    ran = case.site.run("verify")

    assert ran.code == 8
    told = ran.report["damage"]["details"]
    assert len(told) == 2, "the file and its core metadata"
    assert all("lower min-free-space" in each["reason"] for each in told)
    case.site.configure(min_free_space="0")
    assert case.site.run("verify").code == 0
    assert case.site.tree() == right


def test_case_101_a_plan_includes_the_reserved_space(case: Case) -> None:
    case.index.release("foo", "1.0")
    case.site.configure(min_free_space=ALL_OF_IT)
    assert "Free on the disk: 0 bytes: NOT ENOUGH" in case.site.ask("plan").out
    case.site.configure(min_free_space="0")
    assert ": enough" in case.site.ask("plan").out


def test_case_102_a_read_only_disk_is_reported_immediately(case: Case) -> None:
    case.site.root.mkdir()
    with mounted(case.site.root, size="8m"):
        case.mirrored("foo")
        case.index.release("foo", "2.0")
        before = listing(case.site.root)
        make_read_only(case.site.root)

        ran = case.site.mirror()

        assert ran.code == 7
        (line,) = ran.errors()
        assert "Read-only file system" in line
        assert case.server.asked == []
        assert listing(case.site.root) == before


@pytest.mark.parametrize("area", ["web", "web/packages", "web/simple", "removed"])
def test_case_104_an_area_on_another_file_system(case: Case, area: str) -> None:
    """It is staged there; what moves to it is copied, and nothing is lost when it is full."""
    case.site.configure(min_free_space="0")
    case.index.release("foo", "1.0", size=2_000_000)
    case.index.release("bar", "1.0")
    (case.site.root / area).mkdir(parents=True)
    with mounted(case.site.root / area, size="3m"):
        case.mirror()
        case.index.release("foo", "2.0", size=2_000_000)
        case.index.remove_file("foo", "foo-1.0-py3-none-any.whl")
        case.index.release("bar", "2.0")
        if area in {"web", "web/packages"}:
            case.mirror(exits=7, behind=["foo"])
        else:
            case.mirror()


def test_case_104_a_mount_that_is_not_an_area(case: Case) -> None:
    """A file cannot be renamed there: the storage has failed, and the message says why."""
    case.index.release("foo", "1.0")
    file = next(iter(case.index.projects["foo"].files.values()))
    below = (case.site.web / file.path.lstrip("/")).parent
    below.mkdir(parents=True)
    with mounted(below):
        ran = case.mirror(exits=7, behind=["foo"])
        assert "another file system is mounted below its area; only web, " in ran.log
    case.heals()


# ---------------------------------------------------------------- damage


def flip(path: Path) -> None:
    """Change one byte, and keep size and time."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def served(case: Case) -> list[Path]:
    """Return every served file that ``verify`` checks."""
    return [case.site.web / path for path in case.site.tree()]


def test_case_107_verify_finds_and_repairs_every_changed_bit_of_the_tree(case: Case) -> None:
    """Legacy documents have no digest: damage that leaves valid JSON is not detected."""
    case.site.configure(json=True)
    case.mirrored("foo", "bar", "baz")
    right = case.site.tree()
    for path in {path.stat().st_ino: path for path in served(case)}.values():
        flip(path)
    count = sum(case.site.tree()[path] != right[path] for path in right)
    assert count == len(right)

    dry = case.site.run("verify", "--dry-run")
    assert (dry.code, dry.report["damage"]["found"]) == (8, count)
    assert case.site.tree() != right

    case.clock.advance(hours=1)
    ran = case.site.run("verify")
    assert (ran.code, ran.report["damage"]["repaired"]) == (0, count)
    assert case.site.tree() == right
    case.heals()


@pytest.mark.parametrize("at", [10, 100, 5000])
def test_case_107_a_changed_bit_of_the_catalogue_destroys_nothing(case: Case, at: int) -> None:
    """A catalogue that cannot be read is renamed and rebuilt from the tree."""
    case.mirrored("foo", "bar")
    before = case.site.tree()
    path = case.site.root / "catalogue.sqlite"
    content = bytearray(path.read_bytes())
    content[min(at, len(content) - 1)] ^= 0xFF
    path.write_bytes(content)

    ran = case.site.mirror()

    assert ran.code in {0, 7}, ran.log
    assert "Traceback" not in ran.log
    assert case.site.tree() == before
    for left in case.site.root.glob("catalogue.sqlite*"):
        left.unlink()
    case.heals()


STATES: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "rubbish": lambda path: path.write_bytes(b"\x00\xff" * 500),
}


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("name", ["status", "generation", "catalogue.sqlite"])
def test_case_108_lost_state_is_rebuilt_without_a_download(
    case: Case, name: str, kind: str
) -> None:
    case.mirrored("foo", "bar")
    before = case.site.tree()
    STATES[kind](case.site.root / name)

    ran = case.site.mirror()

    assert ran.code == 0 or (name, kind) == ("generation", "rubbish"), ran.log
    assert case.asked("file", "sidecar") == []
    assert case.site.tree() == before
    (case.site.root / "catalogue.sqlite.unusable").unlink(missing_ok=True)
    case.heals()


def test_case_108_state_that_is_older_than_the_tree_loses_nothing(case: Case) -> None:
    case.mirrored("foo", "bar")
    old = case.site.home / "neighbour" / "old"
    old.mkdir()
    names = ("status", "catalogue.sqlite")
    for name in names:
        shutil.copy(case.site.root / name, old)
    case.index.release("foo", "2.0")
    case.mirror()
    before = case.site.tree()
    for name in names:
        shutil.copy(old / name, case.site.root)
    case.server.forget()

    assert case.site.mirror().code == 0

    assert case.asked("file") == []
    assert case.site.tree() == before
    case.heals()


def test_case_108_the_tree_of_a_newer_release_is_refused(case: Case) -> None:
    case.mirrored("foo")
    path = case.site.root / "generation"
    before = path.read_text()
    path.write_text("99\n")
    tree = listing(case.site.web)

    ran = case.site.mirror()

    assert ran.code == 2
    assert len(ran.errors()) == 1
    assert case.server.asked == []
    assert listing(case.site.web) == tree
    path.write_text(before)
    case.heals()


def test_case_108_the_state_of_another_mirror_is_not_used(
    case: Case, make_site: Callable[..., object]
) -> None:
    case.mirrored("foo", "bar", "baz")
    own = case.site.tree()
    other = type(case.site)(case.site.home / "neighbour", case.server)
    other.clock = case.clock
    for name in ("qux", "quux", "quuux"):
        case.index.release(name, "1.0")
    other.allow("qux", "quux", "quuux")
    assert other.mirror().code == 0
    for name in ("status", "catalogue.sqlite"):
        shutil.copy(other.root / name, case.site.root)
    case.server.forget()

    assert case.site.mirror().code == 0

    assert own.items() <= {**case.site.tree(), **roots(own)}.items()
    fetched = {each.path.rpartition("/")[2].partition("-")[0] for each in case.asked("file")}
    assert fetched == {"qux", "quux", "quuux"}
    case.heals()


def roots(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Return the root pages."""
    return {path: text for path, text in tree.items() if path.startswith("simple/index")}


@pytest.mark.parametrize("command", [["mirror"], ["sync", "foo"], ["verify"]])
def test_case_109_a_tree_that_is_not_mounted_is_refused(case: Case, command: list[str]) -> None:
    """Detected by a catalogue with projects and a tree without any page."""
    case.mirrored("foo", "bar", "baz", "qux")
    aside = case.site.home / "neighbour" / "web"
    case.site.web.rename(aside)
    case.site.web.mkdir()

    ran = case.site.run(*command)

    assert ran.code == 7
    (line,) = ran.errors()
    assert (
        "is the disk mounted? To begin again with what is there, run: bandersnatch mirror --rebuild"
        in line
    )
    assert case.server.asked == []
    assert list(case.site.web.rglob("*")) == []
    case.site.web.rmdir()
    aside.rename(case.site.web)
    case.heals()


def test_case_109_a_dangling_directory_is_refused(case: Case) -> None:
    case.mirrored("foo")
    case.site.web.rename(case.site.home / "neighbour" / "web")
    case.site.web.symlink_to(case.site.home / "not-mounted")

    ran = case.site.mirror()

    assert ran.code == 7
    assert "web: it is not a directory; is its disk mounted?" in ran.log
    assert case.server.asked == []


def test_case_110_verify_repairs_changed_files_and_reports_added_ones(
    case: Case,
) -> None:
    case.mirrored("foo", "bar")
    right = case.site.tree()
    packages = [path for path in served(case) if path.suffix == ".whl"]
    packages[0].unlink()
    (case.site.web / "simple/foo/index.html").write_text("<a href='evil.whl'>evil.whl</a>")
    added = case.site.web / "packages/aa/added.whl"
    added.parent.mkdir(exist_ok=True)
    added.write_text("who put this here?")

    ran = case.site.run("verify")

    assert ran.code == 0
    assert ran.report["damage"]["repaired"] == 2
    assert ran.report["orphans"]["files"] == 1
    assert "packages/aa/added.whl" in ran.log
    assert case.site.tree() == {**right, "packages/aa/added.whl": added.read_bytes()}
    added.unlink()
    added.parent.rmdir()
    case.heals()


# ---------------------------------------------------------------- modes


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o177])
def test_case_111_modes_are_the_same_under_any_umask(case: Case, mask: int) -> None:
    """The oracle checks them: 0644 for files and 0755 for directories."""
    case.index.release("foo", "1.0")

    with umask(mask):
        case.process("mirror")

    case.heals()


def test_case_111_an_inherited_group_stays_without_write_permission_for_others(case: Case) -> None:
    case.site.root.mkdir()
    case.site.root.chmod(0o2775)
    case.index.release("foo", "1.0")

    assert case.site.mirror().code == 0

    for path, mode in modes(case.site.web).items():
        kind = 0o755 if (case.site.web / path).is_dir() else 0o644
        assert mode & ~stat.S_ISGID == kind, path
    assert stat.S_IMODE(case.site.root.stat().st_mode) == 0o2775


# ---------------------------------------------------------------- network file systems

PECULIAR: dict[str, tuple[set[str], int]] = {
    "a handle is stale once": ({"stat", "open", "read", "list"}, errno.ESTALE),
    "no times": ({"utime"}, errno.EPERM),
    "no chmod": ({"chmod"}, errno.EPERM),
    "no hard links": ({"link"}, errno.EPERM),
    "no links": ({"symlink"}, errno.EPERM),
    "no sync of the whole": ({"syncfs"}, errno.EINVAL),
    "no rename over another": ({"rename"}, errno.EEXIST),
}


@pytest.mark.parametrize("kind", PECULIAR)
def test_case_112_operations_that_a_file_system_lacks_are_avoided_or_reported(
    tmp_path: Path, server: IndexServer, kind: str
) -> None:
    """The failing call is named, and the run ends in order."""
    calls, error = PECULIAR[kind]
    trials = Trials(tmp_path, server, UPDATE)
    site = trials.copy()
    hits = 0

    def decide(call: Call) -> int | None:
        nonlocal hits
        below = call.paths[0].startswith(("web", ".partial")) or call.name == "syncfs"
        if call.name not in calls or not below or (error == errno.ESTALE and hits):
            return None
        hits += 1
        return error

    watched = trials.watch(site, decide, reading=error == errno.ESTALE)

    with noted(watched.log):
        assert "Traceback" not in watched.log
        assert watched.code in ({7, 4} if hits else {0})
        trials.check_in_between(site, watched.log)
        trials.check_healed(site)
