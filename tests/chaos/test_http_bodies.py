"""Cases 12 to 20: connections and bodies that break, stall, drip or have a wrong length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from tests.chaos.case import Case
    from tests.support.index import File

LARGE = 2_200_000
"""Size in bytes of a file whose partial download is kept."""


@pytest.mark.parametrize(
    "master",
    ["http://127.0.0.1:9", "http://index.invalid", "http://255.255.255.255"],
    ids=["refused", "no address", "no way"],
)
def test_case_012_an_index_that_cannot_be_reached_is_tried_five_times(
    case: Case, master: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RES_OPTIONS", "timeout:1 attempts:1")  # without a name server
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    good = case.site.options["master"]
    case.site.configure(master=master, api_method="simple")

    ran = case.mirror(exits=3)

    assert f"{master}/simple/ is unavailable: " in ran.errors()[0]
    assert len(case.clock.slept) == 4
    case.site.configure(master=good, api_method="auto")
    case.heals()


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/js"


BREAKS = {
    "before the headers": faults.reset(),
    "closed": faults.raw(b""),
    "in the headers": faults.raw(HEADERS),
    "in the body": faults.cut(10),
}


@pytest.mark.parametrize("where", ["list", "xmlrpc", "detail", "file", "sidecar"])
def test_case_013_a_broken_connection_is_opened_again(case: Case, where: str) -> None:
    for number, kind in enumerate(case.each(BREAKS)):
        case.index.release("foo", f"{number}.0")
        case.clock.advance(hours=25)

        case.recovers(where, BREAKS[kind])
    case.heals()


def large_file(case: Case) -> File:
    """Publish a large file."""
    (file,) = case.index.release("foo", "1.0", size=LARGE, metadata=False)
    return file


def ranges(case: Case) -> list[int | None]:
    """Return the start of the requested range of each file, None for the whole."""
    asked = [each.headers.get("Range") for each in case.asked("file")]
    assert all(each is None or each.startswith("bytes=") for each in asked)
    return [None if each is None else int(each[6:].rstrip("-")) for each in asked]


def test_case_013_a_large_body_is_resumed_where_it_broke_off(case: Case) -> None:
    """If-Range is not needed: a part is stored under the sha256 of the whole, which is checked."""
    large_file(case)

    case.recovers("file", faults.cut(1_800_000))

    whole, rest = ranges(case)
    assert whole is None
    assert rest is not None
    assert 1_000_000 < rest <= 1_800_000
    case.heals()


SHORT = {
    14: {"cut": faults.cut(10), "announced": faults.announced(400)},
    15: {
        "cut": faults.chunked(100, ended=False),
        "ended early": faults.chunked(100, ended=True),
        "short": faults.edit(lambda body: body[:-1]),
    },
}


@pytest.mark.parametrize("kind", SHORT[14])
def test_case_014_a_body_shorter_than_its_length_is_retried(case: Case, kind: str) -> None:
    case.index.release("foo", "1.0")

    case.recovers("file", SHORT[14][kind])

    case.heals()


def test_case_014_a_body_that_stays_too_short_fails(case: Case) -> None:
    stays_bad(case, SHORT[14]["cut"], tries=5)


@pytest.mark.parametrize("where", ["detail", "file", "list"])
@pytest.mark.parametrize("kind", ["cut", "ended early"])
def test_case_015_a_chunked_body_that_ends_early_is_retried(
    case: Case, where: str, kind: str
) -> None:
    """A chunked page that ends early without an error is not JSON; the next run requests it."""
    case.index.release("foo", "1.0")
    act = SHORT[15][kind]
    if kind == "ended early" and where == "detail":
        case.index.release("bar", "1.0")
        case.fault("detail", act, times=1, project="foo")
        assert case.mirror(exits=4).failed == {"foo": "InvalidPage"}
    elif kind == "ended early" and where == "list":
        case.fault("list", act, times=1)
        assert "/simple/ cannot be read: it is not JSON" in case.mirror(exits=3).log
    else:
        case.recovers(where, act)

    case.heals()


@pytest.mark.parametrize("kind", SHORT[15])
def test_case_015_a_chunked_body_that_stays_short_fails(case: Case, kind: str) -> None:
    stays_bad(case, SHORT[15][kind], tries=5 if kind == "cut" else 3)


def stays_bad(case: Case, act: faults.Act, *, tries: int) -> None:
    """Assert the outcome of a file whose every try fails."""
    case.mirrored("foo", "bar")
    case.index.release("bar", "2.0")
    (file,) = case.index.release("foo", "2.0")
    case.fault("file", act, project="foo")

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "MissingFiles"}
    assert len(case.asked("file", of=file.path)) == tries
    case.heals()


# ---------------------------------------------------------------- too long


def test_case_016_a_body_longer_than_the_file_fails(case: Case) -> None:
    stays_bad(case, faults.edit(lambda body: body + b"x"), tries=1)


@pytest.mark.parametrize("where", ["file", "sidecar"])
def test_case_016_what_follows_the_announced_length_is_not_read(case: Case, where: str) -> None:
    case.index.release("foo", "1.0")

    case.recovers(where, faults.announced(10))

    case.heals()


@pytest.mark.parametrize("size", [300, LARGE])
def test_case_016_an_endless_body_is_aborted_at_the_size_of_the_file(case: Case, size: int) -> None:
    (file,) = case.index.release("foo", "1.0", size=size, metadata=False)
    partial = case.site.root / ".partial"
    sizes = [0]

    def look() -> None:
        sizes.extend(path.stat().st_size for path in partial.iterdir())

    endless = case.fault("file", faults.flood(look, pieces=2000))

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "MissingFiles"}
    assert f"is larger than {size} bytes" in ran.log
    assert endless.hits == 1
    assert len(sizes) < 2000, "it was read to its end"
    case.figures.measure("G11", max(0, max(sizes) - len(file.content)))
    assert max(sizes) <= size
    case.heals()


# ---------------------------------------------------------------- silence


@pytest.mark.parametrize("where", ["xmlrpc", "list", "detail", "file", "sidecar"])
def test_case_017_a_silent_request_times_out_and_is_retried(case: Case, where: str) -> None:
    case.site.configure(timeout=0.2)
    for after in case.each([0, 20]):
        case.index.release("foo", f"{after}.0")
        case.clock.advance(hours=25)

        case.recovers(where, faults.silence(5, after=after))
    case.heals()


@pytest.mark.parametrize("where", ["detail", "file"])
def test_case_017_a_permanently_silent_host_fails_one_project(case: Case, where: str) -> None:
    case.site.configure(timeout=0.2)
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    case.fault(where, faults.silence(5, after=10), project="foo")

    ran = case.mirror(exits=4)

    assert list(ran.failed) == ["foo"]
    assert len(case.asked(where, of="foo")) == (5 if where == "file" else 2)
    case.heals()


def test_case_018_a_dripping_body_is_aborted(case: Case) -> None:
    """Ten seconds pass for each hundred bytes, by the fake clock."""
    case.mirrored("foo", "bar")
    case.index.release("bar", "2.0")
    (slow,) = case.index.release("foo", "2.0", size=1000)
    drip = faults.trickle(100, lambda: case.clock.advance(seconds=10))
    case.fault("file", drip, project="foo")

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "MissingFiles"}
    assert "it sends fewer than 10000 bytes per second" in ran.log
    assert len(case.asked("file", of=slow.path)) == 5
    case.heals()


@pytest.mark.parametrize("where", ["detail", "list"])
def test_case_018_a_dripping_document_is_aborted(case: Case, where: str) -> None:
    case.mirrored("foo", "bar")
    case.index.release("bar", "2.0")
    case.site.configure(global_timeout=0.3, api_method="simple")
    case.fault(where, faults.trickle(2, lambda: None), project="bar" if where == "detail" else None)

    case.mirror(exits=4 if where == "detail" else 3)

    assert len(case.asked(where)) == 2  # a document that is too slow is tried twice
    case.site.configure(global_timeout=60, api_method="auto")
    case.heals()


def test_case_019_a_slow_and_steady_body_is_downloaded(case: Case) -> None:
    """Twice the minimum rate, for more than an hour and longer than any timeout."""
    case.site.configure(timeout=0.5, global_timeout=0.3)
    case.index.release("foo", "1.0", size=2_000_000)
    steady = faults.trickle(40_000, lambda: case.clock.advance(seconds=2))

    case.recovers("file", steady)

    assert len(case.asked("file")) == 1
    assert case.clock.passed >= 100
    case.site.configure(timeout=5, global_timeout=60)
    case.heals()


# ---------------------------------------------------------------- ranges


RANGES = {
    "the whole": faults.whole(),
    "another part": faults.part(f"bytes 5-{LARGE - 1}/{LARGE}", 5),
    "a part without its range": faults.part(None, 1000),
    "no such part": faults.status(416),
    "wrong bytes": faults.edit(lambda body: bytes(len(body))),
}


@pytest.mark.parametrize("kind", RANGES)
def test_case_020_a_wrong_answer_to_a_range_restarts_the_download(case: Case, kind: str) -> None:
    large_file(case)
    case.fault("file", faults.partly(RANGES[kind]))
    case.fault("file", faults.cut(1_800_000), times=1)

    case.mirror()

    begins = ranges(case)
    assert begins[0] is None
    assert begins[1] is not None
    assert begins[2:] == ([] if kind == "the whole" else [None]), begins
    case.heals()
