"""``download-mirror``: asked first, dropped for the run when it fails, asked again in the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.index import Index
from tests.support.server import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from tests.support.server import Answer, IndexServer
    from tests.support.site import Ran, Site

COUNT = 40

FEW = 3 + 4
"""Failures until the mirror is dropped, and the downloads that have begun by then."""


@pytest.fixture
def index() -> Index:
    """Return an index with one project of many files, without core metadata."""
    index = Index()
    for number in range(COUNT):
        index.upload("foo", "1.0", f"foo-1.0-{number}-py3-none-any.whl", metadata=None, size=2000)
    return index


def warnings(ran: Ran) -> list[str]:
    return [line for line in ran.log.splitlines() if "download-mirror" in line]


def drip_of_headers() -> faults.Act:
    """Send one byte of the headers each tenth of a second, for ever."""

    async def act(request: web.Request, _: Answer) -> web.StreamResponse:
        transport = request.transport
        while transport is not None and not transport.is_closing():
            transport.write(b"H")
            await asyncio.sleep(0.1)
        raise ConnectionResetError

    return act


FAILURES = {
    "500": faults.status(500),
    "502": faults.status(502),
    "401": faults.status(401),
    "407": faults.status(407),
    "429": faults.status(429),
    "429 with a pause": faults.status(429, Retry_After="30"),
    "503 with a long pause": faults.status(503, Retry_After="5000"),
    "redirect elsewhere": faults.status(302, Location="ftp://example.org/"),
    "reset": faults.reset(),
    "rubbish": faults.raw(b"\0\1\2\r\n\r\n"),
    "wrong bytes": faults.wrong_bytes(),
    "a page": faults.body(b"<html>Log in</html>", "text/html"),
    "too short": faults.edit(lambda content: content[:100]),
    "too long": faults.edit(lambda content: content + b"x"),
    "empty": faults.body(b""),
    "silence": faults.silence(20),
    "silence in the body": faults.silence(20, after=100),
    "headers that drip": drip_of_headers(),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_mirror_that_fails_is_dropped_for_the_run(
    index: Index, server: IndexServer, make_site: Callable[..., Site], kind: str
) -> None:
    with serving(index) as other:
        other.fault("file", FAILURES[kind])
        site = make_site(download_mirror=other.url, timeout=0.5, download_workers=4)

        ran = site.mirror()

        assert ran.code == 0
        failures = ran.report["files"]["download_mirror_failures"]
        assert 3 <= failures <= FEW
        assert failures == len(other.paths("file")) or "reset" in kind or "pause" in kind
        (line,) = warnings(ran)
        assert "is not asked again in this run" in line
        assert len(server.paths("file")) == COUNT
        assert site.clock.passed < 5
    site.check()


def test_a_mirror_that_drips_is_dropped_for_the_run(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    """The clock moves two seconds for each piece of a hundred bytes."""
    with serving(index) as other:
        site = make_site(download_mirror=other.url, download_workers=4)
        other.fault("file", faults.trickle(100, lambda: site.clock.advance(seconds=2)))

        ran = site.mirror()

        assert ran.code == 0
        assert len(other.paths("file")) <= FEW
        assert len(warnings(ran)) == 1
        assert len(server.paths("file")) == COUNT
    site.check()


def test_a_mirror_that_cannot_be_reached_is_dropped_for_the_run(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    site = make_site(download_mirror="http://127.0.0.1:1", download_workers=4)

    ran = site.mirror()

    assert ran.code == 0
    assert ran.report["files"]["download_mirror_failures"] <= FEW
    assert len(warnings(ran)) == 1
    assert "failed at the download-mirror" in ran.out
    assert len(server.paths("file")) == COUNT


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_mirror_that_lacks_files_is_asked_for_each(
    index: Index, server: IndexServer, make_site: Callable[..., Site], code: int
) -> None:
    with serving(index) as other:
        other.fault("file", faults.status(code))
        site = make_site(download_mirror=other.url)

        ran = site.mirror()

        assert ran.code == 0
        assert len(other.paths("file")) == COUNT
        assert ran.report["files"]["download_mirror_failures"] == 0
        assert warnings(ran) == []
    assert len(server.paths("file")) == COUNT


def test_the_next_run_asks_the_mirror_again(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    with serving(index) as other:
        fault = other.fault("file", faults.status(500))
        site = make_site(download_mirror=other.url)
        site.mirror()
        fault.left = 0
        index.upload("foo", "2.0", "foo-2.0-py3-none-any.whl", metadata=None)
        other.forget()
        server.forget()

        ran = site.mirror()

        assert ran.code == 0
        assert warnings(ran) == []
        assert len(other.paths("file")) == 1
        assert server.paths("file") == []


def test_a_few_failures_among_many_files_do_not_drop_the_mirror(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    with serving(index) as other:
        other.fault("file", faults.status(500), times=1)
        other.fault("file", faults.wrong_bytes(), times=1, skip=20)
        site = make_site(download_mirror=other.url, download_workers=1)

        ran = site.mirror()

        assert ran.code == 0
        assert warnings(ran) == []
        assert ran.report["files"]["download_mirror_failures"] == 2
        assert len(server.paths("file")) == 2
    site.check()


def test_without_fallback_the_mirror_is_the_only_host_and_each_file_is_retried(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    with serving(index) as other:
        other.fault("file", faults.status(500), times=8)
        site = make_site(download_mirror=other.url, download_mirror_no_fallback="true")

        ran = site.mirror()

        assert ran.code == 0
        assert server.paths("file") == []
    site.check()
