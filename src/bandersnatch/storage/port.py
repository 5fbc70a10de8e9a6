"""The port of the storage: where a mirror's state, pages and files are kept.

It is shaped like the weakest backend, an object store: there are objects with keys, and neither
directories nor links nor renames. Every method raises ``StorageError`` when the storage fails.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec import Struct

from bandersnatch.model.folding import EXACT, Folding

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Collection,
        Hashable,
        Mapping,
        Sequence,
    )
    from contextlib import AbstractAsyncContextManager
    from socket import socket

    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import Content, ExpectedContent
    from bandersnatch.model.digests import Digest, Hashes


class Sink(Protocol):
    """Receives the bytes of one download, and shows nothing before they are verified."""

    @property
    def held(self) -> int:
        """The number of bytes, from the beginning of the file, that are stored already."""
        ...

    @property
    def complete(self) -> bool:
        """Whether as many bytes are held as expected, so that none need be requested."""
        ...

    @property
    def verifiable(self) -> bool:
        """Whether there is a digest to verify the content with.

        If there is none, the bytes of two responses must not be joined.
        """
        ...

    async def write(self, chunk: bytes, /) -> None:
        """Append bytes.

        :raises OversizedContent: if this exceeds the size limit of the download.
        :raises StorageError: if the bytes cannot be stored.
        """
        ...

    async def restart(self) -> None:
        """Discard the bytes that are held."""
        ...

    async def finish(self) -> Content:
        """Verify the content and publish it at the key of the download, in one step.

        :raises IntegrityError: if it is not the expected content; the bytes are discarded.
        :raises StorageError: if it cannot be published.
        """
        ...


class Storage(Protocol):
    """The part of a storage that holds pages and state, and the trash."""

    async def read(self, key: StorageKey, /) -> bytes:
        """Return the content of an object.

        :raises MissingObject: if there is none.
        :raises ForeignLink: if a link in its place leads out of the mirror.
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

        An object that has the same content already is not touched. Readers see either the old
        or the new content. If ``durable``, every change survives a power failure once this
        returns. Returns the keys whose content changed or was deleted.
        """
        ...

    async def publish_version(self, key: StorageKey, version: StorageKey, /) -> None:
        """Make the page at ``key`` show the content of the object ``version``, in one step.

        The page may show that content only as long as ``version`` exists: a file system makes a
        link, an object store a copy.
        """
        ...

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        """Move objects of the served tree to the trash (see ``layout.trash``), in order.

        They keep their time of modification and replace what the trash has at the same key.
        Keys without an object are skipped.
        """
        ...

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        """Move objects of the trash, given by their keys there, back to the served tree.

        They keep their time of modification and replace what is served at the same key. Keys
        without an object are skipped.
        """
        ...

    async def purge(self, keys: Collection[StorageKey], /) -> None:
        """Delete objects of the trash for good. Keys without an object are skipped."""
        ...

    def scan(self, prefix: StorageKey, /) -> AsyncIterator[StoredObject]:
        """Yield the objects whose keys begin with ``prefix``, in the order of their keys.

        Their times are those when they were stored if the storage lists no others.
        """
        ...

    @property
    def folding(self) -> Folding:
        """What the storage ignores when it compares keys: nothing, unless it says so.

        It is known once the storage is open.
        """
        return EXACT

    async def probe(self, key: StorageKey, /) -> None:
        """Check that the storage works at all where ``key`` is, whatever is wrong at ``key``.

        :raises StorageError: if it does not.
        """
        ...

    async def flush(self) -> None:
        """Return once everything that was written before survives a power failure."""
        ...


class FileStore(Protocol):
    """The part of a storage that receives and verifies release files."""

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        """Return size and time of each object; None for each that does not exist."""
        ...

    @asynccontextmanager
    async def listing(self, *prefixes: StorageKey) -> AsyncIterator[Listing]:
        """List the objects below the prefixes, for the look-up of nearly all of them.

        It takes little memory, however many there are.
        """
        del prefixes
        yield Listing(self.stat)

    @property
    def believes_records(self) -> bool:
        """Whether what was recorded of objects is believed without ``stat``, except by ``verify``.

        It is if each ``stat`` is a request to a store that only this mirror writes to, unless the
        last command was interrupted.
        """
        return False

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        """Read an object and return its digests.

        :raises MissingObject: if it does not exist.
        """
        ...

    async def read_files(self, keys: Sequence[StorageKey], /) -> Sequence[FileReadResult]:
        """Read each object to its end and return its size and sha256, or why that failed."""
        ...

    def stream(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        """Yield the content of an object in chunks of 1 MiB at most.

        :raises MissingObject: if it does not exist.
        """
        ...

    def receive(
        self, key: StorageKey, expected: ExpectedContent, /
    ) -> AbstractAsyncContextManager[Sink]:
        """Begin or resume the download of the object ``key``.

        Leaving the context without ``finish`` keeps the bytes for a later attempt if they are
        many, and discards them otherwise.
        """
        ...

    async def free_space(self, prefix: StorageKey, /) -> StorageSpace | None:
        """Return the space for objects whose keys begin with ``prefix``; None if it is unknown."""
        ...

    async def purge_downloads(self, *, before: int) -> None:
        """Delete unfinished downloads that were not written to since ``before``.

        ``before`` is in seconds since 1970.
        """
        ...


class MirrorStorage(Storage, FileStore, Protocol):
    """A whole storage."""


class ServedStorage(Protocol):
    """The part of a storage that web servers need: reading what clients may see.

    It changes nothing, takes no lock, and may be used for weeks, while other processes change the
    mirror. A page that shows a kept version (``Storage.publish_version``) is read through;
    no other link is followed.
    """

    async def look(
        self, key: StorageKey, /, known: ServedObject | None = None
    ) -> ServedObject | None:
        """Return what is served at ``key`` now; None if nothing is.

        ``known`` is what was returned before: to confirm that it has not changed costs less.
        """
        ...

    async def is_locked(self) -> bool:
        """Whether a command that changes the mirror is running, as far as that is known."""
        ...

    def open(self, key: StorageKey, /) -> AbstractAsyncContextManager[ServedContent]:
        """Open the object that is served at ``key``.

        :raises MissingObject: if nothing is.
        """
        ...


class ServedContent(Protocol):
    """An open object. What is read belongs to one object, also if it is replaced meanwhile."""

    @property
    def found(self) -> ServedObject:
        """What was opened."""
        ...

    async def read(self, start: int, size: int, /) -> bytes | bytearray:
        """Return ``size`` bytes from the offset ``start``; fewer only if the content ends before.

        :raises StorageError: if they cannot be read.
        """
        ...

    @property
    def can_send(self) -> bool:
        """Whether ``send`` is possible."""
        return False

    async def send(self, to: socket, start: int, size: int, /) -> int:
        """Send up to ``size`` bytes from the offset ``start`` to a connected socket.

        They do not pass through the memory of this process. Return how many the socket took; 0
        only if the content ends before.

        :raises BlockingIOError: if the socket, which must not block, takes none now.
        :raises OSError: if they cannot be sent, or not be read.
        """
        del to, start, size
        raise OSError("this storage cannot send to a socket")


class ServedObject(Struct, frozen=True):
    """An object as it is served: ``size`` in bytes, ``modified`` in nanoseconds since 1970.

    ``tag`` is equal for two objects at one key only if they have the same content.
    """

    size: int
    modified: int
    tag: Hashable


class StoredObject(Struct, frozen=True):
    """What a storage knows of an object without reading it.

    ``size`` is in bytes, ``modified`` in nanoseconds since 1970.
    """

    key: StorageKey
    size: int
    modified: int


class Listing(NamedTuple):
    """What a storage says of many objects at the lowest cost; ``stat`` is like that of a storage.

    ``newest`` is None if it is as exact as that. Otherwise the objects were listed: the listing may
    lack new objects and have deleted ones, and its times are those when the objects were stored, by
    the clock of the store. Then ``newest`` is the latest of them, in nanoseconds since 1970.
    """

    stat: Callable[[Sequence[StorageKey]], Awaitable[Sequence[StoredObject | None]]]
    newest: int | None = None


class StorageSpace(NamedTuple):
    """How many more bytes may be stored somewhere; equal places share their space.

    ``place`` is a key that names the place for people, empty for the whole mirror.
    """

    place: StorageKey
    free: int


class FileReadResult(NamedTuple):
    """The result of reading an object to its end; ``problem`` says why it could not be read.

    ``digest`` is its sha256 unless another algorithm was asked for.
    """

    size: int
    digest: Digest | None
    problem: str = ""
