"""A file system that ignores case, or normal forms: names that it does not hold apart.

These tests mount one (FUSE), and are skipped where that is impossible.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest

from tests.support.folding_mount import CASE, NORMAL_FORM, folding_mount, why_impossible
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.server import IndexServer

pytestmark = pytest.mark.skipif(bool(why_impossible()), reason=why_impossible() or "possible")

WARNING = "ignores {} in names; of files whose names differ in nothing else only one"


@pytest.fixture(params=[(CASE,), (CASE, NORMAL_FORM)], ids="+".join)
def kinds(request: pytest.FixtureRequest) -> Collection[str]:
    found: Collection[str] = request.param
    return found


@pytest.fixture
def folding(tmp_path: Path, kinds: Collection[str], server: IndexServer) -> Iterator[Site]:
    """Return a mirror on a file system that ignores case."""
    with folding_mount(tmp_path / "disk", kinds) as mount:
        home = tmp_path / "home"
        home.mkdir()
        site = Site(home, server, directory=mount / "mirror")
        site.root = mount / "mirror"
        yield site


def add(index: Index, display: str, filename: str, *, directory: str = "shared") -> str:
    """Publish a file in a directory that files share; return its name."""
    version = filename.removesuffix(".tar.gz").rpartition("-")[2]
    index.upload(display, version, filename, path=f"/packages/{directory}/{filename}")
    return filename


def test_names_that_differ_in_case_only_are_rejected_one_by_one(
    index: Index, folding: Site, kinds: Collection[str]
) -> None:
    twins = [add(index, "foo", name) for name in ("Foo-1.0.tar.gz", "foo-1.0.tar.gz")]
    other = add(index, "foo", "foo-2.0.tar.gz")
    index.release("bar", "1.0")

    ran = folding.mirror()

    what = "case and Unicode normal form" if NORMAL_FORM in kinds else "case"
    assert ran.log.count(WARNING.format(what)) == 1
    assert ran.code == 4
    assert ran.failed == {"foo": "RejectedFiles"}
    assert f"packages/shared/{twins[0]} has its place" in ran.log
    assert folding.filenames("foo") == [twins[0], other]
    folding.check()
    before = folding.tree()
    for command in ("mirror", "verify"):
        ran = folding.run(command)
        assert folding.tree() == before
        folding.check()
    assert folding.mirror().code == 4


def test_the_file_that_came_first_keeps_its_place(index: Index, folding: Site) -> None:
    first = add(index, "foo", "foo-1.0.tar.gz")
    assert folding.mirror().code == 0
    before = folding.tree()["packages/shared/foo-1.0.tar.gz"]
    add(index, "foo", "FOO-1.0.tar.gz")

    ran = folding.mirror()

    assert ran.code == 4
    assert folding.filenames("foo") == [first]
    assert folding.tree()["packages/shared/foo-1.0.tar.gz"] == before
    folding.check()


def test_names_of_two_projects_are_held_apart(index: Index, folding: Site) -> None:
    add(index, "foo-bar", "foo-bar-1.0.tar.gz")
    add(index, "foo", "foo-1.0.tar.gz")
    assert folding.mirror().code == 0
    before = folding.tree()
    add(index, "foo", "Foo-Bar-1.0.tar.gz")

    ran = folding.mirror()

    assert ran.code == 4
    assert ran.failed == {"foo": "RejectedFiles"}
    assert folding.filenames("foo") == ["foo-1.0.tar.gz"]
    for path, content in before.items():
        assert folding.tree()[path] == content or path.startswith("simple/")
    folding.check()


def test_names_of_two_projects_in_one_run_are_held_apart(index: Index, folding: Site) -> None:
    add(index, "foo-bar", "foo-bar-1.0.tar.gz")
    add(index, "foo", "Foo-Bar-1.0.tar.gz")
    add(index, "foo", "foo-1.0.tar.gz")

    ran = folding.mirror()

    assert ran.code == 4
    assert len(ran.report["projects"]["failed"]) == 1
    folding.check()
    folding.run("verify")
    folding.check()


def test_a_file_that_is_renamed_is_replaced_in_one_run(index: Index, folding: Site) -> None:
    old = add(index, "foo", "Foo-1.0.tar.gz")
    other = add(index, "foo", "foo-2.0.tar.gz")
    assert folding.mirror().code == 0
    index.remove_file("foo", old)
    new = add(index, "foo", "foo-1.0.tar.gz")

    assert folding.mirror().code == 0
    assert folding.filenames("foo") == [new, other]
    folding.check()


def test_the_only_file_of_a_project_is_replaced_if_it_is_renamed(
    index: Index, folding: Site
) -> None:
    """The place is free when the page without the old file is published, for the same run."""
    old = add(index, "foo", "Foo-1.0.tar.gz")
    index.release("bar", "1.0")
    assert folding.mirror().code == 0
    new = add(index, "foo", "foo-1.0.tar.gz")
    index.remove_file("foo", old)

    codes = [folding.mirror().code for _ in range(2)]

    assert codes == [0, 0]
    assert folding.filenames("foo") == [new]
    assert folding.todo() == []
    folding.check()


def test_directories_that_differ_in_case_are_one_and_no_file_is_orphaned(
    index: Index, folding: Site
) -> None:
    add(index, "foo", "foo-1.0.tar.gz", directory="Shared")
    assert folding.mirror().code == 0
    add(index, "Bar", "bar-1.0.tar.gz", directory="shared")
    assert folding.mirror().code == 0
    before = folding.tree()

    ran = folding.run("verify", "--delete")

    assert ran.code == 0, ran.log
    assert folding.tree() == before
    folding.check()


def test_a_project_with_capitals_keeps_its_page(index: Index, folding: Site) -> None:
    """Its display name and its normalised name are one directory."""
    index.release("Foo", "1.0")
    folding.configure(cleanup=True)
    assert folding.mirror().code == 0
    page = folding.web / "simple/foo/index.html"
    page.parent.rename(page.parent.parent / "Foo")  # as an earlier release has made it
    index.release("Foo", "2.0")

    assert folding.mirror().code == 0
    assert folding.run("verify", "--delete").code == 0

    assert len(folding.filenames("foo")) == 2
    folding.check()


def test_forms_of_a_letter_are_held_apart_or_rejected(
    index: Index, folding: Site, kinds: Collection[str]
) -> None:
    composed = add(index, "foo", "foo-1.0-caf\N{LATIN SMALL LETTER E WITH ACUTE}.tar.gz")
    decomposed = add(index, "foo", unicodedata.normalize("NFD", composed))

    ran = folding.mirror()

    if not (folding.web / "simple/foo").exists():
        pytest.skip("names beyond ASCII are not mirrored")
    names = folding.filenames("foo")
    if NORMAL_FORM in kinds:
        assert ran.code == 4
        assert names == [decomposed]
    else:
        assert ran.code == 0, ran.log
        assert sorted(names) == sorted([composed, decomposed])


def test_a_usual_file_system_gives_no_warning(index: Index, site: Site) -> None:
    for name in ("Foo-1.0.tar.gz", "foo-1.0.tar.gz"):
        add(index, "foo", name)

    ran = site.mirror()

    assert ran.code == 0
    assert WARNING.format("case") not in ran.log
    site.check()
