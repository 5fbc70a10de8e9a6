"""Hours of the day, in local time: when runs may work, and how fast downloads may be."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.config.readers import shown
from bandersnatch.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOURS = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", re.ASCII)
_HOUR = 60
_DAY = 24 * _HOUR


class Hours(Struct, frozen=True):
    """Hours of every day, from ``start`` to ``end``, both in minutes since midnight.

    An end that is not after the start is on the next day. Both are times of the local wall clock
    (``TZ``): the span is longer or shorter on a day on which that is changed. A time that the
    clock skips is as much later as it skips, and of a time that comes twice the first counts.
    """

    start: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock(self.end)}"

    def closes(self, now: datetime) -> datetime | None:
        """Return when the hours that it is in at this time end; None if it is in none."""
        found: datetime | None = None
        for begin, end in self._spans(now):
            if begin <= (found or now) < end:  # another span may continue the one before
                found = end
        return found

    def opens(self, now: datetime) -> datetime:
        """Return when the hours begin next: ``now``, if it is in them."""
        if self.closes(now) is not None:
            return now
        return min(begin for begin, _ in self._spans(now) if begin > now)

    def _spans(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the beginnings and ends of the days around a time, in order."""
        today, days = now.astimezone().date(), int(self.end <= self.start)
        for offset in range(-2, 5):
            day = today + timedelta(days=offset)
            begin, end = _at(day, self.start), _at(day + timedelta(days=days), self.end)
            if begin < end:
                yield begin, end


def hours(text: str) -> Hours:
    """Read hours such as ``22:00-06:00``; the day ends at 24:00.

    :raises OptionError: if the text is something else.
    """
    found = _HOURS.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"{shown(text)} is not a span of hours like '22:00-06:00'")
    first, minutes, last, others = map(int, found.groups())
    start, end = first * _HOUR + minutes, last * _HOUR + others
    if start >= _DAY or end > _DAY or max(minutes, others) >= _HOUR:
        raise OptionError(f"{shown(text)} has a time that no clock shows; the last one is 24:00")
    if start == end:
        raise OptionError(f"{shown(text)} has no length; for the whole day write 00:00-24:00")
    return Hours(start, end)


def _at(day: date, minutes: int) -> datetime:
    """Return a time of the local wall clock on a day, with its offset from UTC."""
    days, rest = divmod(minutes, _DAY)
    wall = datetime.combine(day + timedelta(days=days), time(rest // _HOUR, rest % _HOUR))
    found = wall.astimezone()
    if found.replace(tzinfo=None) == wall:
        return found
    return max(found, wall.replace(fold=1).astimezone())  # no clock shows it on that day


def _clock(minutes: int) -> str:
    return f"{minutes // _HOUR:02}:{minutes % _HOUR:02}"
