"""Entity tags of release files: their sha256 if the catalogue has it, otherwise size and time.

The digest is the same on every replica of a mirror, and after files were copied.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from bandersnatch.errors import StorageError
from bandersnatch.layout import WEB
from bandersnatch.model.names import ProjectName

if TYPE_CHECKING:
    from collections.abc import Hashable

    from bandersnatch.layout import StorageKey
    from bandersnatch.serve.reader import CatalogueReader
    from bandersnatch.storage.port import ServedObject

_REMEMBERED = 16_384
"""Files whose tags are in memory."""

_NOBODY = ProjectName("")


class FileTags:
    """The tags of the files that were used last."""

    def __init__(self, catalogue: CatalogueReader) -> None:
        self._catalogue = catalogue
        self._known: OrderedDict[StorageKey, tuple[Hashable, str]] = OrderedDict()

    async def tag(self, key: StorageKey, found: ServedObject) -> str:
        """Return the strong tag of a file, in quotes."""
        known = self._known.get(key)
        if known is not None and known[0] == found.tag:
            self._known.move_to_end(key)
            return known[1]
        digest = await self._digest(key)
        # A file that was truncated has not the tag of the whole one.
        text = f"{digest}-{found.size:x}" if digest else f"{found.size:x}-{found.modified:x}"
        self._known[key] = (found.tag, f'"{text}"')
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return f'"{text}"'

    async def _digest(self, key: StorageKey) -> str:
        """Return the sha256 on which all owners of a path agree, "" if there is none."""
        try:
            async with self._catalogue.open() as catalogue:
                if catalogue is None:
                    return ""
                owners = await catalogue.path_owners(_NOBODY, [key.removeprefix(WEB)])
        except StorageError:
            return ""
        digests = {owner.hashes.sha256 for owner in owners}
        digest = digests.pop() if len(digests) == 1 else None
        return "" if digest is None else digest.value
