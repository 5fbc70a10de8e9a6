"""The file of a listing finds every key that was added to it, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import StorageError
from bandersnatch.layout import StorageKey
from bandersnatch.storage.port import StoredObject

pytest.importorskip("obstore")

from bandersnatch.storage.s3.listing import ListingFile

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 10**9
KEYS = st.text(st.sampled_from("ab/-.~\u00e9\u4e2d\U0001f600\t\n"), min_size=1, max_size=6)


@given(st.dictionaries(KEYS, st.integers(0, 2**50), max_size=30), st.integers(1, 9), st.lists(KEYS))
def test_every_printable_key_is_found(sizes: dict[str, int], page: int, others: list[str]) -> None:
    objects = [
        StoredObject(StorageKey(key), size, size * SECOND) for key, size in sorted(sizes.items())
    ]
    with ListingFile("/nowhere") as listing:
        for start in range(0, len(objects), page):
            listing.add(objects[start : start + page])

        found = listing.find(StorageKey(key) for key in [*others, *sizes])

    expected = {each.key: each for each in objects if each.key.isprintable()}
    assert found == expected
    assert listing.newest == max((each.modified for each in expected.values()), default=0)


def test_a_page_is_divided_into_blocks(tmp_path: Path) -> None:
    objects = [StoredObject(StorageKey(f"{n:04}"), n, n * SECOND) for n in range(1000)]
    with ListingFile(str(tmp_path)) as listing:
        listing.add(objects)

        found = listing.find(StorageKey(f"{n:04}") for n in range(-1, 1001))

        assert list(tmp_path.iterdir()) == []  # the file has no name
    assert list(found.values()) == objects


def test_a_directory_that_takes_no_file_is_a_failure_of_the_storage() -> None:
    with pytest.raises(StorageError) as caught, ListingFile("/proc"):
        pass

    assert caught.value.key == "/proc"
