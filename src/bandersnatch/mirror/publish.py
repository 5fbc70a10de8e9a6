"""Publishes project pages, their earlier versions, and the root page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from bandersnatch import layout
from bandersnatch.catalogue import records
from bandersnatch.errors import MissingObject, ObstructedPath, StorageError
from bandersnatch.events import EventSink, PageRemoved, PageWritten
from bandersnatch.layout import LAST_MODIFIED, PageFormat, StorageKey
from bandersnatch.mirror.readoption import Readoption
from bandersnatch.simple.html_page import HtmlListRenderer, render_detail_html
from bandersnatch.simple.json_page import JsonListRenderer, render_detail_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping, Sequence
    from datetime import datetime

    from bandersnatch.clock import Clock
    from bandersnatch.config.schema import PageSettings
    from bandersnatch.layout import MirrorLayout
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.storage.port import Storage


_MAY_LACK_PAGES = frozenset(
    {records.Deferral.INCOMPLETE, records.Deferral.MISSING_ONCE, records.Deferral.GONE}
)
"""Deferrals of projects whose pages an interrupted run may have removed."""


class Publisher:
    """Writes the pages that clients see; leaves pages alone whose bytes would not change."""

    def __init__(
        self,
        storage: Storage,
        settings: PageSettings,
        clock: Clock,
        events: EventSink,
        *,
        serves_files: bool,
    ) -> None:
        """Assign the collaborators; ``serves_files`` is False if clients download elsewhere."""
        self._storage = storage
        self._settings = settings
        self._layout = settings.layout
        self._clock = clock
        self._events = events
        self._serves_files = serves_files

    @classmethod
    def of(cls, mirror: Mirror) -> Self:
        """Return the publisher of a mirror's pages."""
        return cls(
            mirror.storage,
            mirror.settings.pages,
            mirror.clock,
            mirror.events,
            serves_files=mirror.settings.files.release_files,
        )

    @property
    def layout(self) -> MirrorLayout:
        """The keys of the pages."""
        return self._layout

    # ------------------------------------------------------------ project pages

    async def publish(
        self, detail: ProjectDetail, *, display: str, legacy: bytes | None, remove_unused: bool
    ) -> None:
        """Publish a project's page in every format, and its legacy document unless it is None.

        ``remove_unused`` also deletes the pages and documents that only other options publish;
        it is needed where the options may have changed since the project was last published.
        """
        pages = self.render(detail, display)
        documents: dict[StorageKey, bytes] = {}
        if legacy is not None:
            documents = dict.fromkeys(layout.legacy_documents(detail.name), legacy)
        unused = self._unused_keys(detail.name) if remove_unused else ()
        if self._settings.keep_index_versions:
            await self._publish_versions(detail, pages)
            await self._write(documents, unused)
        else:
            await self._write({**documents, **pages}, unused)

    async def publish_document(self, name: ProjectName, legacy: bytes) -> None:
        """Publish a project's legacy document under both of its keys."""
        await self._write(dict.fromkeys(layout.legacy_documents(name), legacy))

    def render(self, detail: ProjectDetail, display: str) -> dict[StorageKey, bytes]:
        """Return the content of a project's page in every published format."""
        digest_name = self._settings.digest_name
        texts: dict[PageFormat, bytes] = {}
        if PageFormat.HTML in self._settings.formats:
            texts[PageFormat.HTML] = texts[PageFormat.V1_HTML] = render_detail_html(
                detail, display=display, digest_name=digest_name, file_url=self._file_url
            )
        if PageFormat.V1_JSON in self._settings.formats:
            texts[PageFormat.V1_JSON] = render_detail_json(
                detail, digest_name=digest_name, file_url=self._file_url
            )
        keys = self._layout.pages(detail.name)
        return {keys[form]: text for form, text in texts.items()}

    @property
    def links_to_index(self) -> bool:
        """Whether pages have the index's own URLs of files, which no record has."""
        return not self._serves_files and not self._settings.root_uri

    def _file_url(self, file: ReleaseFile) -> str:
        if self.links_to_index:
            return file.url
        return layout.file_url(file, self._settings.root_uri)

    def _unused_keys(self, name: ProjectName) -> tuple[StorageKey, ...]:
        """Return the keys of the pages and documents that only other options publish."""
        documents = () if self._settings.legacy_json else layout.legacy_documents(name)
        return (*self._layout.unused_pages(name), *documents)

    async def _write(
        self, pages: Mapping[StorageKey, bytes], absent: Collection[StorageKey] = ()
    ) -> Sequence[StorageKey]:
        """Write ``pages``, delete ``absent``, report the changes and return their keys."""
        changed = await self._storage.write(pages, absent=absent)
        for key in changed:
            written = PageWritten(key, len(pages[key])) if key in pages else None
            self._events(written or PageRemoved(key))
        return changed

    # ------------------------------------------------------------ earlier versions of a page

    async def _publish_versions(
        self, detail: ProjectDetail, pages: Mapping[StorageKey, bytes]
    ) -> None:
        """Write each changed page as a new version, link its key to that, delete the oldest.

        Versions are ordered by the time in their names: the serial before it may be unknown.
        """
        prefix = self._layout.page_versions(detail.name)
        stamp = self._clock.now().isoformat().replace("+00:00", "Z").replace(":", "")
        existing = [found.key async for found in self._storage.scan(prefix)]
        for key, content in pages.items():
            if await self._has_content(key, content):
                continue
            suffix = key.rpartition(".")[2]
            version = StorageKey(f"{prefix}index_{detail.serial or 0}_{stamp}.{suffix}")
            await self._write({version: content})
            await self._storage.publish_version(key, version)
            earlier = [k for k in existing if k.endswith(f".{suffix}") and k != version]
            earlier.sort(key=_version_time)
            surplus = len(earlier) + 1 - self._settings.keep_index_versions
            await self._storage.write({}, absent=earlier[: max(0, surplus)])

    # ------------------------------------------------------------ stored pages

    async def _has_content(self, key: StorageKey, content: bytes) -> bool:
        """Whether ``key`` holds exactly ``content``; False if it cannot be read."""
        try:
            return await self._storage.read(key) == content
        except StorageError:
            return False

    async def is_published(self, record: records.ProjectRecord) -> bool:
        """Whether the stored pages are those that ``record`` describes.

        Always False with legacy documents: a record does not describe their content.
        """
        if self._settings.legacy_json:
            return False
        for key, content in self.render(record.detail, record.display).items():
            if not await self._has_content(key, content):
                return False
        return True

    async def has_pages(self, name: ProjectName) -> bool:
        """Whether the project has a readable page in every published format."""
        for key in self._layout.pages(name).values():
            try:
                await self._storage.read(key)
            except StorageError:
                return False
        return True

    async def lacks_pages(self, name: ProjectName) -> bool:
        """Whether a page of the project does not exist; one that cannot be read does."""
        for key in self._layout.pages(name).values():
            try:
                await self._storage.read(key)
            except (MissingObject, ObstructedPath):
                return True
            except StorageError:
                continue
        return False

    async def clean_up(self, display: str, name: ProjectName) -> None:
        """Delete the pages that releases before 4.0 wrote under the display name."""
        if not self._settings.cleanup or display == name:
            return
        for directory in layout.unnormalised_pages(display):
            # On a case-insensitive disk both names are one directory, and its pages are current.
            if not await self._is_same_directory(directory, name):
                await self._write({}, directory.values())

    async def _is_same_directory(
        self, directory: Mapping[PageFormat, StorageKey], name: ProjectName
    ) -> bool:
        for form, key in directory.items():
            try:
                content = await self._storage.read(key)
            except MissingObject:
                continue
            return await self._has_content(self._layout.page(name, form), content)
        return False

    # ------------------------------------------------------------ the root page

    async def publish_root(
        self, projects: AsyncIterable[Sequence[records.ListEntry]]
    ) -> Sequence[StorageKey]:
        """Publish the list of ``projects``, which are in the order of their names.

        The page's serial is the highest one of its projects, so that it changes when they do and
        never claims more than they show. Returns the keys that changed.
        """
        keys = self._layout.root_pages()
        html, json = HtmlListRenderer(), JsonListRenderer()
        async for some in projects:
            if PageFormat.HTML in keys:
                html.add(each.name for each in some)
            if PageFormat.V1_JSON in keys:
                json.add(some)
        changed: list[StorageKey] = []
        if PageFormat.HTML in keys:
            same = (keys[PageFormat.HTML], keys[PageFormat.V1_HTML])
            changed += await self._write(dict.fromkeys(same, html.finish()))
        del html  # each list is tens of megabytes for all of PyPI
        if PageFormat.V1_JSON in keys:
            changed += await self._write({keys[PageFormat.V1_JSON]: json.finish()})
        return [*changed, *await self._write({}, self._layout.unused_root_pages())]

    async def publish_last_modified(self, began: datetime) -> None:
        """Publish ``last-modified``: when the run began that the tree reflects, in UTC."""
        text = began.strftime("%Y%m%dT%H:%M:%S\n")
        await self._storage.write({LAST_MODIFIED: text.encode()}, durable=True)


