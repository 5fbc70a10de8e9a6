"""``target_environments``: keep what a declared environment can install.

The second part of the module reads the section ``[environments]``, which declares them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from bandersnatch.errors import SHOWN_CHARACTERS, InvalidRules, OptionError, Problem
from bandersnatch.filters.builtin.platforms import is_platform_tag, nearest, normalized_tag
from bandersnatch.filters.interface import PageFilter, Stage
from bandersnatch.filters.options import FilterOptions, Line, Origin, read_each
from bandersnatch.model.filenames import FileKind, build_info, wheel_tag_text, wheel_tags
from bandersnatch.model.versions import VersionKey, parse_version, version_key
from bandersnatch.model.wheels import (
    FIRST_THREADED,
    OLDEST_GLIBC,
    Environment,
    Implementation,
    Linux,
    Platform,
    Pythons,
    Tagged,
    macos,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

_OWN_SECTION, _OPTION = "target_environments", "sdists"


class Sdists(Enum):
    """Which source distributions are kept."""

    KEEP = "keep"
    DROP = "drop"
    WHEN_NO_WHEEL = "when-no-wheel"


_SDIST_WORDS = {
    Sdists.KEEP: "keep every source distribution",
    Sdists.DROP: "drop every source distribution",
    Sdists.WHEN_NO_WHEEL: (
        "keep the source distributions of the versions that have no wheel for one of the "
        "environments, where a wheel for any of its Pythons and platforms counts"
    ),
}


@dataclass(frozen=True)
class TargetEnvironments(PageFilter):
    """Keep the wheels that a declared environment can install, and source distributions by policy.

    ``origin`` is where the policy is written. For a wheel, the environments that can install it
    are given as a set of their positions in ``environments``.
    """

    name = "target_environments"
    stage = Stage.FILE

    environments: tuple[Environment, ...]
    sdists: Sdists
    origin: Origin

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[environments]`` and ``[target_environments] sdists``.

        :raises InvalidRules: with every problem of these options.
        """
        problems: list[Problem] = []
        text = (options.text(_OWN_SECTION, _OPTION) or "").strip().lower()
        known = {each.value: each for each in Sdists}
        if text and text not in known:
            shown = text[:SHOWN_CHARACTERS]
            message = f"{shown!r} is none of {', '.join(known)}{nearest(text, known)}"
            problems.append(Problem(_OWN_SECTION, _OPTION, message))
        environments: tuple[Environment, ...] = ()
        try:
            environments = declared(options)
        except InvalidRules as error:
            problems += error.problems
        if problems:
            raise InvalidRules(problems)
        origin = options.origin(_OWN_SECTION, _OPTION)
        return cls(environments, known.get(text, Sdists.KEEP), origin)

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with the files that an environment can install."""
        wheels = self._wheels(page)
        served = self._served(page, wheels) if self.sdists is Sdists.WHEN_NO_WHEEL else frozenset()
        drops = self.sdists is Sdists.DROP

        def keeps(file: ReleaseFile) -> bool:
            if file.filename in wheels:
                return bool(wheels[file.filename])
            if drops or build_info(file.filename, page.name).kind is not FileKind.SDIST:
                return False
            return not served or version_key(page.version_of(file)) not in served

        return page.keep(keeps)

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return why no environment can install a file, or the policy that drops it."""
        if file is None:
            return ""
        part = wheel_tag_text(file.filename)
        if part is not None and parse_version(page.version_of(file)) is not None:
            return self._explain_wheel(part, file.requires_python)
        kind = build_info(file.filename, page.name).kind
        if kind is FileKind.WHEEL:
            return "no environment can install it: its name is not that of a wheel"
        if kind is not FileKind.SDIST:
            return f"no environment can install it: it is {kind.value}, and pip takes none"
        if self.sdists is Sdists.DROP:
            return f"it is a source distribution, and sdists = {self.origin}"
        version = page.version_of(file)
        return f"every declared environment has a wheel of {version}, and sdists = {self.origin}"

    def describe(self) -> tuple[str, ...]:
        """Return a sentence for each environment, and for other kinds of files."""
        return (
            *(
                f"keep the wheels that {each.name} can install: {each.fingerprint()}"
                for each in self.environments
            ),
            _SDIST_WORDS[self.sdists],
            "drop what pip cannot install: eggs, installers, and other packages",
        )

    def fingerprint(self) -> str:
        """Return the environments and the policy, without names and in a canonical order."""
        environments = sorted({each.fingerprint() for each in self.environments})
        return f"{self.name} {self.sdists.value}: {'; '.join(environments)}"

    def _wheels(self, page: ProjectDetail) -> dict[str, frozenset[int]]:
        """Return which environments can install each wheel of a page, by its file name.

        A wheel without a version by PEP 440 is left out: pip does not take it for a wheel.
        """
        answers: dict[tuple[str, str | None], frozenset[int]] = {}
        wheels = {}
        for file in page.files:
            part = wheel_tag_text(file.filename)
            if part is None or parse_version(page.version_of(file)) is None:
                continue
            question = part, file.requires_python
            if question not in answers:
                answers[question] = self._installing(*question)
            wheels[file.filename] = answers[question]
        return wheels

    def _installing(self, part: str, requires_python: str | None) -> frozenset[int]:
        tags = wheel_tags(part)
        return frozenset(
            position
            for position, environment in enumerate(self.environments)
            if environment.installs(tags, requires_python)
        )

    def _served(
        self, page: ProjectDetail, wheels: dict[str, frozenset[int]]
    ) -> frozenset[VersionKey]:
        """Return the versions that every environment has a wheel of."""
        found: dict[VersionKey, frozenset[int]] = {}
        for file in page.files:
            positions = wheels.get(file.filename)
            if positions:
                key = version_key(page.version_of(file))
                found[key] = found.get(key, frozenset()) | positions
        every = len(self.environments)
        return frozenset(key for key, positions in found.items() if len(positions) == every)

    def _explain_wheel(self, part: str, requires_python: str | None) -> str:
        if not self._installing(part, None):
            return f"no declared environment can install it: its tags are {part}"
        requires = (requires_python or "")[:SHOWN_CHARACTERS]
        return (
            f"no declared environment can install it: it requires Python {requires!r}, and its "
            f"tags are {part}"
        )


