"""The expected results of filters on recorded pages, computed with ``packaging`` alone.

A judge takes a whole page and returns the names of the files that the filter must keep.
"""

from __future__ import annotations

import json
import lzma
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Judge = Callable[["RecordedPage"], frozenset[str]]

PAGES = Path(__file__).parents[1] / "data" / "pages"
PROJECTS = ("boto3", "cryptography", "lxml", "numpy")
"""The projects whose pages are recorded."""

_BUILT = re.compile(r"[a-z0-9]+-(.+?)(?:[.-]win|[.-]macosx|-py\d)")


@dataclass(frozen=True)
class RecordedFile:
    """An entry of a page, with what ``packaging`` parses from its name."""

    entry: dict[str, Any]

    @property
    def name(self) -> str:
        """The file name."""
        name: str = self.entry["filename"]
        return name

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """The tags of a wheel, empty for other files."""
        return parse_wheel_filename(self.name)[3] if self.name.endswith(".whl") else frozenset()

    @cached_property
    def version(self) -> Version:
        """The version; eggs and installers are parsed as they are named in the recorded pages."""
        if self.name.endswith(".whl"):
            return parse_wheel_filename(self.name)[1]
        if self.name.endswith((".exe", ".egg")):
            found = _BUILT.match(self.name)
            assert found is not None, self.name
            return Version(found[1])
        return parse_sdist_filename(self.name)[1]

    @property
    def is_sdist(self) -> bool:
        """Whether it is a source distribution; the recorded pages have no built archives."""
        return self.name.endswith((".tar.gz", ".zip"))

    @property
    def uploaded(self) -> datetime:
        """The upload time."""
        return datetime.fromisoformat(self.entry["upload-time"])


@dataclass(frozen=True)
class RecordedPage:
    """A page of a real project."""

    name: str
    text: bytes
    files: tuple[RecordedFile, ...]

    def keep(self, wanted: Callable[[RecordedFile], bool]) -> frozenset[str]:
        """Return the names of the files for which ``wanted`` is true."""
        return frozenset(file.name for file in self.files if wanted(file))

    def only(self, names: frozenset[str]) -> RecordedPage:
        """Return the page with these files."""
        return RecordedPage(self.name, b"", tuple(f for f in self.files if f.name in names))


def recorded_page(name: str) -> RecordedPage:
    """Return a project's page."""
    text = lzma.decompress((PAGES / f"{name}.json.xz").read_bytes())
    return RecordedPage(name, text, tuple(map(RecordedFile, json.loads(text)["files"])))


# ---------------------------------------------------------------- judges


def everything(page: RecordedPage) -> frozenset[str]:
    """Keep every file."""
    return page.keep(lambda _: True)


def in_ranges(*lines: str) -> Judge:
    """Keep the versions that a requirement for the project allows (PEP 508)."""
    listed = [Requirement(line) for line in lines]

    def judge(page: RecordedPage) -> frozenset[str]:
        specifiers = [r.specifier for r in listed if canonicalize_name(r.name) == page.name]
        return page.keep(
            lambda file: any(s.contains(file.version, prereleases=True) for s in specifiers)
        )

    return judge


def newest(count: int, series: int = 0) -> Judge:
    """Keep the ``count`` highest versions of each series, and the current version.

    A series shares its first ``numbers`` numbers. The current version is what an installer selects
    by default: the highest one that is neither a pre-release nor yanked.
    """

    def judge(page: RecordedPage) -> frozenset[str]:
        versions = sorted({file.version for file in page.files}, reverse=True)
        groups: dict[object, list[Version]] = {}
        for version in versions:
            groups.setdefault((version.epoch, *version.release[:series]), []).append(version)
        if not series:
            groups = {(): versions}
        wanted = {version for group in groups.values() for version in group[:count]}
        usable = {file.version for file in page.files if not file.entry.get("yanked")}
        final = [version for version in usable if not version.is_prerelease]
        if final and max(final) not in wanted:
            if not series:
                wanted.remove(min(wanted))
            wanted.add(max(final))
        return page.keep(lambda file: file.version in wanted)

    return judge


def final(page: RecordedPage) -> frozenset[str]:
    """Keep all versions except pre-releases (PEP 440)."""
    return page.keep(lambda file: not file.version.is_prerelease)


def without_platforms(*beginnings: str) -> Judge:
    """Keep the sdists, and the wheels and eggs with a platform that has none of the prefixes."""

    def is_for_them(file: RecordedFile) -> bool:
        if file.is_sdist:
            return False
        if file.tags:
            return all(tag.platform.startswith(beginnings) for tag in file.tags)
        return any(f"{mark}{beginning}" in file.name for beginning in beginnings for mark in ".-")

    return lambda page: page.keep(lambda file: not is_for_them(file))


def installable(minors: Iterable[int], glibc: int) -> Judge:
    """Keep the sdists, and what CPython 3.x on Linux x86_64 with glibc 2.y can install."""
    platforms = list(_glibc_platforms(glibc))
    supported = {
        minor: frozenset(
            chain(
                cpython_tags((3, minor), [f"cp3{minor}"], platforms),
                compatible_tags((3, minor), f"cp3{minor}", platforms),
            )
        )
        for minor in minors
    }

    def admits(requires: str | None, minor: int) -> bool:
        patches = (f"3.{minor}.{patch}" for patch in range(30))
        return any(map(SpecifierSet(requires or "").contains, patches))

    def can_install(file: RecordedFile) -> bool:
        return any(
            file.tags & tags and admits(file.entry.get("requires-python"), minor)
            for minor, tags in supported.items()
        )

    return lambda page: page.keep(lambda file: file.is_sdist or can_install(file))


def _glibc_platforms(glibc: int) -> Iterator[str]:
    yield "linux_x86_64"
    yield from (f"manylinux_2_{minor}_x86_64" for minor in range(5, glibc + 1))
    yield from (f"manylinux{legacy}_x86_64" for legacy in ("1", "2010", "2014"))


def uploaded_until(latest: datetime) -> Judge:
    """Keep files that were uploaded at that time or before."""
    return lambda page: page.keep(lambda file: file.uploaded <= latest)


def not_yanked(*lines: str) -> Judge:
    """Keep files that are not yanked, or of a version that a line pins with ``==`` (PEP 592)."""
    pinned = in_ranges(*(line for line in lines if "==" in line))

    def judge(page: RecordedPage) -> frozenset[str]:
        return pinned(page) | page.keep(lambda file: not file.entry.get("yanked"))

    return judge


def requiring(python: str) -> Judge:
    """Keep files whose ``requires-python`` one of the versions satisfies, and those without."""
    return lambda page: page.keep(
        lambda file: SpecifierSet(file.entry.get("requires-python") or "").contains(python)
    )


def ending(*endings: str) -> Judge:
    """Keep the files whose names have one of the suffixes."""
    return lambda page: page.keep(lambda file: file.name.endswith(endings))


def one_after_another(*judges: Judge) -> Judge:
    """Apply judges one after the other, each to what those before it keep."""

    def judge(page: RecordedPage) -> frozenset[str]:
        for each in judges:
            page = page.only(each(page))
        return everything(page)

    return judge
