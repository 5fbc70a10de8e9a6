"""``verify``: what is damaged is found and repaired, and what is right is not touched."""

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

NOTHING = {"found": 0, "repaired": 0, "left": 0, "told": []}


def flip(path: Path) -> None:
    """Change one byte, and leave size and time as they were."""
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


HARMS: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "cut": truncate,
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "a link": replace_by_link,
}
THINGS = {
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


def again(site: Site, *flags: str) -> Ran:
    """Verify some time later, and see to it that everything was looked at."""
    site.clock.advance(minutes=1)
    ran = site.run("verify", *flags)
    assert ran.report["verified"]["projects"] == len(site.names())
    return ran


def damage(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = ran.report["damage"]
    return found


@pytest.fixture
def mirrored(index: Index, site: Site) -> Site:
    """Return a mirror of three projects, with everything that a project can have."""
    index.release("foo", "1.0")
    index.release("foo", "2.0", sdist=True)
    index.release("bar", "1.0")
    index.release("Baz_Qux", "0.1")
    site.configure(json=True)
    assert site.mirror().code == 0
    return site


# ---------------------------------------------------------------- found and repaired


def test_a_mirror_that_is_right_is_read_and_left_alone(mirrored: Site, server: IndexServer) -> None:
    before, names = mirrored.times(), sorted(path.name for path in mirrored.root.iterdir())
    server.forget()

    ran = mirrored.run("verify")

    assert ran.code == 0
    assert damage(ran) == NOTHING
    assert ran.report["verified"]["projects"] == 3
    assert ran.report["verified"]["files"] == 5
    assert ran.report["verified"]["bytes"] > 0
    assert ran.report["unowned"]["files"] == 0
    assert mirrored.times() == before
    assert sorted(path.name for path in mirrored.root.iterdir()) == names
    assert server.asked == []


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("thing", THINGS)
def test_every_kind_of_damage_to_every_kind_of_file_is_repaired(
    mirrored: Site, thing: str, harm: str
) -> None:
    before, times = mirrored.tree(), mirrored.times()
    path = min(mirrored.web.glob(THINGS[thing]))
    modified = path.stat().st_mtime_ns
    HARMS[harm](path)

    ran = mirrored.run("verify")

    assert ran.code == 0, ran.log
    assert (damage(ran)["found"], damage(ran)["repaired"]) == (1, 1)
    assert str(path.relative_to(mirrored.web)) in ran.log
    assert mirrored.tree() == before
    assert not path.is_symlink()
    if thing in {"file", "sidecar"}:
        assert path.stat().st_mtime_ns == modified
    touched = {key for key, time in mirrored.times().items() if times[key] != time}
    assert touched <= {str(path.relative_to(mirrored.web)), "json/foo", "pypi/foo/json"}
    assert damage(again(mirrored)) == NOTHING
    mirrored.check()


def test_fifty_flipped_fifty_missing_and_ten_broken_pages_are_found_in_one_go(
    index: Index, site: Site
) -> None:
    for number in range(60):
        for version in ("1.0", "2.0"):
            index.release(f"project-{number}", version)
    site.mirror()
    before = site.tree()
    dice = random.Random(4)
    files = sorted(site.web.glob("packages/**/*.whl"))
    harmed = dice.sample(files, 100)
    pages = dice.sample(sorted(site.web.glob("simple/*/index.*")), 10)
    for path in (*harmed[:50], *pages):
        flip(path)
    for path in harmed[50:]:
        path.unlink()

    ran = site.run("verify")

    assert ran.code == 0
    assert (damage(ran)["found"], damage(ran)["repaired"]) == (110, 110)
    assert site.tree() == before
    assert damage(again(site)) == NOTHING


def test_a_file_that_was_only_touched_is_right(mirrored: Site, server: IndexServer) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    os.utime(path, ns=(1, 1))
    server.forget()

    assert damage(mirrored.run("verify", "--quick")) == NOTHING
    assert damage(again(mirrored)) == NOTHING
    assert server.asked == []
    before = mirrored.times()
    mirrored.run("verify", "--quick")
    assert mirrored.times() == before


@pytest.mark.parametrize("thing", ["file", "sidecar", "html", "json page", "root"])
def test_a_quick_look_finds_what_sizes_and_times_tell(mirrored: Site, thing: str) -> None:
    before = mirrored.tree()
    path = min(mirrored.web.glob(THINGS[thing]))
    path.unlink()

    ran = mirrored.run("verify", "--quick")

    assert (ran.code, damage(ran)["repaired"]) == (0, 1)
    assert mirrored.tree() == before


def test_a_quick_look_reads_nothing_that_looks_right(mirrored: Site) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    flip(path)

    ran = mirrored.run("verify", "--quick")

    assert damage(ran) == NOTHING
    assert ran.report["verified"] == {"projects": 3, "files": 5, "bytes": 0}


def test_with_kept_pages_the_links_to_them_are_repaired(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.configure(keep_index_versions=2)
    site.mirror()
    before = site.tree()["simple/foo/index.html"]
    page = site.web / "simple/foo/index.html"
    assert damage(site.run("verify", "--quick")) == NOTHING
    page.unlink()

    assert damage(site.run("verify"))["repaired"] == 1

    assert page.read_bytes() == before
    assert page.is_symlink()


def test_without_release_files_only_pages_are_verified(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.configure(release_files=False, root_uri="https://files.example.org")
    site.mirror()
    flip(site.web / "simple/foo/index.html")

    ran = site.run("verify")

    assert (ran.code, damage(ran)["repaired"], ran.report["verified"]["files"]) == (0, 1, 0)


# ---------------------------------------------------------------- what cannot be repaired

ANSWERS = {
    "404": faults.status(404),
    "500": faults.status(500),
    "a login page": faults.body(b"<html><body>please log in</body></html>", "text/html"),
    "an empty object": faults.body(b"{}", "application/json"),
    "nothing": faults.body(b"", "application/json"),
    "no answer": faults.reset(),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_cannot_be_repaired_is_told_with_its_reason(
    mirrored: Site, server: IndexServer, answer: str
) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    flip(path)
    before = mirrored.tree()
    server.fault("", ANSWERS[answer])

    ran = mirrored.run("verify")

    assert ran.code == 8
    (left,) = damage(ran)["told"]
    assert left["key"].endswith(path.name)
    assert "content has sha256" in left["what"]
    assert left["reason"]
    assert "Traceback" not in ran.log
    assert mirrored.tree() == before


def test_documents_that_are_read_and_differ_are_damaged(mirrored: Site) -> None:
    right = mirrored.tree()
    copy = mirrored.web / "pypi/foo/json"
    copy.write_bytes(b" " + copy.read_bytes())

    ran = again(mirrored)

    assert (ran.code, damage(ran)["repaired"]) == (0, 1)
    assert "it is another than its copy" in ran.log
    assert mirrored.tree() == right


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (faults.status(404), "the index has no such document"),
        (faults.body(b"[]"), "no JSON object"),
        (faults.status(500), "500"),
    ],
    ids=["missing", "no document", "no answer"],
)
def test_a_document_that_the_index_does_not_give_is_left_and_told_of(
    mirrored: Site, server: IndexServer, answer: Act, why: str
) -> None:
    (mirrored.web / "json/foo").write_bytes(b"{")
    server.fault("legacy", answer)

    ran = again(mirrored)

    assert (ran.code, damage(ran)["left"]) == (8, 1)
    assert why in damage(ran)["told"][0]["reason"]


def mangled(page: Path) -> None:
    page.write_text(page.read_text().replace("foo-1.0", "other-1.0"))


def shorter(page: Path) -> None:
    """Leave out the link to one file."""
    lines = page.read_text().splitlines()
    page.write_text("\n".join(line for line in lines if "foo-1.0" not in line))


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda page: page.write_bytes(b"[]"), "cannot be read"),
        (mangled, "cannot be read"),
        (shorter, "does not say"),
        (
            lambda page: page.write_bytes(page.read_bytes().replace(b"SERIAL 1", b"SERIAL 2")),
            "does not say",
        ),
    ],
    ids=["no page", "a bad entry", "a file less", "another serial"],
)
def test_a_page_that_was_made_under_other_options_is_read_and_compared(
    mirrored: Site, harm: Callable[[Path], object], what: str
) -> None:
    """It need not be the same bytes, but it must say the same."""
    mirrored.configure(digest_name="md5")
    assert damage(again(mirrored)) == NOTHING
    harm(mirrored.web / "simple/foo/index.html")

    ran = again(mirrored)

    assert (ran.code, damage(ran)["repaired"]) == (0, 1)
    assert f"web/simple/foo/index.html: it {what}" in ran.log


