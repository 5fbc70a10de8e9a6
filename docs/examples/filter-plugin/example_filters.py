"""Two filters for bandersnatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from bandersnatch.filters.interface import (
    FilterOptions,
    OptionError,
    PageFilter,
    ProjectDetail,
    ProjectFilter,
    ProjectName,
    Stage,
    parse_version,
)


@dataclass(frozen=True)
class NamePrefix(ProjectFilter):
    """Keep the projects whose names begin with one of the prefixes."""

    name = "name_prefix"

    prefixes: tuple[str, ...]

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[name_prefix] prefixes``."""
        prefixes = tuple((options.text(cls.name, "prefixes") or "").lower().split())
        if not prefixes:
            raise OptionError("[name_prefix] prefixes is empty; list prefixes, one a line")
        return cls(prefixes)

    def apply(self, name: ProjectName) -> bool:
        """Return whether to mirror the project; names are lower case, with hyphens."""
        return name.startswith(self.prefixes)

    def fingerprint(self) -> str:
        """Return the prefixes in a fixed order."""
        return f"1 {sorted(self.prefixes)}"


@dataclass(frozen=True)
class DevReleases(PageFilter):
    """Drop the development releases of a project except the newest."""

    name = "dev_releases"
    stage = Stage.SELECTION

    keep: int

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[dev_releases] keep``."""
        keep = options.text(cls.name, "keep") or ""
        if not keep.isdecimal():
            raise OptionError(f"[dev_releases] keep is {keep!r}; set it to a number such as 2")
        return cls(int(keep))

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page without the files and versions of the older development releases."""
        versions = {parse_version(page.version_of(file)) for file in page.files}
        development = sorted(each for each in versions if each and each.is_devrelease)
        dropped = development[: max(0, len(development) - self.keep)]
        return page.keep_versions(lambda text: parse_version(text) not in dropped)

    def fingerprint(self) -> str:
        """Return how many are kept."""
        return f"1 keep={self.keep}"
