"""A quick check asks the storage only about what the listing does not show as recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bandersnatch.catalogue.records import FileStat
from bandersnatch.layout import MirrorLayout, PageFormat, StorageKey
from bandersnatch.mirror.verify.quick import Difference, QuickCheck
from bandersnatch.model.names import project_name
from bandersnatch.storage.port import Listing, StoredObject
from tests.support.memory_storage import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND = 10**9
FOO = project_name("foo")
PATH = "packages/aa/foo-1.0.whl"
FILE, SIDE = StorageKey(f"web/{PATH}"), StorageKey(f"web/{PATH}.metadata")
PAGE = StorageKey("web/simple/foo/index.html")
LAYOUT = MirrorLayout(formats=(PageFormat.HTML,))
UPLOADED = 7 * SECOND
"""The recorded time of the file."""

SAME = Difference(frozenset(), lacks_page=False)
CHANGED = Difference(frozenset({PATH}), lacks_page=False)


class Store(MemoryStorage):
    """A storage that counts the keys that it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[StorageKey] = []
        self.put(FILE, b"1234", UPLOADED)
        self.put(SIDE, b"side", 0)
        self.put(PAGE, b"page", 0)

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        self.asked += keys
        return await super().stat(keys)


def listing(**modified: int) -> Listing:
    """Return a listing; each object was stored at second 20, unless ``modified`` says when."""
    sizes = {FILE: 4, SIDE: 4, PAGE: 4}

    async def stat(keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        times = {key: modified.get(key.rpartition("/")[2].partition(".")[0], 20) for key in keys}
        return [
            StoredObject(key, sizes[key], times[key] * SECOND) if times[key] >= 0 else None
            for key in keys
        ]

    return Listing(stat, 20 * SECOND)


async def check(
    store: Store,
    listed: Listing,
    *,
    until: int = 0,
    size: int | None = 4,
    modified: int = UPLOADED,
    verified: int | None = None,
) -> Difference:
    """Return how the project differs from its record."""
    recorded = {FOO: [FileStat(PATH, size, modified, sidecar=True, verified=verified)]}
    quick = QuickCheck(store, listed, LAYOUT, until=until * SECOND)
    return (await quick.compare([FOO], recorded))[FOO]


@pytest.mark.parametrize(("verified", "until"), [(20, 0), (None, 20), (3, 25)])
async def test_nothing_is_asked_for_that_was_stored_before_it_was_verified(
    verified: int | None, until: int
) -> None:
    store = Store()

    assert await check(store, listing(), verified=verified, until=until) == SAME

    assert store.asked == []


@pytest.mark.parametrize(("verified", "until"), [(19, 0), (None, 19), (None, 0)])
async def test_what_was_stored_later_is_asked_for(verified: int | None, until: int) -> None:
    store = Store()

    assert await check(store, listing(), verified=verified, until=until) == SAME

    assert store.asked == [FILE]


async def test_a_listed_object_of_another_size_is_asked_for() -> None:
    store = Store()

    assert await check(store, listing(), verified=30, size=5) == CHANGED
    assert await check(store, listing(), verified=30, size=None) == SAME

    assert store.asked == [FILE]


async def test_a_replaced_object_has_changed() -> None:
    store = Store()
    store.put(FILE, b"abcd", 20 * SECOND)

    assert await check(store, listing(), verified=19) == CHANGED


async def test_a_file_that_is_known_to_be_damaged_is_never_believed_to_be_listed() -> None:
    assert await check(Store(), listing(), until=30, modified=0) == CHANGED


@pytest.mark.parametrize("lacking", ["foo-1", "index"])
async def test_what_the_listing_lacks_is_asked_for(lacking: str) -> None:
    store = Store()

    assert await check(store, listing(**{lacking: -1}), verified=20) == SAME

    assert store.asked == ([FILE, SIDE] if lacking == "foo-1" else [PAGE])


@pytest.mark.parametrize(
    ("key", "difference"),
    [(FILE, CHANGED), (SIDE, CHANGED), (PAGE, Difference(frozenset(), lacks_page=True))],
)
@pytest.mark.parametrize("is_exact", [True, False])
async def test_what_is_missing_is_a_difference(
    key: StorageKey, difference: Difference, *, is_exact: bool
) -> None:
    store = Store()
    del store.objects[key]
    late = listing(**dict.fromkeys(("foo-1", "index"), -1))

    found = await check(store, Listing(store.stat) if is_exact else late)

    assert found == difference
    assert len(store.asked) == 3


async def test_an_exact_listing_decides_alone() -> None:
    store = Store()

    assert await check(store, Listing(store.stat)) == SAME
    assert await check(store, Listing(store.stat), modified=UPLOADED + 1) == CHANGED

    assert len(store.asked) == 6


async def test_a_path_that_cannot_be_a_key_is_a_difference() -> None:
    wrong = FileStat("packages/../foo", 1, 1, sidecar=True, verified=None)
    quick = QuickCheck(Store(), listing(), LAYOUT, until=0)

    assert await quick.compare([FOO], {FOO: [wrong]}) == {
        FOO: Difference(frozenset({wrong.path}), lacks_page=False)
    }
