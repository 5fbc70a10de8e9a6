"""The filter by platforms, and platform tags as operators write them.

The tags are those of PEP 425, 513, 571, 599, 600, 656, 730 and 738.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.interface import PageFilter, Stage
from bandersnatch.filters.options import FilterOptions, Line, Origin, read_each, suggestion
from bandersnatch.model.filenames import FileKind, build_info, wheel_tag_text, wheel_tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bandersnatch.model.filenames import BuildInfo, WheelTags
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail


LINUX_ARCHITECTURES = frozenset(
    {"x86_64", "i386", "i486", "i586", "i686", "aarch64", "aarch64_be"}
    | {"armv5tel", "armv6l", "armv7l", "armv8l", "ppc", "ppc64", "ppc64le", "s390", "s390x"}
    | {"riscv32", "riscv64", "loongarch64", "mips", "mipsel", "mips64", "mips64el"}
    | {"ia64", "alpha", "sparc64"}
)
"""The architectures in ``linux_*``, ``manylinux*`` and ``musllinux*`` tags."""

WINDOWS_ARCHITECTURES = frozenset({"amd64", "arm64", "arm32", "ia64"})
MACOS_FORMATS = frozenset(
    {"x86_64", "arm64", "universal2", "universal", "intel", "i386"}
    | {"ppc", "ppc64", "fat", "fat3", "fat32", "fat64"}
)

_FAMILIES = (
    (
        re.compile(r"(?:linux|manylinux(?:1|2010|2014|_\d+_\d+)|musllinux_\d+_\d+)_(\w+)"),
        LINUX_ARCHITECTURES,
    ),
    (re.compile(r"macosx_\d+_\d+_(\w+)"), MACOS_FORMATS),
    (re.compile(r"win_(\w+)"), WINDOWS_ARCHITECTURES),
)
_OTHER = re.compile(
    r"win32|(?:android|ios|pyodide|(?:py)?emscripten"
    r"|freebsd|openbsd|netbsd|dragonfly|cygwin|aix|sunos|solaris|hp_ux|haiku)_\d\w*"
)


def normalized_tag(text: str) -> str:
    """Return a platform in the form of tags: in lower case, with ``_`` for ``-`` and ``.``."""
    return text.lower().replace("-", "_").replace(".", "_")


def is_platform_tag(tag: str) -> bool:
    """Return whether a normalized tag is of a family of platforms that is known.

    :raises OptionError: if it is and its architecture does not exist.
    """
    for pattern, architectures in _FAMILIES:
        found = pattern.fullmatch(tag)
        if found is not None and found[1] not in architectures:
            raise OptionError(
                f"there is no platform {tag!r}{nearest(found[1], architectures)}; it would end "
                f"with one of {', '.join(sorted(architectures))}"
            )
        if found is not None:
            return True
    return _OTHER.fullmatch(tag) is not None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the question whether a known word was meant, with a cutoff for short words."""
    return suggestion(word, known, cutoff=0.5)


_SECTION, _OPTION = "blocklist", "platforms"

_WINDOWS = ("win32", "win_"), frozenset({FileKind.MSI, FileKind.WININST})
_MACOS = ("macosx",), frozenset({FileKind.DMG})
_LINUX = ("linux", "manylinux", "musllinux"), frozenset({FileKind.RPM, FileKind.DEB})
_MUSLLINUX = ("musllinux_",), frozenset[FileKind]()
_GROUPS: dict[str, tuple[tuple[str, ...], frozenset[FileKind]]] = {
    "windows": _WINDOWS,
    "win": _WINDOWS,
    "macos": _MACOS,
    "macosx": _MACOS,
    "linux": _LINUX,
    "freebsd": (("freebsd",), frozenset()),
    "manylinux_": (("manylinux_",), frozenset()),
    "musllinux": _MUSLLINUX,
    "musllinux_": _MUSLLINUX,
}
"""The tokens for many platforms: the prefixes of their tags, and their kinds of files."""