@pytest.mark.parametrize("harm", ["missing", "a link", "flipped"])
@pytest.mark.parametrize("thing", ["file", "sidecar"])
def test_what_is_read_at_a_pace_is_judged_alike(mirrored: Site, thing: str, harm: str) -> None:
    right = mirrored.tree()
    (path, *_) = sorted(mirrored.web.glob(THINGS[thing]))
    HARMS[harm](path)

    mirrored.clock.advance(minutes=1)

    ran = mirrored.run("verify", "--rate", "1 MB/s")

    assert (ran.code, damage(ran)["repaired"]) == (0, 1)
    assert mirrored.tree() == right


@pytest.mark.parametrize("harm", ["missing", "a link", "flipped"])
def test_a_dry_run_at_a_pace_tells_of_damage_and_changes_nothing(mirrored: Site, harm: str) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    HARMS[harm](path)
    before = mirrored.tree()

    ran = again(mirrored, "--dry-run", "--rate", "1 MB/s")

    assert damage(ran)["found"] == 1
    assert mirrored.tree() == before


def test_an_index_that_does_not_answer_is_not_asked_for_every_project(
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

    assert (ran.code, damage(ran)["left"]) == (8, 12)
    assert len(set(server.paths("detail"))) == 5
    assert "is left alone" in damage(ran)["told"][-1]["reason"]


def test_the_next_run_of_mirror_mends_what_verify_could_not(
    mirrored: Site, server: IndexServer
) -> None:
    before = mirrored.tree()
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    flip(path)
    fault = server.fault("", faults.status(500))
    assert mirrored.run("verify").code == 8
    fault.left = 0

    assert mirrored.mirror().code == 0

    assert mirrored.tree() == before


def test_a_file_that_the_index_changed_since_is_not_taken_for_the_old_one(
    index: Index, mirrored: Site
) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/foo-1.0*.whl"))
    index.remove_file("foo", path.name)
    path.unlink()

    ran = mirrored.run("verify")

    assert ran.code == 8
    assert "does not have this file" in damage(ran)["told"][0]["reason"]
    assert mirrored.mirror().code == 0
    assert path.name not in mirrored.filenames("foo")
    assert again(mirrored).code == 0


COMMANDS = [
    ("verify",),
    ("verify", "--delete"),
    ("verify", "--json-update"),
    ("verify", "--json-update", "--delete"),
    ("verify", "--quick", "--delete", "--json-update"),
    ("verify", "--sample", "50", "--delete"),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_the_index_answers_no_good_file_goes(
    mirrored: Site, server: IndexServer, answer: str
) -> None:
    before = mirrored.tree()
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    path.unlink()
    server.fault("", ANSWERS[answer])
    dice = random.Random(7)

    for _ in range(2):
        for command in dice.sample(COMMANDS, len(COMMANDS)):
            ran = mirrored.run(*command)
            assert ran.code in {3, 4, 8}, ran.log
            after = mirrored.tree()
            gone = before.keys() - after.keys()
            assert gone == {str(path.relative_to(mirrored.web))}
            assert all(after[key] == before[key] for key in after)
            mirrored.clock.advance(hours=1)


def test_an_index_that_has_no_page_for_anybody_is_unusable(
    mirrored: Site, server: IndexServer
) -> None:
    server.fault("detail", faults.status(404))
    ran = mirrored.run("verify", "--json-update")
    assert ran.code == 3
    assert "a usable page for none of 3 projects" in ran.log


# ---------------------------------------------------------------- a dry run


def test_a_dry_run_tells_what_is_wrong_and_changes_nothing(
    mirrored: Site, server: IndexServer
) -> None:
    (path, *_) = sorted(mirrored.web.glob("packages/**/*.whl"))
    flip(path)
    (mirrored.web / "packages/stray.zip").write_bytes(b"stray")
    everything = {p: p.lstat().st_mtime_ns for p in mirrored.root.rglob("*")}
    server.forget()

    ran = mirrored.run("verify", "--dry-run", "--delete")

    assert ran.code == 8
    assert damage(ran)["found"] == 1
    assert "web/packages/stray.zip" in ran.log
    assert {p: p.lstat().st_mtime_ns for p in mirrored.root.rglob("*")} == everything
    assert server.asked == []


def test_a_dry_run_without_a_catalogue_reads_the_tree_all_the_same(mirrored: Site) -> None:
    (mirrored.root / "catalogue.sqlite").unlink()
    flip(min(mirrored.web.glob("packages/**/*.whl")))

    ran = mirrored.run("verify", "--dry-run")

    assert (ran.code, ran.report["verified"]["projects"], damage(ran)["found"]) == (8, 3, 1)
    assert not (mirrored.root / "catalogue.sqlite").exists()


# ---------------------------------------------------------------- what belongs to nobody


def strays(site: Site) -> list[str]:
    """Put things into the tree that no project has, and return where."""
    where = [
        "packages/aa/bb/cc/foo-9.9.tar.gz",
        "packages/aa/bb/cc/foo-9.9.tar.gz.metadata",
        "packages/stray.zip",
        "simple/.index.html.ab12cd",
        "simple/foo/.index.html.ab12cd",
        "simple/foo/notes.txt",
        "simple/Baz_Qux/index.html",
        "simple/b/bar/index.html",
        "json/foo.new",
        "json/.foo.x1y2",
    ]
    for each in where:
        path = site.web / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"stray")
    (site.web / "robots.txt").write_text("an operator's own")
    return sorted(where)


def test_what_belongs_to_no_project_is_told_of_and_stays(mirrored: Site) -> None:
    where = strays(mirrored)
    before = mirrored.tree()

    ran = mirrored.run("verify")

    assert ran.code == 0
    assert ran.report["unowned"] == {"files": len(where), "bytes": 5 * len(where), "moved": 0}
    assert all(f"belongs to no project: web/{each}" in ran.log for each in where)
    assert mirrored.tree() == before


def test_what_belongs_to_no_project_is_moved_away_if_that_is_asked_for(mirrored: Site) -> None:
    before = mirrored.tree()
    where = strays(mirrored)
    mirrored.configure(max_removals=20)

    ran = mirrored.run("verify", "--delete")

    assert ran.code == 0, ran.log
    assert ran.report["unowned"]["moved"] == len(where)
    assert {k: v for k, v in mirrored.tree().items() if k != "robots.txt"} == before
    assert (mirrored.web / "robots.txt").exists()
    assert all((mirrored.root / "removed" / each).read_bytes() == b"stray" for each in where)
    assert not (mirrored.web / "packages/aa/bb/cc").exists()
    assert not (mirrored.web / "simple/Baz_Qux").exists()
    mirrored.clock.advance(days=15)
    mirrored.mirror()
    assert not any(path.is_file() for path in (mirrored.root / "removed").rglob("*"))


def test_more_than_may_be_removed_is_not_removed(mirrored: Site) -> None:
    where = strays(mirrored)
    before = mirrored.tree()

    ran = mirrored.run("verify", "--delete")

    assert ran.code == 5
    assert f"{len(where)} files belong to no project" in ran.log
    assert f"max-removals = {len(where)}" in ran.log
    assert mirrored.tree() == before


def test_files_of_a_project_with_another_name_than_theirs_are_its_own(
    index: Index, site: Site
) -> None:
    index.upload("foo", "1.0", "something_else-1.0.zip")
    site.mirror()

    ran = site.run("verify", "--delete")

    assert (ran.code, ran.report["unowned"]["files"]) == (0, 0)
    site.check()


def test_a_page_without_a_record_makes_its_project_unknown_and_nothing_goes(
    mirrored: Site,
) -> None:
    strays(mirrored)
    page = mirrored.web / "simple/stranger/index.html"
    page.parent.mkdir()
    page.write_bytes(b"\xff\x00 not a page")
    mirrored.configure(max_removals=100)
    before = mirrored.tree()

    ran = mirrored.run("verify", "--delete")

    assert ran.code == 4, "the project was asked for, too"
    assert ran.report["unknown"] == ["stranger"]
    assert "--ignore-unreadable" in ran.log
    assert mirrored.tree() == before


def test_an_unknown_project_that_is_named_stops_nothing(mirrored: Site) -> None:
    page = mirrored.web / "simple/stranger/index.html"
    page.parent.mkdir()
    page.write_bytes(b"\xff\x00 not a page")
    mirrored.allow("foo", "bar", "Baz_Qux")

    assert mirrored.run("verify", "--delete").code == 8
    assert page.exists()
    assert mirrored.run("verify", "--delete", "--ignore-unreadable", "Stranger").code == 0
    assert not page.parent.exists()


def test_an_unknown_project_that_the_index_has_becomes_known(index: Index, mirrored: Site) -> None:
    index.release("stranger", "1.0")
    page = mirrored.web / "simple/stranger/index.html"
    page.parent.mkdir()
    page.write_bytes(b"\xff\x00 not a page")

    ran = mirrored.run("verify", "--delete")

    assert (ran.code, ran.report["unknown"]) == (0, [])
    assert mirrored.filenames("stranger") == ["stranger-1.0-py3-none-any.whl"]
    assert "stranger" in mirrored.names()
    mirrored.check()


def test_an_unreadable_document_without_a_project_makes_it_unknown(mirrored: Site) -> None:
    document = mirrored.web / "json/stranger"
    document.write_bytes(b"{")
    mirrored.allow("foo", "bar", "Baz_Qux")
    assert mirrored.run("verify", "--delete").code == 8
    assert document.exists()


def test_a_document_that_can_be_read_makes_no_project_unknown(mirrored: Site) -> None:
    for where in ("json/stranger", "pypi/stranger/json"):
        path = mirrored.web / where
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"info": {"name": "stranger"}, "releases": {}}')

    ran = mirrored.run("verify", "--delete")

    assert (ran.code, ran.report["unknown"], ran.report["unowned"]["moved"]) == (0, [], 2)
    mirrored.check()


