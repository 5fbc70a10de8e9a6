"""TLS, proxies, credentials, and hosts that requests must not reach."""

from __future__ import annotations

import base64
import os
import resource
import select
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import trustme
from pypi_simple import PYPI_SIMPLE_ENDPOINT
from yarl import URL

from bandersnatch.config.schema import IndexSettings
from bandersnatch.errors import UnavailableHost, UnsafeUrl
from bandersnatch.index.aiohttp_client import AiohttpClient, GuardedResolver
from bandersnatch.index.hosts import HostGuard
from tests.support import faults
from tests.support.server import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


async def test_a_connection_without_a_file_descriptor_left_is_an_unavailable_index(
    server: IndexServer, capfd: pytest.CaptureFixture[str]
) -> None:
    url = URL(f"{server.url}/simple/")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with AiohttpClient(IndexSettings(timeout=5), HostGuard(server.url), "") as client:
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(UnavailableHost, match="Too many open files"):
                await client.send(url, {}, decompress=False)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with await client.send(url, {}, decompress=False) as answer:
            assert answer.status == 200
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------- proxies


class ProxyHandler(socketserver.BaseRequestHandler):
    """A proxy for SOCKS 4, SOCKS 5 and plain HTTP, which the first byte of a connection selects."""

    seen: list[str]

    def handle(self) -> None:
        first = self.request.recv(1, socket.MSG_PEEK)
        target = {b"\x05": self._socks5, b"\x04": self._socks4}.get(first, self._http)()
        if target is not None:
            with target:
                self._shuttle(target)

    def _socks5(self) -> socket.socket:
        stream = self.request.makefile("rb")
        _, count = stream.read(2)
        stream.read(count)
        self.request.sendall(b"\x05\x00")
        _, _, _, kind = stream.read(4)
        host = stream.read(stream.read(1)[0]).decode() if kind == 3 else f"address {kind}"
        if kind == 1:
            host = socket.inet_ntoa(stream.read(4))
        port = int.from_bytes(stream.read(2), "big")
        self.seen.append(f"socks5 {host}")
        self.request.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        return socket.create_connection(("127.0.0.1", port))

    def _socks4(self) -> socket.socket:
        stream = self.request.makefile("rb")
        stream.read(2)
        port = int.from_bytes(stream.read(2), "big")
        stream.read(4)
        while stream.read(1) != b"\0":
            pass
        host = b"".join(iter(lambda: stream.read(1), b"\0")).decode()
        self.seen.append(f"socks4 {host}")
        self.request.sendall(b"\x00\x5a" + bytes(6))
        return socket.create_connection(("127.0.0.1", port))

    def _http(self) -> socket.socket | None:
        """Forward one request, whose first line has the whole URL."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.request.recv(65536)
            if not piece:
                return None
            data += piece
        line, _, rest = data.partition(b"\r\n")
        method, url, version = line.decode().split(" ")
        if method == "CONNECT":
            self.seen.append(f"connect {url}")
            self.request.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return None
        for header in rest.decode().split("\r\n"):
            if header.lower().startswith("proxy-authorization: basic "):
                self.seen.append(base64.b64decode(header.split(" ")[2]).decode())
        host, _, path = url.removeprefix("http://").partition("/")
        self.seen.append(f"http {host.partition(':')[0]}")
        target = socket.create_connection(("127.0.0.1", int(host.partition(":")[2])))
        headers = rest.replace(b"keep-alive", b"close")
        target.sendall(f"{method} /{path} {version}\r\nConnection: close\r\n".encode() + headers)
        return target

    def _shuttle(self, target: socket.socket) -> None:
        pair = {self.request: target, target: self.request}
        while True:
            ready, _, _ = select.select(list(pair), [], [], 10)
            if not ready:
                return
            for side in ready:
                data = side.recv(65536)
                if not data:
                    return
                pair[side].sendall(data)


class ProxyServer(socketserver.ThreadingTCPServer):
    """A proxy that stops at the end of its test."""

    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture
def proxy() -> Iterator[tuple[int, list[str]]]:
    """Run a proxy and yield its port and the list of its requests."""
    seen: list[str] = []
    handler = type("Handler", (ProxyHandler,), {"seen": seen})
    with ProxyServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], seen
        server.shutdown()


@pytest.mark.parametrize(
    ("scheme", "seen_as"),
    [
        ("http", "http mirror.example.org"),
        ("socks4", "socks4 mirror.example.org"),
        ("socks5", "socks5 mirror.example.org"),
        ("socks5h", "socks5 mirror.example.org"),
    ],
)
def test_every_request_uses_the_proxy_which_resolves_the_names(
    index: Index,
    server: IndexServer,
    site: Site,
    proxy: tuple[int, list[str]],
    scheme: str,
    seen_as: str,
) -> None:
    """The name does not exist, so only the proxy can have resolved it."""
    port, seen = proxy
    index.release("foo", "1.0")
    server.url = server.url.replace("127.0.0.1", "mirror.example.org")
    site.configure(master=server.url, proxy=f"{scheme}://127.0.0.1:{port}", workers=1)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert set(seen) == {seen_as}
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl"]


def test_the_default_index_is_pypi(site: Site, proxy: tuple[int, list[str]]) -> None:
    """A proxy that refuses every tunnel records the host."""
    port, seen = proxy
    site.options = {"directory": site.root, "proxy": f"http://127.0.0.1:{port}"}
    site.allow("foo")

    ran = site.mirror()

    assert ran.code == 3
    assert set(seen) == {f"connect {urlsplit(PYPI_SIMPLE_ENDPOINT).hostname}:443"}


def test_a_run_uses_the_proxy_of_the_environment(
    index: Index, site: Site, proxy: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, seen = proxy
    monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{port}")
    monkeypatch.delenv("no_proxy", raising=False)
    index.release("foo", "1.0")

    ran = site.mirror("--debug")

    assert ran.code == 0, ran.log
    assert "http 127.0.0.1" in seen
    assert "user:secret" in seen
    assert "secret" not in ran.log + ran.out


def test_an_unreachable_proxy_makes_the_index_unusable(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.configure(proxy="http://user:secret@127.0.0.1:9")

    ran = site.mirror()

    assert ran.code == 3
    assert "secret" not in ran.log


# ---------------------------------------------------------------- credentials


@pytest.mark.parametrize("has_changelog", [True, False])
def test_credentials_are_sent_to_the_origin_of_the_index_only(
    index: Index, server: IndexServer, site: Site, *, has_changelog: bool
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    server.has_changelog = has_changelog
    server.login = "Basic " + base64.b64encode("j\xf6rg:s3cr et".encode()).decode()
    with serving(index) as elsewhere:
        old = f'"{server.url}/packages'.encode()
        new = f'"{elsewhere.url}/packages'.encode()
        server.fault("/simple/bar/", faults.edit(lambda body: body.replace(old, new)))
        site.configure(master=server.url.replace("://", "://j%%C3%%B6rg:s3cr%%20et@"))
        ran = site.mirror("--debug")
        sent = [request.headers for request in elsewhere.asked]

    assert ran.code == 0, ran.log
    assert {asked.kind for asked in server.asked} >= {"detail", "file", "sidecar"}
    assert sent
    assert not any("Authorization" in headers for headers in sent)
    stored = [path.read_bytes() for path in site.root.rglob("*") if path.is_file()]
    for secret in ("s3cr", "j%C3", "j\xf6rg"):
        assert not any(secret.encode() in content for content in stored)
        assert secret not in ran.log + ran.out + str(ran.report)


def test_a_redirect_to_the_same_origin_keeps_the_credentials(
    index: Index, server: IndexServer, site: Site
) -> None:
    (file,) = index.release("foo", "1.0")
    index.files["/packages/moved"] = file
    server.login = "Basic " + base64.b64encode(b"token:").decode()
    server.fault(file.path, faults.redirect("/packages/moved"))
    site.configure(master=server.url.replace("://", "://token@"))

    ran = site.mirror()

    assert ran.code == 0, ran.log
    site.check()


# ---------------------------------------------------------------- TLS


@pytest.fixture
def authority() -> trustme.CA:
    """Return a certificate authority that no program trusts yet."""
    return trustme.CA()


@contextmanager
def serving_tls(index: Index, authority: trustme.CA, host: str) -> Iterator[IndexServer]:
    """Serve an index over TLS with a certificate for ``host``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    with serving(index, context) as server:
        yield server


