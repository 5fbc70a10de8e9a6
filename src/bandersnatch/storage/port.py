"""The port of the storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import Content, ExpectedContent
    from bandersnatch.model.digests import Digest, Hashes


class Sink(Protocol):
    """Where the bytes of one download go; nothing is visible before they are right."""

    @property
    def held(self) -> int:
        """How many bytes from the beginning are here already."""
        ...

    @property
    def complete(self) -> bool:
        """Whether nothing is missing any more, so that nothing need be asked for."""
        ...

    async def write(self, chunk: bytes, /) -> None:
        """Take the next bytes.

        :raises OversizedContent: as soon as there are more than there may be.
        :raises StorageError: if they cannot be kept.
        """
        ...

    async def restart(self) -> None:
        """Forget what is held."""
        ...

    async def finish(self) -> Content:
        """Check what is held and put it in its place, in one step.

        :raises IntegrityError: if it is not what was expected; then nothing is held any more.
        :raises StorageError: if it cannot be put there.
        """
        ...


class Storage(Protocol):
    """A place that holds a mirror's pages and state.

    There are no directories here: a local disk has them, an object store does not, and a mirror
    needs none of them. Every write is whole or absent. All raise ``StorageError``.
    """

    async def read(self, key: StorageKey, /) -> bytes:
        """Return the bytes at ``key``.

        :raises MissingObject: if there are none; ``ForeignLink`` if a link leads elsewhere.
        """
        ...

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,
    ) -> Sequence[StorageKey]:
        """Replace each object, in the order given, and then delete those in ``absent``.

        What holds the same bytes already is left alone. A reader sees the old bytes or the new.
        With ``durable`` each survives a power cut once this returns. Returns the keys whose
        content changed or went away.
        """
        ...

    async def alias(self, key: StorageKey, target: StorageKey, /) -> None:
        """Let ``key`` answer with what is at ``target``, in one step.

        A disk makes a relative link; what has no links copies.
        """
        ...

    async def move(self, moves: Sequence[tuple[StorageKey, StorageKey]], /) -> None:
        """Move each first to its second key; what is not there (any more) is passed over."""
        ...

    async def delete(self, keys: Collection[StorageKey], /) -> None:
        """Delete the objects; what is not there is passed over."""
        ...

    def scan(self, prefix: StorageKey, /) -> AsyncIterator[StoredObject]:
        """Yield the objects whose keys begin with ``prefix``, in the order of their keys."""
        ...

    async def barrier(self) -> None:
        """Return when everything written so far would survive a power cut."""
        ...


class FileStore(Protocol):
    """The side of a storage that release files come in by. All raise ``StorageError``."""

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        """Return what is known of each object, None for those that are not there."""
        ...

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        """Read an object through and return its digests.

        :raises MissingObject: if it is not there.
        """
        ...

    async def read_through(self, keys: Sequence[StorageKey], /) -> Sequence[FileReadResult]:
        """Read objects through and return what came of each; it is no error if one cannot be."""
        ...

    def pieces(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        """Yield what is in an object, at most a mebibyte at a time.

        :raises MissingObject: if it is not there.
        """
        ...

    def receive(
        self, key: StorageKey, expected: ExpectedContent, /
    ) -> AbstractAsyncContextManager[Sink]:
        """Begin, or go on with, the download of what is to be at ``key``.

        Leaving the block without ``finish`` keeps what a later try can go on from, if that is
        worth it, and otherwise nothing.
        """
        ...

    async def free(self) -> int | None:
        """Return how many bytes may still be written; None if there is no telling."""
        ...

    async def sweep(self, *, before: int) -> None:
        """Delete what unfinished downloads left that nobody went on with since ``before``.

        That is in seconds since 1970.
        """
        ...


class MirrorStorage(Storage, FileStore, Protocol):
    """Both sides of a storage."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a storage knows of an object without reading it.

    ``size`` is in bytes, ``modified`` in nanoseconds since 1970.
    """

    key: StorageKey
    size: int
    modified: int


class FileReadResult(NamedTuple):
    """What came of reading an object through; ``problem`` says why it could not be read."""

    size: int
    sha256: Digest | None
    problem: str = ""
