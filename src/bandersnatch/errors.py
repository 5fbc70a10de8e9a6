"""All foreseen failures, as one tree of exceptions.

An error has its facts as attributes and renders one sentence for people. ``transient`` says
whether the same attempt may succeed later without an operator's action; the retry policy and the
run report use it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class BandersnatchError(Exception):
    """The base of all foreseen failures.

    ``sentence`` is the message for people, with attribute names in braces.
    """

    transient: ClassVar[bool] = False
    sentence: ClassVar[str] = ""

    def __str__(self) -> str:
        return self.sentence.format_map(vars(self)) if self.sentence else super().__str__()


class InvalidValue(BandersnatchError, ValueError):
    """A value from outside is not valid for its field."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(field, value, reason)
        self.field, self.value, self.reason = field, value, reason

    def __str__(self) -> str:
        is_url = isinstance(self.value, str) and "://" in self.value
        shown = ascii(shown_url(str(self.value)) if is_url else self.value)
        if len(shown) > SHOWN_CHARACTERS:
            shown = shown[:SHOWN_CHARACTERS] + "..."
        return f"{self.field} {shown} {self.reason}"


SHOWN_CHARACTERS = 80
"""How many characters of an invalid value a message repeats."""

_SCHEME = re.compile(r"\W?[A-Za-z][A-Za-z0-9+.-]*")
_END_OF_AUTHORITY = re.compile(r"[/?#\\]")
_END_OF_PATH = re.compile(r"[?#]")


