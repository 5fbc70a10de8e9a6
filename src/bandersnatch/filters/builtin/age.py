"""The filter that lists no file before it has been public for some time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Self, TypeVar

from bandersnatch.config.readers import boolean, duration_with_unit, refusal
from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.interface import Needs, PageFilter, Stage
from bandersnatch.filters.names import NameList, listed, name_list
from bandersnatch.model.files import ReleaseFile, format_upload_time
from bandersnatch.model.versions import version_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_Value = TypeVar("_Value")

_SECTION = "release_age"
_DEFAULT = "7 days"


@dataclass(frozen=True)
class ReleaseAge(PageFilter):
    """Drop the files that are younger than ``min_age``, or uploaded at ``freeze_at`` or later.

    ``exceptions`` are listed at any age. ``now`` is when the run began.
    """

    name = "release_age"
    stage = Stage.FILE
    needs = Needs.TIMES

    min_age: timedelta
    freeze_at: datetime | None
    exceptions: NameList
    now: datetime
    prefetch: bool = False

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[release_age]``.

        :raises InvalidRules: with every value that cannot be read.
        """
        problems: list[Problem] = []

        def read(
            option: str, default: str, reader: Callable[[str], _Value], fallback: _Value
        ) -> _Value:
            try:
                return reader((options.text(_SECTION, option) or default).strip())
            except OptionError as error:
                problems.append(Problem(_SECTION, option, str(error)))
                return fallback

        min_age = read("min-age", _DEFAULT, duration_with_unit, timedelta(0))
        freeze_at = read("freeze-at", "", _moment, None)
        prefetch = read("prefetch", "no", boolean, False)  # noqa: FBT003 - a value like the others
        exceptions = name_list(())
        try:
            exceptions = _exceptions(options)
        except InvalidRules as error:
            problems += error.problems
        if problems:
            raise InvalidRules(problems)
        now = datetime.fromtimestamp(options.now, UTC)
        return cls(min_age, freeze_at, exceptions, now, prefetch)

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with the files that are old enough now."""
        return self._keep(page, lambda uploaded: uploaded + self.min_age <= self.now)

    def apply_later(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with the files that will be old enough at some time."""
        return self._keep(page, lambda _: True)

    def next_change(self, page: ProjectDetail) -> int | None:
        """Return when the next file of the page becomes old enough, in seconds since 1970."""
        is_excepted = self._exception_test(page)
        times = [
            file.upload_time + self.min_age
            for file in page.files
            if file.upload_time is not None
            and not self._is_frozen(file.upload_time)
            and not is_excepted(file)
        ]
        young = [each for each in times if each > self.now]
        return -int(-min(young).timestamp() // 1) if young else None

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return when a file was uploaded, and when it will be listed."""
        del page
        assert file is not None, "the filter drops files, never projects"
        if file.upload_time is None:
            return "the index gives no upload time, so its age is unknown"
        if self._is_frozen(file.upload_time):
            return f"it was uploaded {_shown(file.upload_time)}, after freeze-at"
        until = _shown(file.upload_time + self.min_age)
        return f"it is too young: uploaded {_shown(file.upload_time)}, listed from {until}"

    def describe(self) -> tuple[str, ...]:
        """Return one sentence for each limit."""
        count = len(self.exceptions.entries)
        exceptions = f", with {count} exceptions" if count else ""
        sentences = [f"list no file before it is {_days(self.min_age)} old{exceptions}"]
        if self.freeze_at is not None:
            until = _shown(self.freeze_at)
            sentences.append(f"list no file uploaded at {until} or later{exceptions}")
        return tuple(sentences)

    def fingerprint(self) -> str:
        """Return the limits and all exceptions."""
        return f"{self._limits} {self.exceptions.fingerprint()}"

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return the limits and the exceptions for one project."""
        return f"{self._limits} {self.exceptions.fingerprint_for(name)}"

    @property
    def _limits(self) -> str:
        return f"{self.name} {self.min_age} {self.freeze_at} {self.prefetch}"

    def _keep(self, page: ProjectDetail, old_enough: Callable[[datetime], bool]) -> ProjectDetail:
        is_excepted = self._exception_test(page)

        def keeps(file: ReleaseFile) -> bool:
            if is_excepted(file):
                return True
            uploaded = file.upload_time
            if uploaded is None or self._is_frozen(uploaded):
                return False
            return old_enough(uploaded)

        return page.keep(keeps)

    def _exception_test(self, page: ProjectDetail) -> Callable[[ReleaseFile], bool]:
        """Return the test whether a file of a page is listed at any age."""
        entries = self.exceptions.of(page.name)
        every = any(each.bare for each in entries)
        pins = {version_key(each.pin) for each in entries if each.pin is not None}
        if every or not pins:
            return lambda _: every
        return lambda file: version_key(page.version_of(file)) in pins

    def _is_frozen(self, uploaded: datetime) -> bool:
        return self.freeze_at is not None and uploaded >= self.freeze_at


def _exceptions(options: FilterOptions) -> NameList:
    entries = listed(options, _SECTION, "exceptions")
    problems = [
        Problem(_SECTION, "exceptions", f"{e.origin}: name a project or one version, as foo==1.0")
        for e in entries
        if not e.bare and e.pin is None
    ]
    if problems:
        raise InvalidRules(problems)
    return name_list(entries)


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:g} day{'s' if days != 1 else ''}"


def _shown(moment: datetime) -> str:
    return f"{format_upload_time(moment)[:16].replace('T', ' ')} UTC"


def _moment(text: str) -> datetime | None:
    """Return the first moment after a date, or the moment that a text with a time names."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise refusal(text, "is not a date like '2026-08-01'") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    is_date = moment.time() == time(0) and len(text) <= len("2026-08-01")
    return moment.astimezone(UTC) + timedelta(days=1 if is_date else 0)
