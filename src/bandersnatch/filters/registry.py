"""The built-in filters, by the names that configurations use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from bandersnatch.errors import OptionError, Problem
from bandersnatch.filters.chain import FilterChain, ProjectFilter
from bandersnatch.filters.projects import allowlist_project

if TYPE_CHECKING:
    from collections.abc import Iterable

Sections = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class ProjectFilterEntry:
    """A filter that is provided: how to make it, and the option that its problems are about."""

    make: Callable[[Sections], ProjectFilter]
    section: str
    option: str


PROJECT_FILTERS = {
    "allowlist_project": ProjectFilterEntry(allowlist_project, "allowlist", "packages"),
}

SECTIONS: Mapping[str, frozenset[str]] = {
    "allowlist": frozenset({"packages", "requirements_path", "requirements"}),
    "blocklist": frozenset({"packages", "platforms"}),
    "filter_regex": frozenset({"packages", "releases"}),
    "filter_prerelease": frozenset({"packages"}),
    "latest_release": frozenset({"keep", "sort_by"}),
    "size_project_metadata": frozenset({"max_package_size"}),
    "versions_count_project_metadata": frozenset({"min_versions", "max_versions"}),
    "regex_project_metadata": frozenset(),
    "regex_release_file_metadata": frozenset(),
    "version_range_release_file_metadata": frozenset(),
}
"""The sections that filters read, with their options; an empty set allows any."""


ALL = "all"
"""The name that stands for every filter that something is set for."""


@dataclass(frozen=True, slots=True)
class Built:
    """What came of the names: the chain can be used only if there is no problem."""

    chain: FilterChain
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def build_chain(enabled: Iterable[str], sections: Sections) -> Built:
    """Make the filters that are enabled, and say what is wrong with those that cannot be made.

    What is set for a filter and read by none is told of, and a problem where all were wanted:
    a rule that does not count lets in what it was to keep out.
    """
    is_set = [(s, option) for s in sections if s in SECTIONS for option in sections[s]]
    names, problems = _expanded(enabled, is_set)
    entries = {name: PROJECT_FILTERS[name] for name in names if name in PROJECT_FILTERS}
    filters = []
    for name in names:
        if name not in entries:
            problems.append(_nobody_provides(name))
            continue
        try:
            filters.append(entries[name].make(sections))
        except OptionError as error:
            problems.append(Problem(entries[name].section, entries[name].option, str(error)))
    notes = [
        f"[{section}] {option} has no effect: no enabled filter reads it"
        for section, option in is_set
        if (section, option) not in {(entry.section, entry.option) for entry in entries.values()}
    ]
    return Built(FilterChain(tuple(filters)), tuple(problems), tuple(notes))


def _expanded(
    enabled: Iterable[str], is_set: Iterable[tuple[str, str]]
) -> tuple[list[str], list[Problem]]:
    """Return the names with those that "all" stands for, and what it cannot stand for."""
    names = list(enabled)
    if ALL not in names:
        return names, []
    readers = {(entry.section, entry.option): name for name, entry in PROJECT_FILTERS.items()}
    configured = [readers[each] for each in is_set if each in readers]
    problems = [
        Problem(section, option, f"no filter of this release reads it, and {ALL!r} wants it read")
        for section, option in is_set
        if (section, option) not in readers
    ]
    if not configured and not problems:
        message = f"{ALL!r} enables every filter that something is set for, and nothing is"
        problems.append(Problem("plugins", "enabled", message))
    every = dict.fromkeys([*names, *configured])
    return [name for name in every if name != ALL], problems


def _nobody_provides(name: str) -> Problem:
    close = get_close_matches(name, PROJECT_FILTERS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return Problem("plugins", "enabled", f"nobody provides {name!r}{hint}")
