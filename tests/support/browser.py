"""A real browser without a window, controlled by the DevTools protocol of Chromium."""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.support.programs import require_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), "Escape": ("Escape", 27, "")}


class Page:
    """One page of a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.messages: list[str] = []
        """What the browser logged: errors, and what a policy refused."""

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await asyncio.wait_for(self._socket.receive_json(), 60)
            if answer.get("method") == "Log.entryAdded":
                self.messages.append(answer["params"]["entry"]["text"])
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    async def open(self, url: str) -> None:
        """Open an address, and wait until it is loaded."""
        await self.call("Page.navigate", url=url)
        await self.loaded()

    async def loaded(self) -> None:
        """Wait until the page is loaded."""
        await asyncio.sleep(0.3)
        for _ in range(200):
            if await self.value("document.readyState") == "complete":
                return
            await asyncio.sleep(0.05)

    async def value(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        found = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def press(self, key: str) -> None:
        """Press a key."""
        name, code, text = _KEYS[key]
        common = {"key": name, "code": name, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def type(self, text: str) -> None:
        """Type a text."""
        await self.call("Input.insertText", text=text)

    async def show_as(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the window and the colour scheme."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self, path: Path) -> None:
        """Write a picture of the page."""
        found = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(found["data"]))


@asynccontextmanager
async def browser(home: Path) -> AsyncIterator[Page]:
    """Start a browser, whose files are in ``home``, and yield a page of it.

    The test is skipped without one.
    """
    program = shutil.which("chromium-browser") or require_program("chromium")
    process = await asyncio.create_subprocess_exec(
        *(program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
        *("--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={home}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await _port(home / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                pages = [each for each in await answer.json() if each["type"] == "page"]
            url = pages[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(url, max_msg_size=0) as socket:
                page = Page(socket)
                await page.call("Log.enable")
                yield page
    finally:
        process.kill()
        await process.wait()


async def _port(path: Path) -> int:
    for _ in range(600):
        with suppress(FileNotFoundError, IndexError):
            return int((await asyncio.to_thread(path.read_text)).splitlines()[0])
        await asyncio.sleep(0.1)
    raise AssertionError(f"{path} was not written")
