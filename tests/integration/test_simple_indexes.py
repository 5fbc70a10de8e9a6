"""Indexes that have simple pages and nothing else (``index-url``), in the layouts of the field."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import pytest
from yarl import URL

from bandersnatch.errors import UnsafeUrl
from bandersnatch.index.hosts import HostGuard
from tests.support.static_site import CONTENTS, LAYOUTS, Layout, Reply, publish, static_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.site import Site
    from tests.support.static_site import StaticSite

FILES = {filename for files in CONTENTS.values() for filename in files}
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"


@pytest.fixture
def upstream() -> Iterator[StaticSite]:
    """Run an empty web server."""
    with static_site() as running:
        yield running


def of_index(make_site: Callable[..., Site], url: str, **options: object) -> Site:
    """Return a mirror of the index at ``url``."""
    site = make_site()
    del site.options["master"]
    site.configure(index_url=url, **options)
    return site


def mirrored_files(site: Site) -> dict[str, bytes]:
    """Return the contents of the files that the pages of a mirror link to, by file name."""
    found = {}
    for name in site.names():
        for file in site.page(name)["files"]:
            path = (site.web / "simple" / name / unquote(file["url"])).resolve()
            content = path.read_bytes()
            assert hashlib.sha256(content).hexdigest() == file["hashes"]["sha256"]
            found[file["filename"]] = content
    return found


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
@pytest.mark.parametrize("slash", ["", "/"])
def test_an_index_in_any_layout_is_mirrored(
    make_site: Callable[..., Site], upstream: StaticSite, layout: Layout, slash: str
) -> None:
    publish(upstream, layout)
    site = of_index(make_site, upstream.url + layout.root.rstrip("/") + slash)
    if not layout.listed:
        site.allow(*CONTENTS)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert site.names() == sorted(CONTENTS)
    assert mirrored_files(site) == {n: c for files in CONTENTS.values() for n, c in files.items()}
    assert all(each.startswith("GET ") for each in upstream.asked), "no changelog is asked for"
    assert not any(path.endswith("/json") for path in upstream.paths())

    before, asked = site.tree(), len(upstream.asked)
    site.clock.advance(hours=1)
    again = site.mirror()
    assert again.code == 0
    assert again.report["projects"]["unchanged"] == len(CONTENTS)
    assert site.tree() == before
    files = upstream.asked[asked:]
    assert not [path for path in files if path.endswith((".whl", ".gz"))], "nothing is downloaded"


def test_every_command_works_with_index_url(
    make_site: Callable[..., Site], upstream: StaticSite
) -> None:
    publish(upstream, LAYOUTS["pytorch"])
    url = f"{upstream.url}/whl/cpu/"
    site = of_index(make_site, url)

    assert f"Index:   {upstream.url}/..., by its project list" in site.ask("config", "check").out
    plan = site.ask("plan", "--json")
    assert plan.code == 0, plan.log
    assert json.loads(plan.out)["failed"] == {}
    assert site.sync("torch").code == 0
    assert site.names() == ["torch"]
    assert site.mirror().code == 0
    assert "mirror" in site.ask("why", "torch").out
    status = site.ask("status")
    assert "index-url is set, and only the changelog has the events" in status.out
    file = unquote(site.page("torch")["files"][0]["url"])
    (site.web / file.removeprefix("../../")).write_bytes(b"")
    verified = site.run("verify")
    assert verified.code == 0, verified.log
    assert mirrored_files(site).keys() == FILES


def test_the_paths_of_files_come_from_their_digests(
    make_site: Callable[..., Site], upstream: StaticSite
) -> None:
    """They stay the same when the index moves its files to another host or directory."""
    publish(upstream, LAYOUTS["pytorch"])
    site = of_index(make_site, f"{upstream.url}/whl/cpu")
    site.mirror()
    paths = {file["url"] for name in site.names() for file in site.page(name)["files"]}
    for filename, content in CONTENTS["torch"].items():
        digest = hashlib.sha256(content).hexdigest()
        path = f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{filename}"
        assert (site.web / path).read_bytes() == content

    with static_site("localhost") as files:
        publish(upstream, LAYOUTS["pytorch"]._replace(link="{site}/new/{file}"), files)
        assert site.mirror().code == 0
        assert files.asked == []
    assert {f["url"] for name in site.names() for f in site.page(name)["files"]} == paths


def test_an_index_that_moved_is_followed(
    make_site: Callable[..., Site], upstream: StaticSite
) -> None:
    publish(upstream, LAYOUTS["nexus"])
    for path in list(upstream.replies):
        if path.endswith("/"):
            moved = path.replace("/repository/pypi/", "/old/")
            upstream.replies[moved] = Reply(b"", location=upstream.url + path)
    site = of_index(make_site, f"{upstream.url}/old/simple/")

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert mirrored_files(site).keys() == FILES


# ---------------------------------------------------------------- content types


@pytest.mark.parametrize(
    "kind",
    [
        "application/octet-stream",
        "binary/octet-stream",
        "text/plain",
        "text/json",
        "",
        "text/plain; charset=utf-8",
    ],
)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf\n  "])
def test_a_page_of_a_type_that_says_nothing_is_read_by_its_content(
    make_site: Callable[..., Site], upstream: StaticSite, kind: str, bom: bytes
) -> None:
    publish(upstream, LAYOUTS["nexus"])
    root, page = "/repository/pypi/simple/", "/repository/pypi/simple/torch/"
    for path in (root, page):
        upstream.replies[path] = Reply(bom + upstream.replies[path].body, kind)
    site = of_index(make_site, upstream.url + root)
    assert site.mirror().code == 0
    assert mirrored_files(site).keys() == FILES

    listing = {"meta": {"api-version": "1.0"}, "projects": [{"name": "torch"}]}
    files = [
        {
            "filename": filename,
            "url": f"../../packages/torch/1/{quote(filename)}",
            "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
        }
        for filename, content in CONTENTS["torch"].items()
    ]
    detail = {"meta": {"api-version": "1.0"}, "name": "torch", "files": files}
    upstream.replies[root] = Reply(bom.strip() + json.dumps(listing).encode(), kind)
    upstream.replies[page] = Reply(bom.strip() + json.dumps(detail).encode(), kind)
    other = of_index(make_site, upstream.url + root)
    assert other.mirror().code == 0
    assert mirrored_files(other).keys() == CONTENTS["torch"].keys()


@pytest.mark.parametrize("content", [b"", b"\0\1", b'{"name": ', b"{}", b"<p>nothing</p>"])
def test_a_page_that_cannot_be_read_is_requested_as_html(
    make_site: Callable[..., Site], upstream: StaticSite, content: bytes
) -> None:
    publish(upstream, LAYOUTS["nexus"])

    def choose(path: str, headers: Mapping[str, str]) -> Reply | None:
        if path.endswith("/") and SIMPLE_JSON in headers["Accept"]:
            return Reply(content, "application/octet-stream")
        return None

    upstream.choose = choose
    site = of_index(make_site, f"{upstream.url}/repository/pypi/simple/")

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert mirrored_files(site).keys() == FILES


@pytest.mark.parametrize("kind", ["image/png", "application/zip", "text/css"])
def test_a_page_of_another_type_is_refused(
    make_site: Callable[..., Site], upstream: StaticSite, kind: str
) -> None:
    publish(upstream, LAYOUTS["nexus"])
    root = "/repository/pypi/simple/"
    upstream.replies[root] = Reply(upstream.replies[root].body, kind)
    site = of_index(make_site, upstream.url + root)

    ran = site.mirror()

    assert ran.code == 3
    assert f"it is {kind}, not a simple page" in ran.log


# ---------------------------------------------------------------- hosts of files


def test_files_on_other_hosts_are_downloaded_as_long_as_file_hosts_lists_them(
    make_site: Callable[..., Site], upstream: StaticSite
) -> None:
    with static_site("localhost") as files:
        publish(upstream, LAYOUTS["vendor"], files)
        site = of_index(make_site, upstream.url)
        assert site.mirror().code == 0, "an index with a private address, and no list of hosts"

        host = urlsplit(files.url).netloc
        for listed in (host, "localhost", f"files.example.org localhost:1, {host}"):
            site = of_index(make_site, upstream.url, file_hosts=listed)
            assert site.mirror().code == 0
            assert mirrored_files(site).keys() == FILES

        files.asked.clear()
        for listed in ("files.example.org", "localhost:1"):
            site = of_index(make_site, upstream.url, file_hosts=listed)
            ran = site.mirror()
            assert ran.code == 4
            assert "file-hosts does not list its host" in ran.log
        assert files.asked == []


def test_a_redirect_to_a_host_that_is_not_listed_is_refused(
    make_site: Callable[..., Site], upstream: StaticSite
) -> None:
    with static_site("localhost") as files:
        publish(upstream, LAYOUTS["vendor"])
        for path, reply in list(upstream.replies.items()):
            if reply.kind == "application/octet-stream":
                files.replies[path] = reply
                upstream.replies[path] = Reply(b"", location=files.url + path)
        site = of_index(make_site, upstream.url, file_hosts="files.example.org")
        assert site.mirror().code == 4
        assert files.asked == []

        site.configure(file_hosts="localhost")
        assert site.mirror().code == 0


def test_only_listed_hosts_may_be_private() -> None:
    for index in ("https://10.0.0.1", "https://index.example.org"):
        guard = HostGuard(index, ["https://10.0.0.9"], ["10.0.0.2:8080", "files.example.org"])
        guard.check_file_url(URL("https://10.0.0.2:8080/x"))
        guard.check_file_url(URL("https://10.0.0.9/x"))
        guard.check_file_url(URL(f"{index}/x"))
        guard.check_addresses("files.example.org", ["10.0.0.3"])
        for url in ("https://10.0.0.2/x", "https://10.0.0.4/x", "https://example.com/x"):
            with pytest.raises(UnsafeUrl, match="file-hosts does not list its host"):
                guard.check_file_url(URL(url))
        with pytest.raises(UnsafeUrl, match="file-hosts does not list it"):
            guard.check_url(URL("https://10.0.0.4/x"))
        with pytest.raises(UnsafeUrl, match="file-hosts does not list it"):
            guard.check_addresses("other.example.org", ["10.0.0.4"])
