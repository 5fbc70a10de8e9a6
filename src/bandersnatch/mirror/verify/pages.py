"""Whether a project's pages say what its record says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.errors import NotStored, StorageError, UpstreamError
from bandersnatch.layout import PageFormat
from bandersnatch.mirror.stored import parse_stored
from bandersnatch.mirror.verify.damage import Damage

if TYPE_CHECKING:
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.publish import Publisher
    from bandersnatch.mirror.terms import PageTerms
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.ports import Clock, Storage
    from bandersnatch.records import ProjectRecord

_DIFFERS = "it does not say what was published"


class PageCheck:
    """Compares pages with what would be published.

    A page that this program made under the options of now has just those bytes. One that was
    taken over, or made under other options, was written otherwise and has to say the same.
    """

    def __init__(
        self, storage: Storage, publisher: Publisher, terms: PageTerms, clock: Clock
    ) -> None:
        self._storage = storage
        self._publisher = publisher
        self._terms = terms
        self._clock = clock

    async def damage(self, record: ProjectRecord) -> list[Damage]:
        """Return what is wrong with a project's pages."""
        damage = []
        rendered = self._publisher.rendered(record.detail, record.display or record.name)
        is_ours = record.display != "" and record.terms == self._terms(record.name)
        for key, content in rendered.items():
            try:
                stored = await self._storage.read(key)
            except NotStored:
                damage.append(Damage(key, "it is missing"))
            except StorageError as error:
                damage.append(Damage(key, error.why))
            else:
                if stored != content and (
                    is_ours or (what := await self._wrong(stored, key, record))
                ):
                    damage.append(Damage(key, _DIFFERS if is_ours else what))
        return damage

    async def _wrong(self, stored: bytes, key: StorageKey, record: ProjectRecord) -> str:
        form = PageFormat(key.rpartition(".")[2])
        try:
            detail = await parse_stored(stored, record.name, form, self._clock.now())
        except UpstreamError as error:
            return f"it cannot be read: {error}"
        if detail.rejected:
            return f"it cannot be read: {detail.rejected[0].reason}"
        return "" if _says_the_same(detail, record.detail) else _DIFFERS


def _says_the_same(stored: ProjectDetail, recorded: ProjectDetail) -> bool:
    """Whether a page names the same files, in so far as its form can tell."""
    if stored.serial != recorded.serial or len(stored.files) != len(recorded.files):
        return False
    theirs = {file.filename: file for file in recorded.files}
    return all(_is_same(file, theirs.get(file.filename)) for file in stored.files)


def _is_same(stored: ReleaseFile, recorded: ReleaseFile | None) -> bool:
    return (
        recorded is not None
        and stored.path == recorded.path
        and stored.sha256 == recorded.sha256
        and stored.requires_python == recorded.requires_python
        and (stored.yanked is None) == (recorded.yanked is None)
    )
