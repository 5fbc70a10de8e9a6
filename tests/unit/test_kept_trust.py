"""What a plan keeps for the run that follows: believed once, not for long, and from nobody else."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest

from bandersnatch.storage.kept import LONGEST_KEPT, RETAINED, KeptDocuments

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

URL = "https://index.example.org/simple/foo/"


def keep(home: Path, texts: Mapping[str, bytes]) -> None:
    """Keep texts as a plan does."""

    async def run() -> None:
        async with KeptDocuments(str(home), collecting=True) as kept:
            for name, text in texts.items():
                kept.keep(name, text)
            assert all(kept.take(name) is None for name in texts), "a plan asks the index"

    asyncio.run(run())


def take(home: Path, *names: str) -> list[bytes | None]:
    """Take what is kept, as the run that follows does."""

    async def run() -> list[bytes | None]:
        async with KeptDocuments(str(home), collecting=False) as kept:
            kept.keep("other", b"nothing is kept by a run")
            return [kept.take(name) for name in names]

    return asyncio.run(run())


def test_what_is_kept_is_taken_once(tmp_path: Path) -> None:
    keep(tmp_path, {URL: b"a page" * 1000, "other": b""})
    assert take(tmp_path, URL, URL, "third", "other") == [b"a page" * 1000, None, None, b""]
    assert not (tmp_path / RETAINED).exists()
    assert take(tmp_path, URL) == [None]


@pytest.mark.parametrize(("age", "found"), [(LONGEST_KEPT - 60, b"x"), (LONGEST_KEPT + 60, None)])
def test_what_is_kept_is_believed_for_a_while(
    tmp_path: Path, age: int, found: bytes | None
) -> None:
    keep(tmp_path, {URL: b"x"})
    (path,) = (tmp_path / RETAINED).iterdir()
    os.utime(path, (time.time() - age,) * 2)
    assert take(tmp_path, URL) == [found]


@pytest.mark.parametrize("content", [b"", b"no such format", b"\x78\x01"])
def test_what_cannot_be_read_is_fetched_again(tmp_path: Path, content: bytes) -> None:
    keep(tmp_path, {URL: b"x"})
    (path,) = (tmp_path / RETAINED).iterdir()
    path.write_bytes(content)
    assert take(tmp_path, URL) == [None]


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_that_others_can_write_to_is_not_believed(tmp_path: Path, mode: int) -> None:
    keep(tmp_path, {URL: b"x"})
    (tmp_path / RETAINED).chmod(mode)
    assert take(tmp_path, URL) == [None]
    assert not (tmp_path / RETAINED).exists()


def test_links_are_followed_neither_to_write_nor_to_read_nor_to_delete(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    keep(elsewhere, {URL: b"planted"})
    (home / RETAINED).symlink_to(elsewhere / RETAINED)
    before = sorted((elsewhere / RETAINED).iterdir())

    keep(home, {"another": b"x"})

    assert take(home, URL, "another") == [None, None]
    assert sorted((elsewhere / RETAINED).iterdir()) == before
