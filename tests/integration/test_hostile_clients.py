"""Clients that send anything: nothing else is served, nothing is raised, nothing leaks."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from bandersnatch.serve import connections
from tests.support.hostile import bombard
from tests.support.serving import FILE, JSON, serve_configuration, serving, write_tree

if TYPE_CHECKING:
    from pathlib import Path


async def test_hostile_requests_reach_nothing_and_leave_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await bombard(tmp_path, 1_000, caplog, 20261130)


@pytest.mark.parametrize("target", ["", " ", "h", "h:443", "/", "*", "http://h/", "http://h:x/"])
@pytest.mark.parametrize("method", ["CONNECT", "OPTIONS", "GET"])
async def test_every_form_of_a_target_is_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, method: str, target: str
) -> None:
    write_tree(tmp_path)
    caplog.set_level(logging.WARNING)
    async with serving(serve_configuration(tmp_path)) as client:
        for version in ("HTTP/1.1", "HTTP/1.0", ""):
            line = f"{method} {target} {version}\r\n\r\n"
            received = await client.send(line.encode(), half_close=True)
            assert received.startswith((b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 4")), line
    assert [record.message for record in caplog.records] == []


async def test_a_request_that_never_ends_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIME", 1.0)
    monkeypatch.setattr(connections, "CHECK_INTERVAL", 0.1)
    write_tree(tmp_path)
    async with serving(serve_configuration(tmp_path)) as client:
        reader, writer = await client.connect()
        writer.write(b"GET /simple/foo/ HTTP/1.1\r\n")
        with suppress(ConnectionError):
            for number in range(100):
                writer.write(f"X-{number}: y\r\n".encode())
                await asyncio.sleep(0.05)
                if reader.at_eof() or reader.exception() is not None:
                    break
        assert number < 60
        writer.close()


async def test_a_body_that_never_ends_is_cut(tmp_path: Path) -> None:
    write_tree(tmp_path)
    async with serving(serve_configuration(tmp_path)) as client:
        reader, writer = await client.connect()
        writer.write(b"GET /simple/foo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 999999\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in answer


async def test_a_client_that_does_not_read_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STALL_TIME", 1.0)
    monkeypatch.setattr(connections, "CHECK_INTERVAL", 0.1)
    write_tree(tmp_path)
    (tmp_path / "web" / FILE).write_bytes(bytes(30_000_000))
    async with serving(serve_configuration(tmp_path)) as client:
        slow, writer = await client.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(f"GET /{FILE} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        await asyncio.sleep(3)
        assert (await client.get("/simple/foo/")).status == 200
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with suppress(ConnectionError):
            assert len(await asyncio.wait_for(slow.read(), 10)) < 30_000_000
        writer.close()
    assert client.server.statistics.sent < 30_000_000


async def test_headers_have_a_size_and_a_number(tmp_path: Path) -> None:
    write_tree(tmp_path)
    async with serving(serve_configuration(tmp_path)) as client:
        for extra in ("X: " + "y" * 20_000, "\r\n".join(["X: y"] * 1000), "X" * 20_000 + ": y"):
            text = f"GET /simple/foo/ HTTP/1.1\r\nHost: h\r\n{extra}\r\n\r\n"
            with suppress(ConnectionError):
                assert (await client.send(text.encode())).startswith(b"HTTP/1.1 400")
        target = "/simple/" + "a" * 20_000
        assert (await client.send(f"GET {target} HTTP/1.1\r\n\r\n".encode())).startswith(
            b"HTTP/1.1 400"
        )


async def test_many_requests_for_a_cold_page_cause_one_read(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "web/simple/index.v1_json").write_bytes(os.urandom(3_000_000).hex().encode())
    async with serving(serve_configuration(tmp_path)) as client:
        replies = await asyncio.gather(
            *(client.get("/simple/", Accept=JSON, Accept_Encoding="gzip") for _ in range(40))
        )
        pages = client.server._responder._pages
        assert pages.reads == 1
        assert pages.compressions == 1
    assert len({reply.body for reply in replies}) == 1
