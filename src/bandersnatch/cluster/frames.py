"""The framing of messages in a stream of bytes: the length of each in 4 bytes, then its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cluster.codec import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = 4
"""Bytes; the most significant is the first."""

LONGEST = 2**30
"""Bytes of a message. The job of the largest project takes some megabytes."""


def frame(message: bytes) -> bytes:
    """Return a message as it is sent.

    :raises InvalidMessage: if it is too long.
    """
    if len(message) > LONGEST:
        raise InvalidMessage(f"it has {len(message):,} bytes")
    return len(message).to_bytes(_PREFIX) + message


class FrameBuffer:
    """Takes a stream apart, in whatever pieces it arrives."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the messages that a piece completes.

        :raises InvalidMessage: if a message is too long.
        """
        self._bytes += piece
        begin = 0
        try:
            while len(self._bytes) - begin >= _PREFIX:
                length = int.from_bytes(self._bytes[begin : begin + _PREFIX])
                if length > LONGEST:
                    raise InvalidMessage(f"it has {length:,} bytes")
                end = begin + _PREFIX + length
                if len(self._bytes) < end:
                    break
                message = bytes(self._bytes[begin + _PREFIX : end])
                begin = end
                yield message
        finally:
            del self._bytes[:begin]
