"""``doctor`` and a server whose every answer a test can replace."""

from __future__ import annotations

import gzip
import hashlib
import json
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bandersnatch.doctor.contents import judge_page
from bandersnatch.doctor.doctor import examine
from bandersnatch.doctor.examination import HTML, JSON, PIP, decoded
from bandersnatch.doctor.findings import Check, Diagnosis, Findings, Severity
from bandersnatch.doctor.port import Answer, Certificate, CertificateFault, SingleRequests
from bandersnatch.doctor.remedies import REMEDIES, server_kind
from bandersnatch.errors import InvalidPage, MissingProject, UnavailableHost, UpstreamError
from bandersnatch.model.names import project_name
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Change = Callable[[Answer], Answer | None]

ROOT = "https://mirror.example.org/simple/"
FOO = project_name("foo")
CLOCK = FakeClock()
WHEEL = b"wheel" * 100
METADATA = b"Metadata-Version: 2.1\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def document() -> dict[str, Any]:
    """Return the page of foo in JSON."""
    return {
        "meta": {"api-version": "1.4"},
        "name": "foo",
        "versions": ["1.0"],
        "project-status": {"status": "active"},
        "files": [
            {
                "filename": "foo-1.0-py3-none-any.whl",
                "url": "/packages/foo-1.0-py3-none-any.whl",
                "hashes": {"sha256": sha256(WHEEL)},
                "size": len(WHEEL),
                "upload-time": "2026-01-01T00:00:00Z",
                "yanked": False,
                "core-metadata": {"sha256": sha256(METADATA)},
            }
        ],
    }


HTML_PAGE = (
    "<!DOCTYPE html><title>Links for foo</title>"
    f'<a href="/packages/foo-1.0-py3-none-any.whl#sha256={sha256(WHEEL)}" '
    f'data-core-metadata="sha256={sha256(METADATA)}">foo-1.0-py3-none-any.whl</a>'
)
PAGE = {"cache-control": "max-age=600", "vary": "Accept, Accept-Encoding"}
FILE = {"cache-control": "max-age=31536000, immutable"}


