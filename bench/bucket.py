"""Mirrors in a bucket: ``python bench/bucket.py``.

It compares a first run with ``rclone copy`` of the finished tree, and with a plain loop of boto3
that uploads the same objects, by turns; then it measures ``verify`` and a run with large files. It
starts a Ceph, unless ``--endpoint`` and ``--bucket`` name another store, whose keys are in
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. It needs nginx, rclone, Ceph, and boto3, which may be
in the environment of another Python, ``--boto3-python``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.store import S3Store

from generate import Shape
from measure import Cost, measure, median
from rig import CONNECTIONS, Rig
from sizes import NORMAL
from store import store

if TYPE_CHECKING:
    from collections.abc import Callable

    from generate import Index
    from serve import Served

_BOTO3 = """
import sys
from pathlib import Path

import boto3

endpoint, bucket, prefix, tree = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
for path in sorted(Path(tree).rglob("*")):
    if path.is_file():
        key = f"{prefix}/{path.relative_to(tree).as_posix()}"
        client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
"""
_OPTIONS = """storage-backend = s3
[s3]
endpoint_url = {endpoint}
region_name = us-east-1
state-directory = {state}
"""
_LARGE = Shape(projects=6, files=12, smallest=50_000_000, largest=50_000_000)


class Store:
    """A bucket, and prefixes in it that nothing has used."""

    def __init__(self, rig: Rig, endpoint: str, bucket: str, boto3_python: str) -> None:
        self._rig = rig
        self._endpoint, self._bucket, self._python = endpoint, bucket, boto3_python

    def prefix(self) -> str:
        """Return a new prefix."""
        return f"bench/{uuid.uuid4().hex}"

    def command(self, served: Served, prefix: str, state: Path, *arguments: str) -> list[str]:
        """Return the command line of the program for a mirror at a prefix."""
        options = _OPTIONS.format(endpoint=self._endpoint, state=state)
        place = Path(f"/{self._bucket}/{prefix}")
        return self._rig.command(served, place, *arguments, options=options)

    def count(self, prefix: str) -> int:
        """Return the number of objects below ``web/`` at a prefix."""
        store = S3Store(
            self._bucket,
            prefix=f"{prefix}/web",
            config={"endpoint": self._endpoint},
            client_options={"allow_http": True},
        )
        return sum(len(page) for page in store.list(chunk_size=1_000))

    def measured(self, command: list[str], name: str) -> Cost:
        """Run a command with its log."""
        return measure(command, log=self._rig.fresh(f"{name}.log"))

    def rclone(self, tree: Path) -> Cost:
        """Copy a tree with rclone."""
        target = f":s3,provider=Ceph,env_auth=true,region=us-east-1,endpoint='{self._endpoint}'"
        command = ["rclone", "copy", str(tree), f"{target}:{self._bucket}/{self.prefix()}"]
        command += ["--transfers", str(CONNECTIONS), "--checkers", str(CONNECTIONS)]
        return self.measured([*command, "--config", "/dev/null", "--s3-no-check-bucket"], "rclone")

    def boto3(self, tree: Path) -> Cost:
        """Upload a tree with boto3, one object after the other."""
        command = [self._python, "-c", _BOTO3, self._endpoint, self._bucket, self.prefix()]
        return self.measured([*command, str(tree)], "boto3")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", help="the URL of a store, instead of a new Ceph")
    parser.add_argument("--bucket", help="a bucket that exists there")
    parser.add_argument("--boto3-python", default=sys.executable, help="a Python with boto3")
    parser.add_argument("--projects", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if (arguments.endpoint is None) != (arguments.bucket is None):
        parser.error("--endpoint and --bucket belong together")
    os.environ.setdefault("AWS_REGION", "us-east-1")
    with ExitStack() as stack:
        if arguments.endpoint is None:
            endpoint, bucket = stack.enter_context(store())
        else:
            endpoint, bucket = arguments.endpoint, arguments.bucket
        if endpoint.startswith("http:"):
            os.environ.pop("AWS_CA_BUNDLE", None)  # rclone refuses it there
        work = stack.enter_context(tempfile.TemporaryDirectory(prefix="bandersnatch-bench-"))
        rig = Rig(Path(work), NORMAL, arguments.runs)
        place = Store(rig, endpoint, bucket, arguments.boto3_python)
        try:
            index = rig.generate(Shape(arguments.projects, 4 * arguments.projects))
            _compare(rig, place, index)
            _quick(rig, place, index)
            _large(rig, place, rig.generate(_LARGE))
        finally:
            rig.close()


def _compare(rig: Rig, place: Store, index: Index) -> None:
    """Compare first runs with rclone and boto3, and measure runs after that."""
    tree = rig.fresh("mirror", in_memory=True)
    with rig.serving(index) as served:
        rig.mirror(served, tree)  # on a disk: what rclone and boto3 upload
        objects = sum(path.is_file() for path in tree.rglob("*"))
        prefix, state = place.prefix(), rig.fresh("state")

        def first() -> Cost:
            nonlocal prefix, state
            prefix, state = place.prefix(), rig.fresh("state")
            return place.measured(place.command(served, prefix, state), "first")

        programs: dict[str, Callable[[], Cost]] = {
            "first": first,
            "rclone": lambda: place.rclone(tree),
            "boto3": lambda: place.boto3(tree),
        }
        costs = rig.rounds(programs)
        again = place.measured(place.command(served, prefix, state), "again")
        whole = place.measured(place.command(served, prefix, state, "verify"), "verify")
    wall = {name: median(some, "wall") for name, some in costs.items()}
    cpu = {name: median(some, "cpu") for name, some in costs.items()}
    _show("objects", objects, "")
    for name in programs:
        _show(f"{name}: wall time", wall[name], "s")
        _show(f"{name}: processor time", cpu[name], "s")
    _show("first run against rclone, wall time (aim 1.5)", wall["first"] / wall["rclone"], "x")
    _show("first run against boto3, processor time (aim 0.5)", cpu["first"] / cpu["boto3"], "x")
    _show("first run: memory", median(costs["first"], "memory") / 1e6, "MB")
    _show("nothing changed: wall time", again.wall, "s")
    _show("verify", objects / whole.wall, "objects/s")


def _quick(rig: Rig, place: Store, index: Index) -> None:
    """Measure ``verify --quick``, and what the objects take beyond the start of the program."""
    few = rig.generate(Shape(10, 40))
    commands, objects = {}, {}
    for name, each in (("quick", index), ("few", few)):
        prefix, state = place.prefix(), rig.fresh("state")
        with rig.serving(each) as served:
            place.measured(place.command(served, prefix, state), name)
            commands[name] = place.command(served, prefix, state, "verify", "--quick")
        objects[name] = place.count(prefix)
        place.measured(commands[name], name)
    programs = {name: lambda name=name: place.measured(commands[name], name) for name in commands}
    costs = rig.rounds(programs)
    wall = {name: median(some, "wall") for name, some in costs.items()}
    _show("verify --quick: objects", objects["quick"], "")
    _show("verify --quick: wall time", wall["quick"], "s")
    _show("verify --quick: wall time with few objects", wall["few"], "s")
    _show("verify --quick: memory", median(costs["quick"], "memory") / 1e6, "MB")
    beyond = wall["quick"] - wall["few"]
    if beyond > 0:  # else the machine does other work
        rate = (objects["quick"] - objects["few"]) / beyond
        _show("verify --quick, without the start (aim 10,000)", rate, "objects/s")


def _large(rig: Rig, place: Store, index: Index) -> None:
    """Measure the memory of a run with files of 50 MB."""
    with rig.serving(index) as served:
        command = place.command(served, place.prefix(), rig.fresh("state"))
        cost = place.measured(command, "large")
    _show("files of 50 MB: memory (aim 250)", cost.memory / 1e6, "MB")
    _show("files of 50 MB: wall time", cost.wall, "s")


def _show(what: str, value: float, unit: str) -> None:
    print(f"{what:60} {value:12,.2f} {unit}", flush=True)


if __name__ == "__main__":
    main()
