"""``doctor``: no fault of good servers, and each seeded misconfiguration by its name."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trustme

from bandersnatch.config.webserver import Site as Served
from bandersnatch.config.webserver import WebServer, render_webserver
from bandersnatch.doctor.findings import Check
from bandersnatch.layout import ALL_FORMATS, PageFormat
from tests.support.clock import FakeClock
from tests.support.commands import Result, run_command
from tests.support.index import Index
from tests.support.real_servers import (
    free_ports,
    public_copy,
    serving_blocks,
    serving_generated,
)
from tests.support.server import serving
from tests.support.serving import serve_process
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LATER = FakeClock(datetime.now(UTC) + timedelta(hours=1))


class Findings(NamedTuple):
    """What ``doctor --json`` printed: checks and sentences."""

    code: int
    faults: dict[str, str]
    advice: dict[str, str]
    all: dict[str, Any]


def parse(done: Result) -> Findings:
    found = json.loads(done.out)
    by_severity: dict[str, dict[str, str]] = {"fault": {}, "advice": {}}
    for each in found["findings"]:
        texts = by_severity[each["severity"]]
        texts[each["check"]] = texts.get(each["check"], "") + each["sentence"] + "\n"
        assert each["remedy"]
    return Findings(done.code, by_severity["fault"], by_severity["advice"], found)


def examine(*arguments: str, clock: FakeClock | None = None) -> Findings:
    done = run_command("doctor", "--json", *arguments, clock=clock)
    assert done.out, done.log
    return parse(done)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the served directory of a mirror, which every user can read."""
    home = tmp_path_factory.mktemp("doctor")
    index = Index()
    for version in ("1.0", "2.0"):
        index.release("foo-bar", version, sdist=True, size=3000)
    index.yank("foo-bar", "1.0", "broken")
    with serving(index) as server:
        site = Site(home, server, simple_format="ALL", json=True)
        assert site.mirror().code == 0
    for each in site.web.rglob("*"):
        os.utime(each, (1_700_000_000, 1_700_000_000))  # Apache's ETag is weak for one second
    with public_copy(site.web) as copy:
        yield copy


# ---------------------------------------------------------------- good servers


@pytest.mark.parametrize("formats", [ALL_FORMATS, (PageFormat.V1_JSON,), (PageFormat.HTML,)])
@pytest.mark.parametrize("program", WebServer)
def test_generated_configurations_have_no_fault(
    web: Path, program: WebServer, formats: tuple[PageFormat, ...]
) -> None:
    def generate(address: str) -> str:
        port = int(address.rpartition(":")[2])
        served = Served(str(tree), "mirror.example.org", "127.0.0.1", port, formats=formats)
        return render_webserver(program, served)

    tree = Path(
        shutil.copytree(
            web, web.parent / f"{program.value}{len(formats)}-{formats[0].value}", symlinks=True
        )
    )
    for each in tree.rglob("index.*"):
        if each.suffix[1:] not in {form.value for form in formats}:
            each.unlink()
    with serving_generated(program.value, tree, generate) as url:
        found = examine(url)
    shutil.rmtree(tree)

    assert found.faults == {}
    assert found.code == 0
    assert found.all["project"] == "foo-bar"
    assert set(found.all["checks"]) == set(Check)
    assert "loopback" not in found.advice["TLS"]


def test_serve_has_no_fault_and_needs_no_advice(web: Path, tmp_path: Path) -> None:
    configuration = tmp_path / "serve.conf"
    configuration.write_text(f"[mirror]\ndirectory = {web.parent}\njson = true\n")
    with serve_process(configuration) as url:
        found = examine(url)
        again = examine(f"{url}/simple/", "Foo_Bar")
        text = run_command("doctor", url)

    assert found.faults == again.faults == {}
    assert set(found.advice) == set(again.advice) == {"TLS"}  # plain http
    assert set(found.all["checks"]) == set(Check)
    assert text.code == 0
    assert "Project:  foo-bar" in text.out
    assert "Result:   0 faults, 1 suggestion" in text.out


# ---------------------------------------------------------------- seeded misconfigurations


class Seed(NamedTuple):
    """A misconfiguration of nginx: what is replaced in its configuration, or changed in the tree.

    ``proxy`` is the configuration of a location in front of the good server instead.
    """

    check: Check
    text: str
    edits: tuple[tuple[str, str], ...] = ()
    proxy: str = ""
    change: Callable[[Path], None] | None = None
    is_fault: bool = True
    project: str = ""
    others: tuple[Check, ...] = ()
    """Other faults that follow from it."""


