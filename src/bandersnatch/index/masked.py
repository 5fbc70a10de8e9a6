"""An index whose errors do not show the paths of configured URLs.

Some hosts put an access token into the path. Messages show the scheme and the host of such a URL,
and what this program adds to it: ``https://example.org/.../foo/``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bandersnatch.errors import BandersnatchError, shown_url
from bandersnatch.index.port import PackageIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bandersnatch.events import Event, EventSink
    from bandersnatch.index.port import (
        Changes,
        FailureBudget,
        FetchedDetail,
        FetchedList,
        Traffic,
    )
    from bandersnatch.model.content import Content, Validators
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList
    from bandersnatch.model.serials import Serial
    from bandersnatch.storage.port import Sink


class PathMask:
    """Replaces the paths of configured URLs in texts, errors and events; false if there is none."""

    def __init__(self, urls: Iterable[str]) -> None:
        bases = {url.rstrip("/") for url in urls if urlsplit(url).path.strip("/")}
        self._bases = [(url, shown_url(url, has_path=False)) for url in sorted(bases, reverse=True)]

    def __bool__(self) -> bool:
        return bool(self._bases)

    def text(self, text: str) -> str:
        """Return a text with the paths replaced; of two bases the longer one counts."""
        for base, shown in self._bases:
            text = text.replace(base, shown)
        return text

    def hide(self, error: BandersnatchError) -> None:
        """Replace the paths in the facts of an error, and of the errors that caused it."""
        for name, value in vars(error).items():
            if isinstance(value, str):
                setattr(error, name, self.text(value))
        error.args = tuple(
            self.text(each) if isinstance(each, str) else each for each in error.args
        )
        for cause in getattr(error, "causes", ()):
            self.hide(cause)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Replace the paths in each error that leaves the block."""
        try:
            yield
        except BandersnatchError as error:
            self.hide(error)
            raise

    def sink(self, events: EventSink) -> EventSink:
        """Return a sink that replaces the paths in the errors of events."""
        if not self:
            return events

        def masked(event: Event) -> None:
            error = getattr(event, "error", None)
            if isinstance(error, BandersnatchError):
                self.hide(error)
            events(event)

        return masked


class MaskedIndex(PackageIndex):
    """Wraps an index, and masks the errors that its methods raise."""

    def __init__(self, index: PackageIndex, mask: PathMask) -> None:
        self._index = index
        self._mask = mask

    @property
    def pages(self) -> int:
        return self._index.pages

    @pages.setter
    def pages(self, count: int) -> None:
        self._index.pages = count

    @property
    def files(self) -> int:
        return self._index.files

    @files.setter
    def files(self, count: int) -> None:
        self._index.files = count

    @property
    def traffic(self) -> Traffic:
        return self._index.traffic

    @property
    def clock_offset(self) -> float | None:
        return self._index.clock_offset

    async def last_serial(self) -> Serial:
        with self._mask.hidden():
            return await self._index.last_serial()

    async def changes(self, since: Serial, until: Serial, /) -> Changes:
        with self._mask.hidden():
            return await self._index.changes(since, until)

    async def list_with_serials(self) -> ProjectList:
        with self._mask.hidden():
            return await self._index.list_with_serials()

    async def fetch_list(self, known: Validators, /) -> FetchedList | None:
        with self._mask.hidden():
            return await self._index.fetch_list(known)

    async def fetch_detail(
        self, name: ProjectName, known: Validators, /, *, doubtful: bool = False
    ) -> FetchedDetail | None:
        with self._mask.hidden():
            return await self._index.fetch_detail(name, known, doubtful=doubtful)

    async def fetch_legacy(self, name: ProjectName, /, *, doubtful: bool = False) -> bytes | None:
        with self._mask.hidden():
            return await self._index.fetch_legacy(name, doubtful=doubtful)

    async def total_size(self) -> int | None:
        with self._mask.hidden():
            return await self._index.total_size()

    async def has_index(self, names: Sequence[ProjectName], /) -> bool:
        with self._mask.hidden():
            return await self._index.has_index(names)

    async def likely_option(self, names: Sequence[ProjectName], /) -> str:
        """Return the option with its whole value: the operator has to write that."""
        return await self._index.likely_option(names)

    async def fetch_validators(self, url: str, known: Validators, /) -> Validators:
        with self._mask.hidden():
            return await self._index.fetch_validators(url, known)

    async def download(
        self,
        url: str,
        sink: Sink,
        /,
        *,
        mirror_url: str = "",
        budget: FailureBudget | None = None,
    ) -> Content:
        with self._mask.hidden():
            return await self._index.download(url, sink, mirror_url=mirror_url, budget=budget)
