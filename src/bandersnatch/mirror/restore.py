"""What waits in ``removed/`` of one project, read and judged: nothing is changed here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch import layout
from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    Cause,
    Deferral,
    Deferred,
    FileRecord,
    Marker,
    ProjectRecord,
    RootMarker,
    Standing,
)
from bandersnatch.concurrency import bounded_map
from bandersnatch.errors import (
    InvalidPage,
    MissingObject,
    RefusedCommand,
    ResponseError,
    StorageError,
    UnrestorableProject,
)
from bandersnatch.events import (
    FileRestored,
    FilesRejected,
    ProjectFailed,
    ProjectRestored,
    SidecarsMissing,
    Warned,
)
from bandersnatch.layout import PageFormat
from bandersnatch.mirror.page import own_page_context, parse_own_page
from bandersnatch.mirror.publish import Publisher, publish_root
from bandersnatch.mirror.recovery import finish_deletions, open_tree
from bandersnatch.mirror.removal import Removals
from bandersnatch.mirror.state import StateFiles
from bandersnatch.model.content import Validators
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.simple.legacy import parse_legacy, render_legacy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.digests import Digest, Hashes
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.model.serials import Serial
    from bandersnatch.storage.port import StoredObject


_READ_AT_ONCE = 4


class TrashedPage(NamedTuple):
    """A project's page, and the name that it shows, "" if it shows none."""

    detail: ProjectDetail
    display: str


@dataclass(frozen=True, slots=True)
class TrashedFiles:
    """What is left of the files that a page names.

    ``records`` are as they are to be published, in the order of the page. ``moves`` is what has
    to come back for that; what lies in its place already is not among it. ``missing`` are names.
    """

    records: Sequence[FileRecord]
    moves: Sequence[_Right]
    missing: Sequence[str]
    sidecars_missing: int


class _Right(NamedTuple):
    """Something that was read through and found right: where it lies, and where it belongs."""

    found: StoredObject
    key: StorageKey
    hashes: Hashes


