"""Targets: one series of Python on one platform each, made from the declared environments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.closure.markers import Verdict, evaluate
from bandersnatch.model.filenames import FileKind, build_info, wheel_tag_text, wheel_tags
from bandersnatch.model.wheels import (
    Environment,
    Linux,
    Platform,
    Pythons,
    Tagged,
    python_satisfies,
    series_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bandersnatch.closure.markers import Variables
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.wheels import Implementation, Series

NEWEST_SERIES = (3, 15)
"""The newest series of Python that this release knows; an open range reaches it."""

KNOWN_SERIES: tuple[Series, ...] = (
    (2, 7),
    *((3, minor) for minor in range(3, NEWEST_SERIES[1] + 1)),
)

_LAST_PATCH = 99
"""Stands for every patch level that is not released yet."""

_MACOS_TAG = re.compile(r"macos (\w+) .*")
_PYTHON_TAG = re.compile(r"([a-z]+)([1-9])(\d{0,3})")
_WINDOWS = {"win_amd64": "AMD64", "win32": "x86", "win_arm64": "ARM64"}
_IMPLEMENTATIONS: dict[Implementation, str] = {"cpython": "CPython", "pypy": "PyPy"}


class Target(Struct, frozen=True):
    """One series of Python on one platform, or any environment.

    ``environment`` has that series and that platform alone, None for any environment. ``variables``
    are the variables of markers that the target decides, as ``markers.evaluate`` takes them.
    ``declared`` is the name of the environment that the target is of.
    """

    name: str
    declared: str
    environment: Environment | None
    series: Series | None
    variables: Variables


ANY = Target("any environment", "", None, None, ())
"""Stands for every environment that could be: it takes every wheel and source distribution."""


class Targets:
    """All targets of a configuration; a set of them is a number with a bit for each.

    The answers are remembered, because the same tags and markers are asked about in nearly every
    project.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = tuple(targets)
        self.all = (1 << len(self.targets)) - 1
        self._files: dict[tuple[str, str | None], int] = {}
        self._markers: dict[tuple[str, str], tuple[int, int]] = {}

    def fingerprint(self) -> str:
        """Return a text that changes whenever a target, or the order of them, does."""
        return "; ".join(
            each.environment.fingerprint() if each.environment else "any" for each in self.targets
        )

    def of(self, mask: int) -> list[Target]:
        """Return the targets of a set."""
        return [each for place, each in enumerate(self.targets) if mask >> place & 1]

    def taking(self, filename: str, project: ProjectName, requires_python: str | None) -> int:
        """Return the targets whose installers can take a file: a wheel or a source distribution."""
        part = wheel_tag_text(filename)
        if part is None:
            if build_info(filename, project).kind is not FileKind.SDIST:
                return 0
            part = ""
        key = part, requires_python
        if key not in self._files:
            self._files[key] = sum(
                1 << place
                for place, target in enumerate(self.targets)
                if _takes(target, part, requires_python)
            )
        return self._files[key]

    def admitting(self, marker: str, extra: str) -> tuple[int, int]:
        """Return the targets in which a marker holds for an extra, and those in which it may."""
        if not marker:
            return self.all, self.all
        key = marker, extra
        if key not in self._markers:
            verdicts = [evaluate(marker, extra, each.variables) for each in self.targets]
            sure = sum(1 << n for n, each in enumerate(verdicts) if each is Verdict.YES)
            possible = sum(1 << n for n, each in enumerate(verdicts) if each is not Verdict.NO)
            self._markers[key] = sure, possible
        return self._markers[key]


def _takes(target: Target, part: str, requires_python: str | None) -> bool:
    """Whether a target takes a wheel with these tags, "" for a source distribution."""
    if target.environment is None or target.series is None:
        return True
    if not part:
        return python_satisfies(requires_python, target.series)
    return target.environment.installs(wheel_tags(part), requires_python)


def is_sdist(file: ReleaseFile, project: ProjectName) -> bool:
    """Return whether a file is a source distribution."""
    return (
        not file.filename.endswith(".whl")
        and build_info(file.filename, project).kind is FileKind.SDIST
    )