def test_thousands_of_things_that_belong_to_nobody_are_moved(mirrored: Site) -> None:
    mirrored.configure(max_removals=5000)
    folder = mirrored.web / "packages/aa/bb/cc"
    folder.mkdir(parents=True)
    for number in range(2100):
        (folder / f"foo-0.{number}.zip").touch()

    ran = mirrored.run("verify", "--delete")

    assert (ran.code, ran.report["unowned"]["moved"]) == (0, 2100)
    assert len(list((mirrored.root / "removed/packages/aa/bb/cc").iterdir())) == 2100
    mirrored.check()


# ---------------------------------------------------------------- a part at a time


def verified_bytes(ran: Ran) -> int:
    read: int = ran.report["verified"]["bytes"]
    return read


def test_a_sample_reads_what_was_not_read_for_longest(index: Index, site: Site) -> None:
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
    flip(sorted(site.web.glob("packages/**/*.whl"))[7])
    found = [damage(site.run("verify", "--sample", "25"))["found"] for _ in range(5)]
    assert sum(found) == 1


def test_what_was_read_lately_is_not_read_again(index: Index, site: Site) -> None:
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


def test_a_budget_of_bytes_ends_the_run_and_the_next_goes_on(index: Index, site: Site) -> None:
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


def test_a_project_with_many_files_is_read_in_parts(index: Index, site: Site) -> None:
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


