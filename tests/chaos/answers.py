"""Random answers of a server: any status, headers, body and pace, to requests of any kind.

A seed gives the same answers each time. Everything is written as bytes, because libraries refuse to
write most of it.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.faults import Act
    from tests.support.server import Answer, IndexServer

KINDS = ("list", "detail", "xmlrpc", "legacy", "file", "sidecar")

_LIKELY = (200, 204, 205, 206, 206, 304, 304, 304, 301, 302, 303, 307, 400, 401, 403, 404, 404)
_LIKELY_ERRORS = (407, 408, 410, 412, 416, 416, 421, 425, 429, 500, 502, 503, 504, 520, 599)

_VALUES = (
    *(b"", b"0", b"-1", b"1", b"9" * 30, b"9" * 5000, b"1e9", b"0x10", b"bytes", b"*", b"gzip"),
    *(b"gzip, gzip", b"identity", b"br", b"zstd", b"deflate", b"unknown", b"bytes 0-0/1"),
    *(b"bytes 5-2/9", b"bytes */9", b"bytes 1-9999999999999999999/*", b'""', b'W/"x"', b'"x"'),
    *(b"text/html", b"application/json", b"text/html; charset=utf-7", b"a/b; charset=\xff"),
    *(b"Fri, 31 Dec 9999 23:59:59 GMT", b"Thu, 01 Jan 1970 00:00:00 GMT", b"yesterday"),
    *(b"Fri, 31 Dec 9999 23:59:59 -2359", b"Mon, 01 Jan 0001 00:00:00 +2359", b"\xff\xfe\x80"),
    *(b"/simple/", b"http://", b"//", b"ftp://127.0.0.1/", b"http://127.0.0.1:1/", b"."),
    *(b"chunked", b"close", b"upgrade", b"x" * 9000),
)  # fmt: skip
_NAMES = (
    *(b"Content-Type", b"Content-Length", b"Content-Encoding", b"Content-Range", b"ETag", b"Date"),
    *(b"Age", b"Last-Modified", b"Retry-After", b"Location", b"Transfer-Encoding", b"Connection"),
    *(b"X-PyPI-Last-Serial", b"Keep-Alive", b"Vary", b"Trailer", b"Upgrade", b"Link"),
)  # fmt: skip


@dataclass
class Raw:
    """An answer as it is written: the parts of ``plan`` with pauses in between.

    ``framed`` says that the length of the body is stated as it is.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    reason: bytes = b"OK"
    framed: bool = True
    cut: int | None = None
    silence: float = 0.0
    piece: int = 0
    is_reset: bool = False
    is_silent_before: bool = False
    before: bytes = b""
    changes: list[str] = field(default_factory=list)

    def head(self) -> bytes:
        """Return status line and headers."""
        lines = [self.before + b"HTTP/1.1 %d %b" % (self.status, self.reason)]
        names = {name.lower() for name, _ in self.headers}
        if self.framed and not names & {b"content-length", b"transfer-encoding"}:
            self.headers.append((b"Content-Length", b"%d" % len(self.body)))
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join(lines) + b"\r\n\r\n"


