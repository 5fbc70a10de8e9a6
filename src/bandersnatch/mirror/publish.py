"""Pages: rendered, put in their place, kept in earlier versions, and taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.errors import NotStored
from bandersnatch.events import PageRemoved, PageWritten
from bandersnatch.layout import LAST_MODIFIED, MirrorLayout, PageFormat, StorageKey
from bandersnatch.simple.html import render_detail_html, render_list_html
from bandersnatch.simple.json import render_detail_json, render_list_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from bandersnatch.config.settings import PageSettings
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.ports import Clock, EventSink, Storage
    from bandersnatch.records import Had


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

    # ------------------------------------------------------------ one project

    async def publish(
        self, detail: ProjectDetail, *, display: str, legacy: bytes | None, anew: bool
    ) -> None:
        """Publish a project's page in every format, and its legacy document if there is one.

        ``anew`` says that the page may have been published under other options before, so that
        what those options put elsewhere goes away.
        """
        pages = self._rendered(detail, display)
        documents: dict[StorageKey, bytes] = {}
        if legacy is not None:
            documents = dict.fromkeys(layout.legacy_documents(detail.name), legacy)
        absent = self._out_of_place(detail.name) if anew else []
        if self._settings.keep_index_versions:
            await self._publish_versions(detail, pages)
            await self._write(documents, absent)
        else:
            await self._write({**documents, **pages}, absent)

    def _rendered(self, detail: ProjectDetail, display: str) -> dict[StorageKey, bytes]:
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
        return {self._settings.layout.page(name, form): text for form, text in texts.items()}

    def _file_url(self, file: ReleaseFile) -> str:
        if not self._own_urls and not self._settings.root_uri:
            return file.url
        return layout.file_url(file, self._settings.root_uri)

    def _out_of_place(self, name: ProjectName) -> list[StorageKey]:
        """Return where other options would have put the project's pages and documents."""
        ours = self._settings.layout
        other = MirrorLayout(hash_index=not ours.hash_index)
        keys = [other.page(name, form) for form in PageFormat]
        keys += [ours.page(name, f) for f in PageFormat if f not in self._settings.formats]
        if not self._settings.legacy_json:
            keys += layout.legacy_documents(name)
        return keys

    async def _write(
        self, pages: Mapping[StorageKey, bytes], absent: Collection[StorageKey] = ()
    ) -> None:
        for key in await self._storage.write(pages, absent=absent):
            self._events(PageWritten(key) if key in pages else PageRemoved(key))

    # ------------------------------------------------------------ earlier versions

    async def _publish_versions(
        self, detail: ProjectDetail, pages: Mapping[StorageKey, bytes]
    ) -> None:
        """Write each changed page as a new version, let its name lead there, drop the oldest.

        Versions are told apart by the time in their names; the serial before it would not do,
        for it may be missing.
        """
        kept = self._settings.layout.kept_pages(detail.name)
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
        try:
            return await self._storage.read(key) == content
        except NotStored:
            return False

    # ------------------------------------------------------------ taking away

    async def has_pages(self, name: ProjectName) -> bool:
        """Whether the project has a page of every format that it should have."""
        for form in self._settings.formats:
            try:
                await self._storage.read(self._settings.layout.page(name, form))
            except NotStored:
                return False
        return True

    def kept_pages(self, name: ProjectName) -> StorageKey:
        """Return the prefix of the project's earlier pages."""
        return self._settings.layout.kept_pages(name)

    def pages_of(self, name: ProjectName) -> list[StorageKey]:
        """Return every place where a page or document of the project may lie."""
        keys = [
            MirrorLayout(hash_index=hashed).page(name, form)
            for hashed in (False, True)
            for form in PageFormat
        ]
        return [*keys, *layout.legacy_documents(name)]

    async def clean_up(self, display: str, name: ProjectName) -> None:
        """Delete the pages that releases before 4.0 kept under the name as it is displayed."""
        if not self._settings.cleanup or display == name:
            return
        for hashed in ("", f"{display[0]}/"):
            prefix = f"{layout.SIMPLE}{hashed}{display}/"
            old = [StorageKey(prefix + form.file_name) for form in PageFormat]
            # On a disk that ignores case both names are one directory, and its pages are ours.
            if not await self._is_one_directory(old, name):
                await self._write({}, old)

    async def _is_one_directory(self, old: list[StorageKey], name: ProjectName) -> bool:
        for key, form in zip(old, PageFormat, strict=True):
            try:
                content = await self._storage.read(key)
            except NotStored:
                continue
            return await self._holds(self._settings.layout.page(name, form), content)
        return False

    # ------------------------------------------------------------ the root

    async def publish_root(self, had: Mapping[ProjectName, Had]) -> None:
        """Publish the list of the projects that have a page; ``had`` is in the order of names.

        Its serial is the highest of its projects', so that it changes when they do and never
        claims more than they show.
        """
        ours, formats = self._settings.layout, self._settings.formats
        pages: dict[StorageKey, bytes] = {}
        if PageFormat.HTML in formats:
            html = render_list_html(had)
            pages[ours.root(PageFormat.HTML)] = pages[ours.root(PageFormat.V1_HTML)] = html
        if PageFormat.V1_JSON in formats:
            serials = [each.serial for each in had.values() if each.serial is not None]
            pages[ours.root(PageFormat.V1_JSON)] = render_list_json(
                ((name, each.serial) for name, each in had.items()),
                serial=max(serials, default=None),
            )
        await self._write(pages, [ours.root(f) for f in PageFormat if f not in formats])

    async def publish_time(self, began: datetime) -> None:
        """Say when the run began that the tree is as of (contract, section 3.1)."""
        text = began.strftime("%Y%m%dT%H:%M:%S\n")
        await self._storage.write({LAST_MODIFIED: text.encode()}, durable=True)


def _version_time(key: StorageKey) -> str:
    """Return the part of a version's name that grows with time; endings have a ``_`` too."""
    return key.rpartition("/")[2].split("_", 2)[-1]