class TrashedProject:
    """What can be brought back of a project; ``since`` is when each key came to ``removed/``."""

    def __init__(
        self, mirror: Mirror, name: ProjectName, now: datetime, since: Mapping[StorageKey, int]
    ) -> None:
        self._storage = mirror.storage
        self._settings = mirror.settings
        self._places = mirror.settings.pages.layout.all_pages(name)
        self._documents = layout.legacy_documents(name)
        self._name = name
        self._now = now
        self._since = since

    # ------------------------------------------------------------ the page

    def pages(self) -> list[StorageKey]:
        """Return where the pages would lie, the last that came there first, JSON before HTML."""
        keys = [layout.trash(key) for key in self._places]
        json = PageFormat.V1_JSON
        return sorted(keys, key=lambda k: (-self._since.get(k, 0), PageFormat.of(k) is not json))

    async def page(self) -> TrashedPage:
        """Return the page as it was when the project left.

        :raises UnrestorableProject: if there is none that can be read.
        """
        detail, display, why = None, "", "no page of it lies in removed/"
        for key in self.pages():
            try:
                text = await self._storage.read(key)
                display = display or self._display(text, key)
                if detail is None:
                    detail = await parse_own_page(text, self._name, PageFormat.of(key), self._now)
            except MissingObject:
                continue
            except ResponseError as error:
                why = f"{key} is no page of it: {error.why}"
            except StorageError as error:
                why = str(error)
        if detail is None:
            raise UnrestorableProject(self._name, why)
        return TrashedPage(detail, display)

    def _display(self, text: bytes, key: StorageKey) -> str:
        if PageFormat.of(key) is PageFormat.V1_JSON:
            return ""
        from bandersnatch.simple.html_page import display_name  # noqa: PLC0415 - slow to import

        return display_name(text, self._name)

    # ------------------------------------------------------------ the legacy document

    async def document(self) -> bytes | None:
        """Return the legacy document, None if there is none that is the project's."""
        for key in self._documents:
            try:
                text = await self._storage.read(layout.trash(key))
                context = own_page_context(self._name, self._now)
                return render_legacy(parse_legacy(text, context))
            except (StorageError, InvalidPage):
                continue
        return None

    def documents(self) -> list[StorageKey]:
        """Return where the legacy document would lie."""
        return [layout.trash(key) for key in self._documents]

    # ------------------------------------------------------------ files

    async def files(self, detail: ProjectDetail) -> TrashedFiles:
        """Return what is left of the files of a page, each read through.

        :raises UnrestorableProject: if nothing is left to publish.
        """
        if not self._settings.files.release_files:
            self._require_urls(detail)
            return TrashedFiles((), (), (), 0)
        found: dict[str, FileRecord] = {}
        moves: dict[str, list[_Right]] = {}
        lost: list[str] = []

        async def look(file: ReleaseFile) -> None:
            right = await self._right(layout.release_file(file), file.size, file.sha256)
            if right is None:
                return
            side = await self._right_sidecar(file)
            if side is None and file.sidecar is not None:
                lost.append(file.filename)
            complete = replace(
                file,
                hashes=right.hashes,
                size=right.found.size,
                core_metadata=file.core_metadata if side or not file.core_metadata else None,
            )
            verified = int(self._now.timestamp())
            found[file.path] = FileRecord(complete, right.found.modified, verified)
            moves[file.path] = [
                each for each in (right, side) if each and each.found.key != each.key
            ]

        await bounded_map(look, detail.files, most=_READ_AT_ONCE)
        if not found and (detail.files or detail.rejected):
            raise UnrestorableProject(self._name, "none of the files that its page names is left")
        return TrashedFiles(
            [found[file.path] for file in detail.files if file.path in found],
            [move for file in detail.files for move in moves.get(file.path, ())],
            [file.filename for file in detail.files if file.path not in found],
            len(lost) if self._settings.files.core_metadata else 0,
        )

    async def _right_sidecar(self, file: ReleaseFile) -> _Right | None:
        key = layout.sidecar(file)
        if key is None or file.sidecar is None or not self._settings.files.core_metadata:
            return None
        return await self._right(key, None, file.sidecar)

    async def _right(self, key: StorageKey, size: int | None, sha256: Digest) -> _Right | None:
        """Return what has the right content, in its place or where it waits."""
        algorithms = list(dict.fromkeys(("sha256", self._settings.pages.digest_name)))
        for place in (key, layout.trash(key)):
            (found,) = await self._storage.stat([place])
            if found is not None and size in {None, found.size}:
                hashes = await self._storage.digest(place, algorithms)
                if hashes.get("sha256") == sha256:
                    return _Right(found, key, hashes)
        return None

    def _require_urls(self, detail: ProjectDetail) -> None:
        """Refuse a page that was made when the files themselves were here.

        :raises UnrestorableProject: if it is one.
        """
        here = own_page_context(self._name, self._now).url.partition("/simple/")[0]
        kind = self._settings.pages.digest_name
        if any(file.url.startswith(f"{here}/") for file in detail.files):
            raise UnrestorableProject(
                self._name, "its page names files here, and release-files is off"
            )
        if any(file.hashes.get(kind) is None for file in detail.files):
            raise UnrestorableProject(self._name, f"its page has no {kind} digests")


_NAMED = 10
"""Missing files that are told of by name."""


async def restore(mirror: Mirror, names: Collection[ProjectName]) -> None:
    """Bring projects back, each with the files that are left of it, and then the root page.

    Neither ``status`` nor ``todo`` is touched; the next run of ``mirror`` looks at what the
    filters want of it.
    """
    began = mirror.clock.now()
    await open_tree(mirror, StateFiles(mirror.storage), began)
    since = {each.key: each.at for each in await mirror.catalogue.trash()}
    for name in dict.fromkeys(names):
        try:
            await _Restoring(mirror, name, began, since).run()
        except RefusedCommand as error:
            mirror.events(ProjectFailed(name, error, will_retry=False))
        else:
            mirror.events(ProjectRestored(name))
    await publish_root(mirror)


