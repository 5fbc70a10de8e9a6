"""Release filters by lists of requirements."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Self

from bandersnatch.filters.builtin.project_lists import (
    allowlist,
    blocklist,
    list_place,
    requirements,
)
from bandersnatch.filters.interface import PageFilter, Stage
from bandersnatch.filters.names import entries_fingerprint, name_list, satisfying

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bandersnatch.filters.names import ListedRequirement, NameList
    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.filters.requirements import Requirements, RequirementSet
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_SHOWN_LINES = 3


# ---------------------------------------------------------------- blocklist


@dataclass(frozen=True)
class BlocklistRelease(PageFilter):
    """Drop the versions that a line of ``[blocklist] packages`` matches.

    A line without a specifier matches every version. A text that is not a version by PEP 440 is
    kept, unless a line names it with ``===``.
    """

    name = "blocklist_release"
    stage = Stage.RELEASE

    list: NameList
    place: str
    notes: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[blocklist]``.

        :raises InvalidRules: if a line cannot be read.
        """
        names, notes = blocklist(options, cls.name)
        return cls(names, list_place(options, "blocklist"), notes)

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page without the versions that a line matches."""
        entries = self.list.of(page.name)
        if not entries:
            return page
        is_blocked = satisfying(entries)
        return page.keep_versions(lambda version: not is_blocked(version))

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the line that matches a file's version."""
        if file is None:
            return ""
        version = page.version_of(file)
        matching = (each for each in self.list.of(page.name) if each.matches(version))
        return next((str(each.origin) for each in matching), "")

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        counted = self.list.counted()
        return (f"drop the releases of {counted} that match their lines {self.place}",)

    def fingerprint(self) -> str:
        """Return the lines."""
        return f"{self.name} {self.list.fingerprint()}"

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return the lines about one project, "" if there are none."""
        fingerprint = self.list.fingerprint_for(name)
        return f"{self.name} {fingerprint}" if fingerprint else ""


# ---------------------------------------------------------------- allowlists


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to require a version: it satisfies one of ``entries`` and all constraints."""

    entries: tuple[ListedRequirement, ...]
    constraints: tuple[ListedRequirement, ...] = ()

    def test(self) -> Callable[[str], bool]:
        """Return the test whether a version is required, with a cache of its answers."""
        is_required = satisfying(self.entries)
        if not self.constraints:
            return is_required
        allowed = [satisfying([each]) for each in self.constraints]
        return cache(
            lambda version: is_required(version) and all(each(version) for each in allowed)
        )

    def refusing(self, version: str) -> Sequence[ListedRequirement]:
        """Return the constraints that exclude a version, or else all entries."""
        if any(each.matches(version) for each in self.entries):
            return [each for each in self.constraints if not each.matches(version)]
        return self.entries

    @property
    def is_pinned(self) -> bool:
        """Whether an entry has a specifier, or a constraint allows exactly one version."""
        return any(len(each.specifier) for each in self.entries) or any(
            each.pin is not None for each in self.constraints
        )

    def fingerprint(self) -> str:
        """Return a text that changes whenever the choice does, and not with its order."""
        return f"{entries_fingerprint(self.entries)} & {entries_fingerprint(self.constraints)}"


class _OnlyRequired(PageFilter):
    """Keep the versions that one of a project's choices requires; none if it has no choices."""

    stage = Stage.RELEASE
    selects_roots = True
    place: str

    @abstractmethod
    def choices(self, name: ProjectName) -> Sequence[Choice]:
        """Return the choices for a project."""

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with the versions that are required."""
        tests = [each.test() for each in self.choices(page.name)]
        if len(tests) == 1:
            return page.keep_versions(tests[0])
        return page.keep_versions(lambda version: any(test(version) for test in tests))

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the lines that do not allow a file's version."""
        if file is None:
            return ""
        choices = self.choices(page.name)
        if not choices:
            return f"{page.name} is not named {self.place}"
        version = page.version_of(file)
        refusing = [str(each.origin) for choice in choices for each in choice.refusing(version)]
        more = len(refusing) - _SHOWN_LINES
        shown = ", ".join(refusing[:_SHOWN_LINES]) + (f" and {more} more" if more > 0 else "")
        return f"{version!r} is not allowed by {shown}"

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return the choices for one project."""
        choices = sorted({each.fingerprint() for each in self.choices(name)})
        return f"{self.name} {'; '.join(choices)}"


@dataclass(frozen=True)
class AllowlistRelease(_OnlyRequired):
    """Keep the versions that a line of ``[allowlist] packages`` allows, of listed projects only."""

    name = "allowlist_release"

    list: NameList
    place: str

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[allowlist]``.

        :raises InvalidRules: if there are no lines.
        """
        return cls(allowlist(options, cls.name), list_place(options))

    def choices(self, name: ProjectName) -> Sequence[Choice]:
        """Return the lines about a project, as one choice."""
        entries = self.list.of(name)
        return [Choice(tuple(entries))] if entries else []

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        counted = self.list.counted()
        return (f"keep only the releases of {counted} that match their lines {self.place}",)

    def fingerprint(self) -> str:
        """Return the lines."""
        return f"{self.name} {self.list.fingerprint()}"


@dataclass(frozen=True)
class ProjectRequirementsPinned(_OnlyRequired):
    """Keep the versions that requirement files require, of the projects that they name.

    The files of one line of ``[allowlist] requirements`` are one choice, and a version that any
    choice requires is kept. Where a file gives a specifier, no other release filter decides.
    """

    name = "project_requirements_pinned"

    by_name: Mapping[ProjectName, tuple[Choice, ...]]
    counted: str
    place: str
    notes: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[allowlist] requirements``.

        :raises InvalidRules: if no project is named, or a file cannot be read.
        """
        found = requirements(options, cls.name)
        counted = name_list(found.entries).counted()
        return cls(_choices(found), counted, f"in {found.place}", found.warnings)

    def choices(self, name: ProjectName) -> Sequence[Choice]:
        """Return what each file requires of a project."""
        return self.by_name.get(name, ())

    def is_exclusive(self, name: ProjectName) -> bool:
        """Return whether a file gives versions of the project."""
        return any(each.is_pinned for each in self.choices(name))

    def describe(self) -> tuple[str, ...]:
        """Return what is kept, and that the filter is exclusive."""
        return (
            f"keep only the releases of {self.counted} that match their lines {self.place}",
            "where a line gives versions, no other release filter decides",
        )

    def fingerprint(self) -> str:
        """Return all choices."""
        choices = {each.fingerprint() for choices in self.by_name.values() for each in choices}
        return f"{self.name} {'; '.join(sorted(choices))}"


def _choices(found: Requirements) -> Mapping[ProjectName, tuple[Choice, ...]]:
    """Return what each file requires of each project that it names."""
    choices: dict[ProjectName, tuple[Choice, ...]] = {}
    for each in found.sets:
        for name, choice in _choices_of(each).items():
            choices[name] = (*choices.get(name, ()), choice)
    return choices


def _choices_of(files: RequirementSet) -> Mapping[ProjectName, Choice]:
    narrowing = (each for each in files.constraints if len(each.specifier))
    constraints = name_list(narrowing).exact
    return {
        name: Choice(tuple(entries), tuple(constraints.get(name, ())))
        for name, entries in name_list(files.entries).exact.items()
    }
