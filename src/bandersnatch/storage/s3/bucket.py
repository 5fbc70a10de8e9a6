"""The client of one bucket, by the keys of a mirror: requests, their attempts, and their errors."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from obstore.store import S3Store

from bandersnatch import __version__
from bandersnatch.errors import MissingObject, StorageError, UnstorableName
from bandersnatch.layout import StorageKey, is_key
from bandersnatch.storage.port import StoredObject
from bandersnatch.storage.s3.attributes import attributes, stored_time
from bandersnatch.storage.s3.credentials import shared_credentials
from bandersnatch.storage.s3.failures import mapped_failures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime

    from obstore.store import ObjectStore

    from bandersnatch.config.schema import BucketSettings

    _Pairs = Sequence[tuple[str, str]]
    ClientFactory = Callable[[BucketSettings, Mapping[str, str], _Pairs, _Pairs], ObjectStore]

PART = 8 * 1024 * 1024
"""Bytes of a part of a large object; smaller objects are written with one request."""

_PARTS_AT_A_TIME, _UPLOADS_AT_A_TIME = 2, 4
"""Of one object, and how many objects: their parts are in memory until they are sent."""

_MOST_PARTS = 9_000
"""Of one object; a store accepts 10,000, each of at least 5 MiB but the last."""

_MOST_COPIED = 5 * 1024**3
"""Bytes: a store copies no larger object with one request."""

_MOST_KEY_BYTES = 1024
_PAGE = 1_000
_NANOSECONDS = 10**9
_CONNECT_TIMEOUT, _READ_TIMEOUT = "10s", "60s"
_NO_TIMEOUT = "7 days"
"""Of a whole request; a large object takes as long as it takes."""

_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=0.3), timedelta(seconds=15)
_LAST_ATTEMPT = timedelta(minutes=3)
_NEW_PREFIX_BYTES = 16 * 1024**2

_CANCEL_GRACE = 10.0
"""Seconds that a cancelled upload has to delete its parts."""


class Head(Struct, frozen=True):
    """What a store knows of an object; ``tag`` is its ETag.

    ``modified`` is in nanoseconds since 1970: the time among its ``attributes``, or if it has none,
    the time when it was stored.
    """

    size: int
    modified: int
    tag: str
    attributes: Mapping[str, str]


class Bucket:
    """The objects of a mirror. Every method raises ``StorageError`` if the store fails.

    Nothing is requested before the first method is called.
    """

    def __init__(
        self,
        settings: BucketSettings,
        environment: Mapping[str, str],
        client: ClientFactory | None = None,
    ) -> None:
        """Take the settings; ``environment`` has the variables of Amazon's tools.

        ``client`` makes the client of the store.
        """
        self.name = settings.bucket
        self._prefix = settings.prefix
        self._new: _NewPrefix | None = None
        self._uploads = asyncio.Semaphore(_UPLOADS_AT_A_TIME)
        make = client or s3_client
        with mapped_failures(self.name, f"/{self.name}"):
            self._reader = make(settings, environment, settings.headers, ())
            self._writer = self._reader
            if settings.write_headers or settings.encryption:
                headers = (*settings.headers, *settings.write_headers)
                self._writer = make(settings, environment, headers, settings.encryption)

    def _checked(self, key: str) -> str:
        """Return a key that the client sends as it is.

        :raises UnstorableName: if it is too long, or has characters that cannot be sent.
        :raises StorageError: if it is not a valid key.
        """
        if not is_key(key):
            raise StorageError(ascii(key), "it is not a key of this storage")
        if len(f"{self._prefix}{key}".encode(errors="surrogatepass")) > _MOST_KEY_BYTES:
            why = f"its key is longer than {_MOST_KEY_BYTES} bytes, the limit of object stores"
            raise UnstorableName(key, why)
        if not key.isprintable():
            raise UnstorableName(key, "it has characters that object stores do not accept")
        return key

    def _failures(self, key: str) -> mapped_failures:
        return mapped_failures(self.name, key)

    # ------------------------------------------------------------ a new mirror

    async def note_if_empty(self, prefix: str) -> None:
        """Ask for no object below ``prefix`` from now on unless it was written, if there is none.

        Nothing but this client may write there.
        """
        async for _ in self.scan(prefix):
            return
        self._new = _NewPrefix(prefix)

    def _note_written(self, key: StorageKey) -> None:
        if self._new is not None:
            self._new.add(key)

    # ------------------------------------------------------------ reading

    async def read(self, key: StorageKey) -> bytes:
        """Return the content of an object.

        :raises MissingObject: if there is none.
        """
        content, _ = await self.read_with_head(key)
        return content

    def check(self) -> None:
        """List one page of the mirror's keys; blocks."""
        with self._failures(f"/{self.name}/{self._prefix}"):
            next(iter(self._reader.list(chunk_size=1)), None)

    async def read_with_head(self, key: StorageKey) -> tuple[bytes, Head]:
        """Return the content of an object, and what is known of it.

        :raises MissingObject: if there is none.
        """
        path = self._checked(key)
        with self._failures(key):
            found = await self._reader.get_async(path)
            content = bytes(await found.bytes_async())
        return _complete(key, content, found.meta["size"]), _head(found)

    async def read_range(self, key: StorageKey, start: int, size: int) -> tuple[bytes, str]:
        """Return bytes of an object from an offset that it has, and its tag.

        :raises MissingObject: if there is no object.
        """
        path = self._checked(key)
        with self._failures(key):
            span = (start, start + size)
            found = await self._reader.get_async(path, options={"range": span})
            content = bytes(await found.bytes_async())
        return content, found.meta["e_tag"] or ""

    async def stream(self, key: StorageKey, *, chunk: int = PART) -> AsyncIterator[bytes]:
        """Yield the content of an object in pieces of ``chunk`` bytes or a little more.

        :raises MissingObject: if there is none.
        """
        path = self._checked(key)
        with self._failures(key):
            found = await self._reader.get_async(path)
        size, received = found.meta["size"], 0
        pieces = found.stream(min_chunk_size=chunk)
        while True:
            with self._failures(key):
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    break
            received += len(piece)
            yield bytes(piece)
        if received != size:
            raise StorageError(key, f"the store sent {received} of its {size} bytes")

    async def head(self, key: StorageKey) -> Head | None:
        """Return what is known of an object; None if there is none."""
        path = self._checked(key)
        if self._new is not None and self._new.lacks(key):
            return None
        try:
            with self._failures(key):
                return _head(await self._reader.get_async(path, options={"head": True}))
        except MissingObject:
            return None
        except StorageError:
            # An answer to HEAD has no body, and so no reason. One to GET has.
            with suppress(MissingObject):
                await self.read_range(key, 0, 1)
            raise

    async def scan(self, prefix: str) -> AsyncIterator[list[StoredObject]]:
        """Yield the objects whose keys begin with ``prefix``, in the order of their keys, in pages.

        Their times are those when they were stored: a listing has no others.
        """
        folder, slash, _ = prefix.rpartition("/")
        # Listings begin after a key, and the key that equals the prefix belongs to them.
        after = prefix[:-1] if folder + slash != prefix else None
        with self._failures(prefix):
            pages = self._reader.list(folder or None, offset=after, chunk_size=_PAGE)
        while True:
            with self._failures(prefix):
                try:
                    page = await anext(pages)
                except StopAsyncIteration:
                    return
            found = [
                StoredObject(StorageKey(each["path"]), each["size"], _time(each["last_modified"]))
                for each in page
                if each["path"].startswith(prefix)
            ]
            if found:
                yield found
            if len(found) < len(page) and page[-1]["path"] > prefix:
                return

    # ------------------------------------------------------------ writing

    async def write(
        self, key: StorageKey, content: bytes, found: Mapping[str, str] | None = None
    ) -> None:
        """Replace an object; ``found`` are its attributes if they are not the usual ones."""
        path = self._checked(key)
        self._note_written(key)
        given = attributes(key) if found is None else dict(found)
        with self._failures(key):
            await self._writer.put_async(path, content, attributes=given, use_multipart=False)

    async def write_pieces(
        self, key: StorageKey, pieces: AsyncIterator[bytes], size: int, found: Mapping[str, str]
    ) -> None:
        """Replace an object by ``pieces`` of ``size`` bytes altogether, in parts.

        Nothing appears if the iterator raises an exception, which is raised then.
        """
        self._checked(key)
        self._note_written(key)
        async with self._uploads:
            await self._upload(key, pieces, size, found)

    async def _upload(
        self, key: StorageKey, pieces: AsyncIterator[bytes], size: int, found: Mapping[str, str]
    ) -> None:
        stop = asyncio.Event()

        async def until_stopped() -> AsyncIterator[bytes]:
            async for piece in pieces:
                if stop.is_set():
                    raise _Stopped
                yield piece

        upload = asyncio.ensure_future(
            self._writer.put_async(
                key,
                until_stopped(),
                attributes=dict(found),
                use_multipart=True,
                chunk_size=part_size(size),
                max_concurrency=_PARTS_AT_A_TIME,
            )
        )
        try:
            with self._failures(key):
                await asyncio.shield(upload)
        except MissingObject as error:
            # The answer that it is complete was lost, and it cannot be completed again.
            head = await self.head(key)
            if head is None or head.size != size or not found.items() <= head.attributes.items():
                raise StorageError(key, "its upload has vanished from the store") from error
        except asyncio.CancelledError:
            # If the upload itself were cancelled, the parts that were sent would stay.
            stop.set()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([upload], timeout=_CANCEL_GRACE)
            if not upload.cancel():
                upload.exception()  # retrieved, so that it is not logged
            raise

    async def copy(self, source: StorageKey, target: StorageKey) -> bool:
        """Copy an object with its time, and return whether there is one."""
        head = await self.head(source)
        if head is None:
            return False
        found = dict(head.attributes)
        if stored_time(found) is None:
            found |= attributes(target, modified=head.modified)
            if head.size <= PART:
                await self.write(target, await self.read(source), found)
                return True
        if head.size > _MOST_COPIED:
            await self.write_pieces(target, self.stream(source), head.size, found)
            return True
        await self.copy_at_once(source, target)
        return True

    async def copy_at_once(self, source: StorageKey, target: StorageKey) -> None:
        """Copy an object as it is, within the store.

        :raises MissingObject: if there is none.
        """
        path, other = self._checked(source), self._checked(target)
        self._note_written(target)
        with self._failures(source):
            await self._writer.copy_async(path, other)

    async def delete(self, keys: Sequence[StorageKey]) -> None:
        """Delete objects, if they exist, in no particular order."""
        paths = [self._checked(key) for key in keys]
        if paths:
            with self._failures(keys[0]):
                await self._writer.delete_async(paths if len(paths) > 1 else paths[0])


