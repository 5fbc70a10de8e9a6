"""What an examination of one project is asked for, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bandersnatch.catalogue.records import FileRecord
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.names import ProjectName


@dataclass(frozen=True, slots=True)
class FilesByAge:
    """Selects the files that were last read at ``began`` or earlier.

    A time after ``latest`` was recorded by a wrong clock and does not count. Both are in seconds
    since 1970.
    """

    began: int
    latest: int

    def has(self, found: FileRecord) -> bool:
        """Whether the content of a file is to be read."""
        return not self.began < (found.verified or NEVER) <= self.latest


@dataclass(frozen=True, slots=True)
class FilesByPath:
    """Selects the files with these paths."""

    paths: frozenset[str]

    def has(self, found: FileRecord) -> bool:
        """Whether the content of a file is to be read."""
        return found.file.path in self.paths


FileSelection = FilesByAge | FilesByPath
"""The files whose content is to be read; of the others only the size is compared."""


@dataclass(frozen=True, slots=True)
class Examination:
    """One project to examine, with what is left of the budget: seconds, and bytes to read."""

    name: ProjectName
    files: FileSelection
    seconds: float | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Damage:
    """An object that is not what the record says; ``what`` is a clause about it ("it is ...")."""

    key: StorageKey
    what: str


@dataclass(slots=True)
class Findings:
    """The result of examining one project.

    ``at`` is when the examination began, in seconds since 1970, ``size`` the number of bytes that
    were read. ``files`` and ``sidecars`` have the damage by the path of the release file.
    ``intact`` has the modification time, in nanoseconds since 1970, of each file whose content
    was read and is correct. ``is_newer`` says that the damaged page is newer than the record,
    ``is_unfinished`` that the budget was spent before every file was read.
    """

    at: int
    pages: list[Damage] = field(default_factory=list)
    documents: list[Damage] = field(default_factory=list)
    files: dict[str, Damage] = field(default_factory=dict)
    sidecars: dict[str, Damage] = field(default_factory=dict)
    intact: dict[str, int] = field(default_factory=dict)
    size: int = 0
    is_newer: bool = False
    is_unfinished: bool = False

    @property
    def damage(self) -> Iterator[Damage]:
        """All damage, pages first."""
        yield from self.pages
        yield from self.documents
        yield from self.files.values()
        yield from self.sidecars.values()