def test_a_rate_is_kept(index: Index, site: Site) -> None:
    for number in range(4):
        index.release(f"project-{number}", "1.0", size=50_000)
    site.mirror()
    began = site.clock.monotonic()

    ran = site.run("verify", "--rate", "10 kB/s")

    assert ran.code == 0
    took = site.clock.monotonic() - began
    assert verified_bytes(ran) / 10_000 == pytest.approx(took, rel=0.1)


def test_a_budget_of_time_is_kept(index: Index, site: Site) -> None:
    for number in range(20):
        index.release(f"project-{number:02}", "1.0", size=50_000)
    site.mirror()
    site.clock.advance(days=1)
    began = site.clock.monotonic()

    ran = site.run("verify", "--rate", "100 kB/s", "--budget", "3 s", "--workers", "1")

    assert 0 < ran.report["verified"]["projects"] < 20
    assert site.clock.monotonic() - began < 6


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--sample", "0"), "is not a share"),
        (("--max-age", "old"), "is not a number of days"),
        (("--budget", "5"), "is not a time like"),
        (("--rate", "fast"), "is not a rate"),
        (("--workers", "-1"), "--workers -1 is not between"),
        (("--ignore-unreadable", "a/b"), "a/b"),
        (("--quick", "--sample", "5"), "--quick looks at everything"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    site: Site, flags: tuple[str, ...], said: str
) -> None:
    ran = site.run("verify", *flags)
    assert ran.code == 2
    assert said in ran.log
    assert not site.root.exists()


