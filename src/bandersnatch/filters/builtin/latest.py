"""The filter that keeps the newest releases; it sees what every other filter left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.chain import Needs, PageFilter, Stage
from bandersnatch.filters.options import nearest
from bandersnatch.model.versions import version_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.version import Version

    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.model.versions import VersionKey

    Releases: TypeAlias = dict[VersionKey, list[ReleaseFile]]

_NAME = "latest_release"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class SortBy(Enum):
    """What makes a release a late one."""

    VERSION = "version"
    TIME = "time"


class KeepPer(Enum):
    """What so many releases are kept of."""

    PROJECT = "project"
    MAJOR = "major"
    MINOR = "minor"


_PARTS = {KeepPer.PROJECT: 0, KeepPer.MAJOR: 1, KeepPer.MINOR: 2}
"""How much of a version makes the series that so many releases are kept of."""


@dataclass(frozen=True, slots=True)
class _Latest:
    keep: int
    sort_by: SortBy
    keep_per: KeepPer

    def narrows(self, page: ProjectDetail) -> ProjectDetail:
        releases = page.releases()
        if len(releases) <= self.keep:
            return page
        ordered = _newest_first(releases)
        current = _current(ordered, releases)
        if self.sort_by is SortBy.TIME:
            ordered.sort(key=lambda key: _uploaded(releases[key]), reverse=True)
        kept = self._newest(ordered)
        if current not in kept:
            # The newest that is not a pre-release or yanked is what most people install.
            kept = [*(kept if self._parts else kept[: self.keep - 1]), current]
        wanted = frozenset(kept)
        return page.keep_versions(lambda text: version_key(text) in wanted)

    @property
    def _parts(self) -> int:
        return _PARTS[self.keep_per]

    def _newest(self, ordered: Iterable[VersionKey]) -> list[VersionKey]:
        """Return the first so many of each series."""
        kept: list[VersionKey] = []
        counts: dict[tuple[int, ...] | None, int] = {}
        for key in ordered:
            series = _series(key, self._parts)
            counts[series] = counts.get(series, 0) + 1
            if counts[series] <= self.keep:
                kept.append(key)
        return kept

    def because(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        del page, file
        return f"its version is not one of {self.words}"

    @property
    def words(self) -> str:
        of_each = "" if not self._parts else f" of each {self.keep_per.value} series"
        by_time = " by upload time" if self.sort_by is SortBy.TIME else ""
        return f"the latest {self.keep}{of_each}{by_time}"


def _newest_first(keys: Iterable[VersionKey]) -> list[VersionKey]:
    """Return versions by PEP 440, the newest first, and after them the texts that are none."""
    texts: list[str] = []
    versions: list[Version] = []
    for key in keys:
        if isinstance(key, str):
            texts.append(key)
        else:
            versions.append(key)
    return [*sorted(versions, reverse=True), *sorted(texts, reverse=True)]


def _uploaded(files: Iterable[ReleaseFile]) -> datetime:
    times = [file.upload_time for file in files if file.upload_time is not None]
    return min(times, default=_LONG_AGO)


def _series(key: VersionKey, parts: int) -> tuple[int, ...] | None:
    """Return the beginning of a version that its series shares; texts that are none share one."""
    if not parts:
        return ()
    return None if isinstance(key, str) else (key.epoch, *(*key.release, 0)[:parts])


def _current(ordered: Iterable[VersionKey], releases: Releases) -> VersionKey:
    """Return the release that an installer takes by default, as the index shows it.

    It is the newest that is neither yanked nor a pre-release, if there is one. ``ordered`` has
    the newest first.
    """

    def preference(key: VersionKey) -> tuple[bool, bool]:
        yanked = all(file.yanked is not None for file in releases[key])
        return not yanked, not isinstance(key, str) and not key.is_prerelease

    found = next((key for key in ordered if preference(key) == (True, True)), None)
    return found if found is not None else max(ordered, key=preference)


def latest_release(options: FilterOptions) -> PageFilter:
    """Make the filter that keeps the ``keep`` latest releases; 0 keeps all.

    :raises InvalidRules: if ``keep`` is missing, or an option says what is not understood.
    """
    problems: list[Problem] = []
    text = (options.text(_NAME, "keep") or "").strip()
    if not (text.isascii() and text.isdigit()):
        message = f"{text!r} is not a number of releases" if text else "it must say how many"
        problems.append(Problem(_NAME, "keep", message))
    chosen: dict[str, Enum] = {}
    for option, default in (("sort_by", SortBy.VERSION), ("keep-per", KeepPer.PROJECT)):
        word = (options.text(_NAME, option) or default.value).strip().lower()
        known = {each.value: each for each in type(default)}
        try:
            if word not in known:
                raise nearest(word, known, f"a value of {option}")
            chosen[option] = known[word]
        except OptionError as error:
            problems.append(Problem(_NAME, option, str(error)))
    if problems:
        raise InvalidRules(problems)
    sort_by, keep_per = SortBy(chosen["sort_by"].value), KeepPer(chosen["keep-per"].value)
    latest = _Latest(int(text), sort_by, keep_per)
    keeps_all = latest.keep == 0
    return PageFilter(
        _NAME,
        Stage.SELECTION,
        _whole if keeps_all else latest.narrows,
        terms=f"{_NAME} {latest.keep} {sort_by.value} {keep_per.value}",
        words=("keep all releases (keep = 0)",) if keeps_all else (f"keep {latest.words}",),
        because=latest.because,
        reads=Needs.TIMES if sort_by is SortBy.TIME else Needs.NOTHING,
    )


def _whole(page: ProjectDetail) -> ProjectDetail:
    return page
