"""The expected size and digests of downloaded bytes, and the check against them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bandersnatch.errors import DigestMismatch, OversizedContent, SizeMismatch
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import MAX_FILE_SIZE, ReleaseFile
from bandersnatch.model.urls import path_digest

_PATH_ALGORITHM = "blake2b_256"
"""The algorithm of the digest in PyPI's file paths, as the legacy documents call it."""


@dataclass(frozen=True, slots=True)
class ExpectedContent:
    """What a download must contain.

    ``url`` is for messages. ``size`` is in bytes, None if the index does not state it; then
    ``max_size`` limits the download. ``path_digest`` is the digest in the file's path, "" if the
    path has none. ``algorithms`` are computed in addition to sha256. ``modified`` is the
    modification time of the stored file in nanoseconds since 1970, None for the time of writing.
    """

    url: str
    sha256: Digest
    size: int | None = None
    path_digest: str = ""
    algorithms: tuple[str, ...] = ()
    modified: int | None = None
    max_size: int = MAX_FILE_SIZE

    @property
    def limit(self) -> int:
        """The number of bytes that are accepted at most."""
        return self.max_size if self.size is None else self.size


@dataclass(frozen=True, slots=True)
class Content:
    """The size in bytes and the digests of checked content."""

    size: int
    hashes: Hashes


def expected_content(file: ReleaseFile, *, digest_name: str = "sha256") -> ExpectedContent:
    """Return the expected content of a release file."""
    return ExpectedContent(
        url=file.url,
        sha256=file.sha256,
        size=file.size,
        path_digest=path_digest(file.path) or "",
        algorithms=() if digest_name == "sha256" else (digest_name,),
        modified=file.modified,
    )


MAX_SIDECAR_SIZE = 8 * 1024**2
"""Bytes; the index does not state the size of core metadata."""


def expected_sidecar(file: ReleaseFile, digest: Digest, url: str) -> ExpectedContent:
    """Return the expected content of a file's core metadata."""
    return ExpectedContent(url, digest, modified=file.modified, max_size=MAX_SIDECAR_SIZE)


class ContentCheck:
    """Counts and hashes chunks, and compares the result with the expected content.

    A path of PyPI's form has a second digest of the content. If it equals the sha256, a mirror made
    the path and there is no second digest to check.
    """

    def __init__(self, expected: ExpectedContent) -> None:
        self._expected = expected
        self._sha256 = hashlib.sha256()
        self._by_path = (
            hashlib.blake2b(digest_size=32)
            if expected.path_digest not in {"", expected.sha256.value}
            else None
        )
        self._extra = [(name, hashlib.new(name)) for name in expected.algorithms]
        self.size = 0

    def update(self, chunk: bytes) -> None:
        """Process the next bytes.

        :raises OversizedContent: as soon as there are more bytes than accepted.
        """
        self.size += len(chunk)
        if self.size > self._expected.limit:
            raise OversizedContent(self._expected.url, self._expected.limit)
        self._sha256.update(chunk)
        if self._by_path is not None:
            self._by_path.update(chunk)
        for _, hasher in self._extra:
            hasher.update(chunk)

    def finish(self) -> Content:
        """Return the size and digests of the content.

        :raises SizeMismatch: if there are too few bytes.
        :raises DigestMismatch: if a digest is not the expected one.
        """
        expected = self._expected
        if expected.size is not None and self.size != expected.size:
            raise SizeMismatch(expected.url, expected=expected.size, actual=self.size)
        actual = Digest("sha256", self._sha256.hexdigest())
        if actual != expected.sha256:
            raise DigestMismatch(expected.url, expected=str(expected.sha256), actual=str(actual))
        if self._by_path is not None and self._by_path.hexdigest() != expected.path_digest:
            raise DigestMismatch(
                expected.url,
                expected=f"{_PATH_ALGORITHM}={expected.path_digest}",
                actual=f"{_PATH_ALGORITHM}={self._by_path.hexdigest()}",
            )
        extra = (Digest(name, hasher.hexdigest()) for name, hasher in self._extra)
        return Content(self.size, Hashes((actual, *extra)))


@dataclass(frozen=True, slots=True)
class Validators:
    """What distinguishes two responses of the same URL; each is "" if unknown.

    ``etag`` and ``last_modified`` are headers (RFC 9110, section 8.8), ``body`` is a digest.
    """

    etag: str = ""
    last_modified: str = ""
    body: str = ""
