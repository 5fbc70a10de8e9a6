"""The names that the list of a directory gives to the directories of projects.

A plain directory has a project's files at ``PyYAML/``, and nothing redirects from ``pyyaml/``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bandersnatch.errors import MissingResource, RefusedRequest
from bandersnatch.simple.html_page import is_directory_list

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList


class DirectoryNames:
    """Knows the directories of projects whose names are not normalised.

    ``fetch_beginning`` returns the first bytes of the root page, and ``fetch_list`` the list on it.
    They are called once, and only if a page is missing and no root page was parsed in this run.
    """

    def __init__(
        self,
        fetch_beginning: Callable[[], Awaitable[bytes]],
        fetch_list: Callable[[], Awaitable[ProjectList | None]],
    ) -> None:
        self._fetch_beginning = fetch_beginning
        self._fetch_list = fetch_list
        self._names: Mapping[ProjectName, str] | None = None
        self._looking = asyncio.Lock()

    def learn(self, listing: ProjectList) -> None:
        """Take the names from a root page."""
        self._names = listing.directories

    def get(self, name: ProjectName) -> str:
        """Return the name of a project's directory as far as it is known, else ``name``."""
        return name if self._names is None else self._names.get(name, name)

    async def look_up(self, name: ProjectName) -> str:
        """Return the name of a project's directory; read the root page for it if necessary.

        :raises UpstreamError: if the root page cannot be read although there may be one.
        """
        async with self._looking:
            if self._names is None:
                self._names = await self._read()
        return self.get(name)

    async def _read(self) -> Mapping[ProjectName, str]:
        try:
            beginning = await self._fetch_beginning()
        except (MissingResource, RefusedRequest):
            return {}
        listing = await self._fetch_list() if is_directory_list(beginning) else None
        return {} if listing is None else listing.directories
