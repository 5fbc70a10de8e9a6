"""Requests to a server that may be right, wrong or nonsense, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import re
import resource
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.serving import (
    FILE,
    JSON,
    OTHERS,
    PAGES,
    serve_configuration,
    serving,
    write_tree,
)

if TYPE_CHECKING:
    import pytest

    from tests.support.serving import Client

PARTS = [
    *("..", ".", "%2e%2e", "%2E.", "%2f", "%5c", "\\", "%00", "%0d%0a", "%", "%zz", "~", "*"),
    *(
        "simple",
        "packages",
        "pypi",
        "json",
        "last-modified",
        "-",
        "web",
        "removed",
        "status",
        "metrics",
    ),
    *(".mirror", ".partial", "versions", "index.html", "index.v1_json", "foo", "Foo", "f_o", FILE),
    *(
        "catalogue.sqlite",
        "search",
        "project",
        "a" * 300,
        "\xe9",
        "\udcff",
        "\N{SNOWMAN}",
        "'",
        '"',
    ),
    *OTHERS,
    *PAGES,
]
METHODS = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "TRACE", "PROPFIND", "get", "G\x01T"]
VALUES = [
    *(
        "*/*",
        JSON,
        "text/html;q=0",
        ";;;,,,q=,=",
        "a/b;q=1e9",
        "bytes=0-0",
        "bytes=-1",
        "bytes=9-1",
    ),
    *(
        "bytes=0-0,2-3",
        f"bytes={'9' * 40}-",
        '"x"',
        "W/",
        "*",
        "gzip",
        "zstd, br;q=0",
        "identity;q=0",
    ),
    *(
        "chunked",
        "100-continue",
        "close",
        "keep-alive",
        "upgrade",
        "h2c",
        "websocket",
        "-1",
        "0",
        "7",
    ),
    *("Thu, 01 Jan 1970 00:00:00 GMT", "Sun, 99 Foo 99999 99:99:99", "x" * 9000, "\xff\xfe", ""),
    *("127.0.0.1, ::1, x", "[::1]:99999", "a b\tc"),
]
NAMES = [
    *("Accept", "Accept-Encoding", "Range", "If-Range", "If-None-Match", "If-Match", "Host"),
    *("If-Modified-Since", "If-Unmodified-Since", "Transfer-Encoding", "Content-Length", "Expect"),
    *(
        "Connection",
        "Upgrade",
        "Sec-WebSocket-Key",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "Cookie",
    ),
    *("Content-Encoding", "Te", "Trailer", "HTTP2-Settings", "X\x00", " X", "X Y", ""),
]
VERSIONS = ["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9.9", "", "FOO/1.1"]


def hostile_request(generate: random.Random) -> bytes:
    """Return a request that may be right, wrong or nonsense."""
    path = "/".join(generate.choices(PARTS, k=generate.randint(0, 5)))
    target = generate.choice(["/", "/", "/", "", "//", "http://h/", "https://u@h:1/"]) + path
    if generate.random() < 0.2:
        target += (
            "?" + generate.choice(["format=", "q=", "page=", "&", ""]) + generate.choice(VALUES)
        )
    line = f"{generate.choice(METHODS[:2] * 6 + METHODS)} {target} {generate.choice(VERSIONS)}"
    fields = [
        f"{generate.choice(NAMES)}: {generate.choice(VALUES)}"
        for _ in range(generate.randint(0, 6))
    ]
    if generate.random() < 0.02:
        fields += ["X: y"] * 300
    end = generate.choice(["\r\n\r\n"] * 8 + ["\n\n", "\r\n", ""])
    data = "\r\n".join([line, *fields]).encode("utf-8", "surrogateescape") + end.encode()
    data += generate.choice([b""] * 6 + [b"body", os.urandom(50), b"0\r\n\r\n", b"ffffffff\r\n"])
    if generate.random() < 0.1:
        position = generate.randrange(len(data))
        data = data[:position] + os.urandom(2) + data[position + 2 :]
    return data


async def send_hostile(client: Client, generate: random.Random) -> bytes:
    """Send a request in some way, and return what comes back, maybe not all of it."""
    reader, writer = await client.connect()
    received = b""
    with suppress(ConnectionError, TimeoutError):
        data = hostile_request(generate)
        if generate.random() < 0.3:
            middle = generate.randrange(len(data) + 1)
            writer.write(data[:middle])
            await asyncio.sleep(0)
            data = data[middle:]
        writer.write(data)
        if generate.random() < 0.05:
            await _send_slowly(writer)
        if generate.random() < 0.3:
            writer.write_eof()
        if generate.random() < 0.1:
            writer.transport.abort()
        async with asyncio.timeout(generate.choice([0.02, 0.1])):
            received = await reader.read(200_000)
            received += await reader.read(200_000)
    writer.close()
    return received


async def _send_slowly(writer: asyncio.StreamWriter) -> None:
    """Send a part of a body, in pieces with pauses."""
    writer.write(b"POST /simple/foo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(5):
        writer.write(b"x" * 10)
        await asyncio.sleep(0.01)


def open_descriptors() -> list[str]:
    """Return what the descriptors of this process lead to."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(str(each.readlink()))
    return sorted(found)


def memory() -> int:
    """Return the largest memory of this process in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def _descriptors_fall_to(most: int) -> bool:
    """Whether there are so few open descriptors soon; a dead connection is closed after a while."""
    for _ in range(120):
        await asyncio.sleep(0.5)
        gc.collect()
        if len(open_descriptors()) <= most:
            return True
    return False


async def bombard(home: Path, count: int, caplog: pytest.LogCaptureFixture, seed: int) -> None:
    """Send ``count`` requests to a server of a tree in ``home``.

    Assert that nothing else is served, nothing is raised, and nothing leaks.
    """
    write_tree(home)
    generate = random.Random(seed)
    caplog.set_level(logging.WARNING)
    async with serving(serve_configuration(home), trusted=("127.0.0.1",)) as client:
        for _ in range(100):
            await send_hostile(client, generate)
        assert (await client.get("/simple/foo/")).status == 200  # the areas are open from now on
        await asyncio.sleep(0.5)
        gc.collect()
        descriptors, used = open_descriptors(), memory()
        statuses: dict[int, int] = {}
        for _ in range(count // 20):
            received = await asyncio.gather(*(send_hostile(client, generate) for _ in range(20)))
            for data in received:
                assert b"secret" not in data
                assert b"Traceback" not in data
                for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data):
                    statuses[int(status)] = statuses.get(int(status), 0) + 1
        assert (await client.get("/simple/foo/")).status == 200
        # The areas of the mirror are open twice for some seconds when they are opened again.
        assert await _descriptors_fall_to(len(descriptors) + 12), (open_descriptors(), descriptors)
        assert memory() - used < 40_000
    assert not {status for status in statuses if status >= 500}
    assert set(statuses) & {200, 400, 404, 405}  # a busy machine answers few in time
    assert [record.message for record in caplog.records] == []
