"""The built-in filters, by the names that configurations use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from bandersnatch.errors import OptionError, Problem
from bandersnatch.filters.chain import FilterChain, PageFilter, ProjectFilter
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


def build_chain(enabled: Iterable[str], sections: Sections) -> tuple[FilterChain, list[Problem]]:
    """Make the filters that are enabled, and say what is wrong with those that cannot be made."""
    projects: list[ProjectFilter] = []
    pages: list[PageFilter] = []
    problems = []
    for name in enabled:
        entry = PROJECT_FILTERS.get(name)
        if entry is None:
            close = get_close_matches(name, PROJECT_FILTERS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            problems.append(Problem("plugins", "enabled", f"nobody provides {name!r}{hint}"))
            continue
        try:
            projects.append(entry.make(sections))
        except OptionError as error:
            problems.append(Problem(entry.section, entry.option, str(error)))
    return FilterChain(tuple(projects), tuple(pages)), problems
