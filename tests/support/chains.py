"""Filters for tests: chains built from the text of a configuration, and filters of functions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import TYPE_CHECKING

from bandersnatch.config.ini import read_ini
from bandersnatch.config.load import enabled_filters
from bandersnatch.filters.interface import Needs, PageFilter, ProjectFilter, Stage
from bandersnatch.filters.options import FilterOptions
from bandersnatch.filters.registry import build_chain
from tests.support.factories import NOW
from tests.support.option_files import OptionFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from bandersnatch.filters.chain import FilterChain, FilterResult
    from bandersnatch.filters.registry import Built
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail


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


@dataclass(frozen=True)
class NameRule(ProjectFilter):
    """A project filter made of a function."""

    name: str
    keeps: Callable[[ProjectName], bool]
    names: frozenset[ProjectName] | None = None
    text: str = ""

    def apply(self, name: ProjectName) -> bool:
        return self.keeps(name)

    def fingerprint(self) -> str:
        return self.text or self.name


@dataclass(frozen=True)
class PageRule(PageFilter):
    """A page filter made of functions and values."""

    name: str
    stage: Stage
    keeps: Callable[[ProjectDetail], ProjectDetail | None]
    needs: Needs = Needs.NOTHING
    text: str = ""
    texts: Mapping[ProjectName, str] | None = None
    exclusive: frozenset[ProjectName] = frozenset()
    change: int | None = None
    later: Callable[[ProjectDetail], ProjectDetail | None] | None = None

    def apply(self, page: ProjectDetail) -> ProjectDetail | None:
        return self.keeps(page)

    def fingerprint(self) -> str:
        return self.text or self.name

    def fingerprint_for(self, name: ProjectName) -> str:
        return self.fingerprint() if self.texts is None else self.texts.get(name, "")

    def is_exclusive(self, name: ProjectName) -> bool:
        return name in self.exclusive

    def next_change(self, page: ProjectDetail) -> int | None:
        del page
        return self.change

    @property
    def prefetch(self) -> bool:  # type: ignore[override]  # read-only, as in a frozen class
        return self.later is not None

    def apply_later(self, page: ProjectDetail) -> ProjectDetail | None:
        assert self.later is not None
        return self.later(page)


class ExplainingPageRule(PageRule):
    """A page filter that gives its name and the file as reason."""

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        del page
        return f"{self.name} drops {file and file.filename}"
