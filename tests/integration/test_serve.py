"""The web server, by real requests."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
from typing import TYPE_CHECKING

import pytest

from bandersnatch.config.schema import (
    HTML_FORMATS,
    JSON_FORMATS,
    FilteredAnswer,
    PageSettings,
    ServeSettings,
)
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.interface import ProjectFilter
from tests.support.serving import (
    FILE,
    JSON,
    OTHERS,
    PAGES,
    V1_HTML,
    parse_reply,
    serve_configuration,
    serving,
    write_tree,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bandersnatch.model.names import ProjectName
    from tests.support.serving import Client

PIP = f"{JSON}, {V1_HTML};q=0.1, text/html;q=0.01"


class Only(ProjectFilter):
    """Keeps one project."""

    name = "only"

    def __init__(self, project: str) -> None:
        self._project = project

    def apply(self, name: ProjectName, /) -> bool:
        """Keep the project."""
        return name == self._project

    def fingerprint(self) -> str:
        """Return what the filter depends on."""
        return self._project


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    write_tree(tmp_path)
    async with serving(serve_configuration(tmp_path)) as found:
        yield found


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize(
    ("accept", "page", "content_type"),
    [
        (PIP, "index.v1_json", JSON),
        (f"{V1_HTML}, text/html;q=0.5", "index.v1_html", f"{V1_HTML}; charset=utf-8"),
        ("text/html,*/*;q=0.8", "index.html", "text/html; charset=utf-8"),
        ("*/*", "index.html", "text/html; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("home", ["simple/", "simple/foo/"])
async def test_a_client_gets_the_format_that_it_prefers(
    client: Client, accept: str, page: str, content_type: str, home: str
) -> None:
    reply = await client.get(f"/{home}", Accept=accept)

    assert reply.status == 200
    assert reply.body == PAGES[f"{home}{page}"]
    assert reply.headers["content-type"] == content_type
    assert reply.headers["vary"] == "Accept, Accept-Encoding"
    assert reply.headers["cache-control"] == "public, max-age=600"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-security-policy"] == "default-src 'none'"
    assert not reply.headers["etag"].startswith("W/")


async def test_without_accept_a_client_gets_html(client: Client) -> None:
    assert (await client.get("/simple/foo/")).body == PAGES["simple/foo/index.html"]


async def test_several_accept_headers_are_one(client: Client) -> None:
    text = (
        f"GET /simple/foo/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
        f"Accept: text/html;q=0.1\r\nAccept: {JSON}\r\n\r\n"
    )
    reply = parse_reply(await client.send(text.encode()))

    assert reply.headers["content-type"] == JSON


async def test_the_query_can_name_the_format(client: Client) -> None:
    for query in (JSON, JSON.replace("+", "%2B"), JSON.replace("v1", "latest")):
        reply = await client.get(f"/simple/foo/?format={query}", Accept="text/html")
        assert reply.headers["content-type"] == JSON
    assert (await client.get("/simple/foo/?format=text/plain")).status == 406


async def test_nothing_acceptable_is_406(client: Client) -> None:
    reply = await client.get("/simple/foo/", Accept="image/png")

    assert reply.status == 406
    assert JSON.encode() in reply.body
    assert (await client.get("/simple/bar/", Accept="image/png")).status == 404


async def test_a_page_that_is_missing_in_one_format_is_sent_in_the_next(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "web/simple/foo/index.v1_json").unlink()
    (tmp_path / "web/simple/foo/index.v1_html").unlink()

    reply = await client.get("/simple/foo/", Accept=PIP)

    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert (await client.get("/simple/foo/", Accept=JSON)).status == 404


@pytest.mark.parametrize(
    ("formats", "accept", "content_type"),
    [
        (HTML_FORMATS, JSON, "text/html; charset=utf-8"),
        (JSON_FORMATS, "text/html", JSON),
    ],
)
async def test_a_mirror_of_one_format_answers_everybody(
    tmp_path: Path, formats: tuple[object, ...], accept: str, content_type: str
) -> None:
    write_tree(tmp_path)
    pages = PageSettings(formats=formats)  # type: ignore[arg-type]
    async with serving(serve_configuration(tmp_path, pages=pages)) as client:
        reply = await client.get("/simple/foo/", Accept=accept)

    assert reply.headers["content-type"] == content_type


async def test_the_pages_of_a_hash_index_are_found(tmp_path: Path) -> None:
    for path in ("simple/f/foo/index.html", "simple/f/f/index.html", "simple/index.html"):
        target = tmp_path / "web" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path)
    pages = PageSettings(hash_index=True)
    async with serving(serve_configuration(tmp_path, pages=pages)) as client:
        assert (await client.get("/simple/foo/")).body == b"simple/f/foo/index.html"
        assert (await client.get("/simple/f/")).body == b"simple/f/f/index.html"
        assert (await client.get("/simple/")).body == b"simple/index.html"
        assert (await client.get("/simple/f/foo/")).status == 404


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/simple", "simple/"),
        ("/simple/foo", "foo/"),
        ("/simple/Foo/", "../foo/"),
        ("/simple/F.o_O?format=text/html", "f-o-o/?format=text/html"),
        ("/pypi/FOO/json", "../foo/json"),
    ],
)
async def test_other_spellings_lead_to_the_page(client: Client, path: str, location: str) -> None:
    reply = await client.get(path)

    assert reply.status == 301
    assert reply.headers["location"] == location


async def test_a_location_is_one_line_of_ascii(client: Client) -> None:
    for query in ("\xe9", "a b", "%0d%0aSet-Cookie:x", "\udcff", '"<>'):
        reply = await client.get(f"/simple/foo?{query}".replace(" ", "%20"))
        assert reply.status in {301, 400}
        assert reply.headers.get("location", "").isascii()
        assert "set-cookie" not in reply.headers


async def test_documents_and_the_last_run_have_their_types(client: Client) -> None:
    for path in ("/json/foo", "/pypi/foo/json"):
        reply = await client.get(path)
        assert reply.headers["content-type"] == "application/json"
        assert reply.body == PAGES["json/foo"]
    reply = await client.get("/last-modified")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"


# ---------------------------------------------------------------- files


async def test_a_file_is_served_for_ever(client: Client) -> None:
    reply = await client.get(f"/{FILE}", Accept_Encoding="gzip")

    assert reply.body == PAGES[FILE]
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["accept-ranges"] == "bytes"
    assert "content-encoding" not in reply.headers


async def test_core_metadata_is_text_and_is_compressed(client: Client) -> None:
    reply = await client.get(f"/{FILE}.metadata", Accept_Encoding="gzip")

    assert gzip.decompress(reply.body) == PAGES[f"{FILE}.metadata"]
    assert reply.headers["content-type"].startswith("text/plain")
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("text", "start", "stop"), [("0-9", 0, 10), ("100-", 100, 131072), ("-16", 131056, 131072)]
)
async def test_a_part_of_a_file(client: Client, text: str, start: int, stop: int) -> None:
    reply = await client.get(f"/{FILE}", Range=f"bytes={text}")

    assert reply.status == 206
    assert reply.body == PAGES[FILE][start:stop]
    assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/131072"
    assert reply.headers["content-length"] == str(stop - start)


async def test_a_part_of_a_page_is_one_of_its_encoding(client: Client) -> None:
    whole = await client.get("/simple/foo/", Accept_Encoding="gzip")
    reply = await client.get("/simple/foo/", Accept_Encoding="gzip", Range="bytes=5-9")

    assert reply.status == 206
    assert reply.body == whole.body[5:10]
    assert reply.headers["etag"] == whole.headers["etag"]


async def test_a_range_behind_the_end_is_refused(client: Client) -> None:
    for path in (f"/{FILE}", "/simple/foo/"):
        reply = await client.get(path, Range="bytes=999999-")
        assert reply.status == 416
        assert reply.headers["content-range"].startswith("bytes */")


async def test_head_has_the_headers_of_get(client: Client) -> None:
    for path in (f"/{FILE}", f"/{FILE}.metadata", "/simple/foo/", "/simple/", "/json/foo"):
        get = await client.get(path)
        head = await client.get(path, method="HEAD", Range="bytes=0-1")
        assert head.status == 200
        assert head.body == b""
        assert dict(head.headers) | {"date": ""} == dict(get.headers) | {"date": ""}


# ---------------------------------------------------------------- caching


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("path", ["/simple/", "/simple/foo/", f"/{FILE}", "/json/foo"])
async def test_what_a_client_has_is_not_sent_again(
    client: Client, path: str, encoding: str
) -> None:
    first = await client.get(path, Accept_Encoding=encoding)
    again = await client.get(path, Accept_Encoding=encoding, If_None_Match=first.headers["etag"])
    since = await client.get(path, If_Modified_Since=first.headers["last-modified"])
    other = await client.get(path, Accept_Encoding=encoding, If_None_Match='"other"')

    assert again.status == since.status == 304
    assert again.body == since.body == b""
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == first.headers["cache-control"]
    assert again.headers.get("vary") == first.headers.get("vary")
    assert "content-length" not in again.headers
    assert other.status == 200


async def test_each_representation_has_its_own_tag(client: Client) -> None:
    tags = [
        (await client.get("/simple/foo/", Accept=accept, Accept_Encoding=encoding)).headers["etag"]
        for accept in (JSON, V1_HTML, "text/html")
        for encoding in ("identity", "gzip")
    ]

    assert len(set(tags)) == 6


async def test_a_changed_page_has_another_tag_at_once(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "web/simple/foo/index.html"
    old = await client.get("/simple/foo/")
    other = path.with_name("new")
    other.write_bytes(PAGES["simple/foo/index.html"][::-1])
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)

    new = await client.get("/simple/foo/", If_None_Match=old.headers["etag"])

    assert new.status == 200
    assert new.body == PAGES["simple/foo/index.html"][::-1]
    assert new.headers["etag"] != old.headers["etag"]


async def test_a_precondition_that_fails_is_412(client: Client) -> None:
    assert (await client.get(f"/{FILE}", If_Match='"x"')).status == 412
    assert (await client.get("/simple/foo/", If_Match='"x"')).status == 412


async def test_pages_are_compressed_for_those_who_ask(client: Client) -> None:
    reply = await client.get("/simple/foo/", Accept_Encoding="gzip, deflate")

    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body) == PAGES["simple/foo/index.html"]
    assert int(reply.headers["content-length"]) == len(reply.body)


async def test_a_page_that_is_larger_than_the_cache_is_streamed(tmp_path: Path) -> None:
    content = os.urandom(3_000_000).hex().encode()
    write_tree(tmp_path)
    (tmp_path / "web/simple/index.html").write_bytes(content)
    async with serving(serve_configuration(tmp_path)) as client:
        plain = await client.get("/simple/")
        part = await client.get("/simple/", Range="bytes=2999999-3000001")
        packed = await client.get("/simple/", Accept_Encoding="gzip")
        known = await client.get("/simple/", If_None_Match=plain.headers["etag"])

    assert plain.body == content
    assert part.body == content[2999999:3000002]
    assert gzip.decompress(packed.body) == content
    assert known.status == 304


# ---------------------------------------------------------------- what is not served


@pytest.mark.parametrize("path", OTHERS)
async def test_nothing_else_can_be_reached(client: Client, path: str) -> None:
    names = {path, path.removeprefix("web/"), f"simple/../{path}", f"simple/%2e%2e/{path}"}
    names |= {f"packages/../../{path}", f"packages/..%2f..%2f{path}", f"/{path}", f"./{path}"}
    for name in names:
        reply = await client.get(f"/{name}")
        assert reply.status == 404
        assert b"secret" not in reply.body


async def test_an_unknown_project_is_missing(client: Client) -> None:
    reply = await client.get("/simple/bar/", Accept=PIP)

    assert reply.status == 404
    assert reply.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("accept", [PIP, "text/html"])
async def test_what_the_filters_leave_out_can_be_an_empty_page(tmp_path: Path, accept: str) -> None:
    write_tree(tmp_path)
    configuration = serve_configuration(
        tmp_path,
        serve=ServeSettings(filtered=FilteredAnswer.EMPTY),
        filters=FilterChain(projects=(Only("foo"),)),
    )
    async with serving(configuration) as client:
        known = await client.get("/simple/foo/", Accept=accept)
        filtered = await client.get("/simple/bar/", Accept=accept)
        again = await client.get(
            "/simple/bar/", Accept=accept, If_None_Match=filtered.headers["etag"]
        )
        nothing = await client.get("/simple/bar/", Accept="image/png")

    assert b"foo" in known.body
    assert filtered.status == 200
    assert b"bar" in filtered.body
    assert b"href" not in filtered.body
    assert again.status == 304
    assert nothing.status == 406


async def test_only_get_and_head_are_allowed(client: Client) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"):
        reply = await client.get("/simple/", method=method)
        assert reply.status in {405, 400}
        assert reply.status == 400 or reply.headers["allow"] == "GET, HEAD"


async def test_a_disk_that_is_gone_is_503_and_not_404(tmp_path: Path) -> None:
    async with serving(serve_configuration(tmp_path / "missing")) as client:
        reply = await client.get("/simple/foo/")

    assert reply.status == 503
    assert reply.headers["retry-after"] == "30"


# ---------------------------------------------------------------- connections


async def test_a_connection_serves_many_requests(client: Client) -> None:
    reader, writer = await client.connect()
    for path in ("/simple/foo/", f"/{FILE}", "/simple/foo", "/nothing"):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        assert b"Connection" not in head
    writer.close()


async def test_requests_that_are_sent_at_once_are_answered_in_order(client: Client) -> None:
    paths = ["/simple/foo/", "/nothing", f"/{FILE}", "/last-modified"]
    text = "".join(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n" for path in paths)
    data = await client.send(text.encode(), half_close=True)

    assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"200", b"404", b"200", b"200"]
    assert data.endswith(PAGES["last-modified"])


async def test_a_client_that_closes_its_half_gets_the_answer(client: Client) -> None:
    data = await client.send(f"GET /{FILE} HTTP/1.1\r\nHost: h\r\n\r\n".encode(), half_close=True)

    assert data.endswith(PAGES[FILE])


async def test_http_1_0_is_understood(client: Client) -> None:
    reply = parse_reply(await client.send(b"GET /simple/foo/ HTTP/1.0\r\n\r\n"))
    assert reply.body == PAGES["simple/foo/index.html"]
    assert reply.headers["connection"] == "close"


async def test_what_is_not_http_is_refused_in_one_line(client: Client) -> None:
    for data in (
        b"GARBAGE\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
    ):
        reply = parse_reply(await client.send(data))
        assert reply.status == 400
        assert b"Traceback" not in reply.body


async def test_a_request_with_a_body_ends_the_connection(client: Client) -> None:
    body = b"POST /simple/ HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
    reply = parse_reply(await client.send(body + b"GET /simple/foo/ HTTP/1.1\r\nHost: h\r\n\r\n"))

    assert reply.status == 405
    assert reply.headers["connection"] == "close"


async def test_requests_are_logged_in_the_common_format(client: Client) -> None:
    await client.get("/simple/foo/", Accept=JSON)
    await client.get('/si"mple\\', method="HEAD")
    await client.send(b"GARBAGE\r\n\r\n")
    await asyncio.sleep(1.2)

    lines = b"".join(client.lines).decode().splitlines()
    form = (
        r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "[^"]*" \d{3} (\d+|-)'
    )
    assert len(lines) == 3
    assert all(re.fullmatch(form, line) for line in lines)
    assert '"GET /simple/foo/ HTTP/1.1" 200 ' in lines[0]
    assert '"HEAD /si\\x22mple\\x5c HTTP/1.1" 404 -' in lines[1]


async def test_requests_are_counted_by_kind_and_status(client: Client) -> None:
    await client.get("/simple/foo/")
    await client.get("/simple/")
    await client.get(f"/{FILE}", Range="bytes=0-9")

    counts = client.server.statistics.requests
    assert counts == {("project", 200): 1, ("root", 200): 1, ("file", 206): 1}
    assert (
        client.server.statistics.sent
        == sum(len(PAGES[f"simple/{path}index.html"]) for path in ("", "foo/")) + 10
    )


async def test_an_address_has_only_so_many_connections(tmp_path: Path) -> None:
    write_tree(tmp_path)
    async with serving(serve_configuration(tmp_path), most=2) as client:
        opened = [await client.connect() for _ in range(2)]
        for _, writer in opened:
            writer.write(b"GET /simple/foo/ HTTP/1.1\r\nHost: h\r\n\r\n")
        for reader, _ in opened:
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        reader, writer = await client.connect()
        assert (await reader.read()).startswith(b"HTTP/1.1 503")
        opened[0][1].close()
        await asyncio.sleep(0.1)
        assert (await client.get("/simple/foo/")).status == 200
        for _, each in [*opened, (reader, writer)]:
            each.close()


async def test_a_trusted_proxy_names_its_clients(tmp_path: Path) -> None:
    write_tree(tmp_path)
    configuration = serve_configuration(tmp_path)
    async with serving(configuration, most=1, trusted=("127.0.0.0/8", "10.0.0.0/8")) as client:
        opened = [await client.connect() for _ in range(3)]
        await client.get("/simple/", X_Forwarded_For="198.51.100.9, 192.0.2.7, 10.1.1.1")
        await client.get("/simple/", X_Forwarded_For='evil" 200, x')
        for _, writer in opened:
            writer.close()

    lines = b"".join(client.lines).decode().splitlines()
    assert [line.split()[0] for line in lines] == ["192.0.2.7", "127.0.0.1"]


async def test_an_answer_that_has_begun_is_finished_before_the_server_ends(tmp_path: Path) -> None:
    content = os.urandom(8_000_000)
    write_tree(tmp_path)
    (tmp_path / "web" / FILE).write_bytes(content)
    async with serving(serve_configuration(tmp_path)) as client:
        idle, busy = await client.connect(), await client.connect()
        busy[1].write(f"GET /{FILE} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        await busy[0].readuntil(b"\r\n\r\n")
        reading = asyncio.ensure_future(busy[0].read())
    assert await reading == content
    assert await idle[0].read() == b""
    for _, writer in (idle, busy):
        writer.close()


async def test_a_client_that_does_not_read_does_not_delay_the_end_for_ever(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "web" / FILE).write_bytes(bytes(50_000_000))
    async with asyncio.timeout(20):
        async with serving(serve_configuration(tmp_path), grace=0.2) as client:
            _, writer = await client.connect()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(f"GET /{FILE} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            await asyncio.sleep(0.3)
    writer.close()
