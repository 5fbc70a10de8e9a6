"""The contract of ``Storage``, for every adapter."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandersnatch.concurrency import bounded_map
from bandersnatch.errors import MissingObject
from bandersnatch.layout import trash
from bandersnatch.storage.dry_run import DryRunStorage
from tests.support.storages import PLACES, contents, key, make_place, names, polling, put

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bandersnatch.layout import StorageKey
    from bandersnatch.storage.port import MirrorStorage
    from tests.support.ceph import SharedCeph
    from tests.support.storages import Place

PAGE, OTHER = key("web/simple/foo/index.html"), key("web/simple/bar/index.html")
LARGE = 200_000
"""Bytes: more than a single system call writes."""


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path, shared_ceph: SharedCeph) -> Place:
    return make_place(request.param, tmp_path, shared_ceph)


@pytest.fixture
async def storage(place: Place) -> AsyncIterator[MirrorStorage]:
    async with place.work() as opened:
        yield opened


# ---------------------------------------------------------------- read and write


async def test_written_objects_are_read(storage: MirrorStorage) -> None:
    await storage.write({PAGE: b"<html>", key("status"): b"17", OTHER: b""})

    assert await storage.read(PAGE) == b"<html>"
    assert await storage.read(key("status")) == b"17"
    assert await storage.read(OTHER) == b""


@pytest.mark.parametrize(
    "where", ["web/simple/foo/index.html", "web/nothing", "status", "web/there/below"]
)
async def test_reading_a_missing_object_raises_missing_object(
    storage: MirrorStorage, where: str
) -> None:
    await put(storage, there=b"an object, and no directory")

    with pytest.raises(MissingObject) as caught:
        await storage.read(key(where))

    assert caught.value.key == where


async def test_written_objects_persist_until_the_next_run(place: Place) -> None:
    async with place.work() as storage:
        await storage.write({PAGE: b"1"})

    async with place.work() as storage:
        assert await storage.read(PAGE) == b"1"


@pytest.mark.parametrize("durable", [False, True])
async def test_only_changed_objects_are_written_and_returned(
    storage: MirrorStorage, *, durable: bool
) -> None:
    await storage.write({PAGE: b"old", OTHER: b"same"}, durable=durable)
    (before,) = await storage.stat([OTHER])
    new = key("web/a/new")

    changed = await storage.write({new: b"1", OTHER: b"same", PAGE: b"new"}, durable=durable)

    assert changed == [new, PAGE]
    assert await contents(storage) == {new: b"1", OTHER: b"same", PAGE: b"new"}
    assert await storage.stat([OTHER]) == [before]


@pytest.mark.parametrize(
    "content", [b"longer than before", b"old", b"other"[:3], b"", b"x" * LARGE]
)
async def test_a_write_replaces_the_whole_object(storage: MirrorStorage, content: bytes) -> None:
    await storage.write({PAGE: b"was"})
    await storage.write({PAGE: content})

    assert await contents(storage) == {PAGE: content}


@pytest.mark.parametrize("durable", [False, True])
async def test_absent_objects_are_deleted_and_returned_after_the_rest(
    storage: MirrorStorage, *, durable: bool
) -> None:
    old, never = key("web/simple/f/foo/index.html"), key("web/simple/never/index.html")
    await storage.write({old: b"old", OTHER: b"other"})

    changed = await storage.write({PAGE: b"new"}, absent=[never, old], durable=durable)

    assert changed == [PAGE, old]
    assert await contents(storage) == {PAGE: b"new", OTHER: b"other"}
    assert await storage.write({}, absent=[old, never], durable=durable) == []


async def test_a_reader_sees_every_write_complete_and_in_order(place: Place) -> None:
    """A reader never sees the first object older than the second."""

    async def look(storage: MirrorStorage) -> None:
        second = await storage.read(OTHER)
        first = await storage.read(PAGE)
        assert len(set(first)) == len(set(second)) == 1
        assert len(first) == len(second) == LARGE
        assert first[0] >= second[0]

    async with place.work() as storage:
        await storage.write({PAGE: bytes(LARGE), OTHER: bytes(LARGE)})
        with polling(place, look):
            for number in range(1, place.rounds // 5):
                content = bytes([number]) * LARGE
                await storage.write({PAGE: content, OTHER: content})


# ---------------------------------------------------------------- published versions


async def test_a_published_version_is_read_at_the_key_of_the_page(storage: MirrorStorage) -> None:
    version = key("web/simple/foo/versions/index_7.html")
    await storage.write({version: b"seven"})

    await storage.publish_version(PAGE, version)

    assert await contents(storage) == {PAGE: b"seven", version: b"seven"}
    assert [each.size async for each in storage.scan(PAGE)] == [5]


@pytest.mark.parametrize("first", ["object", "alias"])
async def test_a_published_version_replaces_the_page(storage: MirrorStorage, first: str) -> None:
    old, new = key("web/simple/foo/versions/1"), key("web/simple/foo/versions/2")
    await storage.write({old: b"one", new: b"two"})
    if first == "alias":
        await storage.publish_version(PAGE, old)
    else:
        await storage.write({PAGE: b"zero"})

    await storage.publish_version(PAGE, new)

    assert await contents(storage) == {PAGE: b"two", old: b"one", new: b"two"}


async def test_a_page_is_replaced_and_deleted_without_its_version(storage: MirrorStorage) -> None:
    version = key("web/simple/foo/versions/1")
    await storage.write({version: b"one"})
    await storage.publish_version(PAGE, version)
    await storage.publish_version(OTHER, version)

    assert await storage.write({PAGE: b"changed"}) == [PAGE]
    assert await storage.write({}, absent=[OTHER]) == [OTHER]

    assert await contents(storage) == {PAGE: b"changed", version: b"one"}


async def test_a_reader_always_finds_the_page_while_versions_are_published(place: Place) -> None:
    versions = names(f"web/simple/foo/versions/{number}" for number in range(3))

    async def look(storage: MirrorStorage) -> None:
        assert await storage.read(PAGE) in {b"0", b"1", b"2"}

    async with place.work() as storage:
        await storage.write({version: version[-1:].encode() for version in versions})
        await storage.publish_version(PAGE, versions[0])
        with polling(place, look):
            for number in range(place.rounds):
                await storage.publish_version(PAGE, versions[number % 3])


# ---------------------------------------------------------------- the trash


SERVED = names(["web/packages/aa/one", "web/packages/bb/two"])
TRASHED = names(["removed/packages/aa/one", "removed/packages/bb/two"])


@pytest.mark.parametrize(
    ("act", "sources", "targets"),
    [("discard", SERVED, TRASHED), ("recover", TRASHED, SERVED)],
)
async def test_objects_keep_their_times_and_replace_older_ones_when_they_move(
    storage: MirrorStorage, act: str, sources: list[StorageKey], targets: list[StorageKey]
) -> None:
    await storage.write({sources[0]: b"1", sources[1]: b"22", targets[1]: b"older", OTHER: b"o"})
    before = await storage.stat(sources)

    await getattr(storage, act)(sources)

    assert await contents(storage) == {targets[0]: b"1", targets[1]: b"22", OTHER: b"o"}
    after = await storage.stat(targets)
    assert [(s and s.size, s and s.modified) for s in after] == [
        (s and s.size, s and s.modified) for s in before
    ]


@pytest.mark.parametrize("act", ["discard", "recover", "purge"])
async def test_keys_without_an_object_are_skipped(storage: MirrorStorage, act: str) -> None:
    prefix = "web" if act == "discard" else "removed"
    there, missing = names([f"{prefix}/x/there", f"{prefix}/x/missing"])
    await storage.write({there: b"1", OTHER: b"o"})

    await getattr(storage, act)([])
    await getattr(storage, act)([missing, there, there])

    moved = {"discard": {key("removed/x/there"): b"1"}, "recover": {key("web/x/there"): b"1"}}
    assert await contents(storage) == {OTHER: b"o", **moved.get(act, {})}


async def test_discarded_objects_can_be_recovered(storage: MirrorStorage) -> None:
    await storage.write({PAGE: b"1"})

    await storage.discard([PAGE])
    assert await contents(storage) == {trash(PAGE): b"1"}
    await storage.recover([trash(PAGE)])

    assert await contents(storage) == {PAGE: b"1"}


async def test_purged_objects_are_gone(storage: MirrorStorage) -> None:
    near = key("removed/simple/foo/index.html.old")
    await storage.write({trash(PAGE): b"1", PAGE: b"2", near: b"3"})

    await storage.purge([trash(PAGE), key("removed/simple/foo/x/y")])

    assert await contents(storage) == {PAGE: b"2", near: b"3"}
    with pytest.raises(MissingObject):
        await storage.read(trash(PAGE))


# ---------------------------------------------------------------- deletion


async def test_deletion_deletes_only_the_existing_objects_it_is_given(
    storage: MirrorStorage,
) -> None:
    near = key("web/simple/foo/index.html.old")
    await storage.write({PAGE: b"1", OTHER: b"2", near: b"3"})

    absent = [PAGE, key("web/simple/never/index.html"), key("web/simple/foo/x/y")]
    assert await storage.write({}, absent=absent) == [PAGE]
    assert await storage.write({}, absent=[PAGE]) == []
    assert await storage.write({}) == []

    assert await contents(storage) == {OTHER: b"2", near: b"3"}
    with pytest.raises(MissingObject):
        await storage.read(PAGE)


async def test_a_deleted_object_can_be_written_again(storage: MirrorStorage) -> None:
    await storage.write({PAGE: b"1"})
    await storage.write({}, absent=[PAGE])

    assert await storage.write({PAGE: b"1"}) == [PAGE]
    assert await contents(storage) == {PAGE: b"1"}


# ---------------------------------------------------------------- scan


async def test_a_scan_returns_the_size_and_time_that_stat_returns(storage: MirrorStorage) -> None:
    await put(storage, a=b"1", b=b"", c__d=b"x" * 1000)

    found = [each async for each in storage.scan(key("web/"))]

    assert [(each.key, each.size) for each in found] == [
        ("web/a", 1),
        ("web/b", 0),
        ("web/c/d", 1000),
    ]
    assert await storage.stat([each.key for each in found]) == found


@pytest.mark.parametrize("prefix", ["web/simple/", "web/never/", "removed/", "web/simple/foo/x/"])
async def test_a_scan_of_an_unused_prefix_returns_nothing(
    storage: MirrorStorage, prefix: str
) -> None:
    await put(storage, simple__foo=b"an object", packages__x=b"")
    await storage.write({}, absent=[key("web/simple/foo")])

    assert [each async for each in storage.scan(key(prefix))] == []


async def test_a_scan_continues_when_objects_are_deleted_during_it(storage: MirrorStorage) -> None:
    keys = names(f"web/{number:02}/x" for number in range(20))
    await storage.write(dict.fromkeys(keys, b"x"))
    seen = []

    async for found in storage.scan(key("web/")):
        seen.append(found.key)
        await storage.write({}, absent=keys[1:])

    assert seen[0] == keys[0]
    assert set(seen) <= set(keys)
    assert [each.key async for each in storage.scan(key("web/"))] == keys[:1]


async def test_a_scan_returns_many_objects_with_one_prefix(storage: MirrorStorage) -> None:
    keys = names(f"web/many/{number:04}" for number in range(2_500))

    async def write(each: StorageKey) -> None:
        await storage.write({each: b""})

    await bounded_map(write, keys, most=32)

    assert [each.key async for each in storage.scan(key("web/many/"))] == keys


_FOLDERS = st.sampled_from(["a", "a-", "a.b", "a0", "b", "_"])
_LEAVES = st.sampled_from(["a.f", "a-.f", "a0.f", "b.f", "~.f", "A.f", "ä.f"])
_KEYS = st.builds(
    lambda folders, leaf: key("/".join(["web", *folders, leaf])),
    st.lists(_FOLDERS, max_size=3),
    _LEAVES,
)


@pytest.mark.parametrize("adapter", PLACES)
@settings(max_examples=60)
@given(keys=st.sets(_KEYS, max_size=12), prefix=_KEYS, cut=st.integers(0, 12))
async def test_a_scan_returns_the_keys_with_the_prefix_in_order(
    shared_ceph: SharedCeph, adapter: str, keys: set[str], prefix: str, cut: int
) -> None:
    """The order is that of keys, not of directories: ``a-/x`` comes before ``a/x``."""
    start = key("web/" + prefix.removeprefix("web/")[:cut])
    with tempfile.TemporaryDirectory() as home:
        async with make_place(adapter, Path(home), shared_ceph).work() as storage:
            await storage.write(dict.fromkeys(names(keys), b"x"))

            found = [each.key async for each in storage.scan(start)]

    assert found == sorted(each for each in keys if each.startswith(start))


# ---------------------------------------------------------------- flush


async def test_flush_returns_with_and_without_writes(
    storage: MirrorStorage,
) -> None:
    await storage.flush()
    await storage.write({PAGE: b"1"})
    await storage.flush()
    await storage.flush()

    assert await contents(storage) == {PAGE: b"1"}


# ---------------------------------------------------------------- a dry run


@pytest.fixture
async def filled(storage: MirrorStorage) -> MirrorStorage:
    """Return a storage with a page that shows a version, and an ordinary object."""
    version = key("web/simple/foo/versions/1")
    await storage.write({version: b"one", OTHER: b"other"})
    await storage.publish_version(PAGE, version)
    return storage


async def test_a_dry_run_reads_stored_objects(filled: MirrorStorage) -> None:
    dry = DryRunStorage(filled)

    assert await contents(dry) == await contents(filled)
    with pytest.raises(MissingObject):
        await dry.read(key("web/never"))


async def test_a_dry_run_writes_nothing(filled: MirrorStorage) -> None:
    dry, before = DryRunStorage(filled), await contents(filled)

    await dry.write({PAGE: b"new", key("web/new"): b""}, absent=[OTHER], durable=True)
    await dry.publish_version(OTHER, PAGE)
    await dry.discard([OTHER])
    await dry.recover([trash(OTHER)])
    await dry.purge([TRASHED[0]])
    await dry.flush()

    assert await contents(filled) == before


async def test_a_dry_run_finds_discarded_objects_only_in_the_trash(filled: MirrorStorage) -> None:
    dry = DryRunStorage(filled)
    await dry.discard([OTHER])

    trashed = trash(OTHER)
    assert await dry.digest(trashed, ["md5"]) == await filled.digest(OTHER, ["md5"])
    assert b"".join([piece async for piece in dry.stream(trashed)]) == b"other"
    with pytest.raises(MissingObject):
        await dry.digest(OTHER, ["md5"])
    with pytest.raises(MissingObject):
        await anext(aiter(dry.stream(OTHER)))
    (reading,) = await dry.read_files([OTHER])
    assert (reading.size, reading.problem) == (0, "it is missing")
    await dry.recover([trashed])
    assert await dry.read(OTHER) == b"other"
    with pytest.raises(MissingObject):
        await dry.read(trashed)
    await dry.discard([OTHER])
    await dry.purge([trashed])
    with pytest.raises(MissingObject):
        await dry.read(trashed)


async def test_a_dry_run_returns_the_changes_that_a_run_would_make(filled: MirrorStorage) -> None:
    objects = {OTHER: b"other", key("web/new"): b"", key("web/simple/foo/versions/1"): b"1"}
    absent = [key("web/never"), PAGE]

    told = await DryRunStorage(filled).write(objects, absent=absent)

    assert told == ["web/new", "web/simple/foo/versions/1", PAGE]
    assert told == await filled.write(objects, absent=absent)
