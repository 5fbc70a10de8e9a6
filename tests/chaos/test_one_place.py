"""Storage errors at the place of one project: that project fails, and all others are done.

Each error of the system, at every call of one kind below a project's directories, for the whole
run: what a directory of another user, a bad block or a stale handle does.
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.system_calls import Call, noted, watch

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.site import Site
    from tests.support.system_calls import Watched

NAMES = [f"p{number:02}" for number in range(30)]

ERRORS = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ENOTDIR, errno.ELOOP)

FULL = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)


@pytest.fixture
def mirrored(index: Index, site: Site) -> Site:
    """Return a mirror that has projects with news."""
    for name in NAMES:
        index.release(name, "1.0")
    assert site.mirror().code == 0
    for name in NAMES:
        index.release(name, "2.0")
    return site


def run(site: Site, bad: dict[str, int], *, within: str) -> Watched:
    """Run ``mirror`` while calls of some kinds fail for all paths with a part."""

    def decide(call: Call) -> int | None:
        return bad.get(call.name) if any(within in path for path in call.paths) else None

    return watch(
        [sys.executable, "-m", "bandersnatch", "-c", str(site.config), "mirror"], site.root, decide
    )


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: errno.errorcode[error])
@pytest.mark.parametrize("kind", ["open", "rename"])
def test_an_error_at_one_project_is_that_projects_failure(
    index: Index, mirrored: Site, kind: str, error: int
) -> None:
    ran = run(mirrored, {kind: error}, within="simple/p00/")

    with noted(ran.log):
        assert ran.code in {0, 7}
        others = [name for name in NAMES if len(mirrored.filenames(name)) == 2]
        assert {*NAMES} - {*others} == ({"p00"} if ran.code else set())
        assert "Traceback" not in ran.log
        if ran.code:
            assert mirrored.status < index.serial
        assert mirrored.mirror().code == 0
        assert mirrored.status == index.serial
        mirrored.check()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: errno.errorcode[error])
def test_an_error_in_the_staging_directory_too_ends_the_run(mirrored: Site, error: int) -> None:
    ran = run(mirrored, {"open": error}, within=".partial/")

    with noted(ran.log):
        assert ran.code == 7
        assert len([line for line in ran.log.splitlines() if " ERROR: " in line]) == 1
        assert mirrored.mirror().code == 0
        mirrored.check()


@pytest.mark.parametrize("error", FULL, ids=lambda error: errno.errorcode[error])
def test_a_full_or_read_only_disk_ends_the_run(mirrored: Site, error: int) -> None:
    ran = run(mirrored, {"write": error, "rename": error}, within="simple/p00/")
    staged = run(mirrored, {"write": error}, within=".partial/")

    with noted(ran.log + staged.log):
        assert {ran.code, staged.code} <= {0, 7}
        assert mirrored.mirror().code == 0
        mirrored.check()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: errno.errorcode[error])
@pytest.mark.parametrize("kind", ["open", "stat", "rename"])
@pytest.mark.parametrize("where", ["its pages", "a file"])
def test_an_error_while_a_project_is_removed_is_that_projects_failure(
    index: Index, mirrored: Site, where: str, kind: str, error: int
) -> None:
    """The others are removed and synced, and the next run removes it."""
    file = next(iter(index.project("p00").files.values()))
    for name in NAMES[:3]:
        index.remove_project(name)
    mirrored.configure(removal_grace="0 s")

    within = "simple/p00/" if where == "its pages" else file.path[1:]
    ran = run(mirrored, {kind: error}, within=within)

    with noted(ran.log):
        assert ran.code in {0, 7}
        assert "Traceback" not in ran.log
        assert not {"p01", "p02"} & {*mirrored.names()}
        assert not (mirrored.web / "simple" / "p01").exists()
        assert all(len(mirrored.filenames(name)) == 2 for name in NAMES[3:])
        assert mirrored.status == index.serial or ran.code
        assert mirrored.mirror().code == 0
        assert mirrored.names() == NAMES[3:]
        assert not (mirrored.web / "simple" / "p00").exists()
        assert not (mirrored.web / file.path[1:]).exists()
        assert mirrored.status == index.serial
        mirrored.check()


@pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM, errno.EIO])
def test_an_error_at_one_object_of_the_trash_leaves_only_that(
    index: Index, mirrored: Site, error: int
) -> None:
    files = [next(iter(index.project(name).files.values())).path[1:] for name in NAMES[:3]]
    for name in NAMES[:3]:
        index.remove_project(name)
    mirrored.configure(removal_grace="0 s")

    ran = run(mirrored, {"unlink": error}, within=f"removed/{files[0]}")

    with noted(ran.log):
        left = [path for path in files if (mirrored.root / "removed" / path).exists()]
        assert (ran.code, left) in [(7, files[:1]), (0, [])]
        assert "Traceback" not in ran.log
        assert run(mirrored, {}, within="-").code == 0
        assert not (mirrored.root / "removed" / files[0]).exists()