def targets_of(
    environments: Iterable[Environment], known: Sequence[Series] = KNOWN_SERIES
) -> tuple[Target, ...]:
    """Return each series of each environment on each of its platforms, once; ``ANY`` if none.

    Only ``known`` series count for a range. A series that is listed counts in any case.
    """
    found: dict[tuple[object, ...], Target] = {}
    for environment in environments:
        for pythons in environment.pythons:
            for series in series_in(pythons, known):
                for platform in environment.platforms:
                    target = _target(environment, pythons, series, platform)
                    key = series, pythons.threaded, platform, environment.implementation
                    found.setdefault(key, target)
    return tuple(found.values()) or (ANY,)


def open_ranges(environments: Iterable[Environment]) -> tuple[str, ...]:
    """Return the names of the environments whose Pythons have no upper limit."""
    later = NEWEST_SERIES[0], NEWEST_SERIES[1] + 1
    return tuple(each.name for each in environments if any(later in p for p in each.pythons))


def _target(
    environment: Environment, pythons: Pythons, series: Series, platform: Platform
) -> Target:
    text = f"{series[0]}.{series[1]}"
    one = Environment(
        environment.name,
        (Pythons(f"=={text}", threaded=pythons.threaded),),
        (platform,),
        environment.implementation,
    )
    implementation = "" if environment.implementation == "cpython" else "PyPy "
    name = (
        f"{environment.name}: {implementation}Python {text}{'t' * pythons.threaded} on "
        f"{platform.fingerprint()}"
    )
    patches = tuple(f"{text}.{patch}" for patch in (*range(40), _LAST_PATCH))
    variables = {
        **_platform_variables(platform),
        "python_version": (text,),
        "python_full_version": patches,
        "implementation_name": (environment.implementation,),
        "platform_python_implementation": (_IMPLEMENTATIONS[environment.implementation],),
    }
    if environment.implementation == "cpython":
        variables["implementation_version"] = patches
    return Target(name, environment.name, one, series, tuple(sorted(variables.items())))


def _platform_variables(platform: Platform) -> dict[str, tuple[str, ...]]:
    """Return the variables of markers that a platform decides."""
    if isinstance(platform, Linux):
        return _variables("posix", "linux", "Linux", platform.architecture)
    found = _MACOS_TAG.fullmatch(platform.words)
    if found is not None:
        return _variables("posix", "darwin", "Darwin", found[1])
    return _tag_variables(platform)


def _tag_variables(platform: Tagged) -> dict[str, tuple[str, ...]]:
    """Return what a platform tag says about markers; nothing for ``any`` and unusual ones."""
    tag = next(iter(platform.tags), "")
    if tag in _WINDOWS:
        return _variables("nt", "win32", "Windows", _WINDOWS[tag])
    if tag.startswith("macosx_"):
        return _variables("posix", "darwin", "Darwin", "")
    if "linux" in tag.partition("_")[0]:
        return _variables("posix", "linux", "Linux", "")
    return {}


def _variables(
    os_name: str, sys_platform: str, system: str, machine: str
) -> dict[str, tuple[str, ...]]:
    """Return the variables of a platform; an unknown machine is left out."""
    found: dict[str, tuple[str, ...]] = {
        "os_name": (os_name,),
        "sys_platform": (sys_platform,),
        "platform_system": (system,),
    }
    if machine:
        found["platform_machine"] = (machine,)
    return found


def preference(filename: str) -> tuple[int, ...]:
    """Return the key that is higher for the file of a version that installers prefer.

    They prefer wheels to source distributions, and the wheels that fit fewer environments.
    """
    part = wheel_tag_text(filename)
    if part is None:
        return (0,)
    tags = wheel_tags(part)
    pythons = [found for tag in tags.pythons if (found := _PYTHON_TAG.fullmatch(tag))]
    series = max(((int(each[2]), int(each[3] or 0)) for each in pythons), default=(0, 0))
    is_own = any(each[1] != "py" for each in pythons)
    has_own_abi = bool(tags.abis - {"none", "abi3"})
    return (1, "any" not in tags.platforms, has_own_abi, is_own, "abi3" in tags.abis, *series)
