"""The pages for people: what they show, and that nothing of an index acts in them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
from msgspec import structs

from bandersnatch.app import SystemClock
from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    Cause,
    Deferral,
    Exclusion,
    FileRecord,
    Marker,
    ProjectRecord,
    Standing,
)
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectDetail, ProjectStatus, Rejection
from bandersnatch.serve.pages.views import POLICY, size_text
from bandersnatch.state_word import RunEnd
from tests.support.factories import make_file
from tests.support.records import make_record, make_unfinished
from tests.support.serving import FILE, parse_reply, serve_configuration, serving, write_tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.serving import Client, Reply

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}{% raw %}"


class SteppingClock(SystemClock):
    """A clock that is set forward."""

    seconds = 0.0

    def monotonic(self) -> float:
        """Return the seconds of the system, and those that were added."""
        return super().monotonic() + self.seconds


PATHS = ["/", "/-/search?q=foo", "/-/largest", "/-/failures", "/-/project/foo/", "/-/project/no/"]


def hostile_record() -> ProjectRecord:
    """Return a record with everything that an index can say, all of it hostile."""
    record = make_record("foo", "1.0.tar.gz", "1.0-py3-none-any.whl")
    file = replace(
        make_file("foo-2.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"),
        size=1234,
        upload_time=datetime(2026, 11, 30, 12, 0, tzinfo=UTC),
        requires_python=f">=3.8{EVIL}",
        yanked=f"broken {EVIL}",
        core_metadata=Hashes((Digest("sha256", "a" * 64),)),
        provenance="https://index.example.org/?a=%22%3E%3Cscript%3E",
    )
    odd = make_file('foo-3.0"><b>&.zip')
    files = (*record.detail.files, file, odd)
    detail = replace(
        record.detail,
        files=tuple(sorted(files, key=lambda each: each.filename)),
        status=ProjectStatus.DEPRECATED,
        status_reason=f"use another {EVIL}",
    )
    return ProjectRecord(
        detail=detail,
        display=f"Foo{EVIL}",
        reflects=record.reflects,
        fingerprint=record.fingerprint,
        validators=record.validators,
        files=tuple(FileRecord(each, 1, 9) for each in detail.files if each is not odd),
        exclusions=(Exclusion("latest_release", 53, f"0.9{EVIL}".replace("\t", "")),),
    )


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    write_tree(tmp_path)
    now = int(datetime.now(UTC).timestamp())
    excluded = make_record("left-out")
    update = CatalogueUpdate(
        records=[
            hostile_record(),
            ProjectRecord(
                detail=ProjectDetail(project_name("left-out")),
                display="left-out",
                reflects=excluded.reflects,
                fingerprint="",
                validators=excluded.validators,
                files=(),
                standing=Standing.EXCLUDED,
                exclusions=(Exclusion("size_project_metadata", 7, "7.0"),),
            ),
        ],
        deferred=[
            structs.replace(
                make_unfinished("bar", Deferral.PENDING, since=now - 60),
                reason=f"failed {EVIL}",
                cause=Cause.OTHER,
            )
        ],
        rejected={project_name("baz"): (Rejection(f"baz{EVIL}.zip", f"odd {EVIL}"),)},
        markers={
            Marker.LAST_RUN: str(now - 100),
            Marker.LAST_END: str(RunEnd(4, now - 101, now - 90)),
            Marker.LAST_SUCCESS: str(now - 5000),
        },
    )
    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await catalogue.commit(update)
    async with serving(serve_configuration(tmp_path)) as found:
        yield found


class Tags(HTMLParser):
    """Collects the tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Take text."""
        self.text += f" {data}"


def tags_of(reply: Reply) -> Tags:
    """Parse a page."""
    return Tags(reply.body.decode())


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_of_an_index_acts_in_a_page(client: Client, path: str) -> None:
    reply = await client.get(path)
    page = tags_of(reply)

    assert not {tag for tag, _ in page.tags} & {"script", "img", "b", "iframe", "object", "style"}
    assert not [
        name for _, attrs in page.tags for name in attrs if name.startswith(("on", "style"))
    ]
    links = [attrs.get("href") or "" for _, attrs in page.tags]
    assert not [link for link in links if link.lower().startswith(("javascript:", "//"))]
    assert "{{7*7}}" in page.text or "Foo" not in page.text
    assert reply.headers["content-security-policy"] == POLICY
    assert reply.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_is_made_for_everybody(client: Client, path: str) -> None:
    page = tags_of(await client.get(path))
    names = [tag for tag, _ in page.tags]

    assert ("html", {"lang": "en"}) in page.tags
    assert names.count("h1") == names.count("main") == names.count("title") == 1
    labels = {attrs.get("for") for tag, attrs in page.tags if tag == "label"}
    inputs = {attrs.get("id") for tag, attrs in page.tags if tag == "input"}
    assert inputs <= labels
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", PATHS)
async def test_every_link_of_a_page_leads_somewhere(client: Client, path: str) -> None:
    page = tags_of(await client.get(path))
    base = f"http://h{path}"
    for tag, attrs in page.tags:
        target = attrs.get("href") or attrs.get("action")
        if tag not in {"a", "link", "form"} or not target or target.startswith(("#", "data:")):
            continue
        url = urljoin(base, target)
        if not url.startswith("http://h/") or "/packages/" in url or "/project/ba" in url:
            continue
        reply = await client.get(url.removeprefix("http://h"))
        assert reply.status == 200, target


async def test_the_first_page_has_the_state_and_its_reason(client: Client) -> None:
    text = " ".join(tags_of(await client.get("/")).text.split())

    assert "partial the last run ended with exit status 4." in text
    assert "Projects 1" in text
    assert "Not done 1 project " in text
    assert "pip config set global.index-url http://h/simple/" in text


async def test_the_page_of_a_project_has_what_is_known(client: Client) -> None:
    text = " ".join(tags_of(await client.get("/-/project/foo/")).text.split())

    assert "deprecated : use another <script>" in text
    assert "latest_release 53 0.9" in text
    assert "cp312 manylinux_2_17_x86_64 manylinux2014_x86_64 1.2 KB 2026-11-30" in text
    assert "yanked: broken" in text
    assert "(not stored)" in text
    pip = r"pip install --index-url http://h/simple/ --trusted-host h foo==\S+"
    assert re.search(pip, text)
    assert "--hash=sha256:" in text
    assert "metadata of foo-2.0" in text
    assert "provenance of foo-2.0" in text


async def test_what_failed_is_listed_with_its_reason(client: Client) -> None:
    text = " ".join(tags_of(await client.get("/-/failures")).text.split())

    assert "bar pending" in text
    assert "failed <script>" in text
    assert "baz<script>" in text


async def test_a_project_that_the_filters_left_out_is_explained(client: Client) -> None:
    reply = await client.get("/-/project/left-out/")
    text = " ".join(tags_of(reply).text.split())

    assert reply.status == 404
    assert "size_project_metadata leaves out 7 versions, the newest is 7.0" in text


@pytest.mark.parametrize(
    "query", ["%3Cscript%3E", "%22onfocus%3Dalert(1)", "a" * 5000, "%00", "%ff"]
)
async def test_any_query_can_be_searched(client: Client, query: str) -> None:
    reply = await client.get(f"/-/search?q={query}&page=99999999999999999999")

    assert reply.status == 200
    assert "script" not in {tag for tag, _ in tags_of(reply).tags}


async def test_the_address_is_that_which_the_client_uses(client: Client) -> None:
    lines = [b"GET / HTTP/1.1", b"Connection: close", b"Host: mirror.example.com:81", b"", b""]
    data = await client.send(b"\r\n".join(lines))
    assert b"http://mirror.example.com:81/simple/" in data
    lines[2] = b'Host: "><script>alert(1)</script>'
    data = await client.send(b"\r\n".join(lines))
    assert b"alert(1)" not in data


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("mirror.example.com", "mirror.example.com"),
        ("mirror.example.com:81", "mirror.example.com:81"),
        ("[2001:db8::1]:8080", "[2001:db8::1]:8080"),
        ("192.0.2.1", "192.0.2.1"),
        ("127.0.0.1:8080", ""),
        ("127.1.2.3", ""),
        ("[::1]:8080", ""),
        ("[::1]", ""),
        ("LocalHost:8080", ""),
    ],
)
async def test_pip_is_told_to_trust_a_host_without_tls(
    client: Client, host: str, trusted: str
) -> None:
    """Without that it ignores the index, unless the host is its own machine."""
    options = {"/": "global.trusted-host ", "/-/project/foo/": "--trusted-host "}
    for path, option in options.items():
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        text = tags_of(parse_reply(await client.send(request.encode()))).text
        found = re.search(rf"{option}(\S+)", text)
        assert (found[1] if found else "") == trusted


async def test_a_page_needs_no_catalogue(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "catalogue.sqlite").unlink()
    async with serving(serve_configuration(tmp_path)) as client:
        for path in PATHS:
            reply = await client.get(path)
            assert reply.status == (404 if "project" in path else 200)
            assert b"no catalogue" in reply.body
        assert (await client.get("/simple/foo/")).status == 200


async def test_a_catalogue_that_appears_later_is_read(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "catalogue.sqlite").unlink()
    clock = SteppingClock()
    async with serving(serve_configuration(tmp_path), clock=clock) as client:
        assert b"no catalogue" in (await client.get("/-/search?q=foo")).body
        async with SqliteCatalogue(str(tmp_path)) as catalogue:
            await catalogue.commit(CatalogueUpdate(records=[make_record("foo", "1.0.tar.gz")]))
        clock.seconds += 60
        assert b"/project/foo/" in (await client.get("/-/search?q=foo")).body


async def test_a_file_is_tagged_by_its_sha256_if_the_catalogue_has_it(tmp_path: Path) -> None:
    write_tree(tmp_path, catalogue=False)
    record = make_record("foo", "1.0.tar.gz")
    (stored,) = record.files
    assert stored.file.sha256 is not None
    target = tmp_path
    for path in (stored.file.path, FILE):
        target = tmp_path / "web" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"x" * 255)
    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await catalogue.commit(CatalogueUpdate(records=[record]))
    async with serving(serve_configuration(tmp_path)) as client:
        known = await client.get(f"/{stored.file.path}")
        again = await client.get(f"/{stored.file.path}", If_None_Match=known.headers["etag"])
        other = await client.get(f"/{FILE}")
        target.write_bytes(b"x" * 254)
        changed = await client.get(f"/{FILE}", If_None_Match=other.headers["etag"])

    assert known.headers["etag"] == f'"{stored.file.sha256.value}-ff"'
    assert again.status == 304
    assert other.headers["etag"].startswith('"ff-')
    assert changed.status == 200


async def test_the_style_sheet_is_cached(client: Client) -> None:
    reply = await client.get("/-/style.css")

    assert reply.headers["content-type"] == "text/css; charset=utf-8"
    assert "max-age" in reply.headers["cache-control"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 KB"),
        (999_950, "1.0 MB"),
        (2 * 10**12, "2.0 TB"),
    ],
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert size_text(count) == text
