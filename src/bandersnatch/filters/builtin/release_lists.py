"""Release filters that go by lists of requirements (contract, sections 5.2 and 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from bandersnatch.filters.builtin.project_lists import allowlist, blocklist, requirements, where
from bandersnatch.filters.chain import PageFilter, Stage
from bandersnatch.filters.names import entry_terms, name_list, satisfying
from bandersnatch.model.names import ProjectName

if TYPE_CHECKING:
    from bandersnatch.filters.names import ListedRequirement, NameList
    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.filters.requirements import Requirements, RequirementSet
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

_SHOWN_LINES = 3


# ---------------------------------------------------------------- blocklist


def blocklist_release(options: FilterOptions) -> PageFilter:
    """Drop the versions that a line of ``[blocklist] packages`` is about.

    A line without a specifier is about every version. What is no version by PEP 440 is kept,
    unless a line names it with ``===``.

    :raises InvalidRules: if a line cannot be read.
    """
    names, notes = blocklist(options, "blocklist_release")
    rules = _Blocked(names)
    place = where(options, "blocklist")
    return PageFilter(
        name="blocklist_release",
        stage=Stage.RELEASE,
        narrows=rules.narrow,
        terms=f"blocklist_release {names.terms}",
        words=(f"drop the releases of {names.counted} that match their lines {place}",),
        because=rules.because,
        terms_for=rules.terms_for,
        notes=notes,
    )


@dataclass(frozen=True, slots=True)
class _Blocked:
    names: NameList

    def narrow(self, page: ProjectDetail) -> ProjectDetail:
        entries = self.names.of(page.name)
        if not entries:
            return page
        is_blocked = satisfying(entries)
        return page.keep_versions(lambda version: not is_blocked(version))

    def because(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        if file is None:
            return ""
        version = page.version_of(file)
        about = (each for each in self.names.of(page.name) if each.matches(version))
        return next((str(each.origin) for each in about), "")

    def terms_for(self, name: ProjectName) -> str:
        terms = self.names.terms_for(name)
        return f"blocklist_release {terms}" if terms else ""


# ---------------------------------------------------------------- allowlists


@dataclass(frozen=True, slots=True)
class Choice:
    """One way for a version to be wanted: it satisfies one of ``entries`` and all constraints."""

    entries: tuple[ListedRequirement, ...]
    constraints: tuple[ListedRequirement, ...] = ()

    def wanting(self) -> Callable[[str], bool]:
        """Return whether a version, as a text, is wanted; answers are remembered."""
        is_required = satisfying(self.entries)
        if not self.constraints:
            return is_required
        allowed = [satisfying([each]) for each in self.constraints]
        return cache(
            lambda version: is_required(version) and all(each(version) for each in allowed)
        )

    def refusing(self, version: str) -> Sequence[ListedRequirement]:
        """Return what does not allow a version: constraints, or else all entries."""
        if any(each.matches(version) for each in self.entries):
            return [each for each in self.constraints if not each.matches(version)]
        return self.entries

    @property
    def pins(self) -> bool:
        """Whether an entry gives versions, or a constraint gives exactly one."""
        return any(len(each.specifier) for each in self.entries) or any(
            each.pin is not None for each in self.constraints
        )

    @property
    def terms(self) -> str:
        """A text that changes whenever the choice does, and not with the order of the lines."""
        return f"{entry_terms(self.entries)} & {entry_terms(self.constraints)}"


Choices: TypeAlias = Callable[[ProjectName], Sequence[Choice]]


def allowlist_release(options: FilterOptions) -> PageFilter:
    """Keep the versions that a line of ``[allowlist] packages`` allows, of listed projects only.

    :raises InvalidRules: if there are no lines.
    """
    names = allowlist(options, "allowlist_release")
    place = where(options)

    def choices(name: ProjectName) -> Sequence[Choice]:
        entries = names.of(name)
        return [Choice(tuple(entries))] if entries else []

    rules = _Wanted("allowlist_release", choices, place)
    return PageFilter(
        name="allowlist_release",
        stage=Stage.RELEASE,
        narrows=rules.narrow,
        terms=f"allowlist_release {names.terms}",
        words=(f"keep only the releases of {names.counted} that match their lines {place}",),
        because=rules.because,
        terms_for=rules.terms_for,
    )


def project_requirements_pinned(options: FilterOptions) -> PageFilter:
    """Keep the versions that the requirement files ask for, of the projects that they name.

    The files of one line of ``[allowlist] requirements`` are one choice, and the version that any
    choice wants is kept. Where a file gives a specifier, no other release filter decides.

    :raises InvalidRules: if no project is named, or a file cannot be read.
    """
    found = requirements(options, "project_requirements_pinned")
    by_name = _choices(found)
    pinned = frozenset(
        name for name, choices in by_name.items() if any(each.pins for each in choices)
    )
    rules = _Wanted(
        "project_requirements_pinned", lambda name: by_name.get(name, ()), f"in {found.where}"
    )
    terms = sorted({each.terms for choices in by_name.values() for each in choices})
    counted = name_list(found.entries).counted
    words = f"keep only the releases of {counted} that match their lines in {found.where}"
    return PageFilter(
        name="project_requirements_pinned",
        stage=Stage.RELEASE,
        narrows=rules.narrow,
        terms=f"project_requirements_pinned {'; '.join(terms)}",
        words=(words, "where a line gives versions, no other release filter decides"),
        because=rules.because,
        terms_for=rules.terms_for,
        decides=pinned.__contains__,
        notes=found.warnings,
    )


def _choices(found: Requirements) -> Mapping[ProjectName, tuple[Choice, ...]]:
    """Return what each file wants of each project that it names."""
    wanted: dict[ProjectName, tuple[Choice, ...]] = {}
    for each in found.sets:
        for name, choice in _choices_of(each).items():
            wanted[name] = (*wanted.get(name, ()), choice)
    return wanted


def _choices_of(files: RequirementSet) -> Mapping[ProjectName, Choice]:
    narrowing = (each for each in files.constraints if len(each.specifier))
    constraints = name_list(narrowing).exact
    return {
        name: Choice(tuple(entries), tuple(constraints.get(name, ())))
        for name, entries in name_list(files.entries).exact.items()
    }


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Keep what one of the choices for a project wants; nothing if there are none."""

    name: str
    choices: Choices
    place: str

    def narrow(self, page: ProjectDetail) -> ProjectDetail:
        wanted = [each.wanting() for each in self.choices(page.name)]
        if len(wanted) == 1:
            return page.keep_versions(wanted[0])
        return page.keep_versions(lambda version: any(each(version) for each in wanted))

    def because(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
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

    def terms_for(self, name: ProjectName) -> str:
        choices = self.choices(name)
        return f"{self.name} {'; '.join(sorted({each.terms for each in choices}))}"
