"""Digests with the name of their algorithm (PEP 503; ``hashes`` in PEP 691)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEX_DIGITS = {
    "md5": 32,
    "sha1": 40,
    "sha224": 56,
    "sha256": 64,
    "sha384": 96,
    "sha512": 128,
    "blake2s": 64,
    "blake2b": 128,
    "sha3_224": 56,
    "sha3_256": 64,
    "sha3_384": 96,
    "sha3_512": 128,
}
"""The supported algorithms, with the length of a digest in hexadecimal digits."""

_HEX = re.compile(r"[0-9a-f]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Digest:
    """A hash value and its algorithm; ``value`` is lower-case hexadecimal."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}={self.value}"


def parse_digest(algorithm: object, value: object) -> Digest:
    """Return the digest in lower case.

    :raises InvalidValue: for an algorithm that is not in ``HEX_DIGITS``, or a value that is
        not that many hexadecimal digits.
    """
    if not isinstance(algorithm, str) or algorithm not in HEX_DIGITS:
        raise InvalidValue("hash algorithm", algorithm, "is not supported")
    if not isinstance(value, str):
        raise InvalidValue(f"{algorithm} digest", value, "is not text")
    lowered = value.lower()
    if len(lowered) != HEX_DIGITS[algorithm] or not _HEX.fullmatch(lowered):
        raise InvalidValue(
            f"{algorithm} digest", value, f"is not {HEX_DIGITS[algorithm]} hexadecimal digits"
        )
    return Digest(algorithm, lowered)


@dataclass(frozen=True, slots=True)
class Hashes:
    """The digests of one content, at most one of each algorithm."""

    digests: tuple[Digest, ...] = ()

    def get(self, algorithm: str) -> Digest | None:
        """Return the digest of ``algorithm``, or None."""
        for digest in self.digests:
            if digest.algorithm == algorithm:
                return digest
        return None

    def __iter__(self) -> Iterator[Digest]:
        return iter(self.digests)

    def __bool__(self) -> bool:
        return bool(self.digests)

    def with_digest(self, digest: Digest) -> Hashes:
        """Return the hashes with ``digest`` in place of any other of its algorithm."""
        others = (d for d in self.digests if d.algorithm != digest.algorithm)
        return Hashes((*others, digest))


def parse_hashes(texts: Mapping[str, object]) -> Hashes:
    """Return the valid digests of supported algorithms; others are left out."""
    digests = []
    for algorithm, value in texts.items():
        try:
            digests.append(parse_digest(algorithm, value))
        except InvalidValue:
            continue
    return Hashes(tuple(digests))
