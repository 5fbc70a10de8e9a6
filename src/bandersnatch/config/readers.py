"""Readers: functions from text to value, for options, flags and filters alike.

Each raises ``OptionError`` with one sentence, which the caller completes with the option or flag.
"""

from __future__ import annotations

import hashlib
import re
import sys
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from bandersnatch.errors import SHOWN_CHARACTERS, OptionError, shown_url
from bandersnatch.model.digests import HEX_DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable

_Choice = TypeVar("_Choice", bound=Enum)

# ---------------------------------------------------------------- messages


def shown(text: str) -> str:
    """Return a value as messages show it: without secrets of URLs, quoted, on one line, short."""
    plain_text = shown_url(text, has_path=False) if "://" in text or "@" in text else text
    return repr(f"{plain_text[:SHOWN_CHARACTERS]}{'...' * (len(plain_text) > SHOWN_CHARACTERS)}")


# ---------------------------------------------------------------- mistakes

_COMMENT = re.compile(r"(?:^|\s)[#;]|\s//|[#;]$")
_QUOTES = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\
\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
_SHELL_VARIABLE = re.compile(r"(?<![A-Za-z0-9])\$(?:[A-Z_][A-Z0-9_]*(?![A-Za-z0-9_])|\()", re.ASCII)
_VARIABLE_IN_PATH = re.compile(r"(?:^|(?<=/))\$[A-Za-z_]|%[A-Za-z_]+%", re.ASCII)
_VARIABLE_MISTAKE = "has a variable of a shell; write ${NAME} for an environment variable"
_PLACEHOLDER = re.compile(r"<[^<>]+>|\{%")
"""What manuals and templates have in place of a value."""
_DRIVE = re.compile(r"[A-Za-z]:")


def mistake_in(text: str) -> tuple[str, ...]:
    """Return what shows that a path, URL or number is not meant as it is written, as clauses.

    A clause continues a sentence about the value, as in "it has quotes".
    """
    value = text.strip()
    found = []
    if _COMMENT.search(value):
        found.append("has a comment behind it; a comment must stand on a line of its own")
    if value[:1] in _QUOTES or value[-1:] in _QUOTES:
        found.append("has quotes; write the value without them")
    if _SHELL_VARIABLE.search(value):
        found.append(_VARIABLE_MISTAKE)
    if _PLACEHOLDER.search(value):
        found.append("has a placeholder; write the value that belongs there")
    return tuple(found) if value else ()


def refusal(text: str, what: str) -> OptionError:
    """Return the error for a value that is not ``what``, with the mistakes that explain it."""
    hint = "".join(f"; it {each}" for each in mistake_in(text))
    return OptionError(f"{shown(text)} {what}{hint}")


def _check_mistakes(value: str) -> None:
    """Refuse a path or a URL with a mistake.

    :raises OptionError: if there is one.
    """
    for each in mistake_in(value):
        raise OptionError(f"{shown(value)} {each}")


# ---------------------------------------------------------------- booleans, numbers, choices

_BOOLEANS = {
    **dict.fromkeys(("1", "yes", "true", "on"), True),
    **dict.fromkeys(("0", "no", "false", "off"), False),
}
_LONGEST_TIMEOUT = 30 * 86_400
_ALL_PERCENT = 100
_MOST_DAYS = 100_000


def boolean(text: str) -> bool:
    """Read ``1 yes true on`` or ``0 no false off``, in any case."""
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError:
        raise refusal(text, "is neither true nor false") from None


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``least`` to ``most``."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise refusal(text, "is not a whole number") from None
        if number < least or (most is not None and number > most):
            limits = f"{least} or more" if most is None else f"from {least} to {most}"
            raise OptionError(f"{shown(text)} is not {limits}")
        return number

    return read


def choice(kind: type[_Choice]) -> Callable[[str], _Choice]:
    """Return a reader of an enumeration's values, in any case."""

    def read(text: str) -> _Choice:
        try:
            return kind(text.strip().lower())
        except ValueError:
            known = [str(member.value) for member in kind]
            raise refusal(text, f"is not one of {', '.join(known)}") from None

    return read


