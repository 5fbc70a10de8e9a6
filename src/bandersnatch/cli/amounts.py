"""Amounts that flags give: rates, shares, times and sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bandersnatch.errors import UsageError

_RATE = re.compile(r"\s*([0-9.]+)\s*([kKmMgGtT]?)(bit(?:/s|ps)?|bps|Bps|[bB](?:/s)?|/s|)\s*")
_STEPS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_DAY = 86_400
_UNITLESS = re.compile(r"\s*[0-9.]*\s*")


def rate(text: str, flag: str) -> float:
    """Return bytes a second: of ``100 Mbit/s``, ``12 MB/s`` or a plain number of bytes.

    :raises UsageError: if it is none of these.
    """
    found = _RATE.fullmatch(text)
    try:
        number = float(found[1]) if found else 0.0
    except ValueError:
        number = 0.0
    if found is None or number <= 0:
        raise UsageError(f"{flag} {text!r} is not a rate like '100 Mbit/s' or '12 MB/s'")
    bytes_a_second: float = number * 1000.0 ** _STEPS[found[2].lower()]
    return bytes_a_second / 8 if found[3].startswith(("bit", "bps")) else bytes_a_second


def percent(text: str, flag: str) -> float:
    """Return a share in percent: above 0 and at most 100.

    :raises UsageError: if it is none.
    """
    number = _number(text.strip().removesuffix("%"))
    if number is None or not 0 < number <= 100:  # noqa: PLR2004 - that is what percent means
        raise UsageError(f"{flag} {text!r} is not a share like '5' or '2.5' percent")
    return number


def days(text: str, flag: str) -> int:
    """Return the seconds that a number of days has.

    :raises UsageError: if it is no such number.
    """
    number = _number(text)
    if number is None or not 0 <= number < 100_000:  # noqa: PLR2004 - longer than there are mirrors
        raise UsageError(f"{flag} {text!r} is not a number of days")
    return int(number * _DAY)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a run may take: seconds or bytes, the other is None."""

    seconds: float | None = None
    size: int | None = None


def allowance(text: str, flag: str) -> Allowance:
    """Return a time such as ``2 h`` or a size such as ``50 GB``.

    :raises UsageError: if it is neither; a number alone could be both.
    """
    from humanfriendly import (  # noqa: PLC0415 - slow to import
        InvalidSize,
        InvalidTimespan,
        parse_size,
        parse_timespan,
    )

    wrong = UsageError(f"{flag} {text!r} is not a time like '2 h' or a size like '50 GB'")
    if _UNITLESS.fullmatch(text):
        raise wrong
    try:
        return Allowance(seconds=parse_timespan(text))
    except (InvalidTimespan, ValueError, OverflowError):
        pass
    try:
        return Allowance(size=parse_size(text))
    except (InvalidSize, ValueError, OverflowError):
        raise wrong from None
