"""``status``: how a mirror is, as a table, as JSON, and as an exit status."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bandersnatch.cli.exit_codes import ExitCode, most_severe
from bandersnatch.cli.text import columns, counted, one_line, size, span, without_credentials
from bandersnatch.config.readers import duration, whole_number
from bandersnatch.errors import OptionError, UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from bandersnatch.catalogue.records import Deferred
    from bandersnatch.mirror.queries.status import Lag, MirrorStatus

_SHOWN = 20
"""Projects that are told of in the table; JSON has all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a mirror is held to; each is None if nobody asked for it."""

    lag_events: int | None = None
    lag_time: timedelta | None = None
    age: timedelta | None = None

    @property
    def lag(self) -> bool:
        """Whether it matters how far behind the mirror is."""
        return self.lag_events is not None or self.lag_time is not None


def limits(arguments: Namespace) -> Limits:
    """Return what the arguments ask for.

    :raises UsageError: if one of them is neither a number nor a time, as it should be.
    """
    lag, age = arguments.max_lag, arguments.max_age
    events = lag is not None and lag.strip().isdecimal()
    option = "--max-lag"
    try:
        lag_events = whole_number(0)(lag) if events else None
        lag_time = duration(lag) if lag is not None and not events else None
        option = "--max-age"
        return Limits(lag_events, lag_time, duration(age) if age is not None else None)
    except OptionError as error:
        raise UsageError(f"{option} {error}") from error


# ---------------------------------------------------------------- the verdict


def exceeded(status: MirrorStatus, held_to: Limits) -> dict[str, ExitCode]:
    """Return what is beyond the limits, in sentences, each with the exit status it is worth."""
    found: dict[str, ExitCode] = {}
    if held_to.lag and status.lag is None:
        text = f"it cannot be told how far behind the mirror is: {status.lag_unknown}"
        found[text] = ExitCode.INDEX
    elif status.lag is not None:
        found |= dict.fromkeys(_behind(status, status.lag, held_to), ExitCode.DAMAGE)
    if held_to.age is not None:
        if status.last_success is None:
            found["no run has ever left nothing undone"] = ExitCode.DAMAGE
        elif status.now - status.last_success > held_to.age.total_seconds():
            text = f"the last run that left nothing undone was {_ago(status, status.last_success)}"
            found[f"{text}; the limit is {span(held_to.age)}"] = ExitCode.DAMAGE
    return found


def _behind(status: MirrorStatus, lag: Lag, held_to: Limits) -> Iterator[str]:
    events, time = held_to.lag_events, held_to.lag_time
    if events is not None and (lag.events > events or not lag.counted):
        yield f"the mirror is behind by {_changes(status, lag)}; the limit is {events:,}"
    if time is not None and lag.oldest is not None:
        if status.now - lag.oldest > time.total_seconds():
            ago = _ago(status, lag.oldest)
            yield f"the first change that is not here was {ago}; the limit is {span(time)}"
    elif time is not None and not lag.counted:
        yield f"the mirror is behind by {_changes(status, lag)}; the limit is {span(time)}"


def verdict(found: dict[str, ExitCode]) -> int:
    """Return the exit status."""
    return int(most_severe(found.values()))


# ---------------------------------------------------------------- for people


def table(status: MirrorStatus, directory: str, held_to: Limits, found: dict[str, ExitCode]) -> str:
    """Return the lines that tell of a mirror; the verdict first, where there is one."""
    lines = [f"Exceeded: {one_line(text)}" for text in found]
    if held_to != Limits() and not found:
        lines.append("OK")
    lines.append(f"Mirror:    {directory}")
    if not status.adopted:
        lines.append("Catalogue: not complete; the next run reads what is here")
    if not status.trusted:
        lines.append("State:     changed by somebody; the next run looks at every project")
    lines += [f"Serial:    {_serial(status)}", f"Behind:    {_lag(status)}", *_contents(status)]
    lines += _not_done(status)
    if status.largest:
        rows = [(each.name, f"{each.files:,}", size(each.size)) for each in status.largest]
        lines += ["", *columns([("largest projects", "files", "size"), *rows])]
    return "\n".join(lines)


def _serial(status: MirrorStatus) -> str:
    if status.lag is None:
        return f"{status.serial}"
    return f"{status.serial}; the index is at {status.lag.index}"


def _lag(status: MirrorStatus) -> str:
    lag = status.lag
    if lag is None:
        return f"not known: {one_line(status.lag_unknown)}"
    if lag.oldest is None:
        return _changes(status, lag)
    return f"{_changes(status, lag)}; the first was {_ago(status, lag.oldest)}"


def _changes(status: MirrorStatus, lag: Lag) -> str:
    if not (lag.counted or status.cursor):
        return "everything that the index has"
    more = "" if lag.counted else "more than "
    return f"{more}{counted(lag.events, 'change')} of {counted(lag.projects, 'project')}"


def _contents(status: MirrorStatus) -> Iterator[str]:
    totals = status.totals
    yield f"Projects:  {totals.projects:,} of {status.expected:,}"
    yield f"Files:     {totals.files:,}, {size(totals.size)}"
    yield f"Good run:  {_when(status, status.last_success)}"
    yield f"Verified:  {_when(status, status.verified)}, as a whole"
    yield f"Oldest:    {_oldest(status)}"
    yield f"Removed:   {counted(status.trash.files, 'file')} waiting, {size(status.trash.size)}"


def _oldest(status: MirrorStatus) -> str:
    totals = status.totals
    read = _when(status, totals.verified or None)
    if not totals.unverified:
        return f"content last read {read}"
    never = f"{counted(totals.unverified, 'project')} with content that was never read"
    return never if not totals.verified else f"{never}, then content last read {read}"


def _not_done(status: MirrorStatus) -> Iterator[str]:
    if not status.deferred:
        return
    yield ""
    yield f"Not done: {counted(len(status.deferred), 'project')}"
    for each in status.deferred[:_SHOWN]:
        yield f"  {each.name}: {_undone(status, each)}"
    if len(status.deferred) > _SHOWN:
        yield f"  and {len(status.deferred) - _SHOWN:,} more; --json lists them all"


def _undone(status: MirrorStatus, left: Deferred) -> str:
    since = f"{left.deferral} since {_when(status, left.since)}"
    if not left.reason:
        return f"{since}: in hand, or a run was stopped that had it in hand"
    return f"{since}, {counted(left.attempts, 'attempt')}: {one_line(left.reason)}"


def _when(status: MirrorStatus, seconds: int | None) -> str:
    if seconds is None:
        return "never"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC ({_ago(status, seconds)})"


def _ago(status: MirrorStatus, seconds: int) -> str:
    return f"{span(timedelta(seconds=max(0, status.now - seconds)))} ago"


# ---------------------------------------------------------------- for machines


def as_json(status: MirrorStatus, directory: str, found: dict[str, ExitCode]) -> str:
    """Return the same as JSON, with nothing left out."""
    totals = status.totals
    told = json.dumps(
        {
            "mirror": directory,
            "at": _iso(status.now),
            "serial": {
                "status": status.serial,
                "cursor": status.cursor,
                "index": None if status.lag is None else status.lag.index,
            },
            "lag": _lag_dict(status),
            "lag_unknown": status.lag_unknown or None,
            "catalogue_complete": status.adopted,
            "state_believed": status.trusted,
            "projects": {"here": totals.projects, "expected": status.expected},
            "files": totals.files,
            "bytes": totals.size,
            "not_done": [_undone_dict(each) for each in status.deferred],
            "good_run": _time(status, status.last_success),
            "verified": {
                "whole": _time(status, status.verified),
                "oldest": _time(status, totals.verified or None),
                "projects_never_read": totals.unverified,
            },
            "removed": {"files": status.trash.files, "bytes": status.trash.size},
            "largest": [
                {"name": each.name, "files": each.files, "bytes": each.size}
                for each in status.largest
            ],
            "exceeded": list(found),
        },
        indent=2,
    )
    return without_credentials(told)


def _lag_dict(status: MirrorStatus) -> dict[str, Any] | None:
    lag = status.lag
    if lag is None:
        return None
    return {
        "serials": status.behind,
        "events": lag.events,
        "projects": lag.projects,
        "seconds": 0 if lag.oldest is None else max(0, status.now - lag.oldest),
        "counted": lag.counted,
    }


def _undone_dict(left: Deferred) -> dict[str, Any]:
    return {
        "name": left.name,
        "kind": left.deferral,
        "serial": left.target_serial,
        "since": _iso(left.since),
        "tried": _iso(left.tried),
        "attempts": left.attempts,
        "error": left.cause,
        "reason": left.reason,
    }


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _time(status: MirrorStatus, seconds: int | None) -> dict[str, Any] | None:
    if seconds is None:
        return None
    return {"at": _iso(seconds), "seconds_ago": max(0, status.now - seconds)}
