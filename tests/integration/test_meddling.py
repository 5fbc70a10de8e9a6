"""``status`` and ``todo`` deleted, edited or copied: every project is checked, none downloaded."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.disks import listing
from tests.support.kills import kill_at_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran, Site

SYNCED_AGAIN = "every project is synced again, and files that are right are not downloaded"
NAMES = ("alpha", "beta", "gamma")
PAGES = [f"/simple/{name}/" for name in NAMES]


@pytest.fixture
def mirrored(index: Index, site: Site) -> Site:
    """Return a mirror of three projects that is current."""
    for name in NAMES:
        index.release(name, "1.0", sdist=True)
    assert site.mirror().code == 0
    return site


def noticed_at(ran: Ran) -> list[str]:
    """Return the log lines about an untrusted state."""
    return [
        line for line in ran.log.splitlines() if "files that are right are not downloaded" in line
    ]


def write(site: Site, **files: str | None) -> None:
    """Overwrite state files, or delete them."""
    for name, text in files.items():
        if text is None:
            (site.root / name).unlink(missing_ok=True)
        else:
            (site.root / name).write_text(text)


# ---------------------------------------------------------------- every way to change the state


@pytest.mark.parametrize(
    ("status", "todo"),
    [
        ("{head}", None),
        ("{ahead}", None),
        ("9000000000", None),
        ("{behind}", None),
        ("0", None),
        ("garbage", None),
        ("", None),
        (None, None),
        (None, "{head}\n"),
        ("{now}", "{head}\n"),
        ("{now}", "{ahead}\n"),
        ("{now}", "{head}\nbeta 9000000000\nunheard-of 5"),
        ("{now}", "garbage"),
        ("9000000000", "9000000000\nbeta 9000000000"),
    ],
)
def test_a_changed_state_is_not_trusted(
    mirrored: Site,
    index: Index,
    server: IndexServer,
    make_site: Callable[..., Site],
    status: str | None,
    todo: str | None,
) -> None:
    """Also where it would hide what happened meanwhile, or claim what will happen."""
    now, before = index.serial, set(index.files)
    index.release("beta", "2.0")
    index.release("new", "1.0")
    index.remove_file("gamma", "gamma-1.0.tar.gz")
    serials = {"now": now, "head": index.serial, "ahead": index.serial + 40, "behind": now - 2}
    write(
        mirrored,
        status=None if status is None else status.format(**serials),
        todo=None if todo is None else todo.format(**serials),
    )
    server.forget()

    ran = mirrored.mirror()

    assert ran.code == 0, ran.log
    (line,) = noticed_at(ran)
    assert SYNCED_AGAIN in line
    pages = [asked for asked in server.asked if asked.kind == "detail"]
    known = sorted(asked.path for asked in pages if "If-None-Match" in asked.headers)
    unknown = {asked.path for asked in pages if "If-None-Match" not in asked.headers}
    # A page that lost files is fetched again when the losses are applied, after everything else.
    assert known == sorted([*PAGES, "/simple/gamma/"])
    assert unknown - {"/simple/unheard-of/"} == {"/simple/new/"}
    assert set(server.paths("file")) == set(index.files) - before
    assert mirrored.status == index.serial
    assert mirrored.todo() == []
    clean = make_site()
    clean.mirror()
    assert mirrored.tree() == clean.tree()

    server.forget()
    after = mirrored.mirror()
    assert noticed_at(after) == []
    assert server.paths("detail", "list", "file") == []


def test_an_untrusted_state_changes_no_file_that_is_right(
    mirrored: Site, server: IndexServer
) -> None:
    before = mirrored.times()
    serial = mirrored.status
    write(mirrored, status="7")
    server.forget()

    ran = mirrored.mirror()

    assert ran.code == 0
    assert server.conditional() == PAGES
    assert server.paths("file", "sidecar") == []
    assert mirrored.times() == before
    assert mirrored.status == serial


def test_another_newline_at_the_end_is_not_a_change(mirrored: Site, server: IndexServer) -> None:
    """Editors add one."""
    write(mirrored, status=f"{mirrored.status}\n")
    server.forget()

    assert noticed_at(mirrored.mirror()) == []
    assert server.paths("detail") == []


def test_a_state_copied_from_another_mirror_is_not_trusted(
    mirrored: Site, index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    index.release("beta", "2.0")
    index.release("bad", "1.0")
    server.fault("/simple/bad/", faults.status(403), times=1)
    other = make_site()
    assert other.mirror().code == 4
    for name in ("status", "todo"):
        shutil.copy(other.root / name, mirrored.root / name)
    server.forget()

    ran = mirrored.mirror()

    assert ran.code == 0
    assert len(noticed_at(ran)) == 1
    assert mirrored.filenames("beta") == other.filenames("beta")
    assert ran.synced == ["bad", "beta"]
    assert mirrored.status == index.serial


def test_a_deleted_todo_loses_no_pending_project(
    mirrored: Site, index: Index, server: IndexServer
) -> None:
    index.release("bad", "1.0")
    server.fault("/simple/bad/", faults.status(403), times=2)
    assert mirrored.mirror().code == 4
    before = mirrored.status
    write(mirrored, todo=None)
    server.forget()

    ran = mirrored.mirror()

    assert ran.code == 4
    assert len(noticed_at(ran)) == 1
    assert ran.failed == {"bad": "RefusedRequest"}
    assert mirrored.status <= before
    assert mirrored.mirror().synced == ["bad"]
    assert mirrored.status == index.serial


@pytest.mark.parametrize("claim", ["status", "todo"])
def test_status_stays_below_the_changes_of_a_failing_project(
    mirrored: Site, index: Index, server: IndexServer, claim: str
) -> None:
    index.release("beta", "2.0")
    first = index.serial
    index.release("gamma", "2.0")
    broken = server.fault("/simple/beta/", faults.status(403))
    write(mirrored, **{claim: str(index.serial)})

    ran = mirrored.mirror()

    assert ran.failed == {"beta": "RefusedRequest"}
    assert mirrored.status < first
    broken.left = 0
    assert mirrored.mirror().code == 0
    assert mirrored.status == index.serial


def test_a_state_and_a_page_deleted_together_are_rebuilt(
    mirrored: Site, index: Index, server: IndexServer
) -> None:
    """To sync every project is to check its page, too."""
    write(mirrored, status=None)
    shutil.rmtree(mirrored.web / "simple/beta")
    server.forget()

    assert mirrored.mirror().code == 0

    assert server.paths("file", "sidecar") == []
    assert mirrored.filenames("beta") == ["beta-1.0-py3-none-any.whl", "beta-1.0.tar.gz"]
    mirrored.check()


def test_a_catalogue_deleted_as_well_is_rebuilt_from_the_tree(
    mirrored: Site, index: Index, server: IndexServer
) -> None:
    index.release("beta", "2.0")
    write(mirrored, status=str(index.serial), todo=None)
    (mirrored.root / "catalogue.sqlite").unlink()
    server.forget()

    ran = mirrored.mirror()

    assert ran.code == 0
    assert "adopted 3 projects" in ran.log
    assert server.paths("detail") == ["/simple/beta/"]
    (new,) = (f for f in index.projects["beta"].files.values() if f.version == "2.0")
    assert server.paths("file") == [new.path]
    assert mirrored.status == index.serial
    mirrored.check()


def test_every_project_of_a_finite_set_is_synced(
    mirrored: Site, index: Index, server: IndexServer
) -> None:
    mirrored.allow("alpha", "beta")
    mirrored.configure(max_removals=3)
    mirrored.mirror()
    write(mirrored, status="3")
    server.forget()

    assert len(noticed_at(mirrored.mirror())) == 1

    assert server.conditional() == PAGES[:2]
    assert server.paths("list") == []
    assert mirrored.status == index.serial


def test_an_index_without_a_changelog_makes_no_difference(
    index: Index, server: IndexServer, site: Site
) -> None:
    server.has_changelog = False
    for name in NAMES:
        index.release(name, "1.0")
    site.mirror()
    serial = site.status
    write(site, status=str(serial + 30))
    server.forget()

    assert len(noticed_at(site.mirror())) == 1

    assert server.conditional() == PAGES
    assert site.status == serial


def test_the_state_of_an_earlier_release_that_ran_in_between_is_not_trusted(
    mirrored: Site, index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    """It published a page and wrote its ``status``, and knew of no catalogue."""
    index.release("beta", "2.0")
    clean = make_site()
    clean.mirror()
    page = "simple/beta/index.v1_json"
    shutil.copy(clean.web / page, mirrored.web / page)
    new = next(f for f in index.projects["beta"].files.values() if f.version == "2.0")
    for suffix in ("", ".metadata"):
        target = mirrored.web / f"{new.path}{suffix}".lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(clean.web / f"{new.path}{suffix}".lstrip("/"), target)
    write(mirrored, status=f"{index.serial}")
    server.forget()

    ran = mirrored.mirror()

    assert len(noticed_at(ran)) == 1
    pages = [asked for asked in server.asked if asked.kind == "detail"]
    assert sorted(asked.path for asked in pages) == PAGES
    # The recorded ETag says nothing of a page that is not the recorded one.
    unconditional = [asked.path for asked in pages if "If-None-Match" not in asked.headers]
    assert unconditional == ["/simple/beta/"]
    assert server.paths("file") == []
    assert mirrored.tree() == clean.tree()
    assert mirrored.status == index.serial


# ---------------------------------------------------------------- until every project was synced


def test_an_interrupted_check_of_everything_starts_over(
    mirrored: Site, index: Index, server: IndexServer
) -> None:
    """An untrusted state stays untrusted after a kill, and nothing is lost."""
    serial = index.serial
    write(mirrored, status=str(serial + 50))
    assert kill_at_request(mirrored, 4)
    server.forget()

    ran = mirrored.mirror()

    assert ran.code == 0
    (line,) = noticed_at(ran)
    assert "not every project was synced since" in line
    assert server.conditional() == PAGES
    assert mirrored.status == serial


def test_a_check_of_everything_that_the_index_did_not_answer_starts_over(
    index: Index, server: IndexServer, site: Site
) -> None:
    for number in range(30):
        index.release(f"p{number:02}", "1.0", metadata=False)
    site.configure(workers=1, download_workers=1)
    site.mirror()
    serial = site.status
    write(site, status=str(serial + 50))
    silences = [
        server.fault("detail", faults.status(503)),
        server.fault("xmlrpc", faults.status(503), skip=2),  # the head, and events
        server.fault("list", faults.status(503), skip=1),
    ]
    assert site.mirror().code == 3
    assert site.status <= serial
    for silence in silences:
        silence.left = 0
    server.forget()

    ran = site.mirror()

    assert len(noticed_at(ran)) == 1
    assert len(server.conditional()) == 30
    assert site.status == serial
    assert noticed_at(site.mirror()) == []


def test_an_unreachable_index_leaves_the_state_untrusted(
    mirrored: Site, index: Index, server: IndexServer
) -> None:
    write(mirrored, status="5")
    before = listing(mirrored.root)
    away = server.fault("", faults.status(503))
    assert mirrored.mirror().code == 3
    assert mirrored.text("status") == "5"
    # A file in the directory of temporary files was made and deleted again, and the catalogue
    # has how the run ended.
    changed = {".", ".partial", "catalogue.sqlite"}
    assert {k: v for k, v in listing(mirrored.root).items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }
    away.left = 0
    server.forget()

    assert len(noticed_at(mirrored.mirror())) == 1
    assert server.conditional() == PAGES
    assert mirrored.status == index.serial


# ---------------------------------------------------------------- what does not count as a change


@pytest.mark.parametrize("number", range(1, 9))
def test_a_killed_run_does_not_count_as_a_changed_state(
    mirrored: Site, index: Index, server: IndexServer, number: int
) -> None:
    index.release("beta", "2.0")
    index.release("new", "1.0", sdist=True)
    index.remove_project("gamma")
    kill_at_request(mirrored, number)

    ran = mirrored.mirror()

    assert ran.code == 0
    assert noticed_at(ran) == []
    assert mirrored.status == index.serial


def test_a_killed_first_run_does_not_count_as_a_changed_state(
    index: Index, server: IndexServer, site: Site
) -> None:
    """The catalogue has projects then, and ``status`` does not exist yet."""
    for name in NAMES:
        index.release(name, "1.0")
    site.configure(workers=1, download_workers=1)
    server.fault("/simple/gamma/", faults.status(403))
    assert kill_at_request(site, 8)
    assert not (site.root / "status").exists()

    assert noticed_at(site.mirror()) == []


def test_a_status_deleted_after_a_kill_counts_as_a_changed_state(
    mirrored: Site, index: Index, server: IndexServer
) -> None:
    """An operator can have every project synced at any time."""
    index.release("beta", "2.0")
    assert kill_at_request(mirrored, 3)
    write(mirrored, status=None)

    ran = mirrored.mirror()

    (line,) = noticed_at(ran)
    assert f"status is not there any more; {SYNCED_AGAIN}" in line
    assert mirrored.status == index.serial


def test_a_run_with_failures_does_not_count_as_a_changed_state(
    mirrored: Site, index: Index, server: IndexServer
) -> None:
    index.release("bad", "1.0")
    server.fault("/simple/bad/", faults.status(403))
    for _ in range(3):
        ran = mirrored.mirror()
        assert ran.code == 4
        assert noticed_at(ran) == []


def test_sync_neither_changes_the_state_nor_makes_it_trusted(
    mirrored: Site, index: Index, server: IndexServer
) -> None:
    index.release("beta", "2.0")
    assert mirrored.sync("beta").synced == ["beta"]
    assert noticed_at(mirrored.mirror()) == []

    write(mirrored, status=str(index.serial + 5))
    synced = mirrored.sync("alpha")
    assert synced.code == 0
    assert noticed_at(synced) == []
    assert mirrored.status == index.serial + 5, "sync touches neither"
    assert len(noticed_at(mirrored.mirror())) == 1
    assert mirrored.status == index.serial


@pytest.mark.parametrize("question", [["plan"], ["mirror", "--dry-run"], ["status"]])
def test_a_query_writes_nothing_and_leaves_the_state_untrusted(
    mirrored: Site, server: IndexServer, question: list[str]
) -> None:
    write(mirrored, status="5")
    before = listing(mirrored.root)

    assert mirrored.ask(*question).code == 0

    assert listing(mirrored.root) == before
    assert len(noticed_at(mirrored.mirror())) == 1


def test_the_command_status_reports_an_untrusted_state(mirrored: Site, index: Index) -> None:
    assert json.loads(mirrored.ask("status", "--json").out)["state_trusted"] is True
    write(mirrored, status=str(index.serial + 5))

    assert json.loads(mirrored.ask("status", "--json").out)["state_trusted"] is False
    out = mirrored.ask("status").out
    assert "Note:      status or todo was edited; the next run checks every project" in out

    mirrored.mirror()
    assert "Note:" not in mirrored.ask("status").out


def test_a_plan_with_an_untrusted_state_downloads_nothing(
    mirrored: Site, server: IndexServer
) -> None:
    write(mirrored, status=None)

    ran = mirrored.ask("plan", "--json")

    assert SYNCED_AGAIN in ran.log
    assert json.loads(ran.out)["download"]["files"] == 0


def backup(site: Site, to: Path) -> None:
    """Copy a whole mirror with its times."""
    shutil.copytree(site.root, to, symlinks=True)


def test_a_complete_backup_is_trusted(
    mirrored: Site, index: Index, server: IndexServer, tmp_path: Path
) -> None:
    backup(mirrored, tmp_path / "backup")
    index.release("beta", "2.0")
    mirrored.mirror()
    shutil.rmtree(mirrored.root)
    (tmp_path / "backup").rename(mirrored.root)

    ran = mirrored.mirror()

    assert noticed_at(ran) == []
    assert ran.synced == ["beta"]
    assert mirrored.status == index.serial


def test_a_backup_of_the_tree_under_a_newer_catalogue_is_detected(
    mirrored: Site, index: Index, server: IndexServer, tmp_path: Path
) -> None:
    backup(mirrored, tmp_path / "backup")
    index.release("beta", "2.0")
    mirrored.mirror()
    shutil.copy(mirrored.root / "catalogue.sqlite", tmp_path / "backup")
    shutil.rmtree(mirrored.root)
    (tmp_path / "backup").rename(mirrored.root)
    server.forget()

    ran = mirrored.mirror()

    assert len(noticed_at(ran)) == 1
    (new,) = (f for f in index.projects["beta"].files.values() if f.version == "2.0")
    assert server.paths("file") == [new.path]
    assert new.filename in mirrored.filenames("beta")
    mirrored.check()
