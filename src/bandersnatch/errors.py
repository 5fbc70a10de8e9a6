"""All foreseen failures, as one tree of exceptions.

An error keeps its facts as attributes and renders one sentence for people. ``transient``
says whether the same attempt may succeed later without anybody doing anything; the retry policy
and the run report both read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class BandersnatchError(Exception):
    """Anything this program foresees going wrong.

    ``sentence`` is what it says to people, with the names of attributes in braces.
    """

    transient: ClassVar[bool] = False
    sentence: ClassVar[str] = ""

    def __str__(self) -> str:
        return self.sentence.format_map(vars(self)) if self.sentence else super().__str__()


class InvalidValue(BandersnatchError, ValueError):
    """A value from outside is not what its field may hold (protocol sheet, section 5.1)."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(field, value, reason)
        self.field, self.value, self.reason = field, value, reason

    def __str__(self) -> str:
        shown = ascii(self.value)
        if len(shown) > SHOWN_CHARACTERS:
            shown = shown[:SHOWN_CHARACTERS] + "..."
        return f"{self.field} {shown} {self.reason}"


SHOWN_CHARACTERS = 80
"""How much of a refused value is repeated in a message."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the configuration.

    ``section`` and ``option`` are empty where the file as a whole is meant.
    """

    section: str
    option: str
    message: str

    def __str__(self) -> str:
        where = f"[{self.section}] {self.option}".strip() if self.section else self.option
        return f"{where}: {self.message}" if where else self.message


class ConfigError(BandersnatchError):
    """The configuration cannot be used; every problem found is listed."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__(file, problems)
        self.file, self.problems = file, tuple(problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.file}: {problem}" for problem in self.problems)


class OptionError(BandersnatchError):
    """The value of one option cannot be used; the reader adds file, section and option."""


class InvalidRules(BandersnatchError):
    """A filter cannot be made of what is set for it; every problem found is listed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class FilterFailure(BandersnatchError):
    """A filter of a plugin raised, or returned what is no answer; nothing is let through."""

    sentence = "the filter {filter_name} failed: {why}"

    def __init__(self, filter_name: str, why: str) -> None:
        super().__init__(filter_name, why)
        self.filter_name, self.why = filter_name, why


class UsageError(BandersnatchError):
    """The command line asks for something that makes no sense."""


class LockConflict(BandersnatchError):
    """Another command is at work on the same mirror."""

    sentence = "{path} is held by {holder}; wait for it to end"

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(path, holder)
        self.path, self.holder = path, holder


class CorruptState(BandersnatchError):
    """A state file says something that this release must not guess about."""

    sentence = "{key}: {why}"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key, self.why = key, why


class StorageError(BandersnatchError):
    """The storage did not do what was asked of it."""

    sentence = "storage failed at {key}: {why}"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key, self.why = key, why


class MissingObject(StorageError):
    """There is nothing at a key."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "it does not exist")


class ForeignLink(MissingObject):
    """There is a link at a key, and what it leads to is not stored here."""

    def __init__(self, key: str, where: str) -> None:
        StorageError.__init__(self, key, f"it is a link that leads {where}")


class UnstorableName(StorageError):
    """The storage cannot hold a file of this name (too long for it, usually)."""


class ObstructedPath(StorageError):
    """Something that somebody else put there is in one object's way; others have their places."""


class InsufficientSpace(StorageError):
    """A file would take room that is to stay free; what is there already has its room."""

    sentence = (
        "there is no room for {key}: it takes {size:,} bytes, {free:,} are free, and "
        "min-free-space keeps {floor:,} of them; make room, or lower min-free-space"
    )

    def __init__(self, key: str, size: int, *, free: int, floor: int) -> None:
        BandersnatchError.__init__(self, key, size, free, floor)
        self.key, self.why = key, "there is no room for it"
        self.size, self.free, self.floor = size, free, floor


class RefusedCommand(BandersnatchError):
    """A command cannot do to one project what it was asked for; it does it to the others."""


class UnmirroredProject(RefusedCommand):
    """Of a project that is to be deleted there is nothing."""

    sentence = "nothing of {name} is here"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class BlockingLink(RefusedCommand):
    """What was to leave the served tree lies behind a link, which is not followed."""

    sentence = "{name} is not quite gone: a link leads to {key}; remove that link by hand"

    def __init__(self, name: str, key: str) -> None:
        super().__init__(name, key)
        self.name, self.key = name, key


class UnrestorableProject(RefusedCommand):
    """A project that was removed cannot be brought back."""

    sentence = "{name} cannot be restored: {why}"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name, self.why = name, why


class Interruption(BandersnatchError):
    """The operator asked the program to stop."""

    sentence = "interrupted by signal {signal}; the next run goes on from here"

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class UpstreamError(BandersnatchError):
    """The index, or a host it names, did not give what was asked for."""