def _version_time(key: StorageKey) -> str:
    """Return the time in a version's name; it may be followed by a suffix that has a ``_``."""
    return key.rpartition("/")[2].split("_", 2)[-1]


async def publish_root(
    mirror: Mirror,
    *,
    omit: Collection[ProjectName] = (),
    force: bool = False,
    final: bool = True,
) -> Sequence[StorageKey]:
    """Publish the root page unless it lists the catalogue's projects already.

    ``omit`` are projects in the catalogue that are about to be removed. Projects whose pages an
    interrupted run removed are not listed either; a later run syncs them again. ``force``
    compares the page even if the catalogue says that it is current. ``final`` is False while
    projects are still synced: then the catalogue does not say afterwards that it is current.
    Returns the keys that changed.
    """
    if (
        not force
        and await mirror.catalogue.marker(records.Marker.ROOT) == records.RootMarker.WRITTEN
    ):
        return ()
    publisher, hidden = Publisher.of(mirror), set(omit)
    for each in await mirror.catalogue.deferred():
        if each.deferral in _MAY_LACK_PAGES and await publisher.lacks_pages(each.name):
            hidden.add(each.name)
    changed = await publisher.publish_root(_list_entries(mirror, hidden))
    await mirror.storage.flush()
    if final and not omit:
        await mirror.catalogue.commit(
            records.CatalogueUpdate(markers={records.Marker.ROOT: records.RootMarker.WRITTEN})
        )
    return changed


async def _list_entries(
    mirror: Mirror, hidden: Collection[ProjectName]
) -> AsyncIterator[Sequence[records.ListEntry]]:
    """Yield the catalogue's projects in batches, without those that are hidden.

    Projects whose rows turn out to be damaged are adopted again before the list goes on.
    """
    after, readoption = "", Readoption.of(mirror)
    while True:
        some = await mirror.catalogue.list_entries(after)
        if await readoption.run():
            continue
        if not some:
            return
        after = some[-1].name
        yield [each for each in some if each.name not in hidden] if hidden else some
