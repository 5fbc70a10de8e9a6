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
