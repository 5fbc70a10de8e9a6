"""Environments, and which wheels can be installed in them (PEP 425, 513, 571, 599, 600, 656, 803).

Everything is decided by rules, as ``packaging.tags`` makes its lists, so that a Python or a C
library that is not released yet needs no change here. A *series* of Pythons is an X.Y.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Literal, TypeAlias

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import mac_platforms

from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from bandersnatch.model.filenames import WheelTags

_REMEMBERED = 32_768
_FEW = 1_024
_PYTHON_TAG = re.compile(r"(py|cp|pp)([1-9])(0|[1-9]\d{0,3})?")
_LINUX_TAG = re.compile(
    r"(?:linux|(many)linux(1|2010|2014)|(many|musl)linux_(0|[1-9]\d{0,3})_(0|[1-9]\d{0,3}))_(\w+)"
)
_LEGACY = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}

_PYTHON_2 = 2

ANY = "any"
OLDEST_GLIBC = (2, 5)
"""The oldest that wheels are made for, on x86; elsewhere it is that of manylinux2014."""

FIRST_THREADED = (3, 13)
"""The first series with free-threaded builds (PEP 703)."""

Implementation: TypeAlias = Literal["cpython", "pypy"]
Release: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Pythons:
    """The series that satisfy a specifier (PEP 440), or their free-threaded builds."""

    specifier: str
    threaded: bool = False

    def __contains__(self, series: tuple[int, int]) -> bool:
        """Whether a series is one of them."""
        if self.threaded and series < FIRST_THREADED:
            return False
        return _admits(self.specifier, f"{series[0]}.{series[1]}")

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(_some_python(self, "", Span(major, 0, single=False)) for major in range(1, 10))


@dataclass(frozen=True, slots=True)
class Linux:
    """Linux of one architecture, with at least this C library."""

    architecture: str
    libc: Literal["glibc", "musl"]
    floor: tuple[int, int]

    def fingerprint(self) -> str:
        """Return what it is, in one text."""
        return f"linux {self.architecture} {self.libc} {self.floor[0]}.{self.floor[1]}"

    def runs(self, tag: str) -> bool:
        """Whether what has this platform tag runs on it."""
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
    """A platform that runs what has one of its tags."""

    words: str
    tags: frozenset[str]

    def fingerprint(self) -> str:
        """Return what it is, in one text."""
        return self.words

    def runs(self, tag: str) -> bool:
        """Whether what has this platform tag runs on it."""
        return tag in self.tags


Platform: TypeAlias = Linux | Tagged


def macos(architecture: str, version: tuple[int, int]) -> Tagged:
    """Return macOS of an architecture from a version on."""
    words = f"macos {architecture} {version[0]}.{version[1]}"
    return Tagged(words, frozenset(mac_platforms(version, architecture)))


@dataclass(frozen=True, slots=True)
class Environment:
    """Some Pythons of one implementation on some platforms: each of them on each."""

    name: str
    pythons: tuple[Pythons, ...]
    platforms: tuple[Platform, ...]
    implementation: Implementation = "cpython"

    def fingerprint(self) -> str:
        """Return what it has, in one text that does not depend on any order."""
        pythons = sorted({f"{each.specifier}{' t' * each.threaded}" for each in self.pythons})
        platforms = sorted({each.fingerprint() for each in self.platforms})
        return f"{self.implementation} {', '.join(pythons)} on {', '.join(platforms)}"

    def installs(self, tags: WheelTags, requires_python: str | None) -> bool:
        """Whether one of its Pythons can install a wheel.

        A ``requires_python`` that is no specifier counts as none, as for pip; any patch level
        of a series may satisfy it.
        """
        here = any(
            platform.runs(tag)
            for tag in tags.platforms
            if tag != ANY
            for platform in self.platforms
        )
        anywhere = ANY in tags.platforms
        if not here and not anywhere:
            return False
        for pythons, python, abi in product(self.pythons, tags.pythons, tags.abis):
            span = _span(self.implementation, python, abi, "t" if pythons.threaded else "")
            if span is None or not ((here and span.here) or (anywhere and span.anywhere)):
                continue
            if _some_python(pythons, requires_python or "", span):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Span:
    """The series that a python tag and an ABI tag are for: one, or one and those after it.

    ``here`` is whether this is so for wheels of a platform, ``anywhere`` for those of ``any``.
    """

    major: int
    first: int
    single: bool
    here: bool = True
    anywhere: bool = False


@lru_cache(maxsize=_FEW)
def _span(implementation: Implementation, python: str, abi: str, flag: str) -> Span | None:
    """Return the series that support two tags; ``flag`` is "t" for free-threaded builds."""
    found = _PYTHON_TAG.fullmatch(python)
    if found is None:
        return None
    major, minor = int(found[2]), int(found[3] or 0)
    if found[1] == "py":
        return Span(major, minor, single=False, anywhere=True) if abi == "none" else None
    if found[1] == "cp" and implementation == "cpython" and found[3]:
        return _cpython(major, minor, abi, flag)
    if found[1] == "pp" and implementation == "pypy":
        return _pypy(major, minor if found[3] else None, abi)
    return None


def _cpython(major: int, minor: int, abi: str, flag: str) -> Span | None:
    """Return what supports a tag of CPython and an ABI."""
    if abi == "none":
        return Span(major, minor, single=True, anywhere=True)
    if abi == f"abi3{flag}":
        return Span(major, minor, single=False) if (major, minor) >= (3, 2) else None
    own = {f"cp{major}{minor}{flags}" for flags in _abi_flags((major, minor), flag)}
    return Span(major, minor, single=True) if abi in own else None


def _abi_flags(series: tuple[int, int], flag: str) -> tuple[str, ...]:
    """Return what the ABI tags of a series' ordinary builds end with (PEP 3149)."""
    if series < (3, 3):
        return ("m", "mu")
    return ("m",) if series < (3, 8) else (flag,)