_PYTHON = re.compile(r"py([1-9](?:\.(?:0|[1-9]\d{0,2}))?)")
_PYTHON_MISSPELT = re.compile(r"(?:c?python|py|cp|pp)[-_]?([1-9])\.?(\d*)t?")
_IMPLEMENTATIONS = frozenset({"py", "cp", "pp", "ip", "jy"})
_STABLE_ABIS = frozenset({"abi3", "abi3t"})
_SUGGESTED = (
    *_GROUPS,
    "win32",
    "win_amd64",
    "win_arm64",
    "linux_x86_64",
    "linux_i686",
    "py2",
    "py3",
)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What one token excludes: the platforms with certain prefixes, one platform, or one Python.

    ``python`` is "2.7", or "2" for the tags without a minor version. ``fingerprint`` is the same
    for two spellings of the same token; for one platform it is its tag.
    """

    origin: Origin
    fingerprint: str
    prefixes: tuple[str, ...] = ()
    kinds: frozenset[FileKind] = frozenset()
    python: str = ""

    def has_platform(self, tag: str) -> bool:
        """Return whether a platform tag is excluded."""
        return tag.startswith(self.prefixes) if self.prefixes else tag == self.fingerprint

    def has_python(self, tag: str, abis: frozenset[str]) -> bool:
        """Return whether a python tag of a wheel with these ABI tags is excluded.

        A wheel of the stable ABI also runs on the Pythons after the one that it names.
        """
        if not self.python or tag[:2] not in _IMPLEMENTATIONS or abis & _STABLE_ABIS:
            return False
        return tag[2:] == self.python.replace(".", "")

    def has_build(self, build: BuildInfo) -> bool:
        """Return whether a built file that is not a wheel is excluded; "py2" includes "py2.7"."""
        if self.python:
            return self.python in {build.python, build.python.partition(".")[0]}
        return build.kind in self.kinds or self.has_platform(build.platform)


def _exclusion(token: Line) -> Exclusion:
    """Read a token.

    :raises OptionError: if it is not known; it would exclude nothing.
    """
    word = token.text.lower()
    if python := _PYTHON.fullmatch(word):
        return Exclusion(token.origin, word, python=python[1])
    tag = normalized_tag(word.lstrip(".-"))
    if tag in _GROUPS:
        prefixes, kinds = _GROUPS[tag]
        return Exclusion(token.origin, f"{' '.join(prefixes)}*", prefixes, kinds)
    if is_platform_tag(tag):
        return Exclusion(token.origin, tag)
    if python := _PYTHON_MISSPELT.fullmatch(word):
        meant = ".".join(filter(None, python.groups()))
        raise OptionError(f"no such platform or Python exists; did you mean 'py{meant}'?")
    raise OptionError(
        "no such platform or Python exists; write windows, macos, linux, freebsd, a platform "
        "tag such as win_amd64, py2, py3 or a Python such as py2.7, with spaces between them"
        f"{nearest(word.strip(',;.-'), _SUGGESTED)}"
    )


@dataclass(frozen=True)
class ExcludePlatform(PageFilter):
    """Drop the files that are built only for platforms or Pythons that a token excludes."""

    name = "exclude_platform"
    stage = Stage.FILE

    exclusions: tuple[Exclusion, ...]

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[blocklist] platforms``.

        :raises InvalidRules: with every token that is not known, or if there is none.
        """
        tokens = [
            Line(token, replace(line.origin, text=token))
            for line in options.lines(_SECTION, _OPTION)
            for token in line.text.split()
        ]
        if not tokens:
            message = (
                "exclude_platform is enabled and no platform is named; name one, such as windows, "
                "or remove the filter from [plugins] enabled"
            )
            raise InvalidRules([Problem(_SECTION, _OPTION, message)])
        return cls(tuple(read_each(tokens, _SECTION, _OPTION, _exclusion)))

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page without the files that only excluded platforms or Pythons can use."""
        wheels: dict[str, bool] = {}

        def keeps(file: ReleaseFile) -> bool:
            part = wheel_tag_text(file.filename)
            if part is None:
                return not self._excluding_build(file.filename, page.name)
            if part not in wheels:
                wheels[part] = not self._excluding_wheel(wheel_tags(part))
            return wheels[part]

        return page.keep(keeps)

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the tokens that exclude a file, and where they are written."""
        if file is None:
            return ""
        part = wheel_tag_text(file.filename)
        if part is None:
            excluding = self._excluding_build(file.filename, page.name)
        else:
            excluding = self._excluding_wheel(wheel_tags(part))
        return " and ".join(dict.fromkeys(str(each.origin) for each in excluding))

    def describe(self) -> tuple[str, ...]:
        """Return a sentence each about platforms, Pythons and source distributions."""
        platforms = dict.fromkeys(e.origin.text.lower() for e in self.exclusions if not e.python)
        pythons = dict.fromkeys(e.python for e in self.exclusions if e.python)
        sentences = []
        if platforms:
            sentences.append(f"drop the files that are only for platforms: {', '.join(platforms)}")
        if pythons:
            sentences.append(f"drop the files that are only for Pythons: {', '.join(pythons)}")
        return (*sentences, "keep every source distribution")

    def fingerprint(self) -> str:
        """Return the tokens in a canonical spelling and order."""
        return f"{self.name} {' '.join(sorted({each.fingerprint for each in self.exclusions}))}"

    def _excluding_build(self, filename: str, name: ProjectName) -> list[Exclusion]:
        """Return the exclusions of a file that is not a wheel.

        A source distribution has none: its name gives no platform and no Python.
        """
        build = build_info(filename, name)
        return [each for each in self.exclusions if each.has_build(build)]

    def _excluding_wheel(self, tags: WheelTags) -> list[Exclusion]:
        """Return the exclusions that together leave a wheel no platform or no Python."""
        platforms = [[e for e in self.exclusions if e.has_platform(t)] for t in tags.platforms]
        if all(platforms):
            return self._in_order(platforms)
        pythons = [[e for e in self.exclusions if e.has_python(t, tags.abis)] for t in tags.pythons]
        return self._in_order(pythons) if all(pythons) else []

    def _in_order(self, found: Iterable[list[Exclusion]]) -> list[Exclusion]:
        every = [exclusion for exclusions in found for exclusion in exclusions]
        return [exclusion for exclusion in self.exclusions if exclusion in every]
