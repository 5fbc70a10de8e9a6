"""Whose the things in the served tree are: what is known, what is nobody's, what is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import Standing
from bandersnatch.errors import InvalidPage, InvalidValue, StorageError
from bandersnatch.layout import PACKAGES, SIDECAR_SUFFIX, SIMPLE, WEB, PageFormat, StorageKey
from bandersnatch.mirror.page import own_page_context
from bandersnatch.model.filenames import candidate_projects
from bandersnatch.model.names import project_name
from bandersnatch.simple.legacy import parse_legacy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.clock import Clock
    from bandersnatch.config.schema import PageSettings
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import Storage, StoredObject

JSON = StorageKey("web/json/")
LEGACY = StorageKey("web/pypi/")
_PAGES = frozenset(form.file_name for form in PageFormat)
_AT_ONCE = 1_000
_LOOKED_UP_TOGETHER = 50_000
"""Files that no project claims by their names, before every row is looked at for them."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Whose directory or document something is, as that is spelled; "" for nobody's."""

    owner: str
    is_document: bool = False


class Orphans:
    """Tells what in the tree belongs to a project of the catalogue, and what to nobody.

    A page without a record is of a project that could not be read: what it names is unknown.
    So are the projects of documents that cannot be read and have no record.
    """

    def __init__(
        self, storage: Storage, catalogue: MirrorCatalogue, pages: PageSettings, clock: Clock
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._pages = pages
        self._clock = clock

    # ------------------------------------------------------------ who is unknown

    async def strangers(self) -> list[ProjectName]:
        """Return the projects that have a page, or an unreadable document, and no record."""
        found: dict[ProjectName, None] = {}
        for area in (SIMPLE, JSON, LEGACY):
            async for some in self._pieces(area):
                owners = [(each.key, place) for each in some if (place := _place(each.key)).owner]
                known = await self._catalogue.summaries(
                    {n for _, p in owners for n in _names(p.owner)}
                )
                for key, place in owners:
                    for name in _names(place.owner):
                        if name not in known and not await self._is_harmless(key, place, name):
                            found[name] = None
        return list(found)

    async def _is_harmless(self, key: StorageKey, place: _Place, name: ProjectName) -> bool:
        """Whether nothing in the tree depends on it: a document that can be read, or a leftover.

        No project has a document under a name that is not normalised.
        """
        if not place.is_document:
            return False
        if place.owner != name:
            return True
        try:
            text = await self._storage.read(key)
            parse_legacy(text, own_page_context(name, self._clock.now()))
        except (InvalidPage, StorageError):
            return False
        return True

    # ------------------------------------------------------------ what is nobody's

    async def unowned(self, but: Collection[ProjectName]) -> AsyncIterator[StoredObject]:
        """Yield what belongs to no project, except what may belong to those in ``but``.

        Any file may belong to a project that is unknown, so none is told of while there is one.
        """
        for area in (SIMPLE, JSON, LEGACY):
            async for some in self._pieces(area):
                for each in await self._nobodys(some, but):
                    yield each
        if but:
            return
        unclaimed: list[StoredObject] = []
        async for some in self._pieces(PACKAGES):
            unclaimed += await self._unclaimed(some)
            if len(unclaimed) >= _LOOKED_UP_TOGETHER:
                for each in await self._unnamed(unclaimed):
                    yield each
                unclaimed = []
        for each in await self._unnamed(unclaimed):
            yield each

    async def _nobodys(
        self, some: Sequence[StoredObject], but: Collection[ProjectName]
    ) -> list[StoredObject]:
        """Return the pages and documents that no project of the catalogue has."""
        places = [_place(each.key) for each in some]
        had = await self._catalogue.summaries({name for p in places for name in _names(p.owner)})
        here = {name for name, each in had.items() if each.standing is not Standing.EXCLUDED}
        return [
            each
            for each, place in zip(some, places, strict=True)
            if not self._is_owned(each.key, place, here)
            and not any(name in but for name in _names(place.owner))
        ]

    def _is_owned(self, key: StorageKey, place: _Place, here: Collection[str]) -> bool:
        layout = self._pages.layout
        if key in layout.root_pages().values():
            return True
        if place.owner not in here:
            return False
        if place.is_document:
            return self._pages.legacy_json
        name = project_name(place.owner)
        return key in layout.pages(name).values() or key.startswith(layout.page_versions(name))

    async def _unclaimed(self, some: Sequence[StoredObject]) -> list[StoredObject]:
        """Return the files that none of the projects has that their names begin with."""
        claims = [
            (name, each.key.removeprefix(WEB))
            for each in some
            for name in candidate_projects(each.key.rpartition("/")[2].removesuffix(SIDECAR_SUFFIX))
        ]
        owned = await self._catalogue.paths_owned(claims)
        return [each for each in some if each.key.removeprefix(WEB) not in owned]

    async def _unnamed(self, some: Sequence[StoredObject]) -> list[StoredObject]:
        """Return the files that no project at all has."""
        named = await self._catalogue.paths_known([each.key.removeprefix(WEB) for each in some])
        return [each for each in some if each.key.removeprefix(WEB) not in named]

    async def _pieces(self, area: StorageKey) -> AsyncIterator[list[StoredObject]]:
        piece: list[StoredObject] = []
        async for found in self._storage.scan(area):
            piece.append(found)
            if len(piece) >= _AT_ONCE:
                yield piece
                piece = []
        if piece:
            yield piece


def _place(key: StorageKey) -> _Place:
    """Return whose page, kept page or document lies at a key, wherever options put it."""
    if key.startswith(JSON):
        rest = key.removeprefix(JSON)
        return _Place("" if "/" in rest else rest, is_document=True)
    if key.startswith(LEGACY):
        owner, _, rest = key.removeprefix(LEGACY).partition("/")
        return _Place(owner if rest == "json" else "", is_document=True)
    *folders, last = key.removeprefix(SIMPLE).split("/")
    if folders and folders[-1] == "versions" and last.startswith("index_"):
        return _Place(folders[-2] if len(folders) > 1 else "")
    return _Place(folders[-1] if folders and last in _PAGES else "")


def _names(owner: str) -> list[ProjectName]:
    """Return the project that a directory or document is of, if it can be one's."""
    try:
        return [project_name(owner)]
    except InvalidValue:
        return []
