"""Certificates and credentials: ca-file, client-cert, client-key, netrc, and what errors say."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.support.server import serving
from tests.support.tls import identity, refusing_clients, serving_tls

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp import web

    from tests.support.index import Index
    from tests.support.server import Answer, IndexServer
    from tests.support.site import Site

    MakeSite = Callable[..., Site]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return the authority of the servers."""
    return trustme.CA()


@pytest.fixture(scope="module")
def client_authority() -> trustme.CA:
    """Return the authority of the clients."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """Return a file with the certificate of the servers' authority."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


# ---------------------------------------------------------------- ca-file


def test_ca_file_makes_an_authority_of_ones_own_trusted(
    index: Index, authority: trustme.CA, ca_file: Path, make_site: MakeSite
) -> None:
    index.release("foo", "1.0")
    with serving_tls(index, authority) as server:
        site = make_site(master=server.url, ca_file=ca_file)
        ran = site.mirror()

    assert ran.code == 0, ran.log
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl"]


def test_an_unknown_authority_names_ca_file(
    index: Index, authority: trustme.CA, make_site: MakeSite
) -> None:
    index.release("foo", "1.0")
    with serving_tls(index, authority) as server:
        ran = make_site(master=server.url).mirror()

    assert ran.code == 3
    assert "if its authority is your own, set ca-file to a file with the certificate" in ran.log


def test_a_certificate_for_another_host_is_refused_with_ca_file(
    index: Index, authority: trustme.CA, ca_file: Path, make_site: MakeSite
) -> None:
    index.release("foo", "1.0")
    with serving_tls(index, authority, "other.example.org") as server:
        ran = make_site(master=server.url, ca_file=ca_file).mirror()

    assert ran.code == 3
    assert "use the name of the host that its certificate states" in ran.log


def test_an_expired_certificate_names_the_clock(
    index: Index, authority: trustme.CA, ca_file: Path, make_site: MakeSite
) -> None:
    index.release("foo", "1.0")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with serving_tls(index, authority, not_after=yesterday) as server:
        ran = make_site(master=server.url, ca_file=ca_file).mirror()

    assert ran.code == 3
    assert "certificate has expired; if the certificate is right, the clock" in ran.log


def test_http_at_the_port_of_https_is_named(
    index: Index, server: IndexServer, make_site: MakeSite
) -> None:
    index.release("foo", "1.0")
    ran = make_site(master=server.url.replace("http:", "https:")).mirror()

    assert ran.code == 3
    assert "the server does not use TLS at this port; is it http?" in ran.log


# ---------------------------------------------------------------- client-cert


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("is_one_file", [True, False])
def test_a_client_certificate_is_sent(
    index: Index,
    authority: trustme.CA,
    client_authority: trustme.CA,
    ca_file: Path,
    tmp_path: Path,
    make_site: MakeSite,
    *,
    version: ssl.TLSVersion,
    is_one_file: bool,
) -> None:
    index.release("foo", "1.0")
    certificate, key, both = identity(tmp_path, client_authority)
    options = {"client_cert": both} if is_one_file else {"client_cert": certificate}
    if not is_one_file:
        options["client_key"] = key
    with serving_tls(index, authority, clients=client_authority, version=version) as server:
        site = make_site(master=server.url, ca_file=ca_file, **options)
        ran = site.mirror()

    assert ran.code == 0, ran.log
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("has_one", [True, False])
def test_a_missing_or_unknown_client_certificate_names_the_options(
    authority: trustme.CA,
    client_authority: trustme.CA,
    ca_file: Path,
    tmp_path: Path,
    make_site: MakeSite,
    *,
    version: ssl.TLSVersion,
    has_one: bool,
) -> None:
    site = make_site(ca_file=ca_file)
    if has_one:
        site.configure(client_cert=identity(tmp_path, trustme.CA())[2])
    with refusing_clients(authority, client_authority, version) as url:
        site.configure(master=url)
        ran = site.mirror()

    assert ran.code == 3
    assert "set client-cert and client-key" in ran.log


def test_a_client_certificate_is_not_offered_to_other_hosts(
    index: Index,
    authority: trustme.CA,
    client_authority: trustme.CA,
    ca_file: Path,
    tmp_path: Path,
    make_site: MakeSite,
) -> None:
    """The other host has another name, and asks for a certificate without requiring it."""
    offered: dict[str, list[bool]] = {"index": [], "elsewhere": []}

    def record(server: IndexServer, where: str) -> None:
        async def act(request: web.Request, _: Answer) -> None:
            assert request.transport is not None
            offered[where].append(bool(request.transport.get_extra_info("peercert")))

        server.fault("/", act)

    index.release("foo", "1.0")
    clients = client_authority
    with (
        serving_tls(index, authority, clients=clients) as server,
        serving_tls(index, authority, "localhost", clients=clients, required=False) as elsewhere,
    ):
        record(server, "index")
        record(elsewhere, "elsewhere")
        away = elsewhere.url.replace("127.0.0.1", "localhost")
        moved = (f'"{server.url}/packages'.encode(), f'"{away}/packages'.encode())

        async def move(_: web.Request, answer: Answer) -> None:
            answer.body = answer.body.replace(*moved)

        server.fault("/simple/foo/", move)
        certificate = identity(tmp_path, client_authority)[2]
        site = make_site(master=server.url, ca_file=ca_file, client_cert=certificate)
        ran = site.mirror()

    assert ran.code == 0, ran.log
    assert offered["index"]
    assert all(offered["index"])
    assert offered["elsewhere"]
    assert not any(offered["elsewhere"])


