"""What the scenarios share: a place to work in, the programs, and the indexes and mirrors."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from check import check_complete
from generate import Shape, change, first_of, generate, listed
from measure import Cost, measure
from multitude import SEEN, pretend
from serve import Request, free_port, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from generate import Index
    from serve import Served
    from sizes import Sizes

CONNECTIONS = 16
"""Of curl, and of the program for files."""

_CONFIG = """\
[mirror]
directory = {directory}
master = {url}
allow-non-https = true
workers = 10
download-workers = {connections}
{options}
"""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """An index, and a mirror of it as it is now."""

    index: Index
    directory: Path


class Ran(NamedTuple):
    """What a run of the program cost, and what it asked for."""

    cost: Cost
    requests: list[Request]

    @property
    def received(self) -> int:
        """How many bytes were sent to it, with headers."""
        return sum(request.size for request in self.requests)


class Rig:
    """One benchmark; every tree that is written gets a directory of its own."""

    def __init__(self, work: Path, sizes: Sizes, runs: int) -> None:
        self.work = work
        self.sizes = sizes
        self.runs = runs
        self._port = free_port()
        self._count = 0
        self._few: Mirrored | None = None
        self._many: Mirrored | None = None

    # ------------------------------------------------------------ places

    def fresh(self, name: str) -> Path:
        """Return a new directory that does not exist yet."""
        self._count += 1
        return self.work / f"{self._count:03}-{name}"

    @contextmanager
    def serving(self, index: Index, *, delay: float = 0.0, tls: bool = False) -> Iterator[Served]:
        """Serve an index as it is now; the URL is the same each time, but for TLS."""
        with served(index, self.fresh("nginx"), self._port, delay=delay, tls=tls) as running:
            yield running

    # ------------------------------------------------------------ programs

    def command(
        self, served: Served | None, directory: Path, *arguments: str, options: str = ""
    ) -> list[str]:
        """Return the command line of the program, after writing its configuration."""
        config = self.fresh("bandersnatch.conf")
        url = served.url if served else f"http://127.0.0.1:{self._port}"
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
        """Fetch paths with curl below ``target``, as the tree that a mirror is or all in one."""
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

    def rounds(self, of: Mapping[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
        """Run each of these in turn, as often as is asked for."""
        costs: dict[str, list[Cost]] = {name: [] for name in of}
        for _ in range(self.runs):
            for name, run in of.items():
                costs[name].append(run())
        return costs

    # ------------------------------------------------------------ indexes and mirrors

    def generate(self, shape: Shape) -> Index:
        """Write an index."""
        return generate(self.fresh("index"), shape)

    def listed(self, count: int) -> Index:
        """Write the list of an index without files."""
        return listed(self.fresh("index"), count)

    def few(self) -> Mirrored:
        """Return the index of some thousand projects, and a mirror of it."""
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
        """Let later scenarios go on from this mirror of the index of some thousand projects."""
        check_complete(few.directory, few.index)
        self._few = few

    def many(self) -> Mirrored:
        """Return the index of hundreds of thousands of projects, and the state of a mirror of it.

        The mirror knows of each project as if it had been synced; most of their pages are not
        there. Its root pages are, and name them all.

        :raises RuntimeError: if the program does not take the state for what it pretends to be.
        """
        if self._many is None:
            index, directory = self.listed(self.sizes.many), self.fresh("mirror")
            seen = first_of(index, self.fresh("index"), SEEN)
            with self.serving(seen) as running:
                self.mirror(running, directory)
            pretend(directory, index, seen)
            changed = change(index, 1)
            with self.serving(index) as running:
                ran = self.mirror(running, directory)
            check_complete(directory, index, ())
            if len(ran.requests) > len(changed) + 2:
                raise RuntimeError(f"one change took {len(ran.requests)} requests")
            self._many = Mirrored(index, directory)
        return self._many