def test_a_certificate_of_an_unknown_authority_is_refused_without_a_retry(
    index: Index, authority: trustme.CA, make_site: Callable[..., Site]
) -> None:
    index.release("foo", "1.0")
    with serving_tls(index, authority, "127.0.0.1") as server:
        site = make_site(master=server.url)
        ran = site.mirror()

        assert ran.code == 3
        assert "certificate" in ran.log
        assert site.clock.slept == []
        assert server.asked == []


def test_a_certificate_for_another_host_is_refused(
    index: Index,
    authority: trustme.CA,
    make_site: Callable[..., Site],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a separate process, because the trusted authorities are loaded only once."""
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    index.release("foo", "1.0")
    for host, code in (("127.0.0.1", 0), ("other.example.org", 3)):
        with serving_tls(index, authority, host) as server:
            site = make_site(master=server.url)
            command = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), "mirror"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

        assert done.returncode == code, done.stderr


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_ca_file_counts_through_a_proxy(
    index: Index,
    authority: trustme.CA,
    make_site: Callable[..., Site],
    proxy: tuple[int, list[str]],
    tmp_path: Path,
    scheme: str,
) -> None:
    port, seen = proxy
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    index.release("foo", "1.0")
    with serving_tls(index, authority, "mirror.example.org") as server:
        server.url = server.url.replace("127.0.0.1", "mirror.example.org")
        site = make_site(master=server.url, proxy=f"{scheme}://127.0.0.1:{port}", ca_file=bundle)
        ran = site.mirror()

    assert ran.code == 0, ran.log
    assert set(seen) == {f"{scheme} mirror.example.org"}


def test_a_redirect_from_https_to_http_is_refused(
    index: Index,
    server: IndexServer,
    authority: trustme.CA,
    make_site: Callable[..., Site],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a separate process, as above."""
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    index.release("foo", "1.0")
    with serving_tls(index, authority, "127.0.0.1") as secure:
        secure.fault("detail", faults.redirect(f"{server.url}/simple/foo/"))
        site = make_site(master=secure.url)
        command = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), "mirror"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 4, done.stderr
    assert "it redirects to" in done.stderr
    assert server.asked == []


