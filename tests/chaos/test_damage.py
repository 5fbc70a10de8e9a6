"""Random damage to the state of a mirror, and named tests of what it has found.

The regular tests use a few seeds; the nightly ones ``DAMAGE_SEEDS`` of the environment, from
``DAMAGE_FROM`` on.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.chaos.damage import DamagedMirror

if TYPE_CHECKING:
    from tests.chaos.case import Case

FEW = 12
FIRST = int(os.environ.get("DAMAGE_FROM", str(FEW)))
SEEDS = int(os.environ.get("DAMAGE_SEEDS", "300"))


CATALOGUE = "catalogue.sqlite"
NAMES = ("alpha", "Beta.x", "gamma", "delta")


def edit(case: Case, statement: str, *values: object) -> None:
    """Change the catalogue as somebody may who knows SQLite."""
    with closing(sqlite3.connect(case.site.root / CATALOGUE)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(statement, values)
        database.commit()


ROWS = [
    "UPDATE project SET reflects = 999999 WHERE name = 'alpha'",
    "UPDATE project SET display = 'Someone' WHERE name = 'alpha'",
    "UPDATE project SET etag = 'x' WHERE name = 'alpha'",
    "UPDATE project SET name = 'alpho' WHERE name = 'alpha'",
    "UPDATE project SET name = x'ff' WHERE name = 'beta-x'",
    "UPDATE file SET hashes = 'sha256=' || hex(zeroblob(32)) WHERE project = 'alpha'",
    "UPDATE file SET path = replace(path, 'alpha', 'alphb') WHERE project = 'alpha'",
    "UPDATE file SET project = 'gamma' WHERE project = 'alpha'",
    "UPDATE file SET size = 1, modified = 1 WHERE project = 'beta-x'",
    "UPDATE file SET core_metadata = NULL WHERE project = 'beta-x'",
]


@pytest.mark.parametrize("change", [True, False], ids=["root page", "nothing"])
@pytest.mark.parametrize("statement", ROWS)
def test_case_161_a_damaged_row_of_a_project_is_never_used(
    case: Case,
    statement: str,
    change: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Neither by ``mirror``, which may render the root page, nor by ``verify``."""
    case.mirrored(*NAMES)
    before = case.site.tree()
    edit(case, statement)
    if change:
        case.index.release("delta", "2.0")
    log = case.mirror().log
    log += case.run("verify").log
    assert "damaged rows" in log
    after = case.site.tree()
    changed = {path for path, text in before.items() if after.get(path) != text}
    allowed = ("simple/delta/", "simple/index.") if change else ("nothing",)
    assert {path for path in changed if not path.startswith(allowed)} == set()
    assert case.asked("file", of="alpha") == []
    case.heals()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE marker SET text = 'x' WHERE key = 'clean'",
        "UPDATE marker SET key = 'klean' WHERE key = 'clean'",
        "UPDATE marker SET text = '' WHERE key = 'mark'",
        "UPDATE tally SET projects = 100000",
    ],
)
def test_case_161_a_damaged_marker_is_not_believed(case: Case, statement: str) -> None:
    case.mirrored(*NAMES)
    before = case.site.tree()
    edit(case, statement)
    case.mirror()
    assert case.site.tree() == before
    assert len(case.asked("file")) == 0
    case.heals()


def test_case_161_a_removed_file_leaves_though_its_row_is_damaged(case: Case) -> None:
    case.mirrored(*NAMES)
    case.index.release("alpha", "2.0")
    case.mirror()
    edit(case, "UPDATE file SET size = 7 WHERE project = 'alpha'")
    case.index.remove_file("alpha", "alpha-1.0-py3-none-any.whl")
    case.mirror()
    assert not list(case.site.web.rglob("alpha-1.0*"))
    case.heals()


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE project ADD COLUMN note TEXT", "DROP INDEX due", "DROP TRIGGER count_deleted"],
)
def test_case_162_another_schema_is_put_aside_and_its_rows_are_kept(
    case: Case, statement: str
) -> None:
    case.mirrored(*NAMES)
    before = case.site.tree()
    edit(case, statement)
    case.server.forget()
    ran = case.mirror()
    assert "the catalogue was damaged and is put aside as catalogue.sqlite.unusable" in ran.log
    assert case.site.tree() == before
    assert all("If-None-Match" in each.headers for each in case.asked("detail"))
    assert (case.site.root / f"{CATALOGUE}.unusable").exists()
    (case.site.root / f"{CATALOGUE}.unusable").unlink()
    case.heals()


@pytest.mark.parametrize("command", [["mirror"], ["verify"], ["status"], ["plan"]])
def test_case_162_a_catalogue_of_a_newer_release_is_refused(case: Case, command: list[str]) -> None:
    case.mirrored("foo")
    before = case.site.tree()
    with closing(sqlite3.connect(case.site.root / CATALOGUE)) as database:
        database.execute("PRAGMA user_version = 99")
    content = (case.site.root / CATALOGUE).read_bytes()
    ran = case.site.ask(*command)
    assert ran.code == 2, ran.log
    assert "a newer release made it" in ran.log
    assert (case.site.root / CATALOGUE).read_bytes() == content
    assert case.site.tree() == before


@pytest.mark.parametrize("part", ["web", "web without mark", "catalogue"])
def test_case_163_a_restored_part_is_noticed_and_compared(case: Case, part: str) -> None:
    """A project that was removed meanwhile leaves at once, and new ones come back."""
    root = case.site.root
    case.mirrored(*NAMES, "gone")
    shutil.copytree(root, case.site.home / "neighbour" / "backup")
    for name in NAMES[:2]:
        case.index.release(name, "2.0")
    case.index.release("new", "1.0")
    case.index.remove_project("gone")
    case.mirror()
    backup = case.site.home / "neighbour" / "backup"
    if part == "catalogue":
        shutil.copy2(backup / CATALOGUE, root / CATALOGUE)
    else:
        shutil.rmtree(root / "web")
        shutil.copytree(backup / "web", root / "web")
        if part == "web without mark":
            (root / "web/.mirror").unlink()
    shutil.rmtree(backup)
    case.server.forget()

    ran = case.mirror()

    assert "are of different moments" in ran.log
    assert not (root / "web/simple/gone").exists() or not any((root / "web/simple/gone").iterdir())
    assert not list((root / "web/packages").rglob("gone-*"))
    assert case.asked("file", of="gamma") == []
    case.heals()


def test_case_163_a_page_that_was_never_known_stays(case: Case) -> None:
    case.mirrored(*NAMES)
    (case.site.root / "web/.mirror").unlink()
    private = case.site.web / "simple/private"
    shutil.copytree(case.site.web / "simple/gamma", private)
    ran = case.site.mirror()
    assert ran.code == 0, ran.log
    assert (private / "index.html").exists()
    assert "private" not in case.site.names()
    shutil.rmtree(private)
    case.heals()


@pytest.mark.parametrize("seed", range(FEW))
def test_case_164_damaged_state_heals(case: Case, seed: int) -> None:
    DamagedMirror(case, seed).play()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_case_164_much_damaged_state_heals(case: Case, seed: int) -> None:
    DamagedMirror(case, seed).play()
