"""``status``: reports the state of the mirror as a table, as JSON and as an exit code."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.cli.arguments import flag_value
from bandersnatch.cli.exit_codes import ExitCode, most_severe
from bandersnatch.cli.text import columns, counted, one_line, size, span, without_credentials

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from bandersnatch.catalogue.records import Deferred
    from bandersnatch.cli.session import Session
    from bandersnatch.cluster.port import FleetView
    from bandersnatch.mirror.queries.status import Lag, MirrorStatus

_MOST_LISTED = 20
"""Deferred projects that the table names; JSON has all."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``status``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--max-age",
        metavar="TIME",
        help="exit with 8 if the last successful run is longer ago: '2 h'",
    )
    index = parser.add_mutually_exclusive_group()
    index.add_argument("--offline", action="store_true", help="do not ask the index")
    index.add_argument(
        "--max-lag",
        metavar="N|TIME",
        help="exit with 8 if the mirror is more changes, or a longer time, behind: 500, '2 h'",
    )


async def run(session: Session) -> int:
    """Run ``status``."""
    from bandersnatch.app import is_mirror_running, read_fleet
    from bandersnatch.mirror.queries.status import mirror_status

    arguments = session.arguments
    limits = read_limits(arguments)
    is_running = await is_mirror_running(session.configuration.settings)
    status = await session.query(
        lambda mirror: mirror_status(mirror, offline=arguments.offline, is_running=is_running)
    )
    fleet = await read_fleet(session.configuration.settings)
    found = exceeded(status, limits)
    code = most_severe(found.values())
    directory = session.configuration.settings.storage.directory
    if arguments.json:
        return session.answer(as_json(status, directory, found, fleet)) or code
    if not arguments.quiet:
        text = "\n".join([table(status, directory, limits, found), *_workers(fleet)])
        return session.answer(text) or code
    for line in found:
        session.logger.error("%s", one_line(line))
    return code


# ---------------------------------------------------------------- limits


class Limits(Struct, frozen=True):
    """The limits that the mirror has to meet, each None if it is not given."""

    lag_events: int | None = None
    lag_time: timedelta | None = None
    age: timedelta | None = None

    @property
    def lag(self) -> bool:
        """Whether the lag has a limit."""
        return self.lag_events is not None or self.lag_time is not None


def read_limits(arguments: Namespace) -> Limits:
    """Return the limits that the flags give.

    :raises UsageError: if one of them is neither a number nor a time, as it should be.
    """
    from bandersnatch.config import readers

    lag = arguments.max_lag
    if lag is not None and lag.strip().isdecimal():
        events, time = flag_value("--max-lag", lag, readers.whole_number(0)), None
    else:
        events, time = None, flag_value("--max-lag", lag, readers.duration)
    return Limits(events, time, flag_value("--max-age", arguments.max_age, readers.duration))


def exceeded(status: MirrorStatus, limits: Limits) -> dict[str, ExitCode]:
    """Return a sentence for each exceeded limit, with the exit code that it causes."""
    found: dict[str, ExitCode] = {}
    if limits.lag and status.lag is None:
        found[f"how far the mirror is behind is unknown: {status.lag_unknown}"] = ExitCode.INDEX
    elif status.lag is not None:
        found |= dict.fromkeys(_exceeded_lag(status, status.lag, limits), ExitCode.DAMAGE)
    if limits.age is not None:
        if status.last_success is None:
            found["no run has succeeded yet"] = ExitCode.DAMAGE
        elif status.now - status.last_success > limits.age.total_seconds():
            text = f"the last successful run was {_ago(status, status.last_success)}"
            found[f"{text}; the limit is {span(limits.age)}"] = ExitCode.DAMAGE
    return found


def _exceeded_lag(status: MirrorStatus, lag: Lag, limits: Limits) -> Iterator[str]:
    events, time = limits.lag_events, limits.lag_time
    if events is not None and (lag.events > events or not lag.counted):
        yield f"the mirror is behind by {_changes(status, lag)}; the limit is {events:,}"
    if time is not None and lag.oldest is not None:
        if status.now - lag.oldest > time.total_seconds():
            ago = _ago(status, lag.oldest)
            yield f"the first change that was not read was {ago}; the limit is {span(time)}"
    elif time is not None and not lag.counted:
        yield f"the mirror is behind by {_changes(status, lag)}; the limit is {span(time)}"


# ---------------------------------------------------------------- table


