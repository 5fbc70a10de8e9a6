"""Values of HTTP headers: those that are sent, and those that are received and can be anything."""

from __future__ import annotations

import platform
import sys
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from yarl import URL

from bandersnatch import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandersnatch.config.schema import Login

_MAX_LENGTH = 1000

_MAX_AGE = 366 * 86_400
"""Seconds; a larger ``Age`` is not one."""


def http_date(text: str) -> datetime | None:
    """Return the time of an HTTP date, None if it is invalid (RFC 9110, section 5.6.7)."""
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def stated_time(date: str, age: str) -> datetime | None:
    """Return the time at which a response left its origin or a cache, None if it states none.

    ``date`` and ``age`` are the headers of these names (RFC 9111, section 5.1); an invalid
    ``age``, or one of more than a year, counts as 0.
    """
    stated = http_date(date)
    is_number = age.isascii() and age.isdecimal() and len(age) <= len(str(_MAX_AGE))
    seconds = int(age) if is_number else 0
    try:
        return stated and stated + timedelta(seconds=seconds if seconds <= _MAX_AGE else 0)
    except OverflowError:
        return None


def storable(text: str) -> str:
    """Return a value that can be stored and sent back unchanged, "" for any other value."""
    return text if text.isascii() and text.isprintable() and len(text) <= _MAX_LENGTH else ""


def user_agent(library: str, comment: str) -> str:
    """Return the ``User-Agent`` header, which the index's operators see in their logs.

    PyPI's statistics parse it: ``bandersnatch/<version> (<Python>, <system>) (<HTTP library>)``.
    """
    version = sys.version_info
    python = (
        f"{version.major}.{version.minor}.{version.micro}-{version.releaselevel}{version.serial}"
    )
    agent = (
        f"bandersnatch/{__version__} ({sys.implementation.name} {python}, "
        f"{platform.system()} {platform.machine()}) ({library})"
    )
    return f"{agent} ({comment})" if comment else agent


def authorizations(logins: Sequence[Login]) -> dict[URL, str]:
    """Return the ``Authorization`` header for each origin that has a login (RFC 7617)."""
    return {
        URL(login.origin).origin(): "Basic "
        + b64encode(f"{login.user}:{login.password}".encode()).decode()
        for login in logins
    }
