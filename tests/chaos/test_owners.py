"""Cases 143 to 145: projects that name the same path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.chaos.case import Case
    from tests.support.index import File

FILENAME = "foo-bar-1.0.tar.gz"
PATH = f"/packages/shared/{FILENAME}"
LOCAL = PATH[1:]


def upload(case: Case, name: str, content: bytes) -> File:
    """Publish a file of a project at the path."""
    return case.index.upload(name, "1.0", FILENAME, content=content, path=PATH)


def remove(case: Case, name: str, left: File) -> None:
    """Take the path from a project; the index serves the file of the other one there."""
    case.index.remove_file(name, FILENAME)
    case.index.files[PATH] = left


@pytest.mark.parametrize("names", [("foo", "foo-bar"), ("foo-bar", "foo")])
def test_case_143_a_shared_file_leaves_with_its_last_owner(
    case: Case, names: tuple[str, str]
) -> None:
    case.mirrored("foo", "foo-bar")
    files = [upload(case, name, b"shared") for name in names]
    case.mirror()
    assert len(case.asked("file", of=FILENAME)) <= 2

    remove(case, names[0], files[1])
    case.mirror()
    assert case.site.tree()[LOCAL] == b"shared"

    case.index.remove_project(names[1])
    case.mirror()
    assert LOCAL not in case.site.tree()
    case.heals()


@pytest.mark.parametrize(("first", "second"), [("foo", "foo-bar"), ("foo-bar", "foo")])
def test_case_144_a_path_of_another_project_is_not_overwritten(
    case: Case, first: str, second: str
) -> None:
    """Whatever the names: the first one has published it."""
    case.mirrored("foo", "foo-bar")
    file = upload(case, first, b"first")
    case.mirror()
    upload(case, second, b"second")

    for command in (("mirror",), ("mirror", "--force-check"), ("verify",), ("sync", second)):
        ran = case.site.run(*command)
        assert ran.code == (0 if command == ("verify",) else 4), ran.log
        assert case.site.tree()[LOCAL] == b"first"
        if command[0] == "mirror":
            assert ran.failed == {second: "RejectedFiles"}
            (error,) = ran.errors()
            assert f"{LOCAL} belongs to {first}, with other content" in error

    remove(case, second, file)
    case.heals()


def test_case_145_a_path_that_its_owner_leaves_is_free_in_the_same_run(case: Case) -> None:
    case.mirrored("foo", "foo-bar")
    upload(case, "foo", b"first")
    case.mirror()
    waiting = upload(case, "foo-bar", b"second")
    assert case.site.mirror().code == 4
    remove(case, "foo", waiting)

    case.mirror()

    assert case.site.tree()[LOCAL] == b"second"
    case.heals()


def test_case_145_a_removed_project_does_not_get_its_path_back(case: Case) -> None:
    case.mirrored("foo-bar", "other")
    upload(case, "foo", b"first")
    case.mirror()
    case.index.remove_project("foo")
    case.mirror()
    upload(case, "foo-bar", b"second")
    case.mirror()

    ran = case.site.run("restore", "foo")

    assert ran.failed == {"foo": "UnrestorableProject"}
    assert case.site.tree()[LOCAL] == b"second"
    case.heals()
