"""What a first run of the real index takes: arithmetic with estimates and measured rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LINKS = (1, 10)
"""Speeds of the connection to the index, in Gbit/s."""

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class WholeIndex:
    """What PyPI has. The numbers of files are estimates; ``size`` is in bytes."""

    projects: int = 740_000
    files: int = 17_500_000
    sidecars: int = 8_750_000
    size: float = 24e12

    @property
    def mean_size(self) -> float:
        """The mean size of a file, in bytes."""
        return self.size / self.files


@dataclass(frozen=True, slots=True)
class Rates:
    """What a page and a file cost.

    ``page`` and ``file`` are seconds of processor time, of a file of the mean size with its share
    of core metadata. ``hashing`` is how many bytes a core hashes in a second, ``processors`` how
    many cores there are. The connections are those for pages and for files, and ``delay`` is how
    many seconds each answer takes.
    """

    page: float
    file: float
    hashing: float
    processors: int
    page_connections: int = 10
    file_connections: int = 16
    delay: float = 0.03


class Line(NamedTuple):
    """A line of the forecast; ``how`` is its arithmetic, "" for an input."""

    what: str
    value: float
    unit: str
    how: str = ""


def inputs(index: WholeIndex, rates: Rates) -> Iterator[Line]:
    """Yield the numbers that the forecast is made of."""
    yield Line("projects", index.projects, "", "an estimate")
    yield Line("files", index.files, "", "an estimate")
    yield Line("core metadata", index.sidecars, "", "an estimate: half of the files are wheels")
    yield Line("bytes", index.size / 1e12, "TB", "an estimate")
    yield Line("processor time of a page", rates.page * 1e3, "ms", "measured")
    yield Line("processor time of a file of the mean size", rates.file * 1e3, "ms", "measured")
    yield Line("sha256 and BLAKE2b on one core", rates.hashing / 1e6, "MB/s", "measured")


def forecast(index: WholeIndex, rates: Rates) -> Iterator[Line]:
    """Yield what each resource takes, and the longest of them for each link.

    They work at the same time, so that the longest is a lower bound, and their sum an upper one.
    """
    pages = index.projects * rates.delay / rates.page_connections
    requests = index.files + index.sidecars
    files = requests * rates.delay / rates.file_connections
    work = index.projects * rates.page + index.files * rates.file
    hashing = index.size / rates.hashing
    delay = f"{rates.delay * 1e3:.0f} ms"
    yield Line(
        "answers to requests for pages",
        pages / _HOUR,
        "h",
        f"{index.projects:,} x {delay} / {rates.page_connections} connections",
    )
    yield Line(
        "answers to requests for files",
        files / _HOUR,
        "h",
        f"{requests:,} x {delay} / {rates.file_connections} connections",
    )
    yield Line(
        "processor time on one core",
        work / _HOUR,
        "h",
        f"{index.projects:,} x {rates.page * 1e3:.2f} ms + "
        f"{index.files:,} x {rates.file * 1e3:.1f} ms",
    )
    yield Line(
        "of that, hashing",
        hashing / _HOUR,
        "h",
        f"{index.size / 1e12:.0f} TB / {rates.hashing / 1e6:.0f} MB/s",
    )
    for gigabits in LINKS:
        yield from _over(gigabits, index, rates, others=(pages, files), work=work)


def _over(
    gigabits: int, index: WholeIndex, rates: Rates, *, others: tuple[float, float], work: float
) -> Iterator[Line]:
    """Yield what a link of a speed takes; ``others`` and ``work`` are in seconds."""
    speed = gigabits * 1e9 / 8
    link = index.size / speed
    how = f"{index.size / 1e12:.0f} TB / {speed / 1e6:,.0f} MB/s"
    yield Line(f"{gigabits} Gbit/s: the bytes", link / _HOUR, "h", how)
    how = f"{work / _HOUR:.1f} h / {link / _HOUR:.1f} h"
    yield Line(f"{gigabits} Gbit/s: cores that keep up with it", work / link, "", how)
    bounds = {
        "the bytes": link,
        "answers for pages": others[0],
        "answers for files": others[1],
        f"processor time on {rates.processors} cores": work / rates.processors,
    }
    longest = max(bounds, key=lambda what: bounds[what])
    what = f"{gigabits} Gbit/s: at least, with {rates.processors} cores"
    yield Line(what, bounds[longest] / _HOUR, "h", f"the longest: {longest}")