def percent(text: str) -> float:
    """Read a percentage such as ``5`` or ``2.5 %``: more than 0, at most 100."""
    number = _number(text.strip().removesuffix("%"))
    if number is None or not 0 < number <= _ALL_PERCENT:
        raise OptionError(f"{shown(text)} is not a share like '5' or '2.5' percent")
    return number


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# ---------------------------------------------------------------- lists and patterns

_PROJECT_PATTERN = re.compile(r"[A-Za-z0-9*?](?:[A-Za-z0-9._*?-]*[A-Za-z0-9*?])?", re.ASCII)
_SEPARATORS = re.compile(r"[-_.]+")


def lines(text: str) -> list[str]:
    """Return the lines of a list that are neither empty nor comments.

    A comment begins with ``#`` at the start of a line or after a space.
    """
    found = (re.sub(r"(?:\A|(?<=[ \t]))#.*", "", line.strip()).strip() for line in text.split("\n"))
    return [line for line in found if line]


def project_and_file(text: str) -> tuple[str, str]:
    """Read ``PROJECT:FILE`` or ``FILE``, with ``*`` and ``?``; return both patterns.

    What precedes a colon and cannot be the name of a project is a part of the file's name. A
    pattern of nothing but wildcards is refused: it would match every file of every later run.
    """
    project, colon, file = text.partition(":")
    if not colon or not _PROJECT_PATTERN.fullmatch(project):
        project, file = "*", text
    if text[-1:] in _QUOTES:
        raise OptionError(f"{shown(text)} has quotes; write the pattern without them")
    if not file.strip():
        raise OptionError(f"{shown(text)} has no file after the colon; write {project}:* for all")
    if not (project + file).strip("*?.-_ "):
        raise OptionError(f"{shown(text)} would match every file; name projects or files")
    return _SEPARATORS.sub("-", project).lower(), file.strip()


# ---------------------------------------------------------------- times

_NUMBER_ONLY = re.compile(r"\s*[0-9.]*\s*")
_SECONDS = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
"""Matches most numbers without a unit; the library that reads the others is slow to import."""


def seconds(text: str) -> float:
    """Read a timeout: a number of seconds, more than 0 and at most 30 days."""
    number = _number(text)
    if number is None:
        raise refusal(text, "is not a number of seconds")
    if not 0 < number <= _LONGEST_TIMEOUT:
        raise OptionError(f"{shown(text)} is not between 0 and {_LONGEST_TIMEOUT} seconds")
    return number


def duration(text: str) -> timedelta:
    """Read a time span such as ``24 h``, ``14 days`` or ``90`` (seconds)."""
    span = _time_span(text)
    if span is None:
        raise refusal(text, "is not a time span like '24 h' or '14 days'")
    return span


def duration_with_unit(text: str, example: str = "days") -> timedelta:
    """Read a time span whose unit must be written, unless it is 0; ``example`` is a usual unit."""
    if _NUMBER_ONLY.fullmatch(text) and text.strip(" 0."):
        raise OptionError(
            f"{shown(text)} has no unit; write one, such as {shown(f'{text.strip()} {example}')}"
        )
    return duration(text)


def days(text: str) -> timedelta:
    """Read a number of days, which may have a fraction."""
    number = _number(text)
    if number is None or not 0 <= number < _MOST_DAYS:
        raise refusal(text, "is not a number of days")
    return timedelta(days=number)


def _time_span(text: str) -> timedelta | None:
    if _SECONDS.fullmatch(number := text.strip()):
        return _of_seconds(float(number))
    from humanfriendly import InvalidTimespan, parse_timespan  # noqa: PLC0415 - slow to import

    if mistake_in(text):
        return None
    try:
        return timedelta(seconds=parse_timespan(text))
    except (InvalidTimespan, ValueError, OverflowError):
        return None


def _of_seconds(number: float) -> timedelta | None:
    try:
        return timedelta(seconds=number)
    except OverflowError:
        return None


# ---------------------------------------------------------------- sizes and rates

