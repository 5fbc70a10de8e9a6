"""Cases 114 to 121, 124 and 125: commands, configurations, clocks, old trees, reports, health."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.disks import listing
from tests.support.system_calls import watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.case import Case

# ---------------------------------------------------------------- verify


def stray(case: Case, count: int = 1) -> list[Path]:
    """Add orphaned files to the tree."""
    paths = [case.site.web / f"packages/zz/stray-{number}.whl" for number in range(count)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("stray")
    return paths


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:50]),
    "rubbish": lambda path: path.write_bytes(b"\xff\x00"),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_case_114_nothing_counts_as_orphaned_while_a_page_is_unreadable(
    case: Case, kind: str
) -> None:
    """The operator can name the project instead; the index is unreachable."""
    case.mirrored("foo", "bar")
    strays = stray(case)
    (case.site.root / "catalogue.sqlite").unlink()
    for page in (case.site.web / "simple/foo").iterdir():
        UNREADABLE[kind](page)
    case.fault("", faults.status(503))
    before = {path for path in case.site.tree() if path.startswith("packages/")}

    ran = case.site.run("verify", "--delete")

    assert ran.code in {4, 8}, ran.log
    assert ran.report["unreadable"] == ["foo"]
    assert ran.report["orphans"]["moved"] == 0
    assert before <= case.site.tree().keys()
    for path in strays:
        path.unlink()
    strays[0].parent.rmdir()
    case.site.server.faults.clear()
    case.site.mirror("--force-check")
    case.heals()


ANSWERS = {
    "404": faults.status(404),
    "500": faults.status(500),
    "a page for people": faults.body(b"<html>Log in</html>", "text/html"),
    "nothing in it": faults.body(b"{}"),
    "no files": faults.document(lambda page: page.update(files=[])),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_case_115_an_update_from_an_unusable_index_removes_nothing(case: Case, kind: str) -> None:
    case.server.has_etags = False
    case.mirrored("foo", "bar", "baz")
    before = case.site.tree()
    case.fault("detail", ANSWERS[kind])

    ran = case.site.run("verify", "--json-update", "--delete")

    assert ran.code == 3, ran.log
    assert ran.report["orphans"]["moved"] == 0
    assert case.site.tree() == before
    case.heals()


def test_case_116_a_removal_beyond_the_limit_is_refused(case: Case) -> None:
    """The files are named in the log and the report."""
    case.mirrored("foo", "bar")
    strays = stray(case, 7)
    before = case.site.tree()

    ran = case.site.run("verify", "--delete")

    assert ran.code == 5
    assert "7 files belong to no project and one run may move" in ran.log
    assert "set max-removals = 7 for one run" in ran.log
    assert case.site.tree() == before
    for path in strays:
        path.unlink()
    strays[0].parent.rmdir()
    case.heals()


DRY = [
    ["mirror", "--dry-run"],
    ["mirror", "--dry-run", "--force-check"],
    ["verify", "--dry-run"],
    ["verify", "--dry-run", "--delete", "--json-update"],
    ["delete", "--dry-run", "--until-next-change", "foo"],
    ["restore", "--dry-run", "gone"],
    ["status"],
    ["why", "foo"],
]


@pytest.mark.parametrize("command", DRY, ids=" ".join)
def test_case_117_a_dry_run_makes_no_changing_system_call(case: Case, command: list[str]) -> None:
    """Checked by system calls, opening files for writing included."""
    case.mirrored("foo", "bar", "gone")
    case.site.run("delete", "--until-next-change", "gone")
    case.index.release("foo", "2.0")
    stray(case)
    (case.site.web / "simple/bar/index.html").unlink()
    before = listing(case.site.root)

    program = [sys.executable, "-m", "bandersnatch", "-c", str(case.site.config), *command]
    watched = watch(program, case.site.root)

    assert watched.code in {0, 4, 8}, watched.log
    assert [str(call) for call in watched.calls] == []
    assert listing(case.site.root) == before


# ---------------------------------------------------------------- configurations

MISTAKES = {
    "an unknown option": ("[mirror]\nworkres = 3\n", "did you mean 'workers'?"),
    "a misspelt section": ("[plugin]\nenabled = all\n", "did you mean 'plugins'?"),
    "a misspelt filter": (
        "[plugins]\nenabled = alowlist_project\n",
        "did you mean 'allowlist_project'?",
    ),
    "an empty list": (
        "[plugins]\nenabled = allowlist_project\n[allowlist]\npackages =\n",
        "the list is empty",
    ),
    "no such file": (
        "[plugins]\nenabled = allowlist_project\n[allowlist]\npackages-file = nowhere.txt\n",
        "nowhere.txt",
    ),
    "no expression": (
        "[plugins]\nenabled = regex_project\n[filter_regex]\npackages = foo(\n",
        "is not a regular expression",
    ),
    "twice": ("[mirror]\nworkers = 3\nworkers = 4\n", "workers"),
    "a lone %": ("[mirror]\nuser-agent-comment = 100%\n", "%"),
    "a number that is none": ("[mirror]\nworkers = three\n", "three"),
    "no option": ("[mirror]\nthis is no option\n", "line"),
}


@pytest.mark.parametrize("kind", MISTAKES)
@pytest.mark.parametrize("command", [["mirror"], ["verify"], ["sync", "foo"]])
def test_case_118_a_mistake_in_the_configuration_is_reported_before_any_change(
    case: Case, command: list[str], kind: str
) -> None:
    text, told = MISTAKES[kind]
    case.index.release("foo", "1.0")
    lines = case.site.config.read_text()
    own, _, rest = text.partition("\n")
    wrong = lines.replace("[mirror]\n", text, 1) if own == "[mirror]" else f"{lines}{own}\n{rest}"
    case.site.config.write_text(wrong)

    ran = case.site.ask(*command)

    assert ran.code == 2, ran.log
    assert any(told in line for line in ran.errors()), ran.log
    assert "Traceback" not in ran.log
    assert case.server.asked == []
    assert not case.site.root.exists()


def test_case_118_a_world_readable_file_with_a_password_is_refused(case: Case) -> None:
    url = case.server.url.replace("//", "//me:sesame@")
    case.site.configure(master=url)
    case.site.config.chmod(0o644)

    ran = case.site.ask("mirror")

    assert ran.code == 2
    assert "sesame" not in ran.log
    assert "chmod o=" in ran.log
    assert case.server.asked == []


def test_case_118_a_file_of_many_megabytes_is_read(case: Case) -> None:
    """Lists can be long."""
    case.index.release("foo", "1.0")
    names = "\n".join(f"    name-{number}" for number in range(300_000))
    case.site.filter(f"[plugins]\nenabled = blocklist_project\n[blocklist]\npackages =\n{names}\n")
    assert case.site.config.stat().st_size > 4_000_000

    assert case.site.ask("config", "check").code == 0


def test_case_119_only_the_new_projects_of_a_longer_list_are_fetched(case: Case) -> None:
    for name in ("foo", "bar", "baz"):
        case.index.release(name, "1.0")
    case.site.allow("foo", "bar")
    case.mirror()
    case.server.forget()
    case.site.allow("foo", "bar", "baz")

    ran = case.mirror()

    assert ran.synced == ["baz"]
    assert [each.path for each in case.asked("file")] == [
        file.path for file in case.index.projects["baz"].files.values()
    ]
    case.heals()


def test_case_119_a_shorter_list_removes_no_more_than_the_limit(case: Case) -> None:
    names = [f"p{number}" for number in range(12)]
    for name in names:
        case.index.release(name, "1.0")
    case.site.allow(*names)
    case.mirror()
    case.site.allow(*names[:2])

    ran = case.mirror(exits=5)
    assert case.site.names() == sorted(names)
    assert "run mirror with --max-removals 10 once" in ran.log

    case.site.configure(max_removals=10)
    case.mirror(removals=10)
    assert case.site.names() == names[:2]
    case.heals()


# ---------------------------------------------------------------- clocks


def waiting(case: Case) -> list[Path]:
    """Return the files in ``removed/``."""
    return sorted(path for path in (case.site.root / "removed").rglob("*.whl"))


@pytest.mark.parametrize("years", [10, -50], ids=["ahead", "behind"])
def test_case_120_nothing_is_purged_when_the_clock_jumps_for_one_run(
    case: Case, years: int
) -> None:
    """A jump of up to 90 days cannot be told from a pause between runs.

    Pages written while the clock was behind lack upload times until they change again.
    """
    case.mirrored("foo", "bar", "gone")
    case.index.remove_project("gone")
    case.mirror()
    kept, jump = waiting(case), timedelta(days=365 * years)
    assert kept
    case.index.release("foo", "2.0")

    right = case.clock.start
    case.clock.start = right + jump
    ran = case.site.mirror()
    assert ran.code == 0, ran.log
    assert waiting(case) == kept
    case.site.check()

    case.clock.start = right
    assert case.site.mirror().code == 0
    assert waiting(case) == kept
    case.index.release("foo", "3.0")
    case.heals(hours=25)


def test_case_120_a_long_pause_delays_the_purge_by_one_run(case: Case) -> None:
    case.mirrored("foo", "bar", "gone")
    case.index.remove_project("gone")
    case.mirror()
    case.clock.advance(days=100)

    ran = case.mirror()
    assert waiting(case)
    assert "by the clock the last run was 100 days ago" in ran.log

    case.mirror(expires=True)
    assert waiting(case) == []


def test_case_120_files_verified_while_the_clock_was_ahead_are_verified_again(
    case: Case,
) -> None:
    case.mirrored("foo", "bar")
    right = case.clock.start
    case.clock.start = right + timedelta(days=3650)
    case.site.run("verify")
    case.clock.start = right
    case.clock.advance(hours=1)
    (path,) = case.site.web.rglob("foo-1.0*.whl")
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(content[:-1] + b"?")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    for flags in (["--max-age", "30"], []):
        ran = case.site.run("verify", *flags)
        assert ran.code == 0
        assert ran.report["verified"]["projects"] == 2

    assert path.read_bytes() == content
    case.heals()


def test_case_120_a_time_zone_changes_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.mirrored("foo")
    times = case.site.times()
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    case.index.release("bar", "1.0")

    case.process("mirror")

    assert {path: case.site.times()[path] for path in times if "foo" in path} == {
        path: told for path, told in times.items() if "foo" in path
    }
    case.heals()


# ---------------------------------------------------------------- old trees, lists, reports


def test_case_121_the_tree_of_an_earlier_release_is_adopted_without_a_download(
    case: Case,
) -> None:
    """With its leftovers, which ``verify`` reports, and trashes if requested."""
    case.site.configure(json=True)
    case.mirrored("foo", "bar")
    for name in ("catalogue.sqlite", "generation"):
        (case.site.root / name).unlink()
    (case.site.root / "generation").write_text("5")
    (case.site.root / "todo").write_text(f"{case.site.status}\nfoo 1\n")
    left = case.site.web / "packages/aa/.foo-1.0.tar.gz.a1b2c3"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("half of it")
    before = case.site.tree()

    ran = case.site.mirror()

    assert ran.code == 0
    assert case.asked("file", "sidecar") == []
    assert {**before, **case.site.tree()} == case.site.tree()
    told = case.site.run("verify")
    assert told.report["orphans"]["files"] == 1
    assert ".foo-1.0.tar.gz.a1b2c3" in told.log
    left.unlink()
    left.parent.rmdir()
    case.heals()


UNWRITABLE = ["/dev/full", "nowhere/report.json", "."]


@pytest.mark.parametrize("target", UNWRITABLE)
@pytest.mark.parametrize("code", [0, 3, 4, 5])
def test_case_124_an_unwritable_report_does_not_change_the_exit_status(
    case: Case, code: int, target: str
) -> None:
    case.site.configure(api_method="simple")
    case.mirrored("foo", "bar")
    case.index.release("foo", "2.0")
    if code == 3:
        case.fault("list", faults.status(503))
    elif code == 4:
        case.fault("detail", faults.body(b"[]"), project="foo")
    elif code == 5:
        (had,) = (f for f in case.index.projects["bar"].files.values())
        case.index.upload("bar", "1.0", had.filename, content=b"another")
    place = target if target.startswith("/") else str(case.site.home / target)

    ran = case.site.ask("mirror", "--report", place)

    assert ran.code == code
    assert "WARNING: the report could not be written: " in ran.log
    assert "Traceback" not in ran.log
    case.site.check()


def test_case_125_the_health_check_reports_a_stuck_mirror(case: Case) -> None:
    """A mirror is stuck without a run, with failing projects or refused removals, for too long."""
    case.mirrored(*(f"p{number}" for number in range(8)))
    check = ["status", "--offline", "--json", "--max-age", "1 d"]
    assert case.site.ask(*check).code == 0

    def stuck(run: Callable[[], object]) -> None:
        case.clock.advance(hours=25)
        run()
        ran = case.site.ask(*check)
        case.figures.count("G17", ran.code != 8)
        assert ran.code == 8
        assert json.loads(ran.out)

    stuck(lambda: None)
    case.index.release("p0", "2.0")
    case.fault("detail", faults.status(500), project="p0")
    stuck(case.site.mirror)
    case.server.faults.clear()
    assert case.site.mirror().code == 0
    assert case.site.ask(*check).code == 0
    for number in range(1, 8):
        case.index.remove_project(f"p{number}")
    stuck(case.site.mirror)


def test_case_125_the_health_check_reports_a_lagging_mirror(case: Case) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    case.clock.advance(hours=3)

    assert case.site.ask("status", "--max-lag", "2 h").code == 8
    case.mirror()
    assert case.site.ask("status", "--max-lag", "2 h").code == 0
    case.heals()
