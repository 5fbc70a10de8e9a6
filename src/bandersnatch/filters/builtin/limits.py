"""Filters of whole projects: by their size, their number of versions, their status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bandersnatch.config.readers import byte_size, refusal
from bandersnatch.errors import FilterFailure, InvalidRules, OptionError, Problem
from bandersnatch.filters.interface import Needs, PageFilter, Stage
from bandersnatch.filters.names import NameList, listed, name_list
from bandersnatch.filters.options import FilterOptions, Line, Origin, nearest, read_each
from bandersnatch.model.project import ProjectDetail, ProjectStatus
from bandersnatch.model.versions import version_key

if TYPE_CHECKING:
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName


def _exempt(options: FilterOptions) -> NameList:
    """Return the projects that a limit does not apply to.

    They are those in ``[allowlist] packages``, unless that list selects what is mirrored at all:
    then a project must pass both, or the limit would have no effect.
    """
    if "allowlist_project" in options.enabled:
        return name_list(())
    return name_list(listed(options, "allowlist"))


def _except_for(exempt: NameList) -> str:
    count = len(exempt.entries)
    return f", except the {count} named in [allowlist] packages" if count else ""


# ---------------------------------------------------------------- size


@dataclass(frozen=True)
class SizeProjectMetadata(PageFilter):
    """Drop the projects whose files have more than ``max_size`` bytes in all."""

    name = "size_project_metadata"
    stage = Stage.METADATA
    needs = Needs.SIZES

    max_size: int
    exempt: NameList
    origin: Origin

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[size_project_metadata] max_package_size``.

        :raises InvalidRules: if it is missing or is not a size.
        """
        option = "max_package_size"
        text = options.text(cls.name, option)
        if text is None:
            raise InvalidRules(
                [Problem(cls.name, option, "it must say how large a project may be")]
            )
        try:
            max_size = byte_size(text.strip())
        except OptionError as error:
            raise InvalidRules([Problem(cls.name, option, str(error))]) from None
        return cls(max_size, _exempt(options), options.origin(cls.name, option))

    def apply(self, page: ProjectDetail) -> ProjectDetail | None:
        """Return the page, or None if it is over the limit.

        :raises FilterFailure: if the size of a file is unknown.
        """
        if page.name in self.exempt:
            return page
        total = 0
        for file in page.files:
            if file.size is None:
                raise FilterFailure(
                    self.name, f"the index does not give the size of {file.filename}"
                )
            total += file.size
        return page if total <= self.max_size else None

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the size of the project, and the limit."""
        del file
        total = sum(each.size or 0 for each in page.files)
        return f"its files have {total} bytes, more than {self.origin}"

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        exceptions = _except_for(self.exempt)
        return (f"drop projects whose files have more than {self.max_size:,} bytes{exceptions}",)

    def fingerprint(self) -> str:
        """Return the limit and the exceptions."""
        return f"{self.name} {self.max_size} {self.exempt.fingerprint()}"

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return the limit, if it applies to the project."""
        return f"{self.name} {'exempt' if name in self.exempt else self.max_size}"


# ---------------------------------------------------------------- number of versions


@dataclass(frozen=True)
class VersionsCountProjectMetadata(PageFilter):
    """Drop the projects with fewer than ``least`` or more than ``most`` versions; 0 is no limit."""

    name = "versions_count_project_metadata"
    stage = Stage.METADATA

    least: int
    most: int
    exempt: NameList

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[versions_count_project_metadata]``.

        :raises InvalidRules: if neither limit is set, or they exclude each other.
        """
        limits: dict[str, int] = {}
        problems = []
        for option in ("min_versions", "max_versions"):
            text = (options.text(cls.name, option) or "0").strip()
            if text.isascii() and text.isdigit():
                limits[option] = int(text)
            else:
                message = str(refusal(text, "is not a whole number"))
                problems.append(Problem(cls.name, option, message))
        least, most = limits.get("min_versions", 0), limits.get("max_versions", 0)
        if not problems and not (least or most):
            problems.append(Problem(cls.name, "max_versions", "neither it nor min_versions is set"))
        if 0 < most < least:
            message = f"{least} is more than max_versions, {most}: that drops every project"
            problems.append(Problem(cls.name, "min_versions", message))
        if problems:
            raise InvalidRules(problems)
        return cls(least, most, _exempt(options))

    def apply(self, page: ProjectDetail) -> ProjectDetail | None:
        """Return the page, or None if its number of versions is outside the limits."""
        if page.name in self.exempt:
            return page
        count = _count(page)
        return None if count < self.least or 0 < self.most < count else page

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the number of versions, and the limits."""
        del file
        return f"it has {_count(page)} versions, and {self._words} are allowed"

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        return (f"keep only projects with {self._words} versions{_except_for(self.exempt)}",)

    def fingerprint(self) -> str:
        """Return the limits and the exceptions."""
        return f"{self.name} {self.least} {self.most} {self.exempt.fingerprint()}"

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return the limits, if they apply to the project."""
        limits = "exempt" if name in self.exempt else f"{self.least} {self.most}"
        return f"{self.name} {limits}"

    @property
    def _words(self) -> str:
        if not self.most:
            return f"{self.least} or more"
        return f"{self.least} to {self.most}" if self.least else f"at most {self.most}"


def _count(page: ProjectDetail) -> int:
    """Return the number of versions, including those without a file."""
    return len(page.releases().keys() | set(map(version_key, page.versions)))


# ---------------------------------------------------------------- status (PEP 792)


@dataclass(frozen=True)
class ProjectStatusFilter(PageFilter):
    """Drop the projects whose status marker (PEP 792) is one of ``dropped``.

    ``option`` is the option that names statuses, at ``origin``.
    """

    name = "project_status"
    stage = Stage.METADATA

    dropped: frozenset[ProjectStatus]
    option: str
    origin: Origin

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[project_status]``.

        :raises InvalidRules: unless exactly one of ``drop`` and ``keep`` names statuses.
        """
        words = {option: options.lines(cls.name, option) for option in ("drop", "keep")}
        given = [option for option, lines in words.items() if lines]
        if len(given) != 1:
            message = "it or keep must name statuses, and not both: archived, deprecated, ..."
            raise InvalidRules([Problem(cls.name, "drop", message)])
        (option,) = given
        named = frozenset().union(*read_each(words[option], cls.name, option, _statuses))
        dropped = named if option == "drop" else frozenset(ProjectStatus) - named
        if ProjectStatus.ACTIVE in dropped:
            message = "it drops active projects, and with them nearly everything"
            raise InvalidRules([Problem(cls.name, option, message)])
        return cls(dropped, option, options.origin(cls.name, option))

    def apply(self, page: ProjectDetail) -> ProjectDetail | None:
        """Return the page, or None if the project's status is dropped."""
        return None if page.status in self.dropped else page

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the project's status, and the option."""
        del file
        return f"it is {page.status.value}: {self.option} = {self.origin}"

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        return (f"drop projects that are {self._shown}",)

    def fingerprint(self) -> str:
        """Return the statuses."""
        return f"{self.name} {self._shown}"

    @property
    def _shown(self) -> str:
        return ", ".join(sorted(status.value for status in self.dropped))


def _statuses(line: Line) -> frozenset[ProjectStatus]:
    known = {status.value: status for status in ProjectStatus}
    words = line.text.replace(",", " ").lower().split()
    for word in words:
        if word not in known:
            raise nearest(word, known, "a project's status")
    return frozenset(known[word] for word in words)
