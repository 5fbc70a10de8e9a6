"""The choice of the proxy, and that SOCKS proxies receive host names and not addresses."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from bandersnatch.config.schema import IndexSettings
from bandersnatch.errors import ConfigError
from bandersnatch.index.aiohttp_client import AiohttpClient
from bandersnatch.index.hosts import HostGuard
from bandersnatch.index.proxy import choose_proxy

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator

MASTER = "https://index.example.org"
RANKED = ["SOCKS5_PROXY", "SOCKS4_PROXY", "SOCKS_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"]


def test_there_is_no_proxy_without_the_option_and_the_variables() -> None:
    assert choose_proxy("", MASTER, {"PATH": "/bin"}) == ""


def test_the_option_has_priority_over_every_variable() -> None:
    environment = dict.fromkeys(RANKED, "http://other.example.org:1")

    assert choose_proxy("http://one.example.org:1", MASTER, environment) == (
        "http://one.example.org:1"
    )


def test_the_option_applies_to_a_host_that_no_proxy_lists() -> None:
    environment = {"NO_PROXY": "*"}

    assert choose_proxy("http://one.example.org:1", MASTER, environment)


@pytest.mark.parametrize("rank", range(len(RANKED)))
@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_the_first_variable_applies_in_upper_and_lower_case(rank: int, case: type[str]) -> None:
    environment = {
        case(name): f"http://proxy.example.org:{number}"
        for number, name in reversed([*enumerate(RANKED)])
        if number >= rank
    }

    assert choose_proxy("", MASTER, environment) == f"http://proxy.example.org:{rank}"


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_is_ignored(empty: str) -> None:
    environment = {"SOCKS5_PROXY": empty, "http_proxy": "http://proxy.example.org:1"}

    assert choose_proxy("", MASTER, environment) == "http://proxy.example.org:1"


def test_the_scheme_of_the_value_has_priority_over_the_name() -> None:
    environment = {"HTTPS_PROXY": "socks5h://proxy.example.org:1080/"}

    assert choose_proxy("", MASTER, environment) == "socks5h://proxy.example.org:1080"


@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        ("SOCKS5_PROXY", "socks5"),
        ("SOCKS4_PROXY", "socks4"),
        ("SOCKS_PROXY", "socks5"),
        ("HTTPS_PROXY", "http"),
        ("HTTP_PROXY", "http"),
        ("ALL_PROXY", "http"),
    ],
)
def test_the_name_determines_the_scheme_of_a_value_without_one(variable: str, kind: str) -> None:
    environment = {variable: "user:pass@proxy.example.org:1080"}

    assert choose_proxy("", MASTER, environment) == f"{kind}://user:pass@proxy.example.org:1080"


@pytest.mark.parametrize(
    "exempt",
    [
        "*",
        "index.example.org",
        "INDEX.EXAMPLE.ORG",
        "example.org",
        ".example.org",
        "example.com, index.example.org",
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_a_master_that_no_proxy_lists_has_no_proxy(variable: str, exempt: str) -> None:
    environment = {"HTTPS_PROXY": "http://proxy.example.org:1", variable: exempt}

    assert choose_proxy("", MASTER, environment) == ""


@pytest.mark.parametrize("exempt", ["", "example.com", "ndex.example.org", "x.index.example.org"])
def test_other_names_in_no_proxy_are_ignored(exempt: str) -> None:
    environment = {"HTTPS_PROXY": "http://proxy.example.org:1", "NO_PROXY": exempt}

    assert choose_proxy("", MASTER, environment) == "http://proxy.example.org:1"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("ftp://proxy.example.org", "'ftp://proxy.example.org' is not a URL of http or https"),
        ("socks5://proxy.example.org", "'socks5://proxy.example.org' has no port"),
        ("http://u:secret@proxy.example.org:x", "'http://***@proxy.example.org:x' is not a URL"),
        ("a b", "'http://a b' is not a URL of http"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_an_invalid_value_is_a_configuration_error(variable: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_proxy("", MASTER, {variable: value})

    assert str(caught.value).startswith(f"environment variable {variable}: {said}")


def test_an_invalid_value_of_a_variable_of_lower_priority_is_ignored() -> None:
    environment = {"SOCKS_PROXY": "http://proxy.example.org:1", "HTTP_PROXY": "nonsense://"}

    assert choose_proxy("", MASTER, environment) == "http://proxy.example.org:1"


# ---------------------------------------------------------------- the SOCKS protocol


class SocksProxy:
    """Speaks enough of SOCKS 4a and 5 to respond to one HTTP request, and records the requests."""

    def __init__(self) -> None:
        self.port = 0
        self.user = b""
        self.asked: list[tuple[int, bytes]] = []

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve a connection."""
        if await reader.readexactly(1) == b"\x04":
            await self._four(reader, writer)
        else:
            await self._five(reader, writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def _four(self, reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readexactly(3)
        address = await reader.readexactly(4)
        self.user = (await reader.readuntil(b"\0"))[:-1]
        assert address[:3] == b"\0\0\0", "an address below 0.0.1.0 means that a name follows"
        self.asked.append((4, (await reader.readuntil(b"\0"))[:-1]))
        writer.write(b"\0\x5a" + bytes(6))

    async def _five(self, reader: StreamReader, writer: StreamWriter) -> None:
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x05" + bytes([2 if 2 in methods else 0]))
        if 2 in methods:
            await reader.readexactly(1)
            self.user = await reader.readexactly((await reader.readexactly(1))[0])
            await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(b"\x01\0")
        *_, kind = await reader.readexactly(4)
        assert kind == 3, "the destination is a host name"
        name = await reader.readexactly((await reader.readexactly(1))[0])
        await reader.readexactly(2)
        self.asked.append((5, name))
        writer.write(b"\x05\0\0\x01" + bytes(6))


@asynccontextmanager
async def socks_proxy() -> AsyncIterator[SocksProxy]:
    """Run a proxy within the context."""
    proxy = SocksProxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy


@pytest.mark.parametrize(
    ("scheme", "version"),
    [("socks4", 4), ("socks4a", 4), ("socks4h", 4), ("socks5", 5), ("socks5h", 5)],
)
@pytest.mark.parametrize("user", ["", "me:socks5h:secret@"])
async def test_a_socks_proxy_resolves_host_names(scheme: str, version: int, user: str) -> None:
    """The name does not exist, so only the proxy can have resolved it."""
    async with socks_proxy() as proxy:
        url = f"{scheme}://{user}127.0.0.1:{proxy.port}"
        guard = HostGuard("http://index.example.org", [url])
        async with AiohttpClient(IndexSettings(timeout=5), guard, url) as client:
            page = URL("http://index.example.org/simple/")
            with await client.send(page, {}, decompress=True) as response:
                assert await response.read_piece() == b"hello"
                assert await response.read_piece() == b""

    assert proxy.asked == [(version, b"index.example.org")]
    assert proxy.user == (b"me" if user else b"")