class _NewPrefix:
    """A prefix without objects, and which of its keys were written since: maybe a few others.

    It takes 16 MiB for any number of keys.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._bits = bytearray(_NEW_PREFIX_BYTES)

    def add(self, key: str) -> None:
        """Note that a key is written."""
        place, bit = _place(key)
        self._bits[place] |= bit

    def lacks(self, key: str) -> bool:
        """Whether there is certainly no such object."""
        place, bit = _place(key)
        return key.startswith(self._prefix) and not self._bits[place] & bit


def _place(key: str) -> tuple[int, int]:
    number, bit = divmod(hash(key) % (8 * _NEW_PREFIX_BYTES), 8)
    return number, 1 << bit


class _Stopped(Exception):
    """Ends an upload whose task was cancelled."""


def s3_client(
    settings: BucketSettings,
    environment: Mapping[str, str],
    headers: Sequence[tuple[str, str]],
    encryption: Sequence[tuple[str, str]],
) -> S3Store:
    """Return a client that sends these headers with every request."""
    config: dict[str, Any] = dict(encryption)
    provider = None
    if settings.access_key_id:
        config["access_key_id"] = settings.access_key_id
        config["secret_access_key"] = settings.secret_access_key
    else:
        provider = shared_credentials(environment)
    if settings.region:
        config["region"] = settings.region
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    client: dict[str, Any] = {
        "allow_http": True,
        "connect_timeout": _CONNECT_TIMEOUT,
        "read_timeout": _READ_TIMEOUT,
        "timeout": _NO_TIMEOUT,
        "user_agent": f"bandersnatch/{__version__}",
    }
    if headers:
        client["default_headers"] = dict(headers)
    if path := environment.get("AWS_CA_BUNDLE"):
        client["root_certificate"] = _certificate(path)
    retry: dict[str, Any] = {
        "max_retries": settings.max_attempts - 1,
        "retry_timeout": _LAST_ATTEMPT,
        "backoff": {"init_backoff": _FIRST_WAIT, "max_backoff": _LONGEST_WAIT, "base": 3},
    }
    return S3Store(
        settings.bucket,
        prefix=settings.prefix.rstrip("/") or None,
        config=config,  # type: ignore[arg-type]  # made of names that the client checks
        client_options=client,  # type: ignore[arg-type]
        retry_config=retry,  # type: ignore[arg-type]
        credential_provider=provider,
    )


def _certificate(path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return file.read()
    except OSError as error:
        raise StorageError(path, f"AWS_CA_BUNDLE names it: {error.strerror}") from error


def _head(found: Any) -> Head:  # noqa: ANN401 - a result of the client
    meta, named = found.meta, dict(found.attributes)
    modified = stored_time(named)
    if modified is None:
        modified = _time(meta["last_modified"])
    return Head(meta["size"], modified, meta["e_tag"] or "", named)


def _time(moment: datetime) -> int:
    """Return a time in nanoseconds since 1970; headers have whole seconds, listings more."""
    return int(moment.timestamp()) * _NANOSECONDS


def _complete(key: StorageKey, content: bytes, size: int) -> bytes:
    if len(content) != size:
        raise StorageError(key, f"the store sent {len(content)} of its {size} bytes")
    return content


def part_size(size: int) -> int:
    """Return the bytes of each part but the last of an object of ``size`` bytes."""
    return max(PART, -(-size // _MOST_PARTS))


def has_content(head: Head, content: bytes) -> bool | None:
    """Whether an object has this content, by its size and tag; None if only reading it tells.

    The tag is the MD5 of the content, unless the object was encrypted or stored in parts.
    """
    if head.size != len(content):
        return False
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return True if head.tag.strip('"') == digest else None
