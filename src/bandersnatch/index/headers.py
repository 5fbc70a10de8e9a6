"""Values of HTTP headers: those that are sent, and those that are received and can be anything."""

from __future__ import annotations

import platform
import sys
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from yarl import URL

from bandersnatch import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandersnatch.config.schema import Login

_MAX_LENGTH = 1000


def http_date(text: str) -> datetime | None:
    """Return the time of an HTTP date, None if it is invalid (RFC 9110, section 5.6.7)."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


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
