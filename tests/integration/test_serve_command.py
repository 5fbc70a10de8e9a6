"""``serve`` as a process: sockets, certificates, signals and several processes."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.processes import default_signals
from tests.support.serving import PAGES, write_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and socket files")


def command(home: Path, *flags: str) -> list[str]:
    """Return the command line of a server of the mirror in ``home``."""
    configuration = home / "bandersnatch.conf"
    if not configuration.exists():
        configuration.write_text(f"[mirror]\ndirectory = {home / 'mirror'}\n")
    return [sys.executable, "-m", "bandersnatch", "-c", str(configuration), "serve", *flags]


@contextmanager
def running(
    home: Path, *flags: str, environment: Mapping[str, str] | None = None, fds: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a server until the block ends; yields once it listens."""
    log = home / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command(home, *flags),
            stderr=output,
            text=True,
            env={**os.environ, **(environment or {})},
            pass_fds=fds,
            preexec_fn=default_signals,  # noqa: PLW1509 - it only sets signals
        )
    try:
        wait_for(log, "serving on")
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(log: Path, text: str) -> str:
    """Wait until a log has a text, and return the log."""
    for _ in range(600):
        if text in (found := log.read_text()):
            return found
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def fetch(port: int, context: ssl.SSLContext | None = None) -> bytes:
    """Return a page."""
    if context is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
    connection.request("GET", "/simple/foo/")
    body = connection.getresponse().read()
    connection.close()
    return body


def fetch_from(path: Path) -> bytes:
    """Return what a server on a socket file answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"GET /simple/foo/ HTTP/1.0\r\n\r\n")
        parts = list(iter(lambda: connection.recv(65536), b""))
    return b"".join(parts)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_tree(tmp_path / "mirror")
    return tmp_path


PAGE = PAGES["simple/foo/index.html"]


def test_a_signal_ends_it_in_order(home: Path) -> None:
    port = free_port()
    with running(home, "--listen", f"127.0.0.1:{port}", "--access-log", str(home / "a")) as process:
        assert fetch(port) == PAGE
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    assert '"GET /simple/foo/ HTTP/1.1" 200' in (home / "a").read_text()
    assert "Traceback" not in (home / "log").read_text()


def test_a_socket_file_of_a_dead_server_is_replaced(home: Path) -> None:
    path = home / "s.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))

    with running(home, "--listen", f"unix:{path}"):
        assert fetch_from(path).endswith(PAGE)
        second = subprocess.run(
            command(home, "--listen", f"unix:{path}"), capture_output=True, text=True, check=False
        )

    assert second.returncode == 2
    assert "cannot listen on unix:" in second.stderr


def test_sockets_of_systemd_are_used(home: Path) -> None:
    """As ``systemd-socket-activate`` does: descriptor 3, and the number of the process."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        program = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1',"
            " LISTEN_PID=str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
        )
        with (home / "log").open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", program, str(listening.fileno()), *command(home)],
                stderr=output,
                pass_fds=(listening.fileno(),),
            )
        try:
            wait_for(home / "log", f"serving on http://127.0.0.1:{port}/")
            assert fetch(port) == PAGE
        finally:
            process.kill()
            process.wait()


def test_processes_share_the_load_and_are_replaced(home: Path) -> None:
    port = free_port()
    flags = ("--listen", f"127.0.0.1:{port}", "--listen", f"unix:{home / 's'}", "--processes", "2")
    with running(home, *flags) as process:
        assert {fetch(port) for _ in range(8)} == {PAGE}
        assert fetch_from(home / "s").endswith(PAGE)
        first, second = children(process.pid)
        os.kill(first, signal.SIGKILL)
        wait_for(home / "log", "starting another")
        for _ in range(100):
            if len(children(process.pid)) == 2:
                break
            time.sleep(0.1)
        assert second in children(process.pid)
        assert {fetch(port) for _ in range(4)} == {PAGE}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert not alive(second)


def test_processes_end_when_the_first_is_killed(home: Path) -> None:
    with running(home, "--listen", "127.0.0.1:0", "--processes", "2") as process:
        wait_for_children(process.pid, 2)
        found = children(process.pid)
        process.kill()
        process.wait()
        for _ in range(300):
            if not any(map(alive, found)):
                break
            time.sleep(0.1)
        assert not any(map(alive, found))


