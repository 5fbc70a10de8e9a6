"""The one retry policy: what is tried again, how often, and after how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.errors import (
    BandersnatchError,
    IntegrityError,
    MissingResource,
    RateLimit,
    RefusedRequest,
    UnavailableHost,
)
from bandersnatch.index.headers import http_date

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping
    from datetime import datetime

LONGEST_RETRY_AFTER = 600.0
"""Seconds; a host that asks for more is left alone for the rest of the run."""

_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Rule:
    """How often an error of a kind is tried in all, and the first pause in seconds."""

    kind: type[BandersnatchError]
    tries: int
    first_pause: float


POLICY = (
    # 429, 503 and rate faults. The pause is the host's Retry-After, and every request to the
    # host waits for it.
    Rule(RateLimit, tries=5, first_pause=1.0),
    # Other 5xx, 408, 425; refused, reset, timed out; a body cut short.
    Rule(UnavailableHost, tries=5, first_pause=1.0),
    # The right length and the wrong bytes: perhaps one bad cache among several.
    Rule(IntegrityError, tries=3, first_pause=1.0),
)
"""The first rule that fits decides; what none fits is not tried again.

Two things wait elsewhere, because they must not hold a place while they do: a stale page and a
page that is missing though it should be there go to the back of the queue (``mirror/pool.py``).
"""

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504}) | frozenset(range(520, 531))
"""The last ones are what content delivery networks say about the origin."""

MISSING_STATUSES = frozenset({404, 410})

PROXY_PASSWORD = 407
"""What only a proxy says: Proxy Authentication Required."""


def rule_for(error: BandersnatchError) -> Rule | None:
    """Return the rule that decides about ``error``."""
    return next((rule for rule in POLICY if isinstance(error, rule.kind)), None)


def pause_before(error: BandersnatchError, tried: int, jitter: random.Random) -> float | None:
    """Return how many seconds to wait after ``tried`` tries, None to give up.

    Exponential, from half of to one and a half times the nominal pause.
    """
    rule = rule_for(error)
    if rule is None or tried >= rule.tries:
        return None
    if isinstance(error, RateLimit) and error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_RETRY_AFTER else None
    nominal = min(rule.first_pause * 2.0 ** (tried - 1), _LONGEST_PAUSE)
    return nominal * jitter.uniform(0.5, 1.5)


def error_for(
    url: str, status: int, headers: Mapping[str, str], now: datetime
) -> BandersnatchError:
    """Return the error that a response's status stands for."""
    if status in MISSING_STATUSES:
        return MissingResource(url, status)
    if status == PROXY_PASSWORD:
        return proxy_error_for(url, status)
    if status not in RETRIED_STATUSES:
        return RefusedRequest(url, status)
    retry_after = parse_retry_after(headers.get("Retry-After", ""), now)
    if status == 429 or retry_after is not None:  # noqa: PLR2004 - Too Many Requests
        return RateLimit(url, f"status {status}", retry_after=retry_after)
    return UnavailableHost(url, f"status {status}")


def proxy_error_for(url: str, status: int) -> UnavailableHost:
    """Return the error that a proxy's status stands for: the host itself has said nothing."""
    return UnavailableHost(url, f"the proxy does not let it through (status {status})")


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait (RFC 9110, section 10.2.3).

    None for what is neither a number nor a date.
    """
    if text.isascii() and text.isdigit():
        return min(float(text), 1e9)
    date = http_date(text)
    return None if date is None else max(0.0, (date - now).total_seconds())
