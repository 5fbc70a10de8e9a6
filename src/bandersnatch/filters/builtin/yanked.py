"""The filter of yanked files (PEP 592)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bandersnatch.errors import InvalidRules, Problem
from bandersnatch.filters.interface import PageFilter, Stage
from bandersnatch.filters.names import ListedRequirement, NameList, listed, name_list, satisfying
from bandersnatch.filters.requirements import Requirements, required

if TYPE_CHECKING:
    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail


@dataclass(frozen=True)
class YankedRelease(PageFilter):
    """Drop yanked files, except of the exact versions that an allowlist or a lock file pins."""

    name = "yanked_release"
    stage = Stage.FILE

    pins: NameList
    notes: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[allowlist]``.

        A line pins with ``==`` or ``===``, as in PEP 592. The lists are read even if the filters
        that select by them are not enabled.

        :raises InvalidRules: if a list is set and cannot be read.
        """
        problems: list[Problem] = []
        entries: list[ListedRequirement] = []
        files = Requirements()
        try:
            entries += listed(options, "allowlist")
        except InvalidRules as error:
            problems += error.problems
        try:
            files = required(options)
        except InvalidRules as error:
            problems += error.problems
        if problems:
            raise InvalidRules(problems)
        entries += [*files.entries, *files.constraints]
        return cls(name_list(each for each in entries if each.pin is not None), files.warnings)

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page without the yanked files that are not pinned."""
        is_pinned = satisfying(self.pins.of(page.name))
        return page.keep(lambda file: file.yanked is None or is_pinned(page.version_of(file)))

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the reason for which a file is yanked."""
        if file is None or file.yanked is None:
            return ""
        reason = f"with the reason {file.yanked!r}" if file.yanked else "without a reason"
        return f"yanked, {reason}; no allowlist pins {page.name}=={page.version_of(file)}"

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        if not self.pins.entries:
            return ("drop yanked files; no allowlist pins a version",)
        return (f"drop yanked files, except of the versions pinned of {self.pins.counted()}",)

    def fingerprint(self) -> str:
        """Return the pins."""
        return f"{self.name} {self.pins.fingerprint()}"

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return the pins of one project."""
        return f"{self.name} {self.pins.fingerprint_for(name)}"
