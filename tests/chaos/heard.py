"""What an index has said about serials, right or wrong, as its answers left the server."""

from __future__ import annotations

import json
import xmlrpc.client
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from aiohttp import web

    from tests.support.server import Answer, IndexServer

_HEADER = "X-PyPI-Last-Serial"


@dataclass
class Heard:
    """The serials that answers stated: of the last list, of each page, of all events.

    ``reach`` is the highest serial of the last list, ``listed`` has those of its entries; 0 stands
    for an entry without one. ``pages`` are those of the last answers, and ``events`` the highest.
    """

    reach: int = 0
    listed: dict[str, int] = field(default_factory=dict)
    pages: dict[str, int | None] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)

    def listen(self, server: IndexServer) -> None:
        """Hear all answers until the faults are cleared; call it after all faults were added."""
        server.fault("list", self._hear_list)
        server.fault("detail", self._hear_page)
        server.fault("xmlrpc", self._hear_events)

    def hides(self, name: str, true: int, shown: int) -> bool:
        """Whether the index itself hid that a project, shown at a serial, has come to ``true``.

        Then the last list claims to reflect that serial and has the project at the shown one or
        below, no event says more, and the shown serial is that of the list or of the page. Such a
        list is all that a run without events can go by: a page that reaches its entry is accepted,
        and is not asked for if it is shown at that serial already.
        """
        known = max(self.listed.get(name, 0), self.events.get(name, 0))
        is_stated = shown in {self.listed.get(name), self.pages.get(name)}
        return self.reach >= true and known <= shown and is_stated

    async def _hear_list(self, _: web.Request, answer: Answer) -> None:
        if answer.status == 200:
            page = json.loads(answer.body)
            self.listed = {
                canonicalize_name(each["name"]): each.get("_last-serial") or 0
                for each in page["projects"]
            }
            self.reach = max(page["meta"].get("_last-serial") or 0, *self.listed.values())

    async def _hear_page(self, request: web.Request, answer: Answer) -> None:
        if answer.status == 200 and answer.body.startswith(b"{"):
            serials = (
                json.loads(answer.body)["meta"].get("_last-serial"),
                answer.headers.get(_HEADER),
            )
            known = [int(each) for each in serials if each is not None]
            self.pages[request.path.split("/")[2]] = min(known, default=None)

    async def _hear_events(self, request: web.Request, answer: Answer) -> None:
        if answer.status == 200 and b"changelog_since_serial" in await request.read():
            events: Any = xmlrpc.client.loads(answer.body.decode())[0][0]
            for name, *_, serial in events:
                key = canonicalize_name(name)
                self.events[key] = max(self.events.get(key, 0), serial)
