"""Mirrors whose areas are on several file systems: the same results as on one."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import bound, elsewhere, make_read_only, mounted
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.index import Index
    from tests.support.server import IndexServer

LAYOUTS = {
    "web mounted": {"web": "mount"},
    "packages mounted": {"web/packages": "mount"},
    "removed mounted": {"removed": "mount"},
    "packages and removed linked": {"web/packages": "link", "removed": "link"},
    "web linked, packages below it mounted": {"web": "link", "web/packages": "mount"},
    "packages and removed mounted twice": {"web/packages": "bind", "removed": "bind"},
    "pages linked": {"web/simple": "link", "web/json": "link", "web/pypi": "mount"},
}


@pytest.fixture
def sites(tmp_path: Path, server: IndexServer) -> tuple[Site, Site]:
    """Return two mirrors of the index: one to put on several disks, and one to compare it with."""
    return (_site(tmp_path / "several", server), _site(tmp_path / "one", server))


def _site(home: Path, server: IndexServer) -> Site:
    home.mkdir()
    return Site(
        home, server, json="true", keep_index_versions=2, diff_file=home / "diff", min_free_space=0
    )


@pytest.fixture
def site(sites: tuple[Site, Site]) -> Site:
    return sites[0]


@pytest.fixture
def place(site: Site) -> Iterator[Callable[[str, str], Path]]:
    """Return what puts an area on another file system."""
    with ExitStack() as stack:

        def put(area: str, way: str, size: str = "16m") -> Path:
            at = site.root / area
            at.parent.mkdir(parents=True, exist_ok=True)
            if way == "link":
                at.symlink_to(stack.enter_context(elsewhere()))
                return at
            at.mkdir()
            if way == "mount":
                stack.enter_context(mounted(at, size=size))
            else:
                source = site.home / area.replace("/", " ")
                source.mkdir()
                stack.enter_context(bound(at, source))
            return at

        yield put


def everything(site: Site) -> dict[str, bytes | str]:
    """Return all files and links of a mirror, served, trashed or state, through its areas."""
    found: dict[str, bytes | str] = {}
    for home, _, names in os.walk(site.root, followlinks=True):
        for name in names:
            path = Path(home, name)
            key = str(path.relative_to(site.root))
            if ".partial/" not in key and key not in {"catalogue.sqlite", ".lock"}:
                link = str(path.readlink()) if path.is_symlink() else None
                found[key] = path.read_bytes() if link is None else link
    _, counter = found["web/.mirror"].split()  # the name of each mirror is random
    return found | {"web/.mirror": counter}


def run(sites: tuple[Site, ...], *arguments: str) -> None:
    """Run a command for mirrors, whose results must be equal."""
    results = []
    for site in sites:
        ran = site.run(*arguments)
        assert ran.code == 0, ran.log
        site.clock.advance(hours=1)
        results.append((everything(site), diffs(site), ran.report["files"], ran.report["pages"]))
    assert results.count(results[0]) == len(results)


def diffs(site: Site) -> list[str]:
    """Return the lines of the diff files of the last command, relative to the mirror."""
    lines = []
    for path in (site.home / "diff", site.home / "diff.deleted"):
        lines += path.read_text().splitlines() if path.exists() else []
    return sorted(line.removeprefix(f"{site.root}/") for line in lines)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_mirror_on_several_file_systems_is_the_same_as_on_one(
    index: Index, sites: tuple[Site, Site], place: Callable[[str, str], Path], layout: str
) -> None:
    for area, way in LAYOUTS[layout].items():
        place(area, way)
    for name in ("Foo_Bar", "baz", "gone"):
        index.release(name, "1.0", sdist=True)
    run(sites, "mirror")
    index.release("foo-bar", "2.0")
    index.remove_file("baz", next(iter(index.projects["baz"].files)))
    index.release("baz", "2.0")
    index.remove_project("gone")
    run(sites, "mirror")
    run(sites, "mirror")
    trashed = {key for key in everything(sites[0]) if key.startswith("removed/packages/")}
    assert len(trashed) == 5, "three files and two of core metadata"
    run(sites, "delete", "--until-next-change", "foo-bar")
    run(sites, "restore", "foo-bar")
    for site in sites:
        file = next(iter(index.projects["baz"].files.values()))
        (site.web / file.path.lstrip("/")).write_bytes(b"damaged")
        (site.web / "packages/orphan.zip").write_bytes(b"1")
    run(sites, "verify", "--delete")
    assert "removed/packages/orphan.zip" in everything(sites[0])
    sites[0].check()
    for site in sites:
        site.clock.advance(days=15)
    index.release("baz", "3.0")
    run(sites, "mirror")
    run(sites, "mirror")
    assert not [key for key in everything(sites[0]) if key.startswith("removed/packages/")]
    sites[0].check()


# ---------------------------------------------------------------- full and read-only disks


def test_a_full_disk_of_removed_files_stops_no_other_work(
    index: Index, site: Site, place: Callable[..., Path]
) -> None:
    """The file that cannot be moved stays where it is, and is moved once there is space."""
    place("removed", "mount", "1m")
    index.release("foo", "1.0", size=2_000_000)
    index.release("bar", "1.0")
    assert site.mirror().code == 0
    large = next(iter(index.projects["foo"].files.values()))
    index.release("foo", "2.0")
    index.remove_file("foo", large.filename)
    index.release("bar", "2.0")

    for _ in range(2):
        ran = site.mirror()

        assert ran.code == 7
        assert "not enough free space for removed/packages/" in ran.log
        assert site.filenames("bar") == ["bar-1.0-py3-none-any.whl", "bar-2.0-py3-none-any.whl"]
        assert site.filenames("foo") == ["foo-2.0-py3-none-any.whl"]
        assert (site.web / large.path.lstrip("/")).is_file()
        site.clock.advance(hours=1)


@pytest.mark.parametrize("area", ["web", "web/packages", "removed"])
def test_a_read_only_disk_is_named_before_the_index_is_asked(
    index: Index, site: Site, server: IndexServer, place: Callable[..., Path], area: str
) -> None:
    index.release("foo", "1.0")
    make_read_only(place(area, "mount"))

    ran = site.mirror()

    assert ran.code == 7
    assert f"storage failed at {area}: Read-only file system" in ran.log
    assert server.asked == []
    for command in (("config", "check"), ("plan",)):
        ran = site.ask(*command)
        assert ran.code == 7
        assert f"storage failed at {area}: Read-only file system" in ran.out + ran.log


# ---------------------------------------------------------------- config check, plan


def test_config_check_and_plan_report_each_disk(
    index: Index, site: Site, place: Callable[..., Path]
) -> None:
    place("web/packages", "mount", "16m")
    linked = place("removed", "link").resolve()
    index.release("foo", "1.0")
    site.configure(min_free_space="1 MB")

    checked, planned = site.ask("config", "check"), site.ask("plan")

    assert checked.code == planned.code == 0
    assert "\nDisk:    of the mirror: " in checked.out
    at = site.web / "packages"
    assert f"\nDisk:    of web/packages at {at}: 16.78 MB free, usable: 15.73 MB\n" in checked.out
    assert f"\nDisk:    of removed at {linked}: " in checked.out
    assert "\nFree on the disk of web/packages: 15.73 MB: enough\n" in planned.out
    assert "\nFree on the disk of removed: " in planned.out


def test_plan_measures_the_disk_of_release_files(
    index: Index, site: Site, place: Callable[..., Path]
) -> None:
    place("web/packages", "mount", "1m")
    index.release("foo", "1.0", size=2_000_000)

    ran = site.ask("plan")

    assert "Free on the disk of web/packages: 1.05 MB: NOT ENOUGH" in ran.out
    assert site.mirror().code == 7


def test_plan_measures_the_disk_of_removed_files(
    index: Index, site: Site, place: Callable[..., Path]
) -> None:
    place("removed", "mount", "1m")
    index.release("foo", "1.0", size=2_000_000)
    assert site.mirror().code == 0
    index.remove_file("foo", next(iter(index.projects["foo"].files)))
    index.release("foo", "2.0")

    assert "Free on the disk of removed: 1.05 MB: NOT ENOUGH" in site.ask("plan").out


def dangling(site: Site) -> str:
    (site.root / "removed").parent.mkdir(parents=True)
    (site.root / "removed").symlink_to(site.home / "not mounted")
    return "storage failed at removed: it is not a directory; is its disk mounted?"


def file(site: Site) -> str:
    site.web.mkdir(parents=True)
    (site.web / "packages").write_bytes(b"")
    return "storage failed at web/packages: it is not a directory; is its disk mounted?"


def linked_temporary_files(site: Site) -> str:
    site.root.mkdir()
    (site.root / ".partial").symlink_to(site.home)
    return "storage failed at .partial: it is a link; make it a directory"


@pytest.mark.parametrize("plant", [dangling, file, linked_temporary_files])
def test_what_ends_a_run_is_found_by_config_check_and_plan(
    index: Index, site: Site, plant: Callable[[Site], str]
) -> None:
    index.release("foo", "1.0")
    says = plant(site)
    before = sorted(site.root.rglob("*"))

    for command in (("config", "check"), ("plan",)):
        ran = site.ask(*command)
        assert ran.code == 7
        assert says in ran.out + ran.log
        assert sorted(site.root.rglob("*")) == before, "nothing was written"
    assert site.mirror().code == 7


@pytest.mark.parametrize("below", ["web/packages/aa", "web/simple/foo bar", ".partial"])
def test_a_mount_that_is_not_an_area_is_found_by_config_check_and_plan(
    index: Index, site: Site, below: str
) -> None:
    index.release("foo", "1.0")
    (site.root / below).mkdir(parents=True)
    with mounted(site.root / below):
        for command in (("config", "check"), ("plan",)):
            ran = site.ask(*command)
            assert ran.code == 7
            assert f"storage failed at {below}: " in ran.out + ran.log


def test_mounts_that_have_nothing_to_do_with_the_mirror_are_ignored(site: Site) -> None:
    (site.root / "backup").mkdir(parents=True)
    (site.web / "status").mkdir(parents=True)
    with mounted(site.root / "backup"), mounted(site.web / "status"):
        assert site.ask("config", "check").code == 0