# ---------------------------------------------------------------- the section [environments]

_SECTION = "environments"

_LINUX_ARCHITECTURES = {
    "x86_64": "x86_64",
    "i686": "i686",
    "aarch64": "aarch64",
    "armv7l": "armv7l",
    "armv6l": "armv6l",
    "ppc64le": "ppc64le",
    "ppc64": "ppc64",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loongarch64": "loongarch64",
    "amd64": "x86_64",
    "x64": "x86_64",
    "arm64": "aarch64",
    "x86": "i686",
    "i386": "i686",
    "armhf": "armv7l",
}
_MACOS_ARCHITECTURES = {"x86_64": "x86_64", "arm64": "arm64", "amd64": "x86_64", "aarch64": "arm64"}
_WINDOWS_TAGS = {
    "amd64": "win_amd64",
    "x86_64": "win_amd64",
    "x64": "win_amd64",
    "x86": "win32",
    "win32": "win32",
    "i386": "win32",
    "arm64": "win_arm64",
    "aarch64": "win_arm64",
}

_SERIES = re.compile(r"([1-9])\.(0|[1-9]\d{0,2})(t?)")
_PART = re.compile(r"(~=|==|!=|<=|>=|<|>)\s*([1-9](?:\.(?:0|[1-9]\d{0,2}))?(?:\.\*)?)(t?)")
_OPERATOR = re.compile(r"[<>=!~]")
_LINUX_CLAUSE = re.compile(r"(.*?) ?\b(glibc|musl) ([1-9])\.(0|[1-9]\d{0,2})")
_MACOS_VERSION = re.compile(r"([1-9]\d)(?:\.(0|[1-9]\d?))?")


@dataclass(frozen=True, slots=True)
class _Clause:
    """What one clause adds to an environment."""

    pythons: tuple[Pythons, ...] = ()
    platforms: tuple[Platform, ...] = ()
    implementation: Implementation | None = None


