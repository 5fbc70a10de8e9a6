"""Environments, and which wheels can be installed in them (PEP 425, 513, 571, 599, 600, 656, 803).

`packaging.tags` says which tags a version of Python supports. Which versions are asked about
follows from the tags and the specifiers, so that a Python or a C library that is not released
yet needs no change here. A *series* is a version of Python without its patch level, X.Y.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Literal, TypeAlias

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, generic_tags, mac_platforms

from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bandersnatch.model.filenames import WheelTags

_CACHE_SIZE = 32_768
_SMALL_CACHE_SIZE = 1_024
_PYTHON_TAG = re.compile(r"(?:py|cp|pp)([1-9])(0|[1-9]\d?)?")
"""Two digits of the minor version bound the number of tags that one Python supports."""

_LINUX_TAG = re.compile(
    r"(?:linux|(many)linux(1|2010|2014)|(many|musl)linux_(0|[1-9]\d{0,3})_(0|[1-9]\d{0,3}))_(\w+)"
)
_LEGACY = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}

_PYTHON_2 = 2
_OWN_PLATFORM = "own"
"""Stands for all platforms of an environment where only the other tags are compared."""

ANY = "any"
OLDEST_GLIBC = (2, 5)
"""The oldest glibc that wheels are built for, on x86; elsewhere it is that of manylinux2014."""

FIRST_THREADED = (3, 13)
"""The first series with free-threaded builds (PEP 703)."""

Implementation: TypeAlias = Literal["cpython", "pypy"]
Series: TypeAlias = tuple[int, int]
Release: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Pythons:
    """The series that satisfy a specifier (PEP 440), or their free-threaded builds."""

    specifier: str
    threaded: bool = False

    def __contains__(self, series: Series) -> bool:
        """Return whether a series is one of them."""
        if self.threaded and series < FIRST_THREADED:
            return False
        return _admits(self.specifier, f"{series[0]}.{series[1]}")

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return any(
            series in self for major in range(1, 10) for series in self.candidates((major, 0), "")
        )

    def candidates(self, first: Series, requires_python: str) -> Iterator[Series]:
        """Yield the series from ``first`` on that stand for all others of their major version.

        Between two versions that a specifier names nothing changes, so these are the first one,
        those that are named, and the ones after them.
        """
        major, minor = first
        releases = _releases(self.specifier) | _releases(requires_python)
        named = {release[1] for release in releases if release[0] == major}
        if self.threaded:
            named.add(FIRST_THREADED[1])
        later = {each for near in named for each in (near, near + 1) if each > minor}
        yield from ((major, each) for each in sorted({minor} | later))


@dataclass(frozen=True, slots=True)
class Linux:
    """Linux on one architecture, with at least this version of the C library."""

    architecture: str
    libc: Literal["glibc", "musl"]
    floor: tuple[int, int]

    def fingerprint(self) -> str:
        """Return what it is, as one text."""
        return f"linux {self.architecture} {self.libc} {self.floor[0]}.{self.floor[1]}"

    def runs(self, tag: str) -> bool:
        """Return whether files with this platform tag run on it."""
        found = _LINUX_TAG.fullmatch(tag)
        if found is None or found[6] != self.architecture:
            return False
        legacy, library = found[2], found[1] or found[3]
        if library is None:
            return True
        needs = _LEGACY[legacy] if legacy else (int(found[4]), int(found[5]))
        if self.libc == "musl":
            return library == "musl" and needs[0] == self.floor[0] and needs <= self.floor
        x86 = self.architecture in {"x86_64", "i686"}
        oldest = OLDEST_GLIBC if x86 else _LEGACY["2014"]
        return library == "many" and oldest <= needs <= self.floor


@dataclass(frozen=True, slots=True)
class Tagged:
    """A platform that runs files with one of its tags; ``words`` identify it."""

    words: str
    tags: frozenset[str]

    def fingerprint(self) -> str:
        """Return what it is, as one text."""
        return self.words

    def runs(self, tag: str) -> bool:
        """Return whether files with this platform tag run on it."""
        return tag in self.tags


Platform: TypeAlias = Linux | Tagged


def macos(architecture: str, version: tuple[int, int]) -> Tagged:
    """Return macOS on one architecture, with at least this version."""
    words = f"macos {architecture} {version[0]}.{version[1]}"
    return Tagged(words, frozenset(mac_platforms(version, architecture)))


@dataclass(frozen=True, slots=True)
class Environment:
    """Pythons of one implementation on some platforms: each of them on each."""

    name: str
    pythons: tuple[Pythons, ...]
    platforms: tuple[Platform, ...]
    implementation: Implementation = "cpython"

    def fingerprint(self) -> str:
        """Return Pythons and platforms as one text that does not depend on their order."""
        pythons = sorted({f"{each.specifier}{' t' * each.threaded}" for each in self.pythons})
        platforms = sorted({each.fingerprint() for each in self.platforms})
        return f"{self.implementation} {', '.join(pythons)} on {', '.join(platforms)}"

    def installs(self, tags: WheelTags, requires_python: str | None) -> bool:
        """Return whether one of its Pythons can install a wheel.

        A ``requires_python`` that is not a specifier counts as none, as for pip; any patch level
        of a series may satisfy it.
        """
        platforms = {ANY} & tags.platforms
        if any(each.runs(tag) for each in self.platforms for tag in tags.platforms - {ANY}):
            platforms |= {_OWN_PLATFORM}
        return any(
            _installs(pythons, self.implementation, Tag(python, abi, platform), requires_python)
            for platform in platforms
            for pythons, python, abi in product(self.pythons, tags.pythons, tags.abis)
        )


def python_satisfies(requires_python: str | None, series: Series) -> bool:
    """Return whether any patch level of a series satisfies ``Requires-Python``.

    A text that is not a specifier counts as none, as for pip.
    """
    return _satisfies(requires_python or "", *series)


def series_in(pythons: Pythons, known: Sequence[Series]) -> tuple[Series, ...]:
    """Return the series of ``known`` that are among ``pythons``.

    If there are none, return those that the specifier itself names, if any.
    """
    found = tuple(each for each in known if each in pythons)
    named = sorted({(major, minor) for major, minor, _ in _releases(pythons.specifier)})
    return found or tuple(each for each in named if each in pythons)


@lru_cache(maxsize=_CACHE_SIZE)
def _installs(
    pythons: Pythons, implementation: Implementation, tag: Tag, requires_python: str | None
) -> bool:
    """Return whether one of the Pythons supports a tag and satisfies a requirement."""
    found = _PYTHON_TAG.fullmatch(tag.interpreter)
    if found is None:
        return False
    requires = requires_python or ""
    pypy_abi = tag.abi if implementation == "pypy" else ""
    return any(
        series in pythons
        and tag in _supported_tags(implementation, series, pypy_abi, threaded=pythons.threaded)
        and _satisfies(requires, *series)
        for series in pythons.candidates((int(found[1]), int(found[2] or 0)), requires)
    )


@lru_cache(maxsize=_SMALL_CACHE_SIZE)
def _supported_tags(
    implementation: Implementation, series: Series, pypy_abi: str, *, threaded: bool
) -> frozenset[Tag]:
    """Return the tags that a series supports, with `_OWN_PLATFORM` for those of its platform.

    PyPy's ABI tags contain a version of their own, which does not matter: ``pypy_abi`` is
    supported if it is of the series.
    """
    major, minor = series
    platforms = [_OWN_PLATFORM]
    if implementation == "cpython":
        interpreter = f"cp{major}{minor}"
        abis = [f"{interpreter}{flags}" for flags in _abi_flags(series, threaded=threaded)]
        own = cpython_tags(series, abis, platforms)
    else:
        interpreter = f"pp{major}"  # as pip has it
        pattern = r"pypy_\d+" if major == _PYTHON_2 else rf"pypy{major}{minor}_pp\d+"
        abis = [pypy_abi] if re.fullmatch(pattern, pypy_abi) else []
        own = generic_tags(f"pp{major}{minor}", abis, platforms)
    return frozenset(own).union(compatible_tags(series, interpreter, platforms))


def _abi_flags(series: Series, *, threaded: bool) -> tuple[str, ...]:
    """Return the flags that the ABI tags of a series' builds end with (PEP 3149, PEP 703)."""
    if series < (3, 3):
        return ("m", "mu")
    if series < (3, 8):
        return ("m",)
    return ("t",) if threaded else ("",)


@lru_cache(maxsize=_CACHE_SIZE)
def _satisfies(requires: str, major: int, minor: int) -> bool:
    """Return whether any patch level of a series satisfies a requirement."""
    near = {patch for *series, patch in _releases(requires) if series == [major, minor]}
    patches = {0} | near | {patch + 1 for patch in near}
    return any(_admits(requires, f"{major}.{minor}.{patch}") for patch in sorted(patches))


def _admits(specifier: str, version: str) -> bool:
    specifiers = _specifiers(specifier)
    return specifiers is None or specifiers.contains(version, prereleases=True)


@lru_cache(maxsize=_SMALL_CACHE_SIZE)
def _specifiers(text: str) -> SpecifierSet | None:
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


@lru_cache(maxsize=_SMALL_CACHE_SIZE)
def _releases(text: str) -> frozenset[Release]:
    """Return the releases that a specifier names, each as major, minor and patch level."""
    found = set()
    for each in _specifiers(text) or ():
        version = parse_version(each.version.removesuffix(".*"))
        if version is not None:
            major, minor, patch = (*version.release, 0, 0)[:3]
            found.add((major, minor, patch))
    return frozenset(found)
