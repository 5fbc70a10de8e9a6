"""The end of a run: a summary of a few lines for people, and the report file."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from bandersnatch.cli.text import listed, one_line, size, without_credentials
from bandersnatch.storage.output import OutputFile

if TYPE_CHECKING:
    from pathlib import Path

    from bandersnatch.mirror.report import Failure, RunReport

_MOST_LISTED = 20


def summary(report: RunReport, *, dry_run: bool) -> str:
    """Return the summary of a run."""
    lines = []
    if dry_run:
        lines.append("Dry run: this is what would be done; nothing was changed.")
    elif report.ended_by is not None:
        lines.append("Interrupted; what was done is kept, and the next run continues from here.")
    if report.command == "verify":
        lines += [*_verification(report), *_failures(report)]
    else:
        lines += [*_projects(report), *_failures(report)]
        if report.serial_after is not None:
            lines.append(_serials(report))
    return "\n".join([*lines, f"Time: {report.seconds:.1f} s."])


def _projects(report: RunReport) -> list[str]:
    lines = [
        (
            f"Projects: {len(report.synced)} synced, {report.unchanged} unchanged, "
            f"{len(report.failures)} failed, {len(report.removed)} removed."
        ),
        _files(report),
    ]
    if report.swept:
        swept, found = report.swept, report.found_by_sweep
        lines.append(f"Sweep: {swept} unchanged pages checked, found by the sweep: {found}.")
    if report.restored:
        lines.append(f"Restored: {listed(sorted(report.restored), _MOST_LISTED)}.")
    if report.excluded:
        lines.append(f"Excluded by filters: {report.excluded} projects.")
    if report.blocked:
        lines.append(f"Waiting for disk space: {listed(sorted(report.blocked), _MOST_LISTED)}.")
    if report.absent:
        lines.append(f"Not on the index: {listed(sorted(report.absent), _MOST_LISTED)}.")
    return lines


def _files(report: RunReport) -> str:
    if not report.files_downloaded:
        text = "Files: none had to be downloaded"
    else:
        text = f"Files: {report.files_downloaded} downloaded, {size(report.bytes_downloaded)}"
    more = [
        (report.files_restored, "restored"),
        (report.files_removed, "moved to removed/"),
        (len(report.rejected), "rejected"),
        (len(report.ignored), "rejected and ignored"),
        (report.core_metadata_missing, "without core metadata"),
        (report.download_mirror_failures, "failed at the download-mirror"),
    ]
    return ", ".join([text, *(f"{count} {what}" for count, what in more if count)]) + "."


def _verification(report: RunReport) -> list[str]:
    unrepaired = report.damage_unrepaired
    lines = [
        (
            f"Verified: {report.projects_verified} projects with {report.files_verified} files, "
            f"{size(report.bytes_verified)} read."
        ),
        (
            f"Damage: {report.damage_found} found, {report.damage_repaired} repaired, "
            f"{unrepaired} not repaired."
        ),
    ]
    lines += [
        f"Not repaired: {one_line(f'{each.key}: {each.what}; {each.reason}')}"
        for each in report.repairs_failed[:_MOST_LISTED]
    ]
    if unrepaired > _MOST_LISTED:
        lines.append(f"Not repaired: {unrepaired - _MOST_LISTED} more; the log has them all.")
    if report.unreadable:
        names = listed(sorted(report.unreadable), _MOST_LISTED)
        lines.append(f"Unreadable, so that no orphan can be removed: {names}.")
    if report.orphans:
        moved = "moved to removed/" if report.orphans_moved else "verify --delete moves them away"
        what = f"{report.orphans} files, {size(report.orphans_bytes)}"
        lines.append(f"Belonging to no project: {what}; {moved}.")
    return lines


def _failures(report: RunReport) -> list[str]:
    failures = list(report.failures.values())
    lines = [_failure(failure) for failure in failures[:_MOST_LISTED]]
    if len(failures) > _MOST_LISTED:
        lines.append(f"Failed: {len(failures) - _MOST_LISTED} more; --report lists them all.")
    return lines + [f"Halted: {one_line(str(error))}" for error in report.halted]


def _failure(failure: Failure) -> str:
    if failure.kind == "refused":
        return f"Failed: {one_line(str(failure.error))}"
    again = "the next run retries it" if failure.will_retry else "not retried"
    what = again if failure.kind == "retry" else f"{failure.kind}; {again}"
    return f"Failed: {failure.name}: {one_line(str(failure.error))} ({what})"


def _serials(report: RunReport) -> str:
    text = f"Serial: {report.serial_before} before, {report.serial_after} now"
    if report.index_serial is not None:
        text += f", {report.index_serial} on the index ({report.lag} behind)"
    return f"{text}; {report.pending} project(s) pending."


def how_to_serve(directory: str, config: Path, project: str, mount_point: str | None = None) -> str:
    """Return the commands that serve a new mirror and install from it.

    ``config`` is the configuration file; ``mount_point`` is the directory of the mirror that is
    one, if any.
    """
    advice = ""
    if mount_point is not None:
        advice = (
            f"\n{mount_point} is a mount point. Set must-exist = true in [mirror], so that no run "
            "begins a new mirror while nothing is mounted there."
        )
    return (
        f"\nThe mirror is in {directory}. To serve it from this machine and install from it:\n"
        f"  bandersnatch -c {shlex.quote(str(config))} serve &\n"
        f"  pip install --index-url http://127.0.0.1:8080/simple/ {project}{advice}"
    )


def write_report(report: RunReport, path: Path, *, root: str, code: int) -> None:
    """Write the report as JSON; ``root`` is the mirror's directory.

    :raises StorageError: if that fails.
    """
    text = json.dumps({**report.as_dict(), "exit_code": code}, indent=2)
    with OutputFile(str(path), root) as file:
        file.replace(f"{without_credentials(text)}\n".encode())
