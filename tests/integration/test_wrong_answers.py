"""Responses that are not answers to the requests, through the command line."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from tests.support.faults import Act
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


def part_of_nothing() -> Act:
    """Answer with 206 and the second half of the body, whatever was requested."""
    return faults.part("bytes 5-9/10", 5)


def compressed_twice() -> Act:
    """Answer with a body that is compressed twice, as its header does not say."""
    return faults.edit(lambda content: gzip.compress(gzip.compress(content)))


WRONG = {
    "304": faults.status(304),
    "206": part_of_nothing(),
    "204": faults.status(204),
    "205": faults.status(205),
    "202": faults.status(202),
    "twice": compressed_twice(),
}


@pytest.fixture(params=WRONG)
def wrong(request: pytest.FixtureRequest) -> Act:
    """Return what a broken cache or proxy does."""
    return WRONG[request.param]


def test_a_page_without_an_answer_fails_alone(
    index: Index, server: IndexServer, site: Site, wrong: Act
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    server.fault("detail", wrong, project="foo")

    ran = site.mirror()

    assert ran.code == 4, ran.log
    assert ran.failed == {"foo": "InvalidResponse"}
    assert "gave an answer to another request" in ran.log
    assert site.names() == ["bar"]
    first, second = (asked for asked in server.asked if asked.path == "/simple/foo/")
    assert "Cache-Control" not in first.headers
    assert second.headers["Cache-Control"] == "no-cache"
    server.faults.clear()
    assert site.mirror().code == 0
    assert site.names() == ["bar", "foo"]


def test_a_wrong_answer_is_corrected_by_the_next_one(
    index: Index, server: IndexServer, site: Site, wrong: Act
) -> None:
    index.release("foo", "1.0", metadata=True)
    for where in ("xmlrpc", "list", "detail", "file", "sidecar"):
        server.fault(where, wrong, times=1)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert site.names() == ["foo"]
    site.check()


def test_an_index_that_answers_nothing_is_unusable(
    index: Index, server: IndexServer, site: Site, wrong: Act
) -> None:
    index.release("foo", "1.0")
    for where in ("xmlrpc", "list"):
        server.fault(where, wrong)

    ran = site.mirror()

    assert ran.code == 3, ran.log
    assert "gave an answer to another request" in ran.log


def test_a_part_of_a_file_without_a_digest_is_not_taken_for_the_file(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(accept_unhashed="true")
    file = index.upload("foo", "1.0", "foo-1.0.tar.gz")
    file.hashes = file.digests = {}
    server.fault("file", part_of_nothing())

    ran = site.mirror()

    assert ran.code == 4, ran.log
    assert not list(site.web.glob("packages/**/*.gz"))
    server.faults.clear()
    assert site.mirror().code == 0
    site.check()
