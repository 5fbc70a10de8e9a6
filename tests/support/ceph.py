"""A Ceph RADOS Gateway on the loopback interface: a real object store, from Debian's packages.

Everything that it stores is in memory. It needs ``apt-get install --no-install-recommends radosgw
ceph-mon ceph-osd``. Without these tests that use it are skipped, or fail if the environment has
``REQUIRE_SERVICES=1``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from tests.support.programs import require_program
from tests.support.sockets import free_ports
from tests.support.swift import Swift

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCESS_KEY, SECRET_KEY = "test:tester", "SKTEST"
BUCKET = "mirrors"
PACKAGES = "radosgw ceph-mon ceph-osd"
_TOOLS = (
    "ceph",
    "ceph-authtool",
    "ceph-mon",
    "ceph-osd",
    "monmaptool",
    "radosgw",
    "radosgw-admin",
)
_START_LIMIT = 120
"""Seconds; it takes one or two on a machine that does nothing else."""

_CONFIGURATION = """[global]
fsid = {cluster}
mon host = [v2:127.0.0.1:{monitor}/0,v1:127.0.0.1:{monitor_v1}/0]
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
ms bind ipv6 = false
keyring = {home}/keyring
run dir = {home}/run
admin socket = {home}/run/$cluster-$name.$pid.asok
pid file = {home}/run/$name.pid
log file = {home}/log/$name.log
crash dir = {home}/log
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
# Without these two lines the start takes 12 seconds.
paxos propose interval = 0.02
paxos min wait = 0.01
[mon]
mon data = {home}/mon.a
mon data avail warn = 1
mon data avail crit = 1
[osd]
osd data = {home}/osd.0
osd objectstore = memstore
memstore device bytes = 4G
osd class load list = *
osd class default list = *
[client]
objecter tick interval = 0.1
mon client hunt interval = 0.1
rgw gc obj min wait = 1
rgw gc processor period = 2
rgw gc processor max time = 2
rgw data = {home}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw run sync thread = false
rgw enable apis = s3
"""


def require_ceph() -> None:
    """Skip the test if a program of Ceph is missing; let it fail where services are required."""
    for tool in _TOOLS:
        require_program(tool, f"apt-get install {PACKAGES}")


class Ceph:
    """One monitor, one store and one gateway, with a bucket; a context."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.port, self._monitor, self._monitor_v1 = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Kill it; it has nothing to save."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGKILL)
        for process in self._processes:
            process.wait()
        self._processes.clear()

    def _start(self) -> None:
        home, cluster, osd = self._home, str(uuid.uuid4()), str(uuid.uuid4())
        for name in ("mon.a", "osd.0", "rgw", "run", "log"):
            (home / name).mkdir(parents=True)
        text = _CONFIGURATION.format(
            cluster=cluster,
            home=home,
            monitor=self._monitor,
            monitor_v1=self._monitor_v1,
            port=self.port,
        )
        (home / "ceph.conf").write_text(text)
        self._create_keys()
        addresses = f"[v2:127.0.0.1:{self._monitor},v1:127.0.0.1:{self._monitor_v1}]"
        monitors, keys = str(home / "monmap"), str(home / "keyring")
        self._run(
            "monmaptool", "--create", "--clobber", "--fsid", cluster, "--addv", "a", addresses,
            monitors, is_configured=False,
        )  # fmt: skip
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", keys)
        self._start_process("ceph-mon", "-i", "a")
        self._run("ceph", "--connect-timeout", "60", "osd", "new", osd)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._start_process("ceph-osd", "-i", "0")
        self._start_process("radosgw", "-n", "client.admin")
        self._wait()
        self._run(
            "radosgw-admin", "user", "create", "--uid", "test", "--display-name", "test",
            "--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY,
        )  # fmt: skip
        self.create_bucket(BUCKET)

    def _create_keys(self) -> None:
        keys = str(self._home / "keyring")
        new = ("ceph-authtool", "--create-keyring", keys, "--gen-key", "-n", "mon.")
        self._run(*new, "--cap", "mon", "allow *", is_configured=False)
        for name, monitor in (("client.admin", "allow *"), ("osd.0", "allow profile osd")):
            caps = ("--cap", "mon", monitor, "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
            self._run("ceph-authtool", keys, "--gen-key", "-n", name, *caps, is_configured=False)

    def _run(self, program: str, *arguments: str, is_configured: bool = True) -> None:
        which = ("-c", str(self._home / "ceph.conf")) if is_configured else ()
        subprocess.run(
            [program, *which, *arguments], check=True, capture_output=True, timeout=_START_LIMIT
        )

    def _start_process(self, program: str, *arguments: str) -> None:
        command = [program, "-c", str(self._home / "ceph.conf"), *arguments, "-f"]
        if shutil.which("setpriv") is not None:  # it ends also if the tests are killed
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        with (self._home / "log" / f"{program}.err").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
            )
        self._processes.append(process)

    def _wait(self) -> None:
        limit = time.monotonic() + _START_LIMIT
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
            except urllib.error.HTTPError:
                return
            except OSError as error:
                ended = [each.args for each in self._processes if each.poll() is not None]
                if ended or time.monotonic() > limit:
                    text = f"Ceph did not start; ended: {ended}; see {self._home / 'log'}"
                    raise RuntimeError(text) from error
                time.sleep(0.03)
            else:
                return

    def create_bucket(self, name: str) -> None:
        """Create a bucket."""
        from obstore.store import S3Store  # noqa: PLC0415 - not for the tests that need no store

        store = S3Store(
            name,
            config={
                "endpoint": self.url,
                "access_key_id": ACCESS_KEY,
                "secret_access_key": SECRET_KEY,
                "region": "us-east-1",
            },
            client_options={"allow_http": True},
        )
        from obstore import sign  # noqa: PLC0415

        url = sign(store, "PUT", "", timedelta(minutes=1))
        urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=60).close()


Store: TypeAlias = Ceph | Swift
"""What the tests of buckets run on."""


class SharedCeph:
    """A store that is started when it is needed first, and shared by the tests of one process.

    It is a Ceph, or a Swift where the variable ``SWIFT`` names its programs.
    """

    def __init__(self) -> None:
        self._home: Path | None = None
        self._running: Store | None = None

    def get(self) -> Store:
        """Return it; skip the test if it is not installed."""
        programs = os.environ.get("SWIFT")
        if not programs:
            require_ceph()
        if self._running is None:
            home = self._home = Path(tempfile.mkdtemp(prefix="store"))
            keys = (ACCESS_KEY, SECRET_KEY, BUCKET)
            store = Swift(home, Path(programs), *keys) if programs else Ceph(home)
            self._running = store.__enter__()
        return self._running

    def stop(self) -> None:
        """End it, and delete its files."""
        if self._running is not None:
            self._running.__exit__()
        if self._home is not None:
            shutil.rmtree(self._home)


def shared_ceph() -> Iterator[SharedCeph]:
    """Yield what starts a Ceph, and stop it at the end."""
    shared = SharedCeph()
    try:
        yield shared
    finally:
        shared.stop()
