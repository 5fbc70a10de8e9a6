"""The index's changelog over XML-RPC, as PyPI offers it to mirrors.

See ``docs/development/protocol.md``, "The changelog", and xmlrpc.com, "XML-RPC Specification".
aiohttp-xmlrpc encodes the calls and decodes the answers, and sends nothing: requests go through
``Transport``, and every answer is checked before the library's parser sees it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from types import coroutine
from typing import TYPE_CHECKING, Any, Self
from xml.parsers.expat import ExpatError, ParserCreate

from bandersnatch.errors import BandersnatchError, InvalidValue, RateLimit, UnusableChangelog
from bandersnatch.index.port import Changes
from bandersnatch.index.retry import RETRIED_STATUSES, error_for
from bandersnatch.model.names import project_name
from bandersnatch.model.project import is_version
from bandersnatch.model.serials import NO_SERIAL, Change, Serial, parse_serial
from bandersnatch.simple.entries import build_project_list
from bandersnatch.simple.limits import LIST, Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from xmlrpc.client import Unmarshaller

    from bandersnatch.clock import Clock
    from bandersnatch.index.transport import Document, Transport
    from bandersnatch.model.project import ProjectList

PAGE_EVENTS = 50_000
"""The maximum number of events in one answer."""

MAX_EVENTS = 1_000_000
"""No mirror follows the changelog over more serials than this; each event has its own."""

_ANSWER = Limit(64 * 1024**2, 576 * 1024**2)
"""A full answer takes about 350 MiB by our estimate, more if names and actions are long."""
_DECODED_INLINE = 64 * 1024
"""Bytes; a larger answer is decoded in a thread."""

_PAUSE_BETWEEN_PAGES = 1.0
_LARGEST_ARGUMENT = Serial(2**31 - 1)
"""XML-RPC has integers of 32 bits."""

_OK = 200
_UNAUTHORIZED = 401
_RATE_FAULT = re.compile(r"TooManyRequests|too many requests|rate limit", re.IGNORECASE)
_RESET = re.compile(r"reset in ([0-9]{1,6}) seconds")

_MAX_DEPTH = 64
"""Nested elements; an event's serial is at a depth of eleven."""

_MAX_TOKEN = 64 * 1024
"""Bytes of a tag and the text that follows it."""

_MAX_ELEMENTS = 20 * PAGE_EVENTS
"""The elements of an answer with events; an event has thirteen."""

_MAX_NUMBER = 64
"""Characters of the text of a number."""

_LONG_TOKEN = re.compile(rb"<[^<]{%d}" % _MAX_TOKEN)
_ENCODINGS = frozenset({"utf-8", "us-ascii", "ascii", "iso-8859-1", "utf-16"})
"""Those that both parsers know by themselves, and therefore read alike."""

# Upper bounds of the memory that parts of an answer take, in bytes; measured with lxml 6.1.
_VALUE = 80
_ELEMENT, _ATTRIBUTE, _TEXT = 280, 256, 220
_COPIES, _WIDE_COPIES = 3, 7
"""The text, its copy in the tree, and its strings, with up to four bytes for each character."""

_INTEGER = re.compile(r"[ \t\r\n]*[+-]?[0-9]{1,10}[ \t\r\n]*")
_MAX_INTEGER = 2**31
_TEXT_CODE = ord("t")
_GRAMMAR = {
    tag: (ord(code), re.compile(content))
    for tag, code, content in (
        ("methodResponse", "r", b"[pf]"),
        ("params", "p", b"q"),
        ("fault", "f", b"v"),
        ("param", "q", b"v"),
        ("value", "v", b"t*|[si0am]"),
        ("string", "s", b"t*"),
        ("int", "i", b"t+"),
        ("i4", "i", b"t+"),
        ("nil", "0", b""),
        ("array", "a", b"d"),
        ("data", "d", b"v*"),
        ("struct", "m", b"e*"),
        ("member", "e", b"nv"),
        ("name", "n", b"t*"),
    )
}
"""The elements of answers, each with its letter, and its content as a pattern of letters."""


