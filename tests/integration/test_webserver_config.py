"""``webserver-config``: what it prints, run by the servers themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bandersnatch.config.webserver import Site as Served
from bandersnatch.config.webserver import WebServer, render_webserver
from tests.support.real_servers import fetch, public_copy, serving_generated
from tests.support.wheels import wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.site import Site

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
SERVERS = ["nginx", "apache", "caddy"]


def generate(site: Site, server: str, address: str, web: Path) -> str:
    """Return what the command prints for a copy of the tree."""
    site.configure(directory=web.parent)
    done = site.ask("webserver-config", server, "--listen", address)
    assert done.code == 0, done.log
    return done.out


@pytest.mark.parametrize("program", SERVERS)
@pytest.mark.parametrize(
    "options",
    [
        {"simple_format": "ALL", "json": True},
        {"simple_format": "ALL", "hash_index": True},
        {"simple_format": "JSON"},
        {"simple_format": "HTML", "hash_index": True, "json": True},
    ],
    ids=["all", "hash-index", "json", "html"],
)
def test_each_page_has_its_type_and_nothing_else_is_served(
    index: Index, site: Site, program: str, options: dict[str, object]
) -> None:
    site.configure(**options)
    index.release("foo-bar", "1.0", sdist=True)
    index.release("f", "1.0")
    site.mirror()
    for each in site.web.rglob("*"):
        os.utime(each, (1_700_000_000, 1_700_000_000))  # Apache's ETag is weak for one second
    (site.web / ".secret").write_text("x")
    (site.web / "other").mkdir()
    (site.web / "other/file").write_text("x")
    kinds = {
        "ALL": {JSON: JSON, HTML: HTML, "*/*": "text/html", f"{JSON}, {HTML};q=0.1": JSON},
        "JSON": {JSON: JSON, "text/html": JSON, "*/*": JSON},
        "HTML": {JSON: "text/html", HTML: HTML, "*/*": "text/html"},
    }[str(options["simple_format"])]
    with (
        public_copy(site.web) as web,
        serving_generated(program, web, lambda at: generate(site, program, at, web)) as url,
    ):
        for path in ("/simple/", "/simple/foo-bar/", "/simple/f/"):
            for accept, kind in kinds.items():
                reply = fetch(url + path, accept)
                assert (reply.status, reply.kind) == (200, kind), (path, accept)
                assert "Accept" in reply.headers["Vary"]
                assert reply.headers["Cache-Control"] == "public, max-age=600"
                assert not reply.headers["ETag"].startswith("W/")
                known = {"If-None-Match": reply.headers["ETag"]}
                assert fetch(url + path, accept, **known).status == 304
        for path in ("/simple", "/simple/foo-bar"):
            reply = fetch(url + path)
            assert reply.status == 301
            assert reply.headers["Location"].removeprefix(url) == f"{path}/"
        for path in ("/simple/nothing/", "/packages/nothing", "/packages/", "/packages", "/other"):
            reply = fetch(url + path, JSON)
            assert reply.status == 404, path
            assert "immutable" not in reply.headers.get("Cache-Control", "")
        for path in ("/.secret", "/.mirror", "/other/file", "/", "/json/", "/pypi/"):
            assert fetch(url + path).status == 404, path
        assert fetch(f"{url}/last-modified").kind == "text/plain"
        for path in ("/pypi/foo-bar/json", "/json/foo-bar"):
            reply = fetch(url + path)
            assert reply.status == (200 if "json" in options else 404)
            assert reply.kind == "application/json" or reply.status == 404
        check_files(url, web)


def check_files(url: str, web: Path) -> None:
    """Check every file of the tree: its type, its cache time, ranges and bytes."""
    files = [path for path in (web / "packages").rglob("*") if path.is_file()]
    assert len(files) >= 5
    for path in files:
        reply = fetch(f"{url}/{path.relative_to(web)}", **{"Accept-Encoding": "gzip"})
        assert reply.status == 200
        assert reply.kind == "application/octet-stream"
        assert "Content-Encoding" not in reply.headers
        assert "immutable" in reply.headers["Cache-Control"]
        assert reply.body == path.read_bytes()
        part = fetch(f"{url}/{path.relative_to(web)}", Range="bytes=2-5")
        assert (part.status, part.body) == (206, path.read_bytes()[2:6])


@pytest.mark.parametrize("program", SERVERS)
def test_pip_and_uv_install(index: Index, site: Site, program: str, tmp_path: Path) -> None:
    for name, requires in (("ham", ["spam"]), ("spam", [])):
        content, metadata = wheel(name, "1.0", *requires)
        file = f"{name}-1.0-py3-none-any.whl"
        index.upload(name, "1.0", file, content=content, metadata=metadata)
    site.mirror()
    with (
        public_copy(site.web) as web,
        serving_generated(program, web, lambda at: generate(site, program, at, web)) as url,
    ):
        for tool in (["pip"], ["uv", "pip"]):
            target = tmp_path / tool[0]
            flags = ["--index-url", f"{url}/simple/", "--target", str(target), "ham"]
            cache = ["--no-cache-dir", "--isolated"] if tool == ["pip"] else ["--no-cache"]
            done = subprocess.run(
                [sys.executable, "-m", *tool, "install", *cache, *flags],
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
            assert {"ham.py", "spam.py"} <= {each.name for each in target.iterdir()}


@pytest.mark.parametrize("program", SERVERS)
def test_without_flags_it_serves_the_usual_ports(site: Site, program: str) -> None:
    text = site.ask("webserver-config", program, "--server-name", "pypi.example.com").out

    assert "pypi.example.com" in text
    assert {"nginx": "listen 80;", "apache": "<VirtualHost *:80>", "caddy": "\npypi.example.com {"}[
        program
    ] in text
    assert f'"{site.web}"' in text


@pytest.mark.parametrize("program", SERVERS)
def test_the_certificate_is_that_of_serve(site: Site, program: str, tmp_path: Path) -> None:
    site.filter(f"[serve]\ntls-certificate = {tmp_path}/chain.pem\n")

    text = site.ask("webserver-config", program).out

    assert "443" in text
    assert text.count(f'"{tmp_path}/chain.pem"') == 2
    other = site.ask("webserver-config", program, "--tls-certificate", "/a", "--tls-key", "/b").out
    assert '"/a"' in other
    assert '"/b"' in other
    assert "chain.pem" not in other


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--listen", "80"], "--listen '80' is not an address and port"),
        (["--server-name", "a b"], "--server-name"),
        (["--server-name", "a;b"], "--server-name"),
        (["--server-name", "a.example:80"], "is not the name of one host"),
        (["--tls-key", "/a"], "--tls-key needs --tls-certificate"),
        (["--tls-certificate", '/a"b'], "has the character"),
    ],
)
def test_what_is_refused(site: Site, flags: list[str], said: str) -> None:
    done = site.ask("webserver-config", "nginx", *flags)

    assert done.code == 2
    assert said in done.log
    assert done.out == ""


def test_what_it_cannot_do_is_said(site: Site) -> None:
    site.filter("[serve]\nfiltered = empty\n")

    assert "filtered = empty needs bandersnatch serve" in site.ask("webserver-config", "nginx").log


@pytest.mark.parametrize("server", WebServer)
def test_addresses_of_ipv6(server: WebServer) -> None:
    text = render_webserver(server, Served("/srv/web", "a.example", host="::1", port=81))

    assert ("bind ::1" if server is WebServer.CADDY else "[::1]:81") in text
