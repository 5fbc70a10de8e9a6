"""Shared by the scenarios: a working directory, the programs, and indexes and mirrors."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from check import check_complete
from generate import Shape, change, first_of, generate, listed
from measure import Cost, measure
from prefill import SYNCED, prefill
from serve import Request, free_port, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from generate import Index
    from serve import Served
    from sizes import Sizes

_SHARED_MEMORY = Path("/dev/shm")

CONNECTIONS = 16
"""Connections of curl, and of the program for files."""

_CONFIG = """\
[mirror]
directory = {directory}
master = {url}
allow-non-https = true
workers = 10
download-workers = {connections}
sweep-interval = 0
{options}
"""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """An index, and an up-to-date mirror of it."""

    index: Index
    directory: Path


class Ran(NamedTuple):
    """The cost of a run of the program, and its requests."""

    cost: Cost
    requests: list[Request]

    @property
    def received(self) -> int:
        """The number of bytes that it received, headers included."""
        return sum(request.size for request in self.requests)


class Rig:
    """One benchmark; each tree has its own directory."""

    def __init__(self, work: Path, sizes: Sizes, runs: int) -> None:
        self.work = work
        self.sizes = sizes
        self.runs = runs
        self._port = free_port()
        self._count = 0
        self._memory: Path | None = None
        self._few: Mirrored | None = None
        self._many: Mirrored | None = None
        self.page_cpu: float | None = None
        """The processor time of a page in a first run of a whole index, in seconds."""

    # ------------------------------------------------------------ places

    def fresh(self, name: str, *, in_memory: bool = False) -> Path:
        """Return a path that does not exist yet, on a file system in memory if asked for.

        :raises RuntimeError: if this system has none.
        """
        self._count += 1
        base = self._in_memory() if in_memory else self.work
        return base / f"{self._count:03}-{name}"

    def _in_memory(self) -> Path:
        if self._memory is None:
            if not _SHARED_MEMORY.is_dir():
                raise RuntimeError(f"{_SHARED_MEMORY} does not exist")
            self._memory = Path(tempfile.mkdtemp(prefix="bandersnatch-bench-", dir=_SHARED_MEMORY))
        return self._memory

    def close(self) -> None:
        """Delete what was written to memory."""
        if self._memory is not None:
            shutil.rmtree(self._memory)

    @contextmanager
    def serving(self, index: Index, *, delay: float = 0.0, tls: bool = False) -> Iterator[Served]:
        """Serve an index; the URL is the same each time, except with TLS."""
        with served(index, self.fresh("nginx"), self._port, delay=delay, tls=tls) as running:
            yield running

    # ------------------------------------------------------------ programs

    def command(
        self, served: Served | None, directory: Path, *arguments: str, options: str = ""
    ) -> list[str]:
        """Write a configuration and return the command line of the program."""
        config = self.fresh("bandersnatch.conf")
        url = served.url if served else f"http://127.0.0.1:{self._port}"
        if "processes" not in options:  # bench/processes.py measures several
            options += "\nprocesses = 1"
        text = _CONFIG.format(
            directory=directory, url=url, connections=CONNECTIONS, options=options
        )
        config.write_text(text)
        own = [sys.executable, "-m", "bandersnatch", "-c", str(config), "--quiet"]
        return [*own, *(arguments or ("mirror",))]

    def mirror(self, served: Served, directory: Path, *, options: str = "") -> Ran:
        """Run ``bandersnatch mirror``."""
        environment = {"SSL_CERT_FILE": str(served.ca)} if served.ca else {}
        command = self.command(served, directory, options=options)
        mark = served.mark()
        cost = measure(command, log=self.fresh("mirror.log"), environment=environment)
        return Ran(cost, served.since(mark))

    def curl(
        self,
        served: Served,
        paths: Sequence[str],
        target: Path,
        *,
        flat: bool = False,
        connections: int = CONNECTIONS,
    ) -> Cost:
        """Fetch paths with curl below ``target``, as a tree or ``flat`` into one directory."""
        target.mkdir()
        lines = []
        for number, path in enumerate(paths):
            name = str(number) if flat else f"{path}index.v1_json" if path[-1] == "/" else path
            lines += [f'url = "{served.url}{path}"', f'output = "{target}/{name.lstrip("/")}"']
        listing = self.fresh("curl.list")
        listing.write_text("\n".join(lines))
        command = ["curl", "--silent", "--fail", "--http1.1", "--create-dirs"]
        command += ["--parallel", "--parallel-max", str(connections), "--config", str(listing)]
        command += ["--cacert", str(served.ca)] if served.ca else []
        return measure(command, log=self.fresh("curl.log"))

    def rounds(self, programs: Mapping[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
        """Run the programs by turns, as often as the arguments say."""
        costs: dict[str, list[Cost]] = {name: [] for name in programs}
        for _ in range(self.runs):
            for name, run in programs.items():
                costs[name].append(run())
        return costs

    # ------------------------------------------------------------ indexes and mirrors

    def generate(self, shape: Shape) -> Index:
        """Write an index."""
        return generate(self.fresh("index"), shape)

    def listed(self, count: int) -> Index:
        """Write an index without files."""
        return listed(self.fresh("index"), count)

    def few(self) -> Mirrored:
        """Return the index of 5,000 projects, and a mirror of it."""
        if self._few is None:
            sizes = self.sizes
            index = self.generate(Shape(sizes.projects, sizes.files, giants=sizes.giants))
            directory = self.fresh("mirror")
            with self.serving(index) as running:
                self.mirror(running, directory)
            self.keep(Mirrored(index, directory))
        assert self._few is not None
        return self._few

    def keep(self, few: Mirrored) -> None:
        """Let later scenarios use this mirror of the index of 5,000 projects."""
        check_complete(few.directory, few.index)
        self._few = few

    def many(self) -> Mirrored:
        """Return the index of 700,000 projects, and a mirror of it without most of its pages.

        The catalogue has each project as if it had been synced, and the root pages name all.

        :raises RuntimeError: if the program does not accept this state.
        """
        if self._many is None:
            index, directory = self.listed(self.sizes.many), self.fresh("mirror")
            synced = first_of(index, self.fresh("index"), SYNCED)
            with self.serving(synced) as running:
                self.mirror(running, directory)
            prefill(directory, index, synced)
            changed = change(index, 1)
            with self.serving(index) as running:
                ran = self.mirror(running, directory)
            check_complete(directory, index, ())
            if len(ran.requests) > len(changed) + 2:
                raise RuntimeError(f"one change took {len(ran.requests)} requests")
            self._many = Mirrored(index, directory)
        return self._many