class Changelog:
    """Calls the XML-RPC methods that PyPI supports for mirrors, one at a time."""

    def __init__(
        self, transport: Transport, clock: Clock, budget: asyncio.Semaphore, url: str
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._budget = budget
        self._url = url

    async def last_serial(self) -> Serial:
        """Return the serial of the newest event; 0 if there are no events.

        :raises UnusableChangelog: if the index does not support the method.
        """
        answer = await self._call(_ANSWER, XmlRpcCall.decode, "changelog_last_serial")
        try:
            return parse_serial(0 if answer is None else answer)
        except InvalidValue as error:
            raise UnusableChangelog(self._url, str(error)) from error

    async def changes(self, since: Serial, until: Serial) -> Changes:
        """Return the events after ``since`` up to ``until``, from as many pages as necessary.

        An event without a valid project name is omitted: it cannot concern a project.
        """
        changes: list[Change] = []
        count, last, since = 0, NO_SERIAL, min(since, _LARGEST_ARGUMENT)
        while since < until:
            if count:
                await self._clock.sleep(_PAUSE_BETWEEN_PAGES)
            rows = await self._call(_ANSWER, XmlRpcCall.decode, "changelog_since_serial", since)
            page = self._page(rows, since)
            # Events after ``until`` are newer than this run, and belong to the next one.
            count += sum(serial <= until for _, serial in page)
            if count > MAX_EVENTS:
                raise UnusableChangelog(self._url, f"it has more than {MAX_EVENTS} events")
            last = max(last, *(serial for _, serial in page if serial <= until), NO_SERIAL)
            changes += (change for change, _ in page if change and change.serial <= until)
            if len(page) < PAGE_EVENTS:
                break
            since = max(serial for _, serial in page)
        return Changes(tuple(sorted(changes, key=lambda each: each.serial)), last)

    def _page(self, rows: object, since: Serial) -> list[tuple[Change | None, Serial]]:
        if not isinstance(rows, list):
            raise UnusableChangelog(self._url, "changelog_since_serial did not return a list")
        try:
            page = [_parse_event(row) for row in rows]
        except (InvalidValue, TypeError, ValueError) as error:
            raise UnusableChangelog(self._url, f"an event is invalid ({error})") from error
        if any(serial <= since for _, serial in page):
            raise UnusableChangelog(self._url, f"it returned events from before {since}")
        return page

    async def list_with_serials(self) -> ProjectList:
        """Return every project with its serial."""
        answer = await self._call(LIST, XmlRpcCall.decode_stream, "list_packages_with_serial")
        if not isinstance(answer, dict):
            raise UnusableChangelog(self._url, "list_packages_with_serial did not return a struct")
        return build_project_list(answer.items(), where=self._url, serial=None)

    async def _call(
        self,
        limit: Limit,
        decode: Callable[[XmlRpcCall, bytes, int], Any],
        method: str,
        *arguments: int,
    ) -> Any:  # noqa: ANN401 - of XML-RPC
        async def attempt() -> Any:  # noqa: ANN401 - of XML-RPC
            call = XmlRpcCall(method, *arguments)
            async with self._budget:
                answer = await self._transport.post(self._url, call.request, limit=limit.size)
            self._check_status(answer)
            try:
                if len(answer.body) <= _DECODED_INLINE:
                    return decode(call, answer.body, limit.memory)
                return await asyncio.to_thread(decode, call, answer.body, limit.memory)
            except FaultAnswer as fault:
                raise self._fault_error(str(fault)) from fault
            except InvalidAnswer as error:
                why = f"{method} did not return XML-RPC ({error})"
                raise UnusableChangelog(self._url, why) from error

        return await self._transport.retry(attempt)

    def _check_status(self, answer: Document) -> None:
        if answer.status in RETRIED_STATUSES:
            raise error_for(self._url, answer.status, answer.headers, self._clock.now())
        if answer.status != _OK:
            hint = " (the user name and password are missing or wrong)"
            why = f"status {answer.status}{hint if answer.status == _UNAUTHORIZED else ''}"
            raise UnusableChangelog(self._url, why)

    def _fault_error(self, text: str) -> BandersnatchError:
        if _RATE_FAULT.search(text):
            reset = _RESET.search(text)
            seconds = float(reset[1]) if reset else None
            return RateLimit(self._url, "it limits the rate of calls", retry_after=seconds)
        return UnusableChangelog(self._url, text[:200])


def _parse_event(row: object) -> tuple[Change | None, Serial]:
    if not isinstance(row, list):
        raise InvalidValue("event", row, "is not a list")
    display, version, time, action, serial = row
    serial = parse_serial(serial)
    try:
        name = project_name(display)
    except InvalidValue:
        return None, serial
    if not isinstance(time, int) or not isinstance(action, str):
        raise InvalidValue("event", row, "has no time and action")
    version = version if isinstance(version, str) and is_version(version) else ""
    return Change(name, display, serial, action, time, version), serial


# ---------------------------------------------------------------- calls and answers


class InvalidAnswer(ValueError):
    """An answer is not XML-RPC, or exceeds a limit; the message is the reason."""


class FaultAnswer(Exception):
    """An answer is an XML-RPC fault; the message is its ``faultString``."""


class _Exchange:
    """What aiohttp-xmlrpc uses as its HTTP client, and as the response of that client.

    A call of the library is a coroutine. With this client it suspends once, in ``read``, yields
    the request, and resumes with the answer: it needs no event loop, so that an answer can be
    decoded in a thread.
    """

    def __init__(self) -> None:
        self._request = b""

    def post(self, _url: str, *, data: bytes, headers: object) -> Self:
        del headers  # the transport sends its own
        self._request = data
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def raise_for_status(self) -> None:
        pass  # the status was checked before

    @coroutine
    def read(self) -> Generator[bytes, bytes, bytes]:
        return (yield self._request)


class XmlRpcCall:
    """One call of a method: ``request`` is its body, and one of the two methods decodes its answer.

    Answers hold numbers, strings, lists and dictionaries of them, and None. Both methods raise
    ``FaultAnswer`` if the call failed, and ``InvalidAnswer`` if the text is not an answer, or would
    take more memory than ``max_memory`` bytes.
    """

    def __init__(self, method: str, *arguments: int) -> None:
        from aiohttp_xmlrpc.client import ServerProxy  # noqa: PLC0415 - imports lxml, which is slow

        # At level DEBUG the library logs whole answers as they are, line breaks included.
        logging.getLogger("aiohttp_xmlrpc.client").setLevel(logging.INFO)
        proxy = ServerProxy("", client=_Exchange())
        self._call: Coroutine[bytes, bytes, Any] = getattr(proxy, method)(*arguments)
        self.request = self._call.send(None)

    def decode(self, text: bytes, max_memory: int) -> Any:  # noqa: ANN401 - of XML-RPC
        """Return the value of an answer, decoded by aiohttp-xmlrpc. Call it once."""
        from aiohttp_xmlrpc.exceptions import XMLRPCError  # noqa: PLC0415 - as above

        _check_memory(text, _tree_memory(text), max_memory)
        if _count_elements(text) > _MAX_ELEMENTS:
            raise InvalidAnswer(f"it has more than {_MAX_ELEMENTS} elements")
        grammar = _Grammar()
        _parse(text, grammar)
        if grammar.is_fault and len(text) > _MAX_TOKEN:
            raise InvalidAnswer(f"it is a fault of more than {_MAX_TOKEN} bytes")
        try:
            self._call.send(text)
        except StopIteration as end:
            return end.value
        except Exception as error:  # the library documents neither its own errors nor lxml's
            if isinstance(error, XMLRPCError) or type(error) is Exception:  # fault code -32000
                raise FaultAnswer(*error.args[:1]) from error
            raise InvalidAnswer(str(error)[:100]) from error
        raise AssertionError("a call of the library suspends only once")

    def decode_stream(self, text: bytes, max_memory: int) -> Any:  # noqa: ANN401 - of XML-RPC
        """Return the value of an answer, decoded by the standard library while it is parsed.

        For the list of all projects: of 700,000, lxml's tree alone would take a gigabyte.
        """
        from xmlrpc.client import Error, Fault, Unmarshaller  # noqa: PLC0415 - rarely needed

        _check_memory(text, _stream_memory(text), max_memory)
        target = Unmarshaller(use_builtin_types=True)
        target.xml("", None)  # strings arrive decoded
        try:
            _parse(text, target)
            (value,) = target.close()
        except Fault as fault:
            raise FaultAnswer(str(fault.faultString)) from fault
        except InvalidAnswer:
            raise
        except (Error, ArithmeticError, ValueError, TypeError, LookupError) as error:
            raise InvalidAnswer(str(error)[:100]) from error
        return value


def _check_memory(text: bytes, estimate: int, max_memory: int) -> None:
    if _LONG_TOKEN.search(text):
        raise InvalidAnswer(f"it has a tag or text of more than {_MAX_TOKEN} bytes")
    if estimate > max_memory:
        raise InvalidAnswer(f"its {len(text)} bytes would take {estimate} in memory")


def _stream_memory(text: bytes) -> int:
    """Return an upper bound of the bytes that an answer and its values take."""
    return len(text) + _VALUE * _count_elements(text)


def _tree_memory(text: bytes) -> int:
    """Return an upper bound of the bytes that an answer, its tree in lxml, and its values take."""
    copies = _COPIES if text.isascii() and b"&#" not in text else _WIDE_COPIES
    texts = text.count(b">") - text.count(b"><")
    nodes = _ELEMENT * _count_elements(text) + _ATTRIBUTE * text.count(b"=") + _TEXT * texts
    return len(text) * copies + nodes


def _count_elements(text: bytes) -> int:
    return text.count(b"<") - text.count(b"</")


class _Grammar:
    """Checks that the schema of aiohttp-xmlrpc accepts an answer.

    The time in which lxml reports errors grows with the square of their number: it took two minutes
    for 3 MB with 80,000 invalid numbers. So it gets no answer with an error, other than a short
    fault. Types that PyPI's answers do not have are refused.
    """

    def __init__(self) -> None:
        self.is_fault = False
        self._contents = [bytearray()]
        self._text = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag not in _GRAMMAR:
            raise InvalidAnswer(f"it has an element {tag[:20]!a}")
        if attributes and len(self._contents) > 1:  # a server may declare a namespace in the first
            raise InvalidAnswer("it has attributes")
        self.is_fault = self.is_fault or tag == "fault"
        self._contents[-1].append(_GRAMMAR[tag][0])
        self._contents.append(bytearray())
        self._text = ""

    def data(self, text: str) -> None:
        if text.strip(" \t\r\n"):
            self._contents[-1].append(_TEXT_CODE)
        # What is too long for a number stays so; the rest of a long text is not needed.
        self._text += text[: _MAX_NUMBER + 1 - len(self._text)]

    def end(self, tag: str) -> None:
        if not _GRAMMAR[tag][1].fullmatch(self._contents.pop()):
            raise InvalidAnswer(f"the content of an element {tag!a} is invalid")
        if tag in {"int", "i4"} and not (
            len(self._text) <= _MAX_NUMBER
            and _INTEGER.fullmatch(self._text)
            and -_MAX_INTEGER <= int(self._text) < _MAX_INTEGER
        ):
            raise InvalidAnswer(f"{self._text[:20]!a} is not a number of 32 bits")
        self._text = ""


def _parse(text: bytes, target: Unmarshaller | _Grammar) -> None:
    """Parse an answer with expat, and pass its elements and texts to ``target``.

    A document type can declare entities that grow, and deep elements can exhaust the stack. No
    answer of PyPI has either.

    :raises InvalidAnswer: if it is not XML, or has one of the two, or an unusual encoding.
    """
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise InvalidAnswer(f"it is nested more than {_MAX_DEPTH} levels deep")
        target.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        target.end(tag)

    parser = ParserCreate()
    parser.buffer_text = True  # otherwise each line of a text is an object
    parser.XmlDeclHandler = _check_encoding
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = target.data
    try:
        parser.Parse(text, True)  # noqa: FBT003 - it has no keyword arguments
    except (ExpatError, LookupError, ValueError) as error:
        raise InvalidAnswer(str(error)[:100]) from error


def _check_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise InvalidAnswer(f"its encoding is {encoding[:20]!a}")


def _refuse_document_type(*_: object) -> None:
    raise InvalidAnswer("it has a document type")
