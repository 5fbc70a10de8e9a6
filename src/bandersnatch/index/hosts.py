"""The hosts that requests may be sent to: a guard against server-side request forgery.

An index, or anybody who can write to it, can name URLs of machines that only this one can reach.
Every host except the configured ones therefore needs a public address. An index with a private
address is an exception: the mirror is then part of a private network, and so are the other hosts.
The option ``file-hosts`` replaces that exception: files come only from the index itself and from
the hosts that it lists, and only these may have a private address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bandersnatch.errors import UnsafeUrl
from bandersnatch.index.addresses import is_private_host, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address

    from yarl import URL


class HostGuard:
    """Checks hosts. The hosts of ``index`` and of the URLs in ``others`` are trusted.

    ``file_hosts`` are hosts, each with its port if only that port is meant.
    """

    def __init__(
        self, index: str, others: Iterable[str] = (), file_hosts: Iterable[str] = ()
    ) -> None:
        self._index = urlsplit(index).hostname or ""
        self._own = {self._index, *(urlsplit(url).hostname or "" for url in others)}
        listed = [urlsplit(f"//{host}") for host in file_hosts]
        self._file_hosts = {(parts.hostname or "", parts.port) for parts in listed}
        self._trusted = self._own | {host for host, _ in self._file_hosts}
        self._is_private_index = is_private_host(self._index)
        literals = map(parse_address, self._trusted)
        self._admitted: set[IPv4Address | IPv6Address] = {each for each in literals if each}

    def is_configured(self, host: str) -> bool:
        """Whether the configuration names a host."""
        return host in self._trusted

    def check_url(self, url: URL) -> None:
        """Refuse a URL whose host is a private address; host names are checked when resolved.

        :raises UnsafeUrl: if it is refused.
        """
        host = url.host or ""
        if host not in self._trusted and not self._admits_private and is_private_host(host):
            raise UnsafeUrl(str(url), f"its address is not public{self._hint}")

    def check_file_url(self, url: URL) -> None:
        """Refuse the URL of a file, or of its core metadata, on a host that is not listed.

        :raises UnsafeUrl: if it is refused.
        """
        host = url.host or ""
        is_listed = {(host, None), (host, url.port)} & self._file_hosts
        if self._file_hosts and not is_listed and host not in self._own:
            raise UnsafeUrl(str(url), "file-hosts does not list its host")
        self.check_url(url)

    def check_addresses(self, host: str, addresses: Iterable[str]) -> None:
        """Refuse a host that resolves to a private address, except the index itself.

        The addresses of the index decide whether it is private.

        :raises UnsafeUrl: if it is refused.
        """
        found = list(addresses)
        is_private = any(map(is_private_host, found))
        if host == self._index:
            self._is_private_index = is_private
        if host in self._trusted:
            self._admitted.update(filter(None, map(_without_zone, found)))
        elif is_private and not self._admits_private:
            raise UnsafeUrl(host, f"it resolves to an address that is not public{self._hint}")

    def check_peer(self, address: str) -> None:
        """Refuse the address of a connection that is about to be made, if none of its checks did.

        An address that is not public must be one of a configured host.

        :raises UnsafeUrl: if it is refused.
        """
        if self._admits_private or not is_private_host(address):
            return
        if _without_zone(address) not in self._admitted:
            raise UnsafeUrl(address, f"it is an address that is not public{self._hint}")

    @property
    def _admits_private(self) -> bool:
        return self._is_private_index and not self._file_hosts

    @property
    def _hint(self) -> str:
        return ", and file-hosts does not list it" if self._file_hosts else ""


def _without_zone(address: str) -> IPv4Address | IPv6Address | None:
    return parse_address(address.partition("%")[0])
