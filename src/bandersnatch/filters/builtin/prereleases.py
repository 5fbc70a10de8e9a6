"""The filter that drops pre-releases (PEP 440)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidRules, Problem
from bandersnatch.filters.chain import PageFilter, Stage
from bandersnatch.filters.names import listed, name_list
from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from bandersnatch.filters.names import NameList
    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_NAME = "prerelease_release"
_SECTION = "filter_prerelease"


@dataclass(frozen=True, slots=True)
class _Prereleases:
    """``only`` are the projects that it is about; None for all."""

    only: NameList | None

    def narrows(self, page: ProjectDetail) -> ProjectDetail:
        if self.only is not None and page.name not in self.only:
            return page
        return page.keep_versions(lambda text: not is_prerelease(text))

    def because(self, page: ProjectDetail, _: ReleaseFile | None) -> str:
        if self.only is None:
            return "its version is a pre-release"
        return f"its version is a pre-release, and {self.only.of(page.name)[0].origin} is set"

    def terms_for(self, name: ProjectName) -> str:
        return _NAME if self.only is None or name in self.only else ""


def is_prerelease(text: str) -> bool:
    """Whether a version is a pre-release or a development release; what is no version is not."""
    version = parse_version(text)
    return version is not None and version.is_prerelease


def prerelease_release(options: FilterOptions) -> PageFilter:
    """Make the filter, for the projects in ``[filter_prerelease] packages`` or for all.

    :raises InvalidRules: if there is a list and nothing in it, or it cannot be read.
    """
    is_set = {"packages", "packages-file"} & options.sections.get(_SECTION, {}).keys()
    only = name_list(listed(options, _SECTION)) if is_set else None
    if only is not None and not only.entries:
        message = "the list is empty; name a project, or take the option out to mean all"
        raise InvalidRules([Problem(_SECTION, "packages", message)])
    rule = _Prereleases(only)
    of_whom = "" if only is None else f" of what is named in [{_SECTION}] ({len(only.entries)})"
    return PageFilter(
        _NAME,
        Stage.RELEASE,
        rule.narrows,
        terms=f"{_NAME} {'' if only is None else only.terms}",
        words=(f"drop the pre-releases{of_whom}",),
        because=rule.because,
        terms_for=rule.terms_for,
    )
