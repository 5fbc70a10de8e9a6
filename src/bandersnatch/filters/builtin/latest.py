"""The filter that keeps the newest releases; it sees what every other filter left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Self, TypeAlias

from bandersnatch.config.readers import refusal
from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.interface import Needs, PageFilter, Stage
from bandersnatch.filters.options import FilterOptions, nearest
from bandersnatch.model.versions import VersionKey, version_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.version import Version

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

    Releases: TypeAlias = dict[VersionKey, list[ReleaseFile]]

_SECTION = "latest_release"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class SortBy(Enum):
    """What orders the releases."""

    VERSION = "version"
    TIME = "time"


class KeepPer(Enum):
    """The group of releases of which the latest are kept."""

    PROJECT = "project"
    MAJOR = "major"
    MINOR = "minor"


_PARTS = {KeepPer.PROJECT: 0, KeepPer.MAJOR: 1, KeepPer.MINOR: 2}
"""How many parts of a version identify its group."""


@dataclass(frozen=True)
class LatestRelease(PageFilter):
    """Keep the latest ``keep`` releases of each group; 0 keeps all."""

    name = "latest_release"
    stage = Stage.SELECTION

    keep: int
    sort_by: SortBy
    keep_per: KeepPer
    needs: Needs = Needs.NOTHING

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[latest_release]``.

        :raises InvalidRules: if ``keep`` is missing, or an option has an unknown value.
        """
        problems: list[Problem] = []
        text = (options.text(_SECTION, "keep") or "").strip()
        if not (text.isascii() and text.isdigit()):
            message = str(refusal(text, "is not a number of releases"))
            problems.append(Problem(_SECTION, "keep", message if text else "it must say how many"))
        chosen: dict[str, Enum] = {}
        for option, default in (("sort_by", SortBy.VERSION), ("keep-per", KeepPer.PROJECT)):
            word = (options.text(_SECTION, option) or default.value).strip().lower()
            known = {each.value: each for each in type(default)}
            try:
                if word not in known:
                    raise nearest(word, known, f"a value of {option}")
                chosen[option] = known[word]
            except OptionError as error:
                problems.append(Problem(_SECTION, option, str(error)))
        if problems:
            raise InvalidRules(problems)
        sort_by, keep_per = SortBy(chosen["sort_by"].value), KeepPer(chosen["keep-per"].value)
        needs = Needs.TIMES if sort_by is SortBy.TIME else Needs.NOTHING
        return cls(int(text), sort_by, keep_per, needs)

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with its latest releases, and the one that installers take."""
        releases = page.releases()
        if self.keep == 0 or len(releases) <= self.keep:
            return page
        ordered = _newest_first(releases)
        current = _current(ordered, releases)
        if self.sort_by is SortBy.TIME:
            ordered.sort(key=lambda key: _uploaded(releases[key]), reverse=True)
        kept = self._latest(ordered)
        if current not in kept:
            # Most people install the newest release that is not a pre-release or yanked.
            kept = [*(kept if self._parts else kept[: self.keep - 1]), current]
        keys = frozenset(kept)
        return page.keep_versions(lambda text: version_key(text) in keys)

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return which releases are kept."""
        del page, file
        return f"its version is not one of {self._words}"

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        return (f"keep {self._words}" if self.keep else "keep all releases (keep = 0)",)

    def fingerprint(self) -> str:
        """Return the options."""
        return f"{self.name} {self.keep} {self.sort_by.value} {self.keep_per.value}"

    @property
    def _words(self) -> str:
        of_each = "" if not self._parts else f" of each {self.keep_per.value} series"
        by_time = " by upload time" if self.sort_by is SortBy.TIME else ""
        return f"the latest {self.keep}{of_each}{by_time}"

    @property
    def _parts(self) -> int:
        return _PARTS[self.keep_per]

    def _latest(self, ordered: Iterable[VersionKey]) -> list[VersionKey]:
        """Return the first ``keep`` of each group."""
        kept: list[VersionKey] = []
        counts: dict[tuple[int, ...] | None, int] = {}
        for key in ordered:
            group = _group(key, self._parts)
            counts[group] = counts.get(group, 0) + 1
            if counts[group] <= self.keep:
                kept.append(key)
        return kept


def _newest_first(keys: Iterable[VersionKey]) -> list[VersionKey]:
    """Return versions by PEP 440, the newest first, and after them the texts that are not any."""
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


def _group(key: VersionKey, parts: int) -> tuple[int, ...] | None:
    """Return the first parts of a version; texts that are not versions are one group, None."""
    if not parts:
        return ()
    return None if isinstance(key, str) else (key.epoch, *(*key.release, 0)[:parts])


def _current(ordered: Iterable[VersionKey], releases: Releases) -> VersionKey:
    """Return the release that an installer takes by default.

    It is the newest that is neither yanked nor a pre-release, if there is one. ``ordered`` has
    the newest first.
    """

    def preference(key: VersionKey) -> tuple[bool, bool]:
        yanked = all(file.yanked is not None for file in releases[key])
        return not yanked, not isinstance(key, str) and not key.is_prerelease

    found = next((key for key in ordered if preference(key) == (True, True)), None)
    return found if found is not None else max(ordered, key=preference)
