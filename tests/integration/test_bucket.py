"""Every command on a mirror in a bucket of a real object store."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from filelock import FileLock
from msgspec import structs
from obstore.exceptions import BaseError
from obstore.store import S3Store

from bandersnatch.storage.s3.credentials import SharedCredentials
from bandersnatch.storage.s3.uploads import Keys, UnfinishedUploads
from tests.support.bucket_site import BucketSite
from tests.support.ceph import ACCESS_KEY, BUCKET, SECRET_KEY
from tests.support.storages import bucket_settings
from tests.support.store_proxy import Fault, Request, store_proxy
from tests.support.swift import Swift
from tests.support.wheels import wheel as make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.ceph import SharedCeph, Store
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.store_proxy import StoreProxy

BIG = 20 * 1024 * 1024
"""Bytes of a file that is uploaded in parts."""

OWN_STATE = {"status", "todo", "generation", "web/.mirror", "web/last-modified", ""}
"""The keys that a run with nothing to do asks for; "" is the deletion of ``todo``."""


@pytest.fixture
def ceph(shared_ceph: SharedCeph) -> Store:
    return shared_ceph.get()


@pytest.fixture
def proxy(ceph: Store) -> Iterator[StoreProxy]:
    with store_proxy(ceph.url) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, server: IndexServer, ceph: Store, proxy: StoreProxy) -> BucketSite:
    return BucketSite(tmp_path, server, ceph, url=proxy.url)


@pytest.fixture
def filled(index: Index, site: BucketSite) -> BucketSite:
    """Return a mirror of two projects."""
    for name in ("foo", "Bar_x"):
        index.release(name, "1.0", sdist=True)
    ran = site.mirror()
    assert ran.code == 0, ran.log
    return site


def wheel(index: Index, name: str) -> tuple[str, bytes]:
    """Return the key and the content of a wheel."""
    path, file = next(
        (path, file)
        for path, file in index.files.items()
        if file.filename.startswith(name) and file.filename.endswith(".whl")
    )
    return f"web{path}" if path.startswith("/") else f"web/{path}", file.content


# ---------------------------------------------------------------- mirror


def test_a_first_run_stores_what_a_mirror_on_a_disk_has(
    index: Index, filled: BucketSite, make_site: Callable[..., BucketSite]
) -> None:
    on_disk = make_site()
    assert on_disk.mirror().code == 0

    filled.fetch()

    filled.check()
    assert filled.tree() == on_disk.tree()
    assert filled.status == on_disk.status
    assert filled.stored("removed") == []


def test_a_first_run_into_an_empty_bucket_asks_for_no_file_or_page(
    index: Index, site: BucketSite, proxy: StoreProxy
) -> None:
    index.release("foo", "1.0", sdist=True)

    assert site.mirror().code == 0

    written = [key for key in proxy.seen("PUT") if "foo" in key]
    assert len(written) == len(set(written)) == 6
    assert not [key for key in proxy.seen("HEAD") if "foo" in key]


def test_objects_have_types_cache_headers_and_the_metadata_of_earlier_releases(
    index: Index, filled: BucketSite
) -> None:
    key, content = wheel(index, "foo")

    file, page = filled.attributes(key), filled.attributes("web/simple/foo/index.html")
    json_page = filled.attributes("web/simple/foo/index.v1_json")

    assert file["Content-Type"] == "application/octet-stream"
    assert file["Cache-Control"] == "public, max-age=31536000, immutable"
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert float(file["uploaded-at"]) > 0
    assert page["Content-Type"] == "text/html; charset=utf-8"
    assert page["Cache-Control"] == "public, max-age=600"
    assert json_page["Content-Type"] == "application/vnd.pypi.simple.v1+json"
    assert "Content-Encoding" not in {**file, **page}


def test_a_run_with_nothing_to_do_asks_the_store_for_its_own_state_only(
    filled: BucketSite, proxy: StoreProxy
) -> None:
    proxy.requests.clear()

    assert filled.mirror().code == 0

    assert {key.removeprefix(filled.prefix).lstrip("/") for key in proxy.seen()} <= OWN_STATE
    assert len(proxy.requests) < 40


def test_a_run_asks_for_no_file_that_is_recorded(
    index: Index, filled: BucketSite, proxy: StoreProxy
) -> None:
    old = set(filled.stored("web/packages"))
    index.release("foo", "2.0")
    proxy.requests.clear()

    assert filled.mirror().synced == ["foo"]

    asked = {key.removeprefix(f"{filled.prefix}/") for key in proxy.seen()}
    assert not asked & old
    assert not any("bar-x" in key for key in asked)
    assert len(filled.stored("web/packages")) == len(old) + 2


def test_after_an_interruption_recorded_files_are_looked_at(
    index: Index, filled: BucketSite
) -> None:
    key, content = wheel(index, "foo")
    filled.store.delete(key)
    (filled.state / ".open").touch()
    index.release("foo", "2.0")

    assert filled.mirror().code == 0

    assert filled.read(key) == content


def test_a_large_file_is_stored_in_parts_with_its_metadata(index: Index, site: BucketSite) -> None:
    [file] = index.release("big", "1.0", size=BIG, metadata=False)

    assert site.mirror().code == 0

    [key] = site.stored("web/packages")
    assert site.read(key) == file.content
    assert site.attributes(key)["sha256"] == hashlib.sha256(file.content).hexdigest()
    assert site.attributes(key)["Content-Type"] == "application/octet-stream"
    assert list((site.state / ".partial").iterdir()) == []


def test_the_parts_that_a_killed_command_left_are_deleted(
    index: Index, filled: BucketSite, ceph: Store
) -> None:
    began = Uploads(ceph)
    began.begin(f"{filled.prefix}/web/packages/a b+c/large&.whl")
    began.begin("another/mirror")
    assert len(began.unfinished()) == 2

    assert filled.mirror().code == 0
    assert len(began.unfinished()) == 2  # nothing says that a command was killed
    (filled.state / ".open").touch()
    assert filled.mirror().code == 0

    assert began.unfinished() == ["another/mirror"]
    began.abort_all()


def test_a_page_of_a_kept_version_is_a_copy(index: Index, site: BucketSite) -> None:
    site.configure(keep_index_versions=2)
    index.release("foo", "1.0")
    assert site.mirror().code == 0
    index.release("foo", "2.0")
    assert site.mirror().code == 0

    versions = site.stored("web/simple/foo/versions")

    assert len([key for key in versions if key.endswith(".html")]) == 2
    pages = {site.read(key) for key in versions if key.endswith(".html")}
    assert site.read("web/simple/foo/index.html") in pages


def test_parameters_are_headers_of_requests_that_write(
    index: Index, site: BucketSite, ceph: Store
) -> None:
    if isinstance(ceph, Swift):
        pytest.skip("the S3 layer of Swift ignores the ACL of an object")
    site.configure_bucket(config_param_ACL="public-read", config_param_StorageClass="STANDARD")
    index.release("foo", "1.0")

    assert site.mirror().code == 0

    [key, *_] = site.stored("web/packages")
    url = f"{ceph.url}/mirrors/{site.prefix}/{key}"
    assert subprocess.run(["curl", "-sf", url], check=True, capture_output=True).stdout


def test_one_project_is_synced(index: Index, filled: BucketSite) -> None:
    index.release("foo", "2.0")

    assert filled.run("sync", "foo").code == 0

    assert b"foo-2.0" in filled.read("web/simple/foo/index.html")


# ---------------------------------------------------------------- removals and the trash


def test_a_removed_project_is_in_the_trash_until_its_time_is_over(
    index: Index, filled: BucketSite
) -> None:
    key, content = wheel(index, "bar_x")
    index.remove_project("Bar_x")

    assert filled.mirror().code == 0
    trashed = key.replace("web/", "removed/", 1)
    assert filled.read(trashed) == content
    assert filled.attributes(trashed)["sha256"] == hashlib.sha256(content).hexdigest()
    assert not any("bar_x" in each or "bar-x" in each for each in filled.stored("web"))

    filled.clock.passed += 15 * 86_400
    assert filled.mirror().code == 0
    assert filled.stored("removed") == []


def test_a_removed_project_is_restored(index: Index, filled: BucketSite) -> None:
    key, content = wheel(index, "bar_x")
    index.remove_project("Bar_x")
    assert filled.mirror().code == 0

    assert filled.run("restore", "bar-x").code == 0

    assert filled.read(key) == content
    filled.fetch()
    filled.check()
    assert "bar-x" in filled.names()


def test_a_project_is_deleted(index: Index, filled: BucketSite) -> None:
    assert filled.run("delete", "--until-next-change", "foo").code == 0

    filled.fetch()
    assert filled.names() == ["bar-x"]
    assert not any("foo" in key for key in filled.stored("web"))


# ---------------------------------------------------------------- verify


def test_verify_finds_and_repairs_damage(index: Index, filled: BucketSite) -> None:
    key, content = wheel(index, "foo")
    other, whole = wheel(index, "bar_x")
    page = filled.read("web/simple/foo/index.html")
    filled.store.put(key, content[::-1])
    filled.store.delete(other)
    filled.store.put("web/simple/foo/index.html", b"<html>")

    ran = filled.run("verify")

    assert "Damage: 3 found, 3 repaired, 0 not repaired." in ran.out
    assert filled.read(key) == content
    assert filled.read(other) == whole
    assert filled.read("web/simple/foo/index.html") == page
    assert "Damage: 0 found" in filled.run("verify", "--quick").out


def test_a_quick_verify_lists_the_files_and_asks_for_none(
    filled: BucketSite, proxy: StoreProxy
) -> None:
    """The first one asks for files that were stored after they were verified, by another clock."""
    assert "Damage: 0 found" in filled.run("verify", "--quick").out
    for flags in ([], ["--dry-run"]):
        proxy.requests.clear()

        ran = filled.run("verify", "--quick", *flags)

        assert "Damage: 0 found" in ran.out
        assert not [key for key in proxy.seen("HEAD") if "foo" in key or "bar" in key]
        assert not [key for key in proxy.seen("GET") if "packages/" in key]
        assert len([each for each in proxy.requests if "list-type" in each.query]) == 2


@pytest.mark.parametrize("target", ["file", "sidecar", "page"])
def test_a_quick_verify_finds_a_missing_object(
    index: Index, filled: BucketSite, target: str
) -> None:
    assert filled.run("verify", "--quick").code == 0
    file, _ = wheel(index, "foo")
    places = {"file": file, "sidecar": f"{file}.metadata", "page": "web/simple/foo/index.html"}
    content = filled.read(places[target])
    filled.store.delete(places[target])

    ran = filled.run("verify", "--quick")

    assert "Damage: 1 found, 1 repaired" in ran.out
    assert filled.read(places[target]) == content


def test_a_quick_verify_finds_an_object_that_was_replaced(index: Index, filled: BucketSite) -> None:
    key, content = wheel(index, "foo")
    filled.store.put(key, content[::-1])

    ran = filled.run("verify", "--quick")

    assert "Damage: 1 found, 1 repaired" in ran.out
    assert filled.read(key) == content


def test_a_quick_verify_finds_again_what_it_could_not_repair(
    index: Index, filled: BucketSite, server: IndexServer
) -> None:
    key, content = wheel(index, "foo")
    filled.store.put(key, content[::-1])
    index.remove_file("foo", key.rpartition("/")[2])

    for _ in range(2):
        ran = filled.run("verify", "--quick")

        assert "Damage: 1 found, 0 repaired, 1 not repaired" in ran.out
        assert ran.code == 8


def test_a_dry_run_changes_nothing(index: Index, filled: BucketSite, proxy: StoreProxy) -> None:
    index.release("foo", "2.0")
    filled.store.delete(wheel(index, "bar_x")[0])
    proxy.requests.clear()

    assert filled.mirror("--dry-run").code == 0
    filled.run("verify", "--dry-run")
    filled.run("delete", "--dry-run", "--until-next-change", "foo")

    assert {each.method for each in proxy.requests} <= {"GET", "HEAD"}


# ---------------------------------------------------------------- questions


def test_questions_are_answered_from_the_bucket(index: Index, filled: BucketSite) -> None:
    index.release("foo", "2.0")

    status, plan, why = filled.ask("status", "--json"), filled.ask("plan"), filled.ask("why", "foo")

    assert json.loads(status.out)["projects"]["mirrored"] == 2
    assert "To download: 1 file of 1 project" in plan.out
    assert "foo is mirrored" in why.out


def test_config_check_says_where_objects_and_state_are(filled: BucketSite) -> None:
    ran = filled.ask("config", "check")

    assert ran.code == 0
    assert f"State:   {filled.state}" in ran.out
    assert "Bucket:  mirrors, at http://127.0.0.1:" in ran.out


def test_a_web_server_cannot_read_a_bucket_as_files(site: BucketSite) -> None:
    ran = site.ask("webserver-config", "nginx", "--server-name", "pypi.example.org")

    assert ran.code == 2
    assert "the mirror is in a bucket" in ran.log


# ---------------------------------------------------------------- the diff file


def test_the_diff_file_is_an_object_below_the_directory(index: Index, site: BucketSite) -> None:
    directory = f"/mirrors/{site.prefix}"
    site.configure(diff_file=f"{directory}/lists/changed")
    index.release("foo", "1.0", metadata=False)

    assert site.mirror().code == 0

    lines = site.read("lists/changed").decode().splitlines()
    assert f"{directory}/{wheel(index, 'foo')[0]}" in lines
    assert f"{directory}/web/simple/foo/index.html" in lines
    assert site.read("lists/changed.deleted") == b""


def test_the_diff_file_may_be_a_local_file(index: Index, site: BucketSite) -> None:
    site.configure(diff_file=site.home / "changed")
    index.release("foo", "1.0")

    assert site.mirror().code == 0

    assert f"/mirrors/{site.prefix}/web/simple/index.html" in (site.home / "changed").read_text()


def test_the_diff_file_is_no_object_of_the_mirror(site: BucketSite) -> None:
    site.configure(diff_file=f"/mirrors/{site.prefix}/status")

    ran = site.mirror()

    assert ran.code == 7
    assert "it is a place of the mirror's own files; choose another one" in ran.log


# ---------------------------------------------------------------- earlier releases


def test_a_bucket_of_an_earlier_release_is_adopted_without_a_download(
    index: Index, filled: BucketSite, server: IndexServer, proxy: StoreProxy
) -> None:
    """It has other types and no cache headers, pages without times, and ``.s3keep`` objects."""
    for key in filled.stored():
        found = filled.attributes(key)
        kept: dict[str, str] = {
            name: found[name] for name in ("sha256", "uploaded-at") if name in found
        }
        filled.store.put(key, filled.read(key), attributes=kept)
    for place in ("web/simple/foo", "web/packages", "removed"):
        filled.store.put(f"{place}/.s3keep", b"")
    for file in filled.state.iterdir():
        if file.is_file():
            file.unlink()
    proxy.requests.clear()
    server.asked.clear()

    assert filled.mirror().code == 0

    files = {key for key in filled.stored("web/packages") if not key.endswith(".s3keep")}
    asked = [key.removeprefix(f"{filled.prefix}/") for key in proxy.seen("HEAD")]
    assert sorted(key for key in asked if key in files) == sorted(files)
    assert not {each.removeprefix(f"{filled.prefix}/") for each in proxy.seen("GET")} & files
    assert [each.path for each in server.asked if each.kind in {"file", "sidecar"}] == []
    assert filled.run("verify").code == 0
    assert not any(key.endswith(".s3keep") for key in filled.stored())


def test_a_file_without_a_stored_digest_is_read_once_when_its_project_changes(
    index: Index, filled: BucketSite, server: IndexServer, proxy: StoreProxy
) -> None:
    files = filled.stored("web/packages")
    for key in files:
        filled.store.put(key, filled.read(key), attributes={"uploaded-at": "1"})
    for file in filled.state.iterdir():
        if file.is_file():
            file.unlink()
    read = []
    for version in ("2.0", "3.0"):
        index.release("foo", version, metadata=False)
        proxy.requests.clear()
        server.asked.clear()

        assert filled.mirror().code == 0

        read.append({key.removeprefix(f"{filled.prefix}/") for key in proxy.seen("GET")})
        asked = [each.path for each in server.asked if each.kind in {"file", "sidecar"}]
        assert [path for path in asked if f"foo-{version}" not in path] == []

    first, second = (sorted(key for key in some if key in files) for some in read)
    assert first == sorted(key for key in files if "/foo-" in key and ".metadata" not in key)
    assert second == []


# ---------------------------------------------------------------- lock and errors


def test_the_lock_is_in_the_state_directory(filled: BucketSite) -> None:
    with FileLock(filled.state / ".lock"):
        ran = filled.mirror()

    assert ran.code == 6
    assert f"{filled.state}/.lock is held by process" in ran.log


def test_must_exist_asks_the_store(index: Index, site: BucketSite) -> None:
    site.configure(must_exist=True)

    ran = site.mirror()

    assert ran.code == 7
    assert "there is no mirror here, and must-exist = true" in ran.log
    assert site.stored() == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"aws_secret_access_key": "wrong"}, "the store refuses the credentials (SignatureDoes"),
        ({"aws_access_key_id": "nobody"}, "the store refuses the credentials ("),
        ({"endpoint_url": "http://127.0.0.1:9"}, "the store does not answer"),
    ],
)
def test_a_store_that_cannot_be_used_ends_the_run_with_one_sentence(
    index: Index, site: BucketSite, options: dict[str, object], text: str
) -> None:
    index.release("foo", "1.0")
    site.configure_bucket(**options)

    ran = site.mirror()

    assert ran.code == 7
    [line] = ran.errors()
    assert text in line
    assert "Traceback" not in ran.log


def test_credentials_of_the_shared_file_are_renewed_while_a_client_is_in_use(
    ceph: Store, tmp_path: Path
) -> None:
    path = tmp_path / "credentials"
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n"
    path.write_text(text.format(ACCESS_KEY, SECRET_KEY))
    client = S3Store(
        BUCKET,
        config={"endpoint": ceph.url, "region": "us-east-1"},
        client_options={"allow_http": True},
        credential_provider=SharedCredentials(str(path), "default", renewal=timedelta(0)),
    )
    client.put(f"{tmp_path.name}/one", b"1")
    path.write_text(text.format("expired", SECRET_KEY))
    with pytest.raises(BaseError):
        client.put(f"{tmp_path.name}/two", b"2")
    path.write_text(text.format(ACCESS_KEY, SECRET_KEY))

    client.put(f"{tmp_path.name}/three", b"3")


def test_a_bucket_that_does_not_exist_is_named(index: Index, site: BucketSite) -> None:
    site.configure(directory="/nosuchbucket/pypi")

    ran = site.mirror()

    assert ran.code == 7
    assert "storage failed at /nosuchbucket: there is no such bucket; create it" in ran.log


def test_a_missing_permission_for_writing_ends_the_run(
    index: Index, site: BucketSite, proxy: StoreProxy
) -> None:
    index.release("foo", "1.0")

    def fault(request: Request) -> Fault | None:
        is_file = request.method == "PUT" and "/web/" in request.path
        return Fault.ACCESS_DENIED if is_file else None

    proxy.fault = fault
    ran = site.mirror()

    assert ran.code == 7
    assert "the store does not permit PUT there" in ran.log


# ---------------------------------------------------------------- serve


def test_serve_reads_from_the_bucket_and_pip_installs_from_it(
    index: Index, site: BucketSite, tmp_path: Path
) -> None:
    content, metadata = make_wheel("demo", "1.0")
    index.upload("demo", "1.0", "demo-1.0-py3-none-any.whl", content=content, metadata=metadata)
    index.release("big", "1.0", size=BIG, metadata=False)
    assert site.mirror().code == 0

    with serving(site) as url:
        command = [sys.executable, "-m", "pip", "--isolated", "install", "--no-deps", "-q"]
        command += ["--index-url", url, "--target", str(tmp_path / "got"), "demo"]
        subprocess.run(command, check=True, capture_output=True)
        [file] = index.project("big").files.values()
        with urllib.request.urlopen(url.replace("/simple/", file.path)) as answer:
            served = answer.read()

    assert (tmp_path / "got" / "demo-1.0.dist-info").is_dir()
    assert served == file.content


class Uploads:
    """The unfinished uploads in the bucket."""

    def __init__(self, ceph: Store) -> None:
        bucket = bucket_settings(Path("unused"), ceph.url, "unused/").bucket
        assert bucket is not None
        everything = structs.replace(bucket, prefix="")
        self._uploads = UnfinishedUploads(everything, {}, Keys(ACCESS_KEY, SECRET_KEY, ""))

    def begin(self, key: str) -> None:
        """Begin an upload."""
        self._uploads._send("POST", f"/{quote(key)}", "uploads=")

    def unfinished(self) -> list[str]:
        """Return the keys of all."""
        answer = self._uploads._send("GET", "", "uploads=").decode()
        return sorted(map(unescape, re.findall(r"<Key>([^<]*)</Key>", answer)))

    def abort_all(self) -> None:
        """Abort those of all mirrors."""
        self._uploads.abort_all()


@contextmanager
def serving(site: BucketSite) -> Iterator[str]:
    """Serve a mirror in another process, and yield the URL of its simple pages."""
    command = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), "serve"]
    command += ["--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"serving on (\S+)", line):
                break
        else:
            pytest.fail("".join(lines))
        try:
            yield found[1]
        finally:
            process.kill()