def table(status: MirrorStatus, directory: str, limits: Limits, found: dict[str, ExitCode]) -> str:
    """Return the lines for people; they begin with the exceeded limits."""
    lines = [f"Exceeded: {one_line(text)}" for text in found]
    if limits != Limits() and not found:
        lines.append("OK")
    lines += [f"Mirror:    {directory}", f"State:     {status.state}: {status.state.reason}"]
    if not status.adopted:
        lines.append("Catalogue: incomplete; the next run reads the stored pages and files")
    if not status.trusted:
        lines.append("Note:      status or todo was edited; the next run checks every project")
    lines += [f"Serial:    {_serial(status)}", f"Behind:    {_lag(status)}", *_contents(status)]
    lines += _deferred(status)
    lines += _rejected(status)
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
        return f"unknown: {one_line(status.lag_unknown)}"
    if lag.oldest is None:
        return _changes(status, lag)
    return f"{_changes(status, lag)}; the first was {_ago(status, lag.oldest)}"


def _changes(status: MirrorStatus, lag: Lag) -> str:
    if not (lag.counted or status.cursor):
        return "everything that the index has"
    more = "" if lag.counted else "more than "
    return f"{more}{counted(lag.events, 'change')} of {counted(lag.projects, 'project')}"


def _contents(status: MirrorStatus) -> Iterator[str]:
    totals, trash = status.totals, status.trash
    yield f"Projects:  {totals.projects:,} of {status.expected:,}"
    yield f"Files:     {totals.files:,}, {size(totals.size)}"
    yield f"Success:   {_when(status, status.last_success)}"
    yield f"Verified:  {_when(status, status.verified)}, completely"
    yield f"Oldest:    {_oldest(status)}"
    if status.proof is not None:
        proof = status.proof
        answers = f"{proof.passed:,} passed, {proof.failed:,} failed, {proof.unproved:,} unproved"
        yield f"Proof:     {proof.result.value} {_when(status, proof.at)}: {answers}"
    if status.oldest_look is not None:
        yield f"Swept:     {_swept(status, status.oldest_look)}"
    yield f"Removed:   {counted(trash.files, 'file')}, {size(trash.size)} in removed/"


def _oldest(status: MirrorStatus) -> str:
    totals = status.totals
    read = _when(status, totals.verified or None)
    if not totals.unverified:
        return f"content last read {read}"
    never = f"{counted(totals.unverified, 'project')} with content that was never read"
    return never if not totals.verified else f"{never}, then content last read {read}"


def _swept(status: MirrorStatus, oldest: int) -> str:
    if not oldest:
        return "some pages have not been asked for yet"
    return f"every page was asked for since {_when(status, oldest)}"


def _deferred(status: MirrorStatus) -> Iterator[str]:
    if not status.deferred:
        return
    yield ""
    yield f"Not done: {counted(len(status.deferred), 'project')}"
    for each in status.deferred[:_MOST_LISTED]:
        yield f"  {each.name}: {_deferral(status, each)}"
    if len(status.deferred) > _MOST_LISTED:
        yield f"  and {len(status.deferred) - _MOST_LISTED:,} more; --json lists them all"


def _rejected(status: MirrorStatus) -> Iterator[str]:
    found = [(name, each, "") for name, failed, _ in status.rejected for each in failed]
    found += [
        (name, each, " (ignored)") for name, _, ignored in status.rejected for each in ignored
    ]
    if not found:
        return
    yield ""
    yield f"Rejected: {counted(len(found), 'file')} of {counted(len(status.rejected), 'project')}"
    for name, each, note in found[:_MOST_LISTED]:
        yield f"  {name}: {one_line(each.entry)}: {one_line(each.reason)}{note}"
    if len(found) > _MOST_LISTED:
        yield f"  and {len(found) - _MOST_LISTED:,} more; --json lists them all"


def _deferral(status: MirrorStatus, deferred: Deferred) -> str:
    since = f"{deferred.deferral} since {_when(status, deferred.changed_at)}"
    if not deferred.reason:
        return f"{since}: in progress, or a run was stopped while it was"
    return f"{since}, {counted(deferred.attempts, 'attempt')}: {one_line(deferred.reason)}"


def _when(status: MirrorStatus, seconds: int | None) -> str:
    if seconds is None:
        return "never"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC ({_ago(status, seconds)})"


def _ago(status: MirrorStatus, seconds: int) -> str:
    return f"{span(timedelta(seconds=max(0, status.now - seconds)))} ago"