_RATE = re.compile(r"\s*([0-9.]+)\s*([kKmMgGtT]?)(bit(?:/s|ps)?|bps|Bps|[bB](?:/s)?|/s|)\s*")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def byte_size(text: str) -> int:
    """Read a number of bytes or a size such as ``2 GB``, in powers of 1024."""
    size = _size(text, binary=True)
    if size is None:
        raise refusal(text, "is not a size like '2 GB' or a number of bytes")
    return size


def size_or_share(text: str) -> tuple[int | None, float | None]:
    """Read a size such as ``50 GB`` in bytes, or a share such as ``5 %`` from 0 to 1.

    Returns the pair of both, one of which is None.
    """
    amount, sign, rest = text.partition("%")
    size = None if sign else _size(text, binary=True)
    number = _number(amount) if sign and not rest.strip() else None
    if number is not None and 0 <= number < _ALL_PERCENT:
        return None, number / _ALL_PERCENT
    if size is None:
        raise refusal(text, "is not a size like '50 GB' or a share like '5 %'")
    return size, None


def time_or_size(text: str) -> timedelta | int:
    """Read a time such as ``2 h``, or a size such as ``50 GB`` in bytes, in powers of 1000.

    A number without a unit is refused, because it could be either.
    """
    if not _NUMBER_ONLY.fullmatch(text):
        span = _time_span(text)
        if span is not None:
            return span
        size = _size(text, binary=False)
        if size is not None:
            return size
    raise OptionError(f"{shown(text)} is not a time like '2 h' or a size like '50 GB'")


def rate(text: str) -> float:
    """Read a rate in bytes per second: ``100 Mbit/s``, ``12 MB/s`` or a number of bytes."""
    found = _RATE.fullmatch(text)
    number = (_number(found[1]) if found else None) or 0.0
    if found is None or number <= 0:
        raise OptionError(f"{shown(text)} is not a rate like '100 Mbit/s' or '12 MB/s'")
    per_second: float = number * 1000.0 ** _POWERS[found[2].lower()]
    return per_second / 8 if found[3].startswith(("bit", "bps")) else per_second


def _size(text: str, *, binary: bool) -> int | None:
    from humanfriendly import InvalidSize, parse_size  # noqa: PLC0415 - slow to import

    if mistake_in(text):
        return None  # the library ignores what follows a unit that begins with b
    try:
        return int(parse_size(text.strip(), binary=binary))
    except (InvalidSize, ValueError, OverflowError):
        return None


# ---------------------------------------------------------------- texts and paths


def plain(text: str) -> str:
    """Read any text that is on one line."""
    if "\n" in text:
        raise OptionError("the value must be on one line")
    return text.strip()


def path(text: str) -> str:
    """Read the path of a file or directory."""
    value = plain(text)
    if not value or "\0" in value:
        raise OptionError(f"{shown(text)} is not a path")
    if value.startswith("~"):
        raise OptionError(f"{shown(text)} begins with ~, which only a shell understands")
    _check_mistakes(value)
    if _VARIABLE_IN_PATH.search(value):
        raise OptionError(f"{shown(value)} {_VARIABLE_MISTAKE}")
    if "://" in value:
        raise OptionError(f"{shown(value)} is a URL and not a path")
    if sys.platform != "win32":
        _check_windows_path(value)
    hidden = next((each for each in value if not each.isprintable()), "")
    if hidden:
        raise OptionError(f"{shown(value)} has the invisible character U+{ord(hidden):04X}")
    return value


def _check_windows_path(value: str) -> None:
    """Refuse a drive letter and backslashes, which are names of files on other systems.

    :raises OptionError: if there is one.
    """
    if _DRIVE.match(value):
        raise OptionError(f"{shown(value)} is a path of Windows; this system has no drive letters")
    if "\\" in value:
        raise OptionError(f"{shown(value)} has a backslash; directories are separated by / here")


def optional_path(text: str) -> str:
    """Read a path, or the empty text."""
    return path(text) if text.strip() else ""


def header_text(text: str) -> str:
    """Read a text for a comment in an HTTP header (RFC 9110, section 5.6.5)."""
    value = plain(text)
    if not value.isascii() or not value.isprintable() or set("()\\") & set(value):
        raise OptionError(f"{shown(text)} is not plain ASCII without parentheses")
    return value


