"""Chains of filters made of the text of a configuration, as the program makes them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import TYPE_CHECKING

from bandersnatch.config.ini import read_ini
from bandersnatch.config.load import enabled_filters
from bandersnatch.filters.options import FilterOptions
from bandersnatch.filters.registry import build_chain
from tests.support.factories import NOW
from tests.support.option_files import OptionFiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bandersnatch.filters.chain import FilterChain, FilterResult
    from bandersnatch.filters.registry import Built


def build(
    text: str, files: Mapping[str, str | bytes] | None = None, *, now: datetime = NOW
) -> Built:
    """Return what the program makes of a configuration; ``files`` are those that it may name."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "bandersnatch.conf")
        path.write_text(dedent(text), encoding="utf-8")
        file = read_ini(path)
    assert not file.problems
    options = FilterOptions(
        sections=file.sections,
        path="bandersnatch.conf",
        numbers=file.numbers,
        files=OptionFiles(files or {}),
        now=int(now.timestamp()),
    )
    return build_chain(enabled_filters(file), options)


def chain_of(
    text: str, files: Mapping[str, str | bytes] | None = None, *, now: datetime = NOW
) -> FilterChain:
    """Return the filters of a configuration with which nothing is wrong."""
    built = build(text, files, now=now)
    assert not built.problems, "\n".join(map(str, built.problems))
    return built.chain


def kept(narrowed: FilterResult) -> list[str]:
    """Return the names of the files that are left of a page, none if the project is dropped."""
    return [] if narrowed.page is None else [file.filename for file in narrowed.page.files]
