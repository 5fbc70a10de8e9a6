"""``verify``: damage is found and repaired, and intact files are not touched."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import faults
from tests.support.index import Index
from tests.support.server import serving
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.faults import Act
    from tests.support.server import IndexServer
    from tests.support.site import Ran

NO_DAMAGE = {"found": 0, "repaired": 0, "unrepaired": 0, "details": []}


def flip_a_byte(path: Path) -> None:
    """Change one byte; keep size and time."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip_a_byte,
    "cut": truncate,
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "a link": replace_by_link,
}
OBJECTS = {
    "file": "packages/**/*.whl",
    "sidecar": "packages/**/*.metadata",
    "html": "simple/foo/index.html",
    "v1 html": "simple/foo/index.v1_html",
    "json page": "simple/foo/index.v1_json",
    "document": "json/foo",
    "document's copy": "pypi/foo/json",
    "root": "simple/index.html",
    "root as json": "simple/index.v1_json",
}


def verify_again(site: Site, *flags: str) -> Ran:
    """Verify a minute later, and check that every project was verified."""
    site.clock.advance(minutes=1)
    ran = site.run("verify", *flags)
    assert ran.report["verified"]["projects"] == len(site.names())
    return ran


def damage(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = ran.report["damage"]
    return found


@pytest.fixture
def mirrored(index: Index, site: Site) -> Site:
    """Return a mirror of three projects with every kind of object."""
    index.release("foo", "1.0")
    index.release("foo", "2.0", sdist=True)
    index.release("bar", "1.0")
    index.release("Baz_Qux", "0.1")
    site.configure(json=True)
    assert site.mirror().code == 0
    return site


# ---------------------------------------------------------------- damage that is repaired


def test_an_intact_mirror_is_read_and_not_changed(mirrored: Site, server: IndexServer) -> None:
    before, names = mirrored.times(), sorted(path.name for path in mirrored.root.iterdir())
    server.forget()

    ran = mirrored.run("verify")

    assert ran.code == 0
    assert damage(ran) == NO_DAMAGE
    assert ran.report["verified"]["projects"] == 3
    assert ran.report["verified"]["files"] == 5
    assert ran.report["verified"]["bytes"] > 0
    assert ran.report["orphans"]["files"] == 0
    assert mirrored.times() == before
    assert sorted(path.name for path in mirrored.root.iterdir()) == names
    assert server.asked == []


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("target", OBJECTS)
def test_every_kind_of_damage_to_every_kind_of_object_is_repaired(
    mirrored: Site, target: str, kind: str
) -> None:
    before, times = mirrored.tree(), mirrored.times()
    path = min(mirrored.web.glob(OBJECTS[target]))
    modified = path.stat().st_mtime_ns
    DAMAGES[kind](path)

    ran = mirrored.run("verify")

    assert ran.code == 0, ran.log
    assert (damage(ran)["found"], damage(ran)["repaired"]) == (1, 1)
    assert str(path.relative_to(mirrored.web)) in ran.log
    assert mirrored.tree() == before
    assert not path.is_symlink()
    if target in {"file", "sidecar"}:
        assert path.stat().st_mtime_ns == modified
    touched = {key for key, time in mirrored.times().items() if times[key] != time}
    assert touched <= {str(path.relative_to(mirrored.web)), "json/foo", "pypi/foo/json"}
    assert damage(verify_again(mirrored)) == NO_DAMAGE
    mirrored.check()


def test_one_run_repairs_50_corrupt_files_50_missing_files_and_10_corrupt_pages(
    index: Index, site: Site
) -> None:
    for number in range(60):
        for version in ("1.0", "2.0"):
            index.release(f"project-{number}", version)
    site.mirror()
    before = site.tree()
    rng = random.Random(4)
    files = sorted(site.web.glob("packages/**/*.whl"))
    damaged = rng.sample(files, 100)
    pages = rng.sample(sorted(site.web.glob("simple/*/index.*")), 10)
    for path in (*damaged[:50], *pages):
        flip_a_byte(path)
    for path in damaged[50:]:
        path.unlink()

    ran = site.run("verify")

    assert ran.code == 0
    assert (damage(ran)["found"], damage(ran)["repaired"]) == (110, 110)
    assert site.tree() == before
    assert damage(verify_again(site)) == NO_DAMAGE


def test_a_file_with_another_time_and_the_same_content_is_intact(
    mirrored: Site, server: IndexServer
) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    os.utime(path, ns=(1, 1))
    server.forget()

    assert damage(mirrored.run("verify", "--quick")) == NO_DAMAGE
    assert damage(verify_again(mirrored)) == NO_DAMAGE
    assert server.asked == []
    before = mirrored.times()
    mirrored.run("verify", "--quick")
    assert mirrored.times() == before


@pytest.mark.parametrize("target", ["file", "sidecar", "html", "json page", "root"])
def test_a_quick_verify_finds_missing_objects(mirrored: Site, target: str) -> None:
    before = mirrored.tree()
    path = min(mirrored.web.glob(OBJECTS[target]))
    path.unlink()

    ran = mirrored.run("verify", "--quick")

    assert (ran.code, damage(ran)["repaired"]) == (0, 1)
    assert mirrored.tree() == before


def test_a_quick_verify_does_not_read_files_whose_size_and_time_are_as_recorded(
    mirrored: Site,
) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    flip_a_byte(path)

    ran = mirrored.run("verify", "--quick")

    assert damage(ran) == NO_DAMAGE
    assert ran.report["verified"] == {"projects": 3, "files": 5, "bytes": 0}


def test_a_missing_link_to_a_page_version_is_repaired(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.configure(keep_index_versions=2)
    site.mirror()
    before = site.tree()["simple/foo/index.html"]
    page = site.web / "simple/foo/index.html"
    assert damage(site.run("verify", "--quick")) == NO_DAMAGE
    page.unlink()

    assert damage(site.run("verify"))["repaired"] == 1

    assert page.read_bytes() == before
    assert page.is_symlink()


def test_without_release_files_only_pages_are_verified(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.configure(release_files=False, root_uri="https://files.example.org")
    site.mirror()
    flip_a_byte(site.web / "simple/foo/index.html")

    ran = site.run("verify")

    assert (ran.code, damage(ran)["repaired"], ran.report["verified"]["files"]) == (0, 1, 0)


def test_pages_with_the_addresses_of_the_index_are_verified_by_their_files(
    index: Index, site: Site
) -> None:
    """No record has these addresses."""
    index.release("foo", "1.0")
    site.configure(release_files=False)
    site.mirror()
    page = site.web / "simple/foo/index.html"
    before = page.read_bytes()

    first = site.run("verify")
    page.write_bytes(before.replace(b"foo-1.0-", b"foo-2.0-"))
    site.clock.advance(minutes=1)
    second = site.run("verify")

    assert (first.code, damage(first)["found"]) == (0, 0)
    assert (second.code, damage(second)["repaired"]) == (0, 1)
    assert page.read_bytes() == before
    page.unlink()
    site.clock.advance(minutes=1)
    assert site.run("verify").code == 0
    assert page.read_bytes() == before
    site.configure(digest_name="md5")
    site.clock.advance(minutes=1)
    assert site.mirror().code == 0
    assert f'href="{site.server.url}/packages/' in page.read_text()


# ---------------------------------------------------------------- damage that cannot be repaired

ANSWERS = {
    "404": faults.status(404),
    "500": faults.status(500),
    "a login page": faults.body(b"<html><body>please log in</body></html>", "text/html"),
    "an empty object": faults.body(b"{}", "application/json"),
    "nothing": faults.body(b"", "application/json"),
    "no answer": faults.reset(),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_damage_that_cannot_be_repaired_is_reported_with_the_reason(
    mirrored: Site, server: IndexServer, answer: str
) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    flip_a_byte(path)
    before = mirrored.tree()
    server.fault("", ANSWERS[answer])

    ran = mirrored.run("verify")

    assert ran.code == 8
    (left,) = damage(ran)["details"]
    assert left["key"].endswith(path.name)
    assert "content has sha256" in left["what"]
    assert left["reason"]
    assert "Traceback" not in ran.log
    assert mirrored.tree() == before


def test_valid_documents_that_differ_from_each_other_are_repaired(mirrored: Site) -> None:
    intact = mirrored.tree()
    copy = mirrored.web / "pypi/foo/json"
    copy.write_bytes(b" " + copy.read_bytes())

    ran = verify_again(mirrored)

    assert (ran.code, damage(ran)["repaired"]) == (0, 1)
    assert "it differs from its copy" in ran.log
    assert mirrored.tree() == intact


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (faults.status(404), "the index has no such document"),
        (faults.body(b"[]"), "not a JSON object"),
        (faults.status(500), "500"),
    ],
    ids=["missing", "not a document", "no answer"],
)
def test_a_document_that_cannot_be_fetched_stays_damaged_and_is_reported(
    mirrored: Site, server: IndexServer, answer: Act, why: str
) -> None:
    (mirrored.web / "json/foo").write_bytes(b"{")
    server.fault("legacy", answer)

    ran = verify_again(mirrored)

    assert (ran.code, damage(ran)["unrepaired"]) == (8, 1)
    assert why in damage(ran)["details"][0]["reason"]


def rename_file(page: Path) -> None:
    page.write_text(page.read_text().replace("foo-1.0", "other-1.0"))


def omit_file(page: Path) -> None:
    """Remove the link to one file."""
    lines = page.read_text().splitlines()
    page.write_text("\n".join(line for line in lines if "foo-1.0" not in line))


@pytest.mark.parametrize(
    ("damage_page", "what"),
    [
        (lambda page: page.write_bytes(b"[]"), "cannot be read"),
        (rename_file, "cannot be read"),
        (omit_file, "is not what was published"),
        (
            lambda page: page.write_bytes(page.read_bytes().replace(b"SERIAL 1", b"SERIAL 2")),
            "is not what was published",
        ),
    ],
    ids=["not a page", "an invalid entry", "a missing file", "another serial"],
)
def test_a_page_published_under_other_options_is_parsed_and_compared(
    mirrored: Site, damage_page: Callable[[Path], object], what: str
) -> None:
    """Its bytes may differ; its files may not."""
    mirrored.configure(digest_name="md5")
    assert damage(verify_again(mirrored)) == NO_DAMAGE
    damage_page(mirrored.web / "simple/foo/index.html")

    ran = verify_again(mirrored)

    assert (ran.code, damage(ran)["repaired"]) == (0, 1)
    assert f"web/simple/foo/index.html: it {what}" in ran.log


@pytest.mark.parametrize("kind", ["missing", "a link", "flipped"])
@pytest.mark.parametrize("target", ["file", "sidecar"])
def test_a_limited_rate_finds_and_repairs_the_same_damage(
    mirrored: Site, target: str, kind: str
) -> None:
    intact = mirrored.tree()
    (path, *_) = sorted(mirrored.web.glob(OBJECTS[target]))
    DAMAGES[kind](path)

    mirrored.clock.advance(minutes=1)

    ran = mirrored.run("verify", "--rate", "1 MB/s")

    assert (ran.code, damage(ran)["repaired"]) == (0, 1)
    assert mirrored.tree() == intact


@pytest.mark.parametrize("kind", ["missing", "a link", "flipped"])
def test_a_dry_run_with_a_limited_rate_reports_damage_and_changes_nothing(
    mirrored: Site, kind: str
) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    DAMAGES[kind](path)
    before = mirrored.tree()

    ran = verify_again(mirrored, "--dry-run", "--rate", "1 MB/s")

    assert damage(ran)["found"] == 1
    assert mirrored.tree() == before


def test_an_index_that_does_not_answer_five_times_is_not_asked_again(
    index: Index, site: Site, server: IndexServer
) -> None:
    for number in range(12):
        index.release(f"project-{number}", "1.0")
    site.mirror()
    for path in site.web.glob("packages/**/*.whl"):
        path.unlink()
    server.fault("", faults.reset())
    server.forget()

    ran = site.run("verify", "--workers", "1")

    assert (ran.code, damage(ran)["unrepaired"]) == (8, 12)
    assert len(set(server.paths("detail"))) == 5
    assert "is not asked again" in damage(ran)["details"][-1]["reason"]


def test_mirror_repairs_what_verify_could_not(mirrored: Site, server: IndexServer) -> None:
    before = mirrored.tree()
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    flip_a_byte(path)
    fault = server.fault("", faults.status(500))
    assert mirrored.run("verify").code == 8
    fault.left = 0

    assert mirrored.mirror().code == 0

    assert mirrored.tree() == before


def test_a_file_that_the_index_removed_cannot_be_repaired(index: Index, mirrored: Site) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/foo-1.0*.whl"))
    index.remove_file("foo", path.name)
    path.unlink()

    ran = mirrored.run("verify")

    assert ran.code == 8
    assert "no longer has this file" in damage(ran)["details"][0]["reason"]
    assert mirrored.mirror().code == 0
    assert path.name not in mirrored.filenames("foo")
    assert verify_again(mirrored).code == 0


COMMANDS = [
    ("verify",),
    ("verify", "--delete"),
    ("verify", "--json-update"),
    ("verify", "--json-update", "--delete"),
    ("verify", "--quick", "--delete", "--json-update"),
    ("verify", "--sample", "50", "--delete"),
]


def test_a_page_that_the_index_cannot_restore_is_damage_and_no_failed_project(
    index: Index, site: Site
) -> None:
    site.configure(removed_projects="keep")
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    assert site.mirror().code == 0
    index.remove_project("foo")
    for file in (site.web / "packages").rglob("foo-*"):
        file.unlink()
    page = site.web / "simple/foo/index.html"
    page.unlink()

    ran = site.run("verify")

    assert ran.code == 8
    assert "web/simple/foo/index.html: it is missing; it could not be repaired" in ran.log
    assert "the index has no page for foo" in ran.log
    assert "foo failed" not in ran.log


@pytest.mark.parametrize("answer", ANSWERS)
def test_no_answer_of_the_index_removes_an_intact_file(
    mirrored: Site, server: IndexServer, answer: str
) -> None:
    before = mirrored.tree()
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    path.unlink()
    server.fault("", ANSWERS[answer])
    rng = random.Random(7)

    for _ in range(2):
        for command in rng.sample(COMMANDS, len(COMMANDS)):
            ran = mirrored.run(*command)
            assert ran.code in {3, 4, 8}, ran.log
            after = mirrored.tree()
            gone = before.keys() - after.keys()
            assert gone == {str(path.relative_to(mirrored.web))}
            assert all(after[key] == before[key] for key in after)
            mirrored.clock.advance(hours=1)


def test_an_index_without_a_page_of_any_project_is_unusable(
    mirrored: Site, server: IndexServer
) -> None:
    server.fault("detail", faults.status(404))
    ran = mirrored.run("verify", "--json-update")
    assert ran.code == 3
    assert "a usable page for none of 3 projects" in ran.log


# ---------------------------------------------------------------- a dry run


def test_a_dry_run_reports_damage_and_orphans_and_changes_nothing(
    mirrored: Site, server: IndexServer
) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    flip_a_byte(path)
    (mirrored.web / "packages/orphan.zip").write_bytes(b"orphan")
    everything = {p: p.lstat().st_mtime_ns for p in mirrored.root.rglob("*")}
    server.forget()

    ran = mirrored.run("verify", "--dry-run", "--delete")

    assert ran.code == 8
    assert damage(ran)["found"] == 1
    assert "web/packages/orphan.zip" in ran.log
    assert {p: p.lstat().st_mtime_ns for p in mirrored.root.rglob("*")} == everything
    assert server.asked == []


def test_a_dry_run_without_a_catalogue_verifies_the_tree(mirrored: Site) -> None:
    (mirrored.root / "catalogue.sqlite").unlink()
    flip_a_byte(min(mirrored.web.glob("packages/**/*.whl")))

    ran = mirrored.run("verify", "--dry-run")

    assert (ran.code, ran.report["verified"]["projects"], damage(ran)["found"]) == (8, 3, 1)
    assert not (mirrored.root / "catalogue.sqlite").exists()


# ---------------------------------------------------------------- orphans


def write_orphans(site: Site) -> list[str]:
    """Write objects that no project owns into the tree, and return their paths."""
    orphans = [
        "packages/aa/bb/cc/foo-9.9.tar.gz",
        "packages/aa/bb/cc/foo-9.9.tar.gz.metadata",
        "packages/orphan.zip",
        "simple/.index.html.ab12cd",
        "simple/foo/.index.html.ab12cd",
        "simple/foo/notes.txt",
        "simple/Baz_Qux/index.html",
        "simple/b/bar/index.html",
        "json/foo.new",
        "json/.foo.x1y2",
    ]
    for each in orphans:
        path = site.web / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"orphan")
    (site.web / "robots.txt").write_text("an operator's own")
    return sorted(orphans)


def test_orphans_are_reported_and_stay(mirrored: Site) -> None:
    orphans = write_orphans(mirrored)
    before = mirrored.tree()

    ran = mirrored.run("verify")

    assert ran.code == 0
    assert ran.report["orphans"] == {"files": len(orphans), "bytes": 6 * len(orphans), "moved": 0}
    assert all(f"belongs to no project: web/{each}" in ran.log for each in orphans)
    assert mirrored.tree() == before


def test_orphans_are_trashed_with_delete_and_purged_after_the_grace_time(mirrored: Site) -> None:
    before = mirrored.tree()
    orphans = write_orphans(mirrored)
    mirrored.configure(max_removals=20)

    ran = mirrored.run("verify", "--delete")

    assert ran.code == 0, ran.log
    assert ran.report["orphans"]["moved"] == len(orphans)
    assert {k: v for k, v in mirrored.tree().items() if k != "robots.txt"} == before
    assert (mirrored.web / "robots.txt").exists()
    assert all((mirrored.root / "removed" / each).read_bytes() == b"orphan" for each in orphans)
    assert not (mirrored.web / "packages/aa/bb/cc").exists()
    assert not (mirrored.web / "simple/Baz_Qux").exists()
    mirrored.clock.advance(days=15)
    mirrored.mirror()
    assert not any(path.is_file() for path in (mirrored.root / "removed").rglob("*"))


def test_more_orphans_than_the_removal_limit_are_not_trashed(mirrored: Site) -> None:
    orphans = write_orphans(mirrored)
    before = mirrored.tree()

    ran = mirrored.run("verify", "--delete")

    assert ran.code == 5
    assert f"{len(orphans)} files belong to no project" in ran.log
    assert f"max-removals = {len(orphans)}" in ran.log
    assert mirrored.tree() == before


def test_a_file_named_after_another_project_than_its_own_is_not_an_orphan(
    index: Index, site: Site
) -> None:
    index.upload("foo", "1.0", "something_else-1.0.zip")
    site.mirror()

    ran = site.run("verify", "--delete")

    assert (ran.code, ran.report["orphans"]["files"]) == (0, 0)
    site.check()


def test_a_project_that_cannot_be_read_prevents_all_deletion(
    mirrored: Site,
) -> None:
    write_orphans(mirrored)
    page = mirrored.web / "simple/stranger/index.html"
    page.parent.mkdir()
    page.write_bytes(b"\xff\x00 not a page")
    mirrored.configure(max_removals=100)
    before = mirrored.tree()

    ran = mirrored.run("verify", "--delete")

    assert ran.code == 8, "the index does not have the project, so that syncing it did not fail"
    assert ran.report["unreadable"] == ["stranger"]
    assert ran.failed == {}
    (line,) = ran.errors()
    assert "the index has no page for it: delete it with --until-next-change, or" in line
    assert "--ignore-unreadable" in ran.log
    assert mirrored.tree() == before


def test_an_unreadable_project_that_is_ignored_does_not_prevent_deletion(mirrored: Site) -> None:
    page = mirrored.web / "simple/stranger/index.html"
    page.parent.mkdir()
    page.write_bytes(b"\xff\x00 not a page")
    mirrored.allow("foo", "bar", "Baz_Qux")

    assert mirrored.run("verify", "--delete").code == 8
    assert page.exists()
    assert mirrored.run("verify", "--delete", "--ignore-unreadable", "Stranger").code == 0
    assert not page.parent.exists()


def test_an_unreadable_project_that_the_index_has_is_synced(index: Index, mirrored: Site) -> None:
    index.release("stranger", "1.0")
    page = mirrored.web / "simple/stranger/index.html"
    page.parent.mkdir()
    page.write_bytes(b"\xff\x00 not a page")

    ran = mirrored.run("verify", "--delete")

    assert (ran.code, ran.report["unreadable"]) == (0, [])
    assert mirrored.filenames("stranger") == ["stranger-1.0-py3-none-any.whl"]
    assert "stranger" in mirrored.names()
    mirrored.check()


def test_an_unreadable_document_makes_its_project_unreadable(mirrored: Site) -> None:
    document = mirrored.web / "json/stranger"
    document.write_bytes(b"{")
    mirrored.allow("foo", "bar", "Baz_Qux")
    assert mirrored.run("verify", "--delete").code == 8
    assert document.exists()


def test_a_readable_document_of_an_unknown_project_is_an_orphan(mirrored: Site) -> None:
    for where in ("json/stranger", "pypi/stranger/json"):
        path = mirrored.web / where
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"info": {"name": "stranger"}, "releases": {}}')

    ran = mirrored.run("verify", "--delete")

    assert (ran.code, ran.report["unreadable"], ran.report["orphans"]["moved"]) == (0, [], 2)
    mirrored.check()


