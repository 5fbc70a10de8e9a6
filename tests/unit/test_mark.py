"""The marks of tree and catalogue: parsing, comparing, and moving them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.catalogue.records import CatalogueUpdate, Marker
from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import ForeignLink
from bandersnatch.layout import MARK, StorageKey
from bandersnatch.mirror.mark import (
    MarkState,
    TreeMark,
    compare_marks,
    finish_marks,
    mark_in_tree,
    move_mark,
    read_marks,
)
from tests.support.clock import QuickClock
from tests.support.index import Index
from tests.support.memory_storage import MemoryStorage
from tests.support.records import make_record
from tests.support.world import World

OURS, THEIRS = "a" * 32, "b" * 32

marks = st.builds(
    TreeMark, st.sampled_from([OURS, THEIRS]), st.integers(0, 10**14), begun=st.booleans()
)


@given(marks)
def test_a_mark_is_read_as_it_was_written(mark: TreeMark) -> None:
    assert TreeMark.parse(mark.render()) == mark
    assert TreeMark.parse(mark.render() + "\n") == mark


@given(st.text())
def test_any_text_is_a_mark_or_none(text: str) -> None:
    mark = TreeMark.parse(text)
    assert mark is None or mark.render() == text.strip()


@pytest.mark.parametrize(
    ("in_tree", "in_catalogue", "state"),
    [
        (None, None, MarkState.NEW),
        (TreeMark(OURS, 3), None, MarkState.TREE_ONLY),
        (None, TreeMark(OURS, 3), MarkState.CATALOGUE_ONLY),
        (TreeMark(OURS, 3), TreeMark(THEIRS, 3), MarkState.OTHER_MIRROR),
        (TreeMark(OURS, 3), TreeMark(OURS, 3), MarkState.SAME),
        (TreeMark(OURS, 3), TreeMark(OURS, 3, begun=True), MarkState.SAME),
        (TreeMark(OURS, 2), TreeMark(OURS, 3, begun=True), MarkState.SAME),
        (TreeMark(OURS, 2), TreeMark(OURS, 3), MarkState.OTHER_MOMENT),
        (TreeMark(OURS, 1), TreeMark(OURS, 3, begun=True), MarkState.OTHER_MOMENT),
        (TreeMark(OURS, 4), TreeMark(OURS, 3), MarkState.OTHER_MOMENT),
        (TreeMark(OURS, 4), TreeMark(OURS, 3, begun=True), MarkState.OTHER_MOMENT),
    ],
)
def test_marks_are_compared(
    in_tree: TreeMark | None, in_catalogue: TreeMark | None, state: MarkState
) -> None:
    assert compare_marks(in_tree, in_catalogue) is state


@pytest.mark.parametrize("text", [b"", b"\xff", b"a mark", f"{OURS} -1".encode()])
async def test_a_file_that_is_no_mark_counts_as_missing(text: bytes) -> None:
    storage = MemoryStorage()
    storage.put(MARK, text)

    assert await mark_in_tree(storage) is None


async def test_a_link_in_the_place_of_the_mark_is_an_error() -> None:
    class Linked(MemoryStorage):
        async def read(self, key: StorageKey, /) -> bytes:
            raise ForeignLink(key, "elsewhere")

    with pytest.raises(ForeignLink):
        await mark_in_tree(Linked())


async def test_the_counter_moves_and_the_name_stays() -> None:
    mirror = World(Index(), QuickClock(), ApiMethod.AUTO).mirror()
    seen = []
    for _ in range(3):
        await move_mark(mirror)
        assert await read_marks(mirror) is MarkState.SAME
        seen.append(await mark_in_tree(mirror.storage))

    assert [each.counter for each in seen if each] == [1, 2, 3]
    assert len({each.name for each in seen if each}) == 1


@pytest.mark.parametrize("at", range(3))
async def test_an_interruption_while_it_moves_is_no_difference(at: int) -> None:
    world = World(Index(), QuickClock(), ApiMethod.AUTO)
    mirror = world.mirror()
    await move_mark(mirror)
    world.storage.kill_after = at
    try:
        await move_mark(mirror)
    except BaseException:  # noqa: BLE001 - as if the process were killed
        world.storage.kill_after = -1

    assert await read_marks(mirror) is MarkState.SAME


async def test_only_a_command_that_changed_something_moves_the_counter() -> None:
    mirror = World(Index(), QuickClock(), ApiMethod.AUTO).mirror()
    await finish_marks(mirror)
    assert await mark_in_tree(mirror.storage) is None
    await mirror.catalogue.commit(CatalogueUpdate(records=[make_record("foo")]))

    await finish_marks(mirror)

    assert await read_marks(mirror) is MarkState.SAME
    older = TreeMark(OURS, 7).render()
    await mirror.catalogue.commit(CatalogueUpdate(markers={Marker.MARK: older}))
    await finish_marks(mirror)
    assert await read_marks(mirror) is MarkState.OTHER_MIRROR
