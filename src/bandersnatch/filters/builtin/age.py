"""The filter that lets nothing through before it has been public for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, TypeVar

from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.chain import Needs, PageFilter, Stage
from bandersnatch.filters.names import listed, name_list
from bandersnatch.model.files import format_upload_time
from bandersnatch.model.versions import version_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from bandersnatch.filters.names import NameList
    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_Value = TypeVar("_Value")

_NAME = "release_age"
_DEFAULT = "7 days"
_ANSWERS = {
    **dict.fromkeys(("1", "yes", "true", "on"), True),
    **dict.fromkeys(("0", "no", "false", "off"), False),
}


@dataclass(frozen=True, slots=True)
class _Age:
    """``frozen`` is the time from which on nothing is let through, None for never."""

    least: timedelta
    frozen: datetime | None
    exceptions: NameList
    now: datetime

    def narrows(self, page: ProjectDetail) -> ProjectDetail:
        return self._keep(page, lambda uploaded: uploaded + self.least <= self.now)

    def ahead(self, page: ProjectDetail) -> ProjectDetail:
        return self._keep(page, lambda _: True)

    def _keep(self, page: ProjectDetail, old_enough: Callable[[datetime], bool]) -> ProjectDetail:
        is_excepted = self._excepting(page)

        def keeps(file: ReleaseFile) -> bool:
            if is_excepted(file):
                return True
            uploaded = file.upload_time
            if uploaded is None or self._is_frozen(uploaded):
                return False
            return old_enough(uploaded)

        return page.keep(keeps)

    def _excepting(self, page: ProjectDetail) -> Callable[[ReleaseFile], bool]:
        """Return whether a file of a page is let through at any age."""
        entries = self.exceptions.of(page.name)
        every = any(each.bare for each in entries)
        pins = {version_key(each.pin) for each in entries if each.pin is not None}
        if every or not pins:
            return lambda _: every
        return lambda file: version_key(page.version_of(file)) in pins

    def _is_frozen(self, uploaded: datetime) -> bool:
        return self.frozen is not None and uploaded >= self.frozen

    def matures(self, page: ProjectDetail) -> int | None:
        is_excepted = self._excepting(page)
        times = [
            file.upload_time + self.least
            for file in page.files
            if file.upload_time is not None
            and not self._is_frozen(file.upload_time)
            and not is_excepted(file)
        ]
        young = [each for each in times if each > self.now]
        return -int(-min(young).timestamp() // 1) if young else None

    def because(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        del page
        assert file is not None, "it drops files, never projects"
        if file.upload_time is None:
            return "the index does not tell when it was uploaded, so its age is not known"
        if self._is_frozen(file.upload_time):
            return f"it was uploaded {_shown(file.upload_time)}, after freeze-at"
        until = _shown(file.upload_time + self.least)
        return f"it is too young: uploaded {_shown(file.upload_time)}, listed from {until}"

    @property
    def terms(self) -> str:
        return f"{_NAME} {self.least} {self.frozen}"

    def terms_for(self, name: ProjectName) -> str:
        return f"{self.terms} {self.exceptions.terms_for(name)}"

    @property
    def words(self) -> tuple[str, ...]:
        but_for = len(self.exceptions.entries)
        exceptions = f", with {but_for} exceptions" if but_for else ""
        sentences = [f"list no file before it is {_days(self.least)} old{exceptions}"]
        if self.frozen is not None:
            sentences.append(f"list no file uploaded from {_shown(self.frozen)} on{exceptions}")
        return tuple(sentences)


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:g} day{'s' if days != 1 else ''}"


def _shown(moment: datetime) -> str:
    return f"{format_upload_time(moment)[:16].replace('T', ' ')} UTC"


def release_age(options: FilterOptions) -> PageFilter:
    """Make the filter from ``[release_age]``: ``min-age``, ``freeze-at``, ``exceptions``.

    With ``prefetch`` files are fetched before they are listed.

    :raises InvalidRules: with everything that cannot be read.
    """
    problems: list[Problem] = []

    def read(
        option: str, default: str, reader: Callable[[str], _Value], otherwise: _Value
    ) -> _Value:
        try:
            return reader((options.text(_NAME, option) or default).strip())
        except OptionError as error:
            problems.append(Problem(_NAME, option, str(error)))
            return otherwise

    least = read("min-age", _DEFAULT, _span, timedelta(0))
    frozen = read("freeze-at", "", _date, None)
    prefetch = read("prefetch", "no", _yes_or_no, False)  # noqa: FBT003 - a value like the others
    exceptions = name_list(())
    try:
        exceptions = _exceptions(options)
    except InvalidRules as error:
        problems += error.problems
    if problems:
        raise InvalidRules(problems)
    age = _Age(least, frozen, exceptions, datetime.fromtimestamp(options.now, UTC))
    return PageFilter(
        _NAME,
        Stage.FILE,
        age.narrows,
        terms=f"{age.terms} {prefetch} {exceptions.terms}",
        words=age.words,
        because=age.because,
        reads=Needs.TIMES,
        terms_for=lambda name: f"{age.terms_for(name)} {prefetch}",
        matures=age.matures,
        ahead=age.ahead if prefetch else None,
    )


def _exceptions(options: FilterOptions) -> NameList:
    entries = listed(options, _NAME, "exceptions")
    problems = [
        Problem(_NAME, "exceptions", f"{each.origin}: name a project or one version, as foo==1.0")
        for each in entries
        if not each.bare and each.pin is None
    ]
    if problems:
        raise InvalidRules(problems)
    return name_list(entries)


def _yes_or_no(text: str) -> bool:
    if text.lower() not in _ANSWERS:
        raise OptionError(f"{text!r} is neither true nor false")
    return _ANSWERS[text.lower()]


def _span(text: str) -> timedelta:
    from humanfriendly import InvalidTimespan, parse_timespan  # noqa: PLC0415 - slow to import

    if text.strip("0123456789.") == "" and text.strip("0."):
        raise OptionError(f"{text!r} has no unit; write one, such as '{text} days'")
    try:
        return timedelta(seconds=parse_timespan(text))
    except (InvalidTimespan, ValueError, OverflowError):
        raise OptionError(f"{text!r} is not a time span like '7 days'") from None


def _date(text: str) -> datetime | None:
    """Return the first moment after a date, or the moment that a text with a time names."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise OptionError(f"{text!r} is not a date like '2026-08-01'") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    is_date = moment.time() == time(0) and len(text) <= len("2026-08-01")
    return moment.astimezone(UTC) + timedelta(days=1 if is_date else 0)