def declared(options: FilterOptions) -> tuple[Environment, ...]:
    """Return the environments that are declared, by their names.

    :raises InvalidRules: with everything that is wrong with them, or if there is none.
    """
    environments: list[Environment] = []
    problems: list[Problem] = []
    for name in sorted(options.sections.get(_SECTION, {})):
        try:
            environments.append(_environment(options, name))
        except InvalidRules as error:
            problems += error.problems
    if not environments and not problems:
        message = (
            "target_environments is enabled and no environment is declared; declare one, such as "
            "'servers = python >=3.10; linux x86_64 glibc 2.28', or remove the filter from "
            "[plugins] enabled"
        )
        problems.append(Problem(_SECTION, "", message))
    if problems:
        raise InvalidRules(problems)
    return tuple(environments)


def _environment(options: FilterOptions, name: str) -> Environment:
    lines = [
        Line(text.strip(), replace(line.origin, text=text.strip()))
        for line in options.lines(_SECTION, name)
        for text in line.text.split(";")
        if text.strip()
    ]
    clauses = read_each(lines, _SECTION, name, _clause)
    pythons = tuple(dict.fromkeys(each for clause in clauses for each in clause.pythons))
    platforms = tuple(dict.fromkeys(each for clause in clauses for each in clause.platforms))
    named = {clause.implementation for clause in clauses} - {None}
    wrong = []
    if not pythons:
        wrong.append("no Python is named; add a clause such as 'python 3.12' or 'python >=3.10'")
    if not platforms:
        wrong.append(
            "no platform is named; add a clause such as 'linux x86_64 glibc 2.28', "
            "'macos arm64 12', 'windows amd64', or 'tag any' for pure Python alone"
        )
    if len(named) > 1:
        wrong.append(
            "it must be either cpython or pypy; declare a second environment for the other"
        )
    if "pypy" in named and any(each.threaded for each in pythons):
        wrong.append("PyPy has no free-threaded builds; remove the 't' from the versions")
    if wrong:
        raise InvalidRules([Problem(_SECTION, name, each) for each in wrong])
    return Environment(name, pythons, platforms, "pypy" if "pypy" in named else "cpython")


def _clause(line: Line) -> _Clause:
    """Read a clause.

    :raises OptionError: if it is not a clause.
    """
    word, *rest = line.text.lower().split()
    reader = _READERS.get(word)
    if reader is None:
        raise OptionError(
            f"a clause begins with {', '.join(_READERS)}, not with {word!r}"
            f"{nearest(word, _READERS)}"
        )
    return reader(rest)


def _python(words: Sequence[str]) -> _Clause:
    text = " ".join(words)
    if _OPERATOR.search(text):
        return _Clause(pythons=(_specified(text),))
    versions = text.replace(",", " ").split()
    if not versions:
        raise OptionError("write versions, as in 'python 3.11 3.12' or 'python >=3.11'")
    return _Clause(pythons=tuple(map(_listed, versions)))


def _listed(version: str) -> Pythons:
    found = _SERIES.fullmatch(version)
    if found is None:
        raise OptionError(
            f"{version!r} is not a version of the form X.Y, or X.Yt for the free-threaded build; "
            "patch levels do not matter to wheels, and a range is written '>=3.11,<3.14'"
        )
    if found[3] and (int(found[1]), int(found[2])) < FIRST_THREADED:
        raise OptionError(f"{version!r} does not exist; the first free-threaded build is 3.13t")
    return Pythons(f"=={found[1]}.{found[2]}", threaded=bool(found[3]))


def _specified(text: str) -> Pythons:
    found = [(part, _PART.fullmatch(part.strip())) for part in text.split(",")]
    wrong = [part.strip() for part, match in found if match is None]
    if wrong:
        raise OptionError(
            f"{wrong[0]!r} is not an operator of PEP 440 and a version of the form X.Y; write for "
            "example '>=3.11,<3.14' or '>=3.13t', with a comma between the parts"
        )
    parts = {f"{match[1]}{match[2]}" for _, match in found if match}
    try:
        SpecifierSet(",".join(parts))
    except InvalidSpecifier:
        raise OptionError(f"{text!r} is not a specifier of PEP 440") from None
    threaded = any(match and match[3] for _, match in found)
    pythons = Pythons(",".join(sorted(parts)), threaded=threaded)
    if not pythons:
        raise OptionError(f"there is no Python {text}")
    return pythons


