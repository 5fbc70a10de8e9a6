"""Compares ``bandersnatch serve`` with nginx (one worker) on one tree: ``python bench/serving.py``.

Both servers run on one core, and wrk on another one, in turns, so that what else the machine does
meets both. Needs nginx and wrk (Debian's packages), and two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = 1_000
CONNECTIONS = 64
JSON = "application/vnd.pypi.simple.v1+json"
FILE = "packages/aa/bb/" + "c" * 60 + "/big-1.0-py3-none-any.whl"
FILE_SIZE = 10 * 1024**2
SERVER_CORE, CLIENT_CORE = "0", "1"

NGINX = """
daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ worker_connections 2048; }}
http {{
    access_log {home}/nginx-access.log;
    sendfile on; tcp_nopush on; keepalive_requests 100000000;
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f;
    uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
    map $http_accept $page {{
        default index.html;
        "~*application/vnd\\.pypi\\.simple\\.(v1|latest)\\+json" index.v1_json;
    }}
    server {{
        listen 127.0.0.1:{port} reuseport;
        root {tree}/web;
        location ~ ^/simple/(?<path>(?:[a-z0-9]+(?:-[a-z0-9]+)*/)?)$ {{
            types {{ {json} v1_json; text/html html; }}
            gzip_static on;
            add_header Vary Accept always;
            add_header Cache-Control "public, max-age=600" always;
            try_files /simple/$path$page =404;
        }}
        location /packages/ {{ types {{ }} default_type application/octet-stream; }}
    }}
}}
"""

SCRIPT = """
local n = 0
request = function()
  n = (n * 1103515245 + 12345) % 2147483648
  return wrk.format("GET", string.format("{path}", n % {names}), {{ {headers} }})
end
done = function(summary, latency)
  io.write(string.format("RESULT %d %f %d %d\\n", summary.requests, summary.duration / 1e6,
    latency:percentile(99), summary.errors.status + summary.errors.timeout + summary.errors.read))
end
"""


class Measured(NamedTuple):
    """Requests per second, the 99th percentile of their times in milliseconds, and the work.

    ``work`` is processor time of the server in microseconds per request: other programs that run
    at the same time change it little.
    """

    rate: float
    p99: float
    work: float


def write_tree(root: Path) -> None:
    """Write the pages of many projects, and one large file."""
    for number in range(NAMES):
        name = f"project-{number:04}"
        files = [
            {
                "filename": f"{name}-{version}.0-py3-none-any.whl",
                "hashes": {"sha256": f"{number * version:064x}"},
                "size": 12345,
                "upload-time": "2026-11-30T12:00:00.000000Z",
                "url": f"../../packages/aa/bb/{'c' * 60}/{name}-{version}.0-py3-none-any.whl",
                "yanked": False,
            }
            for version in range(1, 41)
        ]
        page = {"meta": {"api-version": "1.4"}, "name": name, "versions": [], "files": files}
        directory = root / "web" / "simple" / name
        directory.mkdir(parents=True)
        content = json.dumps(page).encode()
        (directory / "index.v1_json").write_bytes(content)
        (directory / "index.v1_json.gz").write_bytes(gzip.compress(content, 6))
    target = root / "web" / FILE
    target.parent.mkdir(parents=True)
    target.write_bytes(os.urandom(FILE_SIZE))


@contextlib.contextmanager
def server(command: list[str], port: int, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server on its core until the block ends; yields once it answers."""
    pinned = ["taskset", "-c", SERVER_CORE] if "--processes" not in command else []
    with (home / f"{port}.log").open("wb") as log:
        process = subprocess.Popen([*pinned, *command], stdout=log, stderr=log)
    try:
        for _ in range(400):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{FILE}").close()
                break
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


def nginx(home: Path, tree: Path, port: int) -> list[str]:
    """Return the command of nginx."""
    configuration = home / "nginx.conf"
    configuration.write_text(NGINX.format(home=home, tree=tree, port=port, json=JSON))
    return ["nginx", "-c", str(configuration)]


def serve(home: Path, tree: Path, port: int, *flags: str) -> list[str]:
    """Return the command of ``serve``, with its log on."""
    configuration = home / "bandersnatch.conf"
    configuration.write_text(f"[mirror]\ndirectory = {tree}\n")
    command = [sys.executable, "-m", "bandersnatch", "-c", str(configuration), "serve"]
    return [*command, "--listen", f"127.0.0.1:{port}", "--access-log", f"{home}/a.log", *flags]


