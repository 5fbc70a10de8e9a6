"""What the filters cost: ``python bench/filters.py`` prints a table; it needs nothing else.

Pages are measured when they are seen for the first time, so that every name and version is read
again, and once more, as with a page that changed by a few files. Every figure is the best of seven
pages of the same shape: the others include what else the machine does. Time is that of the
processor. Garbage is looked for as often as the program does.
"""

from __future__ import annotations

import argparse
import gc
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import process_time
from typing import TYPE_CHECKING

from bandersnatch.cli.main import ALLOCATIONS
from bandersnatch.filters.options import FilterOptions
from bandersnatch.filters.registry import build_chain
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.names import ProjectName
from bandersnatch.model.project import ProjectDetail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bandersnatch.filters.chain import FilterChain

NOW = datetime(2026, 11, 22, tzinfo=UTC)
VERSIONS = 5_000
NAMES = 700_000
LISTED = 20_000
ROUNDS = 7

RELEASE_FILTERS = (
    "blocklist_release",
    "allowlist_release",
    "project_requirements_pinned",
    "prerelease_release",
    "regex_release",
    "latest_release",
)
FILE_FILTERS = (
    "exclude_platform",
    "target_environments",
    "release_age",
    "yanked_release",
    "version_range_release_file_metadata",
    "regex_release_file_metadata",
)
SECTIONS = {
    "allowlist": {
        "packages": "foo>=1,!=3.*\nbar\nfoo==0.7.0",
        "requirements": "requirements.txt",
    },
    "blocklist": {
        "packages": "foo==30.*\nfoo==31.5.0\nfoo<0.5\nbar",
        "platforms": "windows macos py2",
    },
    "filter_regex": {"releases": r".*\.dev\d+$"},
    "latest_release": {"keep": "3", "keep-per": "minor"},
    "environments": {"servers": "python >=3.10,<3.14; linux x86_64 aarch64 glibc 2.28"},
    "release_age": {"min-age": "7 days", "exceptions": "foo==9.0.0\nbar"},
    "version_range_release_file_metadata": {"any:release_file.requires_python": "3.12\n3.13"},
    "regex_release_file_metadata": {"any:release_file.packagetype": "sdist\nbdist_wheel"},
}
ENDINGS = (".tar.gz", "-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")
REQUIRED = (">=3.8", ">=3.9,!=3.9.1", "<4,>=3.7", None)


class Lists:
    """The one list file that the sections name."""

    def read(self, path: str, /) -> bytes:
        """Return a file that requires the project without saying which version."""
        del path
        return b"foo\nbar==1.0\n"

    def find(self, directory: str, pattern: str, /) -> list[str]:
        """Return nothing; no pattern is used."""
        del directory, pattern
        return []


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; times are in seconds, the aim is for the first."""

    what: str
    first: float
    again: float | None = None
    aim: float | None = None

    def __str__(self) -> str:
        again = "" if self.again is None else f"{self.again * 1000:,.0f}"
        aim = "" if self.aim is None else f"{self.aim * 1000:,.0f}"
        return f"| {self.what} | {self.first * 1000:,.0f} | {again} | {aim} |"


def page(series: int, versions: int) -> ProjectDetail:
    """Return a page with two files of each version, which no page of another series names."""
    texts = [_version(series, number) for number in range(versions)]
    files = [_file(f"foo-{text}{ending}", n) for n, text in enumerate(texts) for ending in ENDINGS]
    files.sort(key=lambda file: file.filename)
    return ProjectDetail(ProjectName("foo"), tuple(files), tuple(texts))


def _version(series: int, number: int) -> str:
    end = {0: "rc1", 1: ".dev3", 2: ".post1"}.get(number % 50, "")
    return f"{number // 100}.{number % 100}.{series}{end}"


def _file(filename: str, number: int) -> ReleaseFile:
    digest = sha256(filename.encode()).hexdigest()
    path = f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{filename}"
    return ReleaseFile(
        filename,
        f"https://files.example.org/{path}",
        path,
        Hashes((Digest("sha256", digest),)),
        size=number,
        upload_time=NOW - timedelta(hours=number),
        requires_python=REQUIRED[number % len(REQUIRED)],
        yanked="" if number % 40 == 0 else None,
    )


def chain(*enabled: str, **sections: dict[str, str]) -> FilterChain:
    """Return the filters of these names.

    :raises SystemExit: if something is wrong with them.
    """
    options = FilterOptions(sections=SECTIONS | sections, files=Lists(), now=int(NOW.timestamp()))
    built = build_chain(enabled, options)
    if built.problems:
        sys.exit("\n".join(map(str, built.problems)))
    return built.chain


def seconds(filters: FilterChain, detail: ProjectDetail) -> float:
    """Return how long the filters take for a page."""
    began = process_time()
    filters.apply(detail)
    return process_time() - began


def of_pages(what: str, pages: Iterable[ProjectDetail], *enabled: str, aim: float | None) -> Row:
    """Measure filters on pages that they have not seen."""
    filters = chain(*enabled)
    times = [(seconds(filters, each), seconds(filters, each)) for each in pages]
    first, again = map(min, zip(*times, strict=True))
    return Row(what, first, again, aim)


def of_names() -> Iterator[Row]:
    """Measure lists of projects against the names of a whole index."""
    names = [ProjectName(f"project-{number}") for number in range(NAMES)]
    listed = [f"project-{number * 35}" for number in range(LISTED)]
    patterns = [f"prefix-{number}-*" for number in range(100)]
    for what, lines in (("", listed), (" and 100 patterns", listed + patterns)):
        began = process_time()
        filters = chain("allowlist_project", allowlist={"packages": "\n".join(lines)})
        made = process_time() - began
        began = process_time()
        selected = sum(map(filters.selects, names))
        asked = process_time() - began
        assert selected == LISTED
        yield Row(f"reading an allowlist of {LISTED:,} lines{what}", made)
        yield Row(f"**{NAMES:,} names against it**, with reading it", made + asked, aim=1.0)


def rows(versions: int) -> Iterator[Row]:
    """Measure everything."""
    series = iter(range(1_000_000))

    def fresh() -> Iterator[ProjectDetail]:
        return (page(next(series), versions) for _ in range(ROUNDS))

    of = f"of {versions:,} versions"
    for each in RELEASE_FILTERS:
        yield of_pages(f"`{each}`, a page {of}", fresh(), each, aim=None)
    yield of_pages(f"**all release filters**, a page {of}", fresh(), *RELEASE_FILTERS, aim=0.1)
    of = f"of {versions * len(ENDINGS):,} files"
    for each in FILE_FILTERS:
        yield of_pages(f"`{each}`, a page {of}", fresh(), each, aim=None)
    yield of_pages(f"**all file filters**, a page {of}", fresh(), *FILE_FILTERS, aim=None)
    both = (*FILE_FILTERS, *RELEASE_FILTERS)
    yield of_pages(f"**all of both**, a page {of}", fresh(), *both, aim=None)
    yield from of_names()


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=VERSIONS, help="of a page")
    arguments = parser.parse_args()
    gc.set_threshold(ALLOCATIONS)
    print("| | first, ms | again, ms | aim, ms |\n|---|--:|--:|--:|")
    for row in rows(arguments.versions):
        print(row, flush=True)


if __name__ == "__main__":
    main()
