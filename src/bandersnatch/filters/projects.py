"""Project filters: they see a name, before anything is fetched (contract, section 5.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidValue, OptionError
from bandersnatch.model.names import project_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.model.names import ProjectName


@dataclass(frozen=True, slots=True)
class AllowedProjects:
    """Keep only the projects that are named."""

    names: frozenset[ProjectName]

    @property
    def terms(self) -> str:
        """The names, in one text."""
        return f"allowlist_project {' '.join(sorted(self.names))}"

    def __call__(self, name: ProjectName, /) -> bool:
        """Whether the project is one of those named."""
        return name in self.names


def requirement_names(text: str) -> frozenset[ProjectName]:
    """Return the projects that requirement lines name; specifiers and markers do not matter.

    :raises OptionError: for a line that is no requirement.
    """
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - slow

    names = set()
    for number, line in enumerate(text.splitlines(), start=1):
        requirement = line.partition("#")[0].strip()
        if not requirement:
            continue
        try:
            names.add(project_name(Requirement(requirement).name))
        except (InvalidRequirement, InvalidValue):
            raise OptionError(
                f"line {number}, {requirement[:80]!r}, is not a project's name or a requirement"
            ) from None
    return frozenset(names)


def allowlist_project(sections: Mapping[str, Mapping[str, str]]) -> AllowedProjects:
    """Make the filter from ``[allowlist] packages``.

    :raises OptionError: if no project is named; an empty list must not mean everything.
    """
    names = requirement_names(sections.get("allowlist", {}).get("packages", ""))
    if not names:
        raise OptionError(
            "allowlist_project is enabled and the list is empty; name a project, or take the "
            "filter out of [plugins] enabled to mirror everything"
        )
    return AllowedProjects(names)
