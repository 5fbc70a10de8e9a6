"""The limits on requests whose answer is "not found"."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from bandersnatch.errors import MissingResource, PacedRequest, SkippedRequest
from bandersnatch.events import RequestsLimited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bandersnatch.clock import Clock
    from bandersnatch.events import EventSink

PACE = 40
"""Answers "not found" in ``WINDOW`` at PyPI, which watches addresses with 50 of them
(docs/development/protocol.md, Limits).
"""

WINDOW = 300.0
"""Seconds."""

DOUBTFUL_DOCUMENTS = 20
"""The part of the pace that documents which probably do not exist may use up."""

MAX_IN_A_ROW = 40
"""Missing documents of one kind in a row, after which an index is taken not to have the kind."""

MAX_ASKED = 2
"""How often a URL is requested in one run where nothing is."""


class Kind(StrEnum):
    """The kinds of resources; the index may lack some of them altogether."""

    LIST = "project lists"
    PAGE = "pages"
    FILE = "files"
    LEGACY = "legacy JSON documents"
    SIDECAR = "core metadata"


_OPTIONAL = frozenset({Kind.LEGACY, Kind.SIDECAR})


_DOUBTED_AFTER = 10
"""Missing core metadata in a row, after which the rest of it is doubtful."""


class MissingLimits:
    """Decides which requests are sent, from the answers "not found" of this run.

    At PyPI there are never more than ``PACE`` such answers in ``WINDOW``. A request that is
    probably answered waits for its turn; the caller of a doubtful one does something else
    meanwhile. At any other index a kind of document is not requested any more after
    ``MAX_IN_A_ROW`` were missing. Nothing is requested a third time that was missing twice.
    """

    def __init__(self, clock: Clock, events: EventSink, is_pypi: Callable[[], bool]) -> None:
        """Take the collaborators; ``is_pypi`` may be slow, and is only called near a limit."""
        self._clock = clock
        self._events = events
        self._is_pypi = is_pypi
        self._answers: deque[float] = deque()
        self._running = 0
        self._ended = asyncio.Event()
        self._missing: Counter[str] = Counter()
        self._in_a_row: Counter[Kind] = Counter()
        self._reported: set[str] = set()
        self.share = 1.0
        """The part of the pace that this process has; the others have the rest."""

    @asynccontextmanager
    async def counted(self, url: str, kind: Kind, *, doubtful: bool = False) -> AsyncIterator[None]:
        """Wait until a request may be sent; send it in this context, which counts the answer.

        :raises SkippedRequest: if it need not be sent, because nothing is there.
        :raises PacedRequest: if it is doubtful and would have to wait for minutes.
        """
        await self._begin(url, kind, doubtful=doubtful)
        try:
            yield
        except MissingResource:
            self._in_a_row[kind] += 1
            self._missing[url] += 1
            self._answers.append(self._clock.monotonic())
            if len(self._answers) > PACE:
                self._answers.popleft()
            raise
        else:
            self._in_a_row[kind] = 0
        finally:
            self._running -= 1
            self._ended.set()

    async def _begin(self, url: str, kind: Kind, *, doubtful: bool) -> None:
        self._check_skipped(url, kind)
        pace = DOUBTFUL_DOCUMENTS if doubtful and kind is Kind.LEGACY else PACE
        most = max(1, int(pace * self.share))
        doubtful |= kind is Kind.SIDECAR and self._in_a_row[kind] >= _DOUBTED_AFTER
        while len(self._answers) + self._running >= most and self._is_pypi():
            while self._answers and self._answers[0] <= self._clock.monotonic() - WINDOW:
                self._answers.popleft()
            if len(self._answers) >= most:
                await self._wait(url, doubtful=doubtful)
            elif len(self._answers) + self._running >= most:
                self._ended.clear()
                await self._ended.wait()
        self._running += 1

    async def _wait(self, url: str, *, doubtful: bool) -> None:
        """Wait until the first of the answers is older than the window.

        :raises PacedRequest: instead, if the request is doubtful; with the time after which all of
            them are: what waits together must not be woken for each of them.
        """
        self._report(
            'the index answered "not found" too often for five minutes at PyPI, which limits that; '
            "other projects that may not exist are requested when the five minutes "
            "are over, or in the next run if this one has nothing else to do"
        )
        now = self._clock.monotonic()
        if doubtful:
            raise PacedRequest(url, self._answers[-1] + WINDOW - now)
        await self._clock.sleep(self._answers[0] + WINDOW - now)

    def _check_skipped(self, url: str, kind: Kind) -> None:
        if self._missing.get(url, 0) >= MAX_ASKED:
            self._report("what was missing twice is not requested again in this run")
            raise SkippedRequest(url, "it was missing twice in this run")
        if kind in _OPTIONAL and self._in_a_row[kind] >= MAX_IN_A_ROW and not self._is_pypi():
            why = f"{MAX_IN_A_ROW} {kind} in a row were missing"
            self._report(f"{why}; no more of them are requested in this run")
            raise SkippedRequest(url, why)

    def _report(self, text: str) -> None:
        if text not in self._reported:
            self._reported.add(text)
            self._events(RequestsLimited(text))
