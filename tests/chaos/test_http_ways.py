"""Cases 21 to 27: redirects, addresses, certificates, proxies."""

from __future__ import annotations

import base64
import ssl
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from bandersnatch.errors import UnsafeUrl
from bandersnatch.index.aiohttp_client import GuardedResolver
from bandersnatch.index.hosts import HostGuard
from tests.support import faults
from tests.support.server import serving
from tests.support.sockets import answering

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp.web import Request

    from tests.chaos.case import Case
    from tests.support.server import Answer, IndexServer

PUBLIC = "http://index.example.org"


def behind_a_proxy(case: Case, login: str = "") -> None:
    """Make the server a proxy for every host."""
    case.site.configure(master=PUBLIC.replace("//", f"//{login}"), proxy=case.server.url)
    case.server.url = PUBLIC


def hosts(case: Case) -> set[str]:
    """Return the hosts of all requests."""
    return {each.headers["Host"] for each in case.server.asked}


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize("where", ["detail", "file"])
def test_case_021_a_redirect_loop_ends_after_three_redirects(case: Case, where: str) -> None:
    """No legitimate index needs more than three."""
    case.mirrored("foo", "bar")
    case.index.release("bar", "2.0")
    (file,) = case.index.release("foo", "2.0")
    path = {"detail": "/simple/foo/", "file": file.path}[where]
    case.fault(path, faults.redirect(path))

    ran = case.mirror(exits=4)

    error = {"detail": "UnsafeUrl", "file": "MissingFiles"}[where]
    assert ran.failed == {"foo": error}
    assert "there are more than 3 redirects" in ran.log
    assert len(case.asked(where, of=path)) == 4
    case.heals()


def test_case_021_three_redirects_are_followed(case: Case) -> None:
    (file,) = case.index.release("foo", "1.0", metadata=False)
    for step in range(3):
        here = file.path if step == 0 else f"/moved/{step}"
        case.fault(here, faults.redirect(f"/moved/{step + 1}"))
    case.index.files["/moved/3"] = file

    case.mirror()

    assert len(case.asked("file")) == 4
    case.heals()


@pytest.mark.parametrize("where", ["list", "detail", "file"])
def test_case_022_a_redirect_from_https_to_http_is_refused(
    case: Case, where: str, tmp_path: Path
) -> None:
    case.index.release("foo", "1.0")
    case.index.release("bar", "1.0")
    with trusted(case, tmp_path, "127.0.0.1") as (server, bundle):
        plain = case.server.url
        project = None if where == "list" else "foo"
        server.fault(where, faults.redirect(f"{plain}/anything"), project=project)

        ended = case.process("mirror", exits=3 if where == "list" else 4, trusting=bundle)

    assert f"is not followed: it redirects to '{plain}/anything'" in ended.log
    assert case.server.asked == []


PRIVATE = [
    *["10.0.0.3", "127.0.0.2", "169.254.169.254", "192.168.1.1", "172.16.0.1", "0.0.0.0"],
    *["100.64.0.1", "localhost", "a.localhost", "[::1]", "[fe80::1]", "[fd00::1]"],
    *["[::ffff:127.0.0.2]", "2130706434", "0x7f.2", "127.2"],
]


def test_case_023_a_redirect_to_a_private_address_is_refused(case: Case) -> None:
    behind_a_proxy(case)
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    for host in case.each(PRIVATE):
        case.fault("detail", faults.redirect(f"http://{host}/simple/foo/"), project="foo")

        ran = case.mirror(exits=4)

        assert ran.failed == {"foo": "UnsafeUrl"}
        assert len(case.asked("detail", of="/foo/")) == 1, "there is nothing to wait for"
        assert hosts(case) == {"index.example.org"}
    case.heals()


def moved(host: str) -> faults.Act:
    """Answer with a page whose files are on another host."""
    old, new = f'"{PUBLIC}/'.encode(), f'"http://{host}/'.encode()
    return faults.edit(lambda body: body.replace(old, new))