def _pypy(major: int, minor: int | None, abi: str) -> Span | None:
    """Return what supports a tag of PyPy and an ABI; its own version does not matter.

    As pip has it, a tag without a minor version is for wheels of any platform, and only it.
    """
    if minor is None:
        anywhere = Span(major, 0, single=False, here=False, anywhere=True)
        return anywhere if abi == "none" else None
    own = r"pypy_\d+" if major == _PYTHON_2 else rf"pypy{major}{minor}_pp\d+"
    able = abi == "none" or re.fullmatch(own, abi) is not None
    return Span(major, minor, single=True) if able else None


@lru_cache(maxsize=_REMEMBERED)
def _some_python(pythons: Pythons, requires: str, span: Span) -> bool:
    """Whether one of the Pythons is of the span and satisfies the requirement.

    Between two versions that a specifier names nothing changes, so of the series without end
    those are tried that are named, and the ones after them.
    """
    named = {span.first}
    if not span.single:
        releases = _releases(pythons.specifier) | _releases(requires)
        near = {minor for major, minor, _ in releases if major == span.major}
        near |= {FIRST_THREADED[1]} if pythons.threaded else set()
        named |= {m for minor in near for m in (minor, minor + 1) if m > span.first}
    return any(
        (span.major, minor) in pythons and _satisfied(requires, span.major, minor)
        for minor in sorted(named)
    )


@lru_cache(maxsize=_REMEMBERED)
def _satisfied(requires: str, major: int, minor: int) -> bool:
    """Whether any patch level of a series satisfies a requirement."""
    near = {patch for *series, patch in _releases(requires) if series == [major, minor]}
    patches = {0} | near | {patch + 1 for patch in near}
    return any(_admits(requires, f"{major}.{minor}.{patch}") for patch in sorted(patches))


def _admits(specifier: str, version: str) -> bool:
    specifiers = _specifiers(specifier)
    return specifiers is None or specifiers.contains(version, prereleases=True)


@lru_cache(maxsize=_FEW)
def _specifiers(text: str) -> SpecifierSet | None:
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


@lru_cache(maxsize=_FEW)
def _releases(text: str) -> frozenset[Release]:
    """Return the releases that a specifier names, each as major, minor and patch level."""
    found = set()
    for each in _specifiers(text) or ():
        version = parse_version(each.version.removesuffix(".*"))
        if version is not None:
            major, minor, patch = (*version.release, 0, 0)[:3]
            found.add((major, minor, patch))
    return frozenset(found)