def digest_name(text: str) -> str:
    """Read the name of a hash algorithm that pages can show."""
    value = text.strip().lower()
    if value not in HEX_DIGITS or value not in hashlib.algorithms_available:
        raise refusal(text, f"is not one of {', '.join(sorted(HEX_DIGITS))}")
    return value


# ---------------------------------------------------------------- URLs

_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks4h", "socks5", "socks5h")
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_HOST = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9a-f.]*:[0-9a-f:.]*")


def url(*schemes: str) -> Callable[[str], str]:
    """Return a reader of URLs with these schemes, or the empty text; drops trailing slashes."""

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
            raise refusal(value, f"is not a URL of {' or '.join(schemes)}")
        _check_mistakes(value)
        if parts.query or parts.fragment:
            raise OptionError(f"{shown(value)} has a query or a fragment")
        return parts._replace(scheme=parts.scheme.lower()).geturl().rstrip("/")

    return read


def index_url(text: str) -> str:
    """Read the URL below which each project has a page at ``<name>/``; drops trailing slashes."""
    value = url("https", "http")(text)
    if urlsplit(value).path.lower().endswith((".html", ".htm", ".json")):
        why = "is a single page; write the URL of the directory that has the projects' pages"
        raise OptionError(f"{shown(value)} {why}")
    return value


def hosts(text: str) -> tuple[str, ...]:
    """Read the names or addresses of hosts, each with a port or without; lower case, each once."""
    try:
        return tuple(dict.fromkeys(map(_host, text.replace(",", " ").split())))
    except OptionError:
        if "@" not in text:
            raise
        why = "has user names, which the names of hosts do not have"
        raise OptionError(f"{shown(text)} {why}") from None  # a password may have spaces


def _host(word: str) -> str:
    value = word.lower()
    try:
        parts = urlsplit(f"//{value}")
        is_plain = parts.netloc == value and parts.username is None and parts.port != 0
        hostname = parts.hostname if is_plain else None
    except ValueError:
        hostname = None
    if not _HOST.fullmatch(hostname or "") or value.endswith(":"):
        inner = value.partition("://")[2].partition("/")[0].rpartition("@")[2]
        is_host = _HOST.fullmatch(inner.partition(":")[0])
        hint = f"; write {inner}" if is_host else ", such as files.example.org"
        raise OptionError(f"{shown(word)} is not the name of a host{hint}")
    return value


_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*|\*)):(\d{1,5})", re.ASCII)
_MOST_PORTS = 65_535


def host_and_port(text: str) -> tuple[str, int]:
    """Read where to listen: ``127.0.0.1:8080``, ``[::1]:8080``; ``*:80`` has the host ""."""
    found = _HOST_AND_PORT.fullmatch(text.strip())
    if found is None or int(found[3]) > _MOST_PORTS:
        raise refusal(text, "is not an address and port like '127.0.0.1:8080' or '[::]:8080'")
    host = found[1] or found[2]
    return "" if host == "*" else host, int(found[3])


def networks(text: str) -> tuple[str, ...]:
    """Read addresses and networks such as ``10.0.0.0/8``, separated by spaces, commas or lines."""
    return tuple(dict.fromkeys(map(_network, text.replace(",", " ").split())))


def _network(word: str) -> str:
    from ipaddress import ip_network  # noqa: PLC0415 - rarely needed

    try:
        return str(ip_network(word, strict=False))
    except ValueError:
        raise refusal(word, "is not an address or a network like '10.0.0.0/8'") from None


def public_url(text: str) -> str:
    """Read a URL that every published page shows, so it must not have a user name."""
    value = url("https", "http")(text)
    if urlsplit(value).username is not None:
        raise OptionError(f"{shown(value)} has a user name, and every page would show it")
    return value


def proxy(text: str) -> str:
    """Read a proxy's URL; a SOCKS proxy needs a port, because it has no default one."""
    value = url(*_PROXY_SCHEMES)(text)
    if value.startswith("socks") and urlsplit(value).port is None:
        raise OptionError(f"{shown(value)} has no port")
    return value
