"""The limits on requests of one process that has a share of the budgets of several."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from bandersnatch.index.transport import Budgets, Transport


class ShareOfBudgets(Protocol):
    """A share: requests at a time, and the permille of everything else."""

    @property
    def index(self) -> int:
        """Requests to the index at a time."""
        ...

    @property
    def files(self) -> int:
        """Requests for files at a time."""
        ...

    @property
    def permille(self) -> int:
        """The part of everything else."""
        ...


class SharedBudget:
    """Keeps the permits of a semaphore that belong to other processes.

    At first it keeps all of them.
    """

    def __init__(self, semaphore: asyncio.Semaphore, total: int) -> None:
        self._semaphore = semaphore
        self._total = total
        self._kept = 0
        self._target = total
        self._task: asyncio.Task[None] | None = None
        self.assign(0)

    @property
    def held(self) -> int:
        """The permits that this process may use at the moment."""
        return self._total - self._kept

    def assign(self, share: int) -> None:
        """Keep all permits but ``share``; a running request keeps its own until it ends."""
        self._target = self._total - min(share, self._total)
        while self._kept > self._target:
            self._kept -= 1
            self._semaphore.release()
        if self._kept < self._target and (self._task is None or self._task.done()):
            self._task = asyncio.ensure_future(self._keep_more())

    async def _keep_more(self) -> None:
        while self._kept < self._target:
            await self._semaphore.acquire()
            if self._kept < self._target:
                self._kept += 1
            else:
                self._semaphore.release()

    def close(self) -> None:
        """Stop waiting for permits."""
        if self._task is not None:
            self._task.cancel()


class SharedLimits:
    """The limits of a process; ``bind`` says where they apply."""

    def __init__(self) -> None:
        self._budgets: tuple[SharedBudget, SharedBudget] | None = None
        self._transport: Transport | None = None
        self._permille = 0
        self._heard: Callable[[str, float], None] = lambda _, __: None

    def bind(self, budgets: Budgets, index: int, files: int, transport: Transport) -> None:
        """Apply the limits to budgets of these sizes, and to a transport."""
        self._budgets = SharedBudget(budgets.index, index), SharedBudget(budgets.files, files)
        self._transport = transport
        transport.on_pause = self._heard_pause

    def close(self) -> None:
        """Stop changing the limits."""
        for each in self._budgets or ():
            each.close()
        self._budgets = self._transport = None

    def assign(self, share: ShareOfBudgets, /) -> None:
        """Change the share; what is running goes on."""
        if self._budgets is None or self._transport is None:
            return
        self._budgets[0].assign(share.index)
        self._budgets[1].assign(share.files)
        self._permille = share.permille
        self._transport.limiter.share = self._transport.missing.share = share.permille / 1000

    @property
    def held(self) -> tuple[int, int, int]:
        """What is used of each budget: requests to the index, for files, and the permille."""
        if self._budgets is None:
            return 0, 0, 0
        return self._budgets[0].held, self._budgets[1].held, self._permille

    def pause(self, host: str, seconds: float, /) -> None:
        """Send nothing to a host for some seconds."""
        if self._transport is not None:
            self._transport.pause(host, seconds)

    def on_pause(self, call: Callable[[str, float], None], /) -> None:
        """Call this with the host and the seconds of each pause that a host asks for."""
        self._heard = call

    def _heard_pause(self, host: str, seconds: float) -> None:
        self._heard(host, seconds)