def test_case_023_a_file_at_a_private_address_is_not_requested(case: Case) -> None:
    """From the second run on the page is published without it, like any unavailable file."""
    behind_a_proxy(case)
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    for host in case.each(["10.0.0.3", "169.254.169.254", "localhost", "[::1]"]):
        case.fault("detail", moved(host), project="foo")

        ran = case.mirror(exits=4)

        assert ran.failed == {"foo": "MissingFiles"}
        assert hosts(case) == {"index.example.org"}
    case.heals()


async def test_case_023_the_resolved_addresses_are_checked() -> None:
    """The connection uses the checked addresses only."""
    resolver = GuardedResolver(HostGuard("https://index.example.org"))
    try:
        with pytest.raises(UnsafeUrl):
            await resolver.resolve("localhost", 443)
    finally:
        await resolver.close()


@pytest.mark.parametrize("where", ["list", "detail", "file", "sidecar"])
def test_case_024_a_redirect_to_another_scheme_is_refused(case: Case, where: str) -> None:
    case.site.configure(api_method="simple")
    case.mirrored("foo", "bar")
    case.index.release("bar", "2.0")
    (file,) = case.index.release("foo", "2.0")
    for to in case.each(["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"]):
        case.fault(where, faults.redirect(to), project=None if where == "list" else "foo")

        if where == "sidecar":
            ran = case.mirror(bare=[file.filename])
        else:
            ran = case.mirror(exits=3 if where == "list" else 4)

        assert f"it redirects to '{to}'" in ran.log
    case.heals()


@pytest.mark.parametrize("where", ["detail", "file"])
def test_case_025_another_public_host_does_not_get_the_password(case: Case, where: str) -> None:
    """Any public host is permitted, and gets no credentials of the index.

    Its answer is used as the page of the index, or checked by the sha256 of the file.
    """
    case.oracle.secrets += ["s3cret", base64.b64encode(b"me:s3cret").decode()]
    behind_a_proxy(case, "me:s3cret@")
    (file,) = case.index.release("foo", "1.0", metadata=False)
    path = {"detail": "/simple/foo/", "file": file.path}[where]

    async def elsewhere(request: Request, answer: Answer) -> None:
        if request.host == "index.example.org":
            await faults.redirect(f"http://elsewhere.example.com{path}")(request, answer)

    case.fault(path, elsewhere)

    case.mirror()

    told = {e.headers["Host"]: "Authorization" in e.headers for e in case.server.asked}
    assert told == {"index.example.org": True, "elsewhere.example.com": False}
    case.heals()


# ---------------------------------------------------------------- certificates


@contextmanager
def trusted(
    case: Case,
    home: Path,
    host: str,
    context: ssl.SSLContext | None = None,
    until: datetime | None = None,
) -> Iterator[tuple[IndexServer, Path]]:
    """Serve the index over TLS; the certificate of the authority is in a file."""
    authority = trustme.CA()
    bundle = home / "authorities.pem"
    authority.cert_pem.write_to_path(bundle)
    context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    since = None if until is None else until - timedelta(days=90)
    authority.issue_cert(host, not_before=since, not_after=until).configure_cert(context)
    with serving(case.index, context) as server:
        case.site.configure(master=server.url)
        yield server, bundle


def test_case_026_a_self_signed_certificate_is_refused_without_a_retry(
    case: Case, tmp_path: Path
) -> None:
    case.index.release("foo", "1.0")
    with trusted(case, tmp_path, "127.0.0.1") as (server, _):
        ran = case.mirror(exits=3)
        assert server.asked == []

    assert "its certificate is not valid" in ran.errors()[0]
    assert case.clock.slept == []


def test_case_026_a_certificate_of_a_trusted_authority_is_accepted(
    case: Case, tmp_path: Path
) -> None:
    case.index.release("foo", "1.0")
    with trusted(case, tmp_path, "127.0.0.1") as (_, bundle):
        case.process("mirror", trusting=bundle)


