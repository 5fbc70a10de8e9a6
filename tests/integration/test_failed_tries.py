"""A project stops after twenty failed tries over all its files, and goes on in the next run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

WORKERS = 4
FAILURES = {
    "404": faults.status(404),
    "500": faults.status(500),
    "reset": faults.reset(),
    "wrong bytes": faults.wrong_bytes(),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_dead_files_cost_twenty_tries_a_run(
    index: Index, server: IndexServer, site: Site, kind: str
) -> None:
    site.configure(download_workers=WORKERS)
    for number in range(100):
        index.upload("foo", "1.0", f"foo-1.0-{number}-py3-none-any.whl", metadata=None)
    index.release("bar", "1.0")
    server.fault("file", FAILURES[kind], project="foo")

    ran = site.mirror()

    assert ran.code == 4
    assert ran.failed == {"foo": "MissingFiles"}
    assert ran.synced == ["bar"]
    assert "100 file(s) missing" in ran.log
    tries = [path for path in server.paths("file") if "foo" in path]
    most = 20 + WORKERS  # aiohttp sends each request twice if a reused connection is reset
    assert 20 <= len(tries) < (2 * most if kind == "reset" else most)


def test_later_runs_come_to_every_file(index: Index, server: IndexServer, site: Site) -> None:
    """Sixty files are dead for good, and the largest of all; forty are fine."""
    site.configure(download_workers=WORKERS)
    for number in range(100):
        filename = f"foo-1.0-{number:02}-py3-none-any.whl"
        index.upload("foo", "1.0", filename, metadata=None, size=2000 - number)
    dead = [f"foo-1.0-{number:02}-" for number in range(60)]
    for each in dead:
        server.fault(each, faults.status(404))

    for _ in range(6):
        assert site.mirror().code == 4

    assert site.filenames("foo") == [
        f"foo-1.0-{number:02}-py3-none-any.whl" for number in range(60, 100)
    ]
    server.faults.clear()
    for _ in range(2):
        site.mirror()
    assert len(site.filenames("foo")) == 100
    site.check()


def test_files_that_succeed_at_the_second_try_do_not_go_missing_silently(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(download_workers=1)
    for number in range(30):
        filename = f"foo-1.0-{number:02}-py3-none-any.whl"
        index.upload("foo", "1.0", filename, metadata=None)
        server.fault(filename, faults.status(503), times=1)

    first, second = site.mirror(), site.mirror()

    assert first.code == 4
    assert second.code == 0
    assert len(site.filenames("foo")) == 30


def test_dead_core_metadata_costs_twenty_tries_a_run(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(download_workers=WORKERS)
    for number in range(60):
        index.upload("foo", "1.0", f"foo-1.0-{number}-py3-none-any.whl")
    server.fault("sidecar", faults.status(500))

    ran = site.mirror()

    assert ran.code == 0
    assert len(site.filenames("foo")) == 60
    assert len(server.paths("sidecar")) < 20 + WORKERS