# ---------------------------------------------------------------- pages as the index has them


def test_an_update_brings_pages_up_to_date_conditionally(
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


def test_an_update_refreshes_documents_that_are_older_than_their_pages(
    index: Index, mirrored: Site
) -> None:
    old = (mirrored.web / "json/bar").read_bytes()
    index.release("bar", "2.0")
    mirrored.mirror()
    new = (mirrored.web / "json/bar").read_bytes()
    for path in ("json/bar", "pypi/bar/json"):
        (mirrored.web / path).write_bytes(old)

    assert damage(again(mirrored)) == NOTHING
    ran = again(mirrored, "--json-update")

    assert damage(ran)["repaired"] == 2
    assert (mirrored.web / "json/bar").read_bytes() == new


def test_verify_holds_the_lock(mirrored: Site) -> None:
    with FileLock(mirrored.root / ".lock"):
        assert mirrored.run("verify").code == 6


# ---------------------------------------------------------------- any damage at all


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_after_one_verify_the_tree_is_a_clean_one_and_nothing_right_was_touched(
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
            st.dictionaries(st.sampled_from(sorted(before)), st.sampled_from(sorted(HARMS)))
        )
        for key, harm in chosen.items():
            HARMS[harm](site.web / key)

        ran = site.run("verify")

        assert ran.code == 0, ran.log
        assert site.tree() == before
        untouched = times.keys() - chosen.keys()
        assert {k: v for k, v in site.times().items() if k in untouched} == {
            k: times[k] for k in untouched
        }
        assert damage(again(site)) == NOTHING
