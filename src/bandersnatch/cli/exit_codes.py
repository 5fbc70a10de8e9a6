"""Exit codes that tell the truth (design, section 7)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from bandersnatch.errors import (
    BandersnatchError,
    ConfigError,
    CorruptState,
    Interruption,
    LockConflict,
    SafetyStop,
    StorageError,
    UnusableIndex,
    UpstreamError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bandersnatch.mirror.report import RunReport


class ExitCode(IntEnum):
    """What a command came to."""

    OK = 0
    BUG = 1
    """Or: there was no configuration file, and a safe example was written."""
    USAGE = 2
    INDEX = 3
    PARTIAL = 4
    SAFETY = 5
    LOCKED = 6
    STORAGE = 7
    DAMAGE = 8


_PRECEDENCE = (
    ExitCode.BUG,
    ExitCode.STORAGE,
    ExitCode.SAFETY,
    ExitCode.INDEX,
    ExitCode.PARTIAL,
    ExitCode.DAMAGE,
)


def code_for(error: BandersnatchError) -> int:
    """Return the code of a run that this error ended."""
    if isinstance(error, Interruption):
        return 128 + error.signal
    for kind, code in (
        (ConfigError, ExitCode.USAGE),
        (UsageError, ExitCode.USAGE),
        (CorruptState, ExitCode.USAGE),
        (LockConflict, ExitCode.LOCKED),
        (StorageError, ExitCode.STORAGE),
        (SafetyStop, ExitCode.SAFETY),
        (UpstreamError, ExitCode.INDEX),
    ):
        if isinstance(error, kind):
            return code
    return ExitCode.BUG


def code_of(report: RunReport) -> ExitCode:
    """Return the code of a run that came to its end."""
    codes = [_of_stop(error) for error in report.stopped]
    for failure in report.failures.values():
        safety = isinstance(failure.error, SafetyStop)
        codes.append(ExitCode.SAFETY if safety else ExitCode.PARTIAL)
    if report.damage_left or report.unknown:
        codes.append(ExitCode.DAMAGE)
    return first(codes)


def _of_stop(error: BandersnatchError) -> ExitCode:
    if isinstance(error, StorageError):
        return ExitCode.STORAGE
    return ExitCode.INDEX if isinstance(error, UnusableIndex) else ExitCode.SAFETY


def first(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the gravest of the codes that apply."""
    found = set(codes)
    return next((code for code in _PRECEDENCE if code in found), ExitCode.OK)
