"""The expected size and digests of downloaded bytes, and the check against them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bandersnatch.errors import DigestMismatch, OversizedContent, SizeMismatch
from bandersnatch.model.digests import Digest, Hashes, new_hasher, unique
from bandersnatch.model.files import MAX_FILE_SIZE, ReleaseFile
from bandersnatch.model.urls import path_digest

_PATH_ALGORITHM = "blake2b_256"
"""The algorithm of the digest in PyPI's file paths, as the legacy documents call it."""


@dataclass(frozen=True, slots=True)
class ExpectedContent:
    """What a download must contain.

    ``url`` is where the index says that it is. ``digest`` is None if there is none to check.
    ``size`` is in bytes, None if the index does not state it; then ``max_size`` limits the
    download. ``path_digest`` is the digest in the file's path, "" if the path has none.
    ``algorithms`` are computed in addition to sha256 and that of ``digest``. ``modified`` is the
    modification time of the stored file in nanoseconds since 1970, None for the time of writing.
    """

    url: str
    digest: Digest | None
    size: int | None = None
    path_digest: str = ""
    algorithms: tuple[str, ...] = ()
    modified: int | None = None
    max_size: int = MAX_FILE_SIZE

    @property
    def limit(self) -> int:
        """The number of bytes that are accepted at most."""
        return self.max_size if self.size is None else self.size

    @property
    def name(self) -> str:
        """The name of the partial download: 64 hexadecimal digits.

        It is the sha256 of the content, or if that is not known, of its URL and digest.
        """
        if self.digest is not None and self.digest.algorithm == "sha256":
            return self.digest.value
        return hashlib.sha256(f"{self.url} {self.digest or ''}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Validators:
    """What distinguishes two responses of the same URL; each is "" if unknown.

    ``etag`` and ``last_modified`` are headers (RFC 9110, section 8.8), ``body`` is a digest.
    """

    etag: str = ""
    last_modified: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """The size in bytes and the digests of checked content.

    ``validators`` are those of the response if there was no digest to verify the content with.
    """

    size: int
    hashes: Hashes
    validators: Validators | None = None


def expected_content(file: ReleaseFile, *, digest_name: str = "sha256") -> ExpectedContent:
    """Return the expected content of a release file."""
    return ExpectedContent(
        url=file.url,
        digest=file.digest,
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

    sha256 is always computed, and once. A path of PyPI's form has a second digest of the content.
    If it equals the sha256, a mirror made the path and there is no second digest to check.
    """

    def __init__(self, expected: ExpectedContent) -> None:
        self._expected = expected
        self._sha256 = hashlib.sha256()
        checked = expected.digest
        self._by_path = (
            hashlib.blake2b(digest_size=32)
            if expected.path_digest not in {"", checked.value if checked else ""}
            else None
        )
        names = unique(*([checked.algorithm] if checked else []), *expected.algorithms)
        self._extra = [(name, new_hasher(name)) for name in names if name != "sha256"]
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
        extra = (Digest(name, hasher.hexdigest()) for name, hasher in self._extra)
        hashes = Hashes((Digest("sha256", self._sha256.hexdigest()), *extra))
        if expected.digest is not None and expected.digest not in hashes:
            actual = hashes.get(expected.digest.algorithm)
            raise DigestMismatch(expected.url, expected=str(expected.digest), actual=str(actual))
        self._check_path(hashes)
        return Content(self.size, hashes)

    def _check_path(self, hashes: Hashes) -> None:
        """Compare the content with the digest in the file's path.

        :raises DigestMismatch: if it is not the expected one.
        """
        expected, sha256 = self._expected, hashes.sha256
        if self._by_path is None or self._by_path.hexdigest() == expected.path_digest:
            return
        if sha256 is not None and sha256.value == expected.path_digest:
            return  # the path is of a mirror whose page does not give the sha256
        raise DigestMismatch(
            expected.url,
            expected=f"{_PATH_ALGORITHM}={expected.path_digest}",
            actual=f"{_PATH_ALGORITHM}={self._by_path.hexdigest()}",
        )
