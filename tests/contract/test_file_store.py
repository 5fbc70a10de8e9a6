"""The contract of ``FileStore``: verified downloads appear complete, others not at all."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bandersnatch.errors import DigestMismatch, MissingObject, OversizedContent, SizeMismatch
from bandersnatch.layout import PACKAGES, SIMPLE
from bandersnatch.model.digests import Digest
from bandersnatch.storage.dry_run import DryRunStorage
from bandersnatch.storage.port import StoredObject
from tests.support.storages import (
    BIG,
    PLACES,
    URL,
    contents,
    expected,
    feed,
    key,
    make_place,
    names,
    polling,
    put,
    receive,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bandersnatch.errors import BandersnatchError
    from bandersnatch.model.content import ExpectedContent
    from bandersnatch.storage.port import MirrorStorage
    from tests.support.ceph import SharedCeph
    from tests.support.storages import Place

FILE = key("web/packages/aa/bb/cc/foo-1.0.tar.gz")
TWIN = key("web/packages/dd/ee/ff/bar-1.0.tar.gz")
OTHER = key("web/other")
SMALL = b"a small file"
MEDIUM = bytes(range(256)) * 1000
SIZES = pytest.mark.parametrize("content", [b"", SMALL, MEDIUM, BIG], ids=lambda c: str(len(c)))
"""Sizes of files that are handled differently."""


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path, shared_ceph: SharedCeph) -> Place:
    return make_place(request.param, tmp_path, shared_ceph)


@pytest.fixture
async def storage(place: Place) -> AsyncIterator[MirrorStorage]:
    async with place.work() as opened:
        yield opened


async def break_off(
    storage: MirrorStorage, content: bytes, wanted: ExpectedContent, where: str = FILE
) -> None:
    """Begin a download that ends after ``content``."""
    async with storage.receive(key(where), wanted) as sink:
        await feed(sink, content)


# ---------------------------------------------------------------- stat and digest


async def test_stat_returns_a_result_for_each_key_in_order(storage: MirrorStorage) -> None:
    await put(storage, a=b"1", b__c=b"four")

    found = await storage.stat(names(["web/b/c", "web/never", "web/a", "web/a", "web/a/x"]))

    assert [each and (each.key, each.size) for each in found] == [
        ("web/b/c", 4),
        None,
        ("web/a", 1),
        ("web/a", 1),
        None,
    ]
    assert await storage.stat([]) == []


async def test_stat_returns_results_for_many_keys(storage: MirrorStorage) -> None:
    await put(storage, there=b"1")
    keys = names(["web/there", *(f"web/missing/{number}" for number in range(300)), "web/there"])

    found = await storage.stat(keys)

    assert [index for index, each in enumerate(found) if each is not None] == [0, 301]
    assert len(found) == 302


async def test_a_listing_finds_what_stat_finds(storage: MirrorStorage) -> None:
    await put(storage, simple__foo__page=b"1", packages__aa__one=b"four", other=b"not listed")
    found = ["web/packages/aa/one", "web/simple/foo/page", "web/packages/aa/one"]
    keys = names([*found, "web/packages/aa/one.metadata", "web/packages/aa", "web/simple/zoo"])

    async with storage.listing(SIMPLE, PACKAGES) as listing:
        listed = await listing.stat(keys)
        assert await listing.stat([]) == []
        assert await listing.stat([key("web/other")]) in ([None], await storage.stat([OTHER]))

    exact = await storage.stat(keys)
    assert [each and (each.key, each.size) for each in listed] == [
        each and (each.key, each.size) for each in exact
    ]
    if listing.newest is None:
        assert listed == exact
    else:
        assert max(each.modified for each in listed if each is not None) == listing.newest


async def test_a_listing_finds_many_objects(storage: MirrorStorage) -> None:
    keys = names(f"web/packages/{number:04}/x" for number in range(600))
    await storage.write({each: each.encode() for each in keys})
    asked = [each for k in keys for each in (key(f"{k}.metadata"), k)]

    async with storage.listing(PACKAGES) as listing:
        found = await listing.stat(asked)

    assert [each and each.key for each in found] == [
        None if each.endswith(".metadata") else each for each in asked
    ]


async def test_a_listing_of_nothing_has_nothing(storage: MirrorStorage) -> None:
    async with storage.listing(PACKAGES) as listing:
        assert await listing.stat([FILE]) == [None]


async def test_a_dry_run_lists_what_is_stored(storage: MirrorStorage) -> None:
    await storage.write({FILE: SMALL})

    async with DryRunStorage(storage).listing(PACKAGES) as listing:
        (found, missing) = await listing.stat([FILE, TWIN])

    assert found is not None
    assert (found.key, found.size, missing) == (FILE, len(SMALL), None)


@SIZES
async def test_digests_are_returned_in_the_order_of_the_algorithms(
    storage: MirrorStorage, content: bytes
) -> None:
    await storage.write({FILE: content})

    hashes = await storage.digest(FILE, ["sha256", "md5", "blake2b"])

    assert hashes.digests == tuple(
        Digest(name, hashlib.new(name, content).hexdigest())
        for name in ("sha256", "md5", "blake2b")
    )


@pytest.mark.parametrize("where", ["web/packages/never", "web/there/below"])
async def test_a_missing_object_has_no_digest(storage: MirrorStorage, where: str) -> None:
    await put(storage, there=b"an object, and no directory")

    with pytest.raises(MissingObject) as caught:
        await storage.digest(key(where), ["sha256"])

    assert caught.value.key == where


@SIZES
async def test_read_files_returns_results_in_the_order_of_keys(
    storage: MirrorStorage, content: bytes
) -> None:
    await storage.write({FILE: content, TWIN: SMALL})

    found = await storage.read_files([TWIN, key("web/packages/never"), FILE])

    assert [(each.size, each.digest) for each in found] == [
        (len(SMALL), sha256(SMALL)),
        (0, None),
        (len(content), sha256(content)),
    ]
    assert [each.problem for each in found] == ["", "it is missing", ""]
    assert await storage.read_files([]) == []


@SIZES
async def test_an_object_is_streamed_in_chunks(storage: MirrorStorage, content: bytes) -> None:
    await storage.write({FILE: content})

    pieces = [piece async for piece in storage.stream(FILE)]

    assert b"".join(pieces) == content
    assert all(pieces)


@pytest.mark.parametrize("where", ["web/packages/never", "web/there/below"])
async def test_a_missing_object_is_not_streamed(storage: MirrorStorage, where: str) -> None:
    await put(storage, there=b"an object, and no directory")

    with pytest.raises(MissingObject):
        assert [piece async for piece in storage.stream(key(where))] == []


def sha256(content: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(content).hexdigest())


# ---------------------------------------------------------------- successful downloads


@SIZES
async def test_a_finished_download_is_published(storage: MirrorStorage, content: bytes) -> None:
    async with storage.receive(FILE, expected(content, algorithms=("md5",))) as sink:
        assert sink.held == 0
        await feed(sink, content)
        assert sink.held == len(content)
        assert sink.complete
        assert await contents(storage) == {}
        found = await sink.finish()
        assert await contents(storage) == {FILE: content}

    assert await contents(storage) == {FILE: content}
    assert found.size == len(content)
    assert found.hashes.digests == (
        Digest("sha256", hashlib.sha256(content).hexdigest()),
        Digest("md5", hashlib.md5(content).hexdigest()),
    )


@SIZES
@pytest.mark.parametrize("pieces_of", [1000, 300_000, 6_000_000])
async def test_chunks_may_have_any_size(
    storage: MirrorStorage, content: bytes, pieces_of: int
) -> None:
    async with storage.receive(FILE, expected(content)) as sink:
        await feed(sink, content, pieces_of=pieces_of)
        await sink.write(b"")
        await sink.finish()

    assert await contents(storage) == {FILE: content}


async def test_a_download_of_an_empty_file_is_complete_from_the_beginning(
    storage: MirrorStorage,
) -> None:
    async with storage.receive(FILE, expected(b"")) as sink:
        assert sink.complete
        await sink.finish()

    assert await contents(storage) == {FILE: b""}


@pytest.mark.parametrize("modified", [0, 1_700_000_000_123_456_000, 315_532_800_000_001_000])
@pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
async def test_a_file_gets_its_exact_modification_time(
    storage: MirrorStorage, content: bytes, modified: int
) -> None:
    async with storage.receive(FILE, expected(content, modified=modified)) as sink:
        await feed(sink, content)
        await sink.finish()

    assert await storage.stat([FILE]) == [StoredObject(FILE, len(content), modified)]


@SIZES
async def test_a_download_replaces_the_existing_object(
    storage: MirrorStorage, content: bytes
) -> None:
    await storage.write({FILE: b"what was there before"})

    await receive(storage, FILE, content)

    assert await contents(storage) == {FILE: content}


async def test_a_download_of_unknown_size_is_never_complete(storage: MirrorStorage) -> None:
    wanted = expected(SMALL, size=None, max_size=100)
    async with storage.receive(FILE, wanted) as sink:
        await sink.write(SMALL)
        assert not sink.complete
        await sink.finish()

    assert await contents(storage) == {FILE: SMALL}


# ---------------------------------------------------------------- rejected downloads


@pytest.mark.parametrize(
    ("content", "wanted", "error"),
    [
        (SMALL, expected(SMALL[::-1]), DigestMismatch),
        (SMALL, expected(SMALL + b"more"), SizeMismatch),
        (b"", expected(SMALL), SizeMismatch),
        (b"", expected(SMALL, size=None), DigestMismatch),
        (BIG, expected(BIG[::-1]), DigestMismatch),
        (BIG, expected(BIG, size=None), None),
        (BIG[:-1], expected(BIG), SizeMismatch),
        (BIG[:-1], expected(BIG, size=None), DigestMismatch),
        (SMALL, replace(expected(SMALL), path_digest="0" * 64), DigestMismatch),
        (SMALL, replace(expected(SMALL), path_digest=hashlib.sha256(SMALL).hexdigest()), None),
    ],
)
async def test_wrong_content_is_rejected_and_discarded(
    storage: MirrorStorage,
    content: bytes,
    wanted: ExpectedContent,
    error: type[BandersnatchError] | None,
) -> None:
    await storage.write({FILE: b"old"})

    async with storage.receive(FILE, wanted) as sink:
        await feed(sink, content)
        if error is None:
            await sink.finish()
        else:
            with pytest.raises(error):
                await sink.finish()
        assert sink.held == 0

    assert await contents(storage) == {FILE: b"old" if error else content}
    async with storage.receive(FILE, wanted) as sink:
        assert sink.held == 0


@pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
async def test_right_content_is_accepted_after_wrong_content(
    storage: MirrorStorage, content: bytes
) -> None:
    async with storage.receive(FILE, expected(content)) as sink:
        await feed(sink, content[::-1])
        with pytest.raises(DigestMismatch):
            await sink.finish()
        await feed(sink, content)
        await sink.finish()

    assert await contents(storage) == {FILE: content}


@pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
async def test_a_download_can_be_finished_only_once(storage: MirrorStorage, content: bytes) -> None:
    async with storage.receive(FILE, expected(content)) as sink:
        await feed(sink, content)
        await sink.finish()
        with pytest.raises(SizeMismatch):
            await sink.finish()

    assert await contents(storage) == {FILE: content}


@pytest.mark.parametrize("limit", ["size", "largest"])
@pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
async def test_content_over_the_limit_is_rejected_when_it_is_written(
    storage: MirrorStorage, content: bytes, limit: str
) -> None:
    size = len(content) if limit == "size" else None
    wanted = expected(content, size=size, max_size=len(content))
    async with storage.receive(FILE, wanted) as sink:
        await feed(sink, content)
        with pytest.raises(OversizedContent) as caught:
            await sink.write(b"1")
        assert (caught.value.url, caught.value.limit) == (URL, len(content))
        assert sink.held == len(content)
        await sink.finish()

    assert await contents(storage) == {FILE: content}


async def test_a_single_oversized_chunk_is_not_held(storage: MirrorStorage) -> None:
    async with storage.receive(FILE, expected(SMALL)) as sink:
        with pytest.raises(OversizedContent):
            await sink.write(BIG)
        assert sink.held == 0
        await sink.write(SMALL)
        await sink.finish()

    assert await contents(storage) == {FILE: SMALL}


@pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
async def test_a_restart_discards_the_held_bytes(storage: MirrorStorage, content: bytes) -> None:
    async with storage.receive(FILE, expected(content)) as sink:
        await sink.restart()
        await feed(sink, content[:-1][::-1])
        await sink.restart()
        assert sink.held == 0
        assert not sink.complete
        await feed(sink, content)
        await sink.finish()

    assert await contents(storage) == {FILE: content}


# ---------------------------------------------------------------- resumption


@pytest.mark.parametrize("size", [len(BIG), None], ids=["announced", "not announced"])
async def test_a_download_is_resumed_where_it_ended(
    storage: MirrorStorage, size: int | None
) -> None:
    wanted = expected(BIG, size=size)
    await break_off(storage, BIG[:3_500_000], wanted)
    assert await contents(storage) == {}

    async with storage.receive(FILE, wanted) as sink:
        assert 3_500_000 - 1024**2 <= sink.held <= 3_500_000
        await feed(sink, BIG[sink.held :])
        await sink.finish()

    assert await contents(storage) == {FILE: BIG}


async def test_a_download_is_resumed_by_another_run(place: Place) -> None:
    wanted = expected(BIG, modified=5_000)
    for upto in (1_200_000, 2_700_000, 4_300_000):
        async with place.work() as storage, storage.receive(FILE, wanted) as sink:
            await feed(sink, BIG[sink.held : upto])

    async with place.work() as storage:
        async with storage.receive(FILE, wanted) as sink:
            assert sink.held >= 3 * 1024**2
            await feed(sink, BIG[sink.held :])
            await sink.finish()
        assert await contents(storage) == {FILE: BIG}
        assert await storage.stat([FILE]) == [StoredObject(FILE, len(BIG), 5_000)]


async def test_a_completely_received_download_is_complete_when_resumed(place: Place) -> None:
    content = BIG[: 2 * 1024**2]
    async with place.work() as storage:
        await break_off(storage, content, expected(content))

    async with place.work() as storage:
        async with storage.receive(FILE, expected(content)) as sink:
            assert sink.complete
            await sink.finish()
        assert await contents(storage) == {FILE: content}


async def test_wrong_bytes_of_an_earlier_attempt_are_detected_and_discarded(
    storage: MirrorStorage,
) -> None:
    await break_off(storage, BIG[::-1][:2_500_000], expected(BIG))

    async with storage.receive(FILE, expected(BIG)) as sink:
        assert sink.held > 0
        await feed(sink, BIG[sink.held :])
        with pytest.raises(DigestMismatch):
            await sink.finish()
        assert sink.held == 0
        await feed(sink, BIG)
        await sink.finish()

    assert await contents(storage) == {FILE: BIG}


async def test_an_oversized_earlier_attempt_is_discarded(
    storage: MirrorStorage,
) -> None:
    """An index may correct the size that it lists."""
    content = BIG[:1_100_000]
    await break_off(storage, BIG, expected(content, size=len(BIG)))

    async with storage.receive(FILE, expected(content)) as sink:
        assert sink.held == 0
        await feed(sink, content)
        await sink.finish()

    assert await contents(storage) == {FILE: content}


async def test_a_small_unfinished_download_is_discarded(storage: MirrorStorage) -> None:
    await break_off(storage, SMALL[:-1], expected(SMALL))
    await break_off(storage, BIG[:1_000_000], expected(BIG))

    for content in (SMALL, BIG):
        async with storage.receive(FILE, expected(content)) as sink:
            assert sink.held == 0


async def test_a_restarted_download_is_not_resumed(storage: MirrorStorage) -> None:
    async with storage.receive(FILE, expected(BIG)) as sink:
        await feed(sink, BIG[:3_000_000])
        await sink.restart()

    async with storage.receive(FILE, expected(BIG)) as sink:
        assert sink.held == 0


async def test_a_purged_download_is_not_resumed(storage: MirrorStorage) -> None:
    await break_off(storage, BIG[:3_000_000], expected(BIG))

    await storage.purge_downloads(before=sys.maxsize)
    await storage.purge_downloads(before=sys.maxsize)

    async with storage.receive(FILE, expected(BIG)) as sink:
        assert sink.held == 0


# ---------------------------------------------------------------- concurrency


@pytest.mark.parametrize("content", [b"", SMALL, BIG], ids=lambda content: str(len(content)))
async def test_files_with_the_same_content_download_concurrently(
    storage: MirrorStorage, content: bytes
) -> None:
    wanted = expected(content)
    third = key("web/packages/x")
    async with (
        storage.receive(FILE, wanted) as first,
        storage.receive(TWIN, wanted) as second,
        storage.receive(third, wanted) as last,
    ):
        half = len(content) // 2
        await asyncio.gather(feed(first, content[:half]), feed(second, content[: half + 1]))
        await asyncio.gather(feed(first, content[half:]), feed(last, content))
        await first.finish()
        await feed(second, content[half + 1 :])
        await asyncio.gather(second.finish(), last.finish())

    assert await contents(storage) == {FILE: content, TWIN: content, third: content}


async def test_one_of_two_downloads_of_the_same_content_may_fail(storage: MirrorStorage) -> None:
    async with storage.receive(FILE, expected(BIG)) as good:
        await feed(good, BIG[:2_000_000])
        async with storage.receive(TWIN, expected(BIG)) as bad:
            await feed(bad, BIG[::-1])
            with pytest.raises(DigestMismatch):
                await bad.finish()
        await feed(good, BIG[2_000_000:])
        await good.finish()

    assert await contents(storage) == {FILE: BIG}


async def test_many_downloads_run_concurrently(storage: MirrorStorage) -> None:
    files = {f"web/packages/{number}": bytes([number]) * 1_500_000 for number in range(12)}

    await asyncio.gather(*(receive(storage, where, files[where]) for where in files))

    assert await contents(storage) == files


# ---------------------------------------------------------------- interruption


class Stop(Exception):
    """An exception in the middle of a download."""


@SIZES
@pytest.mark.parametrize("old", [b"old", None])
async def test_an_exception_during_a_download_keeps_the_existing_object(
    storage: MirrorStorage, content: bytes, old: bytes | None
) -> None:
    before = {} if old is None else {FILE: old}
    await storage.write(before)

    async def stop_in_the_middle() -> None:
        async with storage.receive(FILE, expected(content)) as sink:
            await feed(sink, content)
            raise Stop

    with pytest.raises(Stop):
        await stop_in_the_middle()

    assert await contents(storage) == before


@pytest.mark.parametrize("after", [0, 1, 2_500_000, len(BIG)])
async def test_a_cancelled_download_keeps_the_existing_object(
    storage: MirrorStorage, after: int
) -> None:
    reached = asyncio.Event()
    await storage.write({FILE: b"old"})

    async def download() -> None:
        async with storage.receive(FILE, expected(BIG)) as sink:
            await feed(sink, BIG[:after])
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(download())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await contents(storage) == {FILE: b"old"}
    await receive(storage, FILE, BIG)
    assert await contents(storage) == {FILE: BIG}


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_a_download_cancelled_at_any_step_is_complete_or_absent(
    storage: MirrorStorage, turns: int
) -> None:
    async def download() -> None:
        async with storage.receive(FILE, expected(BIG)) as sink:
            await feed(sink, BIG, pieces_of=500_000)
            await sink.finish()

    task = asyncio.create_task(download())
    for _ in range(turns):
        await asyncio.sleep(0.0005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await contents(storage) in ({}, {FILE: BIG})
    await receive(storage, FILE, BIG)
    assert await contents(storage) == {FILE: BIG}


async def test_a_reader_never_sees_a_partial_file(place: Place) -> None:
    versions = [bytes([letter]) * 1_500_000 for letter in b"ab"]

    async def look(storage: MirrorStorage) -> None:
        seen = await storage.read(FILE)
        assert seen in versions

    async with place.work() as storage:
        await receive(storage, FILE, versions[0])
        with polling(place, look):
            for number in range(place.rounds // 15):
                await receive(storage, FILE, versions[number % 2])


# ---------------------------------------------------------------- a dry run


async def test_a_dry_run_returns_stats_and_digests_of_stored_objects(
    storage: MirrorStorage,
) -> None:
    dry = DryRunStorage(storage)
    await put(storage, a=SMALL)
    keys = names(["web/a", "web/never"])

    assert await dry.stat(keys) == await storage.stat(keys)
    assert await dry.digest(keys[0], ["md5"]) == await storage.digest(keys[0], ["md5"])
    with pytest.raises(MissingObject):
        await dry.digest(keys[1], ["sha256"])


async def test_a_dry_run_requests_and_stores_no_bytes_of_a_download(storage: MirrorStorage) -> None:
    await storage.write({FILE: b"old"})

    async with DryRunStorage(storage).receive(FILE, expected(BIG, algorithms=("md5",))) as sink:
        assert sink.complete
        await sink.restart()
        assert sink.complete
        await sink.write(SMALL)
        found = await sink.finish()

    assert (found.size, found.hashes.get("sha256")) == (len(BIG), expected(BIG).digest)
    assert len(str(found.hashes.get("md5"))) == len("md5=") + 32
    assert await contents(storage) == {FILE: b"old"}


async def test_a_dry_run_reports_no_bytes_for_a_file_of_unknown_size(
    storage: MirrorStorage,
) -> None:
    async with DryRunStorage(storage).receive(FILE, expected(BIG, size=None)) as sink:
        assert sink.complete
        assert (await sink.finish()).size == 0


async def test_a_dry_run_purges_no_downloads(storage: MirrorStorage) -> None:
    await break_off(storage, BIG[:3_000_000], expected(BIG))

    await DryRunStorage(storage).purge_downloads(before=sys.maxsize)

    async with storage.receive(FILE, expected(BIG)) as sink:
        assert sink.held > 0
