"""Option texts to values; each function raises ``OptionError`` with one sentence."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from bandersnatch.config.settings import FreeSpace, Login
from bandersnatch.errors import SHOWN_CHARACTERS, OptionError, UsageError
from bandersnatch.model.digests import HEX_DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable


_BOOLEANS = {
    **dict.fromkeys(("1", "yes", "true", "on"), True),
    **dict.fromkeys(("0", "no", "false", "off"), False),
}
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks4h", "socks5", "socks5h")
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_HOST = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9a-f.]*:[0-9a-f:.]*")
_LONGEST_TIMEOUT = 30 * 86_400
_ALL = 100
"""In percent."""

_Choice = TypeVar("_Choice", bound=Enum)


def boolean(text: str) -> bool:
    """Read ``1 yes true on`` or ``0 no false off``, in any case."""
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError:
        raise OptionError(f"{shown(text)} is neither true nor false") from None


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers within limits."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise OptionError(f"{shown(text)} is not a whole number{_comment_hint(text)}") from None
        if number < least or (most is not None and number > most):
            limits = f"{least} or more" if most is None else f"from {least} to {most}"
            raise OptionError(f"{shown(text)} is not {limits}")
        return number

    return read


def seconds(text: str) -> float:
    """Read a positive number of seconds."""
    try:
        number = float(text)
    except ValueError:
        raise OptionError(
            f"{shown(text)} is not a number of seconds{_comment_hint(text)}"
        ) from None
    if not 0 < number <= _LONGEST_TIMEOUT:
        raise OptionError(f"{shown(text)} is not between 0 and {_LONGEST_TIMEOUT} seconds")
    return number


def _comment_hint(text: str) -> str:
    return "; a comment must stand on a line of its own" if ";" in text or "#" in text else ""


def duration(text: str) -> timedelta:
    """Read a time span such as ``24 h``, ``14 days`` or ``90`` (seconds)."""
    from humanfriendly import InvalidTimespan, parse_timespan  # noqa: PLC0415 - slow to import

    try:
        return timedelta(seconds=parse_timespan(text))
    except (InvalidTimespan, ValueError, OverflowError):
        raise OptionError(f"{shown(text)} is not a time span like '24 h' or '14 days'") from None


def free_space(text: str) -> FreeSpace:
    """Read a size such as ``50 GB``, or a share of the disk such as ``5 %``; 0 is for nothing."""
    from humanfriendly import InvalidSize, parse_size  # noqa: PLC0415 - slow to import

    wrong = OptionError(f"{shown(text)} is not a size like '50 GB' or a share like '5 %'")
    amount, sign, rest = text.partition("%")
    try:
        if not sign:
            size = parse_size(text.strip(), binary=True)
            return FreeSpace(size=size, share=None)
        percent = float(amount)
    except (InvalidSize, ValueError, OverflowError):
        raise wrong from None
    if rest.strip() or not 0 <= percent < _ALL:
        raise wrong
    return FreeSpace(size=None, share=percent / _ALL)


def plain(text: str) -> str:
    """Read any text, on one line."""
    if "\n" in text:
        raise OptionError("the value must be on one line")
    return text.strip()


def path(text: str) -> str:
    """Read a path."""
    value = plain(text)
    if not value or "\0" in value:
        raise OptionError(f"{shown(text)} is not a path")
    if value.startswith("~"):
        raise OptionError(f"{shown(text)} begins with ~, which only a shell understands")
    return value


def optional_path(text: str) -> str:
    """Read a path, or nothing."""
    return path(text) if text.strip() else ""


def header_text(text: str) -> str:
    """Read what may stand in an HTTP header."""
    value = plain(text)
    if not value.isascii() or not value.isprintable() or set("()\\") & set(value):
        raise OptionError(f"{shown(text)} is not plain ASCII without parentheses")
    return value


def choice(kind: type[_Choice]) -> Callable[[str], _Choice]:
    """Return a reader of an enumeration's values, in any case."""

    def read(text: str) -> _Choice:
        try:
            return kind(text.strip().lower())
        except ValueError:
            known = [str(member.value) for member in kind]
            raise OptionError(f"{shown(text)} is not one of {', '.join(known)}") from None

    return read


def url(*schemes: str) -> Callable[[str], str]:
    """Return a reader of URLs, empty ones included; a trailing slash is dropped."""

    def read(text: str) -> str:
        value = plain(text)
        if not value:
            return ""
        try:
            parts = urlsplit(value)
            hostname, _ = parts.hostname, parts.port
        except ValueError:
            hostname, parts = None, urlsplit("")
        if (
            parts.scheme.lower() not in schemes
            or not _URL.fullmatch(value)
            or not _HOST.fullmatch(hostname or "")
        ):
            raise OptionError(f"{shown(redacted(value))} is not a URL of {' or '.join(schemes)}")
        if parts.query or parts.fragment:
            raise OptionError(f"{shown(redacted(value))} has a query or a fragment")
        return parts._replace(scheme=parts.scheme.lower()).geturl().rstrip("/")

    return read


def public_url(text: str) -> str:
    """Read the URL of something that everybody is told of."""
    value = url("https", "http")(text)
    if urlsplit(value).username is not None:
        raise OptionError(f"{shown(redacted(value))} has a user name, and every page would show it")
    return value


def proxy(text: str) -> str:
    """Read a proxy's URL; SOCKS proxies resolve names at their end, whatever the spelling."""
    value = url(*_PROXY_SCHEMES)(text)
    if value.startswith("socks") and urlsplit(value).port is None:
        raise OptionError(f"{shown(redacted(value))} has no port")
    return value


def digest_name(text: str) -> str:
    """Read the name of a hash algorithm."""
    value = text.strip().lower()
    if value not in HEX_DIGITS or value not in hashlib.algorithms_available:
        raise OptionError(f"{shown(text)} is not one of {', '.join(sorted(HEX_DIGITS))}")
    return value


def split_login(url: str) -> tuple[str, Login | None]:
    """Return a URL without its user name and password, and these, if it has any.

    They are for the server alone: whatever else is made of the URL is logged and published.
    """
    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    host = parts.netloc.rpartition("@")[2]
    login = Login(
        f"{parts.scheme}://{host}", unquote(parts.username), unquote(parts.password or "")
    )
    return parts._replace(netloc=host).geturl(), login


def redacted(text: str) -> str:
    """Return a URL without its user name and password, even if it is not quite a URL."""
    before, separator, rest = text.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return f"{scheme + slashes if slashes else ''}***@{rest}" if separator else text


def shown(text: str) -> str:
    """Return a value as it is repeated in a message: quoted, on one line, and not without end."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name most like ``name``, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - needed only when something is wrong

    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(name: str, known: Collection[str]) -> str:
    """Return what to say about a name that nobody provides."""
    return f"there is no such option{nearest(name, known)}"


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
