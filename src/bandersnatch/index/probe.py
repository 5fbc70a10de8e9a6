"""Looks for an index at the configured URL, and at the URLs that are often meant instead.

A wrong URL is seldom an error of the protocol: servers answer 404 or with a page of another kind,
as if the index had no project at all. So a few requests find out whether there is an index.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from bandersnatch.errors import BandersnatchError, MissingResource, RefusedRequest
from bandersnatch.simple.recognition import is_project_page, is_root_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bandersnatch.config.schema import IndexSettings
    from bandersnatch.index.transport import Budgets, Document, Transport
    from bandersnatch.model.names import ProjectName

_BEGINNING = 64 * 1024
"""Bytes of a document that are read; a root page can be much larger."""

_MISPLACED = frozenset({"simple", "+simple", "pypi", "web", "json", "packages", "legacy"})
"""The parts of a path where a ``master`` that is too long probably should have ended."""

_OTHER_ROOTS = ("pypi", "web", "pypi/web")
"""What a ``master`` often lacks: the directories that mirrors are served from."""


class IndexAddress(Struct, frozen=True):
    """Where an index is.

    ``root`` is the URL of its root page, with a slash at its end; the page of a project is at
    ``<root><name>/``. A legacy document is at ``<legacy><name>/json``, with "" if there are none.
    """

    root: str
    legacy: str = ""


def master_address(master: str) -> IndexAddress:
    """Return where the index is that ``master`` names."""
    return IndexAddress(f"{master}/simple/", f"{master}/pypi/")


def address_of(settings: IndexSettings) -> IndexAddress:
    """Return where the index is that the settings name."""
    if settings.index_url:
        return IndexAddress(f"{settings.index_url}/")
    return master_address(settings.master)


class IndexProbe:
    """Sends single requests, without retries, and reads the beginnings of the answers."""

    def __init__(
        self, settings: IndexSettings, transport: Transport, budgets: Budgets, accept: str
    ) -> None:
        """Take the collaborators; ``accept`` is the header of requests for pages."""
        self._settings = settings
        self._transport = transport
        self._budgets = budgets
        self._accept = accept

    async def read_beginning(self) -> bytes:
        """Return the first bytes of the root page.

        :raises UpstreamError: if they cannot be read.
        """
        return (await self._read_beginning(address_of(self._settings).root)).body

    async def has_index(self, names: Sequence[ProjectName]) -> bool:
        """Whether there is a root page, or a page of one of ``names``, at the configured URL.

        :raises UpstreamError: if that cannot be found out.
        """
        return await self._has_index(address_of(self._settings).root, names)

    async def likely_option(self, names: Sequence[ProjectName]) -> str:
        """Return the option and the value that the operator probably meant, "" if unknown."""
        for option, address in _alternatives(self._settings):
            try:
                if await self._has_index(address.root, names):
                    return option
            except BandersnatchError:
                continue
        return ""

    async def _has_index(self, root: str, names: Sequence[ProjectName]) -> bool:
        if await self._matches(root, is_root_page):
            return True
        for name in names:
            if await self._matches(f"{root}{name}/", partial(is_project_page, name=name)):
                return True
        return False

    async def _matches(self, url: str, matches: Callable[[bytes, str], bool]) -> bool:
        try:
            document = await self._read_beginning(url)
        except (MissingResource, RefusedRequest):
            return False
        return matches(document.body, document.url)

    async def _read_beginning(self, url: str) -> Document:
        return await self._transport.fetch_beginning(
            url, size=_BEGINNING, budget=self._budgets.index, headers={"Accept": self._accept}
        )


def _alternatives(settings: IndexSettings) -> Iterator[tuple[str, IndexAddress]]:
    """Yield the options that may be right instead of the configured one, the likeliest first."""
    if settings.index_url:
        url = settings.index_url
        for end in ("simple", "+simple", "pypi/simple"):
            yield f"index-url = {url}/{end}/", IndexAddress(f"{url}/{end}/")
        if parent := _parent(url):
            yield f"index-url = {parent}/", IndexAddress(f"{parent}/")
        return
    for url in _parents(settings.master):
        if url.rpartition("/")[2].lower() in _MISPLACED:
            yield f"master = {_parent(url)}", master_address(_parent(url))
    for end in ("", "+simple/"):
        yield f"index-url = {settings.master}/{end}", IndexAddress(f"{settings.master}/{end}")
    for end in _OTHER_ROOTS:
        yield f"master = {settings.master}/{end}", master_address(f"{settings.master}/{end}")


def _parents(url: str) -> Iterator[str]:
    """Yield a URL, and it without the last parts of its path one after another."""
    while url:
        yield url
        url = _parent(url)


def _parent(url: str) -> str:
    """Return a URL without the last part of its path, "" if it has no path."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/").rpartition("/")[0].rstrip("/")
    return parts._replace(path=path).geturl() if parts.path.strip("/") else ""
