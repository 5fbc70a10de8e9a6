"""What a mirror needs of the world: small protocols, shaped like the weakest that may stand behind.

Each says in its words what an adapter promises; ``tests/contract`` holds every adapter to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from bandersnatch.events import Event
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import Content, Expected
    from bandersnatch.model.digests import Hashes
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList
    from bandersnatch.model.serials import Change, Serial
    from bandersnatch.records import (
        Batch,
        FetchedDetail,
        FetchedList,
        Had,
        Listed,
        ProjectRecord,
        Reading,
        Removed,
        Stale,
        Stored,
        StoredObject,
        Totals,
        Unfinished,
        Validators,
        Waiting,
    )


# ---------------------------------------------------------------- the index


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

        :raises TooLarge: as soon as there are more than there may be.
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


class PackageIndex(Protocol):
    """The index that is followed.

    Every method retries what may pass (the policy is the adapter's) and raises ``UpstreamError``
    when that did not help.
    """

    async def last_serial(self) -> Serial:
        """Return the serial of the newest change.

        :raises ChangelogRefused: if this index has no changelog.
        """
        ...

    async def changes(self, since: Serial, until: Serial, /) -> Sequence[Change]:
        """Return the changes after ``since`` up to ``until``, in the order of their serials.

        :raises ChangelogRefused: if this index has no changelog.
        """
        ...

    async def list_with_serials(self) -> ProjectList:
        """Return all projects with their serials, from the changelog's side.

        :raises ChangelogRefused: if this index has no changelog.
        """
        ...

    async def fetch_list(self, known: Validators, /) -> FetchedList | None:
        """Return the root page, or None if it is the one that ``known`` tells of."""
        ...

    async def fetch_detail(self, name: ProjectName, known: Validators, /) -> FetchedDetail | None:
        """Return a project's page, or None if it is the one that ``known`` tells of.

        :raises ProjectNotFound: if there is none.
        """
        ...

    async def fetch_legacy(self, name: ProjectName, /) -> bytes | None:
        """Return a project's legacy JSON document, or None if there is none."""
        ...

    async def download(self, url: str, sink: Sink, /) -> Content:
        """Stream a file into ``sink``, going on where an earlier try ended, and finish it.

        :raises NotFound: if it is not there.
        :raises IntegrityError: if the bytes stay wrong.
        """
        ...


# ---------------------------------------------------------------- the storage


class Storage(Protocol):
    """A place that holds a mirror's pages and state.

    There are no directories here: a local disk has them, an object store does not, and a mirror
    needs none of them. Every write is whole or absent. All raise ``StorageError``.
    """

    async def read(self, key: StorageKey, /) -> bytes:
        """Return the bytes at ``key``.

        :raises NotStored: if there are none; ``LeadsAway`` if a link leads elsewhere.
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

        :raises NotStored: if it is not there.
        """
        ...

    async def read_through(self, keys: Sequence[StorageKey], /) -> Sequence[Reading]:
        """Read objects through and return what came of each; it is no error if one cannot be."""
        ...

    def pieces(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        """Yield what is in an object, at most a mebibyte at a time.

        :raises NotStored: if it is not there.
        """
        ...

    def receive(self, key: StorageKey, expected: Expected, /) -> AbstractAsyncContextManager[Sink]:
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


# ---------------------------------------------------------------- the memory


class Catalogue(Protocol):
    """The memory of what the mirror has. All raise ``StorageError``."""

    async def had(self, names: Iterable[ProjectName] | None, /) -> dict[ProjectName, Had]:
        """Return what is known of the projects named, or of all; in the order of names.

        Projects that are left out are among them.
        """
        ...

    async def count(self) -> int:
        """Return how many projects are here; those that are left out do not count."""
        ...

    async def project(self, name: ProjectName, /) -> ProjectRecord | None:
        """Return one project with its files."""
        ...

    async def due(self, now: int, /) -> Sequence[ProjectName]:
        """Return the projects that more of the same page is to be published of by now."""
        ...

    async def unfinished(self) -> Sequence[Unfinished]:
        """Return the projects to come back to, in the order of names."""
        ...

    async def removed(self, *, before: int | None = None) -> Sequence[Removed]:
        """Return what lies in ``removed/``, or only what was put there before a time."""
        ...

    async def note(self, key: str, /) -> str:
        """Return a remembered text, "" if there is none."""
        ...

    async def commit(self, batch: Batch, /) -> None:
        """Remember the changes; they survive a power cut once this returns."""
        ...


class Inventory(Protocol):
    """The side of the catalogue that looks over the whole mirror, a piece at a time.

    Projects that are left out are not among what it tells of. All raise ``StorageError``.
    """

    async def listed(self, after: str, /) -> Sequence[Listed]:
        """Return the next projects after a name, in the order of names; "" is before all."""
        ...

    async def stale(self, before: int, after: Stale | None, /) -> Sequence[Stale]:
        """Return the next projects that were verified before a time, the oldest first.

        ``after`` is the last of the piece before.
        """
        ...

    async def stored(self, names: Collection[ProjectName], /) -> Mapping[ProjectName, list[Stored]]:
        """Return the files of projects as they lie there; who has none is not among them."""
        ...

    async def owned(self, claims: Collection[tuple[ProjectName, str]], /) -> frozenset[str]:
        """Return those of the paths that belong to the project that they are claimed for.

        These are its files' own, and those of the core metadata that it advertises.
        """
        ...

    async def named(self, paths: Collection[str], /) -> frozenset[str]:
        """Return those of the paths that belong to any project; looks at every file."""
        ...

    async def totals(self) -> Totals:
        """Return what the mirror has, counted."""
        ...

    async def largest(self, count: int, /) -> Sequence[Stale]:
        """Return the projects with the most bytes, the largest first."""
        ...

    async def removed_totals(self) -> Waiting:
        """Return what lies in ``removed/``, counted."""
        ...


class MirrorCatalogue(Catalogue, Inventory, Protocol):
    """Both sides of a catalogue."""


# ---------------------------------------------------------------- the rest


class EventSink(Protocol):
    """Somebody who wants to know what happens; must neither block nor raise."""

    def __call__(self, event: Event, /) -> None:
        """Take note of an event."""
        ...


class Clock(Protocol):
    """Time, so that tests need not wait for it."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Return after that many seconds."""
        ...