def test_thousands_of_orphans_are_trashed(mirrored: Site) -> None:
    mirrored.configure(max_removals=5000)
    folder = mirrored.web / "packages/aa/bb/cc"
    folder.mkdir(parents=True)
    for number in range(2100):
        (folder / f"foo-0.{number}.zip").touch()

    ran = mirrored.run("verify", "--delete")

    assert (ran.code, ran.report["orphans"]["moved"]) == (0, 2100)
    assert len(list((mirrored.root / "removed/packages/aa/bb/cc").iterdir())) == 2100
    mirrored.check()


# ---------------------------------------------------------------- limits


def verified_bytes(ran: Ran) -> int:
    read: int = ran.report["verified"]["bytes"]
    return read


def test_a_sample_reads_the_content_that_was_read_longest_ago(index: Index, site: Site) -> None:
    for number in range(20):
        index.release(f"project-{number:02}", "1.0", size=1_000)
    site.mirror()
    site.clock.advance(days=1)
    whole = verified_bytes(site.run("verify"))
    site.clock.advance(days=1)

    parts = []
    for _ in range(4):
        site.clock.advance(days=1)
        parts.append(site.run("verify", "--sample", "25"))

    assert all(ran.code == 0 for ran in parts)
    assert sum(map(verified_bytes, parts)) >= whole
    assert all(verified_bytes(ran) < whole / 2 for ran in parts)
    flip_a_byte(sorted(site.web.glob("packages/**/*.whl"))[7])
    found = [damage(site.run("verify", "--sample", "25"))["found"] for _ in range(5)]
    assert sum(found) == 1


