"""Finds orphans: pages, documents and files that no project of the catalogue owns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import Standing
from bandersnatch.errors import InvalidPage, InvalidValue, MissingObject, StorageError
from bandersnatch.layout import PACKAGES, SIDECAR_SUFFIX, SIMPLE, WEB, PageFormat, StorageKey
from bandersnatch.mirror.page import own_page_context
from bandersnatch.model.filenames import candidate_projects
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.project import shown_entry
from bandersnatch.simple.legacy import parse_legacy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.clock import Clock
    from bandersnatch.config.schema import PageSettings
    from bandersnatch.storage.port import MirrorStorage, StoredObject

_JSON = StorageKey("web/json/")
_LEGACY = StorageKey("web/pypi/")
_PAGE_AREAS = (SIMPLE, _JSON, _LEGACY)
_PAGE_NAMES = frozenset(form.file_name for form in PageFormat)
_BATCH = 1_000
_FULL_SCAN_BATCH = 50_000
"""Files without a likely owner that are collected before all rows are searched for them."""


@dataclass(frozen=True, slots=True)
class _Owner:
    """The project directory or document name in a key; ``spelling`` is "" if it has none."""

    spelling: str
    is_document: bool = False

    @property
    def names(self) -> list[ProjectName]:
        """The project of that name; empty if the spelling is not a valid project name."""
        try:
            return [project_name(self.spelling)]
        except InvalidValue:
            return []


class Orphans:
    """Compares the served tree with the catalogue.

    A project is unreadable if it has a page, or a document that cannot be parsed, and no record:
    the files it owns are unknown, and any file in the tree may be one of them.
    """

    def __init__(
        self, storage: MirrorStorage, catalogue: MirrorCatalogue, pages: PageSettings, clock: Clock
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._pages = pages
        self._layout = pages.layout
        self._root_pages = frozenset(pages.layout.root_pages().values())
        self._clock = clock

    # ------------------------------------------------------------ unreadable projects

    async def unreadable(self) -> list[ProjectName]:
        """Return the projects that have a page, or an invalid document, and no record."""
        found: dict[ProjectName, None] = {}
        for area in _PAGE_AREAS:
            async for batch in self._scan(area):
                owners = [(each.key, _owner(each.key)) for each in batch]
                known = await self._catalogue.summaries({n for _, o in owners for n in o.names})
                for key, owner in owners:
                    for name in owner.names:
                        if name not in known and not await self._owns_nothing(key, owner, name):
                            found[name] = None
        return list(found)

    async def _owns_nothing(self, key: StorageKey, owner: _Owner, name: ProjectName) -> bool:
        """Whether what was listed at ``key`` does not make its project unreadable.

        That is an object that does not exist any more, a document that can be parsed, and one under
        a name that is not normalised: no release has stored the documents of a project there.
        """
        if owner.is_document and owner.spelling != name:
            return True
        try:
            text = await self._storage.read(key)
            if owner.is_document:
                parse_legacy(text, own_page_context(name, self._clock.now()))
        except (InvalidPage, StorageError) as error:
            return type(error) is MissingObject  # and no link that leads elsewhere
        return owner.is_document

    # ------------------------------------------------------------ orphaned objects

    async def orphaned(self, unreadable: Collection[ProjectName]) -> AsyncIterator[StoredObject]:
        """Yield the objects that no project owns, except those that ``unreadable`` may own.

        Any release file may belong to an unreadable project, so none is yielded if there is one.
        Nor is a file with the name of a rejected one: a page that an earlier release wrote may
        list it.
        """
        for area in _PAGE_AREAS:
            async for batch in self._scan(area):
                for each in await self._existing(await self._orphaned_pages(batch, unreadable)):
                    yield each
        if unreadable:
            return
        unclaimed: list[StoredObject] = []
        rejected = {each.rejection.entry for each in await self._catalogue.rejected()}
        async for batch in self._scan(PACKAGES):
            files = [each for each in batch if shown_entry(_filename(each.key)) not in rejected]
            if not self._storage.folding:
                files = await self._without_likely_owner(files)
            unclaimed += files
            if len(unclaimed) >= _FULL_SCAN_BATCH:
                for each in await self._existing(await self._without_owner(unclaimed)):
                    yield each
                unclaimed = []
        for each in await self._existing(await self._without_owner(unclaimed)):
            yield each

    async def _orphaned_pages(
        self, batch: Sequence[StoredObject], unreadable: Collection[ProjectName]
    ) -> list[StoredObject]:
        """Return the pages and documents that no project owns, or may own."""
        keys = [StorageKey(self._storage.folding.fold(each.key)) for each in batch]
        owners = [_owner(key) for key in keys]
        known = await self._catalogue.summaries({name for each in owners for name in each.names})
        published = {n for n, each in known.items() if each.standing is not Standing.EXCLUDED}
        return [
            each
            for each, key, owner in zip(batch, keys, owners, strict=True)
            if not self._is_owned(key, owner, published)
            and not any(name in unreadable for name in owner.names)
        ]

    def _is_owned(self, key: StorageKey, owner: _Owner, published: Collection[str]) -> bool:
        if key in self._root_pages:
            return True
        if owner.spelling not in published:
            return False
        if owner.is_document:
            return self._pages.legacy_json
        name = project_name(owner.spelling)
        is_page = key in self._layout.pages(name).values()
        return is_page or key.startswith(self._layout.page_versions(name))

    async def _without_likely_owner(self, batch: Sequence[StoredObject]) -> list[StoredObject]:
        """Return the files that no project owns whose name their file name can begin with.

        This needs one look-up a file, where ``_without_owner`` reads every row.
        """
        claims = [
            (name, each.key.removeprefix(WEB))
            for each in batch
            for name in candidate_projects(_filename(each.key))
        ]
        owned = await self._catalogue.paths_owned(claims)
        return [each for each in batch if each.key.removeprefix(WEB) not in owned]

    async def _without_owner(self, batch: Sequence[StoredObject]) -> list[StoredObject]:
        """Return the files that no project at all owns."""
        paths = [each.key.removeprefix(WEB) for each in batch]
        known = await self._catalogue.paths_known(paths, folding=self._storage.folding)
        return [each for each in batch if each.key.removeprefix(WEB) not in known]

    async def _existing(self, listed: Sequence[StoredObject]) -> list[StoredObject]:
        """Return those of the objects that exist: a listing may be late, and have deleted ones."""
        stats = await self._storage.stat([each.key for each in listed])
        return [
            each
            for each, stat in zip(listed, stats, strict=True)
            if stat is not None or await self._is_there(each.key)
        ]

    async def _is_there(self, key: StorageKey) -> bool:
        """Whether there is a link, which has no stat, or what cannot be read."""
        try:
            await self._storage.read(key)
        except StorageError as error:
            return type(error) is not MissingObject
        return True

    async def _scan(self, area: StorageKey) -> AsyncIterator[list[StoredObject]]:
        batch: list[StoredObject] = []
        async for found in self._storage.scan(area):
            batch.append(found)
            if len(batch) >= _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch


def _filename(key: StorageKey) -> str:
    """Return the name of the release file that an object is, or is the core metadata of."""
    return key.rpartition("/")[2].removesuffix(SIDECAR_SUFFIX)


def _owner(key: StorageKey) -> _Owner:
    """Return the owner that a page, an earlier page or a document has under any options."""
    if key.startswith(_JSON):
        rest = key.removeprefix(_JSON)
        return _Owner("" if "/" in rest else rest, is_document=True)
    if key.startswith(_LEGACY):
        spelling, _, rest = key.removeprefix(_LEGACY).partition("/")
        return _Owner(spelling if rest == "json" else "", is_document=True)
    *folders, last = key.removeprefix(SIMPLE).split("/")
    if folders and folders[-1] == "versions" and last.startswith("index_"):
        return _Owner(folders[-2] if len(folders) > 1 else "")
    return _Owner(folders[-1] if folders and last in _PAGE_NAMES else "")
