"""How fast downloads may be, at all hours or at some."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.config import readers
from bandersnatch.config.hours import Hours, hours
from bandersnatch.errors import OptionError

if TYPE_CHECKING:
    from datetime import datetime

LEAST_RATE = 1000.0
"""Bytes per second; with less no download would end."""

_AT_HOURS = re.compile(r"([\d:\s-]*:\d*)\s+(\S.*)", re.ASCII)


class RateSchedule(Struct, frozen=True):
    """Rates in bytes per second: at some hours, and at all others; None for no limit.

    Of hours that overlap the first count.
    """

    otherwise: float | None = None
    at_hours: tuple[tuple[Hours, float], ...] = ()

    def rate(self, now: datetime) -> float | None:
        """Return the rate at a time."""
        for span, rate in self.at_hours:
            if span.closes(now) is not None:
                return rate
        return self.otherwise


def rates(text: str) -> RateSchedule:
    """Read ``20 MB/s; 08:00-18:00 5 MB/s``: rates, with their hours but for one at most.

    They are separated by semicolons or lines.

    :raises OptionError: if the text is something else.
    """
    try:
        return _read(text)
    except OptionError as error:
        hints = "".join(f"; it {each}" for each in readers.mistake_in(text))
        raise OptionError(f"{error}{hints}") from None


def _read(text: str) -> RateSchedule:
    otherwise: list[float] = []
    at_hours: list[tuple[Hours, float]] = []
    for part in re.split(r"[;\n]", text.strip()) if text.strip() else ():
        found = _AT_HOURS.fullmatch(part.strip())
        if found is None:
            otherwise.append(_rate(part))
        else:
            at_hours.append((hours(found[1]), _rate(found[2])))
    if len(otherwise) > 1:
        raise OptionError(
            f"{readers.shown(text)} has several rates without hours; write the hours of all but one"
        )
    return RateSchedule(otherwise[0] if otherwise else None, tuple(at_hours))


def _rate(text: str) -> float:
    rate = readers.rate(text.strip())
    if rate < LEAST_RATE:
        raise OptionError(f"{readers.shown(text.strip())} is less than 1 kB/s")
    return rate
