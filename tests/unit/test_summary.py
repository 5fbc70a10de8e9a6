"""The summary of a run, and the report file."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bandersnatch.cli.summary import how_to_serve, summary, write_report
from bandersnatch.errors import (
    ChangedFile,
    InsufficientSpace,
    Interruption,
    InvalidPage,
    MissingProject,
    StorageError,
    UnmirroredProject,
    UnusableIndex,
)
from bandersnatch.events import (
    CoreMetadataMissing,
    Event,
    FileDownloaded,
    FileRemoved,
    FileRestored,
    FilesRejected,
    Halted,
    ProjectAbsent,
    ProjectBlocked,
    ProjectFailed,
    ProjectRemoved,
    ProjectRestored,
    ProjectSynced,
    ProjectUnchanged,
)
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.report import RunReport
from bandersnatch.model.names import project_name
from bandersnatch.model.project import Rejection
from bandersnatch.model.serials import Serial

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)
MIRROR = "/srv/mirror"
FOO, BAR = project_name("foo"), project_name("bar")
KEY = StorageKey("web/packages/foo-1.0.tar.gz")


def ended(*events: Event, command: str = "mirror") -> RunReport:
    """Return the report of a run of two and a half seconds with these events."""
    report = RunReport(command, BEGAN)
    for event in events:
        report(event)
    report.ended = BEGAN + timedelta(seconds=2.5)
    return report


def lines(report: RunReport, *, dry_run: bool = False) -> list[str]:
    """Return the lines of the summary."""
    return summary(report, dry_run=dry_run).splitlines()


# ---------------------------------------------------------------- for people


def test_projects_that_wait_for_disk_space_are_named() -> None:
    error = InsufficientSpace(KEY, 5, free=3, floor=2)
    report = ended(Halted(error), ProjectBlocked(FOO, error), ProjectBlocked(BAR, error))

    assert lines(report) == [
        "Projects: 0 synced, 0 unchanged, 0 failed, 0 removed.",
        "Files: none had to be downloaded.",
        "Waiting for disk space: bar, foo.",
        f"Halted: {error}",
        "Time: 2.5 s.",
    ]


def test_the_summary_of_a_run_with_nothing_to_do() -> None:
    report = ended(ProjectUnchanged(FOO), ProjectUnchanged(BAR))
    report.serial_before = report.serial_after = report.index_serial = Serial(100)

    assert lines(report) == [
        "Projects: 0 synced, 2 unchanged, 0 failed, 0 removed.",
        "Files: none had to be downloaded.",
        "Serial: 100 before, 100 now, 100 on the index (0 behind); 0 project(s) pending.",
        "Time: 2.5 s.",
    ]


def test_changes_are_counted() -> None:
    report = ended(
        ProjectSynced(FOO, Serial(7)),
        ProjectRemoved(BAR),
        FileDownloaded(FOO, KEY, 1_500_000),
        FileDownloaded(FOO, KEY, 500_000),
    )
    report.serial_before, report.serial_after = Serial(90), Serial(97)
    report.index_serial, report.pending = Serial(100), 2

    assert lines(report) == [
        "Projects: 1 synced, 0 unchanged, 0 failed, 1 removed.",
        "Files: 2 downloaded, 2 MB.",
        "Serial: 90 before, 97 now, 100 on the index (3 behind); 2 project(s) pending.",
        "Time: 2.5 s.",
    ]


def test_unusual_counts_of_files_are_shown_only_if_not_zero() -> None:
    report = ended(
        FileRestored(FOO, KEY, 1),
        FileRemoved(FOO, KEY),
        FileRemoved(FOO, KEY),
        FilesRejected(FOO, tuple(Rejection(each, "no digest") for each in "abc")),
        CoreMetadataMissing(FOO, 4, "not there"),
    )

    assert lines(report)[1] == (
        "Files: none had to be downloaded, 1 restored, 2 moved to removed/, 3 rejected, "
        "4 without core metadata."
    )


def test_a_failure_has_its_reason_and_whether_it_is_retried() -> None:
    report = ended(
        ProjectFailed(FOO, MissingProject("foo"), will_retry=True),
        ProjectFailed(BAR, InvalidPage("https://example.org", "it is not JSON"), will_retry=False),
    )

    assert lines(report)[2:4] == [
        "Failed: foo: the index has no page for foo (the next run retries it)",
        "Failed: bar: https://example.org cannot be read: it is not JSON (rejected; not retried)",
    ]


def test_a_refused_project_has_only_its_reason() -> None:
    report = ended(ProjectFailed(FOO, UnmirroredProject("foo"), will_retry=False), command="delete")

    assert lines(report)[2] == "Failed: foo is not in the mirror"


def test_restored_projects_are_named() -> None:
    report = ended(ProjectRestored(FOO), ProjectRestored(BAR), command="restore")

    assert lines(report)[2] == "Restored: bar, foo."


def test_a_project_held_by_a_limit_is_shown_with_the_way_out() -> None:
    error = ChangedFile("foo", "foo-1.0.tar.gz", published="1", offered="2")
    line = lines(ended(ProjectFailed(FOO, error, will_retry=True)))[2]

    assert "run with --accept-change foo" in line
    assert line.endswith(" (held; the next run retries it)")


def test_the_number_of_listed_failures_is_limited() -> None:
    names = [project_name(f"p{number:02}") for number in range(25)]
    failures = [ProjectFailed(name, MissingProject(name), will_retry=True) for name in names]

    failed = [line for line in lines(ended(*failures)) if line.startswith("Failed: ")]

    assert len(failed) == 21
    assert failed[-1] == "Failed: 5 more; --report lists them all."
    assert "more" not in "".join(lines(ended(*failures[:20])))


def test_projects_that_are_not_on_the_index_are_named() -> None:
    assert "Not on the index: bar, foo." in lines(ended(ProjectAbsent(FOO), ProjectAbsent(BAR)))


def test_the_number_of_listed_names_is_limited() -> None:
    absent = [ProjectAbsent(project_name(f"p{number:02}")) for number in range(25)]

    [line] = [line for line in lines(ended(*absent)) if line.startswith("Not on the index")]

    assert line.endswith("p18, p19 and 5 more.")


def test_what_halted_a_part_of_the_run_is_shown() -> None:
    assert "Halted: no answer" in lines(ended(Halted(UnusableIndex("no answer"))))


def test_a_reason_cannot_show_a_password_or_forge_a_line() -> None:
    why = "no JSON\nProjects: all well.\x1b[2J"
    error = InvalidPage("https://user:secret@example.org/simple/", why)
    text = "\n".join(lines(ended(ProjectFailed(FOO, error, will_retry=True), Halted(error))))

    assert "secret" not in text
    assert "\x1b" not in text
    assert "\nProjects: all well." not in text


def test_the_summary_of_sync_has_no_serials() -> None:
    assert "Serial" not in summary(ended(command="sync"), dry_run=False)


def test_an_index_without_serials_has_no_lag() -> None:
    report = ended()
    report.serial_before = report.serial_after = Serial(0)

    assert "Serial: 0 before, 0 now; 0 project(s) pending." in lines(report)


def test_the_summary_of_a_dry_run_begins_with_a_notice() -> None:
    first = lines(ended(), dry_run=True)[0]

    assert first == "Dry run: this is what would be done; nothing was changed."


def test_the_summary_of_an_interrupted_run_begins_with_a_notice() -> None:
    report = ended()
    report.ended_by = Interruption(2)

    assert lines(report)[0].startswith("Interrupted; what was done is kept")


def test_how_to_serve_has_commands_to_serve_and_install() -> None:
    text = how_to_serve("./mirror", Path("my.conf"), "six")

    assert "The mirror is in ./mirror." in text
    assert "bandersnatch -c my.conf serve &" in text
    assert "pip install --index-url http://127.0.0.1:8080/simple/ six" in text


def test_how_to_serve_quotes_the_configuration_for_the_shell() -> None:
    text = how_to_serve("/srv/pypi", Path("/srv/it's mine; rm -rf *"), "six")
    [command] = [line for line in text.splitlines() if "serve &" in line]

    assert shlex.split(command) == [
        *("bandersnatch", "-c", "/srv/it's mine; rm -rf *", "serve", "&"),
    ]


# ---------------------------------------------------------------- for machines


def test_the_report_is_json_with_the_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report = ended(ProjectSynced(FOO, Serial(7)))
    write_report(report, path, root=MIRROR, code=4)

    assert json.loads(path.read_text()) == {**report.as_dict(), "exit_code": 4}
    assert path.read_text().endswith("}\n")


def test_a_report_replaces_the_previous_one_atomically(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    before = path.stat().st_ino

    with path.open() as reader:
        write_report(ended(), path, root=MIRROR, code=0)
        assert reader.read() == "old"

    assert path.stat().st_ino != before
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_the_report_has_no_passwords(tmp_path: Path) -> None:
    error = InvalidPage("https://user:sec@ret@example.org/simple/", "no JSON")
    write_report(
        ended(ProjectFailed(FOO, error, will_retry=True)),
        tmp_path / "report.json",
        root=MIRROR,
        code=4,
    )

    written = json.loads((tmp_path / "report.json").read_text())
    [failed] = written["projects"]["failed"]
    assert failed["reason"] == "https://***@example.org/simple/ cannot be read: no JSON"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none/report.json", "No such file or directory"),
        ("file/report.json", "Not a directory"),
        ("directory", "Is a directory"),
        (".", "Is a directory"),
    ],
)
def test_a_report_that_cannot_be_written_leaves_no_files(
    tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    before = sorted(tmp_path.iterdir())

    with pytest.raises(StorageError) as caught:
        write_report(ended(), tmp_path / name, root=MIRROR, code=0)

    assert caught.value.why == why
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("path", [".", "/", ""])
def test_a_report_path_without_a_name_is_a_storage_error(path: str) -> None:
    with pytest.raises(StorageError, match="Is a directory"):
        write_report(ended(), Path(path), root=MIRROR, code=0)


def test_a_report_is_written_through_a_link_without_replacing_it(tmp_path: Path) -> None:
    link, path = tmp_path / "link", tmp_path / "report.json"
    link.symlink_to(path)
    write_report(ended(), link, root=MIRROR, code=0)

    assert link.is_symlink()
    assert json.loads(path.read_text())["exit_code"] == 0
