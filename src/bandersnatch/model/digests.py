"""Digests with the name of their algorithm (PEP 503; ``hashes`` in PEP 691)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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
"""The algorithms that pages may have, with the length of a digest in hexadecimal digits."""

_BLAKE2B_256 = "blake2b_256"
_CHECKABLE = {**HEX_DIGITS, _BLAKE2B_256: 64}
"""The algorithms that can be checked: BLAKE2b-256 has no name of its own in ``hashlib``."""

_PREFERENCE = (
    "sha256", "sha512", "sha384", "blake2b", "sha3_512", "sha3_384", "sha3_256",
    _BLAKE2B_256, "blake2s", "sha224", "sha3_224", "sha1", "md5",
)  # fmt: skip
"""The algorithms in the order in which they are preferred as a check of content.

All but the last two are collision-resistant. sha256 is the first of these because it is computed
of every file anyway.
"""

_BY_LENGTH = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
"""What a digest without an algorithm is taken for, by its number of hexadecimal digits."""

_NOT_DIGESTS = frozenset({"egg", "subdirectory", "name", "metadata"})

_HEX = re.compile(r"[0-9a-f]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Digest:
    """A hash value and its algorithm; ``value`` is lower-case hexadecimal."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}={self.value}"


class Hasher(Protocol):
    """The part of a hash object of ``hashlib`` that is used here."""

    def update(self, chunk: bytes, /) -> None:
        """Process the next bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far, in hexadecimal digits."""
        ...


def new_hasher(algorithm: str) -> Hasher:
    """Return a new hash object of a supported algorithm."""
    if algorithm == _BLAKE2B_256:
        return hashlib.blake2b(digest_size=32)
    return hashlib.new(algorithm)


def placeholder(algorithm: str) -> Digest:
    """Return a digest of zeros, for content that is not known (dry runs)."""
    return Digest(algorithm, "0" * _CHECKABLE[algorithm])


def parse_digest(algorithm: object, value: object) -> Digest:
    """Return the digest in lower case.

    :raises InvalidValue: for an algorithm that is not supported, or a value that does not have
        the right number of hexadecimal digits.
    """
    name = _algorithm(algorithm, value)
    if name is None:
        raise InvalidValue("hash algorithm", algorithm, "is not supported")
    return _digest(name, value)


def _digest(name: str, value: object) -> Digest:
    """Return the digest of a supported algorithm.

    :raises InvalidValue: if the value does not have the right number of hexadecimal digits.
    """
    if not isinstance(value, str):
        raise InvalidValue(f"{name} digest", value, "is not text")
    lowered = value.lower()
    if len(lowered) != _CHECKABLE[name] or not _HEX.fullmatch(lowered):
        raise InvalidValue(f"{name} digest", value, f"is not {_CHECKABLE[name]} hexadecimal digits")
    return Digest(name, lowered)


def _algorithm(given: object, value: object) -> str | None:
    """Return the supported algorithm of this name, None if there is none.

    Upper case and hyphens are accepted (``SHA-256``, ``sha3-256``), and ``blake2b`` for BLAKE2b-256
    if the digest has its length, as clients do.
    """
    if isinstance(given, str) and given not in HEX_DIGITS:
        given = given.lower().replace("-", "_").replace("sha_", "sha")
    if given == "blake2b" and isinstance(value, str) and len(value) == _CHECKABLE[_BLAKE2B_256]:
        return _BLAKE2B_256
    return given if isinstance(given, str) and given in _CHECKABLE else None


@dataclass(frozen=True, slots=True)
class Hashes:
    """The digests of one content, at most one of each algorithm; there may be none."""

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

    @property
    def sha256(self) -> Digest | None:
        """The sha256 digest, or None."""
        return self.get("sha256")

    @property
    def sha256_value(self) -> str:
        """The sha256 digest in hexadecimal digits, "" if it is not known."""
        return "" if self.sha256 is None else self.sha256.value

    @property
    def strongest(self) -> Digest | None:
        """The digest to check content with: sha256, else the strongest; None without a digest."""
        if len(self.digests) == 1:
            return self.digests[0]
        return min(self.digests, key=lambda d: _PREFERENCE.index(d.algorithm), default=None)

    def agrees_with(self, offered: Hashes) -> bool | None:
        """Whether these digests of known content match the strongest digest that is offered.

        None if that cannot be compared: nothing is offered, or the digest of its algorithm is
        not known.
        """
        digest = offered.strongest
        known = None if digest is None else self.get(digest.algorithm)
        return None if known is None else known == digest


def parse_hashes(texts: Mapping[str, object]) -> Hashes:
    """Return the valid digests of supported algorithms; others are left out."""
    return _parse(texts, [])


def require_hashes(texts: Mapping[str, object]) -> Hashes:
    """Return the valid digests; none if there is no digest of a supported algorithm.

    :raises InvalidValue: if there are digests of supported algorithms and none is valid.
    """
    problems: list[InvalidValue] = []
    hashes = _parse(texts, problems)
    if problems and not hashes:
        raise problems[0]
    return hashes


def _parse(texts: Mapping[str, object], problems: list[InvalidValue]) -> Hashes:
    """Return the valid digests; append what is wrong with others of supported algorithms."""
    digests: dict[str, Digest] = {}
    for algorithm, value in texts.items():
        name = _algorithm(algorithm, value)
        if name is None:
            continue
        try:
            digest = _digest(name, value)
        except InvalidValue as error:
            if value is not None and value != "":
                problems.append(error)
            continue
        digests.setdefault(digest.algorithm, digest)
    return Hashes(tuple(digests.values()))


def parse_fragment(fragment: str) -> dict[str, object]:
    """Return the digests in the fragment of a file's URL (PEP 503), not validated.

    It may have several parts (``sha256=...&egg=...``). In a part without ``=`` the algorithm is
    taken from the length.
    """
    texts: dict[str, object] = {}
    for part in fragment.split("&"):
        name, equals, value = part.partition("=")
        if not equals and _HEX.fullmatch(part.lower()):
            name, value = _BY_LENGTH.get(len(part), "unknown"), part
        if value and name not in _NOT_DIGESTS:
            texts.setdefault(name, value)
    return texts


def unique(*algorithms: str) -> list[str]:
    """Return the names of algorithms, in this order, without duplicates."""
    return list(dict.fromkeys(algorithms))
