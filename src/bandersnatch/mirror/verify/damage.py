"""What is found wrong with one project."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bandersnatch.layout import StorageKey
    from bandersnatch.records import ProjectRecord


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in the tree that is not as it should be; ``what`` goes on from its key."""

    key: StorageKey
    what: str


@dataclass(slots=True)
class Findings:
    """What looking at one project came to.

    ``files`` and ``sidecars`` are by the path of the release file, and so is ``right``: the
    modification time of each file whose content was read and found right. ``at`` is when the
    look began, in seconds since 1970, ``size`` the bytes that were read. A look that is not
    ``complete`` was ended by a limit.
    """

    record: ProjectRecord
    at: int
    pages: list[Damage] = field(default_factory=list)
    documents: list[Damage] = field(default_factory=list)
    files: dict[str, Damage] = field(default_factory=dict)
    sidecars: dict[str, Damage] = field(default_factory=dict)
    right: dict[str, int] = field(default_factory=dict)
    size: int = 0
    complete: bool = True

    @property
    def damage(self) -> Iterator[Damage]:
        """Everything that is wrong, pages first."""
        yield from self.pages
        yield from self.documents
        yield from self.files.values()
        yield from self.sidecars.values()
