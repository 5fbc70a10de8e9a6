"""Public addresses, and the IPv4 addresses that IPv6 addresses contain."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bandersnatch.config.schema import IndexSettings
from bandersnatch.errors import UnsafeUrl
from bandersnatch.index.addresses import ipv4_inside, is_private_host, is_public, parse_address
from bandersnatch.index.aiohttp_client import AiohttpClient
from bandersnatch.index.hosts import HostGuard

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.server import IndexServer

PRIVATE_4 = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.1.2.3", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
PUBLIC_4 = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.0.1", "172.32.0.1", "198.20.0.1"]
PRIVATE_6 = [
    "::", "::1", "fe80::1", "fec0::1", "feff::1", "fc00::1", "fd12::1", "ff02::1", "ff0e::1",
    "100::1", "2001:db8::1", "2001:2::1", "2001:10::1", "3fff::1", "4000::1", "5f00::1",
    "64:ff9b:1::808:808", "::2:0:0:0", "e000::1",
]  # fmt: skip
PUBLIC_6 = ["2606:4700::1", "2a00:1450::1", "2001:4860::8888", "2400::1", "3ffe::1"]

SOME_4 = st.sampled_from([int(IPv4Address(text)) for text in [*PRIVATE_4, *PUBLIC_4]])

FORMS: dict[str, Callable[[int], int]] = {
    "compatible": lambda v4: v4,
    "mapped": lambda v4: 0xFFFF << 32 | v4,
    "translated": lambda v4: 0xFFFF << 48 | v4,
    "NAT64": lambda v4: 0x64FF9B << 96 | v4,
    "6to4": lambda v4: 0x2002 << 112 | v4 << 80 | 1,
    "Teredo client": lambda v4: 0x20010000 << 96 | 0x08080808 << 64 | v4 ^ 0xFFFFFFFF,
    "Teredo server": lambda v4: 0x20010000 << 96 | v4 << 64 | 0x08080808 ^ 0xFFFFFFFF,
    "ISATAP": lambda v4: 0x26064700 << 96 | 0x5EFE << 32 | v4,
    "ISATAP, global": lambda v4: 0x26064700 << 96 | 0x02005EFE << 32 | v4,
}


@pytest.mark.parametrize("text", [*PRIVATE_4, *PRIVATE_6])
def test_an_address_that_is_not_globally_reachable_is_private(text: str) -> None:
    address = parse_address(text)

    assert address is not None
    assert not is_public(address)
    assert is_private_host(text)


@pytest.mark.parametrize("text", [*PUBLIC_4, *PUBLIC_6])
def test_any_other_address_is_public(text: str) -> None:
    address = parse_address(text)

    assert address is not None
    assert is_public(address)
    assert not is_private_host(text)


@pytest.mark.parametrize("form", FORMS)
@given(v4=st.integers(0, 2**32 - 1) | SOME_4)
def test_an_address_is_as_public_as_the_ipv4_address_inside(form: str, v4: int) -> None:
    address, inner = IPv6Address(FORMS[form](v4)), IPv4Address(v4)

    assert inner in ipv4_inside(address)
    assert is_public(address) is is_public(inner)


@pytest.mark.parametrize("prefix", ["fe80::", "fec0::", "fd00::"])
def test_isatap_in_a_private_network_is_private(prefix: str) -> None:
    assert not is_public(IPv6Address(f"{prefix}200:5efe:808:808"))


@given(st.ip_addresses())
def test_a_public_address_is_global_to_the_standard_library(
    address: IPv4Address | IPv6Address,
) -> None:
    has_inner = isinstance(address, IPv6Address) and ipv4_inside(address)

    assert not is_public(address) or has_inner or address.is_global


@pytest.mark.parametrize("v4", ["127.0.0.1", "169.254.169.254", "10.1.2.3"])
@pytest.mark.parametrize("form", FORMS)
def test_the_guard_refuses_addresses_within_addresses(form: str, v4: str) -> None:
    guard = HostGuard("https://index.example.org")
    text = str(IPv6Address(FORMS[form](int(IPv4Address(v4)))))

    with pytest.raises(UnsafeUrl):
        guard.check_url(URL(f"https://[{text}]/packages/x"))
    with pytest.raises(UnsafeUrl):
        guard.check_addresses("files.example.org", ["8.8.4.4", text])
    with pytest.raises(UnsafeUrl):
        guard.check_peer(text)


# ---------------------------------------------------------------- connections


def test_a_connection_is_made_to_the_private_addresses_of_configured_hosts_only() -> None:
    guard = HostGuard("https://index.example.org", ["http://10.0.0.1:3128"], ["files.example.org"])
    guard.check_addresses("files.example.org", ["10.0.0.2", "fe80::2%eth0"])

    for address in ("10.0.0.1", "10.0.0.2", "fe80::2%1", "8.8.8.8"):
        guard.check_peer(address)
    for address in ("10.0.0.3", "::1", "64:ff9b::a00:1"):
        with pytest.raises(UnsafeUrl):
            guard.check_peer(address)


def test_a_private_index_admits_connections_to_private_addresses() -> None:
    guard = HostGuard("https://index.example.org")
    with pytest.raises(UnsafeUrl):
        guard.check_peer("10.0.0.1")

    guard.check_addresses("index.example.org", ["10.0.0.9"])

    guard.check_peer("10.0.0.1")


async def test_the_client_asks_the_guard_before_each_connection(server: IndexServer) -> None:
    """The checks of URLs and names are those of the transport, which is not used here."""
    async with AiohttpClient(IndexSettings(timeout=5), HostGuard("https://x.example.org"), "") as c:
        with pytest.raises(UnsafeUrl, match="is an address that is not public"):
            await c.send(URL(server.url), {}, decompress=True)

    assert server.asked == []
