"""The index, the hosts it names, and the bytes that come from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.errors.tree import BandersnatchError

if TYPE_CHECKING:
    from collections.abc import Sequence


class UpstreamError(BandersnatchError):
    """The index, or a host it names, did not give what was asked for."""


class AnswerError(UpstreamError):
    """What came from a URL, or did not come; ``why`` tells which."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, why)
        self.url, self.why = url, why


class Unavailable(AnswerError):
    """No usable answer came: a refused connection, a timeout, a cut body, a 5xx status."""

    transient = True
    sentence = "{url} is unavailable: {why}"


class RateLimited(Unavailable):
    """The host asks to be left alone for a while (429, 503 with ``Retry-After``, a fault)."""

    def __init__(self, url: str, why: str, *, retry_after: float | None) -> None:
        super().__init__(url, why)
        self.retry_after = retry_after


class Refused(UpstreamError):
    """The host answered with a status that asking again will not change."""

    sentence = "{url} was refused with status {status}"

    def __init__(self, url: str, status: int) -> None:
        super().__init__(url, status)
        self.url, self.status = url, status


class NotFound(Refused):
    """The host says that there is no such thing (404, 410)."""

    sentence = "{url} does not exist (status {status})"


class ProjectNotFound(UpstreamError):
    """The index has no page for a project that should have one.

    Its cached 404 may be a minute old, hence transient (protocol sheet, section 3.1, R3).
    """

    transient = True
    sentence = "the index has no page for {name}"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class StalePage(UpstreamError):
    """The page that was served is older than the change it should show."""

    transient = True
    sentence = "the page of {name} is at serial {got}, {wanted} is wanted"

    def __init__(self, name: str, *, wanted: int, got: int | None) -> None:
        super().__init__(name, wanted, got)
        self.name, self.wanted, self.got = name, wanted, got


class InvalidPage(AnswerError):
    """A document of the index is not what the specification says it is."""

    sentence = "{url} cannot be read: {why}"


class TooLarge(UpstreamError):
    """A body is larger than its limit, or than what was announced."""

    sentence = "{url} is larger than {limit} bytes"

    def __init__(self, url: str, limit: int) -> None:
        super().__init__(url, limit)
        self.url, self.limit = url, limit


class UnsafeUrl(AnswerError):
    """A URL or a redirect leads where this program must not go."""

    sentence = "{url} is not followed: {why}"


class ChangelogRefused(AnswerError):
    """The index offers no usable XML-RPC changelog."""

    sentence = "{url} offers no changelog: {why}"


class UnusableIndex(UpstreamError):
    """Nothing sensible can be done with this index now."""


class IntegrityError(BandersnatchError):
    """The bytes received are not the bytes the index promised."""

    transient = True

    def __init__(self, url: str, *, expected: str | int, actual: str | int) -> None:
        super().__init__(url, expected, actual)
        self.url, self.expected, self.actual = url, expected, actual


class DigestMismatch(IntegrityError):
    """The content has another digest than it should have."""

    sentence = "{url} has {actual}, the index says {expected}"


class SizeMismatch(IntegrityError):
    """The content has another length than it should have."""

    sentence = "{url} has {actual} bytes, the index says {expected}"


class FilesMissing(BandersnatchError):
    """Some files of a project could not be had, so its page was left as it is."""

    transient = True

    def __init__(self, name: str, causes: Sequence[BandersnatchError]) -> None:
        super().__init__(name, causes)
        self.name, self.causes = name, tuple(causes)

    @property
    def unavailable(self) -> bool:
        """Whether a host did not answer, rather than give the wrong answer."""
        return any(isinstance(cause, Unavailable) for cause in self.causes)

    def __str__(self) -> str:
        count, first = len(self.causes), self.causes[0]
        return f"{count} file(s) missing; the first: {first}"
