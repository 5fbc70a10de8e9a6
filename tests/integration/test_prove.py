"""``prove``: what the mirror alone can install, and ``closure``: what is followed, and why."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

import pytest
from packaging.pylock import Pylock

from tests.support.closures import LINUX, WINDOWS, configuration, release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.site import Site


def graph(index: Index) -> None:
    release(index, "foo", "1.0", "bar>=1", "win; sys_platform == 'win32'", "opt; extra == 'x'")
    release(index, "bar", "1.0")
    release(index, "bar", "2.0", "baz<2")
    release(index, "baz", "1.0")
    release(index, "baz", "2.0")
    release(index, "win", "1.0")
    release(index, "opt", "1.0")


@pytest.fixture
def mirrored(index: Index, site: Site) -> Site:
    """Return a mirror of foo and of what it needs, for two environments."""
    graph(index)
    site.filter(configuration("foo", environments=[LINUX, WINDOWS]))
    assert site.mirror().code == 0
    return site


def test_a_closure_is_proved_for_each_target(mirrored: Site) -> None:
    ran = mirrored.ask("prove")

    assert ran.code == 0, ran.out
    lines = ran.out.splitlines()
    assert lines[0].startswith("passed: foo in e0: Python 3.12 on linux x86_64")
    assert lines[0].endswith("with 3 projects")
    assert lines[1].endswith("with 4 projects")
    assert lines[2] == "2 of 2 proofs passed"
    status = mirrored.ask("status", "--offline", "--json")
    proof = json.loads(status.out)["proof"]
    assert (proof["result"], proof["passed"], proof["at"]["seconds_ago"]) == ("passed", 2, 0)
    assert "Proof:     passed" in mirrored.ask("status", "--offline").out


def test_a_missing_project_is_named_with_what_to_add(mirrored: Site) -> None:
    ran = mirrored.ask("prove", "foo[x]", "--environment", "e0")

    assert ran.code == 8
    assert "failed: foo[x] in e0" in ran.out
    assert "(wanted by foo[x] 1.0): the mirror does not have opt" in ran.out
    assert "add opt to the allowlist" in ran.out


def test_a_conflict_is_told_with_its_chain(mirrored: Site) -> None:
    ran = mirrored.ask("prove", "bar", "baz>=2", "--json")

    assert ran.code == 8
    found = json.loads(ran.out)
    assert (found["passed"], found["failed"]) == (0, 2)
    text = " ".join(found["proofs"][0]["reasons"])
    assert "'baz>=2' (wanted by the question)" in text
    assert "add a version of baz" in text
    each = mirrored.ask("prove", "bar", "baz>=2", "--each", "--json")
    assert json.loads(each.out)["passed"] == 2


def test_what_is_not_known_cannot_be_proved(index: Index, site: Site) -> None:
    index.upload("foo", "1.0", "foo-1.0.tar.gz", content=b"not an archive")
    site.filter(configuration("foo", environments=[LINUX]))
    assert site.mirror().code == 0

    ran = site.ask("prove")

    assert ran.code == 8
    assert "cannot be proved: foo" in ran.out
    assert "foo-1.0.tar.gz: " in ran.out


def test_requirement_files_are_proved(mirrored: Site) -> None:
    listed = mirrored.home / "requirements.txt"
    listed.write_text("foo  # a comment\nbar>=1 --hash=sha256:00\n")

    assert mirrored.ask("prove", "-r", str(listed)).code == 0

    for text, why in (("-e .\n", "no options"), ("foo @ https://x/y\n", "not a"), ("\n", "has no")):
        listed.write_text(text)
        ran = mirrored.ask("prove", "-r", str(listed))
        assert ran.code == 2
        assert why in ran.log


def test_a_lock_file_is_written_and_proved_by_digest(mirrored: Site) -> None:
    lock = mirrored.home / "pylock.toml"

    ran = mirrored.ask("prove", "--write-lock", str(lock), "--index", "https://pypi.example.org")

    assert ran.code == 0, ran.log
    document = tomllib.loads(lock.read_text())
    packages = {str(each.name): each for each in Pylock.from_dict(document).packages}
    assert set(packages) == {"foo", "bar", "baz", "win"}
    assert str(packages["win"].marker).startswith('python_version == "3.12" and sys_platform')
    assert packages["foo"].marker is None
    (wheel,) = packages["foo"].wheels or ()
    assert str(wheel.url).startswith("https://pypi.example.org/packages/")
    assert mirrored.ask("prove", "-r", str(lock)).code == 0

    lock.write_text(lock.read_text().replace(wheel.hashes["sha256"], "0" * 64))
    ran = mirrored.ask("prove", "-r", str(lock))
    assert ran.code == 8
    assert "foo 1.0: the mirror has none of foo-1.0-py3-none-any.whl" in ran.out


def lock_of(mirrored: Site, index: Index, entry: str) -> Path:
    """Return a lock file with a good entry for foo and another one."""
    wheel = index.project("foo").files["foo-1.0-py3-none-any.whl"]
    lock = mirrored.home / "pylock.toml"
    lock.write_text(
        "lock-version = '1.0'\n[[packages]]\nname = 'foo'\nversion = '1.0'\n"
        f"wheels = [{{name = '{wheel.filename}', hashes = {{sha256 = '{wheel.sha256}'}}}}]\n"
        f"[[packages]]\nname = 'other'\nversion = '1'\n{entry}\n"
    )
    return lock


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("wheels = [{name = 'other-1-py3-none-any.whl'}]", "the lock file has no digest of it"),
        ("wheels = [{url = 'https://x/y.tar.gz', hashes = {crc = '00'}}]", "the lock file has no"),
        ("vcs = {type = 'git', url = 'https://x/y'}", "it comes from version control, not from"),
        ("archive = {url = 'https://x/y', hashes = {sha256 = '00'}}", "it comes from an archive"),
        ("source = {url = 'https://x/y.whl'}", "it comes from a URL, not from the index"),
        ("source = {type = 'git', url = 'https://x/y'}", "it comes from version control, not"),
        ("", "the lock file has no digest of it"),
    ],
)
def test_a_locked_file_that_no_mirror_can_be_asked_for_cannot_be_proved(
    mirrored: Site, index: Index, entry: str, why: str
) -> None:
    ran = mirrored.ask("prove", "-r", str(lock_of(mirrored, index, entry)))

    assert ran.code == 8
    assert ran.out.startswith("cannot be proved: ")
    assert f"other 1: {why}" in ran.out


@pytest.mark.parametrize(
    "entry",
    [
        "directory = {path = '.', editable = true}",
        "source = {virtual = '.'}",
        "source = {type = 'directory', url = '../other'}",
        """markers = 'sys_platform == "beos"' """,
    ],
)
def test_local_projects_and_other_environments_do_not_matter(
    mirrored: Site, index: Index, entry: str
) -> None:
    ran = mirrored.ask("prove", "-r", str(lock_of(mirrored, index, entry)))

    assert ran.code == 0, ran.out


@pytest.mark.parametrize(
    "entry",
    [
        r"""marker = "os_name == 'a\\x2'" """,
        r"""marker = "os_name == \"a\\x22b'\"" """,
        f"marker = '{'(' * 5_000}'",
        "marker = 7",
        f"""marker = "python_full_version < '{"9" * 10_000}'" """,
    ],
)
def test_a_hostile_marker_in_a_lock_file_decides_nothing(
    mirrored: Site, index: Index, entry: str
) -> None:
    ran = mirrored.ask("prove", "-r", str(lock_of(mirrored, index, entry)))

    assert ran.code == 8
    assert "other 1: the lock file has no digest of it" in ran.out
    assert "Traceback" not in ran.log


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            r"""[[packages]]
        name = "a\nb" """,
            "project name",
        ),
        ("[[packages]]\nversion = '1'", "project name"),
        ("packages = [1]", "an entry that is not a table"),
        ("[packages]\nname = 'foo'", "neither"),
        ("x = [" + "[" * 5_000, "is not TOML"),
    ],
)
def test_what_is_no_lock_file_is_refused(mirrored: Site, text: str, why: str) -> None:
    lock = mirrored.home / "pylock.toml"
    lock.write_text(text)

    ran = mirrored.ask("prove", "-r", str(lock))

    assert ran.code == 2
    assert why in ran.log
    assert len(ran.errors()) == 1


def test_a_lock_file_alone_is_not_written_again(mirrored: Site, index: Index) -> None:
    lock = lock_of(mirrored, index, "directory = {path = '.'}")

    ran = mirrored.ask("prove", "-r", str(lock), "--write-lock", "x", "--index", "https://x")

    assert ran.code == 2
    assert "--write-lock writes what requirements resolve to" in ran.log


def test_many_specifiers_and_many_missing_files_are_one_short_answer(
    mirrored: Site, index: Index
) -> None:
    listed, lock = mirrored.home / "requirements.txt", mirrored.home / "uv.lock"
    listed.write_text("".join(f"foo>=0.{number}\n" for number in range(3_000)))
    lock.write_text(
        "version = 1\n"
        + "".join(
            f"[[package]]\nname = 'p{number}'\nversion = '1'\n"
            f"sdist = {{url = 'p{number}-1.tar.gz', hash = 'sha256:{number:064x}'}}\n"
            for number in range(200)
        )
    )

    many = mirrored.ask("prove", "-r", str(listed))
    missing = mirrored.ask("prove", "-r", str(lock), "--environment", "e0")

    assert many.code == 0, many.out
    assert missing.code == 8
    assert "and 150 more; --json has all" in missing.out
    assert len(missing.out.splitlines()) == 53


def test_the_index_says_where_its_own_files_are(mirrored: Site, index: Index) -> None:
    lock = mirrored.home / "pylock.toml"

    assert mirrored.ask("prove", "--write-lock", str(lock), "--index", "pypi").code == 0

    assert f"{mirrored.server.url}{index.projects['foo'].files.popitem()[1].path}" in (
        lock.read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["not a requirement"], "is not a requirement"),
        (["--environment", "none"], "declares e0, e1"),
        (["-r", "/nowhere.txt"], "cannot be read"),
        (["--index", "https://x"], "--index is for --write-lock"),
        (["--write-lock", "x"], "needs the address"),
        (["--write-lock", "x", "--each"], "leave --each out"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(
    mirrored: Site, arguments: list[str], why: str
) -> None:
    ran = mirrored.ask("prove", *arguments)

    assert ran.code == 2
    assert why in ran.log


def test_a_run_can_prove_at_its_end(mirrored: Site, index: Index) -> None:
    assert mirrored.mirror("--prove").code == 0
    release(index, "bar", "3.0", "baz<1")

    ran = mirrored.mirror("--prove")

    assert ran.code == 4, "a dependency is missing"
    assert ran.report["unproved"] == 2


def test_the_closure_is_drawn(mirrored: Site) -> None:
    tree = mirrored.ask("closure", "--tree").out.splitlines()

    assert tree == [
        "foo",
        "  bar>=1",
        "    baz<2",
        "  win; sys_platform == 'win32'",
    ]
    found = json.loads(mirrored.ask("closure", "--json").out)
    assert found["roots"] == ["foo"]
    assert found["projects"]["baz"]["depth"] == 2
    assert '"foo" -> "bar" [label="bar>=1"];' in mirrored.ask("closure", "--dot").out
    assert "1 project selected, 3 followed" in mirrored.ask("closure").out
    assert mirrored.ask("closure", "--json", "foo").code == 2


def test_why_tells_the_chain(mirrored: Site) -> None:
    lines = mirrored.ask("why", "baz").out.splitlines()

    assert "baz is wanted by bar 2.0 (baz<2)" in lines
    assert "bar is wanted by foo 1.0 (bar>=1)" in lines
    assert "foo is selected by the project filters, or was synced by name" in lines
    assert any("closure drops 1" in line for line in lines)


def test_without_a_closure_there_is_nothing_to_draw(index: Index, site: Site) -> None:
    graph(index)
    site.allow("bar", "baz")
    site.mirror()

    assert site.ask("closure").code == 2
    assert site.ask("prove").code == 0, "any environment is a target"
