"""What the documentation puts in front of a bucket: nginx, and functions for CloudFront."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.bucket_site import BucketSite
from tests.support.ceph import BUCKET
from tests.support.programs import require_program
from tests.support.real_servers import fetch, free_ports, public_copy, serving_blocks
from tests.support.wheels import wheel

if TYPE_CHECKING:
    from tests.support.ceph import SharedCeph
    from tests.support.index import Index
    from tests.support.server import IndexServer

DOCS = Path(__file__).parents[2] / "docs"
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"


def documented(port: int, site: BucketSite, store: str, cache: Path) -> str:
    """Return the configuration of the how-to, for this mirror, store and port."""
    text = (DOCS / "how-to/mirror-into-a-bucket.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```nginx\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    complete, deeper = map(str, blocks)
    address = urlsplit(store).netloc
    if site.options["hash-index"]:
        pages = "    location ~ ^/simple/(?<page>"
        complete = complete.replace(pages, f"{deeper}\n{pages}", 1)
    for example, real in {
        "https://store/": "http://store/",
        "store.example.org:443": address,
        "store.example.org": address,
        "my-bucket/pypi": f"{BUCKET}/{site.prefix}",
        "listen 80": f"listen 127.0.0.1:{port}",
        "/var/cache/nginx/pypi": str(cache),
    }.items():
        assert example in complete
        complete = complete.replace(example, real)
    return complete


@pytest.mark.parametrize("hash_index", [False, True])
def test_nginx_serves_a_bucket_as_the_documentation_says(
    index: Index,
    server: IndexServer,
    shared_ceph: SharedCeph,
    tmp_path: Path,
    *,
    hash_index: bool,
) -> None:
    ceph = shared_ceph.get()
    site = BucketSite(tmp_path, server, ceph, json=True, hash_index=hash_index)
    site.configure_bucket(config_param_ACL="public-read")
    content, metadata = wheel("demo", "1.0")
    name = "demo-1.0-py3-none-any.whl"
    index.upload("demo", "1.0", name, content=content, metadata=metadata)
    index.upload("demo", "1.0", "demo-1.0 (copy).zip", content=b"copy", escaped=True)
    assert site.mirror().code == 0
    (port,) = free_ports(1)
    tree = tmp_path / "empty"
    tree.mkdir()
    with public_copy(tree) as home:
        block = documented(port, site, ceph.url, home / "cache")
        with serving_blocks(home, [port], block):
            url = f"http://127.0.0.1:{port}"
            for path in ("/simple/", "/simple/demo/"):
                for accept, kind in ((JSON, JSON), (HTML, HTML), ("*/*", "text/html")):
                    replies = [fetch(url + path, accept) for _ in "12"]  # the second is cached
                    for reply in replies:
                        assert (reply.status, reply.kind) == (200, kind)
                        assert reply.headers["Vary"] == "Accept"
                        assert reply.headers["Cache-Control"] == "public, max-age=600"
                    known = {"If-None-Match": replies[1].headers["ETag"]}
                    assert fetch(url + path, accept, **known).status == 304
            page = json.loads(fetch(f"{url}/simple/demo/", JSON).body)
            for file in page["files"]:
                path = file["url"].removeprefix("../..").removeprefix("/..")
                reply = fetch(f"{url}{path}?acl")  # the store never sees the query
                assert (reply.status, reply.kind) == (200, "application/octet-stream")
                assert "immutable" in reply.headers["Cache-Control"]
                assert fetch(url + path, Range="bytes=1-2").body == reply.body[1:3]
            assert fetch(f"{url}/pypi/demo/json").kind == "application/json"
            for path, status in (("/simple", 301), ("/simple/demo", 301)):
                assert fetch(url + path).status == status
            for path in ("/simple/absent/", "/packages/absent", "/", "/.mirror", "/status"):
                assert fetch(url + path).status == 404, path
            for path in ("/packages/../status", "/packages/..%2f..%2fstatus"):
                assert fetch(url + path).status in {400, 404}, path
            assert fetch(f"{url}/packages/absent?acl", method="PUT").status == 405
            program = [sys.executable, "-m", "bandersnatch", "doctor", f"{url}/simple/", "demo"]
            judged = subprocess.run(program, capture_output=True, text=True, check=False)
            assert judged.returncode == 0, judged.stdout
            target = tmp_path / "got"
            command = [sys.executable, "-m", "pip", "--isolated", "install", "-q", "--no-deps"]
            command += ["--no-cache-dir", "--target", str(target)]
            subprocess.run([*command, "--index-url", f"{url}/simple/", "demo"], check=True)
            assert (target / "demo.py").exists()


def node() -> str:
    """Return the path of Node, or skip the test."""
    return require_program("node", "apt-get install nodejs")


@pytest.mark.parametrize(
    ("path", "accept", "expected"),
    [
        ("/simple/", None, "/simple/index.html"),
        ("/simple/", "text/html", "/simple/index.html"),
        ("/simple/foo-bar/", "*/*", "/simple/foo-bar/index.html"),
        ("/simple/foo-bar/", JSON, "/simple/foo-bar/index.v1_json"),
        ("/simple/foo-bar/", JSON.upper(), "/simple/foo-bar/index.v1_json"),
        ("/simple/foo-bar/", f"{JSON}, {HTML};q=0.2", "/simple/foo-bar/index.v1_json"),
        ("/simple/foo-bar/", HTML.replace("v1", "latest"), "/simple/foo-bar/index.v1_html"),
        ("/simple", JSON, 301),
        ("/simple/foo-bar", JSON, 301),
        ("/simple/Foo__Bar/", JSON, 301),
        ("/simple/foo/index.html", JSON, "/simple/foo/index.html"),
        ("/packages/aa/foo.whl", JSON, "/packages/aa/foo.whl"),
    ],
)
def test_the_function_for_cloudfront_selects_the_key(
    path: str, accept: str | None, expected: str | int
) -> None:
    headers = {} if accept is None else {"accept": {"value": accept}}
    request = json.dumps({"request": {"uri": path, "headers": headers}})
    code = (DOCS / "examples/cloudfront.js").read_text(encoding="utf-8")
    code += f"\nconsole.log(JSON.stringify(handler({request})));"

    ran = subprocess.run([node(), "-"], input=code, capture_output=True, text=True, check=True)

    found = json.loads(ran.stdout)
    if expected == 301:
        assert found["statusCode"] == 301
        name = path.removeprefix("/simple").strip("/")
        normal = re.sub(r"[-_.]+", "-", name).lower()
        assert found["headers"]["location"]["value"] == f"/simple/{normal}/".replace("//", "/")
    else:
        assert found["uri"] == expected


def test_the_function_for_cloudfront_says_what_the_answer_depends_on() -> None:
    code = (DOCS / "examples/cloudfront.js").read_text(encoding="utf-8")
    for path in ("/simple/foo/index.html", "/packages/foo.whl"):
        event = json.dumps({"request": {"uri": path}, "response": {"headers": {}}})
        code += f"\nconsole.log(JSON.stringify(vary({event}).headers));"

    ran = subprocess.run([node(), "-"], input=code, capture_output=True, text=True, check=True)

    pages, files = map(json.loads, ran.stdout.splitlines())
    assert pages == {"vary": {"value": "Accept, Accept-Encoding"}}
    assert files == {}
