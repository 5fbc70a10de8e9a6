"""Cases 52 to 57: projects and files that are removed, hidden, restored, or changed in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.lists import listing
from tests.support import faults

if TYPE_CHECKING:
    from tests.chaos.case import Case
    from tests.support.index import File


def waiting(case: Case) -> dict[str, bytes]:
    """Return the names of the files in ``removed/``, core metadata included."""
    found = (case.site.root / "removed/packages").rglob("*")
    return {path.name: path.read_bytes() for path in found if path.is_file()}


def kept(file: File) -> dict[str, bytes]:
    """Return the names of a file and its core metadata."""
    assert file.metadata is not None
    return {file.filename: file.content, f"{file.filename}.metadata": file.metadata}


def mirrored(case: Case, method: str, *names: str) -> list[File]:
    """Mirror these projects, and return the file of each."""
    case.site.configure(api_method=method)
    files = [file for name in names for file in case.index.release(name, "1.0")]
    case.mirror()
    case.server.forget()
    return files


def test_case_052_a_removal_in_the_changelog_is_applied_in_one_run(case: Case) -> None:
    """The changelog is sufficient evidence; only absence requires a second look."""
    file, *_ = mirrored(case, "auto", "gone", "bar", "foo")
    case.index.remove_project("gone")

    ran = case.mirror()

    assert ran.report["projects"]["removed"] == ["gone"]
    assert waiting(case) == kept(file)
    case.clock.advance(days=13)
    case.mirror()
    assert waiting(case) == kept(file)
    case.clock.advance(days=2)
    case.mirror(expires=True)
    assert waiting(case) == {}
    case.heals()


def test_case_052_a_missing_project_is_removed_at_the_second_look(case: Case) -> None:
    file, *_ = mirrored(case, "simple", "gone", "bar", "foo")
    case.index.remove_project("gone")

    for minutes in (0, 5):
        case.clock.advance(minutes=minutes)
        ran = case.mirror(behind=["gone"])
        assert ran.report["projects"]["removed"] == []
        assert "gone" in case.site.names()
    case.clock.advance(minutes=6)
    ran = case.mirror()

    assert ran.report["projects"]["removed"] == ["gone"]
    assert waiting(case) == kept(file)
    case.clock.advance(days=15)
    case.mirror(expires=True)
    assert waiting(case) == {}
    case.heals()


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_052_a_project_that_only_the_list_or_the_page_lacks_stays(
    case: Case, method: str
) -> None:
    """A project is removed only if both the list and its page are missing."""
    mirrored(case, method, "foo", "bar", "baz")

    def without_foo(page: dict[str, list[dict[str, str]]]) -> None:
        page["projects"] = [each for each in page["projects"] if each["name"] != "foo"]

    for where, act in (("list", listing(without_foo)), ("detail", faults.status(404))):
        hidden = case.fault(where, act, project=None if where == "list" else "foo")
        for version in ("2.0", "3.0"):
            case.index.release("bar", f"{version}.{len(where)}")
            case.clock.advance(hours=25)
            case.mirror(behind=["foo"] if where == "list" else [])
            assert "foo" in case.site.names()
        hidden.left = 0

    case.heals()


@pytest.mark.parametrize("error", [500, 403])
def test_case_052_an_error_is_not_evidence_of_a_removal(case: Case, error: int) -> None:
    mirrored(case, "simple", "gone", "bar", "foo")
    case.index.remove_project("gone")
    case.fault("/simple/gone/", faults.status(error))

    for _ in range(3):
        case.clock.advance(hours=1)
        ran = case.mirror(exits=4)
        assert list(ran.failed) == ["gone"]
        assert "gone" in case.site.names()

    case.server.faults.clear()
    case.mirror(behind=["gone"])
    case.heals(minutes=11)


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_053_a_project_in_quarantine_keeps_an_empty_page(case: Case, method: str) -> None:
    """Its page states it, so one look is enough; it is restored the same way."""
    file, *_ = mirrored(case, method, "evil", "bar", "foo")
    case.index.quarantine("evil")

    case.mirror()

    assert case.site.page("evil")["project-status"] == {"status": "quarantined"}
    assert case.site.filenames("evil") == []
    assert waiting(case) == kept(file)
    case.index.clear_quarantine("evil")
    case.server.forget()
    case.heals()
    assert case.asked("file", "sidecar", of="evil") == []


def test_case_053_a_quarantine_without_a_status_marker_counts_as_a_removal(
    case: Case,
) -> None:
    """An index without status markers omits it from the list and answers 404."""
    file, *_ = mirrored(case, "simple", "evil", "bar", "foo")
    case.index.quarantine("evil")
    case.fault("/simple/evil/", faults.status(404))

    case.mirror(behind=["evil"])
    case.clock.advance(minutes=11)
    ran = case.mirror()

    assert ran.report["projects"]["removed"] == ["evil"]
    assert waiting(case) == kept(file)
    case.index.clear_quarantine("evil")
    case.heals()


@pytest.mark.parametrize("method", ["auto", "simple"])
@pytest.mark.parametrize("days", [0, 13])
def test_case_054_a_project_that_returns_in_time_needs_no_download(
    case: Case, method: str, days: int
) -> None:
    mirrored(case, method, "lost", "bar", "foo")
    project = case.index.projects["lost"]
    case.index.remove_project("lost")
    case.mirror(behind=["lost"])
    case.clock.advance(minutes=11)
    case.mirror()
    assert "lost" not in case.site.names()
    case.clock.advance(days=days)
    case.index.restore(project)

    ran = case.mirror()

    assert ran.report["files"]["restored"] == 2
    assert ran.report["files"]["downloaded"] == 0
    assert case.asked("file", "sidecar") == []
    case.heals()


def test_case_054_trashed_files_are_verified_before_they_are_restored(case: Case) -> None:
    """If a file was changed in the trash, it is downloaded again."""
    file, *_ = mirrored(case, "auto", "lost", "bar", "foo")
    project = case.index.projects["lost"]
    case.index.remove_project("lost")
    case.mirror()
    (case.site.root / "removed" / file.path.lstrip("/")).write_bytes(b"x" * len(file.content))
    case.index.restore(project)

    case.mirror()

    case.heals()


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_055_a_removed_file_leaves_the_page_first_and_is_trashed(
    case: Case, method: str
) -> None:
    file, *_ = mirrored(case, method, "foo", "bar")
    (new,) = case.index.release("foo", "2.0")
    case.mirror()
    case.index.remove_file("foo", file.filename)

    case.mirror()

    assert case.site.filenames("foo") == [new.filename]
    assert waiting(case) == kept(file)
    case.clock.advance(days=15)
    case.mirror(expires=True)
    assert waiting(case) == {}
    case.heals()


def test_case_056_the_removal_of_all_files_with_an_event_is_published_at_once(
    case: Case,
) -> None:
    files = mirrored(case, "auto", "foo", "bar")
    case.index.remove_file("foo", files[0].filename)

    case.mirror()

    assert case.site.filenames("foo") == []
    assert waiting(case) == kept(files[0])
    case.heals()


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_056_the_removal_of_all_files_is_accepted_at_the_second_look(
    case: Case, method: str
) -> None:
    files = mirrored(case, method, "foo", "bar")
    case.index.lose_files("foo")

    first = case.mirror(behind=["foo"])

    assert first.failed == {}
    assert "foo has no files on the index now and had 1" in first.log
    assert case.site.filenames("foo") == [files[0].filename]
    case.clock.advance(minutes=10)
    case.heals()
    assert case.site.filenames("foo") == []
    assert waiting(case) == kept(files[0])


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_056_files_that_vanish_for_a_moment_stay(case: Case, method: str) -> None:
    mirrored(case, method, "foo", "bar")
    case.index.yank("foo", "1.0")
    empty = faults.edit(
        lambda body: body[: body.index(b'"files": [') + 10] + body[body.rindex(b"], ") :]
    )
    case.fault("detail", empty, project="foo", times=1)

    first = case.mirror(behind=["foo"])

    assert first.failed == {}
    case.heals()


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_057_many_changes_in_one_run_are_normal_work(case: Case, method: str) -> None:
    """Yanks, new spellings of names, new releases: nothing is removed."""
    names = [f"Project.{number:02}" for number in range(15)]
    case.site.configure(api_method=method)
    case.mirrored(*names)
    for name in names[:5]:
        case.index.yank(name, "1.0", "a mistake")
    for name in names[5:10]:
        case.index.project(name).display = name.replace(".", "_")
        case.index.release(name.replace(".", "_"), "2.0", sdist=True)
    for name in names[10:]:
        case.index.remove_project(name)
        case.index.release(name.lower(), "2.0")
    case.index.release("new", "1.0")

    ran = case.mirror()

    assert len(ran.synced) == 16
    assert ran.report["projects"]["removed"] == []
    case.heals()


def test_case_126_pages_that_lose_most_of_their_files_at_once(case: Case) -> None:
    """Nine of ten files go; of 100 the default allows 39."""
    names = [f"p{number}" for number in range(10)]
    for name in names:
        for number in range(10):
            case.index.release(name, f"{number}.0")
    case.mirror()
    for name in names:
        files = list(case.index.project(name).files)
        case.index.lose_files(name, *files[:9], action="remove release")

    ran = case.mirror(exits=5, behind=names)

    assert ran.stopped == ["TooManyFileRemovals"]
    counts = [len(case.site.filenames(name)) for name in names]
    assert sorted(counts) == [1] * 4 + [10] * 6
    served = case.site.tree()
    assert case.mirror(exits=5, behind=names).stopped == ["TooManyFileRemovals"]
    assert case.site.tree() == served
    case.mirror("--max-file-removals", "54")
    case.heals()


def test_case_126_pages_that_lose_their_files_one_after_the_other(case: Case) -> None:
    """Runs every five minutes do not empty the mirror either."""
    for number in range(100):
        case.index.release("foo", f"{number}.0", metadata=False)
    case.mirror()
    codes: list[int] = []
    for _ in range(10):
        case.clock.advance(minutes=5)
        files = list(case.index.project("foo").files)
        case.index.lose_files("foo", *files[:9], action="remove release")
        held = len(codes) >= 4
        codes.append(case.mirror(exits=5 if held else 0, behind=["foo"] if held else []).code)

    assert codes == [0] * 4 + [5] * 6
    assert len(case.site.filenames("foo")) == 64
