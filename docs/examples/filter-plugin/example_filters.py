"""Two filters for bandersnatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.filters.chain import Stage
from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.model.project import ProjectDetail


@dataclass(frozen=True)
class NamePrefix:
    """Keeps the projects whose names begin with one of the prefixes."""

    prefixes: tuple[str, ...]

    @property
    def terms(self) -> str:
        """The prefixes, in any order the same."""
        return f"1 {sorted(self.prefixes)}"

    def __call__(self, name: str, /) -> bool:
        """Whether to mirror the project; names come in lower case, with hyphens."""
        return name.startswith(self.prefixes)


def name_prefix(section: Mapping[str, str]) -> NamePrefix:
    """Make the filter of ``[name_prefix]``."""
    prefixes = tuple(section.get("prefixes", "").lower().split())
    if not prefixes:
        raise ValueError("[name_prefix] prefixes is empty; name some, one in a line")
    return NamePrefix(prefixes)


@dataclass(frozen=True)
class DevReleases:
    """Drops the development releases of a project except the newest."""

    keep: int
    stage = Stage.SELECTION

    @property
    def terms(self) -> str:
        """How many are kept."""
        return f"1 keep={self.keep}"

    def __call__(self, page: ProjectDetail, /) -> ProjectDetail:
        """Return the page without the files and versions of the others."""
        versions = {parse_version(page.version_of(file)) for file in page.files}
        development = sorted(each for each in versions if each and each.is_devrelease)
        dropped = development[: max(0, len(development) - self.keep)]
        return page.keep_versions(lambda text: parse_version(text) not in dropped)


def dev_releases(section: Mapping[str, str]) -> DevReleases:
    """Make the filter of ``[dev_releases]``."""
    keep = section.get("keep", "")
    if not keep.isdecimal():
        raise ValueError(f"[dev_releases] keep is {keep!r}; set it to a number such as 2, or 0")
    return DevReleases(int(keep))