class _Restoring:
    """One project on its way back; until it is there whole, a stop takes it away again."""

    def __init__(
        self,
        mirror: Mirror,
        name: ProjectName,
        began: datetime,
        since: Mapping[StorageKey, int],
    ) -> None:
        self._mirror = mirror
        self._name = name
        self._began = began
        self._publisher = Publisher.of(mirror)
        self._lying = TrashedProject(mirror, name, began, since)

    async def run(self) -> None:
        """Bring the files back, then the pages, and record it.

        :raises UnrestorableProject: if that cannot be; then nothing is changed.
        """
        earlier = await self._require_absent()
        page = await self._lying.page()
        files = await self._lying.files(page.detail)
        document = None
        if self._mirror.settings.pages.legacy_json:
            document = await self._lying.document()
        self._tell_of_gaps(page, files)
        record = self._record(page, files, earlier)
        await self._begin(record, earlier)
        await self._move(files)
        display = record.display or self._name
        await self._publisher.publish(
            record.detail, display=display, legacy=document, remove_unused=True
        )
        await self._finish(record, files, documents=document is not None)

    async def _require_absent(self) -> ProjectRecord | None:
        """Return what is remembered of the project that was left out.

        :raises UnrestorableProject: if it is here.
        """
        record = await self._mirror.catalogue.project(self._name)
        removals = Removals.of(self._mirror, self._began)
        known = record is not None and record.standing is not Standing.EXCLUDED
        if known or await removals.find_pages(self._name):
            raise UnrestorableProject(self._name, "it is here already")
        return record

    def _tell_of_gaps(self, page: TrashedPage, files: TrashedFiles) -> None:
        events, rejected = self._mirror.events, page.detail.rejected
        if rejected:
            first = rejected[0]
            events(FilesRejected(self._name, len(rejected), first.entry, first.reason))
        if files.missing:
            more = len(files.missing) - _NAMED
            told = ", ".join(files.missing[:_NAMED]) + (f" and {more} more" if more > 0 else "")
            events(Warned(f"{self._name} comes back without what is not there any more: {told}"))
        if files.sidecars_missing:
            why = "it is not there any more"
            events(SidecarsMissing(self._name, files.sidecars_missing, why))

    def _record(
        self, page: TrashedPage, files: TrashedFiles, earlier: ProjectRecord | None
    ) -> ProjectRecord:
        """Return the record of what comes back.

        Terms are left to the next run, which looks at the page again whatever they were.
        """
        wanted = self._mirror.filters.may_select(self._name)
        detail = replace(page.detail, rejected=())
        if self._mirror.settings.files.release_files:
            detail = replace(detail, files=tuple(found.file for found in files.records))
        return ProjectRecord(
            detail=detail,
            display=page.display or (earlier.display if earlier else ""),
            reflects=detail.serial or NO_SERIAL,
            fingerprint="",
            validators=Validators(),
            files=tuple(files.records),
            standing=Standing.SELECTED if wanted else Standing.RETAINED,
        )

    async def _begin(self, record: ProjectRecord, earlier: ProjectRecord | None) -> None:
        """Write down what comes back, marked to be taken away again if this is cut short."""
        deferral = Deferral.DELETED if earlier is None else Deferral.EXCLUDED_UNTIL_CHANGE
        target_serial = earlier.reflects if earlier else NO_SERIAL
        mark = self._unfinished(
            deferral, target_serial, "its return was cut short, so that it leaves again"
        )
        await self._mirror.catalogue.commit(
            CatalogueUpdate([record], deferred=[mark], markers={Marker.ROOT: RootMarker.STALE})
        )

    def _unfinished(self, deferral: Deferral, target_serial: Serial, reason: str) -> Deferred:
        now = int(self._began.timestamp())
        return Deferred(
            self._name,
            deferral,
            target_serial,
            None,
            since=now,
            tried=now,
            attempts=0,
            cause=Cause.NONE,
            reason=reason,
        )

    async def _move(self, files: TrashedFiles) -> None:
        """Move files back to their places.

        :raises UnrestorableProject: if something on the way is a link; then all is as it was.
        """
        mirror, moves = self._mirror, files.moves
        await mirror.storage.recover([each.found.key for each in moves])
        there = await mirror.storage.stat([each.key for each in moves])
        left = [each.key for each, found in zip(moves, there, strict=True) if found is None]
        if left:
            await finish_deletions(mirror, self._began)
            raise UnrestorableProject(
                self._name, f"{left[0]} cannot be moved back; is a link there?"
            )
        for each in moves:
            mirror.events(FileRestored(self._name, each.key, each.found.size))

    async def _finish(self, record: ProjectRecord, files: TrashedFiles, *, documents: bool) -> None:
        """Take away what is left of the pages in ``removed/``, and record that all is back."""
        mirror = self._mirror
        left = self._lying.pages() + (self._lying.documents() if documents else [])
        await mirror.storage.purge(left)
        await mirror.storage.flush()
        looked_at = self._unfinished(Deferral.INCOMPLETE, NO_SERIAL, "")
        await mirror.catalogue.commit(
            CatalogueUpdate(
                [record],
                deferred=[looked_at] if record.standing is Standing.SELECTED else [],
                restored=[*(each.found.key for each in files.moves), *left],
                markers={Marker.ROOT: RootMarker.STALE},
            )
        )
