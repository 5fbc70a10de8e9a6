"""Listening sockets, and the certificate that they are served with."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bandersnatch.config.schema import ListenAddress
from bandersnatch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bandersnatch.config.schema import ServeSettings

_FIRST_PASSED = 3
"""The first descriptor that systemd passes (sd_listen_fds(3))."""

_SOCKET_UMASK = 0o111
"""Everybody may connect to a socket file; who reaches it is decided by its directory."""


def passed_sockets(environment: Mapping[str, str]) -> list[ListenAddress]:
    """Return the sockets that systemd has opened for this process (``sd_listen_fds(3)``)."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environment.get("LISTEN_FDS", "")
    numbers = range(_FIRST_PASSED, _FIRST_PASSED + int(count)) if count.isdecimal() else ()
    return [ListenAddress(descriptor=number) for number in numbers]


def open_sockets(
    addresses: Sequence[ListenAddress], *, shared: bool = False
) -> list[socket.socket]:
    """Open a listening socket for each address; a host name may stand for several.

    ``shared`` sockets can be opened several times, by the processes that share the load.

    :raises UsageError: if one cannot be opened.
    """
    found: list[socket.socket] = []
    try:
        for each in addresses:
            found += _open(each, shared=shared)
    except BaseException:
        for opened in found:
            opened.close()
        raise
    return found


def open_shared_sockets(
    addresses: Sequence[ListenAddress], count: int
) -> list[list[socket.socket]]:
    """Open listening sockets for ``count`` processes; return those of each.

    Where the system can spread connections over the sockets of one port (``SO_REUSEPORT``), each
    process has its own ones. Otherwise, and for other kinds of sockets, all have the same.

    :raises UsageError: if one cannot be opened.
    """
    can_share = sys.platform == "linux"
    first = open_sockets(addresses, shared=can_share)
    groups = [first]
    try:
        while len(groups) < count:
            group = [_twin(each) if can_share else each for each in first]
            groups.append(group)
    except OSError as error:
        for each in {id(each): each for group in groups for each in group}.values():
            each.close()
        raise UsageError(f"cannot open another socket: {error.strerror or error}") from error
    return groups


def _twin(opened: socket.socket) -> socket.socket:
    """Return another socket of the same address; the same one if there can be no other."""
    is_internet = opened.family in {socket.AF_INET, socket.AF_INET6}
    if not is_internet or not opened.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
        return opened
    dual = opened.family == socket.AF_INET6 and not opened.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    )
    return _bind(opened.family, opened.getsockname(), shared=True, dual=dual)


def _open(address: ListenAddress, *, shared: bool) -> list[socket.socket]:
    try:
        if address.descriptor >= 0:
            return [_adopt(address.descriptor)]
        if address.path:
            return [_bind_path(address.path)]
        return _bind_host(address, shared=shared)
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            why = "another program uses this port; stop it, or choose another one by --listen"
        elif error.errno == errno.EACCES and address.port:
            why = "ports below 1024 are for root; choose another one by --listen"
        elif error.errno == errno.EADDRNOTAVAIL:
            why = "this machine has no such address"
        raise UsageError(f"cannot listen on {address}: {why}") from error


def _adopt(descriptor: int) -> socket.socket:
    found = socket.socket(fileno=descriptor)
    if found.type != socket.SOCK_STREAM:
        found.detach()
        raise OSError("it is not a stream socket")
    return found


def _bind_host(address: ListenAddress, *, shared: bool) -> list[socket.socket]:
    if not address.host:
        if socket.has_dualstack_ipv6():
            return [_bind(socket.AF_INET6, ("::", address.port), shared=shared, dual=True)]
        return [_bind(socket.AF_INET, ("0.0.0.0", address.port), shared=shared)]  # noqa: S104 - asked for
    flags = socket.AI_PASSIVE
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
    return [_bind(family, where, shared=shared) for family, _, _, _, where in dict.fromkeys(found)]


def _bind(
    family: int, where: tuple[object, ...], *, shared: bool, dual: bool = False
) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        opened.bind(where)
        opened.listen(1024)
    except BaseException:
        opened.close()
        raise
    return opened


def _bind_path(path: str) -> socket.socket:
    _remove_stale(path)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(_SOCKET_UMASK)
    try:
        opened.bind(path)
        opened.listen(1024)
    except BaseException:
        opened.close()
        raise
    finally:
        os.umask(before)
    return opened


def _remove_stale(path: str) -> None:
    """Remove the socket of a process that has ended.

    :raises OSError: if something else has the name, or a process listens there.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "a file that is not a socket has this name")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                Path(path).unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def address_of(opened: socket.socket) -> str:
    """Return where a socket listens, as people write it."""
    name = opened.getsockname()
    if isinstance(name, tuple):
        host, port = name[:2]
        return str(ListenAddress("" if host in {"::", "0.0.0.0"} else host, port))  # noqa: S104 - compared
    return f"unix:{name}" if isinstance(name, str) else "unix:"


class ServerCertificate:
    """The certificate of the server; it can be read again while the server is running."""

    def __init__(self, settings: ServeSettings) -> None:
        """Read it.

        :raises UsageError: if it cannot be used.
        """
        self._certificate = settings.tls_certificate
        self._key = settings.tls_key or settings.tls_certificate
        self.context = self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
        self.context.set_alpn_protocols(["http/1.1"])

    def reload(self) -> None:
        """Read it again for new connections.

        :raises UsageError: if it cannot be used; then the old one stays in use.
        """
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self._load(self.context)

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        def ask() -> str:
            raise UsageError(f"the key in {self._key} has a passphrase; store it without one")

        try:
            context.load_cert_chain(self._certificate, self._key, password=ask)
        except ssl.SSLError as error:
            raise UsageError(self._reason(error)) from error
        except OSError as error:
            paths = dict.fromkeys((self._certificate, self._key))
            name = error.filename or " or ".join(paths)
            raise UsageError(f"{name} cannot be read: {error.strerror}") from error
        return context

    def _reason(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return (
                f"the key in {self._key} does not belong to the certificate in {self._certificate}"
            )
        return (
            f"{self._certificate} and {self._key} are not a certificate and its key in PEM format"
        )