# ---------------------------------------------------------------- files that cannot be used


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Return files with certificates and keys, with a mistake each."""
    authority = trustme.CA()
    certificate, key, both = identity(tmp_path, authority)
    other = tmp_path / "other.key"
    other.write_bytes(authority.issue_cert("other@example.org").private_key_pem.bytes())
    text, encrypted, public = (tmp_path / name for name in ("text", "encrypted.key", "public.key"))
    text.write_text("no certificate\n")
    encrypted.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhQ3KYXdpI1yQICCAAw\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    public.write_bytes(key.read_bytes())
    for path in (other, text, encrypted):
        path.chmod(0o600)
    public.chmod(0o644)
    names = {"certificate": certificate, "key": key, "both": both, "other": other}
    none = tmp_path / "none"
    return {**names, "text": text, "encrypted": encrypted, "public": public, "none": none}


@pytest.mark.parametrize(
    ("options", "named", "reason"),
    [
        ({"ca-file": "none"}, "ca-file", "cannot be read: No such file or directory"),
        ({"ca-file": "text"}, "ca-file", "has no certificates in PEM format"),
        ({"ca-file": "key"}, "ca-file", "has no certificates in PEM format"),
        ({"client-cert": "none"}, "client-cert", "cannot be read: No such file or directory"),
        ({"client-cert": "text"}, "client-cert", "has no certificate with its key"),
        ({"client-cert": "certificate"}, "client-cert", "has no certificate with its key"),
        ({"client-cert": "certificate", "client-key": "none"}, "client-key", "cannot be read"),
        ({"client-cert": "certificate", "client-key": "text"}, "client-key", "in PEM format"),
        (
            {"client-cert": "certificate", "client-key": "other"},
            "client-key",
            "does not belong to the certificate",
        ),
        (
            {"client-cert": "certificate", "client-key": "public"},
            "client-key",
            "every user can read the key in ",
        ),
        ({"client-key": "key"}, "client-key", "client-cert is not set"),
    ],
)
def test_a_file_that_cannot_be_used_is_found_by_config_check(
    files: dict[str, Path], site: Site, options: dict[str, str], named: str, reason: str
) -> None:
    if options.get("client-cert") == "certificate" and len(options) == 1:
        files["certificate"].chmod(0o600)
    site.configure(**{option: files[name] for option, name in options.items()})

    for command in (("config", "check"), ("mirror",), ("status",)):
        ran = site.ask(*command)

        assert ran.code == 2
        [line] = ran.errors()
        assert f"[mirror] {named}: " in line
        assert reason in line
    assert not site.root.exists()


def test_a_key_with_a_passphrase_is_refused_and_no_passphrase_is_asked_for(
    site: Site, tmp_path: Path
) -> None:
    issued = trustme.CA().issue_cert("mirror@example.org")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    path = tmp_path / "encrypted.pem"
    protected = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    path.write_bytes(protected + issued.cert_chain_pems[0].bytes())
    path.chmod(0o600)
    site.configure(client_cert=path)

    ran = site.ask("config", "check")

    assert ran.code == 2
    assert f"the key in {path} has a passphrase; store it without one" in ran.log


@pytest.mark.parametrize("command", [("mirror",), ("config", "check", "--online")])
@pytest.mark.parametrize("name", ["none", "text"])
def test_an_unusable_ssl_cert_file_is_named(
    files: dict[str, Path],
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    command: tuple[str, ...],
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files[name]))

    ran = site.ask(*command)

    assert ran.code == 2
    assert f"environment variable SSL_CERT_FILE: {files[name]} " in ran.log
    assert not site.root.exists()


# ---------------------------------------------------------------- user names and passwords


def basic(user: str, password: str) -> str:
    """Return the header of basic authentication (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that writes a netrc file, which ``NETRC`` names."""
    path = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(path))

    def write(text: str) -> Path:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return write


@pytest.mark.parametrize("has_changelog", [True, False])
def test_a_missing_or_wrong_login_says_what_to_set(
    index: Index, server: IndexServer, site: Site, *, has_changelog: bool
) -> None:
    index.release("foo", "1.0")
    server.has_changelog = has_changelog
    server.login = basic("mirror", "right")
    for master in (server.url, server.url.replace("://", "://mirror:wr0ng@")):
        site.configure(master=master)
        ran = site.mirror("--debug")

        assert ran.code == 3
        assert "refused with status 401: the user name and password are missing or wrong" in ran.log
        assert "set netrc = true" in ran.log
        assert "wr0ng" not in ran.log + ran.out + str(ran.report)


@pytest.mark.parametrize("entry", ["machine 127.0.0.1", "default"])
def test_netrc_gives_the_login_of_the_index(
    index: Index, server: IndexServer, site: Site, netrc: Callable[[str], Path], entry: str
) -> None:
    index.release("foo", "1.0")
    server.login = basic("mirror", "s3cr et#")
    netrc(
        f'machine other.example.org login a password b\n{entry} login mirror password "s3cr et#"\n'
    )

    assert site.mirror().code == 3, "netrc is not read unless it is asked for"
    site.configure(netrc=True)
    ran = site.mirror("--debug")

    assert ran.code == 0, ran.log
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl"]
    assert "s3cr" not in ran.log + ran.out + str(ran.report)


def test_netrc_is_found_in_the_home_directory(
    index: Index, server: IndexServer, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    path = tmp_path / ".netrc"
    path.write_text("machine 127.0.0.1 login mirror password secret\n")
    path.chmod(0o600)
    index.release("foo", "1.0")
    server.login = basic("mirror", "secret")
    site.configure(netrc=True)

    assert site.mirror().code == 0


def test_the_login_in_a_url_has_priority_over_netrc(
    index: Index, server: IndexServer, site: Site, netrc: Callable[[str], Path]
) -> None:
    index.release("foo", "1.0")
    server.login = basic("mirror", "right")
    netrc("machine 127.0.0.1 login mirror password wrong\n")
    site.configure(netrc=True, master=server.url.replace("://", "://mirror:right@"))

    assert site.mirror().code == 0


def test_netrc_gives_no_login_to_hosts_that_only_the_index_names(
    index: Index, server: IndexServer, site: Site, netrc: Callable[[str], Path]
) -> None:
    """``localhost`` has an entry, but only a page names it."""
    index.release("foo", "1.0")
    netrc(
        "machine localhost login mirror password secret\n"
        "machine 127.0.0.1 login mirror password secret\n"
    )
    with serving(index) as elsewhere:
        away = elsewhere.url.replace("127.0.0.1", "localhost")

        async def move(_: web.Request, answer: Answer) -> None:
            old, new = f'"{server.url}/packages'.encode(), f'"{away}/packages'.encode()
            answer.body = answer.body.replace(old, new)

        server.fault("/simple/foo/", move)
        site.configure(netrc=True)
        ran = site.mirror()
        sent = [request.headers for request in elsewhere.asked]
        site.configure(file_hosts=f"localhost:{elsewhere.url.rpartition(':')[2]}")
        notes = site.ask("config", "check").out

    assert ran.code == 0, ran.log
    assert sent
    assert not any("Authorization" in headers for headers in sent)
    assert "has no entry" not in notes


def test_netrc_without_an_entry_for_the_index_is_noted(
    site: Site, netrc: Callable[[str], Path]
) -> None:
    path = netrc("machine other.example.org login a password b\n")
    site.configure(netrc=True)

    ran = site.ask("config", "check")

    assert ran.code == 0
    assert f"Note: [mirror] netrc: {path} has no entry for http://127.0.0.1:" in ran.out


def test_netrc_gives_pypi_nothing(site: Site, netrc: Callable[[str], Path]) -> None:
    netrc("default login __token__ password secret\n")
    site.configure(netrc=True, master="")

    assert "PyPI needs no user name, and no other host" in site.ask("config", "check").out


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (None, 0, "cannot be read: No such file or directory"),
        ("machine 127.0.0.1 login a password s3cret\n", 0o644, "every user can read "),
        ("machine 127.0.0.1 login a\nnonsense s3cret\n", 0o600, "is not an entry of a netrc file"),
        ("machine 127.0.0.1 login \udcff password s3cret\n", 0o600, "is not UTF-8"),
    ],
)
def test_an_unusable_netrc_is_refused_without_its_passwords(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    mode: int,
    reason: str,
) -> None:
    path = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(path))
    if text is not None:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        path.chmod(mode)
    site.configure(netrc=True)

    ran = site.mirror()

    assert ran.code == 2
    assert "[mirror] netrc: " in ran.log
    assert reason in ran.log
    assert "s3cret" not in ran.log


def test_a_proxy_that_wants_a_login_says_where_to_write_it(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    with serving(index) as proxy:

        async def refuse(_: web.Request, answer: Answer) -> None:
            answer.status = 407

        proxy.fault("/", refuse)
        site.configure(proxy=proxy.url)
        ran = site.mirror()

    assert ran.code == 3
    assert "write its user name and password into the URL of the proxy" in ran.log
    assert not server.asked
