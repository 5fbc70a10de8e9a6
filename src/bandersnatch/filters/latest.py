"""The filter that keeps the newest releases; it sees what every other filter left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.chain import PageFilter, Reads, Stage
from bandersnatch.filters.options import nearest
from bandersnatch.model.versions import parse_version, version_key

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
        ordered = sorted(releases, key=lambda key: self._rank(key, releases), reverse=True)
        kept = self._newest(ordered)
        current = _current(releases)
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

    def _rank(self, key: VersionKey, releases: Releases) -> tuple[object, ...]:
        if self.sort_by is SortBy.VERSION:
            return _order(key)
        times = [file.upload_time for file in releases[key] if file.upload_time is not None]
        return (min(times, default=_LONG_AGO), *_order(key))

    def because(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        del page, file
        return f"its version is not one of {self.words}"

    @property
    def words(self) -> str:
        of_each = "" if not self._parts else f" of each {self.keep_per.value} series"
        by_time = " by upload time" if self.sort_by is SortBy.TIME else ""
        return f"the latest {self.keep}{of_each}{by_time}"


def _order(key: VersionKey) -> tuple[bool, Version | None, str]:
    """Return what sorts versions by PEP 440, and before them the texts that are none."""
    return (False, _LEAST, key) if isinstance(key, str) else (True, key, "")


_LEAST = parse_version("0")


def _series(key: VersionKey, parts: int) -> tuple[int, ...] | None:
    """Return the beginning of a version that its series shares; texts that are none share one."""
    if not parts:
        return ()
    return None if isinstance(key, str) else (key.epoch, *(*key.release, 0)[:parts])


def _current(releases: Releases) -> VersionKey:
    """Return the release that an installer takes by default, as the index shows it.

    It is the newest that is neither yanked nor a pre-release, if there is one.
    """

    def preference(key: VersionKey) -> tuple[object, ...]:
        yanked = all(file.yanked is not None for file in releases[key])
        final = not isinstance(key, str) and not key.is_prerelease
        return (not yanked, final, *_order(key))

    return max(releases, key=preference)


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
        reads=Reads.TIMES if sort_by is SortBy.TIME else Reads.NOTHING,
    )


def _whole(page: ProjectDetail) -> ProjectDetail:
    return page
