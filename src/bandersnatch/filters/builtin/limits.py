"""Filters that look at a project as a whole: its size, its number of versions, its status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.errors import FilterFailure, InvalidRules, Problem
from bandersnatch.filters.chain import Needs, PageFilter, Stage
from bandersnatch.filters.names import listed, name_list
from bandersnatch.filters.options import nearest, read_each
from bandersnatch.model.project import ProjectStatus
from bandersnatch.model.versions import version_key

if TYPE_CHECKING:
    from bandersnatch.filters.names import NameList
    from bandersnatch.filters.options import FilterOptions, Line
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_SIZE = "size_project_metadata"
_COUNT = "versions_count_project_metadata"
_STATUS = "project_status"


def _exempt(options: FilterOptions) -> NameList:
    """Return the projects that a limit does not hold for.

    They are those in ``[allowlist] packages``, unless that list says what is mirrored at all:
    then both must agree, or the limit would mean nothing (contract, section 5.3).
    """
    if "allowlist_project" in options.enabled:
        return name_list(())
    return name_list(listed(options, "allowlist"))


def _but_for(exempt: NameList) -> str:
    count = len(exempt.entries)
    return f", except the {count} named in [allowlist] packages" if count else ""


# ---------------------------------------------------------------- size


@dataclass(frozen=True, slots=True)
class _SizeLimit:
    most: int
    exempt: NameList
    origin: str

    def narrows(self, page: ProjectDetail) -> ProjectDetail | None:
        if page.name in self.exempt:
            return page
        total = 0
        for file in page.files:
            if file.size is None:
                raise FilterFailure(_SIZE, f"the index does not tell the size of {file.filename}")
            total += file.size
        return page if total <= self.most else None

    def because(self, page: ProjectDetail, _: ReleaseFile | None) -> str:
        total = sum(file.size or 0 for file in page.files)
        return f"its files have {total} bytes, more than {self.origin}"

    def terms_for(self, name: ProjectName) -> str:
        return f"{_SIZE} exempt" if name in self.exempt else f"{_SIZE} {self.most}"


def size_project_metadata(options: FilterOptions) -> PageFilter:
    """Make the filter that drops projects whose files are too large together.

    :raises InvalidRules: if ``max_package_size`` is missing or is no size.
    """
    from humanfriendly import InvalidSize, parse_size  # noqa: PLC0415 - slow to import

    option = "max_package_size"
    text = options.text(_SIZE, option)
    if text is None:
        raise InvalidRules([Problem(_SIZE, option, "it must say how large a project may be")])
    try:
        most = parse_size(text.strip(), binary=True)
    except InvalidSize:
        message = f"{text.strip()!r} is not a size like '2 GB' or a number of bytes"
        raise InvalidRules([Problem(_SIZE, option, message)]) from None
    limit = _SizeLimit(most, _exempt(options), str(options.origin(_SIZE, option)))
    return PageFilter(
        _SIZE,
        Stage.METADATA,
        limit.narrows,
        terms=f"{_SIZE} {most} {limit.exempt.terms}",
        words=(f"drop projects whose files have more than {most:,} bytes{_but_for(limit.exempt)}",),
        because=limit.because,
        reads=Needs.SIZES,
        terms_for=limit.terms_for,
    )


# ---------------------------------------------------------------- number of versions


@dataclass(frozen=True, slots=True)
class _CountLimits:
    least: int
    most: int
    exempt: NameList

    def narrows(self, page: ProjectDetail) -> ProjectDetail | None:
        if page.name in self.exempt:
            return page
        count = _count(page)
        return None if count < self.least or 0 < self.most < count else page

    def because(self, page: ProjectDetail, _: ReleaseFile | None) -> str:
        return f"it has {_count(page)} versions, and {self.words} are allowed"

    @property
    def words(self) -> str:
        if not self.most:
            return f"{self.least} or more"
        return f"{self.least} to {self.most}" if self.least else f"at most {self.most}"

    def terms_for(self, name: ProjectName) -> str:
        within = "exempt" if name in self.exempt else f"{self.least} {self.most}"
        return f"{_COUNT} {within}"


def _count(page: ProjectDetail) -> int:
    """Return the number of versions, those without a file as well."""
    return len(page.releases().keys() | set(map(version_key, page.versions)))


def versions_count_project_metadata(options: FilterOptions) -> PageFilter:
    """Make the filter that drops projects with too few or too many versions.

    :raises InvalidRules: if neither limit is set, or they make no sense.
    """
    limits: dict[str, int] = {}
    problems = []
    for option in ("min_versions", "max_versions"):
        text = (options.text(_COUNT, option) or "0").strip()
        if text.isascii() and text.isdigit():
            limits[option] = int(text)
        else:
            problems.append(Problem(_COUNT, option, f"{text!r} is not a whole number"))
    least, most = limits.get("min_versions", 0), limits.get("max_versions", 0)
    if not problems and not (least or most):
        problems.append(Problem(_COUNT, "max_versions", "neither it nor min_versions is set"))
    if 0 < most < least:
        message = f"{least} is more than max_versions, {most}: that drops every project"
        problems.append(Problem(_COUNT, "min_versions", message))
    if problems:
        raise InvalidRules(problems)
    limit = _CountLimits(least, most, _exempt(options))
    return PageFilter(
        _COUNT,
        Stage.METADATA,
        limit.narrows,
        terms=f"{_COUNT} {least} {most} {limit.exempt.terms}",
        words=(f"keep only projects with {limit.words} versions{_but_for(limit.exempt)}",),
        because=limit.because,
        terms_for=limit.terms_for,
    )


# ---------------------------------------------------------------- status (PEP 792)


def project_status(options: FilterOptions) -> PageFilter:
    """Make the filter that drops projects by their status marker.

    :raises InvalidRules: unless just one of ``drop`` and ``keep`` names statuses.
    """
    words = {option: options.lines(_STATUS, option) for option in ("drop", "keep")}
    given = [option for option, lines in words.items() if lines]
    if len(given) != 1:
        message = "it or keep must name statuses, and not both: archived, deprecated, ..."
        raise InvalidRules([Problem(_STATUS, "drop", message)])
    option = given[0]
    named = frozenset().union(*read_each(words[option], _STATUS, option, _statuses))
    dropped = named if option == "drop" else frozenset(ProjectStatus) - named
    if ProjectStatus.ACTIVE in dropped:
        message = "it drops active projects, and with them nearly everything"
        raise InvalidRules([Problem(_STATUS, option, message)])
    shown = ", ".join(sorted(status.value for status in dropped))
    origin = options.origin(_STATUS, option)

    def narrows(page: ProjectDetail) -> ProjectDetail | None:
        return None if page.status in dropped else page

    def because(page: ProjectDetail, _: ReleaseFile | None) -> str:
        return f"it is {page.status.value}: {option} = {origin}"

    return PageFilter(
        _STATUS,
        Stage.METADATA,
        narrows,
        terms=f"{_STATUS} {shown}",
        words=(f"drop projects that are {shown}",),
        because=because,
    )


def _statuses(line: Line) -> frozenset[ProjectStatus]:
    known = {status.value: status for status in ProjectStatus}
    words = line.text.replace(",", " ").lower().split()
    for word in words:
        if word not in known:
            raise nearest(word, known, "a project's status")
    return frozenset(known[word] for word in words)
