"""The port ``PackageIndex`` over an ``Index`` in memory, with caches that lag."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bandersnatch.errors import MissingProject, MissingResource, UnavailableHost
from bandersnatch.index.port import Changes, FetchedDetail, FetchedList, Traffic
from bandersnatch.model.content import Validators
from bandersnatch.model.names import project_name
from bandersnatch.model.serials import Change, Serial
from bandersnatch.simple.entries import PageContext
from bandersnatch.simple.json_page import parse_detail_json, parse_list_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandersnatch.clock import Clock
    from bandersnatch.index.port import FailureBudget
    from bandersnatch.model.content import Content
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList
    from bandersnatch.storage.port import Sink
    from tests.support.index import Index

URL = "https://index.example.org"


class FakePackageIndex:
    """Answers without delay; ``stale`` has cached pages, ``broken`` the names that fail."""

    def __init__(self, index: Index, clock: Clock) -> None:
        self.index = index
        self.clock = clock
        self.stale: dict[str, bytes | None] = {}
        self.stale_list: bytes | None = None
        self.broken: set[str] = set()
        self.has_serials = True
        self.downloads = self.files = 0
        self.pages = 0
        self.traffic = Traffic()
        self.clock_offset: float | None = 0.0

    def cache(self, name: str) -> None:
        """Keep the current page of a project in a cache."""
        self.stale[name] = self._page(name)

    def cache_list(self) -> None:
        """Keep the current list in a cache."""
        self.stale_list = self._list()

    def mend(self) -> None:
        """Clear the caches and all failures."""
        self.stale.clear()
        self.stale_list = None
        self.broken.clear()

    def _page(self, name: str) -> bytes | None:
        if name not in self.index.projects:
            return None
        page = self.index.detail_json(name, files_at=URL, serials=self.has_serials)
        return json.dumps(page).encode()

    def _list(self) -> bytes:
        serials = self.has_serials
        return json.dumps(self.index.list_json(serials=serials, own_serials=serials)).encode()

    # ------------------------------------------------------------ the port

    async def last_serial(self) -> Serial:
        """Return the newest serial."""
        return Serial(self.index.serial)

    async def changes(self, since: Serial, until: Serial, /) -> Changes:
        """Return the events between two serials."""
        events = tuple(
            Change(
                project_name(e.name), e.name, Serial(e.serial), e.action, e.time, e.version or ""
            )
            for e in self.index.journal
            if since < e.serial <= until
        )
        return Changes(events, max((each.serial for each in events), default=Serial(0)))

    async def list_with_serials(self) -> ProjectList:
        """Return the list of the changelog, which is never cached."""
        return parse_list_json(json.dumps(self.index.list_json()).encode(), URL)

    async def fetch_list(self, known: Validators, /) -> FetchedList | None:
        """Return the list, possibly a cached one."""
        body = self.stale_list or self._list()
        validators = Validators(etag=hashlib.sha256(body).hexdigest())
        if known.etag == validators.etag:
            return None
        return FetchedList(parse_list_json(body, URL), validators)

    async def fetch_detail(
        self,
        name: ProjectName,
        known: Validators,
        /,
        *,
        doubtful: bool = False,  # noqa: ARG002 - there are no limits here
    ) -> FetchedDetail | None:
        """Return a page, possibly a cached one."""
        if name in self.broken:
            raise UnavailableHost(f"{URL}/simple/{name}/", "it is broken")
        body = self.stale[name] if name in self.stale else self._page(name)
        if body is None:
            raise MissingProject(name)
        self.pages += 1
        validators = Validators(etag=hashlib.sha256(body).hexdigest())
        if known.etag == validators.etag:
            return None
        context = PageContext(name, f"{URL}/simple/{name}/", self.clock.now())
        return FetchedDetail(parse_detail_json(body, context), validators)

    async def fetch_legacy(
        self,
        name: ProjectName,
        /,
        *,
        doubtful: bool = False,  # noqa: ARG002 - there are no limits here
    ) -> bytes | None:
        """Return the legacy document."""
        return self.index.legacy(name).encode() if name in self.index.projects else None

    async def total_size(self) -> int | None:
        """Return the bytes of all files."""
        return sum(len(file.content) for file in self.index.files.values())

    async def has_index(self, names: Sequence[ProjectName], /) -> bool:
        """Return True: there always is one."""
        del names
        return True

    async def likely_option(self, names: Sequence[ProjectName], /) -> str:
        """Return that nothing else is likely."""
        del names
        return ""

    async def fetch_validators(self, url: str, known: Validators, /) -> Validators:
        """Return validators that tell the contents of a file apart."""
        file = self.index.files.get(urlsplit(url).path)
        if file is None or file.filename in self.broken:
            raise MissingResource(url, 404)
        validators = Validators(etag=f'"{file.sha256}"')
        return known if known == validators else validators

    async def download(
        self,
        url: str,
        sink: Sink,
        /,
        *,
        mirror_url: str = "",  # noqa: ARG002 - there is no second host here
        budget: FailureBudget | None = None,
    ) -> Content:
        """Yield the whole file."""
        path = url if url.removesuffix(".metadata") in self.index.files else urlsplit(url).path
        file = self.index.files.get(path.removesuffix(".metadata"))
        content = None
        if file is not None:
            content = file.metadata if path.endswith(".metadata") else file.content
        if content is None or (file is not None and file.filename in self.broken):
            if budget is not None:
                budget.spend()
            raise MissingResource(url, 404)
        self.downloads += 1
        self.files += 1
        if sink.held:
            await sink.restart()
        await sink.write(content)
        return await sink.finish()
