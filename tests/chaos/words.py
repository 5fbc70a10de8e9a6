"""Random words of an index: serials, events and times, raised, lowered, missing, in any order.

A seed gives the same words each time. They are changes of correct documents, so that everything
else about these is right.
"""

from __future__ import annotations

import json
import random
import xmlrpc.client
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from tests.support.faults import Act
    from tests.support.server import Answer

AMOUNTS = (-(10**9), -300_000, -150_000, -5, -1, 0, 1, 5, 150_000, 300_000, 2_000_000, 2**53)
"""What is added to serials, between 0 and ``LARGEST``."""

LARGEST = 2**53 - 1
TIMES = (0, 1, 10**9, 2**31 - 1, 2**31, 2**40, 2**53, 2**70, -1)
_HEADER = "X-PyPI-Last-Serial"


class Words:
    """Draws wrong words, each an act for one kind of request."""

    def __init__(self, dice: random.Random, names: list[str]) -> None:
        self._dice = dice
        self._names = names
        self.raises_pages = False
        """Whether a page may have claimed a serial that it does not have."""
        self.raises_lists = False
        self.raises_events = False
        self.lacks_head = False
        self.hides_changes = False
        """Whether an event may have been missing for good, so that nothing shows it."""
        self.log: list[str] = []

    def claims_too_much(self, *, self_only: bool) -> bool:
        """Whether the index may have claimed to be further than it is, with nothing against it.

        ``self_only`` says that only the project list is asked.
        """
        return self.raises_events or (self.raises_lists and (self_only or self.lacks_head))

    def draw(self) -> tuple[str, str | None, Act]:
        """Return where a word is wrong, of which project, and the act."""
        kind, project, act = self._dice.choice(
            (self._head, self._events, self._list, self._page, self._page, self._header)
        )()
        return kind, project, act

    def _amount(self, what: str) -> Callable[[int], int | None]:
        by = self._dice.choice((None, *AMOUNTS))
        self.log.append(f"{what} {by}")
        return lambda serial: None if by is None else min(max(serial + by, 0), LARGEST)

    def _head(self) -> tuple[str, str | None, Act]:
        change = self._amount("head")
        self.lacks_head |= self.log[-1].endswith("None")

        async def act(request: web.Request, answer: Answer) -> None:
            text = await request.read()
            if b"changelog_last_serial" in text and answer.status == 200:
                (serial,), _ = xmlrpc.client.loads(answer.body.decode())
                answer.body = _xml(change(int(str(serial))))

        return "xmlrpc", None, act

    def _events(self) -> tuple[str, str | None, Act]:
        dice = self._dice
        what = dice.choice(
            ("shuffle", "double", "omit last", "omit some", "time", "raise", "lower")
        )
        seed, time = dice.random(), dice.choice(TIMES)
        self.log.append(f"events: {what}")
        self.hides_changes |= what in {"omit some", "raise", "lower"}
        self.raises_events |= what == "raise"

        async def act(request: web.Request, answer: Answer) -> None:
            if b"changelog_since_serial" not in await request.read() or answer.status != 200:
                return
            events: Any = xmlrpc.client.loads(answer.body.decode())[0][0]
            answer.body = _xml(_changed(events, what, random.Random(seed), time))

        return "xmlrpc", None, act

    def _list(self) -> tuple[str, str | None, Act]:
        name = self._dice.choice((None, *self._names))
        change = self._amount(f"list, {name or 'its own'}")
        self.raises_lists = True

        def edit(page: dict[str, Any]) -> None:
            if name is None:
                _put(page["meta"], change)
            for project in page["projects"]:
                if canonicalize_name(project["name"]) == name:
                    _put(project, change)

        return "list", None, _document(edit)

    def _page(self) -> tuple[str, str | None, Act]:
        name = self._dice.choice(self._names)
        change = self._amount(f"page of {name}")
        self.raises_pages = True
        return "detail", name, _document(lambda page: _put(page["meta"], change))

    def _header(self) -> tuple[str, str | None, Act]:
        kind = self._dice.choice(("list", "detail"))
        name = self._dice.choice(self._names) if kind == "detail" else None
        change = self._amount(f"header of {name or 'the list'}")
        self.raises_pages |= kind == "detail"
        self.raises_lists |= kind == "list"

        async def act(_: web.Request, answer: Answer) -> None:
            serial = answer.headers.popall(_HEADER, ["0"])[0]
            changed = change(int(serial))
            if changed is not None:
                answer.headers[_HEADER] = str(changed)

        return kind, name, act


def _changed(events: list[Any], what: str, dice: random.Random, time: int) -> list[Any]:
    """Return events with something wrong about them."""
    if what == "shuffle":
        dice.shuffle(events)
    elif what == "double":
        events += [dice.choice(events) for _ in events]
    elif what == "omit last":
        events = events[: dice.randint(0, len(events))]
    elif what == "omit some":
        events = [each for each in events if dice.random() < 0.7]
    elif what == "time":
        events = [[*each[:2], time, *each[3:]] for each in events]
    elif events:
        by = dice.choice((1, 5, 10**6, 2**50)) * (1 if what == "raise" else -1)
        place = dice.randrange(len(events))
        events[place] = [*events[place][:4], max(0, events[place][4] + by)]
    return events


def _document(edit: Callable[[dict[str, Any]], None]) -> Act:
    async def act(_: web.Request, answer: Answer) -> None:
        if answer.status == 200 and answer.body.startswith(b"{"):
            page = json.loads(answer.body)
            edit(page)
            answer.body = json.dumps(page).encode()
            answer.headers.popall("ETag", None)
            answer.headers.popall(_HEADER, None)

    return act


def _put(values: dict[str, Any], change: Callable[[int], int | None]) -> None:
    if "_last-serial" in values:
        values["_last-serial"] = change(values["_last-serial"])
        if values["_last-serial"] is None:
            del values["_last-serial"]


def _xml(result: int | list[Any] | None) -> bytes:
    """Return an answer of XML-RPC, with integers of any size, as some servers write them."""
    text = f"<params><param>{_value(result)}</param></params>"
    return f"<methodResponse>{text}</methodResponse>".encode()


def _value(value: int | str | list[Any] | None) -> str:
    if isinstance(value, list):
        inner = f"<array><data>{''.join(map(_value, value))}</data></array>"
    elif isinstance(value, int):
        inner = f"<int>{value}</int>"
    else:
        inner = "<nil/>" if value is None else f"<string>{escape(value)}</string>"
    return f"<value>{inner}</value>"