def test_content_younger_than_max_age_is_not_read_again(index: Index, site: Site) -> None:
    index.release("old", "1.0", size=1_000)
    site.mirror()
    site.clock.advance(days=20)
    index.release("new", "1.0", size=1_000)
    site.mirror()
    site.clock.advance(days=15)

    ran = site.run("verify", "--max-age", "30")

    assert ran.report["verified"]["projects"] == 1
    assert verified_bytes(site.run("verify", "--max-age", "30")) == 0
    assert site.run("verify", "--max-age", "10").report["verified"]["projects"] == 1


def test_a_run_continues_where_a_budget_of_bytes_ended_the_last_one(
    index: Index, site: Site
) -> None:
    for number in range(10):
        index.release(f"project-{number}", "1.0", size=5_000)
    site.mirror()
    site.clock.advance(days=1)

    counts = [
        site.run("verify", "--workers", "1", "--budget", "20 kB").report["verified"]["projects"]
        for _ in range(3)
    ]

    assert sum(counts) == 10
    assert all(count < 10 for count in counts)


def test_a_budget_of_bytes_can_end_in_the_middle_of_a_project(index: Index, site: Site) -> None:
    for number in range(150):
        index.release("large", f"{number}.0", size=1_000)
    site.mirror()
    site.clock.advance(days=1)

    first = site.run("verify", "--budget", "10 kB")
    second = site.run("verify", "--budget", "10 kB")
    rest = site.run("verify")

    sizes = [verified_bytes(ran) for ran in (first, second, rest)]
    assert all(sizes)
    assert sizes[0] < sum(sizes) / 2
    site.clock.advance(days=1)
    assert verified_bytes(site.run("verify")) == sum(sizes)


