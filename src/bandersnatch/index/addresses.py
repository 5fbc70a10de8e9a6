"""Which addresses are public: those that every machine of the Internet can reach.

An IPv6 address may contain an IPv4 address that a translator or a tunnel sends the packets to.
Such an address is as public as the one inside it.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that IANA allocates (RFC 4291, section 2.4); the rest is private or reserved."""

_NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments (RFC 2928)
            "2001:db8::/32",  # documentation (RFC 3849)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network (RFC 791)
            "10.0.0.0/8",  # private (RFC 1918)
            "100.64.0.0/10",  # shared by a provider (RFC 6598)
            "127.0.0.0/8",  # loopback (RFC 1122)
            "169.254.0.0/16",  # link-local (RFC 3927)
            "172.16.0.0/12",  # private (RFC 1918)
            "192.0.0.0/24",  # protocol assignments (RFC 6890)
            "192.0.2.0/24",  # documentation (RFC 5737)
            "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
            "192.168.0.0/16",  # private (RFC 1918)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "198.51.100.0/24",  # documentation (RFC 5737)
            "203.0.113.0/24",  # documentation (RFC 5737)
            "224.0.0.0/4",  # multicast (RFC 5771)
            "240.0.0.0/4",  # reserved (RFC 1112)
        ),
    )
)
"""The addresses that IANA's registries of special addresses do not call globally reachable.

The standard library's ``is_global`` depends on the version of Python.
"""

_LAST_32_BITS = tuple(
    map(
        IPv6Network,
        (
            "::/96",  # IPv4-compatible (RFC 4291, section 2.5.5.1)
            "::ffff:0:0/96",  # IPv4-mapped (RFC 4291, section 2.5.5.2)
            "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
            "64:ff9b::/96",  # NAT64 (RFC 6052)
        ),
    )
)
_6TO4 = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
_WORD = 0xFFFF_FFFF


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address, and each IPv4 address inside it, is globally reachable."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    inner = ipv4_inside(address)
    if inner and not all(map(is_public, inner)):
        return False
    if inner and not _is_isatap(address):
        return True
    return address in _GLOBAL_UNICAST and not any(address in each for each in _NOT_PUBLIC_6)


def ipv4_inside(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address contains; Teredo has two (RFC 4380)."""
    bits = int(address)
    last = IPv4Address(bits & _WORD)
    if any(address in network for network in _LAST_32_BITS):
        return (last,)
    if address in _6TO4:  # RFC 3056
        return (IPv4Address(bits >> 80 & _WORD),)
    if address in _TEREDO:
        return IPv4Address(bits >> 64 & _WORD), IPv4Address(bits & _WORD ^ _WORD)
    return (last,) if _is_isatap(address) else ()


def _is_isatap(address: IPv6Address) -> bool:
    """Whether the interface identifier has an IPv4 address (RFC 5214, section 6.1)."""
    return int(address) >> 32 & _WORD in _ISATAP


@lru_cache(maxsize=1024)
def is_private_host(host: str) -> bool:
    """Whether the host of a URL is an address that is not public, or a name of this machine."""
    host = host.partition("%")[0].rstrip(".").lower()
    address = parse_address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return not is_public(address)


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, also in the old notations that systems accept.

    ``127.1``, ``2130706433`` and ``0x7f000001`` are 127.0.0.1. aiohttp connects to the first two
    without a resolver, because it treats a host without letters as an address.
    """
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
