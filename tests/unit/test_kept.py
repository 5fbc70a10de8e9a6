"""Documents that a plan keeps for the run that follows."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from bandersnatch.index.kept import KeepsNothing, kept_or_fetched
from bandersnatch.index.transport import Document
from bandersnatch.storage.kept import LONGEST_KEPT, RETAINED, KeptDocuments

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://example.org/simple/foo/"


async def keep(directory: Path, name: str = URL, content: bytes = b"content") -> Path:
    """Keep something as a plan does, and return the file that it is in."""
    async with KeptDocuments(str(directory), collecting=True) as kept:
        before = set((directory / RETAINED).iterdir())
        kept.keep(name, content)
        (path,) = set((directory / RETAINED).iterdir()) - before
        return path


async def taken(directory: Path, name: str = URL) -> bytes | None:
    """Take something as a run does."""
    async with KeptDocuments(str(directory), collecting=False) as kept:
        return kept.take(name)


async def test_what_a_plan_kept_is_taken_once_and_then_all_is_gone(tmp_path: Path) -> None:
    await keep(tmp_path)
    await keep(tmp_path, "another")

    async with KeptDocuments(str(tmp_path), collecting=False) as kept:
        assert kept.take(URL) == b"content"
        assert kept.take(URL) is None, "a second try is a new one"
        assert kept.take("never kept") is None
        kept.keep(URL, b"a run keeps nothing")

    assert not (tmp_path / RETAINED).exists()
    assert await taken(tmp_path, "another") is None


async def test_a_plan_goes_by_nothing_that_was_kept(tmp_path: Path) -> None:
    await keep(tmp_path)
    async with KeptDocuments(str(tmp_path), collecting=True) as kept:
        assert kept.take(URL) is None
    assert await taken(tmp_path) == b"content"


async def test_a_later_plan_replaces_what_an_earlier_one_kept(tmp_path: Path) -> None:
    await keep(tmp_path, content=b"old")
    async with KeptDocuments(str(tmp_path), collecting=True) as kept:
        kept.keep(URL, b"new")
    assert await taken(tmp_path) == b"new"


@pytest.mark.parametrize("seconds", [-LONGEST_KEPT - 10, 100])
async def test_what_is_old_or_from_the_future_is_fetched_again(
    tmp_path: Path, seconds: int
) -> None:
    path = await keep(tmp_path)
    os.utime(path, (time.time() + seconds,) * 2)
    assert await taken(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"no zlib", b"x\x9c\x03"])
async def test_what_is_damaged_is_fetched_again(tmp_path: Path, content: bytes) -> None:
    path = await keep(tmp_path)
    path.write_bytes(content)
    assert await taken(tmp_path) is None


async def test_no_link_is_followed(tmp_path: Path) -> None:
    path = await keep(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert await taken(tmp_path) is None
    assert elsewhere.exists()

    (tmp_path / "outside").mkdir()
    (tmp_path / RETAINED).symlink_to(tmp_path / "outside")
    async with KeptDocuments(str(tmp_path), collecting=True) as kept:
        kept.keep(URL, b"x")
    assert await taken(tmp_path) is None
    assert not list((tmp_path / "outside").iterdir())


async def test_a_directory_that_cannot_be_written_only_costs_a_second_look(tmp_path: Path) -> None:
    (tmp_path / RETAINED).write_text("a file is here")
    async with KeptDocuments(str(tmp_path), collecting=True) as kept:
        kept.keep(URL, b"x")
    assert await taken(tmp_path) is None


# ---------------------------------------------------------------- answers


class Shelf:
    """A keeper in memory."""

    collects = True

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def keep(self, name: str, content: bytes) -> None:
        """Keep something."""
        self.kept[name] = content

    def holds(self, name: str) -> bool:
        """Whether something lies there."""
        return name in self.kept

    def take(self, name: str) -> bytes | None:
        """Return it."""
        return self.kept.get(name)


def document(body: bytes = b"{}", status: int = 200, **headers: str) -> Document:
    """Return an answer; ``_`` stands for ``-`` in the names of headers."""
    told = CIMultiDict({name.replace("_", "-"): text for name, text in headers.items()})
    return Document(URL, status, CIMultiDictProxy(told), body)


async def never() -> Document:
    """Fail: nothing is to be fetched."""
    raise AssertionError


@given(st.binary(max_size=50), st.text("abc/;=+ \xe9", max_size=20))
async def test_an_answer_comes_back_with_all_that_its_meaning_depends_on(
    body: bytes, text: str
) -> None:
    shelf, told = Shelf(), document(body, Content_Type=text, ETag='"1"', Server="example")

    async def fetch() -> Document:
        return told

    assert await kept_or_fetched(shelf, URL, fetch) is told
    again = await kept_or_fetched(shelf, URL, never)
    assert (again.body, again.url, again.status) == (body, URL, 200)
    assert (again.content_type, again.charset) == (told.content_type, told.charset)
    assert again.headers["etag"] == '"1"'
    assert "Server" not in again.headers


async def test_nothing_is_made_ready_for_a_keeper_that_has_no_use_for_it() -> None:
    """As in every run that follows no plan: a page may have megabytes."""
    shelf = Shelf()
    shelf.collects = False
    told = document(b"x" * 100_000)

    async def fetch() -> Document:
        return told

    assert await kept_or_fetched(shelf, URL, fetch) is told
    assert not shelf.kept


async def test_an_answer_that_nothing_changed_is_not_kept() -> None:
    shelf = Shelf()

    async def fetch() -> Document:
        return document(status=304)

    await kept_or_fetched(shelf, URL, fetch)
    assert not shelf.kept


@pytest.mark.parametrize(
    "kept", [b"", b"no json\n{}", b"[]\n{}", b'{"url": "x"}\n{}', b'{"url": "x", "headers": 3}\n']
)
async def test_what_was_not_kept_by_a_plan_is_fetched_again(kept: bytes) -> None:
    shelf, told = Shelf(), document(b"new")
    shelf.kept[URL] = kept

    async def fetch() -> Document:
        return told

    assert await kept_or_fetched(shelf, URL, fetch) is told


async def test_most_commands_keep_nothing() -> None:
    keeper = KeepsNothing()
    keeper.keep(URL, b"x")
    assert keeper.take(URL) is None  # type: ignore[func-returns-value]
