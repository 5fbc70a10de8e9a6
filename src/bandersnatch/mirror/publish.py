"""Pages: rendered, put in their place, kept in earlier versions, and taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from bandersnatch import layout
from bandersnatch.catalogue.records import CatalogueUpdate, Deferral, Marker, RootMarker
from bandersnatch.errors import MissingObject, StorageError
from bandersnatch.events import PageRemoved, PageWritten
from bandersnatch.layout import LAST_MODIFIED, PageFormat, StorageKey
from bandersnatch.simple.html_page import ListHtml, render_detail_html
from bandersnatch.simple.json_page import ListJson, render_detail_json

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Collection,
        Mapping,
        Sequence,
    )
    from datetime import datetime

    from bandersnatch.catalogue.port import Inventory
    from bandersnatch.catalogue.records import ListEntry, ProjectRecord
    from bandersnatch.clock import Clock
    from bandersnatch.config.schema import PageSettings
    from bandersnatch.events import EventSink
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.storage.port import Storage


class Publisher:
    """Writes the pages that clients see, and never one whose bytes would be the same."""

    def __init__(
        self,
        storage: Storage,
        settings: PageSettings,
        clock: Clock,
        events: EventSink,
        *,
        own_urls: bool,
    ) -> None:
        """Take what is needed; ``own_urls`` says that files are served by the mirror itself."""
        self._storage = storage
        self._settings = settings
        self._clock = clock
        self._events = events
        self._own_urls = own_urls

    @classmethod
    def of(cls, mirror: Mirror) -> Self:
        """Return the publisher of a mirror's pages."""
        own_urls = mirror.settings.files.release_files
        return cls(
            mirror.storage, mirror.settings.pages, mirror.clock, mirror.events, own_urls=own_urls
        )

    # ------------------------------------------------------------ one project

    async def publish(
        self, detail: ProjectDetail, *, display: str, legacy: bytes | None, anew: bool
    ) -> None:
        """Publish a project's page in every format, and its legacy document if there is one.

        ``anew`` says that the page may have been published under other options before, so that
        what those options put elsewhere goes away.
        """
        pages = self.rendered(detail, display)
        documents: dict[StorageKey, bytes] = {}
        if legacy is not None:
            documents = dict.fromkeys(layout.legacy_documents(detail.name), legacy)
        absent = self._out_of_place(detail.name) if anew else []
        if self._settings.keep_index_versions:
            await self._publish_versions(detail, pages)
            await self._write(documents, absent)
        else:
            await self._write({**documents, **pages}, absent)

    async def publish_document(self, name: ProjectName, legacy: bytes) -> None:
        """Publish a project's legacy document and its copy."""
        await self._write(dict.fromkeys(layout.legacy_documents(name), legacy))

    def rendered(self, detail: ProjectDetail, display: str) -> dict[StorageKey, bytes]:
        """Return a project's page in every format, by where it belongs."""
        name, digest_name = detail.name, self._settings.digest_name
        texts: dict[PageFormat, bytes] = {}
        if PageFormat.HTML in self._settings.formats:
            texts[PageFormat.HTML] = texts[PageFormat.V1_HTML] = render_detail_html(
                detail, display=display, digest_name=digest_name, file_url=self._file_url
            )
        if PageFormat.V1_JSON in self._settings.formats:
            texts[PageFormat.V1_JSON] = render_detail_json(
                detail, digest_name=digest_name, file_url=self._file_url
            )
        keys = self._settings.layout.pages(name)
        return {keys[form]: text for form, text in texts.items()}

    def _file_url(self, file: ReleaseFile) -> str:
        if not self._own_urls and not self._settings.root_uri:
            return file.url
        return layout.file_url(file, self._settings.root_uri)

    def _out_of_place(self, name: ProjectName) -> list[StorageKey]:
        """Return where other options would have put the project's pages and documents."""
        keys = [*self._settings.layout.unused_pages(name)]
        if not self._settings.legacy_json:
            keys += layout.legacy_documents(name)
        return keys

    async def _write(
        self, pages: Mapping[StorageKey, bytes], absent: Collection[StorageKey] = ()
    ) -> Sequence[StorageKey]:
        changed = await self._storage.write(pages, absent=absent)
        for key in changed:
            written = PageWritten(key, len(pages[key])) if key in pages else None
            self._events(written or PageRemoved(key))
        return changed

    # ------------------------------------------------------------ earlier versions

    async def _publish_versions(
        self, detail: ProjectDetail, pages: Mapping[StorageKey, bytes]
    ) -> None:
        """Write each changed page as a new version, let its name lead there, drop the oldest.

        Versions are told apart by the time in their names; the serial before it would not do,
        for it may be missing.
        """
        kept = self._settings.layout.page_versions(detail.name)
        stamp = self._clock.now().isoformat().replace("+00:00", "Z").replace(":", "")
        existing = [found.key async for found in self._storage.scan(kept)]
        for key, content in pages.items():
            if await self._holds(key, content):
                continue
            suffix = key.rpartition(".")[2]
            version = StorageKey(f"{kept}index_{detail.serial or 0}_{stamp}.{suffix}")
            await self._write({version: content})
            await self._storage.alias(key, version)
            same_kind = [k for k in existing if k.endswith(f".{suffix}") and k != version]
            same_kind.sort(key=_version_time)
            surplus = len(same_kind) + 1 - self._settings.keep_index_versions
            await self._storage.delete(same_kind[: max(0, surplus)])

    async def _holds(self, key: StorageKey, content: bytes) -> bool:
        """Whether a page is there with just this content; one that cannot be read is not."""
        try:
            return await self._storage.read(key) == content
        except StorageError:
            return False

    async def shows(self, record: ProjectRecord) -> bool:
        """Whether the pages that are here are those that were recorded.

        Of a legacy document nothing is recorded, so there is no telling.
        """
        if self._settings.legacy_json:
            return False
        for key, content in self.rendered(record.detail, record.display).items():
            if not await self._holds(key, content):
                return False
        return True

    # ------------------------------------------------------------ taking away

    async def has_pages(self, name: ProjectName) -> bool:
        """Whether the project has a page of every format that it should have, to be read."""
        for key in self._settings.layout.pages(name).values():
            try:
                await self._storage.read(key)
            except StorageError:
                return False
        return True

    async def clean_up(self, display: str, name: ProjectName) -> None:
        """Delete the pages that releases before 4.0 kept under the name as it is displayed."""
        if not self._settings.cleanup or display == name:
            return
        for old in layout.unnormalised_pages(display):
            # On a disk that ignores case both names are one directory, and its pages are ours.
            if not await self._is_one_directory(old, name):
                await self._write({}, old.values())

    async def _is_one_directory(
        self, old: Mapping[PageFormat, StorageKey], name: ProjectName
    ) -> bool:
        for form, key in old.items():
            try:
                content = await self._storage.read(key)
            except MissingObject:
                continue
            return await self._holds(self._settings.layout.page(name, form), content)
        return False

    # ------------------------------------------------------------ the root

    async def publish_root(
        self, projects: AsyncIterable[Sequence[ListEntry]]
    ) -> Sequence[StorageKey]:
        """Publish the list of the projects that have a page, given in the order of names.

        Its serial is the highest of its projects', so that it changes when they do and never
        claims more than they show. Returns the keys that changed.
        """
        keys = self._settings.layout.root_pages()
        html, json = ListHtml(), ListJson()
        async for some in projects:
            if PageFormat.HTML in keys:
                html.add(each.name for each in some)
            if PageFormat.V1_JSON in keys:
                json.add(some)
        changed: list[StorageKey] = []
        if PageFormat.HTML in keys:
            same = (keys[PageFormat.HTML], keys[PageFormat.V1_HTML])
            changed += await self._write(dict.fromkeys(same, html.finish()))
        del html  # each is tens of megabytes for all of PyPI
        if PageFormat.V1_JSON in keys:
            changed += await self._write({keys[PageFormat.V1_JSON]: json.finish()})
        unused = self._settings.layout.unused_root_pages()
        return [*changed, *await self._write({}, unused)]

    async def publish_last_modified(self, began: datetime) -> None:
        """Say when the run began that the tree is as of (contract, section 3.1)."""
        text = began.strftime("%Y%m%dT%H:%M:%S\n")
        await self._storage.write({LAST_MODIFIED: text.encode()}, durable=True)