def work_of(process: subprocess.Popen[bytes]) -> float:
    """Return the seconds of processor time of a process and of those that it has started."""
    listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=False)
    total = 0
    for number in [process.pid, *map(int, listed.stdout.split())]:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def measure(
    home: Path,
    process: subprocess.Popen[bytes],
    port: int,
    path: str,
    headers: dict[str, str],
    seconds: int,
) -> Measured:
    """Run wrk, and return what it measured."""
    lines = ", ".join(f'["{name}"] = "{value}"' for name, value in headers.items())
    script = home / "wrk.lua"
    script.write_text(SCRIPT.format(path=path, names=NAMES, headers=lines))
    command = ["taskset", "-c", CLIENT_CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    command += ["--timeout", "30s", "-s", str(script), f"http://127.0.0.1:{port}/"]
    before = work_of(process)
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    work = work_of(process) - before
    found = re.search(r"RESULT (\d+) ([\d.]+) (\d+) (\d+)", ran.stdout)
    assert found is not None, ran.stdout
    assert found[4] == "0", ran.stdout
    count = int(found[1])
    return Measured(count / float(found[2]), int(found[3]) / 1000, work / count * 1e6)


def compare(home: Path, tree: Path, arguments: argparse.Namespace) -> None:
    """Measure both servers in turns, and print the medians and their ratios."""
    cases = {
        "JSON pages, identity": ("/simple/project-%04d/", {"Accept": JSON}),
        "JSON pages, gzip": (
            "/simple/project-%04d/",
            {"Accept": f"{JSON}, text/html;q=0.1", "Accept-Encoding": "gzip"},
        ),
        "files of 10 MB": (f"/{FILE}?%d", {}),
    }
    head = f"{'requests/s':>15} {'ratio':>6} {'us/request':>15} {'ratio':>6} {'p99 ms':>15}"
    print(f"{'case':24} {head}")
    ours = server(serve(home, tree, 8302), 8302, home)
    with server(nginx(home, tree, 8301), 8301, home) as first, ours as second:
        processes = {8301: first, 8302: second}
        for name, (path, headers) in cases.items():
            if arguments.case not in name:
                continue
            found: dict[int, list[Measured]] = {port: [] for port in processes}
            for round_ in range(arguments.rounds + 1):
                for port, process in processes.items():
                    seconds = arguments.seconds if round_ else 2  # the first fills the caches
                    value = measure(home, process, port, path, headers, seconds)
                    found[port] += [value] if round_ else []
            print(f"{name:24} {_row(found[8301], found[8302])}")


def _row(theirs: list[Measured], ours: list[Measured]) -> str:
    """Return the medians of two servers that were measured in turns, and of their ratios."""
    pairs = list(zip(theirs, ours, strict=True))
    rate = statistics.median(b.rate / a.rate for a, b in pairs)
    work = statistics.median(a.work / b.work for a, b in pairs)
    columns = [
        [statistics.median(column) for column in zip(*values, strict=True)]
        for values in (theirs, ours)
    ]
    (rate1, p1, work1), (rate2, p2, work2) = columns
    return (
        f"{rate1:7.0f} {rate2:7.0f} {rate:6.2f} {work1:7.0f} {work2:7.0f} {work:6.2f}"
        f" {p1:7.1f} {p2:7.1f}"
    )


def measure_processes(home: Path, tree: Path, arguments: argparse.Namespace) -> None:
    """Print the rate of one process and of two."""
    for count in ("1", "2"):
        with server(serve(home, tree, 8303, "--processes", count), 8303, home) as process:
            time.sleep(3)
            headers, path = {"Accept": JSON, "Accept-Encoding": "gzip"}, "/simple/project-%04d/"
            measure(home, process, 8303, path, headers, 2)
            found = measure(home, process, 8303, path, headers, arguments.seconds)
            print(f"--processes {count}: {found.rate:.0f} requests/s, p99 {found.p99:.1f} ms")


def measure_memory(home: Path, tree: Path) -> None:
    """Print the largest memory while 64 clients fetch the root page of 700,000 projects."""
    simple = tree / "web" / "simple"
    entries = ({"_last-serial": n, "name": f"project-{n:06}-name"} for n in range(700_000))
    text = ", ".join(map(json.dumps, entries))
    content = f'{{"meta": {{"api-version": "1.4"}}, "projects": [{text}]}}'.encode()
    (simple / "index.v1_json").write_bytes(content)
    for encoding in ("identity", "gzip"):
        with server(serve(home, tree, 8304), 8304, home) as process:
            began = time.monotonic()
            taken = asyncio.run(fetch_often(8304, encoding))
            seconds = time.monotonic() - began
            memory = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            assert memory is not None
            print(
                f"root page of {len(content) / 1e6:.0f} MB, {encoding}: {CONNECTIONS} clients took"
                f" {taken / 1e6:.0f} MB in {seconds:.1f} s, memory {int(memory[1]) / 1024:.0f} MB"
            )


async def fetch_often(port: int, encoding: str) -> int:
    """Fetch the root page by many clients at once; return the bytes that came."""

    async def fetch() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"GET /simple/ HTTP/1.0\r\nAccept: {JSON}\r\nAccept-Encoding: {encoding}\r\n\r\n"
        writer.write(head.encode())
        count = 0
        while data := await reader.read(2**18):
            count += len(data)
        writer.close()
        return count

    return sum(await asyncio.gather(*(fetch() for _ in range(CONNECTIONS))))


def measure_start(home: Path, tree: Path) -> None:
    """Print how long the server takes from its start to its first answer."""
    times = []
    for _ in range(5):
        began = time.monotonic()
        with server(serve(home, tree, 8305), 8305, home):
            times.append(time.monotonic() - began)
    print(f"start: {statistics.median(times):.2f} s to the first answer")


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--case", default="", help="the cases whose names have this text")
    parser.add_argument("--only", choices=["compare", "processes", "memory", "start"])
    arguments = parser.parse_args()
    for program in ("nginx", "wrk", "taskset"):
        assert shutil.which(program), f"{program} is not installed"
    with tempfile.TemporaryDirectory() as directory:
        home, tree = Path(directory), Path(directory) / "mirror"
        home.chmod(0o755)
        write_tree(tree)
        if arguments.only in {None, "start"}:
            measure_start(home, tree)
        if arguments.only in {None, "compare"}:
            compare(home, tree, arguments)
        if arguments.only in {None, "processes"}:
            measure_processes(home, tree, arguments)
        if arguments.only in {None, "memory"}:
            measure_memory(home, tree)


if __name__ == "__main__":
    main()
