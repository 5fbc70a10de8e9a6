"""Release files and core metadata: complete, correct, and downloaded once."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.index import Index
from tests.support.server import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web import Request

    from tests.support.server import Answer, IndexServer
    from tests.support.site import Site

LARGE = 3_000_000


def test_files_have_their_upload_time_and_mode_0644(index: Index, site: Site) -> None:
    (file,) = index.release("foo", "1.0", upload_time="2021-03-04T05:06:07.123456Z")

    site.mirror()

    for suffix in ("", ".metadata"):
        stat = (site.web / f"{file.path.lstrip('/')}{suffix}").stat()
        assert stat.st_mtime_ns == 1_614_834_367_123_456_000
        assert stat.st_mode & 0o7777 == 0o644


def test_the_served_tree_is_world_readable_under_any_umask(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    umask = os.umask(0o077)
    try:
        site.mirror()
    finally:
        os.umask(umask)

    for path in site.web.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_a_download_with_wrong_content_is_repeated(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    server.fault("file", faults.wrong_bytes(), times=1)

    ran = site.mirror()

    assert ran.code == 0
    assert site.leftovers() == []
    site.check()


@pytest.mark.parametrize(
    "act",
    [
        faults.status(404),
        faults.status(410),
        faults.wrong_bytes(),
        faults.edit(lambda body: body[:-1]),
        faults.edit(lambda body: body + b"x"),
        faults.endless(),
    ],
    ids=["404", "410", "wrong", "short", "long", "endless"],
)
def test_a_file_that_cannot_be_downloaded_holds_back_its_page_for_one_run(
    index: Index, server: IndexServer, site: Site, act: faults.Act
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    (bad,) = index.release("foo", "2.0")
    (good,) = index.release("foo", "3.0")
    fault = server.fault(bad.path, act)

    first = site.mirror()
    assert first.code == 4
    assert first.failed == {"foo": "MissingFiles"}
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl"]
    assert (site.web / good.path.lstrip("/")).exists(), "the other file is downloaded nevertheless"
    assert not (site.web / bad.path.lstrip("/")).exists()
    assert site.leftovers() == []

    second = site.mirror()
    assert second.code == 4
    assert second.failed == {"foo": "MissingFiles"}
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl", "foo-3.0-py3-none-any.whl"]
    assert site.status == index.serial
    assert site.mirror().code == 4, "reported until it can be downloaded"
    site.check()

    fault.left = 0
    repaired = site.mirror()
    assert repaired.code == 0
    assert len(site.filenames("foo")) == 3
    site.check()
    assert site.mirror().report["projects"]["synced"] == []


def test_a_body_longer_than_the_file_is_not_stored(
    index: Index, server: IndexServer, site: Site
) -> None:
    (file,) = index.release("foo", "1.0")
    server.fault("file", faults.endless(b"x" * 65536, pieces=1000))

    ran = site.mirror()

    assert ran.failed == {"foo": "MissingFiles"}
    assert not (site.web / file.path.lstrip("/")).exists()


def test_an_interrupted_download_is_resumed_with_a_range_request(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0", size=LARGE)
    server.fault("file", faults.cut(2_000_000), times=1)

    ran = site.mirror()

    assert ran.code == 0
    ranges = [a.headers.get("Range") for a in server.asked if a.kind == "file"]
    assert len(ranges) == 2
    assert ranges[1] is not None
    assert int(ranges[1].removeprefix("bytes=").rstrip("-")) > 1_000_000
    site.check()


def test_an_interrupted_download_is_resumed_in_the_next_run(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0", size=LARGE)
    cut = server.fault("file", faults.cut(300_000))
    first = site.mirror()
    assert first.code == 4
    assert len(site.leftovers()) == 1
    cut.left = 0
    server.forget()

    second = site.mirror()

    assert second.code == 0
    (asked,) = [asked for asked in server.asked if asked.kind == "file"]
    assert int(asked.headers["Range"].removeprefix("bytes=").rstrip("-")) >= 1_000_000
    assert site.leftovers() == []
    site.check()


def test_a_download_restarts_if_the_server_ignores_ranges(
    index: Index, server: IndexServer, site: Site
) -> None:
    server.has_ranges = False
    index.release("foo", "1.0", size=LARGE)
    server.fault("file", faults.cut(2_000_000), times=1)

    ran = site.mirror()

    assert ran.code == 0
    site.check()


def test_a_download_restarts_if_the_server_refuses_the_range(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0", size=LARGE)

    async def refuse(request: Request, answer: Answer) -> None:
        if "Range" in request.headers:
            answer.status, answer.body = 416, b""

    server.fault("file", refuse)
    server.fault("file", faults.cut(2_000_000), times=1)

    ran = site.mirror()

    assert ran.code == 0
    assert [("Range" in a.headers) for a in server.asked if a.kind == "file"] == [
        False,
        True,
        False,
    ]
    site.check()


def test_a_resumed_download_with_wrong_content_is_repeated(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0", size=LARGE)
    corrupt = faults.edit(lambda body: b"\0" * len(body))
    server.fault("file", corrupt, times=1)
    server.fault("file", faults.cut(2_000_000), times=1)

    ran = site.mirror()

    assert ran.code == 0
    site.check()


def test_downloads_ask_for_the_identity_encoding(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    server.fault("file", faults.header("Content-Encoding", "gzip"))

    ran = site.mirror()

    assert ran.code == 0
    asked = [asked for asked in server.asked if asked.kind in {"file", "sidecar"}]
    assert {each.headers["Accept-Encoding"] for each in asked} == {"identity"}
    site.check()


def test_a_blake2b_digest_in_the_path_is_checked_too(
    index: Index, server: IndexServer, site: Site
) -> None:
    """The sha256 on the page is that of the content, the BLAKE2b digest in the path is not."""
    (file,) = index.release("foo", "1.0")
    wrong = hashlib.blake2b(b"other", digest_size=32).hexdigest()
    path = f"/packages/{wrong[:2]}/{wrong[2:4]}/{wrong[4:]}/{file.filename}"
    index.files[path] = file
    file.path = path

    ran = site.mirror()

    assert ran.failed == {"foo": "MissingFiles"}
    assert "blake2b_256" in ran.log


# ---------------------------------------------------------------- stored files


@pytest.mark.parametrize("method", ["hash", "stat"])
def test_correct_files_are_adopted_without_a_download(
    index: Index, server: IndexServer, site: Site, method: str
) -> None:
    site.configure(compare_method=method)
    (file,) = index.release("foo", "1.0")
    site.mirror()
    (site.root / "catalogue.sqlite").unlink()
    for page in (site.web / "simple").rglob("index.*"):
        page.unlink()
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("file", "sidecar") == []
    assert site.filenames("foo") == [file.filename]
    site.check()


@pytest.mark.parametrize("method", ["hash", "stat"])
def test_a_file_with_another_size_is_replaced(
    index: Index, server: IndexServer, site: Site, method: str
) -> None:
    site.configure(compare_method=method)
    (file,) = index.release("foo", "1.0")
    site.mirror()
    (site.web / file.path.lstrip("/")).write_bytes(b"short")
    index.release("foo", "2.0")
    server.forget()

    site.mirror()

    assert file.path in server.paths("file")
    site.check()


@pytest.mark.parametrize("method", ["hash", "stat"])
def test_a_file_with_another_time_and_the_right_content_is_kept(
    index: Index, server: IndexServer, site: Site, method: str
) -> None:
    site.configure(compare_method=method)
    (file,) = index.release("foo", "1.0")
    site.mirror()
    os.utime(site.web / file.path.lstrip("/"))
    index.release("foo", "2.0")
    server.forget()

    site.mirror()

    assert file.path not in server.paths("file")
    site.check()


def test_a_file_with_another_time_and_wrong_content_is_replaced(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(compare_method="stat")
    (file,) = index.release("foo", "1.0")
    site.mirror()
    damaged = site.web / file.path.lstrip("/")
    damaged.write_bytes(b"x" * len(file.content))
    index.release("foo", "2.0")

    site.mirror()

    site.check()
    assert damaged.read_bytes() == file.content


def test_a_wrong_file_stays_if_its_replacement_fails(
    index: Index, server: IndexServer, site: Site
) -> None:
    (file,) = index.release("foo", "1.0")
    site.mirror()
    stored = site.web / file.path.lstrip("/")
    stored.write_bytes(b"locally edited")
    index.release("foo", "2.0")
    server.fault(file.path, faults.status(500))

    ran = site.mirror()

    assert ran.code == 4
    assert stored.read_bytes() == b"locally edited"


def test_a_published_filename_with_another_digest_is_refused_until_accepted(
    index: Index, server: IndexServer, site: Site
) -> None:
    (old,) = index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    before = site.tree()
    index.release("foo", "1.0", size=400)

    for _ in range(2):
        ran = site.mirror()
        assert ran.code == 5
        assert ran.failed == {"foo": "ChangedFile"}
        assert ran.report["projects"]["failed"][0]["class"] == "held"
        assert "--accept-change foo" in ran.log
        assert site.tree() == before

    accepted = site.mirror("--accept-change", "Foo")
    assert accepted.code == 0
    assert (site.root / "removed" / old.path.lstrip("/")).exists()
    site.check()


# ---------------------------------------------------------------- sidecars


@pytest.mark.parametrize(
    "act",
    [faults.status(404), faults.wrong_bytes(), faults.status(500)],
    ids=["404", "wrong", "500"],
)
def test_missing_core_metadata_is_not_advertised_and_not_a_failure(
    index: Index, server: IndexServer, site: Site, act: faults.Act
) -> None:
    index.release("foo", "1.0")
    fault = server.fault("sidecar", act)

    ran = site.mirror()

    assert ran.code == 0
    assert ran.report["files"]["core_metadata_missing"] == 1
    assert "without core metadata" in ran.log
    assert "core-metadata" not in site.page("foo")["files"][0]
    assert "metadata" not in site.text("web/simple/foo/index.html")
    assert site.todo() == []

    fault.left = 0
    assert site.mirror().code == 0
    assert "core-metadata" in site.page("foo")["files"][0]
    site.check()


def test_with_core_metadata_off_it_is_neither_downloaded_nor_advertised(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(core_metadata="false")
    index.release("foo", "1.0")

    site.mirror()

    assert server.paths("sidecar") == []
    assert "core-metadata" not in site.page("foo")["files"][0]

    site.configure(core_metadata="true")
    server.forget()
    site.mirror()
    assert "core-metadata" in site.page("foo")["files"][0]
    assert server.paths("file") == []


def test_a_core_metadata_value_of_false_is_published(index: Index, site: Site) -> None:
    index.release("foo", "1.0", wheel=False, sdist=True)

    site.mirror()

    assert site.page("foo")["files"][0]["core-metadata"] is False


# ---------------------------------------------------------------- file hosts


def test_without_release_files_pages_link_to_the_file_host_of_the_index(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(release_files="false")
    (file,) = index.release("foo", "1.0")

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("file", "sidecar") == []
    assert site.page("foo")["files"][0]["url"] == server.url + file.path
    assert not (site.web / "packages").exists()


def test_the_download_mirror_is_used_first(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    (file,) = index.release("foo", "1.0")
    with serving(index) as other:
        site = make_site(download_mirror=other.url + "/")
        ran = site.mirror()

        assert ran.code == 0
        assert other.paths("file", "sidecar") == [file.path, file.path + ".metadata"]
    assert server.paths("file", "sidecar") == []


@pytest.mark.parametrize(
    "act",
    [faults.status(404), faults.wrong_bytes(), faults.status(500)],
    ids=["404", "wrong bytes", "500"],
)
def test_a_file_that_the_download_mirror_lacks_comes_from_the_index(
    index: Index, server: IndexServer, make_site: Callable[..., Site], act: faults.Act
) -> None:
    index.release("foo", "1.0")
    with serving(index) as other:
        other.fault("file", act)
        site = make_site(download_mirror=other.url)

        ran = site.mirror()

    assert ran.code == 0
    assert len(server.paths("file")) == 1
    site.check()


def test_without_fallback_the_file_host_of_the_index_is_not_used(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    index.release("foo", "1.0")
    with serving(Index()) as empty:
        site = make_site(download_mirror=empty.url, download_mirror_no_fallback="true")

        ran = site.mirror()

    assert ran.failed == {"foo": "MissingFiles"}
    assert server.paths("file", "sidecar") == []


def test_files_of_one_project_are_downloaded_concurrently_up_to_the_limit(
    index: Index, server: IndexServer, site: Site
) -> None:
    """Of ten files at most four are downloaded at a time, the largest first."""
    import asyncio  # noqa: PLC0415

    site.configure(download_workers=4)
    for number in range(10):
        index.upload("foo", "1.0", f"foo-1.0-{number}-py3-none-any.whl", size=1000 + number)
    running = most = 0

    async def count(*_: object) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1

    server.fault("file", count)
    ran = site.mirror()

    assert ran.code == 0
    assert most == 4
    asked = server.paths("file")
    assert {path.rpartition("/")[2] for path in asked[:4]} == {
        f"foo-1.0-{number}-py3-none-any.whl" for number in (6, 7, 8, 9)
    }


def test_two_files_with_the_same_content_are_both_stored(index: Index, site: Site) -> None:
    index.upload("foo", "1.0", "foo-1.0-1-py3-none-any.whl", content=b"same" * 100)
    index.upload("foo", "1.0", "foo-1.0-2-py3-none-any.whl", content=b"same" * 100)

    ran = site.mirror()

    assert ran.code == 0
    assert len(site.filenames("foo")) == 2
    site.check()


def test_hostile_file_entries_are_rejected_and_the_rest_is_published(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    bad = index.upload("foo", "1.0", "foo-2.0-py3-none-any.whl")
    for filename, path in {
        "../../evil-1.0.tar.gz": "/packages/../../evil-1.0.tar.gz",
        "foo-3.0.tar.gz": "/packages/%2e%2e/%2e%2e/foo-3.0.tar.gz",
        "foo-4.0.tar.gz": "/packages/..%2f..%2ffoo-4.0.tar.gz",
        "foo-5.0\n.tar.gz": "/packages/aa/foo-5.0%0a.tar.gz",
        "other-1.0-py3-none-any.whl": "/packages/aa/other-1.0-py3-none-any.whl",
        ".htaccess": "/packages/aa/.htaccess",
    }.items():
        index.upload("foo", "1.0", filename, path=path, content=bad.content)

    ran = site.mirror()

    assert ran.code == 4
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl", "foo-2.0-py3-none-any.whl"]
    assert ran.report["files"]["rejected"] == 6
    assert "foo failed: rejected 6 file(s)" in ran.log
    assert "\n.tar" not in ran.log
    assert list(site.home.rglob("*evil*")) == []
    site.check()
