"""Messages to systemd about the state of a service (``sd_notify(3)``)."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ServiceManager:
    """Sends messages to the service manager that started this process, if one did."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Take the environment, in which the manager names its socket."""
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._interval = _watchdog_interval(environment)

    def send(self, *lines: str) -> None:
        """Send assignments such as ``READY=1``; a manager that does not listen misses them."""
        if not self._address:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened,
        ):
            opened.settimeout(0)  # the event loop must not wait
            opened.sendto("\n".join(lines).encode(), self._address)

    async def keep_alive(self) -> None:
        """Tell the manager regularly that the event loop works, until this is cancelled."""
        while self._interval:
            self.send("WATCHDOG=1")
            await asyncio.sleep(self._interval)


def _watchdog_interval(environment: Mapping[str, str]) -> float:
    """Return the seconds between two signs of life: half of what is permitted; 0 for none."""
    text = environment.get("WATCHDOG_USEC", "")
    is_ours = environment.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
    return int(text) / 2_000_000 if is_ours and text.isdecimal() else 0.0
