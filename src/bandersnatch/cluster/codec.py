"""Converts values to bytes, and bytes to values: what the coordinator and its workers exchange.

Both have the same version of the program (``messages.RunNotice``), so a value is its kind and its
fields in order. Only the kinds of ``KINDS`` are made from bytes, and nothing is executed. A text
begins with the number of the format and a checksum.
"""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any
from zlib import crc32

from msgspec import DecodeError, Struct, msgpack

from bandersnatch import errors, events
from bandersnatch.catalogue import records
from bandersnatch.cluster import messages
from bandersnatch.filters.chain import Dropped
from bandersnatch.mirror import tasks
from bandersnatch.mirror.verify import findings
from bandersnatch.model import content, digests, files, project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FORMAT = 1
_CHECKSUM = 4
"""Bytes."""

_TUPLE, _LIST, _SET, _MAP, _TIME, _TEXT, _ERROR = "()", "[]", "{}", "{:}", "@", "s", "!"


class InvalidMessage(errors.StorageError):
    """A message cannot have been written by this program."""

    def __init__(self, why: str) -> None:
        super().__init__("the queue of the workers", f"it has an invalid message: {why}")


def _classes() -> Iterator[type]:
    """Yield the classes that a message may have values of."""
    modules = (records, tasks, messages, events, content, digests, files, project, findings)
    for module in modules:
        for each in vars(module).values():
            if inspect.isclass(each) and each.__module__ == module.__name__ and _field_names(each):
                yield each
    yield Dropped


def _field_names(kind: type) -> tuple[str, ...]:
    """Return the fields that a value is made from, or members of an enum; () for other classes."""
    if issubclass(kind, Enum):
        return tuple(kind.__members__)
    if issubclass(kind, Struct):
        return kind.__struct_fields__
    if is_dataclass(kind):
        return tuple(each.name for each in fields(kind) if each.init)
    return tuple(getattr(kind, "_fields", ()))


KINDS: dict[str, type] = {each.__name__: each for each in _classes()}
"""The classes of values, by their names in messages."""

_FIELDS = {kind: _field_names(kind) for kind in KINDS.values()}
_ERRORS: dict[str, type[errors.BandersnatchError]] = {
    name: each
    for name, each in vars(errors).items()
    if inspect.isclass(each) and issubclass(each, errors.BandersnatchError)
}


def encode(value: object) -> bytes:
    """Return the bytes of a value.

    :raises TypeError: if a part of it is of none of ``KINDS``.
    """
    body = msgpack.encode(_plain(value))
    return bytes([FORMAT]) + crc32(body).to_bytes(_CHECKSUM) + body


def decode(text: bytes) -> Any:  # noqa: ANN401 - what it is, the caller knows
    """Return the value of bytes.

    :raises InvalidMessage: if they are not those of a value.
    """
    body = text[1 + _CHECKSUM :]
    if text[:1] != bytes([FORMAT]):
        raise InvalidMessage("it is of another format")
    if crc32(body).to_bytes(_CHECKSUM) != text[1 : 1 + _CHECKSUM]:
        raise InvalidMessage("its checksum is wrong")
    try:
        return _value(msgpack.decode(body))
    except (DecodeError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InvalidMessage(str(error)) from error


# ---------------------------------------------------------------- to plain values


def _plain(value: object) -> object:  # noqa: PLR0911 - a table would not be shorter
    kind = type(value)
    if value is None or kind in {bool, int, float, bytes}:
        return value
    if kind is str:
        return _plain_text(str(value))
    if isinstance(value, tuple) and kind is tuple:
        return [_TUPLE, *map(_plain, value)]
    if isinstance(value, list):
        return [_LIST, *map(_plain, value)]
    if isinstance(value, frozenset | set):
        return [_SET, *map(_plain, sorted(value))]
    if isinstance(value, dict):
        return [_MAP, *([_plain(key), _plain(each)] for key, each in value.items())]
    if isinstance(value, datetime):
        return [_TIME, value.astimezone(UTC).isoformat()]
    if isinstance(value, errors.BandersnatchError):
        return _plain_error(value)
    return _plain_fields(value)


def _plain_text(text: str) -> object:
    """Return a text, or its bytes if it has lone surrogates, which UTF-8 has no form for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return [_TEXT, text.encode("utf-8", "surrogatepass")]
    return text


def _plain_fields(value: object) -> list[object]:
    kind = type(value)
    if isinstance(value, Enum):
        if kind not in _FIELDS:
            raise TypeError(f"{kind.__name__} is no kind of a message")
        return [kind.__name__, _plain(value.value)]
    try:
        names = _FIELDS[kind]
    except KeyError:
        raise TypeError(f"{kind.__name__} is no kind of a message") from None
    return [kind.__name__, *(_plain(getattr(value, name)) for name in names)]


def _plain_error(error: errors.BandersnatchError) -> list[object]:
    """Return the facts of an error; what only its traceback shows is lost."""
    arguments = [each if _is_known(each) else str(each) for each in error.args]
    facts = {name: each for name, each in vars(error).items() if _is_known(each)}
    return [_ERROR, type(error).__name__, _plain(arguments), _plain(facts)]


def _is_known(value: object) -> bool:
    try:
        _plain(value)
    except TypeError:
        return False
    return True


# ---------------------------------------------------------------- from plain values


def _value(plain: object) -> object:
    if not isinstance(plain, list):
        return plain
    tag, *rest = plain
    make = _CONTAINERS.get(tag)
    return KINDS[tag](*map(_value, rest)) if make is None else make(rest)


def _error(rest: Sequence[Any]) -> errors.BandersnatchError:
    name, arguments, facts = rest
    kind = _ERRORS[name]
    error = kind.__new__(kind)
    error.args = tuple(_value(arguments))  # type: ignore[arg-type]
    vars(error).update(_value(facts))  # type: ignore[call-overload]
    return error


_CONTAINERS: dict[str, Callable[[list[Any]], object]] = {
    _TUPLE: lambda rest: tuple(map(_value, rest)),
    _LIST: lambda rest: list(map(_value, rest)),
    _SET: lambda rest: frozenset(map(_value, rest)),
    _MAP: lambda rest: {_value(key): _value(each) for key, each in rest},
    _TIME: lambda rest: datetime.fromisoformat(rest[0]),
    _TEXT: lambda rest: rest[0].decode("utf-8", "surrogatepass"),
    _ERROR: _error,
}
"""What is made of the values behind a tag that is not the name of a class."""
