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


TITLES = {"valid": b"bEta-x", "invalid": b"Beta,x"}


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("statement", [ROWS[4], ROWS[8]], ids=["project", "file"])
@pytest.mark.parametrize("kind", ["changelog", "list", "finite", "day"])
def test_case_161_the_title_of_a_page_does_not_prove_a_display_name(
    case: Case, title: str, statement: str, kind: str
) -> None:
    """With damage to its row as well, the project list says the name; seed 69."""
    case.site.configure(api_method="simple" if kind == "list" else "auto")
    if kind == "finite":
        case.site.allow("alpha", "beta-x", "gamma", "delta")
    case.mirrored(*NAMES)
    edit(case, statement)
    for path in (case.site.web / "simple/beta-x").glob("*html"):
        text = path.read_bytes()
        for shown in (b"Beta.x", b"beta-x"):
            text = text.replace(b"for %b<" % shown, b"for %b<" % TITLES[title])
        assert text != path.read_bytes()
        path.write_bytes(text)
    if kind == "day":
        case.clock.advance(hours=25)
    case.mirror()
    case.run("verify")
    case.heals(minutes=11)


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


@pytest.mark.parametrize("command", ["mirror", "verify", "plan"])
def test_case_162_a_row_that_cannot_be_deleted_ends_no_run_and_heals(
    case: Case, command: str
) -> None:
    """Its key is out of order, so that SQLite does not find it; seed 10059 never ended."""
    case.mirrored(*NAMES, "gone")
    case.index.remove_project("gone")
    case.clock.advance(minutes=11)
    case.mirror()
    path = case.site.root / CATALOGUE
    content = path.read_bytes()
    key = b"removed/simple/gone/index.html"
    assert key in content
    path.write_bytes(content.replace(key, b"removed/zimple/gone/index.html"))
    case.index.release("alpha", "2.0")

    ran = case.site.ask(command)

    assert ran.code == 0, ran.log
    log = ran.log + case.mirror().log
    assert 1 <= log.count("damaged rows") <= 2
    for left in case.site.root.glob(f"{CATALOGUE}.unusable"):
        left.unlink()
    case.heals()


UNDECODABLE = {
    "message": {
        b"triggercount_deleted": b"triggerc\xc5unt_deleted",
        b"CREATE TRIGGER count_deleted": b"x" * 28,
    },
    "text": {b"(typeof(display) = 'text')": b"(typeof(display) = 't\xe5xt')"},
}
"""Where a schema has a byte that is not UTF-8: in what SQLite quotes, or in what it accepts."""


@pytest.mark.parametrize("where", UNDECODABLE)
@pytest.mark.parametrize("command", ["mirror", "verify", "status", "plan"])
def test_case_162_a_schema_that_cannot_be_decoded_is_damage(
    case: Case, command: str, where: str
) -> None:
    """Python cannot decode the message of SQLite, or the schema itself; seeds 10110, 20053."""
    case.mirrored(*NAMES)
    path = case.site.root / CATALOGUE
    content = path.read_bytes()
    for old, new in UNDECODABLE[where].items():
        assert old in content
        content = content.replace(old, new)
    path.write_bytes(content)

    ran = case.site.ask(command, *(["--offline"] if command == "status" else []))

    assert ran.code in {0, 3, 7}, ran.log
    assert "Traceback" not in ran.log
    case.mirror()
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


def test_case_162_a_generation_with_a_flipped_bit_has_a_way_out(case: Case) -> None:
    """Seed 20477: 5 became 7, which no other file contradicts, and every command ended with 2."""
    case.mirrored("foo")
    (case.site.root / "generation").write_text("7")

    ran = case.site.mirror()

    assert ran.code == 2
    assert "made by a newer release; use that release, or delete the file" in ran.log
    (case.site.root / "generation").unlink()
    case.heals()


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


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("index.v1_json", b'"core-metadata": {"sha256": "', b'"core-metadata": {"sha256": "n'),
        ("index.v1_json", b'"yanked": false', b'"yanked": true '),
        ("index.html", b"Links for beta-x", b"Links for beta-y"),
        ("index.v1_html", b"</body>", b"</bodx>"),
    ],
    ids=["digest", "yanked", "title", "end"],
)
def test_case_163_a_damaged_page_is_not_adopted_as_it_is(
    case: Case, file: str, old: bytes, new: bytes
) -> None:
    """Without the catalogue the pages say what the mirror has; seed 10005."""
    case.index.release("beta-x", "2.0", metadata=True)
    case.mirrored("alpha")
    (case.site.root / CATALOGUE).unlink()
    page = case.site.web / "simple/beta-x" / file
    content = page.read_bytes()
    start = content.index(old)
    page.write_bytes(content[:start] + new + content[start + len(new) :])
    case.server.forget()

    assert case.site.mirror().code == 0

    assert len(case.asked("detail", of="/beta-x/")) == 1
    assert case.asked("detail", of="/alpha/") == []
    case.heals(minutes=11)


def test_case_163_the_files_of_a_page_that_is_back_are_known(case: Case) -> None:
    """``verify`` published the new page of a removed project over it; seed 10120."""
    root, backup = case.site.root, case.site.home / "neighbour" / "backup"
    case.mirrored(*NAMES, "back")
    shutil.copytree(root, backup)
    case.index.remove_project("back")
    case.mirror()
    shutil.rmtree(root / "removed")
    shutil.rmtree(root / "web")
    shutil.copytree(backup / "web", root / "web")
    shutil.rmtree(backup)
    case.index.release("back", "2.0")

    ran = case.site.run("verify")

    assert ran.code in {0, 8}, ran.log
    case.mirror()
    case.heals(minutes=11)


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


@pytest.mark.parametrize("change", ["file", "project"])
@pytest.mark.parametrize(
    "parts", [(CATALOGUE, "web/.mirror"), (CATALOGUE, "web/.mirror", "status")]
)
def test_case_163_a_file_that_only_a_newer_page_names_leaves_with_it(
    case: Case, parts: tuple[str, ...], change: str
) -> None:
    """The restored mark says that the catalogue is of the moment of the page; seed 10221."""
    root, backup = case.site.root, case.site.home / "neighbour" / "backup"
    case.mirrored(*NAMES)
    shutil.copytree(root, backup)
    case.index.release("alpha", "2.0")
    case.mirror()
    for part in parts:
        shutil.copy2(backup / part, root / part)
    shutil.rmtree(backup)
    if change == "file":
        case.index.remove_file("alpha", "alpha-2.0-py3-none-any.whl")
    else:
        case.index.remove_project("alpha")

    for _ in range(2):
        assert case.site.mirror().code == 0
        case.clock.advance(minutes=11)

    assert not list(case.site.web.rglob("alpha-2.0*"))
    assert list((root / "removed").rglob("alpha-2.0*"))
    case.heals()


@pytest.mark.parametrize("seed", range(FEW))
def test_case_164_damaged_state_heals(case: Case, seed: int) -> None:
    DamagedMirror(case, seed).play()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_case_164_much_damaged_state_heals(case: Case, seed: int) -> None:
    DamagedMirror(case, seed).play()
