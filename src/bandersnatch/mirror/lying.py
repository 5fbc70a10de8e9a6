"""What waits in ``removed/`` of one project, read and judged: nothing is changed here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch import layout
from bandersnatch.errors import AnswerError, InvalidPage, NotRestorable, NotStored, StorageError
from bandersnatch.layout import PageFormat
from bandersnatch.mirror.pool import side_by_side
from bandersnatch.mirror.stored import parse_stored, stored_context
from bandersnatch.records import FileRecord
from bandersnatch.simple.legacy import parse_legacy, render_legacy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.model.digests import Digest, Hashes
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.records import StoredObject

_READ_AT_ONCE = 4


class LyingPage(NamedTuple):
    """A project's page, and the name that it shows, "" if it shows none."""

    detail: ProjectDetail
    display: str


@dataclass(frozen=True, slots=True)
class LyingFiles:
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


class Lying:
    """What can be brought back of a project; ``since`` is when each key came to ``removed/``."""

    def __init__(
        self, mirror: Mirror, name: ProjectName, now: datetime, since: Mapping[StorageKey, int]
    ) -> None:
        self._storage = mirror.storage
        self._settings = mirror.settings
        self._places = mirror.publisher().pages_of(name)
        self._documents = layout.legacy_documents(name)
        self._name = name
        self._now = now
        self._since = since

    # ------------------------------------------------------------ the page

    def pages(self) -> list[StorageKey]:
        """Return where the pages would lie, the last that came there first, JSON before HTML."""
        keys = [layout.removed(key) for key in self._places if key not in self._documents]
        return sorted(keys, key=lambda key: (-self._since.get(key, 0), _form(key) is not _JSON))

    async def page(self) -> LyingPage:
        """Return the page as it was when the project left.

        :raises NotRestorable: if there is none that can be read.
        """
        detail, display, why = None, "", "no page of it lies in removed/"
        for key in self.pages():
            try:
                text = await self._storage.read(key)
                display = display or self._display(text, key)
                if detail is None:
                    detail = await parse_stored(text, self._name, _form(key), self._now)
            except NotStored:
                continue
            except AnswerError as error:
                why = f"{key} is no page of it: {error.why}"
            except StorageError as error:
                why = str(error)
        if detail is None:
            raise NotRestorable(self._name, why)
        return LyingPage(detail, display)

    def _display(self, text: bytes, key: StorageKey) -> str:
        if _form(key) is _JSON:
            return ""
        from bandersnatch.simple.parse_html import display_name  # noqa: PLC0415 - slow to import

        return display_name(text, self._name)

    # ------------------------------------------------------------ the legacy document

    async def document(self) -> bytes | None:
        """Return the legacy document, None if there is none that is the project's."""
        for key in self._documents:
            try:
                text = await self._storage.read(layout.removed(key))
                context = stored_context(self._name, self._now)
                return render_legacy(parse_legacy(text, context))
            except (StorageError, InvalidPage):
                continue
        return None

    def documents(self) -> list[StorageKey]:
        """Return where the legacy document would lie."""
        return [layout.removed(key) for key in self._documents]

    # ------------------------------------------------------------ files

    async def files(self, detail: ProjectDetail) -> LyingFiles:
        """Return what is left of the files of a page, each read through.

        :raises NotRestorable: if nothing is left to publish.
        """
        if not self._settings.files.release_files:
            self._require_urls(detail)
            return LyingFiles((), (), (), 0)
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

        await side_by_side(look, detail.files, most=_READ_AT_ONCE)
        if not found and (detail.files or detail.rejected):
            raise NotRestorable(self._name, "none of the files that its page names is left")
        return LyingFiles(
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
        for place in (key, layout.removed(key)):
            (found,) = await self._storage.stat([place])
            if found is not None and size in {None, found.size}:
                hashes = await self._storage.digest(place, algorithms)
                if hashes.get("sha256") == sha256:
                    return _Right(found, key, hashes)
        return None

    def _require_urls(self, detail: ProjectDetail) -> None:
        """Refuse a page that was made when the files themselves were here.

        :raises NotRestorable: if it is one.
        """
        here = stored_context(self._name, self._now).url.partition("/simple/")[0]
        kind = self._settings.pages.digest_name
        if any(file.url.startswith(f"{here}/") for file in detail.files):
            raise NotRestorable(self._name, "its page names files here, and release-files is off")
        if any(file.hashes.get(kind) is None for file in detail.files):
            raise NotRestorable(self._name, f"its page has no {kind} digests")


_JSON = PageFormat.V1_JSON


def _form(key: StorageKey) -> PageFormat:
    return PageFormat(key.rpartition(".")[2])