def children(number: int) -> list[int]:
    """Return the processes that a process has started."""
    found = subprocess.run(
        ["pgrep", "-P", str(number)], capture_output=True, text=True, check=False
    )
    return sorted(map(int, found.stdout.split()))


def wait_for_children(number: int, count: int) -> None:
    """Wait until a process has started so many others."""
    for _ in range(300):
        if len(children(number)) == count:
            return
        time.sleep(0.1)


def alive(number: int) -> bool:
    """Whether a process is running."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def test_a_certificate_is_read_again(home: Path) -> None:
    authorities = [trustme.CA(), trustme.CA()]
    port, files = free_port(), (home / "cert.pem", home / "key.pem")

    def write(authority: trustme.CA) -> ssl.SSLContext:
        certificate = authority.issue_cert("127.0.0.1")
        files[0].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        files[1].write_bytes(certificate.private_key_pem.bytes())
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    first = write(authorities[0])
    flags = ("--tls-certificate", str(files[0]), "--tls-key", str(files[1]))
    with running(home, "--listen", f"127.0.0.1:{port}", *flags) as process:
        assert fetch(port, first) == PAGE
        second = write(authorities[1])
        process.send_signal(signal.SIGHUP)
        wait_for(home / "log", "the certificate was read again")
        assert fetch(port, second) == PAGE
        files[1].write_text("nonsense")
        process.send_signal(signal.SIGHUP)
        wait_for(home / "log", "the old certificate stays in use")
        assert fetch(port, second) == PAGE


def test_a_log_that_was_rotated_is_opened_again(home: Path) -> None:
    port, log = free_port(), home / "access.log"
    with running(home, "--listen", f"127.0.0.1:{port}", "--access-log", str(log)) as process:
        fetch(port)
        wait_for(log, "GET")
        log.rename(home / "access.log.1")
        process.send_signal(signal.SIGHUP)
        for _ in range(100):
            if log.exists():
                break
            time.sleep(0.1)
        fetch(port)
        wait_for(log, "GET")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--listen", "nonsense"], "is not an address and port like"),
        (["--listen", "127.0.0.1:99999"], "is not an address and port like"),
        (["--listen", "unix:"], "is not a path"),
        (["--listen", "192.0.2.1:8080"], "this machine has no such address"),
        (["--listen", "fd:77"], "cannot listen on fd:77"),
        (["--listen", "unix:{home}/file"], "a file that is not a socket has this name"),
        (["--listen", "unix:{home}/no/such/s"], "cannot listen on unix:"),
        (["--listen", "{used}"], "another program uses this port"),
        (["--processes", "0"], "is not from 1 to 64"),
        (["--processes", "many"], "is not a whole number"),
        (["--tls-key", "{home}/key"], "--tls-key needs --tls-certificate"),
        (["--tls-certificate", "{home}/missing"], "cannot be read: No such file"),
        (["--tls-certificate", "{home}/file"], "not a certificate and its key in PEM format"),
        (["--tls-certificate", "{home}/cert", "--tls-key", "{home}/other"], "does not belong to"),
        (["--tls-certificate", "{home}/cert", "--tls-key", "{home}/locked"], "has a passphrase"),
        (["--listen", "127.0.0.1:0", "--access-log", "{home}"], "Is a directory"),
        (["--listen", "127.0.0.1:0", "--access-log", "{home}/mirror/status"], "own files"),
    ],
)
def test_what_cannot_work_is_one_sentence(home: Path, flags: list[str], message: str) -> None:
    (home / "file").write_text("text")
    write_certificates(home)
    with socket.create_server(("127.0.0.1", 0)) as used:
        values = {"home": home, "used": f"127.0.0.1:{used.getsockname()[1]}"}
        ran = subprocess.run(
            command(home, *(flag.format(**values) for flag in flags)),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert ran.returncode in {2, 7}
    assert message in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def write_certificates(home: Path) -> None:
    """Write a certificate, the key of another one, and a key with a passphrase."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    mine, other = trustme.CA().issue_cert("a.example"), trustme.CA().issue_cert("b.example")
    (home / "cert").write_bytes(mine.cert_chain_pems[0].bytes())
    (home / "other").write_bytes(other.private_key_pem.bytes())
    key = serialization.load_pem_private_key(mine.private_key_pem.bytes(), None)
    (home / "locked").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
