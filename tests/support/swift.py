"""OpenStack Swift with its layer for the S3 protocol, on the loopback interface.

It is installed from PyPI into an environment of its own; the variable ``SWIFT`` names the directory
of its programs (``tox -e swift`` does both).
"""

from __future__ import annotations

import getpass
import signal
import subprocess
import time
import urllib.error
import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from tests.support.sockets import free_ports

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_START_LIMIT = 120
"""Seconds; it takes three on a machine that does nothing else."""

_SERVERS = ("object", "container", "account")
_RINGS = """
import sys
from swift.common.ring import RingBuilder

home, *ports = sys.argv[1:]
for name, port in zip(("object", "container", "account"), ports):
    builder = RingBuilder(4, 1, 0)
    address = {"ip": "127.0.0.1", "port": int(port)}
    copy = {"replication_ip": "127.0.0.1", "replication_port": int(port)}
    place = {"id": 0, "region": 1, "zone": 1, "device": "d1", "weight": 1.0, "meta": ""}
    builder.add_dev({**address, **copy, **place})
    builder.rebalance()
    builder.get_ring().save(f"{home}/{name}.ring.gz")
"""
_MAIN = """[swift-hash]
swift_hash_path_prefix = prefix
swift_hash_path_suffix = suffix
[storage-policy:0]
name = default
default = yes
"""
_FILTERS = (
    "catch_errors", "gatekeeper", "etag_quoter", "listing_formats", "bulk", "s3api", "tempauth",
    "copy", "slo", "dlo", "versioned_writes", "symlink",
)  # fmt: skip
_OPTIONS = {
    "s3api": "location = us-east-1\ndns_compliant_bucket_names = true\n",
    "versioned_writes": "allow_versioned_writes = true\nallow_object_versioning = true\n",
}
_COMMON = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {home}/etc
user = {user}
workers = 1
log_address = /nonexistent
log_level = ERROR
"""
_PROXY = """[pipeline:main]
pipeline = {pipeline} proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
"""
_BACK = """devices = {home}/node
mount_check = false
fallocate_reserve = 0
disable_fallocate = true
recon_cache_path = {home}/run
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""


class Swift:
    """A proxy and one server of each kind, with one replica and a bucket; a context.

    ``programs`` is the directory of its programs. ``user`` has the form ``ACCOUNT:USER`` and is the
    access key.
    """

    def __init__(self, home: Path, programs: Path, user: str, secret: str, bucket: str) -> None:
        self._home = home
        self._programs = programs
        self._user, self._secret, self._bucket = user, secret, bucket
        self._port, *self._back = free_ports(1 + len(_SERVERS))
        self.url = f"http://127.0.0.1:{self._port}"
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
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self._processes.clear()

    def _start(self) -> None:
        for name in ("etc", "node/d1", "run"):
            (self._home / name).mkdir(parents=True)
        (self._home / "etc/swift.conf").write_text(_MAIN)
        rings = [str(self._programs / "python"), "-c", _RINGS, str(self._home / "etc")]
        subprocess.run(
            [*rings, *map(str, self._back)], check=True, capture_output=True, timeout=_START_LIMIT
        )
        for kind, port in zip(_SERVERS, self._back, strict=True):
            self._start_server(kind, port, _BACK.format(home=self._home, kind=kind))
        self._start_server("proxy", self._port, self._proxy())
        for port in (self._port, *self._back):
            self._wait(port)
        self._create_bucket()

    def _proxy(self) -> str:
        account, _, user = self._user.partition(":")
        login = f"user_{account}_{user} = {self._secret} .admin .reseller_admin\n"
        options = {**_OPTIONS, "tempauth": login}
        sections = [
            f"[filter:{name}]\nuse = egg:swift#{name}\n{options.get(name, '')}" for name in _FILTERS
        ]
        return _PROXY.format(pipeline=" ".join(_FILTERS)) + "".join(sections)

    def _start_server(self, kind: str, port: int, text: str) -> None:
        path = self._home / "etc" / f"{kind}.conf"
        common = _COMMON.format(port=port, home=self._home, user=getpass.getuser())
        path.write_text(common + text)
        server = [str(self._programs / "python"), str(self._programs / f"swift-{kind}-server")]
        command = ["setpriv", "--pdeathsig", "KILL", *server, str(path)]
        with (self._home / "run" / f"{kind}.log").open("wb") as log:
            self._processes.append(_started(command, log.fileno()))

    def _wait(self, port: int) -> None:
        limit = time.monotonic() + _START_LIMIT
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            except urllib.error.HTTPError:
                return
            except OSError as error:
                ended = [each.args for each in self._processes if each.poll() is not None]
                if ended or time.monotonic() > limit:
                    text = f"Swift did not start; ended: {ended}; see {self._home / 'run'}"
                    raise RuntimeError(text) from error
                time.sleep(0.05)
            else:
                return

    def _create_bucket(self) -> None:
        from obstore import sign  # noqa: PLC0415 - not for the tests that need no store
        from obstore.store import S3Store  # noqa: PLC0415

        config = {"endpoint": self.url, "region": "us-east-1"}
        keys = {"access_key_id": self._user, "secret_access_key": self._secret}
        options = {"allow_http": True}
        store = S3Store(self._bucket, config={**config, **keys}, client_options=options)  # type: ignore[arg-type]
        url = sign(store, "PUT", "", timedelta(minutes=1))
        urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=60).close()


def _started(command: Sequence[str], log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
