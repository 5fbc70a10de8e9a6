"""The chain of filters of a mirror that follows dependencies.

Filters that name projects select the roots alone. All others hold for what is followed, except that
``latest_release`` does not decide where only the needed versions are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from bandersnatch.filters.chain import Dropped, FilterChain, FilterResult
from bandersnatch.filters.interface import PageFilter, ProjectFilter, Stage
from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from packaging.version import Version

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail


class Follower(Protocol):
    """What the chain asks about followed projects."""

    @property
    def names(self) -> frozenset[ProjectName]:
        """The followed projects."""
        ...

    @property
    def restricts_versions(self) -> bool:
        """Whether only the versions that are needed are kept of a followed project."""
        ...

    @property
    def fingerprint(self) -> str:
        """A text that changes with the options of the closure."""
        ...

    def follows(self, name: ProjectName, /) -> bool:
        """Whether another project needs this one."""
        ...

    def digest(self, name: ProjectName, /) -> str:
        """Return a text that changes whenever other versions of a project may be needed."""
        ...

    def choose(self, page: ProjectDetail, count: int, /) -> frozenset[Version] | None:
        """Return the needed versions of a page; None if every version is kept."""
        ...


@dataclass(frozen=True)
class NeededReleases(PageFilter):
    """Keep the releases that a requirement allows, the newest ``keep`` of each; 0 keeps all."""

    name = "closure"
    stage = Stage.SELECTION

    follower: Follower
    keep: int = 0

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with the releases that are needed."""
        chosen = self.follower.choose(page, self.keep)
        if chosen is None:
            return page
        return page.keep_versions(lambda text: parse_version(text) in chosen)

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return why a file is dropped."""
        if file is None:
            return ""
        return f"no requirement needs {page.version_of(file)}: see closure --tree {page.name}"

    def fingerprint(self) -> str:
        """Return the number of releases."""
        return f"{self.name} {self.keep}"

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return the number of releases, and what is asked of the project."""
        return f"{self.name} {self.keep} {self.follower.digest(name)}"


@dataclass(frozen=True)
class FollowingChain(FilterChain):
    """All enabled filters, with the projects that selected ones need."""

    follower: Follower | None = None

    @classmethod
    def of(cls, chain: FilterChain, follower: Follower) -> FollowingChain:
        """Return a chain that also keeps what ``follower`` follows."""
        return cls(chain.projects, chain.pages, follower)

    @property
    def _follower(self) -> Follower:
        assert self.follower is not None, "a following chain is made with a follower"
        return self.follower

    @cached_property
    def roots(self) -> FilterChain:
        """The chain that selects the roots."""
        return FilterChain(self.projects, self.pages)

    @cached_property
    def followed(self) -> FilterChain:
        """The chain for projects that are followed."""
        latest = [each for each in self.pages if each.name == "latest_release"]
        keep = int(getattr(latest[0], "keep", 0)) if latest else 0
        dropped = {"latest_release"} if self._follower.restricts_versions else set[str]()
        pages = [each for each in self.pages if not each.selects_roots and each.name not in dropped]
        projects = [each for each in self.projects if not names_projects(each)]
        return FilterChain(tuple(projects), (*pages, NeededReleases(self._follower, keep)))

    def is_followed(self, name: ProjectName) -> bool:
        """Return whether a project is needed by another one and no filter drops it.

        :raises FilterFailure: if a filter fails.
        """
        return self._follower.follows(name) and self.followed.selects(name)

    def selects(self, name: ProjectName) -> bool:
        """Return whether the project is selected, or needed by one that is."""
        return self.roots.selects(name) or self.is_followed(name)

    def refuses(self, name: ProjectName) -> ProjectFilter | None:
        """Return the first project filter that drops the project."""
        if self._follower.follows(name):
            return None if self.roots.selects(name) else self.followed.refuses(name)
        return self.roots.refuses(name)

    @property
    def finite_names(self) -> frozenset[ProjectName] | None:
        """The projects that can be selected, with those that are followed; None if all can."""
        names = self.roots.finite_names
        if names is None:
            return None
        followed = self._follower.names
        if self.followed.projects:
            followed = frozenset(filter(self.followed.may_select, followed))
        return names | followed

    def apply(self, page: ProjectDetail) -> FilterResult:
        """Return what is kept: of a root what its filters keep, and in any case what is needed."""
        if not self.is_followed(page.name):
            return self.roots.apply(page)
        needed = self.followed.apply(page)
        if not self.roots.may_select(page.name):
            return needed
        return _merged(page, self.roots.apply(page), needed)

    def explain(self, page: ProjectDetail, filename: str) -> tuple[PageFilter, str] | None:
        """Return the filter that drops a file; None if none does, or if the file is needed."""
        if not self.is_followed(page.name):
            return self.roots.explain(page, filename)
        found = self.followed.explain(page, filename)
        if found is None or not self.roots.may_select(page.name):
            return found
        return self.roots.explain(page, filename)

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return a text that changes whenever other parts of a page may be kept."""
        own = self.roots.fingerprint_for(name)
        if not self._follower.follows(name):
            return own
        return f"{own}\n\n{self.followed.fingerprint_for(name)}"

    def with_own_rules(self, names: Collection[ProjectName]) -> Iterable[ProjectName]:
        """Return the projects of ``names`` that may have rules of their own: what is followed."""
        own = set(self.roots.with_own_rules(names))
        return own | {name for name in self._follower.names if name in names}

    @property
    def fingerprint(self) -> str:
        """A digest that changes whenever the options of a filter or of the closure do."""
        return f"{self.roots.fingerprint} {self._follower.fingerprint}"


def names_projects(each: ProjectFilter) -> bool:
    """Whether a filter names the projects to mirror, so that it selects the roots alone."""
    return each.selects_roots or each.names is not None


def _merged(page: ProjectDetail, one: FilterResult, other: FilterResult) -> FilterResult:
    """Return what either of two chains keeps of a page."""
    if one.page is None or other.page is None:
        return one if other.page is None else other
    kept = {file.filename for each in (one.page, other.page) for file in each.files}
    versions = {*one.page.versions, *other.page.versions}
    merged = replace(
        page.keep(lambda file: file.filename in kept),
        versions=tuple(each for each in page.versions if each in versions),
    )
    dropped = (
        Dropped(each.by, tuple(file for file in each.files if file.filename not in kept))
        for each in one.dropped
    )
    due = min(filter(None, (one.due, other.due)), default=None)
    early = {file.filename: file for file in (*one.early, *other.early)}
    return FilterResult(
        merged,
        tuple(each for each in dropped if each.files),
        due,
        tuple(file for name, file in early.items() if name not in kept),
    )
