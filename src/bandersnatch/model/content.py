"""What downloaded bytes must turn out to be, and the check that is fed with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.errors import DigestMismatch, OversizedContent, SizeMismatch
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import MAX_FILE_SIZE
from bandersnatch.model.urls import path_digest

if TYPE_CHECKING:
    from bandersnatch.model.files import ReleaseFile


_CONTENT = "blake2b_256"
"""The digest that PyPI makes its file paths from; its name in the legacy documents."""


@dataclass(frozen=True, slots=True)
class ExpectedContent:
    """What a download must turn out to be.

    ``url`` is for messages. ``size`` is in bytes, None when the index does not tell.
    ``content`` is the digest in the file's path, "" for a path without one.
    ``also`` names further algorithms whose digests are wanted. ``modified`` is the time that the
    stored file is given, in nanoseconds since 1970, None for the time of its writing.
    ``largest`` limits a download whose size is not told.
    """

    url: str
    sha256: Digest
    size: int | None = None
    content: str = ""
    also: tuple[str, ...] = ()
    modified: int | None = None
    largest: int = MAX_FILE_SIZE

    @property
    def limit(self) -> int:
        """How many bytes are accepted at most."""
        return self.largest if self.size is None else self.size


@dataclass(frozen=True, slots=True)
class Content:
    """What bytes turned out to be."""

    size: int
    hashes: Hashes


def expected_content(file: ReleaseFile, *, digest_name: str = "sha256") -> ExpectedContent:
    """Return what the content of a release file must be."""
    return ExpectedContent(
        url=file.url,
        sha256=file.sha256,
        size=file.size,
        content=path_digest(file.path) or "",
        also=() if digest_name == "sha256" else (digest_name,),
        modified=file.modified,
    )


MAX_SIDECAR_SIZE = 8 * 1024**2
"""Bytes; the size of a core metadata file is never announced."""


def expected_sidecar(file: ReleaseFile, digest: Digest, url: str) -> ExpectedContent:
    """Return what the content of a file's core metadata must be."""
    return ExpectedContent(url, digest, modified=file.modified, largest=MAX_SIDECAR_SIZE)


class ContentCheck:
    """Counts and hashes bytes as they pass, and says at the end whether they were the right ones.

    A path of PyPI's form carries a second digest of the content. Where its digits are those of
    the sha256 the path was made by a mirror, which has no other; then nothing more is checked.
    """

    def __init__(self, expected: ExpectedContent) -> None:
        self._expected = expected
        self._sha256 = hashlib.sha256()
        self._content = (
            hashlib.blake2b(digest_size=32)
            if expected.content not in {"", expected.sha256.value}
            else None
        )
        self._also = [(name, hashlib.new(name)) for name in expected.also]
        self.size = 0

    def update(self, chunk: bytes) -> None:
        """Take in the next bytes.

        :raises OversizedContent: as soon as there are more than there may be.
        """
        self.size += len(chunk)
        if self.size > self._expected.limit:
            raise OversizedContent(self._expected.url, self._expected.limit)
        self._sha256.update(chunk)
        if self._content is not None:
            self._content.update(chunk)
        for _, hasher in self._also:
            hasher.update(chunk)

    def finish(self) -> Content:
        """Return what the bytes are.

        :raises SizeMismatch: if there are too few.
        :raises DigestMismatch: if they are not the expected ones.
        """
        expected = self._expected
        if expected.size is not None and self.size != expected.size:
            raise SizeMismatch(expected.url, expected=expected.size, actual=self.size)
        actual = Digest("sha256", self._sha256.hexdigest())
        if actual != expected.sha256:
            raise DigestMismatch(expected.url, expected=str(expected.sha256), actual=str(actual))
        if self._content is not None and self._content.hexdigest() != expected.content:
            raise DigestMismatch(
                expected.url,
                expected=f"{_CONTENT}={expected.content}",
                actual=f"{_CONTENT}={self._content.hexdigest()}",
            )
        also = (Digest(name, hasher.hexdigest()) for name, hasher in self._also)
        return Content(self.size, Hashes((actual, *also)))


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells two answers of the same URL apart: headers (RFC 9110), or a digest of the body.

    Each is empty when it is not known.
    """

    etag: str = ""
    last_modified: str = ""
    body: str = ""
