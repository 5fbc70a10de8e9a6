"""The filter of pre-releases (PEP 440)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bandersnatch.errors import InvalidRules, Problem
from bandersnatch.filters.interface import PageFilter, Stage
from bandersnatch.filters.names import NameList, listed, name_list
from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_SECTION = "filter_prerelease"


@dataclass(frozen=True)
class PrereleaseRelease(PageFilter):
    """Drop the pre-releases of the projects in ``projects``, or of all projects if it is None."""

    name = "prerelease_release"
    stage = Stage.RELEASE

    projects: NameList | None

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[filter_prerelease] packages`` and ``packages-file``.

        :raises InvalidRules: if a list is set and is empty, or cannot be read.
        """
        is_set = {"packages", "packages-file"} & options.sections.get(_SECTION, {}).keys()
        projects = name_list(listed(options, _SECTION)) if is_set else None
        if projects is not None and not projects.entries:
            message = "the list is empty; name a project, or remove the option to mean all projects"
            raise InvalidRules([Problem(_SECTION, "packages", message)])
        return cls(projects)

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page without its pre-releases."""
        if self.projects is not None and page.name not in self.projects:
            return page
        return page.keep_versions(lambda text: not is_prerelease(text))

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return that it is a pre-release, and the line that names the project."""
        del file
        if self.projects is None:
            return "its version is a pre-release"
        origin = self.projects.of(page.name)[0].origin
        return f"its version is a pre-release, and {origin} is set"

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        if self.projects is None:
            return ("drop the pre-releases",)
        count = len(self.projects.entries)
        return (f"drop the pre-releases of the projects named in [{_SECTION}] ({count})",)

    def fingerprint(self) -> str:
        """Return the list of projects."""
        return f"{self.name} {'' if self.projects is None else self.projects.fingerprint()}"

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return the same text for every project that the filter is about, else ""."""
        return self.name if self.projects is None or name in self.projects else ""


def is_prerelease(text: str) -> bool:
    """Return whether a text is a pre-release or a development release by PEP 440."""
    version = parse_version(text)
    return version is not None and version.is_prerelease