def edit_json(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """Return what changes the JSON page."""

    def edit(web: Path) -> None:
        page = web / "simple/foo-bar/index.v1_json"
        document = json.loads(page.read_text())
        change(document)
        page.write_text(json.dumps(document))

    return edit


def edit_files(**values: object) -> Callable[[Path], None]:
    """Return what sets values of each file of the JSON page; None removes them."""

    def change(document: dict[str, Any]) -> None:
        for each in document["files"]:
            for key, value in values.items():
                each[key.replace("_", "-")] = value
                if value is None:
                    del each[key.replace("_", "-")]

    return edit_json(change)


def edit_file(ending: str, content: bytes | None) -> Callable[[Path], None]:
    """Return what replaces the files with this ending; None removes them."""

    def edit(web: Path) -> None:
        for each in (web / "packages").rglob(f"*{ending}"):
            each.unlink()
            if content is not None:
                each.write_bytes(content)

    return edit


def set_html(old: str, new: str) -> Callable[[Path], None]:
    """Return what replaces a text in the HTML pages."""

    def edit(web: Path) -> None:
        for name in ("index.html", "index.v1_html"):
            page = web / "simple/foo-bar" / name
            assert re.search(old, page.read_text())
            page.write_text(re.sub(old, new, page.read_text()))

    return edit


def cut(web: Path) -> None:
    """Leave one byte of the JSON page."""
    (web / "simple/foo-bar/index.v1_json").write_text("{")


def pack(web: Path) -> None:
    """Write the compressed form of each page beside it."""
    for each in web.rglob("index.*"):
        each.with_name(f"{each.name}.gz").write_bytes(gzip.compress(each.read_bytes()))


PAGE_AGE = 'add_header Cache-Control "public, max-age=600";'
FILE_AGE = 'add_header Cache-Control "public, max-age=31536000, immutable";'
PROJECT = "try_files /simple/$project/$bandersnatch_page =404;"
VARY = "add_header Vary Accept always;"

WRONG_RANGE = 'add_header Content-Range "bytes 2-9/9"; return 206 "????????";'

SEEDS = {
    "no negotiation": Seed(
        Check.NEGOTIATION,
        "though there is a page in JSON",
        ((PROJECT, "index index.html;"), (r"(?<project>[a-z0-9]+(?:-[a-z0-9]+)*)/$ {", r".*$ {")),
    ),
    "exact Accept": Seed(
        Check.NEGOTIATION,
        "pip gets",
        (('"~*application/vnd\\.pypi\\.simple\\.(v1|latest)\\+json"', '"~json$"'),),
    ),
    "swapped": Seed(
        Check.NEGOTIATION,
        "gets",
        (
            ("index.v1_json;", "index.X;"),
            ("index.html;", "index.v1_json;"),
            ("index.X;", "index.html;"),
        ),
    ),
    "406": Seed(
        Check.NEGOTIATION,
        "answers pip with status 406",
        ((f"{PROJECT}", "return 406;"),),
        others=(Check.MISSING,),
    ),
    "no types": Seed(
        Check.TYPES,
        "application/octet-stream",
        (("application/vnd.pypi.simple.v1+json v1_json;", ""),),
    ),
    "plain json": Seed(
        Check.TYPES,
        "application/json",
        (("application/vnd.pypi.simple.v1+json v1_json", "application/json v1_json"),),
    ),
    "no Vary": Seed(Check.CACHES, "no `Vary: Accept`", ((VARY, ""),)),
    "a cache for all": Seed(
        Check.CACHES,
        "a cache sends",
        proxy="proxy_cache all; proxy_cache_key $request_uri; proxy_cache_valid 200 1m;"
        "proxy_ignore_headers Vary Cache-Control;",
    ),
    "another page": Seed(
        Check.PAGES, "it is the page of", change=edit_json(lambda page: page.update(name="other"))
    ),
    "API 2": Seed(
        Check.PAGES,
        "is not 1.x",
        change=edit_json(lambda page: page["meta"].update({"api-version": "2.0"})),
    ),
    "not JSON": Seed(
        Check.PAGES,
        "clients cannot use the page",
        change=cut,
    ),
    "a wrong digest": Seed(Check.PAGES, "is not valid", change=edit_files(hashes={"sha256": "x"})),
    "no digest": Seed(Check.PAGES, "no digest", change=edit_files(hashes={})),
    "different pages": Seed(
        Check.PAGES,
        "only one of the pages",
        change=edit_json(lambda page: page["files"].pop()),
    ),
    "an empty yank": Seed(Check.YANKS, "uv for yanked", change=edit_files(yanked="")),
    "a yank that is 1": Seed(Check.YANKS, "refuses", change=edit_files(yanked=1)),
    "lost yanks": Seed(Check.YANKS, "do not agree", change=set_html(r' data-yanked="[^"]*"', "")),
    "no sizes": Seed(Check.SIZES, "PEP 700", change=edit_files(size=None)),
    "wrong sizes": Seed(Check.SIZES, "the page says 7", change=edit_files(size=7)),
    "empty upload times": Seed(
        Check.UPLOAD_TIMES, "refuses the whole page", change=edit_files(upload_time="")
    ),
    "no upload times": Seed(
        Check.UPLOAD_TIMES, "exclude-newer", change=edit_files(upload_time=None), is_fault=False
    ),
    "a text as status": Seed(
        Check.STATUS,
        "refuses",
        change=edit_json(lambda page: page.update({"project-status": "active"})),
    ),
    "files in quarantine": Seed(
        Check.STATUS,
        "in quarantine",
        change=edit_json(lambda page: page.update({"project-status": {"status": "quarantined"}})),
    ),
    "an unknown status": Seed(
        Check.STATUS,
        "is none that PEP 792 names",
        change=edit_json(lambda page: page.update({"project-status": {"status": "new"}})),
        is_fault=False,
    ),
    "immutable pages": Seed(Check.CACHE_HEADERS, "hides new releases", ((PAGE_AGE, FILE_AGE),)),
    "guessed pages": Seed(Check.CACHE_HEADERS, "guesses", ((PAGE_AGE, ""),), is_fault=False),
    "pages not kept": Seed(
        Check.CACHE_HEADERS,
        "no-store",
        ((PAGE_AGE, "add_header Cache-Control no-store;"),),
        is_fault=False,
    ),
    "guessed files": Seed(Check.CACHE_HEADERS, "never change", ((FILE_AGE, ""),), is_fault=False),
    "immutable errors": Seed(
        Check.CACHE_HEADERS,
        "hides what comes later",
        ((PAGE_AGE, 'add_header Cache-Control "max-age=7200" always;'),),
    ),
    "weak ETags": Seed(
        Check.ETAGS,
        "is weak",
        (
            ("gzip off;", "gzip on; gzip_types *; gzip_vary on;"),
            ("location /packages/ {", "location /packages/ { gzip off;"),
        ),
    ),
    "no ETags": Seed(Check.ETAGS, "has no ETag", (("gzip off;", "etag off;"),), is_fault=False),
    "lost conditions": Seed(
        Check.ETAGS,
        "answered with 200 in place of 304",
        proxy='proxy_set_header If-None-Match "";',
    ),
    "always 304": Seed(
        Check.ETAGS,
        "answered with 304 in place of 200",
        (("charset utf-8;", "charset utf-8; if ($http_if_none_match) { return 304; }"),),
    ),
    "no Vary of encodings": Seed(
        Check.COMPRESSION,
        "no `Vary: Accept-Encoding`",
        (
            ("gzip off;", "gzip on; gzip_types *;"),
            ("location /packages/ {", "location /packages/ { gzip off;"),
        ),
        others=(Check.ETAGS,),
    ),
    "packed for all": Seed(
        Check.COMPRESSION,
        "accepts no compression",
        (("gzip off;", "gzip_static always;"),),
        change=pack,
    ),
    "not packed": Seed(
        Check.COMPRESSION,
        "it is not gzip",
        ((PAGE_AGE, f"{PAGE_AGE} add_header Content-Encoding gzip;"),),
    ),
    "packed files": Seed(
        Check.COMPRESSION,
        "clients unpack it",
        (("location /packages/ {", "location /packages/ { gzip on; gzip_types *; gzip_vary on;"),),
    ),
    "another host": Seed(
        Check.REDIRECTS,
        "redirects to http://mirror.example.invalid",
        (
            ("absolute_redirect off;", "server_name_in_redirect on;"),
            ("mirror.example.org", "mirror.example.invalid"),
        ),
    ),
    "no redirects": Seed(
        Check.REDIRECTS,
        "does not redirect to the path with a slash",
        (
            ("{ return 301 /simple/; }", "{ return 404; }"),
            ("{ return 301 /simple/$project/; }", "{ return 404; }"),
        ),
        is_fault=False,
    ),
    "403": Seed(
        Check.MISSING, "answered with 403: uv stops", ((PROJECT, PROJECT.replace("404", "403")),)
    ),
    "500": Seed(Check.MISSING, "answered with 500", ((PROJECT, PROJECT.replace("404", "500")),)),
    "a page for all": Seed(
        Check.MISSING,
        "a page that is not empty",
        ((PROJECT, PROJECT.replace("=404", "/simple/foo-bar/$bandersnatch_page =404")),),
    ),
    "no root page": Seed(
        Check.MISSING,
        "is no root page",
        (("try_files /simple/$bandersnatch_page =404;", "return 404;"),),
        is_fault=False,
        project="foo-bar",
    ),
    "forbidden": Seed(
        Check.MISSING,
        "answers 403, which stops uv",
        (("charset utf-8;", "charset utf-8; deny all;"),),
    ),
    "lost files": Seed(Check.FILES, "answered with status 404", change=edit_file(".tar.gz", None)),
    "damaged files": Seed(
        Check.FILES, "does not have the digest", change=edit_file(".tar.gz", b"x" * 3000)
    ),
    "lost core metadata": Seed(
        Check.METADATA, "pip and uv fail", change=edit_file(".metadata", None)
    ),
    "damaged core metadata": Seed(
        Check.METADATA, "the digest of the page", change=edit_file(".metadata", b"x")
    ),
    "no core metadata": Seed(
        Check.METADATA,
        "download them to resolve",
        change=edit_files(core_metadata=None),
        is_fault=False,
    ),
    "no ranges": Seed(
        Check.RANGES,
        "answered with status 200",
        (("location /packages/ {", "location /packages/ { max_ranges 0;"),),
    ),
    "wrong ranges": Seed(
        Check.RANGES,
        "other bytes",
        (
            (
                "location /packages/ {",
                f"location /packages/ {{ if ($http_range) {{ {WRONG_RANGE} }}",
            ),
        ),
    ),
    "no HEAD": Seed(
        Check.RANGES,
        "HEAD of a file",
        (("charset utf-8;", "charset utf-8; if ($request_method = HEAD) { return 405; }"),),
        is_fault=False,
    ),
}


class Seeded(NamedTuple):
    """A running nginx with a server for each seed, by its name."""

    ports: dict[str, int]
    root: Path


def block(seed: Seed, name: str, port: int, web: Path, good: int) -> str:
    """Return the blocks of one server."""
    number = re.sub(r"\W", "_", name)
    if seed.proxy:
        location = f"location / {{ proxy_pass http://127.0.0.1:{good}; {seed.proxy} }}"
        return f"server {{ listen 127.0.0.1:{port}; {location} }}"
    site = Served(str(web), "mirror.example.org", "127.0.0.1", port, formats=ALL_FORMATS)
    text = render_webserver(WebServer.NGINX, site)
    for old, new in seed.edits:
        assert old in text, (name, old)
        text = text.replace(old, new)
    return text.replace("$bandersnatch_page", f"$page_{number}")


@pytest.fixture(scope="module")
def seeded(web: Path) -> Iterator[Seeded]:
    """Run one nginx with all misconfigured servers, and a good one."""
    ports = dict(zip(["", *SEEDS], free_ports(len(SEEDS) + 1), strict=True))
    blocks = [block(Seed(Check.TLS, ""), "good", ports[""], web, 0)]
    blocks.append(f"proxy_cache_path {web.parent}/cache keys_zone=all:1m;")
    for number, (name, seed) in enumerate(SEEDS.items()):
        tree = web
        if seed.change is not None:
            tree = Path(shutil.copytree(web, web.parent / f"tree{number}", symlinks=True))
            seed.change(tree)
        blocks.append(block(seed, name, ports[name], tree, ports[""]))
    with serving_blocks(web, list(ports.values()), "\n".join(blocks)):
        yield Seeded(ports, web)


@pytest.mark.parametrize("name", SEEDS)
def test_each_misconfiguration_is_named(seeded: Seeded, name: str) -> None:
    seed = SEEDS[name]

    found = examine(f"http://127.0.0.1:{seeded.ports[name]}", *filter(None, [seed.project]))

    texts = found.faults if seed.is_fault else found.advice
    assert seed.text in texts.get(seed.check, ""), found.all["findings"]
    named = {seed.check, *seed.others} if seed.is_fault else set()
    assert set(found.faults) == named, found.faults
    assert found.code == (8 if seed.is_fault else 0)


def test_every_check_has_a_seed() -> None:
    assert {each.check for each in SEEDS.values()} == set(Check) - {Check.TLS, Check.CLOCK}


def test_a_finding_has_the_lines_to_change(seeded: Seeded) -> None:
    done = run_command("doctor", f"http://127.0.0.1:{seeded.ports['weak ETags']}/simple/")

    assert done.code == 8
    assert "Result:   1 fault" in done.out
    assert "fault: ETags: the ETag of a page" in done.out
    assert "  nginx:\n    gzip off;\n" in done.out


@pytest.mark.parametrize(("hours", "text"), [(1, "behind"), (-1, "ahead of")])
def test_a_wrong_clock(seeded: Seeded, hours: int, text: str) -> None:
    clock = FakeClock(datetime.now(UTC) + timedelta(hours=hours))

    found = examine(f"http://127.0.0.1:{seeded.ports['']}", clock=clock)

    assert list(found.faults) == ["clock"]
    assert re.search(rf"(0:59:\d\d|1:00:0\d) {text} that of this machine", found.faults["clock"])


# ---------------------------------------------------------------- certificates


CERTIFICATES = {
    "good": "",
    "single": "without the intermediate ones",
    "authority": "the authority of the certificate is not trusted here",
    "expired": "the certificate is not valid at this time",
    "host": "the certificate is for another host",
    "soon": "",
}


def write_certificate(authority: trustme.CA, name: str, path: Path) -> None:
    """Write a certificate, its chain and its key to a file."""
    now = datetime.now(UTC)
    issuer = (trustme.CA() if name == "authority" else authority).create_child_ca()
    ends = {"expired": now - timedelta(days=1), "soon": now + timedelta(days=3, hours=1)}
    host = "other.example.org" if name == "host" else "127.0.0.1"
    issued = issuer.issue_cert(host, not_after=ends.get(name))
    chain = issued.cert_chain_pems[: 1 if name == "single" else None]
    path.write_bytes(b"".join(each.bytes() for each in [issued.private_key_pem, *chain]))


def run_process(*arguments: str) -> Result:
    """Run a command in a process: aiohttp reads the certificates of authorities once."""
    command = [sys.executable, "-m", "bandersnatch", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def test_certificates_and_their_chains(
    web: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "root.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))
    ports = dict(zip(CERTIFICATES, free_ports(len(CERTIFICATES)), strict=True))
    blocks = []
    for name, port in ports.items():
        path = tmp_path / f"{name}.pem"
        write_certificate(authority, name, path)
        site = Served(
            *(str(web), "mirror.example.org", "127.0.0.1", port, str(path), str(path)),
            formats=ALL_FORMATS,
        )
        text = render_webserver(WebServer.NGINX, site)
        blocks.append(text.replace("$bandersnatch_page", f"$page_{name}"))
    found = {}
    with serving_blocks(web, list(ports.values()), "\n".join(blocks)):
        for name, port in ports.items():
            run = run_process if not CERTIFICATES[name] else run_command
            found[name] = parse(run("doctor", "--json", f"https://127.0.0.1:{port}"))
        nobody = run_command("doctor", f"https://127.0.0.1:{free_ports(1)[0]}")
        plain = run_command("doctor", f"http://127.0.0.1:{ports['good']}")

    for name, text in CERTIFICATES.items():
        assert text in found[name].faults.get("TLS", ""), name
        assert set(found[name].faults) == ({"TLS"} if text else set()), found[name].faults
    assert "TLS" not in found["good"].advice
    assert "expires in 3 days" in found["soon"].advice["TLS"]
    assert (nobody.code, nobody.out) == (3, "")
    assert plain.code == 3
    assert "no index is there" in plain.log


# ---------------------------------------------------------------- what cannot be examined


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["http://127.0.0.1:1"], 3, "cannot connect to 127.0.0.1:1"),
        (["http://host.invalid/simple/"], 3, "cannot connect to host.invalid"),
        (["mirror.example.org"], 2, "URL 'mirror.example.org' is not a URL of https or http"),
        (["ftp://mirror.example.org"], 2, "is not a URL of https or http"),
        ([""], 2, "URL is empty"),
        (["http://127.0.0.1:1", "a/b"], 2, "a/b"),
        (["http://127.0.0.1:1", ""], 2, "project name"),
    ],
)
def test_what_cannot_be_examined_is_one_sentence(
    arguments: list[str], code: int, text: str
) -> None:
    done = run_command("doctor", *arguments)

    assert done.code == code
    assert text in done.log
    assert len(done.log.splitlines()) == 1
    assert done.out == ""


def test_a_project_that_is_not_there(seeded: Seeded) -> None:
    done = run_command("doctor", f"http://127.0.0.1:{seeded.ports['']}", "nothing")

    assert done.code == 3
    assert "the index has no page for nothing" in done.log


def test_what_is_no_index(seeded: Seeded) -> None:
    done = run_command("doctor", f"http://127.0.0.1:{seeded.ports['']}/other")

    assert done.code == 3
    assert "no index is there; give the URL that clients have as their index-url" in done.log