@pytest.mark.parametrize("kind", ["expired", "another host's"])
def test_case_026_an_expired_certificate_or_one_of_another_host_is_refused(
    case: Case, tmp_path: Path, kind: str
) -> None:
    case.index.release("foo", "1.0")
    until = datetime(2020, 1, 1, tzinfo=UTC) if kind == "expired" else None
    host = "other.example.org" if kind == "another host's" else "127.0.0.1"
    with trusted(case, tmp_path, host, until=until) as (_, bundle):
        done = case.process("mirror", exits=3, trusting=bundle)

    assert "its certificate is not valid" in done.log
    assert done.slept == []


def test_case_026_tls_1_0_is_refused(case: Case, tmp_path: Path) -> None:
    case.index.release("foo", "1.0")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    with trusted(case, tmp_path, "127.0.0.1", context) as (server, bundle):
        done = case.process("mirror", exits=3, trusting=bundle)
        assert server.asked == []

    assert "unavailable" in done.log


def test_case_026_a_bad_certificate_of_a_file_host_fails_the_projects(
    case: Case, tmp_path: Path
) -> None:
    case.index.release("foo", "1.0")
    master = case.server.url
    with trusted(case, tmp_path, "127.0.0.1") as (server, _):
        case.site.configure(master=master)
        old, new = f'"{master}/packages'.encode(), f'"{server.url}/packages'.encode()
        case.fault("detail", faults.edit(lambda body: body.replace(old, new)))

        ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "MissingFiles"}
    assert "its certificate is not valid" in ran.errors()[0]
    assert case.clock.slept == []
    case.heals()


# ---------------------------------------------------------------- proxies

LOG_IN = b"<html><head><title>Log in</title></head><body><a href='/go'>Go</a></body></html>"

PROXIES = {
    "407": (faults.status(407), "is unavailable: the proxy does not let it through (status 407)"),
    "403": (faults.status(403), "was refused with status 403"),
    "502": (faults.status(502), "is unavailable: status 502"),
    "a page": (faults.body(LOG_IN, "text/html"), "it is HTML without a link to a project"),
}


@pytest.mark.parametrize("kind", PROXIES)
def test_case_027_a_proxy_that_answers_for_the_index_makes_it_unusable(
    case: Case, kind: str
) -> None:
    with a_bad_proxy(case, PUBLIC, case.server.url):
        act, told = PROXIES[kind]
        case.fault("", act)

        ran = case.mirror(exits=3)

        assert told in ran.errors()[0]


TUNNELS = {
    b"407 Proxy Authentication Required": "the proxy does not let it through (status 407)",
    b"403 Forbidden": "the proxy does not let it through (status 403)",
    b"502 Bad Gateway": "the proxy does not let it through (status 502)",
    b"200 OK, log in": "is unavailable: ",
}


@pytest.mark.parametrize("line", TUNNELS)
def test_case_027_a_proxy_that_refuses_the_tunnel_is_named(case: Case, line: bytes) -> None:
    answer = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (line, len(LOG_IN), LOG_IN)
    with (
        answering(answer) as (port, asked),
        a_bad_proxy(case, "https://index.example.org", f"http://127.0.0.1:{port}"),
    ):
        ran = case.mirror(exits=3)

        assert TUNNELS[line] in ran.errors()[0]
        assert set(asked) == {b"CONNECT index.example.org:443 HTTP/1.1"}


@contextmanager
def a_bad_proxy(case: Case, master: str, proxy: str) -> Iterator[None]:
    """Use a proxy while the block runs; afterwards assert that the mirror heals."""
    case.oracle.secrets += ["s3cret", base64.b64encode(b"me:s3cret").decode()]
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    good = case.site.options["master"]
    proxy = proxy.replace("//", "//me:s3cret@")
    case.site.configure(master=master, proxy=proxy, api_method="simple")
    yield
    del case.site.options["proxy"]
    case.site.configure(master=good, api_method="auto")
    case.heals()


def test_case_027_an_unreachable_proxy_is_named(case: Case) -> None:
    with a_bad_proxy(case, PUBLIC, "http://127.0.0.1:9"):
        ran = case.mirror(exits=3)

        assert "127.0.0.1:9" in ran.errors()[0]