def _linux(words: Sequence[str]) -> _Clause:
    found = _LINUX_CLAUSE.fullmatch(" ".join(words))
    if found is None:
        raise OptionError(
            "write 'linux ARCHITECTURE glibc X.Y' or 'linux ARCHITECTURE musl X.Y', where X.Y is "
            "the oldest version of the C library that there is, as in 'linux x86_64 glibc 2.28'"
        )
    libc: Literal["glibc", "musl"] = "musl" if found[2] == "musl" else "glibc"
    floor = int(found[3]), int(found[4])
    if libc == "glibc" and floor < OLDEST_GLIBC:
        raise OptionError(
            f"no wheel is made for a glibc older than 2.5, and {floor[0]}.{floor[1]} is"
        )
    architectures = _known(found[1].split(), _LINUX_ARCHITECTURES)
    return _Clause(platforms=tuple(Linux(each, libc, floor) for each in architectures))


def _macos(words: Sequence[str]) -> _Clause:
    *architectures, version = words or [""]
    found = _MACOS_VERSION.fullmatch(version)
    if found is None or (found[1] == "10" and found[2] is None):
        raise OptionError(
            "write 'macos ARCHITECTURE X' or, for macOS 10, 'macos ARCHITECTURE 10.Y', where that "
            "is the oldest release of macOS there, as in 'macos arm64 12'"
        )
    release = int(found[1]), int(found[2] or 0)
    return _Clause(
        platforms=tuple(macos(a, release) for a in _known(architectures, _MACOS_ARCHITECTURES))
    )


def _windows(words: Sequence[str]) -> _Clause:
    tags = _known(words, _WINDOWS_TAGS)
    return _Clause(platforms=tuple(Tagged(f"tag {tag}", frozenset({tag})) for tag in tags))


def _tag(words: Sequence[str]) -> _Clause:
    if not words:
        raise OptionError("write a platform tag, as in 'tag linux_armv5tel'")
    tags = []
    for tag in map(normalized_tag, words):
        if tag != "any" and not is_platform_tag(tag):
            raise OptionError(
                f"{tag!r} is not a platform tag; one looks like linux_x86_64, "
                "manylinux_2_28_x86_64, macosx_11_0_arm64, win_amd64, or any"
            )
        tags.append(Tagged(f"tag {tag}", frozenset({tag})))
    return _Clause(platforms=tuple(tags))


def _known(words: Sequence[str], architectures: Mapping[str, str]) -> list[str]:
    """Return the canonical names of architectures.

    :raises OptionError: if one is unknown, or there are none.
    """
    if not words:
        raise OptionError(f"name an architecture: one of {', '.join(architectures)}")
    for word in words:
        if word not in architectures:
            raise OptionError(
                f"{word!r} is not a known architecture{nearest(word, architectures)}; known are "
                f"{', '.join(architectures)}, and 'tag' accepts any other platform by its tag"
            )
    return list(dict.fromkeys(architectures[word] for word in words))


def _cpython(words: Sequence[str]) -> _Clause:
    return _implementation("cpython", words)


def _pypy(words: Sequence[str]) -> _Clause:
    return _implementation("pypy", words)


def _implementation(name: Implementation, words: Sequence[str]) -> _Clause:
    if words:
        raise OptionError(f"{name} takes no versions; write them as 'python {' '.join(words)}'")
    return _Clause(implementation=name)


_READERS: dict[str, Callable[[Sequence[str]], _Clause]] = {
    "python": _python,
    "cpython": _cpython,
    "pypy": _pypy,
    "linux": _linux,
    "macos": _macos,
    "windows": _windows,
    "tag": _tag,
}