def test_a_rate_limits_the_bytes_per_second(index: Index, site: Site) -> None:
    for number in range(4):
        index.release(f"project-{number}", "1.0", size=50_000)
    site.mirror()
    began = site.clock.monotonic()

    ran = site.run("verify", "--rate", "10 kB/s")

    assert ran.code == 0
    took = site.clock.monotonic() - began
    assert verified_bytes(ran) / 10_000 == pytest.approx(took, rel=0.1)


def test_a_budget_of_time_ends_the_run(index: Index, site: Site) -> None:
    for number in range(20):
        index.release(f"project-{number:02}", "1.0", size=50_000)
    site.mirror()
    site.clock.advance(days=1)
    began = site.clock.monotonic()

    ran = site.run("verify", "--rate", "100 kB/s", "--budget", "3 s", "--workers", "1")

    assert 0 < ran.report["verified"]["projects"] < 20
    assert site.clock.monotonic() - began < 6


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--sample", "0"), "is not a share"),
        (("--max-age", "old"), "is not a number of days"),
        (("--budget", "5"), "is not a time like"),
        (("--rate", "fast"), "is not a rate"),
        (("--workers", "-1"), "--workers -1 is not between"),
        (("--ignore-unreadable", "a/b"), "a/b"),
        (("--quick", "--sample", "5"), "--quick checks everything"),
    ],
)
def test_invalid_flags_are_usage_errors(site: Site, flags: tuple[str, ...], message: str) -> None:
    ran = site.run("verify", *flags)
    assert ran.code == 2
    assert message in ran.log
    assert not site.root.exists()


