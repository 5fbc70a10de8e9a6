"""An index whose serials, order of events and times can be wrong, for one run or for good."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bandersnatch.errors import UnusableChangelog
from bandersnatch.index.port import Changes
from bandersnatch.model.serials import Change, Serial
from tests.support.fake_index import URL, FakePackageIndex

if TYPE_CHECKING:
    from bandersnatch.clock import Clock
    from tests.support.index import Index

LIMIT = 2**53 - 1


@dataclass
class Words:
    """What is wrong; each number is added to the right serial, None means that it is missing."""

    head: int | None = 0
    lag: int = 0
    """How many of the last events are not shown yet."""
    shuffled: bool = False
    doubled: bool = False
    event_time: int | None = None
    """The time of every event, None for the right one."""
    list_own: int | None = 0
    list_entries: dict[str, int | None] = field(default_factory=dict)
    pages: dict[str, int | None] = field(default_factory=dict)


def added(serial: int, by: int | None) -> int | None:
    """Return a wrong serial in the range of valid ones."""
    return None if by is None else min(max(serial + by, 0), LIMIT)


class WrongIndex(FakePackageIndex):
    """The fake index, with ``words`` that are wrong until they are replaced."""

    def __init__(self, index: Index, clock: Clock) -> None:
        super().__init__(index, clock)
        self.words = Words()

    async def last_serial(self) -> Serial:
        """Return the head, which may be wrong."""
        head = added(self.index.serial, self.words.head)
        if head is None:
            raise UnusableChangelog(URL, "it is missing")
        return Serial(head)

    async def changes(self, since: Serial, until: Serial, /) -> Changes:
        """Return events, of which some may be missing, in any order."""
        shown = self.index.journal[: len(self.index.journal) - self.words.lag]
        kept, self.index.journal = self.index.journal, shown
        try:
            found = await super().changes(since, until)
        finally:
            self.index.journal = kept
        events = [self._event(each) for each in found.events]
        if self.words.doubled:
            events *= 2
        if self.words.shuffled:
            random.Random(len(events)).shuffle(events)
        return Changes(tuple(events), found.last)

    def _event(self, event: Change) -> Change:
        time = self.words.event_time
        if time is None:
            return event
        return Change(event.name, event.display, event.serial, event.action, time, event.version)

    def _list(self) -> bytes:
        page = self.index.list_json()
        _set(page["meta"], added(self.index.serial, self.words.list_own))
        for project in page["projects"]:
            by = self.words.list_entries.get(project["name"], 0)
            _set(project, added(project["_last-serial"], by))
        return json.dumps(page).encode()

    def _page(self, name: str) -> bytes | None:
        body = super()._page(name)
        if body is None or name not in self.words.pages:
            return body
        page = json.loads(body)
        _set(page["meta"], added(page["meta"]["_last-serial"], self.words.pages[name]))
        return json.dumps(page).encode()


def _set(values: dict[str, Any], serial: int | None) -> None:
    values["_last-serial"] = serial
    if serial is None:
        del values["_last-serial"]
