"""Cases 28 to 33: encodings, sizes, headers, and hosts that disagree."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.server import JSON, serving

if TYPE_CHECKING:
    from tests.chaos.case import Case
    from tests.support.faults import Act

MIB = 2**20


def test_case_028_an_encoded_file_does_not_match_its_digest(case: Case) -> None:
    case.mirrored("foo", "bar")
    case.index.release("bar", "2.0")
    case.index.release("foo", "2.0")
    case.fault("file", faults.compressed(), project="foo")

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "MissingFiles"}
    asked = case.asked("file", "sidecar")
    assert {each.headers["Accept-Encoding"] for each in asked} == {"identity"}
    case.heals()


def test_case_028_a_falsely_declared_encoding_is_ignored(case: Case) -> None:
    """The sha256 is that of the uploaded bytes, whatever a header declares."""
    content = gzip.compress(b"x" * 1000)
    case.index.upload("foo", "1.0", "foo-1.0.tar.gz", content=content)
    case.fault("file", faults.header("Content-Encoding", "gzip"))

    case.mirror()

    case.heals()


# ---------------------------------------------------------------- too much


BOMBS = {
    "detail": (64, 4, b'{"meta": {"api-version": "1.0"}, "x": "'),
    "list": (256, 3, b'{"meta": {"api-version": "1.0"}, "x": "'),
    # Without a changelog the list is used.
    "xmlrpc": (64, 0, b"<?xml version='1.0'?><methodResponse>"),
}


def test_case_029_a_document_that_expands_to_gigabytes_is_aborted_at_its_limit(
    case: Case,
) -> None:
    for name in ("foo", "bar"):
        case.index.release(name, "1.0")
    case.site.configure(timeout=60)
    baseline = case.process("mirror").peak
    for number, where in enumerate(case.each(BOMBS)):
        cap, status, beginning = BOMBS[where]
        for name in ("foo", "bar"):
            case.index.release(name, f"2.{number}")
        case.site.configure(api_method="auto" if where == "xmlrpc" else "simple")
        bomb = faults.bomb(10_240 * MIB, beginning)
        armed = case.fault(where, bomb, project="foo" if where == "detail" else None)

        ended = case.process("mirror", exits=status)

        assert f"is larger than {cap * MIB} bytes" in ended.log
        assert armed.hits == 1
        above = ended.peak - baseline - cap
        case.figures.measure("G10", max(0.0, round(above)))
        assert above <= 64
    case.heals()


PAGE = b'{"meta": {"api-version": "1.0"}, "name": "foo", '
LEGACY = b'{"info": {"name": "foo"}, "releases": {}, '
CALL = b"<?xml version='1.0'?><methodResponse><params><param><value>"
CALLED = b"</value></param></params></methodResponse>"
ENTITIES = b"".join(
    b'<!ENTITY e%d "%b">' % (n, b"&e%d;" % (n - 1) * 10 if n else b"x" * 10) for n in range(9)
)
DENSE = {
    "objects for files": ("detail", PAGE + b'"files": [', b"{},", b"{}]}"),
    "numbers for files": ("detail", PAGE + b'"files": [', b"1,", b"1]}"),
    "versions": ("detail", PAGE + b'"files": [], "versions": [', b'"a",', b'"a"]}'),
    "a status of lists": (
        "detail",
        PAGE + b'"files": [], "project-status": [',
        b"[],",
        b"[]]}",
    ),
    "a wide name": ("detail", PAGE + b'"files": [{"filename": "', b"x", b'\\ud83d\\ude00"}]}'),
    "links": ("detail html", b"<title>Links for foo</title>", b"<a href=x>y</a>", b""),
    "attributes": ("detail html", b"<title>Links for foo</title><a ", b"a ", b">"),
    "a wide page": ("detail html", b"<title>Links for foo</title>", b"x", b"\xf0\x9f\x98\x80"),
    "lists in a document": ("legacy", LEGACY + b'"x": [', b"[],", b"[]]}"),
    "objects for projects": ("list", b'{"projects": [', b"{},", b"{}]}"),
    "halves of characters": ("list", b'{"projects": [{"name": "', rb"\ud800", b'"}]}'),
    "arrays": ("xmlrpc", CALL + b"<array><data>", b"<array/>", b"</data></array>" + CALLED),
    "values": (
        "xmlrpc",
        CALL + b"<array><data>",
        b"<value>x</value>",
        b"</data></array>" + CALLED,
    ),
    "lines": ("xmlrpc", CALL + b"<string>", b"\n", b"</string>" + CALLED),
    "attributes of a call": ("xmlrpc", CALL + b"<string ", b"a='' ", b">x</string>" + CALLED),
    "entities": (
        "xmlrpc",
        b"<!DOCTYPE x [" + ENTITIES + b"]><!-- ",
        b"x",
        b" -->" + CALL.partition(b"?>")[2] + b"<string>&e8;</string>" + CALLED,
    ),
}
"""Documents that need more memory than bytes: route, beginning, repeated part, end."""


ALWAYS = {"numbers for files", "a wide name", "attributes", "arrays", "entities"}
"""The other kinds resemble one of these."""


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=[] if k in ALWAYS else pytest.mark.nightly) for k in DENSE],
)
def test_case_029_a_document_of_many_small_values_stays_within_the_memory_limit(
    case: Case, kind: str
) -> None:
    route, *content = DENSE[kind]
    assert_modest(case, route, faults.bomb(63 * MIB, *content), is_empty=kind == "a wide page")


@pytest.mark.nightly
@pytest.mark.parametrize(
    "kind", ["objects for files", "numbers for files", "versions", "arrays", "values"]
)
def test_case_029_parsing_stays_within_the_memory_limit(case: Case, kind: str) -> None:
    """As large as the limit permits: all of it is parsed before it is found to be useless."""
    route, beginning, filling, end = DENSE[kind]
    if route == "xmlrpc":
        weight, most = 3 * len(filling) + 280 * filling.count(b"<"), 574 * MIB
    else:
        weight = 2 * len(filling) + 80 * filling.count(b",") + 200 * filling.count(b"{")
        most = 126 * MIB
    beginning = beginning.replace(b'"foo"', b'"other"')

    log = assert_modest(
        case, route, faults.bomb(most // weight * len(filling), beginning, filling, end)
    )

    assert "in memory" not in log


def assert_modest(case: Case, route: str, bomb: Act, *, is_empty: bool = False) -> str:
    """Assert that a run handles an answer within the memory limit; return its log.

    A list that cannot be read is requested once more, to find out whether ``master`` is right. A
    page that ``is_empty`` is valid: the project waits for a second look.
    """
    where, _, form = route.partition(" ")
    case.site.configure(
        timeout=60, json=where == "legacy", api_method="auto" if where == "xmlrpc" else "simple"
    )
    case.server.speaks_json = not form
    case.mirrored("foo", "bar")
    baseline = case.process("mirror").peak
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    armed = case.fault(where, bomb, project="foo" if where in {"detail", "legacy"} else None)

    exits = {"xmlrpc": 0, "list": 3}.get(where, 0 if is_empty else 4)
    ended = case.process("mirror", exits=exits, behind={"foo"} if is_empty else ())

    assert armed.hits == (2 if where == "list" else 1)
    limit = {"list": 512, "xmlrpc": 512}.get(where, 64)
    case.figures.measure("G10", max(0.0, round(ended.peak - baseline - limit)))
    assert ended.peak - baseline <= limit + 64
    case.heals()
    return ended.log


HEADERS = {
    "100 000": b"\r\n".join(b"X-%d: 1" % number for number in range(100_000)),
    "one of 1 MB": b"X-Large: " + b"x" * 1_000_000,
    "one of 1 MB that is known": b"Last-Modified: " + b"x" * 1_000_000,
    "a name of 1 MB": b"X" * 1_000_000 + b": 1",
}


LONG = b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % (b"9" * 5000)
TOO_MUCH = {
    **{kind: faults.raw_header(header) for kind, header in HEADERS.items()},
    "a length of 5 000 digits": faults.raw(LONG),
}


@pytest.mark.parametrize("where", ["list", "detail", "file"])
def test_case_030_huge_headers_are_refused(case: Case, where: str) -> None:
    """They count as a broken connection, which is retried in the next run."""
    case.site.configure(api_method="simple")
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    for kind in case.each(TOO_MUCH):
        case.fault(where, TOO_MUCH[kind], project=None if where == "list" else "foo")

        ran = case.mirror(exits=3 if where == "list" else 4)

        assert len(ran.errors()[0]) < 1000
    case.heals()


NUMBERS = [b"X-PyPI-Last-Serial", b"Retry-After", b"Last-Modified", b"Age", b"Keep-Alive"]


def test_case_030_a_number_of_5000_digits_is_ignored(case: Case) -> None:
    for number, name in enumerate(case.each(NUMBERS)):
        case.index.release("foo", f"{number}.0")
        case.fault("detail", faults.raw_header(name + b": " + b"9" * 5000))

        case.mirror()
    case.heals()


# ---------------------------------------------------------------- garbage

RUBBISH = {
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "words": b"and what is more, \x00\xff\r\n\r\n",
    "half an answer": b"HTTP/1.1 200",
}


@pytest.mark.parametrize("kind", [*RUBBISH, "a page of bar"])
def test_case_031_bytes_after_an_answer_are_not_the_next_answer(case: Case, kind: str) -> None:
    """Otherwise they would answer the next request on the same connection."""
    for name in ("foo", "bar"):
        case.index.release(name, "1.0")
    case.site.configure(workers=1, download_workers=1)
    page = case.index.detail_json("bar", files_at=case.server.url)
    body = json.dumps({**page, "files": []}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    extra = RUBBISH.get(kind, head.encode() + body)
    for name in ("foo", "bar"):
        case.fault("detail", faults.followed_by(extra), times=1, project=name)

    case.mirror()

    case.heals()


LINES = [b"no status line at all", b"HTTP/1.1 abc OK", b"HTTP/9.9 200 OK", b"\x16\x03\x01\x00\x05"]


def test_case_031_an_answer_that_is_not_http_is_retried(case: Case) -> None:
    for number, line in enumerate(case.each(LINES)):
        case.index.release("foo", f"{number}.0")

        case.recovers("detail", faults.raw(line + b"\r\nContent-Length: 2\r\n\r\n{}"))
    case.heals()


LOCATIONS = [
    b"/simple/foo/\r\n X-Folded: yes",
    b"/simple/foo/\x00",
    b"/simple/foo/%0d%0aX-Injected: yes",
    b"//\xff\xfe/",
    b"http://127.0.0.1:1\x0b/",
    b"/" + b"a" * 7000,
]


def test_case_031_a_location_with_injected_headers_is_refused(case: Case) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    for location in case.each(LOCATIONS):
        answer = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % location
        case.fault("/simple/foo/", faults.raw(answer))

        ran = case.mirror(exits=4)

        assert list(ran.failed) == ["foo"]
        assert not any("X-Injected" in each.headers for each in case.server.asked)
    case.heals()


# ---------------------------------------------------------------- two hosts


def test_case_032_the_newer_of_two_alternating_hosts_counts(case: Case) -> None:
    """Each page is requested again until it is as new as the last change."""
    case.mirrored("foo", "bar")
    old = {
        name: json.dumps(case.index.detail_json(name, files_at=case.server.url)).encode()
        for name in ("foo", "bar")
    }
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
        stale = faults.body(old[name])
        case.fault("detail", faults.every_other(stale), project=name)
        case.fault("detail", faults.header("X-PyPI-Last-Serial", None), project=name)

    for _ in range(3):
        case.mirror()
        assert case.site.status == case.index.serial

    case.heals()


ORIGINS = {
    "wrong bytes": faults.wrong_bytes(),
    "404": faults.status(404),
    "500": faults.status(500),
    "403": faults.status(403),
    "reset": faults.reset(),
    "a page": faults.body(b"<html>Log in</html>", "text/html"),
}


def test_case_033_files_that_another_source_lacks_come_from_the_index(
    case: Case,
) -> None:
    """Each run requests files there first, whatever happened in the run before."""
    with serving(case.index) as other:
        case.site.configure(download_mirror=other.url)
        for number, kind in enumerate(case.each(ORIGINS)):
            for name in ("foo", "bar"):
                case.index.release(name, f"{number}.0")
            other.faults.clear()
            bad = other.fault("", ORIGINS[kind])

            case.mirror()

            assert bad.hits
            assert len(case.asked("file", "sidecar")) == 4
        other.faults.clear()
        case.heals()


def test_case_033_a_dripping_source_is_replaced_by_the_index(case: Case) -> None:
    case.index.release("foo", "1.0", size=1000)
    with serving(case.index) as other:
        other.fault("file", faults.trickle(100, lambda: case.clock.advance(seconds=10)))
        case.site.configure(download_mirror=other.url)

        case.mirror()

        assert len(case.asked("file")) == 1
        case.heals()
