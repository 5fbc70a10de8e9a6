"""The enabled filters as one chain, and the order that they run in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from bandersnatch.errors import FilterFailure
from bandersnatch.filters.interface import Needs, PageFilter, ProjectFilter, Stage
from bandersnatch.model.files import is_companion
from bandersnatch.model.versions import version_key, version_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail


@dataclass(frozen=True, slots=True)
class Dropped:
    """The files of a page that one filter dropped; all of them if it dropped the project."""

    by: str
    files: tuple[ReleaseFile, ...]


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What the filters keep of a page.

    ``page`` is None if the project is not mirrored. ``due`` is when the filters will keep more
    of the same page, in seconds since 1970. ``early`` are the files that they will keep then and
    that are downloaded already now.
    """

    page: ProjectDetail | None
    dropped: tuple[Dropped, ...] = ()
    due: int | None = None
    early: tuple[ReleaseFile, ...] = ()


@dataclass(frozen=True)
class FilterChain:
    """All enabled filters; their order in the configuration and that of a page do not matter."""

    projects: tuple[ProjectFilter, ...] = ()
    pages: tuple[PageFilter, ...] = ()

    @property
    def roots(self) -> FilterChain:
        """The chain without what is followed: here this one."""
        return self

    def selects(self, name: ProjectName) -> bool:
        """Return whether every project filter keeps the project.

        :raises FilterFailure: if a filter fails.
        """
        for each in self.projects:  # noqa: SIM110 - all() takes twice as long, for each name
            if not each.apply(name):
                return False
        return True

    def may_select(self, name: ProjectName) -> bool:
        """Return whether the project is selected, or may be because a filter fails."""
        try:
            return self.selects(name)
        except FilterFailure:
            return True

    def refuses(self, name: ProjectName) -> ProjectFilter | None:
        """Return the first project filter that drops the project.

        :raises FilterFailure: if a filter fails.
        """
        return next((each for each in self.projects if not each.apply(name)), None)

    @property
    def finite_names(self) -> frozenset[ProjectName] | None:
        """The projects that can be selected, or None if the filters name no finite set."""
        named = [each.names for each in self.projects if each.names is not None]
        if not named:
            return None
        return frozenset(filter(self.may_select, frozenset.intersection(*named)))

    @property
    def needs(self) -> Needs:
        """The data that the page filters need and that the pages of some indexes lack."""
        needs = Needs.NOTHING
        for each in self.pages:
            needs |= each.needs
        return needs

    def in_order_of_stages(self) -> list[PageFilter]:
        """Return the page filters in the order they run."""
        return sorted(self.pages, key=lambda each: (each.stage, each.name))

    def in_order(self, name: ProjectName) -> Iterator[PageFilter]:
        """Yield the page filters for a project in the order they run.

        If a filter is exclusive for the project, no other runs at RELEASE and SELECTION.
        """
        exclusive = [each for each in self.pages if each.is_exclusive(name)]
        for each in self.in_order_of_stages():
            if each.stage < Stage.RELEASE or not exclusive or each in exclusive:
                yield each

    def apply(self, page: ProjectDetail) -> FilterResult:
        """Return what the page filters keep of a page.

        The filters do not see companions, which stay with the files of their version.

        :raises FilterFailure: if a filter fails.
        """
        plain = _without_companions(page)
        result = self._apply(plain)
        if plain is page or result.page is None:
            return result
        return replace(result, page=_with_companions(result.page, page))

    def _apply(self, page: ProjectDetail) -> FilterResult:
        kept = page
        dropped: list[Dropped] = []
        due: int | None = None
        prefetch = False
        for each in self.in_order(page.name):
            left = each.apply(kept)
            if left is None:
                return FilterResult(None, (*dropped, Dropped(each.name, kept.files)))
            if len(left.files) < len(kept.files):
                dropped.append(Dropped(each.name, _missing(kept, left)))
                change = each.next_change(kept)
                due = min(filter(None, (due, change)), default=None)
                prefetch = prefetch or (change is not None and each.prefetch)
            kept = left
        early = self._early(page, kept) if prefetch else ()
        return FilterResult(_without_empty_versions(page, kept), tuple(dropped), due, early)

    def _early(self, page: ProjectDetail, kept: ProjectDetail) -> tuple[ReleaseFile, ...]:
        """Return the files that only their age excludes from the page."""
        later: ProjectDetail | None = page
        for each in self.in_order(page.name):
            if later is not None:
                later = each.apply_later(later) if each.prefetch else each.apply(later)
        return () if later is None else _missing(later, kept)

    def explain(self, page: ProjectDetail, filename: str) -> tuple[PageFilter, str] | None:
        """Return the filter that drops a file of a page, and its rule; None if none does.

        :raises FilterFailure: if a filter fails.
        """
        if is_companion(filename):
            return self._explain_companion(page, filename)
        kept = _without_companions(page)
        for each in self.in_order(page.name):
            left = each.apply(kept)
            if left is None:
                return each, each.explain(kept, None)
            file = next((f for f in _missing(kept, left) if f.filename == filename), None)
            if file is not None:
                return each, each.explain(kept, file)
            kept = left
        return None

    def _explain_companion(
        self, page: ProjectDetail, filename: str
    ) -> tuple[PageFilter, str] | None:
        """Return what drops the last file of a companion's version; None if one is kept."""
        key = version_key(version_text(filename, page.name))
        files = [
            f for f in _without_companions(page).files if key == version_key(page.version_of(f))
        ]
        found = [self.explain(page, file.filename) for file in files]
        return None if None in found else next(reversed(found), None)

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return a text that changes whenever the page filters may keep other parts of a page."""
        own = (each.fingerprint_for(name) for each in self.pages if each.has_project_rules)
        return "\n".join(sorted(filter(None, (*self._general_fingerprints, *own))))

    @cached_property
    def _general_fingerprints(self) -> tuple[str, ...]:
        return tuple(each.fingerprint() for each in self.pages if not each.has_project_rules)

    @property
    def has_project_rules(self) -> bool:
        """Whether a page filter may have rules about single projects."""
        return any(each.has_project_rules for each in self.pages)

    def with_own_rules(self, names: Collection[ProjectName]) -> Iterable[ProjectName]:
        """Return the projects of ``names`` that may have rules of their own."""
        return names if self.has_project_rules else ()

    @property
    def changes_with_time(self) -> bool:
        """Whether a page filter may keep more of the same page at a later time."""
        return any(each.changes_with_time for each in self.pages)

    @property
    def fingerprint(self) -> str:
        """A digest that changes whenever an answer of the chain may change."""
        fingerprints = sorted(each.fingerprint() for each in (*self.projects, *self.pages))
        return sha256("\n".join(fingerprints).encode()).hexdigest()


def _missing(whole: ProjectDetail, part: ProjectDetail) -> tuple[ReleaseFile, ...]:
    names = {file.filename for file in part.files}
    return tuple(file for file in whole.files if file.filename not in names)


def _without_companions(page: ProjectDetail) -> ProjectDetail:
    """Return the page without the companions of versions; the same page if it has none."""
    plain = page.keep(lambda file: not is_companion(file.filename))
    return page if len(plain.files) == len(page.files) else plain


def _with_companions(kept: ProjectDetail, page: ProjectDetail) -> ProjectDetail:
    """Return what is kept with the companions on the page of which no version was dropped."""
    plain = _without_companions(page)
    before, after = (set(map(version_key, each.version_texts())) for each in (plain, kept))
    companions = [
        file
        for file in page.files
        if is_companion(file.filename) and version_key(page.version_of(file)) not in before - after
    ]
    files = sorted((*kept.files, *companions), key=lambda file: file.filename)
    return replace(kept, files=tuple(files))


def _without_empty_versions(page: ProjectDetail, kept: ProjectDetail) -> ProjectDetail:
    """Return what is kept, without the versions whose files are all dropped."""
    if len(kept.files) == len(page.files):
        return kept
    before, after = frozenset(page.version_texts()), frozenset(kept.version_texts())
    empty = set(map(version_key, before - after)) - set(map(version_key, after))
    versions = tuple(v for v in kept.versions if v in after or version_key(v) not in empty)
    return replace(kept, versions=versions)
