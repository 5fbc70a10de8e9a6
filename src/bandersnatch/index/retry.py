"""The retry policy: which errors are retried, how often, and after which pause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch import errors
from bandersnatch.index.headers import http_date

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping
    from datetime import datetime

LONGEST_RETRY_AFTER = 600.0
"""Seconds; a host that asks for a longer pause gets no more requests in this run."""

_LONGEST_PAUSE = 60.0


class RetryRule(Struct, frozen=True):
    """The total number of tries for a kind of error, and the first pause in seconds."""

    kind: type[errors.BandersnatchError]
    tries: int
    first_pause: float


POLICY = (
    # 429, 503 and rate limit faults. The pause is the host's Retry-After, and every request to
    # the host waits for it.
    RetryRule(errors.RateLimit, tries=5, first_pause=1.0),
    # No beginning, no progress, or a low rate: another try takes as long. A file is resumed.
    RetryRule(errors.SlowResponse, tries=2, first_pause=1.0),
    # Not an answer to the request: the next one asks caches to let it through.
    RetryRule(errors.InvalidResponse, tries=2, first_pause=1.0),
    # Other 5xx, 408, 425; a refused or reset connection, a timeout; a truncated body.
    RetryRule(errors.UnavailableHost, tries=5, first_pause=1.0),
    # The right length and the wrong content: possibly one bad cache of several.
    RetryRule(errors.IntegrityError, tries=3, first_pause=1.0),
)
"""The first matching rule applies; an error without a rule is not retried.

Two errors are retried by ``mirror.executor`` instead, which requeues the project, because a wait
here would occupy a worker: a page that is older than its event, and a page that is missing although
the project exists.
"""

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504}) | frozenset(range(520, 531))
"""520 to 530 are how content delivery networks report an error of the origin."""

MISSING_STATUSES = frozenset({404, 410})

_UNAUTHORIZED = 401
_TOO_MANY_REQUESTS = 429
_PROXY_AUTHENTICATION_REQUIRED = 407


def rule_for(error: errors.BandersnatchError) -> RetryRule | None:
    """Return the rule that applies to ``error``."""
    return next((rule for rule in POLICY if isinstance(error, rule.kind)), None)


def pause_before(
    error: errors.BandersnatchError, tries: int, jitter: random.Random
) -> float | None:
    """Return the seconds to wait after ``tries`` failed tries, None if there is no further try.

    The pause doubles with each try, times a random factor from 0.5 to 1.5.
    """
    rule = rule_for(error)
    if rule is None or tries >= rule.tries:
        return None
    if isinstance(error, errors.RateLimit) and error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_RETRY_AFTER else None
    nominal = min(rule.first_pause * 2.0 ** (tries - 1), _LONGEST_PAUSE)
    return nominal * jitter.uniform(0.5, 1.5)


def error_for(
    url: str, status: int, headers: Mapping[str, str], now: datetime
) -> errors.BandersnatchError:
    """Return the error that the status of a response means."""
    if status in MISSING_STATUSES:
        return errors.MissingResource(url, status)
    if status == _PROXY_AUTHENTICATION_REQUIRED:
        return proxy_error_for(url, status)
    if status == _UNAUTHORIZED:
        return errors.UnauthorizedRequest(url, status)
    if status not in RETRIED_STATUSES:
        return errors.RefusedRequest(url, status)
    retry_after = parse_retry_after(headers.get("Retry-After", ""), now)
    if status == _TOO_MANY_REQUESTS or retry_after is not None:
        return errors.RateLimit(url, f"status {status}", retry_after=retry_after)
    return errors.UnavailableHost(url, f"status {status}")


def proxy_error_for(url: str, status: int) -> errors.UnavailableHost:
    """Return the error that a proxy's own status means: the host was not reached."""
    hint = ""
    if status == _PROXY_AUTHENTICATION_REQUIRED:
        hint = "; write its user name and password into the URL of the proxy"
    return errors.UnavailableHost(url, f"the proxy does not let it through (status {status}){hint}")


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Return the seconds to wait that a ``Retry-After`` header states (RFC 9110, section 10.2.3).

    None if it is neither a number nor a date.
    """
    if text.isascii() and text.isdigit():
        return min(float(text), 1e9)
    date = http_date(text)
    return None if date is None else max(0.0, (date - now).total_seconds())
