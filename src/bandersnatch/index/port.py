"""The port of the package index."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from bandersnatch.model.serials import NO_SERIAL, Change, Serial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandersnatch.errors import InvalidPage
    from bandersnatch.model.content import Content, Validators
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail, ProjectList
    from bandersnatch.storage.port import Sink


class FetchedDetail(Struct, frozen=True):
    """A project detail page, and the validators for its next conditional request.

    ``unread`` is why the JSON page could not be read, if ``detail`` is what an HTML page says
    instead, which is less: for instance not that a file has no core metadata.
    """

    detail: ProjectDetail
    validators: Validators
    unread: InvalidPage | None = None


class FetchedList(Struct, frozen=True):
    """The root page, and the validators for its next conditional request."""

    projects: ProjectList
    validators: Validators


class FailureBudget:
    """How many more tries to download one project's files may fail."""

    def __init__(self, tries: int) -> None:
        self._left = tries

    @property
    def is_spent(self) -> bool:
        """Whether no more files of the project are to be downloaded in this run."""
        return self._left <= 0

    def spend(self) -> None:
        """Count a try that failed."""
        self._left -= 1


class Traffic:
    """The requests that were sent: how many by host and status, and how many were repeated.

    A status is a text, ``NO_STATUS`` if no response came. Hosts beyond the first ``MOST_HOSTS``
    are counted together, as ``OTHER_HOSTS``: a page can name any number of them.
    """

    MOST_HOSTS = 20
    OTHER_HOSTS = "other"
    NO_STATUS = "none"

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.retries = 0
        self._hosts: set[str] = set()

    def count(self, host: str, status: str) -> None:
        """Count a request."""
        if host not in self._hosts and len(self._hosts) >= self.MOST_HOSTS:
            host = self.OTHER_HOSTS
        else:
            self._hosts.add(host)
        self.requests[host, status] += 1


class Changes(Struct, frozen=True):
    """Events of the changelog.

    ``events`` are those with a valid project name. ``last`` is the highest serial of all of them,
    0 if there are none.
    """

    events: tuple[Change, ...] = ()
    last: Serial = NO_SERIAL


class PackageIndex(Protocol):
    """The index that the mirror follows.

    Every method retries transient errors (the policy is the adapter's) and raises
    ``UpstreamError`` if that does not help.
    """

    pages: int
    """How many pages of projects it has had so far, unchanged ones included."""
    files: int
    """How many files, core metadata included, were downloaded so far."""

    @property
    def traffic(self) -> Traffic:
        """The requests so far."""
        ...

    @property
    def clock_offset(self) -> float | None:
        """How many seconds the newest time that an answer stated is ahead of this machine's.

        The time is that of ``Date`` and ``Age``; None if no answer had a ``Date``.
        """
        ...

    async def last_serial(self) -> Serial:
        """Return the serial of the newest change.

        :raises UnusableChangelog: if this index has no changelog.
        """
        ...

    async def changes(self, since: Serial, until: Serial, /) -> Changes:
        """Return the changes after ``since`` up to ``until``, in the order of their serials.

        :raises UnusableChangelog: if this index has no changelog.
        """
        ...

    async def list_with_serials(self) -> ProjectList:
        """Return all projects with their serials, from the changelog's interface.

        :raises UnusableChangelog: if this index has no changelog.
        """
        ...

    async def fetch_list(self, known: Validators, /) -> FetchedList | None:
        """Return the root page, or None if it still matches ``known``."""
        ...

    async def fetch_detail(
        self, name: ProjectName, known: Validators, /, *, doubtful: bool = False
    ) -> FetchedDetail | None:
        """Return a project's detail page, or None if it still matches ``known``.

        ``doubtful`` says that the index may not have the project.

        :raises PacedRequest: if it is doubtful and may not be requested for minutes.
        :raises MissingProject: if the index does not have the project.
        """
        ...

    async def fetch_legacy(self, name: ProjectName, /, *, doubtful: bool = False) -> bytes | None:
        """Return a project's legacy JSON document, or None if there is none.

        ``doubtful`` says that there may be none.

        :raises PacedRequest: if it is doubtful and may not be requested for minutes.
        """
        ...

    async def total_size(self) -> int | None:
        """Return the bytes of all files of the index, None if it does not state them."""
        ...

    async def has_index(self, names: Sequence[ProjectName], /) -> bool:
        """Whether there is an index at the configured URL: a root page, or a page of ``names``.

        Nothing is retried. It is for the question whether the URL is wrong.
        """
        ...

    async def likely_option(self, names: Sequence[ProjectName], /) -> str:
        """Return the option with the value that was probably meant, "" if none is found.

        An example is ``master = https://example.org``. An index with a root page or with a page of
        one of ``names`` is there.
        """
        ...

    async def fetch_validators(self, url: str, known: Validators, /) -> Validators:
        """Return the validators of a file as it is now, without its content.

        They are ``known`` if the server says that the file still matches these.
        """
        ...

    async def download(
        self,
        url: str,
        sink: Sink,
        /,
        *,
        mirror_url: str = "",
        budget: FailureBudget | None = None,
    ) -> Content:
        """Stream a file into ``sink``, resume earlier attempts, and finish the sink.

        Nothing is tried again once ``budget`` is spent.
        ``mirror_url`` is where another host may have the same file. It is tried first, once, and
        not at all after that host has failed several times. If the content cannot be verified,
        the result has the validators of the response.

        :raises MissingResource: if the server does not have the file.
        :raises IntegrityError: if the content is wrong in every attempt.
        """
        ...
