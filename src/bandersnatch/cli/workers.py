"""Processes that share the load of ``serve``: started, replaced when they end, and stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from bandersnatch.errors import UsageError

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from bandersnatch.cli.session import Session
    from bandersnatch.config.schema import ServeSettings

_PAUSE = 1.0
"""Seconds before a process that has ended is replaced."""

_SHORT_LIFE = 5.0
_MOST_SHORT_LIVES = 5
"""A process that ends so often within so many seconds cannot work here at all."""

_GRACE = 40.0
"""Seconds for a process to end before it is killed."""


class Workers:
    """Processes of ``serve``, one for each group of listening sockets."""

    def __init__(
        self,
        session: Session,
        settings: ServeSettings,
        groups: Sequence[Sequence[socket.socket]],
    ) -> None:
        self._session = session
        self._settings = settings
        self._groups = groups
        self._running: set[asyncio.subprocess.Process] = set()

    async def run(self) -> None:
        """Keep the processes running until this is cancelled; then end them in order.

        :raises UsageError: if a process ends again and again as soon as it is started.
        """
        tasks = [asyncio.ensure_future(self._keep(group)) for group in self._groups]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for each in done:
                each.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """Let each process read its certificate and open its log again."""
        for each in self._running:
            with suppress(ProcessLookupError):
                each.send_signal(signal.SIGHUP)

    async def _keep(self, group: Sequence[socket.socket]) -> None:
        loop, short_lives = asyncio.get_running_loop(), 0
        while short_lives < _MOST_SHORT_LIVES:
            began = loop.time()
            code = await self._run_one(group)
            short_lives = short_lives + 1 if loop.time() - began < _SHORT_LIFE else 0
            self._session.logger.warning("a process ended with status %d; starting another", code)
            await asyncio.sleep(_PAUSE)
        raise UsageError("a process of serve ends whenever it is started; its messages say why")

    async def _run_one(self, group: Sequence[socket.socket]) -> int:
        """Run one process to its end; end it if this is cancelled."""
        descriptors = [each.fileno() for each in group]
        # It has a session of its own: the terminal sends signals to this process alone.
        process = await asyncio.create_subprocess_exec(
            *self._command(descriptors),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=descriptors,
            start_new_session=True,
        )
        self._running.add(process)
        try:
            return await process.wait()
        finally:
            self._running.discard(process)
            await _end(process)

    def _command(self, descriptors: Sequence[int]) -> list[str]:
        arguments, settings = self._session.arguments, self._settings
        command = [sys.executable, "-m", "bandersnatch", "-c", str(arguments.config)]
        command += [f"--{name}" for name in ("debug", "quiet") if getattr(arguments, name)]
        command += ["serve", "--processes", "1", "--until-stdin-closes"]
        for number in descriptors:
            command += ["--listen", f"fd:{number}"]
        for flag, value in (
            ("--tls-certificate", settings.tls_certificate),
            ("--tls-key", settings.tls_key),
            ("--access-log", settings.access_log),
        ):
            command += [flag, value] if value else []
        return command


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process in order, or kill it if that takes too long."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
