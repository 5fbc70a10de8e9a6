"""The filter of yanked files (PEP 592)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidRules, Problem
from bandersnatch.filters.chain import PageFilter, Stage
from bandersnatch.filters.names import ListedRequirement, NameList, listed, name_list, satisfying
from bandersnatch.filters.requirements import Requirements, required

if TYPE_CHECKING:
    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail


def yanked_release(options: FilterOptions) -> PageFilter:
    """Drop yanked files, but of the exact versions that an allowlist or a lock file pins.

    A line pins with ``==`` or ``===``, as in PEP 592. The lists are read whether or not the
    filters are enabled that select by them.

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
    rules = _Yanked(name_list(each for each in entries if each.pin is not None))
    return PageFilter(
        name="yanked_release",
        stage=Stage.FILE,
        narrows=rules.narrow,
        terms=f"yanked_release {rules.pins.terms}",
        words=(rules.words,),
        because=rules.because,
        terms_for=lambda name: f"yanked_release {rules.pins.terms_for(name)}",
        notes=files.warnings,
    )


@dataclass(frozen=True, slots=True)
class _Yanked:
    pins: NameList

    @property
    def words(self) -> str:
        if not self.pins.entries:
            return "drop yanked files; no allowlist pins a version"
        return f"drop yanked files, except of the versions pinned of {self.pins.counted}"

    def narrow(self, page: ProjectDetail) -> ProjectDetail:
        is_pinned = satisfying(self.pins.of(page.name))
        return page.keep(lambda file: file.yanked is None or is_pinned(page.version_of(file)))

    def because(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        if file is None or file.yanked is None:
            return ""
        reason = f"with the reason {file.yanked!r}" if file.yanked else "without a reason"
        return f"yanked, {reason}; no allowlist pins {page.name}=={page.version_of(file)}"