class Server(SingleRequests):
    """A good server; ``changes`` replace answers by their path, None stands for no answer."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.page = document()
        self.root: object = {"projects": [{"name": "foo"}]}
        self.changes: dict[str, Change] = {}
        self.shown = certificate
        self.asked: list[str] = []
        self.certificates_of = ("", 0)

    async def send(
        self, url: str, headers: Mapping[str, str], *, limit: int, method: str = "GET"
    ) -> Answer:
        path = urlsplit(url).path
        self.asked.append(url)
        found: Answer | None = self.answer(url, path, headers, method)
        change = self.changes.get(path) or self.changes.get("")
        if change is not None and found is not None:
            found = change(found)
        if found is None:
            raise UnavailableHost(url, "it closed the connection")
        body = found.body
        return Answer(url, found.status, found.headers, body[:limit], len(body) <= limit)

    async def certificate(self, host: str, port: int) -> Certificate | None:
        self.certificates_of = (host, port)
        return self.shown

    def answer(self, url: str, path: str, headers: Mapping[str, str], method: str) -> Answer:
        common = {"date": format_datetime(CLOCK.now(), usegmt=True), "server": "Example"}
        if path in {"/simple/", "/simple/foo/"}:
            return self.negotiated(url, path, headers, common)
        if path.startswith("/packages/"):
            body = METADATA if path.endswith(".metadata") else WHEEL
            if "Range" in headers:
                part = {"content-range": f"bytes 2-9/{len(body)}"}
                return Answer(url, 206, {**common, **FILE, **part}, body[2:10])
            return Answer(url, 200, {**common, **FILE}, b"" if method == "HEAD" else body)
        if path == "/simple/FOO/" or path in {"/simple", "/simple/foo"}:
            return Answer(url, 301, {**common, "location": f"{path.lower().rstrip('/')}/"})
        return Answer(url, 404, common)

    def negotiated(
        self, url: str, path: str, headers: Mapping[str, str], common: dict[str, str]
    ) -> Answer:
        accept = headers["Accept"]
        is_json = ("v1+json" in accept or "latest" in accept) and "q=0.9" not in accept
        page = self.page if path == "/simple/foo/" else self.root
        if isinstance(page, bytes):
            text, is_json = page, False
        else:
            text = json.dumps(page).encode() if is_json else HTML_PAGE.encode()
        fields = {**common, **PAGE, "content-type": JSON if is_json else f"{HTML}; charset=utf-8"}
        packed = headers["Accept-Encoding"] == "gzip"
        if packed:
            text, fields["content-encoding"] = gzip.compress(text), "gzip"
        fields["etag"] = f'"{sha256(text)}"'
        if headers.get("If-None-Match") == fields["etag"]:
            return Answer(url, 304, fields)
        return Answer(url, 200, fields, text)


async def found_by(server: Server, url: str = ROOT, *, named: bool = False) -> Diagnosis:
    return await examine(server, CLOCK, url, FOO if named else None)


def sentences(found: Diagnosis, severity: Severity = Severity.FAULT) -> list[str]:
    return [each.sentence for each in found.findings if each.severity is severity]


def header(name: str, value: str) -> Change:
    """Return what sets a header, "" removes it."""

    def change(answer: Answer) -> Answer:
        fields = {k: v for k, v in answer.headers.items() if k != name}
        if value:
            fields[name] = value
        return Answer(answer.url, answer.status, fields, answer.body)

    return change


def status(number: int, body: bytes = b"", **fields: str) -> Change:
    """Return what replaces an answer."""
    return lambda answer: Answer(answer.url, number, {**answer.headers, **fields}, body)


async def test_a_good_server_has_no_finding() -> None:
    found = await found_by(Server(Certificate(CLOCK.now() + timedelta(days=90))))

    assert found.findings == ()
    assert set(found.done) == set(Check)
    assert (found.url, found.project, found.server) == (ROOT, "foo", "Example")


def no_answer(_: Answer) -> None:
    """Close the connection."""


@pytest.mark.parametrize(
    ("path", "change", "text"),
    [
        ("", header("date", "Sat, 21 Nov 2026 10:00:00 GMT"), "2:00:00 behind that of this"),
        ("/simple/foo/", header("vary", "Accept"), "no `Vary: Accept-Encoding`"),
        ("/simple/foo/", header("vary", ""), "no `Vary: Accept`"),
        ("/simple/", header("vary", ""), "no `Vary: Accept`"),
        ("/simple/foo/", header("content-type", ""), "has no type"),
        ("/simple/foo/", header("content-encoding", "br"), "it has the encoding 'br'"),
        ("/simple/foo/", header("etag", '"1"'), "the same ETag"),
        ("/simple/foo/", header("etag", '"1"'), "the same strong ETag"),
        ("/simple/foo/", no_answer, "closed the connection"),
        ("/simple/foo", status(301, location="http://mirror.example.org/simple/foo/"), "redirects"),
        ("/simple/foo", status(301, location=""), "it redirects to ''"),
        ("/simple/foo", status(301, location="https://[/"), "it redirects to"),
        ("/simple/foo", status(301, location="/simple/"), None),
        ("/simple/foo", status(301, location="/simple/other/"), "which is not"),
        ("/simple/foo", no_answer, "closed the connection"),
        ("/packages/foo-1.0-py3-none-any.whl", no_answer, "closed the connection"),
        ("/packages/foo-1.0-py3-none-any.whl.metadata", no_answer, "closed"),
        ("/packages/foo-1.0-py3-none-any.whl", status(206), "status 206"),
    ],
)
async def test_faults(path: str, change: Change, text: str | None) -> None:
    server = Server()
    server.changes[path] = change

    if path == "/simple/foo/" and change(Answer("", 200, {})) is None:
        with pytest.raises(UpstreamError):
            await found_by(server)
        return
    found = await found_by(server)

    if text is None:
        assert sentences(found) == []
    else:
        assert any(text in each for each in sentences(found)), sentences(found)


async def test_answers_without_a_date() -> None:
    server = Server()
    server.changes[""] = header("date", "")

    assert "have no Date" in sentences(await found_by(server), Severity.ADVICE)[0]


async def test_the_age_of_cached_answers_is_added_to_their_date() -> None:
    server = Server()
    cached = {"date": "Sat, 21 Nov 2026 10:00:00 GMT", "age": "7200"}
    server.changes[""] = lambda a: Answer(a.url, a.status, {**a.headers, **cached}, a.body)

    assert sentences(await found_by(server)) == []


@pytest.mark.parametrize(
    ("url", "severity"),
    [
        ("http://mirror.example.org/simple", Severity.FAULT),
        ("http://10.0.0.1/", Severity.FAULT),
        ("http://127.0.0.9", Severity.ADVICE),
        ("http://[::1]/", Severity.ADVICE),
        ("http://localhost:8080", Severity.ADVICE),
    ],
)
async def test_plain_http(url: str, severity: Severity) -> None:
    (finding,) = (await found_by(Server(), url)).findings

    assert (finding.check, finding.severity) == (Check.TLS, severity)


@pytest.mark.parametrize("fault", CertificateFault)
async def test_nothing_is_asked_with_a_wrong_certificate(fault: CertificateFault) -> None:
    server = Server(Certificate(fault=fault, reason="the reason"))

    found = await found_by(server)

    assert server.asked == []
    assert "(the reason)" in sentences(found)[0]
    assert found.done == (Check.TLS,)


@pytest.mark.parametrize(("url", "port"), [(ROOT, 443), ("https://mirror.example.org:8443/", 8443)])
async def test_a_certificate_that_expires_soon(url: str, port: int) -> None:
    server = Server(Certificate(CLOCK.now() + timedelta(days=2, hours=1)))

    found = await found_by(server, url)

    assert sentences(found, Severity.ADVICE) == ["the certificate expires in 2 days"]
    assert server.certificates_of == ("mirror.example.org", port)


@pytest.mark.parametrize(
    ("change", "check", "text"),
    [
        (lambda page: page.update({"project-status": {"status": "A b"}}), Check.STATUS, "refuses"),
        (
            lambda page: page.update({"project-status": {"status": "active", "reason": 1}}),
            Check.STATUS,
            "refuses",
        ),
        (lambda page: page["files"][0].update(url="http://[/"), Check.PAGES, "is not valid"),
        (lambda page: page["files"][0].update(yanked=[1]), Check.YANKS, "refuses"),
        (
            lambda page: page["files"][0].update({"upload-time": "2026-01-01T00:00:00+00:00"}),
            Check.UPLOAD_TIMES,
            "not one",
        ),
    ],
)
async def test_faults_of_a_page(
    change: Callable[[dict[str, Any]], None], check: Check, text: str
) -> None:
    server = Server()
    change(server.page)

    found = await found_by(server)

    faults = [each for each in found.findings if each.severity is Severity.FAULT]
    assert any(each.check is check and text in each.sentence for each in faults)


async def test_a_page_of_an_old_index() -> None:
    server = Server()
    server.page["meta"] = {"api-version": "1.0"}
    del server.page["project-status"]
    del server.page["files"][0]["size"]
    del server.page["files"][0]["upload-time"]

    found = await found_by(server)

    assert sentences(found) == []
    advised = {each.check for each in found.findings}
    assert advised == {Check.SIZES, Check.UPLOAD_TIMES, Check.STATUS}


@pytest.mark.parametrize("version", [None, "1", "1.x", 1.4, "1." + "9" * 50])
async def test_strange_versions(version: object) -> None:
    server = Server()
    server.page["meta"] = {"api-version": version}

    found = await found_by(server)

    assert all(each.check is Check.PAGES for each in found.findings)


async def test_pages_that_have_changed_in_between_are_not_compared() -> None:
    server = Server()
    server.page["meta"]["_last-serial"] = 7
    other = HTML_PAGE.replace("foo-1.0-", "foo-2.0-") + "<!--SERIAL 8-->"

    def change(answer: Answer) -> Answer:
        is_html = answer.header("content-type").startswith(HTML)
        plain = answer.header("content-encoding") == ""
        body = other.encode() if is_html and plain and answer.body else answer.body
        return Answer(answer.url, answer.status, answer.headers, body)

    server.changes["/simple/foo/"] = change

    assert sentences(await found_by(server)) == []


async def test_an_empty_page_for_a_project_that_is_filtered_is_no_fault() -> None:
    server = Server()

    def change(answer: Answer) -> Answer:
        if answer.status != 404 or "no-such-project" not in answer.url:
            return answer
        name = answer.url.rstrip("/").rpartition("/")[2]
        body = json.dumps({"meta": {"api-version": "1.4"}, "name": name, "files": []})
        return Answer(answer.url, 200, answer.headers, body.encode())

    server.changes[""] = change

    assert sentences(await found_by(server)) == []


async def test_a_large_file_is_not_read() -> None:
    server = Server()
    server.page["files"][0]["size"] = 10**9

    found = await found_by(server)

    assert sentences(found) == []
    assert not any(".whl" in url for url in server.asked)


async def test_a_file_whose_size_is_unknown_is_read_in_part() -> None:
    server = Server()
    large = WHEEL + bytes(40 * 1024**2)
    server.changes["/packages/foo-1.0-py3-none-any.whl"] = lambda answer: (
        answer if answer.status == 206 else structs.replace(answer, body=large)
    )
    server.page["files"][0]["size"] = None
    server.page["meta"]["api-version"] = "1.0"
    del server.page["project-status"]

    assert sentences(await found_by(server)) == []


async def test_a_file_at_an_http_address() -> None:
    server = Server()
    server.page["files"][0]["url"] = "http://mirror.example.org/packages/foo-1.0-py3-none-any.whl"

    assert any("is not valid" in each for each in sentences(await found_by(server)))


async def test_core_metadata_without_a_digest_only_has_to_be_there() -> None:
    server = Server()
    server.page["files"][0]["core-metadata"] = True

    assert sentences(await found_by(server)) == []


# ---------------------------------------------------------------- where the index is


@pytest.mark.parametrize("url", ["https://mirror.example.org", "https://mirror.example.org/simple"])
async def test_the_root_page_is_found(url: str) -> None:
    assert (await found_by(Server(), url)).url == ROOT


async def test_a_redirect_to_the_root_page_is_followed() -> None:
    server = Server()
    server.changes["/old/simple/"] = status(302, location="/simple/")

    assert (await found_by(server, "https://mirror.example.org/old")).url == ROOT


@pytest.mark.parametrize("location", ["/other/simple/", "https://mirror.example.org/other/simple/"])
async def test_redirects_in_a_circle(location: str) -> None:
    server = Server()
    server.changes["/other/simple/"] = status(302, location=location)

    with pytest.raises(UpstreamError, match="more than 5 redirects"):
        await found_by(server, "https://mirror.example.org/other")


async def test_a_project_of_an_html_list() -> None:
    server = Server()
    server.root = b'<!DOCTYPE html><a href="/simple/foo/">foo</a><a href="/simple/b'

    assert (await found_by(server)).project == "foo"


async def test_the_project_with_core_metadata_is_chosen() -> None:
    server = Server()
    names = ["\u00e4", "gone", "a" * 300, "foo", "later"]
    server.root = {"projects": [{"name": each} for each in names]}

    assert (await found_by(server)).project == "foo"


@pytest.mark.parametrize("change", [status(404), status(200, b"<p>nothing</p>")])
async def test_any_project_is_chosen_if_none_has_files(change: Change) -> None:
    server = Server()
    server.root = {"projects": [{"name": f"p{number}"} for number in range(9)]}
    server.changes["/simple/p0/"] = change

    assert (await found_by(server)).project == "p0"


async def test_an_empty_index() -> None:
    server = Server()
    server.root = {"projects": []}

    with pytest.raises(InvalidPage, match="names no project"):
        await found_by(server)


async def test_a_project_that_is_missing() -> None:
    server = Server()
    server.changes["/simple/foo/"] = status(404)

    with pytest.raises(MissingProject):
        await found_by(server, named=True)


async def test_no_index() -> None:
    server = Server()
    server.changes["/simple/"] = status(200, b"hello")
    server.changes["/simple/foo/"] = status(200, b"hello")

    with pytest.raises(InvalidPage, match="no index is there"):
        await found_by(server, named=True)


@pytest.mark.parametrize(
    ("header_name", "accept"), [("Accept", PIP), ("Accept-Encoding", "identity")]
)
async def test_it_asks_as_pip_does(header_name: str, accept: str) -> None:
    seen = []

    class Listening(Server):
        async def send(
            self, url: str, headers: Mapping[str, str], *, limit: int, method: str = "GET"
        ) -> Answer:
            seen.append(headers[header_name])
            return await super().send(url, headers, limit=limit, method=method)

    await found_by(Listening())

    assert seen[0] == accept


# ---------------------------------------------------------------- hostile answers


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*document(), *document()["files"][0], "reason"]), inner, max_size=5
            )
        ),
        max_leaves=12,
    )
)
def test_any_document_is_judged(page: object) -> None:
    body = json.dumps(page).encode()

    judge_page(Findings(), Answer(ROOT, 200, {"content-type": JSON}, body), FOO, CLOCK.now())


@given(
    st.sampled_from(sorted(document()["files"][0])),
    st.none() | st.integers() | st.text(max_size=9) | st.lists(st.integers()) | st.booleans(),
)
def test_any_value_of_a_file_is_judged(key: str, value: object) -> None:
    page = document()
    page["files"][0][key] = value
    body = json.dumps(page).encode()

    judge_page(Findings(), Answer(ROOT, 200, {"content-type": JSON}, body), FOO, CLOCK.now())


@given(st.binary(max_size=60))
def test_any_gzip_is_decoded_or_refused(body: bytes) -> None:
    for content in (body, gzip.compress(body)[: max(1, len(body))], gzip.compress(body)):
        try:
            decoded(Answer(ROOT, 200, {"content-encoding": "gzip"}, content))
        except InvalidPage:
            continue


@pytest.mark.parametrize("name", ["cache-control", "vary", "etag", "date", "age", "content-type"])
@pytest.mark.parametrize("value", ["", ",", "max-age=x", "max-age=" + "9" * 50, "\x7f=;", "W/"])
async def test_any_header_is_judged(name: str, value: str) -> None:
    server = Server()
    server.changes[""] = header(name, value)

    assert (await found_by(server)).project == "foo"


# ---------------------------------------------------------------- remedies


@pytest.mark.parametrize(
    ("name", "kind"),
    [("nginx/1.22.1", "nginx"), ("Apache/2.4", "apache"), ("Caddy", "caddy"), ("x", ""), ("", "")],
)
def test_kinds_of_servers(name: str, kind: str) -> None:
    assert server_kind(name) == kind


def test_remedies_are_one_sentence() -> None:
    for each in REMEDIES.values():
        assert "\n" not in each.advice
        assert each.lines.keys() <= {"nginx", "apache", "caddy"}


def test_a_finding_is_kept_once() -> None:
    findings = Findings()
    findings.fault(Check.TLS, "https", "a")
    findings.fault(Check.TLS, "https", "a")
    findings.advise(Check.CLOCK, "clock", "b")

    assert [each.sentence for each in findings.sorted()] == ["a", "b"]
    assert findings.done == (Check.TLS, Check.CLOCK)