class ResponseError(UpstreamError):
    """What came from a URL, or did not come; ``why`` tells which."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, why)
        self.url, self.why = url, why


class UnavailableHost(ResponseError):
    """No usable answer came: a refused connection, a timeout, a cut body, a 5xx status."""

    transient = True
    sentence = "{url} is unavailable: {why}"


class RateLimit(UnavailableHost):
    """The host asks to be left alone for a while (429, 503 with ``Retry-After``, a fault)."""

    def __init__(self, url: str, why: str, *, retry_after: float | None) -> None:
        super().__init__(url, why)
        self.retry_after = retry_after


class RefusedRequest(UpstreamError):
    """The host answered with a status that asking again will not change."""

    sentence = "{url} was refused with status {status}"

    def __init__(self, url: str, status: int) -> None:
        super().__init__(url, status)
        self.url, self.status = url, status


class MissingResource(RefusedRequest):
    """The host says that there is no such thing (404, 410)."""

    sentence = "{url} does not exist (status {status})"


class MissingProject(UpstreamError):
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


class InvalidPage(ResponseError):
    """A document of the index is not what the specification says it is."""

    sentence = "{url} cannot be read: {why}"


class OversizedContent(UpstreamError):
    """A body is larger than its limit, or than what was announced."""

    sentence = "{url} is larger than {limit} bytes"

    def __init__(self, url: str, limit: int) -> None:
        super().__init__(url, limit)
        self.url, self.limit = url, limit


class UnsafeUrl(ResponseError):
    """A URL or a redirect leads where this program must not go."""

    sentence = "{url} is not followed: {why}"


class UnusableChangelog(ResponseError):
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


class MissingFiles(BandersnatchError):
    """Some files of a project could not be had, so its page was left as it is."""

    transient = True

    def __init__(self, name: str, causes: Sequence[BandersnatchError]) -> None:
        super().__init__(name, causes)
        self.name, self.causes = name, tuple(causes)

    @property
    def unavailable(self) -> bool:
        """Whether a host did not answer, rather than give the wrong answer."""
        return any(isinstance(cause, UnavailableHost) for cause in self.causes)

    def __str__(self) -> str:
        count, first = len(self.causes), self.causes[0]
        return f"{count} file(s) missing; the first: {first}"


class SafetyStop(BandersnatchError):
    """A limit refused something that could do damage."""


class ChangedFile(SafetyStop):
    """The index gives other bytes for a file name that is published already."""

    sentence = (
        "{filename} is published with sha256 {had} and the index now says "
        "{offered}; the published file stays; if the change is genuine, "
        "run with --accept-change {name}"
    )

    def __init__(self, name: str, filename: str, *, had: str, offered: str) -> None:
        super().__init__(name, filename, had, offered)
        self.name, self.filename, self.had, self.offered = name, filename, had, offered


class EmptiedProject(BandersnatchError):
    """A project lost all its files at once; it is published so when a second look agrees."""

    transient = True
    sentence = "{name} now has no files and had {had}; the next run looks again"

    def __init__(self, name: str, had: int) -> None:
        super().__init__(name, had)
        self.name, self.had = name, had


class TooManyRemovals(SafetyStop):
    """More projects are to be removed than one run may remove."""

    sentence = (
        "{what} and one run may remove {limit}; "
        "{kept}; if that is right, set max-removals = {count} for one run"
    )

    def __init__(self, count: int, limit: int, *, by_filters: int = 0) -> None:
        super().__init__(count, limit, by_filters)
        self.count, self.limit, self.by_filters = count, limit, by_filters

    @property
    def what(self) -> str:
        """What is to go, and why."""
        if not self.by_filters:
            return f"{self.count} projects are gone from the index"
        dropped = f"the filters want {self.by_filters} projects, or all their files, no more"
        gone = self.count - self.by_filters
        return f"{dropped}, {gone} are gone from the index," if gone else dropped

    @property
    def kept(self) -> str:
        """What that means: filters that want too little do not protect what is gone."""
        gone = self.count - self.by_filters
        return "only what is gone was removed" if 0 < gone <= self.limit else "nothing was removed"

    def __str__(self) -> str:
        return self.sentence.format(
            what=self.what, limit=self.limit, kept=self.kept, count=self.count
        )


class TooManyOrphans(SafetyStop):
    """More files belong to no project than one run may move out of the served tree."""

    sentence = (
        "{count} files belong to no project and one run may move {limit} of them out of the tree; "
        "nothing was moved; if that is right, set max-removals = {count} for one run"
    )

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(count, limit)
        self.count, self.limit = count, limit


class IndexRollback(SafetyStop):
    """The index is much older than what this mirror already reflects."""

    sentence = (
        "the index is at serial {got} and this mirror already at {had}; "
        "if the mirror follows another index now, delete its status and todo files"
    )

    def __init__(self, *, had: int, got: int) -> None:
        super().__init__(had, got)
        self.had, self.got = had, got