# ---------------------------------------------------------------- hosts


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/packages/aa/foo-1.0-py3-none-any.whl",
        "file:///packages/aa/foo-1.0-py3-none-any.whl",
        "http://user@127.0.0.1/packages/aa/foo-1.0-py3-none-any.whl",
        "http://127.0.0.1:0/packages/aa/foo-1.0-py3-none-any.whl",
        "http://127.0.0.1/packages/aa/foo-1.0-py3-none-any.whl?token=x",
        "http://[::1/packages/aa/foo-1.0-py3-none-any.whl",
    ],
)
def test_a_file_with_an_unsupported_url_is_rejected(
    index: Index, server: IndexServer, site: Site, url: str
) -> None:
    (file,) = index.release("foo", "1.0")
    old = (server.url + file.path).encode()
    server.fault("detail", faults.edit(lambda body: body.replace(old, url.encode())))

    ran = site.mirror()

    assert ran.report["files"]["rejected"] == 1
    assert server.paths("file") == []


def test_a_private_address_is_refused_unless_the_index_is_private() -> None:
    guard = HostGuard("https://index.example.org")
    guard.check_addresses("index.example.org", ["203.0.114.7"])

    for address in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%eth0", "0.0.0.0"):
        with pytest.raises(UnsafeUrl):
            guard.check_addresses("files.example.org", ["8.8.4.4", address])
        literal = f"[{address.partition('%')[0]}]" if ":" in address else address
        with pytest.raises(UnsafeUrl):
            guard.check_url(URL(f"https://{literal}/packages/x"))
    guard.check_addresses("files.example.org", ["8.8.4.4"])

    guard.check_addresses("index.example.org", ["10.0.0.1"])
    guard.check_addresses("files.example.org", ["10.0.0.2"])
    guard.check_url(URL("https://10.0.0.3/x"))


@pytest.mark.parametrize(
    "host",
    ["2130706433", "127.1", "0x7f.1", "0177.0.0.1", "0xa000001", "127.0.0.1.", "localhost."],
)
def test_an_address_in_an_old_notation_is_checked(host: str) -> None:
    """The HTTP client connects to some of them without a resolver, which would ask the guard."""
    guard = HostGuard("https://index.example.org")

    with pytest.raises(UnsafeUrl):
        guard.check_url(URL(f"https://{host}/x", encoded=True))
    guard.check_url(URL("https://134744072/x", encoded=True))  # 8.8.8.8


def test_a_configured_host_may_have_a_private_address() -> None:
    guard = HostGuard("https://index.example.org", ["http://10.0.0.1:3128", ""])

    guard.check_url(URL("http://10.0.0.1:8000/x"))
    guard.check_addresses("10.0.0.1", ["10.0.0.1"])


async def test_the_guard_checks_every_resolved_name() -> None:
    resolver = GuardedResolver(HostGuard("https://index.example.org"))
    try:
        with pytest.raises(UnsafeUrl):
            await resolver.resolve("localhost", 443)
    finally:
        await resolver.close()
