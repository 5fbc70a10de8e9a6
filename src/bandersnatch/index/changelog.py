"""The journal of the index over XML-RPC (protocol sheet, sections 2.4 and 2.5)."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from xmlrpc.client import Fault

from bandersnatch.errors import BandersnatchError, InvalidValue, RateLimit, UnusableChangelog
from bandersnatch.index.retry import RETRIED_STATUSES, error_for
from bandersnatch.index.xmlrpc import NoAnswer, read_answer, write_call
from bandersnatch.model.names import project_name
from bandersnatch.model.serials import Change, Serial, parse_serial
from bandersnatch.simple.entries import build_project_list
from bandersnatch.simple.limits import LIST, Limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandersnatch.clock import Clock
    from bandersnatch.index.transport import Transport
    from bandersnatch.model.project import ProjectList

PAGE = 50_000
"""Events that one answer holds at most."""

MOST_EVENTS = 1_000_000
"""Nobody follows the changelog over more serials than that, and each event has its own."""

_ANSWER = Limit(64 * 1024**2, 128 * 1024**2)
_READ_INLINE = 64 * 1024
"""Bytes."""

_PAUSE_BETWEEN_PAGES = 1.0
_RATE_FAULT = re.compile(r"TooManyRequests|too many requests|rate limit", re.IGNORECASE)
_RESET = re.compile(r"reset in ([0-9]{1,6}) seconds")


class Changelog:
    """Calls the methods that PyPI supports for mirrors, one at a time."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        budget: asyncio.Semaphore,
        url: str,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._budget = budget
        self._url = url

    async def last_serial(self) -> Serial:
        """Return the serial of the newest event; 0 for an empty journal.

        :raises UnusableChangelog: if there is no such method here.
        """
        answer = await self._call("changelog_last_serial", _ANSWER)
        try:
            return parse_serial(0 if answer is None else answer)
        except InvalidValue as error:
            raise UnusableChangelog(self._url, str(error)) from error

    async def changes(self, since: Serial, until: Serial) -> Sequence[Change]:
        """Return the events after ``since`` up to ``until``, over as many pages as it takes.

        An event whose name is none is left out: it cannot concern a project that exists.
        """
        changes: list[Change] = []
        count = 0
        while since < until:
            if count:
                await self._clock.sleep(_PAUSE_BETWEEN_PAGES)
            rows = await self._call("changelog_since_serial", _ANSWER, since)
            page = self._page(rows, since)
            # What is newer than ``until`` came since, and belongs to the next run.
            count += sum(serial <= until for _, serial in page)
            if count > MOST_EVENTS:
                raise UnusableChangelog(self._url, f"it has more than {MOST_EVENTS} events")
            changes += (change for change, _ in page if change and change.serial <= until)
            if len(page) < PAGE:
                break
            since = max(serial for _, serial in page)
        return changes

    def _page(self, rows: object, since: Serial) -> list[tuple[Change | None, Serial]]:
        if not isinstance(rows, list):
            raise UnusableChangelog(self._url, "changelog_since_serial gave no list")
        try:
            page = [_change(row) for row in rows]
        except (InvalidValue, TypeError, ValueError) as error:
            raise UnusableChangelog(self._url, f"an event cannot be read ({error})") from error
        if any(serial <= since for _, serial in page):
            raise UnusableChangelog(self._url, f"it gave events from before {since}")
        return page

    async def list_with_serials(self) -> ProjectList:
        """Return every project with its serial."""
        answer = await self._call("list_packages_with_serial", LIST)
        if not isinstance(answer, dict):
            raise UnusableChangelog(self._url, "list_packages_with_serial gave no mapping")
        return build_project_list(answer.items(), where=self._url, serial=None)

    async def _call(self, method: str, limit: Limit, *arguments: int) -> Any:  # noqa: ANN401 - of XML-RPC
        request = write_call(method, *arguments)

        async def attempt() -> Any:  # noqa: ANN401 - of XML-RPC
            async with self._budget:
                answer = await self._transport.call(self._url, request, limit=limit.size)
            if answer.status in RETRIED_STATUSES:
                now = self._clock.now()
                raise error_for(self._url, answer.status, answer.headers, now)
            if answer.status != 200:  # noqa: PLR2004 - anything else is a refusal
                raise UnusableChangelog(self._url, f"status {answer.status}")
            try:
                return await _read(answer.body, limit.memory)
            except Fault as fault:
                raise self._fault(fault) from fault
            except NoAnswer as error:
                why = f"{method} gave no XML-RPC ({error})"
                raise UnusableChangelog(self._url, why) from error

        return await self._transport.retried(attempt)

    def _fault(self, fault: Fault) -> BandersnatchError:
        text = str(fault.faultString)
        if _RATE_FAULT.search(text):
            reset = _RESET.search(text)
            seconds = float(reset[1]) if reset else None
            return RateLimit(self._url, "it limits the rate of calls", retry_after=seconds)
        return UnusableChangelog(self._url, text[:200])


def _change(row: object) -> tuple[Change | None, Serial]:
    if not isinstance(row, list):
        raise InvalidValue("event", row, "is not a list")
    shown, _, time, action, serial = row
    serial = parse_serial(serial)
    try:
        name = project_name(shown)
    except InvalidValue:
        return None, serial
    if not isinstance(time, int) or not isinstance(action, str):
        raise InvalidValue("event", row, "has no time and action")
    return Change(name, shown, serial, action, time), serial


async def _read(body: bytes, heaviest: int) -> Any:  # noqa: ANN401 - of XML-RPC
    """Return what a call returned; one of 50,000 events takes a second, in a thread."""
    if len(body) <= _READ_INLINE:
        return read_answer(body, heaviest)
    return await asyncio.to_thread(read_answer, body, heaviest)
