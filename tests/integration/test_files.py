"""Release files and their sidecars: whole, right, and fetched once."""

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


def test_files_have_their_upload_time_and_mode(index: Index, site: Site) -> None:
    (file,) = index.release("foo", "1.0", upload_time="2021-03-04T05:06:07.123456Z")

    site.mirror()

    for suffix in ("", ".metadata"):
        stat = (site.web / f"{file.path.lstrip('/')}{suffix}").stat()
        assert stat.st_mtime_ns == 1_614_834_367_123_456_000
        assert stat.st_mode & 0o7777 == 0o644


def test_everything_served_is_readable_whatever_the_umask(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    umask = os.umask(0o077)
    try:
        site.mirror()
    finally:
        os.umask(umask)

    for path in site.web.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_wrong_bytes_once_are_fetched_again(index: Index, server: IndexServer, site: Site) -> None:
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
def test_a_file_that_stays_wrong_holds_its_page_for_one_run(
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
    assert (site.web / good.path.lstrip("/")).exists(), "the others are fetched all the same"
    assert not (site.web / bad.path.lstrip("/")).exists()
    assert site.leftovers() == []

    second = site.mirror()
    assert second.code == 4
    assert second.failed == {"foo": "MissingFiles"}
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl", "foo-3.0-py3-none-any.whl"]
    assert site.status == index.serial
    assert site.mirror().code == 4, "told of until it heals"
    site.check()

    fault.left = 0
    healed = site.mirror()
    assert healed.code == 0
    assert len(site.filenames("foo")) == 3
    site.check()
    assert site.mirror().report["projects"]["synced"] == []


def test_a_body_longer_than_announced_stops_at_its_size(
    index: Index, server: IndexServer, site: Site
) -> None:
    (file,) = index.release("foo", "1.0")
    server.fault("file", faults.endless(b"x" * 65536, pieces=1000))

    ran = site.mirror()

    assert ran.failed == {"foo": "MissingFiles"}
    assert not (site.web / file.path.lstrip("/")).exists()


def test_a_large_download_goes_on_where_it_was_cut(
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


def test_a_large_download_goes_on_in_the_next_run(
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


def test_a_server_without_ranges_begins_anew(index: Index, server: IndexServer, site: Site) -> None:
    server.has_ranges = False
    index.release("foo", "1.0", size=LARGE)
    server.fault("file", faults.cut(2_000_000), times=1)

    ran = site.mirror()

    assert ran.code == 0
    site.check()


def test_a_range_that_is_refused_begins_anew(index: Index, server: IndexServer, site: Site) -> None:
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


def test_bytes_that_change_between_two_parts_are_noticed(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0", size=LARGE)
    corrupt = faults.edit(lambda body: b"\0" * len(body))
    server.fault("file", corrupt, times=1)
    server.fault("file", faults.cut(2_000_000), times=1)

    ran = site.mirror()

    assert ran.code == 0
    site.check()


def test_files_are_asked_for_without_an_encoding(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    server.fault("file", faults.header("Content-Encoding", "gzip"))

    ran = site.mirror()

    assert ran.code == 0
    asked = [asked for asked in server.asked if asked.kind in {"file", "sidecar"}]
    assert {each.headers["Accept-Encoding"] for each in asked} == {"identity"}
    site.check()


def test_the_path_is_a_second_check_of_the_content(
    index: Index, server: IndexServer, site: Site
) -> None:
    """The sha256 on the page is that of the bytes, and the path says they are others."""
    (file,) = index.release("foo", "1.0")
    lie = hashlib.blake2b(b"other", digest_size=32).hexdigest()
    path = f"/packages/{lie[:2]}/{lie[2:4]}/{lie[4:]}/{file.filename}"
    index.files[path] = file
    file.path = path

    ran = site.mirror()

    assert ran.failed == {"foo": "MissingFiles"}
    assert "blake2b_256" in ran.log


# ---------------------------------------------------------------- what is there already


@pytest.mark.parametrize("method", ["hash", "stat"])
def test_what_is_there_and_right_is_not_downloaded(
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
def test_a_file_of_another_size_is_replaced(
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
def test_a_file_of_another_time_is_read_and_kept_when_it_is_right(
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


def test_a_damaged_file_of_another_time_is_replaced(
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


def test_a_replacement_that_fails_leaves_what_is_there(
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


def test_a_known_filename_with_other_bytes_is_refused(
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
def test_a_sidecar_that_cannot_be_had_is_not_advertised_and_no_failure(
    index: Index, server: IndexServer, site: Site, act: faults.Act
) -> None:
    index.release("foo", "1.0")
    fault = server.fault("sidecar", act)

    ran = site.mirror()

    assert ran.code == 0
    assert ran.report["files"]["sidecars_missing"] == 1
    assert "without core metadata" in ran.log
    assert "core-metadata" not in site.page("foo")["files"][0]
    assert "metadata" not in site.text("web/simple/foo/index.html")
    assert site.todo() == []

    fault.left = 0
    assert site.mirror().code == 0
    assert "core-metadata" in site.page("foo")["files"][0]
    site.check()


def test_without_core_metadata_no_sidecar_is_fetched_or_advertised(
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


def test_a_plain_no_is_passed_on(index: Index, site: Site) -> None:
    index.release("foo", "1.0", wheel=False, sdist=True)

    site.mirror()

    assert site.page("foo")["files"][0]["core-metadata"] is False


# ---------------------------------------------------------------- origins


def test_without_release_files_pages_point_at_the_index_own_files(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(release_files="false")
    (file,) = index.release("foo", "1.0")

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("file", "sidecar") == []
    assert site.page("foo")["files"][0]["url"] == server.url + file.path
    assert not (site.web / "packages").exists()


def test_an_alternative_origin_is_tried_first(
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
def test_what_the_alternative_origin_lacks_comes_from_the_index(
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


def test_without_fallback_the_index_own_files_are_never_asked_for(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    index.release("foo", "1.0")
    with serving(Index()) as empty:
        site = make_site(download_mirror=empty.url, download_mirror_no_fallback="true")

        ran = site.mirror()

    assert ran.failed == {"foo": "MissingFiles"}
    assert server.paths("file", "sidecar") == []


def test_files_of_one_project_come_side_by_side_within_the_budget(
    index: Index, server: IndexServer, site: Site
) -> None:
    """Ten files, a budget of four: four at once, the largest first."""
    import asyncio  # noqa: PLC0415

    site.configure(download_workers=4)
    for number in range(10):
        index.upload("foo", "1.0", f"foo-1.0-{number}-py3-none-any.whl", size=1000 + number)
    under_way = most = 0

    async def count(*_: object) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1

    server.fault("file", count)
    ran = site.mirror()

    assert ran.code == 0
    assert most == 4
    asked = server.paths("file")
    assert {path.rpartition("/")[2] for path in asked[:4]} == {
        f"foo-1.0-{number}-py3-none-any.whl" for number in (6, 7, 8, 9)
    }


def test_two_names_for_the_same_content_are_both_there(index: Index, site: Site) -> None:
    index.upload("foo", "1.0", "foo-1.0-1-py3-none-any.whl", content=b"same" * 100)
    index.upload("foo", "1.0", "foo-1.0-2-py3-none-any.whl", content=b"same" * 100)

    ran = site.mirror()

    assert ran.code == 0
    assert len(site.filenames("foo")) == 2
    site.check()


def test_hostile_entries_are_left_out_and_the_rest_is_published(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    bad = index.upload("foo", "1.0", "foo-2.0-py3-none-any.whl")
    for filename, path in {
        "../../evil-1.0.tar.gz": "/packages/../../evil-1.0.tar.gz",
        "foo-3.0.tar.gz": "/packages/%2e%2e/%2e%2e/foo-3.0.tar.gz",
        "foo-4.0.tar.gz": "/packages/..%2f..%2ffoo-4.0.tar.gz",
        "foo-5.0\n.tar.gz": "/packages/aa/foo-5.0%0a.tar.gz",
        "other-1.0.tar.gz": "/packages/aa/other-1.0.tar.gz",
        ".htaccess": "/packages/aa/.htaccess",
    }.items():
        index.upload("foo", "1.0", filename, path=path, content=bad.content)

    ran = site.mirror()

    assert ran.code == 0
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl", "foo-2.0-py3-none-any.whl"]
    assert ran.report["files"]["rejected"] == 6
    assert "foo: left out 6 file(s)" in ran.log
    assert "\n.tar" not in ran.log
    assert list(site.home.rglob("*evil*")) == []
    site.check()