def shown_url(url: str, *, has_path: bool = True) -> str:
    """Return a URL as every message shows it: scheme, host, port, and path.

    User name, password, query and fragment may be secrets, and are replaced by marks. Of a URL
    from the configuration the path may be one as well, and the URL may be malformed: without
    ``has_path`` only scheme and host are shown, and if an ``@`` follows where the host should end,
    no host, because it may be a part of a password.
    """
    scheme, slashes, rest = url.partition("://")
    if not (slashes and _SCHEME.fullmatch(scheme)):
        scheme, slashes, rest = "", "", url
    authority = _END_OF_AUTHORITY.split(rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    if not has_path and "@" in tail:
        return f"{scheme}{slashes}***"
    _, at, host = authority.rpartition("@")
    path = _END_OF_PATH.split(tail, maxsplit=1)[0]
    end = "?..." if path != tail else ""
    if not has_path and host and tail.strip("/"):
        path, end = "/...", ""
    return f"{scheme}{slashes}{'***@' if at else ''}{host}{path}{end}"


# -------------------------------------------------------------- configuration and command line


class Problem(NamedTuple):
    """One mistake in the configuration; without a section it concerns the whole file."""

    section: str
    option: str
    message: str

    def __str__(self) -> str:
        where = f"[{self.section}] {self.option}".strip() if self.section else self.option
        return f"{where}: {self.message}" if where else self.message


class ConfigError(BandersnatchError):
    """The configuration is not usable; the message lists all problems found."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__(file, problems)
        self.file, self.problems = file, tuple(problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.file}: {problem}" for problem in self.problems)


class OptionError(BandersnatchError):
    """The value of one option is not valid; the caller adds file, section and option."""


class InvalidRules(BandersnatchError):
    """The options of a filter are not valid; the message lists all problems found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class UsageError(BandersnatchError):
    """The arguments of the command line contradict each other or the configuration."""


class RefusedCopy(UsageError):
    """A mirror cannot be copied from or to a place."""

    sentence = "{place}: {why}"

    def __init__(self, place: str, why: str) -> None:
        super().__init__(place, why)
        self.place, self.why = place, why


class RefusedWorker(UsageError):
    """A worker is not made like the coordinator; ``what`` differs between the two."""

    sentence = "{what} of this worker is {own}, and that of the coordinator {other}; {remedy}"

    def __init__(self, what: str, own: str, other: str, remedy: str) -> None:
        super().__init__(what, own, other)
        self.what, self.own, self.other, self.remedy = what, own, other, remedy


class AbandonedAttempt(BandersnatchError):
    """A worker has to stop the sync of a project, which another worker has been given since."""

    sentence = "{name} was given to another worker; this one does nothing more for it"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Interruption(BandersnatchError):
    """A signal asked the program to stop."""

    sentence = "interrupted by signal {signal}; the next run continues from here"

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class ClosedHours(BandersnatchError):
    """The hours in which runs may work have ended."""

    sentence = "stopped because the hours {hours} are over; the next run continues from here"

    def __init__(self, hours: str) -> None:
        super().__init__(hours)
        self.hours = hours


# ------------------------------------------------------------------------- storage and state


class LockConflict(BandersnatchError):
    """Another command holds the lock of the mirror."""

    sentence = "{path} is held by {holder}; wait for it to end"

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(path, holder)
        self.path, self.holder = path, holder


class CorruptState(BandersnatchError):
    """A state file has contents that this release must not interpret."""

    sentence = "{key}: {why}"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key, self.why = key, why


class StorageError(BandersnatchError):
    """An operation of the storage failed."""

    sentence = "storage failed at {key}: {why}"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key, self.why = key, why


class MissingObject(StorageError):
    """Nothing is stored at a key."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "it does not exist")


class ForeignLink(MissingObject):
    """At a key is a symbolic link whose target is not part of the mirror."""

    def __init__(self, key: str, where: str) -> None:
        StorageError.__init__(self, key, f"it is a link that leads {where}")


class MissingWorkers(StorageError):
    """No worker takes part in a run that needs workers; ``seconds`` is how long it waited."""

    sentence = (
        "no worker has taken part for {seconds:.0f} s, and cluster = true leaves the work to "
        "workers; start one on any machine that reaches {key} and the storage: "
        "bandersnatch -c FILE work"
    )

    def __init__(self, key: str, seconds: float) -> None:
        super().__init__(key, "no worker takes part")
        self.seconds = seconds


class UnusableProcesses(StorageError):
    """The processes that share the work of a run cannot be started."""

    sentence = (
        "the processes of this run do not work: {why}; what was done before is kept; "
        "see the messages above, run this again, or set processes = 1 in [mirror]"
    )

    def __init__(self, why: str) -> None:
        super().__init__("the processes", why)


class LostLock(StorageError):
    """The connection that held the lock of the mirror was lost, and the lock was taken since."""

    sentence = "{key}: the connection was lost with the lock of the mirror, and {why}; stopped"


class UnstorableName(StorageError):
    """The file system rejects a file name, usually because it is too long."""


class UnusablePlace(StorageError):
    """The system refuses an operation at one place: not permitted, a wrong kind, a bad disk block.

    Whether that is all is for the caller to find out (``Storage.probe``).
    """


class ObstructedPath(StorageError):
    """A foreign file or directory is in the place of one object; other keys are not affected."""


class InsufficientSpace(StorageError):
    """A new file would use space that ``min-free-space`` reserves; sizes are in bytes."""

    sentence = (
        "not enough free space for {key}: it needs {size:,} bytes, {free:,} are free, and "
        "min-free-space reserves {floor:,} of them; free some space, or lower min-free-space"
    )

    def __init__(self, key: str, size: int, *, free: int, floor: int) -> None:
        BandersnatchError.__init__(self, key, size, free, floor)
        self.key, self.why = key, "there is not enough free space"
        self.size, self.free, self.floor = size, free, floor


class UnexpectedError(BandersnatchError):
    """A bug was met while one project was worked on; ``traceback`` shows where."""

    sentence = "a bug in bandersnatch: {kind}: {why}; please report it with the traceback"

    def __init__(self, error: Exception, traceback: str) -> None:
        super().__init__(error, traceback)
        self.kind, self.traceback = type(error).__name__, traceback
        self.why = (str(error).splitlines() or [""])[0][:300]


class LostProcesses(BandersnatchError):
    """Each of ``count`` processes ended while it worked on a project, the last times on it alone.

    They were killed, for example because the machine has not enough memory, or they crashed.
    """

    sentence = (
        "{count} processes have ended while they worked on {name}; if the system killed them for "
        "lack of memory its log says so; processes = 1 in [mirror] does everything in one process"
    )

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name, count)
        self.name, self.count = name, count


# ----------------------------------------------------------------------- projects of commands


class RefusedCommand(BandersnatchError):
    """A command cannot be applied to one of its projects; it is applied to the others."""


class UnmirroredProject(RefusedCommand):
    """The mirror has nothing of a project that ``delete`` names."""

    sentence = "{name} is not in the mirror"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class BlockingLink(RefusedCommand):
    """A project's page or file is behind a symbolic link, which is not followed to remove it."""

    sentence = "{name} is not completely removed: a link leads to {key}; remove that link by hand"

    def __init__(self, name: str, key: str) -> None:
        super().__init__(name, key)
        self.name, self.key = name, key


class UnrestorableProject(RefusedCommand):
    """A removed project cannot be restored."""

    sentence = "{name} cannot be restored: {why}"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name, self.why = name, why


class FilterFailure(BandersnatchError):
    """A filter of a plugin raised or returned an invalid result; the project is not published."""

    sentence = "the filter {filter_name} failed: {why}"

    def __init__(self, filter_name: str, why: str) -> None:
        super().__init__(filter_name, why)
        self.filter_name, self.why = filter_name, why


# -------------------------------------------------------------------------- index and hosts


class UpstreamError(BandersnatchError):
    """The index, or a host that it names, did not provide what was requested."""


class ResponseError(UpstreamError):
    """The response of a URL is unusable or missing; ``why`` is the reason."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, why)
        self.url, self.why = shown_url(url), why


class UnavailableHost(ResponseError):
    """No complete response: a refused connection, a timeout, an incomplete body, a 5xx status."""

    transient = True
    sentence = "{url} is unavailable: {why}"


class SlowResponse(UnavailableHost):
    """A response does not begin, stops, or is too slow."""


class InvalidResponse(UnavailableHost):
    """A response that is not an answer to the request, as a broken cache or proxy sends it."""

    sentence = "{url} gave an answer to another request: {why}"


class RateLimit(UnavailableHost):
    """The host limits requests (429, 503 with ``Retry-After``, or an XML-RPC fault).

    ``retry_after`` is in seconds, None if the host does not say.
    """

    def __init__(self, url: str, why: str, *, retry_after: float | None) -> None:
        super().__init__(url, why)
        self.retry_after = retry_after


class RefusedRequest(UpstreamError):
    """The host answered with a status that another attempt will not change."""

    sentence = "{url} was refused with status {status}"

    def __init__(self, url: str, status: int) -> None:
        super().__init__(url, status)
        self.url, self.status = shown_url(url), status


class UnauthorizedRequest(RefusedRequest):
    """The host wants other credentials than it got, or got none (401)."""

    sentence = (
        "{url} was refused with status {status}: the user name and password are missing or wrong; "
        "write them into the URL of master, index-url or download-mirror, or set netrc = true"
    )


class MissingResource(RefusedRequest):
    """The host has nothing at this URL (404, 410)."""

    sentence = "{url} does not exist (status {status})"


class SkippedRequest(MissingResource):
    """A request was not sent, because nothing can be expected at this URL."""

    sentence = "{url} was not requested: {why}"

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, 404)
        self.why = why


class PacedRequest(ResponseError):
    """A request was not sent, because the index limits answers "not found" for a time.

    ``seconds`` is the time after which it may be sent.
    """

    transient = True
    sentence = "{url} was not requested: {why}"

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(url, 'the index answered "not found" too often within five minutes')
        self.seconds = seconds


class MissingProject(UpstreamError):
    """The index has no page for a project that should have one.

    It is transient because a cached 404 can be 60 seconds old (docs/development/protocol.md,
    "Serials and caches").
    """

    transient = True
    sentence = "the index has no page for {name}"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class StalePage(UpstreamError):
    """A page is older than the event that it must reflect."""

    transient = True
    sentence = "the page of {name} is at serial {actual}, {target} is needed"

    def __init__(self, name: str, *, target: int, actual: int | None) -> None:
        super().__init__(name, target, actual)
        self.name, self.target, self.actual = name, target, actual


class InvalidPage(ResponseError):
    """A document of the index does not conform to its specification."""

    sentence = "{url} cannot be read: {why}"


class OversizedContent(UpstreamError):
    """A body is larger than its limit or its announced size; ``limit`` is in bytes."""

    sentence = "{url} is larger than {limit} bytes"

    def __init__(self, url: str, limit: int) -> None:
        super().__init__(url, limit)
        self.url, self.limit = shown_url(url), limit


class UnsafeUrl(ResponseError):
    """A URL or a redirect leads to a place that is not allowed."""

    sentence = "{url} is not followed: {why}"


class UnauthorizedClient(UnsafeUrl):
    """The server refused this client in the TLS handshake; ``why`` is its alert (RFC 8446)."""

    sentence = (
        "{url} was refused in the TLS handshake ({why}): the server asks for a client "
        "certificate, or for another one; set client-cert and client-key"
    )


class UnusableChangelog(ResponseError):
    """The index offers no usable changelog over XML-RPC."""

    sentence = "{url} offers no changelog: {why}"


class UnusableIndex(UpstreamError):
    """The index as a whole gives answers that a mirror cannot be made from."""


class WrongIndexUrl(UnusableIndex):
    """There is no index at the configured URL, or it has nothing of what is to be mirrored.

    ``option`` is the option that probably has a wrong value; ``hint`` is a clause about the right
    one.
    """

    sentence = "{why}; {option} may be wrong: {hint}"

    def __init__(self, why: str, option: str, hint: str) -> None:
        super().__init__(why, option, hint)
        self.why, self.option, self.hint = why, option, hint


# --------------------------------------------------------------------------- content of files


class IntegrityError(BandersnatchError):
    """The received bytes are not those that the index announced."""

    transient = True

    def __init__(self, url: str, *, expected: str | int, actual: str | int) -> None:
        super().__init__(url, expected, actual)
        self.url, self.expected, self.actual = shown_url(url), expected, actual


class DigestMismatch(IntegrityError):
    """The content has another digest than the expected one."""

    sentence = "{url} has {actual}, the index says {expected}"


class SizeMismatch(IntegrityError):
    """The content has another size, in bytes, than the expected one."""

    sentence = "{url} has {actual} bytes, the index says {expected}"


class MissingFiles(BandersnatchError):
    """Some files of a project could not be downloaded, so its page was not changed."""

    transient = True

    def __init__(self, name: str, causes: Sequence[BandersnatchError]) -> None:
        super().__init__(name, causes)
        self.name, self.causes = name, tuple(causes)

    @property
    def unavailable(self) -> bool:
        """Whether a host did not respond, as opposed to a wrong response."""
        return any(isinstance(cause, UnavailableHost) for cause in self.causes)

    def __str__(self) -> str:
        count, first = len(self.causes), self.causes[0]
        return f"{count} file(s) missing; the first: {first}"


# --------------------------------------------------------------------------------- safety limits


class SafetyStop(BandersnatchError):
    """A limit refused a change that could do damage."""


class ChangedFile(SafetyStop):
    """The index offers other bytes for the name of a published file.

    ``kind`` is what differs: a digest algorithm, or a header of the response.
    """

    sentence = (
        "{filename} is published with {kind} {published} and the index now says "
        "{offered}; the published file stays; if the change is genuine, "
        "run with --accept-change {name}"
    )

    def __init__(
        self, name: str, filename: str, *, kind: str = "sha256", published: str, offered: str
    ) -> None:
        super().__init__(name, filename, kind, published, offered)
        self.name, self.filename, self.kind = name, filename, kind
        self.published, self.offered = published, offered


class RejectedFiles(BandersnatchError):
    """Files of a project are left out; ``entry`` and ``reason`` are of the first of ``count``."""

    sentence = (
        "rejected {count} file(s), which the mirror lacks; {entry}: {reason}; "
        "if that is acceptable, name them in ignore-rejected"
    )

    def __init__(self, count: int, entry: str, reason: str) -> None:
        super().__init__(count, entry, reason)
        self.count, self.entry, self.reason = count, entry, reason


class RejectedPage(RejectedFiles):
    """A page is not published, because so many of its files are rejected."""

    sentence = "its page is not published: {why}; rejected {count} file(s); {entry}: {reason}"

    def __init__(self, why: str, count: int, entry: str, reason: str) -> None:
        BandersnatchError.__init__(self, why, count, entry, reason)
        self.why, self.count, self.entry, self.reason = why, count, entry, reason


class EmptiedProject(BandersnatchError):
    """A project lost all its files, and no event says so; a second look has to agree."""

    transient = True
    sentence = (
        "{name} has no files on the index now and had {count}; its page stays until a run of "
        "mirror, ten minutes later at the earliest, finds the same"
    )

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name, count)
        self.name, self.count = name, count


class WithdrawnFiles(BandersnatchError):
    """The index took published files off a project's page; the end of the run decides."""

    sentence = (
        "the index has taken {count} of its {published} files off the page, "
        "and the limit max-file-removals has not let that through"
    )

    def __init__(self, count: int, published: int) -> None:
        super().__init__(count, published)
        self.count, self.published = count, published


class TooManyFileRemovals(SafetyStop):
    """The index took more files off pages than may leave the mirror within 24 hours.

    ``count`` files are missing on the pages of ``projects`` projects, ``name`` is the one with the
    fewest of them; ``rest`` is how many files the limit still allowed.
    """

    sentence = (
        "the index has taken {count} files off the pages of {projects} project(s), {name} among "
        "them, and only {rest} more may leave the mirror within 24 hours (max-file-removals); "
        "these pages stay as they are; if that is right, run mirror with --max-file-removals "
        "{count} once"
    )

    def __init__(self, count: int, projects: int, *, name: str, rest: int) -> None:
        super().__init__(count, projects)
        self.count, self.projects, self.name, self.rest = count, projects, name, rest


class TooManyRemovals(SafetyStop):
    """More projects are to be removed than one run may remove.

    ``by_filters`` of the ``count`` projects are excluded by the filters; the others are gone from
    the index, of which ``emptied`` still have a page there, without files.
    """

    sentence = (
        "{what} and one run may remove {limit}; "
        "{kept}; if that is right, run mirror with --max-removals {count} once"
    )

    def __init__(self, count: int, limit: int, *, by_filters: int = 0, emptied: int = 0) -> None:
        super().__init__(count, limit, by_filters, emptied)
        self.count, self.limit = count, limit
        self.by_filters, self.emptied = by_filters, emptied

    @property
    def what(self) -> str:
        """The clause that says how many projects are to be removed, and why."""
        where = "the index, or without a file there," if self.emptied else "the index"
        if not self.by_filters:
            return f"{self.count} projects are gone from {where}"
        excluded = f"the filters exclude {self.by_filters} projects or all their files"
        gone = self.count - self.by_filters
        return f"{excluded}, {gone} are gone from {where.rstrip(',')}," if gone else excluded

    @property
    def kept(self) -> str:
        """The clause that says what was removed: the filters do not protect what is gone."""
        gone = self.count - self.by_filters
        return "only what is gone was removed" if 0 < gone <= self.limit else "nothing was removed"

    def __str__(self) -> str:
        return self.sentence.format(
            what=self.what, limit=self.limit, kept=self.kept, count=self.count
        )


class TooManyFollowed(SafetyStop):
    """The closure of dependencies has more projects than the mirror may have."""

    sentence = (
        "with what the selected projects need, the mirror would have {count} projects, and "
        "[closure] max-projects is {limit}; nothing more is followed; if that is right, raise it"
    )

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(count, limit)
        self.count, self.limit = count, limit


class ClosureTooDeep(SafetyStop):
    """Dependencies are further from the selected projects than they are followed."""

    sentence = (
        "{count} needed projects, such as {name}, are further than {limit} steps from a selected "
        "one and not mirrored; if they are wanted, raise [closure] depth"
    )

    def __init__(self, count: int, limit: int, name: str) -> None:
        super().__init__(count, limit, name)
        self.count, self.limit, self.name = count, limit, name


class MissingDependency(BandersnatchError):
    """Selected projects need something that the mirror does not have; ``why`` says what and why."""

    sentence = "{why}"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class TooManyOrphans(SafetyStop):
    """More files are orphaned than one run may move to the trash."""

    sentence = (
        "{count} files belong to no project and one run may move {limit} of them out of the tree; "
        "nothing was moved; if that is right, set max-removals = {count} for one run"
    )

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(count, limit)
        self.count, self.limit = count, limit


class IndexRollback(SafetyStop):
    """The index's head serial is far below the serial that this mirror has reached."""

    sentence = (
        "the index is at serial {index} and this mirror already at {mirror}; "
        "nothing was changed; if the index was reset, or the mirror's serial is wrong, delete its "
        "status and todo files: the next run compares every page, and loses nothing"
    )

    def __init__(self, *, mirror: int, index: int) -> None:
        super().__init__(mirror, index)
        self.mirror, self.index = mirror, index