def _workers(fleet: FleetView | None) -> Iterator[str]:
    """Yield lines about the workers of the run that is under way."""
    if fleet is None:
        return
    jobs = f"{fleet.running} job(s) are worked on, {fleet.waiting} wait"
    yield f"Workers:   {len(fleet.workers)} take part in a run; {jobs}"
    for each in fleet.workers:
        waits = "" if each.has_share else "; waits for a share of workers"
        work = f"{each.projects} project(s) now, {each.done} done{waits}"
        yield one_line(f"           {each.name}: {work}; seen {each.seconds} s ago")
    for host in fleet.paused:
        until = f"{datetime.fromtimestamp(host.until, UTC):%Y-%m-%d %H:%M:%S} UTC"
        text = f"no requests to {host.host} until {until}: it asked for a pause"
        yield one_line(f"           {text} ({host.seconds} s left)")


# ---------------------------------------------------------------- JSON


def as_json(
    status: MirrorStatus,
    directory: str,
    found: dict[str, ExitCode],
    fleet: FleetView | None = None,
) -> str:
    """Return the whole status as JSON."""
    totals = status.totals
    text = json.dumps(
        {
            "mirror": directory,
            "at": _iso(status.now),
            "state": {
                "word": status.state.word,
                "reason": status.state.reason,
                "running": status.state.is_running,
            },
            "serial": {
                "status": status.serial,
                "cursor": status.cursor,
                "index": None if status.lag is None else status.lag.index,
            },
            "lag": _lag_dict(status),
            "lag_unknown": status.lag_unknown or None,
            "catalogue_complete": status.adopted,
            "state_trusted": status.trusted,
            "projects": {"mirrored": totals.projects, "expected": status.expected},
            "files": totals.files,
            "bytes": totals.size,
            "deferred": [_deferred_dict(each) for each in status.deferred],
            "rejected": list(_rejected_dicts(status)),
            "last_success": _time_dict(status, status.last_success),
            "verified": _verified_dict(status),
            "proof": _proof_dict(status),
            "sweep": {"oldest_look": _time_dict(status, status.oldest_look or None)},
            "removed": {"files": status.trash.files, "bytes": status.trash.size},
            "largest": _largest_dicts(status),
            "workers": _fleet_dict(fleet),
            "exceeded": list(found),
        },
        indent=2,
    )
    return without_credentials(text)


def _verified_dict(status: MirrorStatus) -> dict[str, object]:
    return {
        "complete": _time_dict(status, status.verified),
        "oldest": _time_dict(status, status.totals.verified or None),
        "projects_never_read": status.totals.unverified,
    }


def _largest_dicts(status: MirrorStatus) -> list[dict[str, object]]:
    return [{"name": each.name, "files": each.files, "bytes": each.size} for each in status.largest]


def _fleet_dict(fleet: FleetView | None) -> dict[str, object] | None:
    if fleet is None:
        return None
    return {
        "jobs_waiting": fleet.waiting,
        "jobs_running": fleet.running,
        "taking_part": [
            {
                "name": each.name,
                "projects": each.projects,
                "done": each.done,
                "seen_seconds_ago": each.seconds,
                "has_share": each.has_share,
            }
            for each in fleet.workers
        ],
        "paused_hosts": [
            {
                "host": each.host,
                "until": _iso(each.until),
                "seconds_left": each.seconds,
            }
            for each in fleet.paused
        ],
    }


def _lag_dict(status: MirrorStatus) -> dict[str, object] | None:
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


def _proof_dict(status: MirrorStatus) -> dict[str, object] | None:
    proof = status.proof
    if proof is None:
        return None
    return {
        "result": proof.result.value,
        "passed": proof.passed,
        "failed": proof.failed,
        "unproved": proof.unproved,
        "at": _time_dict(status, proof.at),
    }


def _rejected_dicts(status: MirrorStatus) -> Iterator[dict[str, object]]:
    for name, failed, ignored in status.rejected:
        for each in (*failed, *ignored):
            yield {
                "project": name,
                "file": each.entry,
                "reason": each.reason,
                "ignored": each in ignored,
            }


def _deferred_dict(deferred: Deferred) -> dict[str, object]:
    return {
        "name": deferred.name,
        "kind": deferred.deferral,
        "serial": deferred.target_serial,
        "since": _iso(deferred.changed_at),
        "tried": _iso(deferred.tried),
        "attempts": deferred.attempts,
        "error": deferred.cause,
        "reason": deferred.reason,
    }


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _time_dict(status: MirrorStatus, seconds: int | None) -> dict[str, object] | None:
    if seconds is None:
        return None
    return {"at": _iso(seconds), "seconds_ago": max(0, status.now - seconds)}