def _version_time(key: StorageKey) -> str:
    """Return the part of a version's name that grows with time; endings have a ``_`` too."""
    return key.rpartition("/")[2].split("_", 2)[-1]


_CUT_SHORT = frozenset({Deferral.INCOMPLETE, Deferral.MISSING_ONCE, Deferral.GONE})
"""Kinds of what is left to do under which a project may have lost its page already."""


async def publish_root(
    mirror: Mirror, *, omit: Collection[ProjectName] = (), force: bool = False
) -> Sequence[StorageKey]:
    """Publish the root page if it does not show what the catalogue has; return what changed.

    ``omit`` are projects that are still in the catalogue and about to leave it. Others
    may have no page because a run was killed that removed it, and wait to be looked at again.
    """
    if not force and await mirror.catalogue.marker(Marker.ROOT) == RootMarker.WRITTEN:
        return ()
    hidden = set(omit)
    for left in await mirror.catalogue.deferred():
        if left.deferral in _CUT_SHORT and not await Publisher.of(mirror).has_pages(left.name):
            hidden.add(left.name)
    changed = await Publisher.of(mirror).publish_root(_shown(mirror.catalogue, hidden))
    await mirror.storage.barrier()
    if not omit:
        await mirror.catalogue.commit(CatalogueUpdate(markers={Marker.ROOT: RootMarker.WRITTEN}))
    return changed


async def _shown(
    catalogue: Inventory, hidden: Collection[ProjectName]
) -> AsyncIterator[Sequence[ListEntry]]:
    """Yield the projects that the root page names, some at a time."""
    after = ""
    while some := await catalogue.list_entries(after):
        after = some[-1].name
        yield [each for each in some if each.name not in hidden] if hidden else some
