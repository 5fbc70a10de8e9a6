"""Project filters that go by lists: they see a name, before anything is fetched (contract, 5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidRules, Problem
from bandersnatch.filters.chain import ProjectFilter
from bandersnatch.filters.names import listed, name_list
from bandersnatch.filters.requirements import required

if TYPE_CHECKING:
    from bandersnatch.filters.names import NameList
    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.filters.requirements import Requirements


def allowlist_project(options: FilterOptions) -> ProjectFilter:
    """Keep the projects that a line of ``[allowlist] packages`` names.

    :raises InvalidRules: if no project is named; an empty list must not mean everything.
    """
    return _only("allowlist_project", allowlist(options, "allowlist_project"), where(options))


def project_requirements(options: FilterOptions) -> ProjectFilter:
    """Keep the projects that a requirement file names.

    :raises InvalidRules: if none is named, or a file cannot be read.
    """
    found = requirements(options, "project_requirements")
    names = name_list(found.entries)
    return _only("project_requirements", names, f"in {found.where}", found.warnings)


def blocklist_project(options: FilterOptions) -> ProjectFilter:
    """Drop the projects that a line of ``[blocklist] packages`` names and says nothing else about.

    :raises InvalidRules: if a line cannot be read.
    """
    entries, notes = blocklist(options, "blocklist_project")
    names = name_list(entry for entry in entries.entries if entry.bare)
    drops = names.covers
    place = where(options, "blocklist")
    words = f"drop {names.counted} named {place}"
    if not names.entries:
        words = f"drop no project, for no line {place} is a name alone"
    return ProjectFilter(
        name="blocklist_project",
        keeps=lambda name: not drops(name),
        terms=f"blocklist_project {names.terms}",
        words=(words,),
        because=lambda name: next((str(entry.origin) for entry in names.of(name)), ""),
        notes=notes,
    )


def _only(name: str, names: NameList, place: str, notes: tuple[str, ...] = ()) -> ProjectFilter:
    return ProjectFilter(
        name=name,
        keeps=names.covers,
        terms=f"{name} {' '.join(sorted({each.name for each in names.entries}))}",
        names=names.names,
        words=(f"keep only {names.counted} named {place}",),
        because=lambda dropped: f"{dropped} is not named {place}",
        notes=notes,
    )


# ---------------------------------------------------------------- the lists


def allowlist(options: FilterOptions, name: str) -> NameList:
    """Return ``[allowlist] packages`` for a filter.

    :raises InvalidRules: if it is empty or cannot be read.
    """
    found = listed(options, "allowlist")
    if not found:
        message = (
            f"{name} is enabled and the list is empty; name a project, or take the filter out of "
            "[plugins] enabled"
        )
        raise InvalidRules([Problem("allowlist", "packages", message)])
    return name_list(found)


def blocklist(options: FilterOptions, name: str) -> tuple[NameList, tuple[str, ...]]:
    """Return ``[blocklist] packages`` for a filter, and what to note if it is empty.

    Nothing that was to be kept out gets in by an empty list, so that it is no mistake.

    :raises InvalidRules: if a line cannot be read.
    """
    found = listed(options, "blocklist")
    note = f"{name} is enabled and [blocklist] packages is empty: it drops nothing"
    return name_list(found), () if found else (note,)


def requirements(options: FilterOptions, name: str) -> Requirements:
    """Return what the files of ``[allowlist] requirements`` ask for, for a filter.

    :raises InvalidRules: if that is nothing, or a file cannot be read.
    """
    found = required(options)
    if not found.entries:
        what = "its files name no project" if found.sources else "no file is named"
        message = f"{name} is enabled and {what}; name one, or take the filter out of [plugins]"
        raise InvalidRules([Problem("allowlist", "requirements", f"{message} enabled")])
    return found


def where(options: FilterOptions, section: str = "allowlist") -> str:
    """Return where a list stands, in words."""
    files = [line.text for line in options.lines(section, "packages-file")]
    own = [f"[{section}] packages ({options.path})"] if options.lines(section, "packages") else []
    return f"in {' and '.join(own + files)}"