# ---------------------------------------------------------------- updates


def test_an_update_fetches_pages_conditionally(
    index: Index, mirrored: Site, server: IndexServer
) -> None:
    index.release("bar", "2.0")
    status = mirrored.status
    server.forget()

    ran = mirrored.run("verify", "--json-update")

    assert ran.code == 0
    assert mirrored.filenames("bar") == ["bar-1.0-py3-none-any.whl", "bar-2.0-py3-none-any.whl"]
    assert mirrored.status == status
    asked = [each for each in server.asked if each.kind == "detail"]
    assert len(asked) == 3
    assert all("If-None-Match" in each.headers for each in asked)
    mirrored.check()


def test_an_update_repairs_documents_that_are_older_than_their_pages(
    index: Index, mirrored: Site
) -> None:
    old = (mirrored.web / "json/bar").read_bytes()
    index.release("bar", "2.0")
    mirrored.mirror()
    new = (mirrored.web / "json/bar").read_bytes()
    for path in ("json/bar", "pypi/bar/json"):
        (mirrored.web / path).write_bytes(old)

    assert damage(verify_again(mirrored)) == NO_DAMAGE
    ran = verify_again(mirrored, "--json-update")

    assert damage(ran)["repaired"] == 2
    assert (mirrored.web / "json/bar").read_bytes() == new


def test_verify_holds_the_lock(mirrored: Site) -> None:
    with FileLock(mirrored.root / ".lock"):
        assert mirrored.run("verify").code == 6


# ---------------------------------------------------------------- arbitrary damage


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_one_verify_repairs_any_damage_and_does_not_touch_intact_files(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    index = Index()
    for name in ("alpha", "beta", "gamma"):
        for version in ("1.0", "2.0"):
            index.release(name, version, sdist=version == "2.0")
    with serving(index) as server:
        site = Site(tmp_path_factory.mktemp("site"), server, json=True)
        site.mirror()
        before, times = site.tree(), site.times()
        chosen = data.draw(
            st.dictionaries(st.sampled_from(sorted(before)), st.sampled_from(sorted(DAMAGES)))
        )
        for key, kind in chosen.items():
            DAMAGES[kind](site.web / key)

        ran = site.run("verify")

        assert ran.code == 0, ran.log
        assert site.tree() == before
        untouched = times.keys() - chosen.keys()
        assert {k: v for k, v in site.times().items() if k in untouched} == {
            k: times[k] for k in untouched
        }
        assert damage(verify_again(site)) == NO_DAMAGE
