"""Project filters by lists of names, and the lists that other filters share with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bandersnatch.errors import InvalidRules, Problem
from bandersnatch.filters.interface import ProjectFilter
from bandersnatch.filters.names import NameList, listed, name_list
from bandersnatch.filters.requirements import Requirements, required

if TYPE_CHECKING:
    from bandersnatch.filters.names import ListedRequirement
    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.model.names import ProjectName


@dataclass(frozen=True)
class _OnlyListed(ProjectFilter):
    """Keep the projects in a list; ``place`` is where the list is, in words."""

    list: NameList
    place: str
    names: frozenset[ProjectName] | None
    notes: tuple[str, ...] = ()
    selects_roots = True

    def extras(self, name: ProjectName) -> frozenset[str]:
        """Return the extras in the lines about a project."""
        return frozenset(extra for each in self.list.of(name) for extra in each.extras)

    def apply(self, name: ProjectName) -> bool:
        """Return whether the project is listed."""
        return self.list.covers(name)

    def explain(self, name: ProjectName) -> str:
        """Return where the project is not listed."""
        return f"{name} is not named {self.place}"

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        return (f"keep only {self.list.counted()} named {self.place}",)

    def fingerprint(self) -> str:
        """Return the names in the list, without their versions."""
        return f"{self.name} {' '.join(sorted(map(_with_extras, self.list.entries)))}"


def _with_extras(entry: ListedRequirement) -> str:
    return f"{entry.name}[{','.join(sorted(entry.extras))}]" if entry.extras else entry.name


class AllowlistProject(_OnlyListed):
    """Keep the projects that a line of ``[allowlist] packages`` names."""

    name = "allowlist_project"

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[allowlist]``.

        :raises InvalidRules: if no project is named; an empty list must not mean everything.
        """
        names = allowlist(options, cls.name)
        return cls(names, list_place(options), names.names)


class ProjectRequirements(_OnlyListed):
    """Keep the projects that a requirement file names."""

    name = "project_requirements"

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[allowlist] requirements``.

        :raises InvalidRules: if no project is named, or a file cannot be read.
        """
        found = requirements(options, cls.name)
        names = name_list(found.entries)
        return cls(names, f"in {found.place}", names.names, found.warnings)


@dataclass(frozen=True)
class BlocklistProject(ProjectFilter):
    """Drop the projects that a line of ``[blocklist] packages`` consists of."""

    name = "blocklist_project"

    list: NameList
    place: str
    notes: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[blocklist]``.

        :raises InvalidRules: if a line cannot be read.
        """
        entries, notes = blocklist(options, cls.name)
        names = name_list(entry for entry in entries.entries if entry.bare)
        return cls(names, list_place(options, "blocklist"), notes)

    def apply(self, name: ProjectName) -> bool:
        """Return whether the project is not listed."""
        return not self.list.covers(name)

    def explain(self, name: ProjectName) -> str:
        """Return the line that names the project."""
        return next((str(entry.origin) for entry in self.list.of(name)), "")

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        if not self.list.entries:
            return (f"drop no project, for no line {self.place} is a name alone",)
        return (f"drop {self.list.counted()} named {self.place}",)

    def fingerprint(self) -> str:
        """Return the names in the list."""
        return f"{self.name} {self.list.fingerprint()}"


# ---------------------------------------------------------------- the lists


def allowlist(options: FilterOptions, filter_name: str) -> NameList:
    """Return ``[allowlist] packages`` for a filter.

    :raises InvalidRules: if it is empty or cannot be read.
    """
    found = listed(options, "allowlist")
    if not found:
        message = (
            f"{filter_name} is enabled and the list is empty; name a project, or remove the "
            "filter from [plugins] enabled"
        )
        raise InvalidRules([Problem("allowlist", "packages", message)])
    return name_list(found)


def blocklist(options: FilterOptions, filter_name: str) -> tuple[NameList, tuple[str, ...]]:
    """Return ``[blocklist] packages`` for a filter, and a note if it is empty.

    An empty blocklist is not an error: it lets nothing through that was to be dropped.

    :raises InvalidRules: if a line cannot be read.
    """
    found = listed(options, "blocklist")
    note = f"{filter_name} is enabled and [blocklist] packages is empty: it drops nothing"
    return name_list(found), () if found else (note,)


def requirements(options: FilterOptions, filter_name: str) -> Requirements:
    """Return what the files of ``[allowlist] requirements`` require, for a filter.

    :raises InvalidRules: if they require nothing, or a file cannot be read.
    """
    found = required(options)
    if not found.entries:
        what = "its files name no project" if found.sources else "no file is named"
        message = (
            f"{filter_name} is enabled and {what}; name one, or remove the filter from [plugins] "
            "enabled"
        )
        raise InvalidRules([Problem("allowlist", "requirements", message)])
    return found


def list_place(options: FilterOptions, section: str = "allowlist") -> str:
    """Return where the lines of a list are, in words."""
    files = [line.text for line in options.lines(section, "packages-file")]
    own = [f"[{section}] packages ({options.path})"] if options.lines(section, "packages") else []
    return f"in {' and '.join(own + files)}"
