"""What a run did, in a few lines for people, and as JSON for machines."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING

from bandersnatch.cli.log import one_line, without_credentials
from bandersnatch.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bandersnatch.mirror.report import Failure, RunReport

_SHOWN_FAILURES = 20


def summary(report: RunReport, *, dry_run: bool) -> str:
    """Return the lines that end a run."""
    lines = []
    if dry_run:
        lines.append("Dry run: this is what would be done; nothing was changed.")
    elif report.ended_by is not None:
        lines.append("Interrupted; what was done is kept, and the next run goes on from here.")
    if report.command == "verify":
        return "\n".join([*lines, *_verification(report), *_failures(report), _time(report)])
    lines += [
        (
            f"Projects: {len(report.synced)} synced, {report.unchanged} unchanged, "
            f"{len(report.failures)} failed, {len(report.removed)} removed."
        ),
        _files(report),
    ]
    if report.restored:
        lines.append(f"Restored: {_listed(sorted(report.restored))}.")
    if report.excluded:
        lines.append(f"Left out by filters: {report.excluded} projects.")
    if report.waiting:
        lines.append(f"Waiting for room on the disk: {_listed(sorted(report.waiting))}.")
    if report.absent:
        lines.append(f"Not on the index: {_listed(sorted(report.absent))}.")
    lines += _failures(report)
    if report.serial_after is not None:
        lines.append(_serials(report))
    lines.append(_time(report))
    return "\n".join(lines)


def _time(report: RunReport) -> str:
    return f"Time: {report.seconds:.1f} s."


def _verification(report: RunReport) -> list[str]:
    """Return what ``verify`` has to tell."""
    left = report.damage_left
    lines = [
        (
            f"Verified: {report.verified} projects with {report.files_verified} files, "
            f"{size(report.bytes_read)} read."
        ),
        f"Damage: {report.damage_found} found, {report.damage_repaired} repaired, {left} left.",
    ]
    lines += [
        f"Left: {one_line(f'{each.key}: {each.what}; {each.reason}')}"
        for each in report.left[:_SHOWN_FAILURES]
    ]
    if left > _SHOWN_FAILURES:
        lines.append(f"Left: and {left - _SHOWN_FAILURES} more; the log has them all.")
    if report.unknown:
        lines.append(f"Unknown, so that nothing can be removed: {_listed(sorted(report.unknown))}.")
    if report.unowned:
        moved = "moved to removed/" if report.unowned_moved else "verify --delete moves them away"
        what = f"{report.unowned} files, {size(report.unowned_bytes)}"
        lines.append(f"Belonging to no project: {what}; {moved}.")
    return lines


def _files(report: RunReport) -> str:
    if not report.files_downloaded:
        text = "Files: none had to be downloaded"
    else:
        text = f"Files: {report.files_downloaded} downloaded, {size(report.bytes_downloaded)}"
    more = [
        (report.files_restored, "restored"),
        (report.files_removed, "moved to removed/"),
        (report.files_rejected, "rejected"),
        (report.sidecars_missing, "without core metadata"),
    ]
    return ", ".join([text, *(f"{count} {what}" for count, what in more if count)]) + "."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_FAILURES
    return ", ".join(names[:_SHOWN_FAILURES]) + (f" and {more} more" if more > 0 else "")


def _failures(report: RunReport) -> list[str]:
    failures = list(report.failures.values())
    lines = [_failure(failure) for failure in failures[:_SHOWN_FAILURES]]
    if len(failures) > _SHOWN_FAILURES:
        lines.append(
            f"Failed: and {len(failures) - _SHOWN_FAILURES} more; --report lists them all."
        )
    return lines + [f"Stopped: {one_line(str(error))}" for error in report.stopped]


def _failure(failure: Failure) -> str:
    if failure.kind == "refused":
        return f"Failed: {one_line(str(failure.error))}"
    again = "retried by the next run" if failure.will_retry else "not retried"
    what = again if failure.kind == "retry" else f"{failure.kind}; {again}"
    return f"Failed: {failure.name}: {one_line(str(failure.error))} ({what})"


def _serials(report: RunReport) -> str:
    text = f"Serial: {report.serial_before} before, {report.serial_after} now"
    if report.index_serial is not None:
        text += f", {report.index_serial} on the index ({report.lag} behind)"
    return f"{text}; {report.pending} project(s) pending."


def size(count: float) -> str:
    """Return a number of bytes as people read it."""
    from humanfriendly import format_size  # noqa: PLC0415 - slow to import

    return str(format_size(count))


def how_to_serve(directory: str, project: str) -> str:
    """Return what a newcomer does next."""
    return (
        f"\nThe mirror is in {directory}. To serve it from this machine and install from it:\n"
        f"  python3 -m http.server --directory {shlex.quote(f'{directory}/web')} 8080 &\n"
        f"  pip install --index-url http://127.0.0.1:8080/simple/ {project}"
    )


def write_report(report: RunReport, path: Path, *, code: int) -> None:
    """Write the report as JSON: in one step, or, into what is no file, as a stream.

    :raises StorageError: if that fails.
    """
    told = {**report.as_dict(), "exit_code": code}
    text = without_credentials(json.dumps(told, indent=2)) + "\n"
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_text(text, encoding="utf-8")  # /dev/stdout must not be replaced
        else:
            _replace(path, text)
    except OSError as error:
        raise StorageError(str(path), error.strerror or str(error)) from error


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
