"""Measures how the throughput of a first run grows with the number of workers.

    python bench/cluster.py [--projects 60] [--files 4] [--rate 10] [--workers 1 2 4]

One process serves the index and the files on the loopback interface, and gives each worker so many
megabytes of files a second, however many connections it has: workers are told from each other by
the comment of their user agent, which is not a part of the configuration that has to be equal.
The coordinator syncs nothing itself. Needs PostgreSQL and the extra ``cluster``.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from database import database
from serve import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 64 * 1024
_SIZE = 1_000_000
"""Bytes of a file."""

_CONFIG = """\
[mirror]
directory = {directory}
master = http://127.0.0.1:{port}
allow-non-https = true
workers = 64
download-workers = 64
sweep-interval = 0
core-metadata = false
catalogue = {catalogue}
cluster = true
user-agent-comment = {agent}
[plugins]
enabled = allowlist_project
[allowlist]
packages =
{names}
"""


class _Host:
    """The index and the file host; ``rate`` is in bytes a second for each user agent."""

    def __init__(self, projects: int, files: int, rate: float) -> None:
        self.names = [f"project-{number:04}" for number in range(projects)]
        self._files = files
        self._rate = rate
        self._free_at: dict[str, float] = defaultdict(float)
        self.sent = 0

    def _content(self, name: str, number: int) -> bytes:
        seed = hashlib.sha256(f"{name} {number}".encode()).digest()
        return (seed * (_SIZE // len(seed) + 1))[:_SIZE]

    async def page(self, request: web.Request) -> web.Response:
        """Answer a request for the page of a project."""
        name = request.match_info["name"]
        files = []
        for number in range(self._files):
            content = self._content(name, number)
            path = hashlib.blake2b(content, digest_size=32).hexdigest()
            filename = f"{name.replace('-', '_')}-{number}.0-py3-none-any.whl"
            files.append(
                {
                    "filename": filename,
                    "url": f"/packages/{path[:2]}/{path[2:4]}/{path[4:]}/{filename}",
                    "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
                    "size": _SIZE,
                    "upload-time": "2026-01-01T00:00:00Z",
                }
            )
        page = {
            "meta": {"api-version": "1.1", "_last-serial": 7},
            "name": name,
            "versions": [f"{number}.0" for number in range(self._files)],
            "files": files,
        }
        return web.Response(
            body=json.dumps(page),
            content_type="application/vnd.pypi.simple.v1+json",
            headers={"X-PyPI-Last-Serial": "7"},
        )

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Send a file no faster than the rate of its client."""
        agent = request.headers.get("User-Agent", "")
        stem, _, rest = request.match_info["filename"].partition("-")
        content = self._content(stem.replace("_", "-"), int(rest.partition(".")[0]))
        response = web.StreamResponse(headers={"Content-Length": str(_SIZE)})
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        for start in range(0, _SIZE, _CHUNK):
            piece = content[start : start + _CHUNK]
            self._free_at[agent] = max(self._free_at[agent], loop.time()) + len(piece) / self._rate
            await asyncio.sleep(self._free_at[agent] - loop.time())
            await response.write(piece)
            self.sent += len(piece)
        return response


@contextmanager
def _served(host: _Host) -> Iterator[int]:
    """Serve in a thread, and yield the port."""
    port, loop = free_port(), asyncio.new_event_loop()
    application = web.Application()
    application.router.add_get("/simple/{name}/", host.page)
    application.router.add_get("/packages/{a}/{b}/{c}/{filename}", host.file)
    runner = web.AppRunner(application)
    ready = threading.Event()

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        ready.set()

    def serve() -> None:
        loop.run_until_complete(start())
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _write_config(home: Path, agent: str, **values: object) -> Path:
    path = home / f"{agent}.conf"
    path.write_text(_CONFIG.format(agent=agent, **values))
    path.chmod(0o600)
    return path


def measure(host: _Host, port: int, count: int, catalogue: str) -> tuple[float, float]:
    """Return the seconds of a first run with so many workers, and the bytes a second."""
    home = Path(tempfile.mkdtemp(prefix="bandersnatch-bench-", dir="/dev/shm"))
    values = {
        "directory": home / "mirror",
        "port": port,
        "catalogue": catalogue,
        "names": "\n".join(f"    {name}" for name in host.names),
    }
    program = [sys.executable, "-m", "bandersnatch", "--quiet", "-c"]
    host.sent = 0
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home)
        for number in range(count):
            config = _write_config(home, f"worker{number}", **values)
            worker = subprocess.Popen([*program, str(config), "work"])
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
        time.sleep(5)  # they have started, and wait for a run
        config = _write_config(home, "coordinator", **values)
        began = time.perf_counter()
        subprocess.run([*program, str(config), "mirror"], check=True)
        seconds = time.perf_counter() - began
        stored = sum(1 for _ in (home / "mirror/web/packages").rglob("*.whl"))
        assert stored * _SIZE == host.sent, (stored, host.sent)
    return seconds, host.sent / seconds


def main() -> None:
    """Measure, and print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--projects", type=int, default=60)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--rate", type=float, default=10.0, help="megabytes a second of a worker")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    arguments = parser.parse_args()
    host = _Host(arguments.projects, arguments.files, arguments.rate * 1e6)
    first = None
    with database() as server, _served(host) as port:
        for number, count in enumerate(arguments.workers):
            catalogue = f"{server.url}&schema=bench{number}"
            seconds, rate = measure(host, port, count, catalogue)
            first = first or rate
            bound = arguments.rate * 1e6 * count
            print(
                f"{count} worker(s): {seconds:.1f} s, {rate / 1e6:.1f} MB/s, "
                f"{rate / first:.2f} x of the first, {rate / bound:.0%} of the workers' rate"
            )


if __name__ == "__main__":
    main()
