"""XML-RPC as it comes from an index that may mean harm (xmlrpc.com, "XML-RPC Specification").

The standard library has the format; what it does not have is a limit. A few bytes may stand for an
object of many, a document type may declare entities that grow, and one tag or text may be all of
an answer. None of that is in an answer of PyPI, and none of it is read here.
"""

from __future__ import annotations

import re
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate
from xmlrpc.client import Error, Fault, Unmarshaller, dumps

_DEEPEST = 64
"""Elements; an event's serial is at a depth of eleven."""
_ELEMENT = 80
"""Bytes that a value takes in memory at most, and each has an element."""
_LONGEST = 64 * 1024
"""Bytes of a tag and the text behind it."""
_TOO_LONG = re.compile(rb"<[^<]{%d}" % _LONGEST)


class NoAnswer(ValueError):
    """A text is no answer to a call, or not one to be read; says why."""


def write_call(method: str, *arguments: int) -> bytes:
    """Return the body of the request that calls a method."""
    return dumps(arguments, method).encode()


def read_answer(text: bytes, heaviest: int) -> Any:  # noqa: ANN401 - of XML-RPC
    """Return what a call returned: numbers, texts, lists and dictionaries of them, or None.

    :raises Fault: if the call failed.
    :raises NoAnswer: if it is none, or would take more than ``heaviest`` bytes of memory.
    """
    _check_weight(text, heaviest)
    reader = _Reader()
    try:
        return reader.read(text)
    except (Fault, NoAnswer):
        raise
    except (Error, ExpatError, ArithmeticError, ValueError, TypeError, LookupError) as error:
        raise NoAnswer(str(error)[:100]) from error


def _check_weight(text: bytes, heaviest: int) -> None:
    if _TOO_LONG.search(text):
        raise NoAnswer(f"it has a tag or text of more than {_LONGEST} bytes")
    weight = len(text) + _ELEMENT * (text.count(b"<") - text.count(b"</"))
    if weight > heaviest:
        raise NoAnswer(f"its {len(text)} bytes would take {weight} in memory")


class _Reader:
    """Hands the standard library what expat finds, as long as that is allowed."""

    def __init__(self) -> None:
        self._depth = 0
        self._target = Unmarshaller(use_builtin_types=True)
        self._target.xml("", None)  # texts come decoded

    def read(self, text: bytes) -> Any:  # noqa: ANN401 - of XML-RPC
        expat = ParserCreate()
        expat.buffer_text = True  # else each line of a text is an object
        expat.StartDoctypeDeclHandler = self._refuse_type
        expat.StartElementHandler = self._begin
        expat.EndElementHandler = self._end
        expat.CharacterDataHandler = self._target.data
        expat.Parse(text, True)  # noqa: FBT003 - it takes no names
        (value,) = self._target.close()
        return value

    def _refuse_type(self, *_: object) -> None:
        raise NoAnswer("it has a document type")

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise NoAnswer(f"it is nested more than {_DEEPEST} levels deep")
        self._target.start(tag, attributes)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        self._target.end(tag)
