"""Exit codes; ``docs/reference/command-line.md`` says what each means to an operator."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from bandersnatch import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bandersnatch.mirror.report import RunReport


class ExitCode(IntEnum):
    """The result of a command; after a signal it is 128 plus the signal's number."""

    OK = 0
    BUG = 1
    """Also: the configuration file did not exist, and an example was written."""
    USAGE = 2
    INDEX = 3
    PARTIAL = 4
    SAFETY = 5
    LOCKED = 6
    STORAGE = 7
    DAMAGE = 8


_PRECEDENCE = (
    ExitCode.BUG,
    ExitCode.LOCKED,
    ExitCode.STORAGE,
    ExitCode.SAFETY,
    ExitCode.INDEX,
    ExitCode.PARTIAL,
    ExitCode.DAMAGE,
)


def most_severe(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the most severe of the codes that apply, ``OK`` if there are none."""
    found = set(codes)
    return next((code for code in _PRECEDENCE if code in found), ExitCode.OK)


def code_for_error(error: errors.BandersnatchError) -> int:
    """Return the code of a command that an error ended."""
    if isinstance(error, errors.Interruption):
        return 128 + error.signal
    for kind, code in (
        (errors.ConfigError, ExitCode.USAGE),
        (errors.UsageError, ExitCode.USAGE),
        (errors.CorruptState, ExitCode.USAGE),
        (errors.LockConflict, ExitCode.LOCKED),
        (errors.LostLock, ExitCode.LOCKED),
        (errors.StorageError, ExitCode.STORAGE),
        (errors.SafetyStop, ExitCode.SAFETY),
        (errors.UpstreamError, ExitCode.INDEX),
        (errors.ClosedHours, ExitCode.PARTIAL),
    ):
        if isinstance(error, kind):
            return code
    return ExitCode.BUG


def code_for_report(report: RunReport) -> ExitCode:
    """Return the code of a run that no error ended."""
    codes = [_code_for_halt(error) for error in report.halted]
    codes += [_code_for_failure(failure.error) for failure in report.failures.values()]
    if report.damage_unrepaired or report.unreadable or report.unproved:
        codes.append(ExitCode.DAMAGE)
    return most_severe(codes)


def _code_for_failure(error: errors.BandersnatchError) -> ExitCode:
    for kind, code in (
        (errors.UnexpectedError, ExitCode.BUG),
        (errors.UnusablePlace, ExitCode.STORAGE),
        (errors.SafetyStop, ExitCode.SAFETY),
    ):
        if isinstance(error, kind):
            return code
    return ExitCode.PARTIAL


def _code_for_halt(error: errors.BandersnatchError) -> ExitCode:
    if isinstance(error, errors.StorageError):
        return ExitCode.LOCKED if isinstance(error, errors.LostLock) else ExitCode.STORAGE
    return ExitCode.INDEX if isinstance(error, errors.UnusableIndex) else ExitCode.SAFETY