class Answers:
    """Draws wrong answers, with the bodies that a server gives now and gave earlier."""

    def __init__(self, server: IndexServer, dice: random.Random) -> None:
        self._server = server
        self._dice = dice
        self._bodies: dict[str, list[Answer]] = {}
        self.log: list[str] = []

    def remember(self) -> None:
        """Remember what the server answers now, as a cache would."""
        for path in self._paths():
            self._bodies.setdefault(path, []).append(self._server.answer(path))

    def _paths(self) -> list[str]:
        index = self._server.index
        pages = [f"/simple/{name}/" for name in index.projects]
        return ["/simple/", *pages, *index.files]

    # ------------------------------------------------------------ acts

    def act(self, *, slow: bool) -> Act:
        """Return one or two changes of an answer; with ``slow`` they may be pauses."""
        dice = self._dice
        quick = [*_CHANGES, *_CHANGES, *(_PAUSES if slow else ())]
        changes = [dice.choice(quick) for _ in range(dice.choice((1, 1, 2)))]
        seed = dice.random()
        self.log.append(" and ".join(change.__name__.strip("_") for change in changes))

        async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
            raw = Raw(
                answer.status,
                [(k.encode(), v.encode()) for k, v in answer.headers.items()],
                answer.body,
            )
            own = random.Random(f"{seed} {request.path}")
            for change in changes:
                change(self, raw, own, request)
            return await _write(request, raw)

        return act

    # ------------------------------------------------------------ changes

    def _set_status(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        likely = (*_LIKELY, *_LIKELY_ERRORS)
        raw.status = dice.choice((*likely, *(dice.randint(100, 599) for _ in likely)))
        if dice.random() < 0.5:
            raw.body = b""

    def _answer_conditionally(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        raw.status, raw.body = 304, b""
        if dice.random() < 0.5:
            raw.headers = [(b"ETag", dice.choice((b'"other"', b'W/"x"', b"", b"x")))]

    def _answer_partly(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        size = len(raw.body)
        first, last = dice.randint(0, size + 1), dice.randint(0, size + 1)
        raw.status, raw.body = 206, raw.body[first : last + 1]
        total = dice.choice((b"*", b"%d" % size, b"%d" % dice.randint(0, 2 * size)))
        stated = first if dice.random() < 0.5 else dice.randint(0, size + 1)
        raw.headers.append((b"Content-Range", b"bytes %d-%d/%b" % (stated, last, total)))

    def _drop_header(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        if raw.headers:
            raw.headers.remove(dice.choice(raw.headers))

    def _double_header(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        if raw.headers:
            name, value = dice.choice(raw.headers)
            raw.headers.append((name, dice.choice((value, *_VALUES))))

    def _swap_headers(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        names = [name for name, _ in raw.headers]
        values = [value for _, value in raw.headers]
        dice.shuffle(values)
        raw.headers = list(zip(names, values, strict=True))

    def _add_rubbish(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        name = dice.choice(_NAMES)
        raw.headers = [each for each in raw.headers if each[0].lower() != name.lower()]
        raw.headers.append((name, dice.choice(_VALUES)))

    def _cut_body(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        raw.cut = dice.randint(0, len(raw.body))

    def _shorten_body(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        raw.body = raw.body[: dice.randint(0, len(raw.body))]

    def _double_body(self, raw: Raw, _: random.Random, __: web.Request) -> None:
        raw.body *= 2

    def _empty_body(self, raw: Raw, _: random.Random, __: web.Request) -> None:
        raw.body = b""

    def _enlarge_body(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        filling = dice.choice((b" ", b"\0", b"x", b"["))
        raw.body += filling * dice.choice((1, 1000, 3_000_000))

    def _take_other_document(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        answer = self._server.answer(dice.choice(self._paths()))
        self._replace(raw, answer, dice)

    def _take_older_document(self, raw: Raw, dice: random.Random, request: web.Request) -> None:
        if older := self._bodies.get(request.path):
            self._replace(raw, dice.choice(older), dice)

    def _replace(self, raw: Raw, answer: Answer, dice: random.Random) -> None:
        raw.status, raw.body = answer.status, answer.body
        if dice.random() < 0.5:
            raw.headers = [(k.encode(), v.encode()) for k, v in answer.headers.items()]

    def _encode(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        for _time in range(dice.randint(0, 3)):
            raw.body = dice.choice((gzip.compress, zlib.compress))(raw.body)
        stated = dice.choice((b"gzip", b"gzip", b"deflate", b"gzip, gzip", b"br", b"identity"))
        raw.headers += [(b"Content-Encoding", stated)] * dice.choice((0, 1, 1, 2))

    def _precede(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        line = b"HTTP/1.1 %d Wait\r\n\r\n" % dice.choice((100, 102, 103, 199, 101))
        raw.before = line * dice.choice((1, 5)) if dice.random() < 0.8 else b"\x00\xffrubbish\r\n"

    def _reset(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        raw.cut, raw.is_reset = dice.randint(0, len(raw.body)), True

    def _unframe(self, raw: Raw, _: random.Random, __: web.Request) -> None:
        raw.framed = False

    def _be_silent(self, raw: Raw, dice: random.Random, _: web.Request) -> None:
        raw.silence, raw.cut = 3.0, dice.randint(0, len(raw.body))
        raw.is_silent_before = dice.random() < 0.5

    def _drip(self, raw: Raw, _: random.Random, __: web.Request) -> None:
        raw.piece, raw.silence = max(1, len(raw.body) // 20), 0.05


_PAUSES = (Answers._be_silent, Answers._drip)
_CHANGES: Sequence[Callable[[Answers, Raw, random.Random, web.Request], None]] = tuple(
    change
    for name, change in vars(Answers).items()
    if name.startswith("_") and not name.startswith("__") and change not in _PAUSES
    if name not in {"_paths", "_replace"}
)


async def _write(request: web.Request, raw: Raw) -> web.StreamResponse:
    """Write an answer, and close the connection."""
    transport = request.transport
    assert transport is not None
    if raw.is_silent_before:
        await asyncio.sleep(raw.silence)
    content = raw.body if raw.cut is None else raw.body[: raw.cut]
    transport.write(raw.head())
    if raw.piece:
        for start in range(0, len(content), raw.piece):
            transport.write(content[start : start + raw.piece])
            await asyncio.sleep(raw.silence)
    else:
        transport.write(content)
        if raw.silence and not raw.is_silent_before:
            await asyncio.sleep(raw.silence)
    if raw.is_reset:
        transport.abort()
    else:
        transport.close()
    return web.Response()
