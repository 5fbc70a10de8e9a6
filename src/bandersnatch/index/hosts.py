"""Where requests may go (protocol sheet, section 5.2: absolute URLs to inside, redirects).

An index, or whoever can write to it, could name URLs of machines that only this one can reach.
So what is not the configured index or proxy must have a public address, unless the index itself
has a private one: then the mirror lives inside, with hosts like itself.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bandersnatch.errors import UnsafeUrl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yarl import URL


class HostGuard:
    """Knows the hosts that are configured, and whether the index is one of the inside."""

    def __init__(self, master: str, others: Iterable[str] = ()) -> None:
        self._master = urlsplit(master).hostname or ""
        self._trusted = {self._master, *(urlsplit(url).hostname or "" for url in others)}
        self._inside = _is_private(self._master)

    def check_url(self, url: URL) -> None:
        """Refuse a URL of a private address; names are looked at when they are resolved.

        :raises UnsafeUrl: if it is refused.
        """
        host = url.host or ""
        if host not in self._trusted and not self._inside and _is_private(host):
            raise UnsafeUrl(str(url), "its address is not a public one")

    def check_addresses(self, host: str, addresses: Iterable[str]) -> None:
        """Refuse a host that resolves to a private address, and learn about the index's own.

        :raises UnsafeUrl: if it is refused.
        """
        private = any(_is_private(address) for address in addresses)
        if host == self._master:
            self._inside = private
        elif private and host not in self._trusted and not self._inside:
            raise UnsafeUrl(host, "it resolves to an address that is not a public one")


def _is_private(host: str) -> bool:
    host = host.partition("%")[0].rstrip(".")
    address = _literal(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return not address.is_global


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is, also in the old forms that systems connect to.

    ``127.1``, ``2130706433`` and ``0x7f000001`` are 127.0.0.1, and no resolver is asked for the
    first two: the HTTP library takes what has no letters for an address.
    """
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
