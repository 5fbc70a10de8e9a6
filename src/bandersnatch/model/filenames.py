"""Kinds, Python versions and platforms in release file names (PEP 425, PEP 427, distutils).

The name of a wheel may end with a variant label (draft PEP 825), which says nothing about its tags.

Names are the only source, because the Simple API does not state the kind of a file.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from bandersnatch.errors import InvalidValue
from bandersnatch.model.folding import ANY_FOLDING
from bandersnatch.model.names import ProjectName, is_named_after, project_name
from bandersnatch.model.versions import SYSTEMS, strip_ending, version_text

_CACHE_SIZE = 32_768
_WHEEL = re.compile(
    r"[a-z0-9][\w.]*-[\w.+!]+(?:-\d[\w.]*)?"
    r"-([a-z_]\w*(?:\.[a-z_]\w*)*-\w+(?:\.\w+)*-\w+(?:\.\w+)*)\.whl",
    re.ASCII | re.IGNORECASE,
)
_VARIANT = re.compile(
    r"[a-z0-9][\w.]*-[\w.+!]+(?:-\d[\w.]*)?"
    r"-((?:py|cp|ip|pp|jy|graalpy)\w*(?:\.[a-z_]\w*)*-\w+(?:\.\w+)*-\w+(?:\.\w+)*)-[\w.]+\.whl",
    re.ASCII | re.IGNORECASE,
)
"""A wheel with a variant label. Known Python tags only: otherwise a build tag could be one."""

_SEPARATORS = re.compile(r"[-.]")
_SYSTEM = rf"win32|(?:{SYSTEMS})[-_\d][\w.+-]*?"
_BUILT = re.compile(
    rf"(?:[-.](?P<before>{_SYSTEM}))?(?:[-.]py(?P<python>\d(?:\.\d+)?))?(?:[-.](?P<after>{_SYSTEM}))?",
    re.ASCII | re.IGNORECASE,
)
"""What distutils appends to a version: the platform before the Python version, in eggs after."""


class FileKind(Enum):
    """The kinds of release files; the value is the kind's name in a sentence."""

    WHEEL = "a wheel"
    SDIST = "a source distribution"
    EGG = "an egg"
    WININST = "a Windows installer"
    MSI = "a Windows installer package"
    RPM = "an RPM package"
    DEB = "a Debian package"
    DMG = "a disk image"
    DUMB = "a built archive"
    OTHER = "of no known kind"


_KINDS = {
    ".whl": FileKind.WHEEL,
    ".egg": FileKind.EGG,
    ".exe": FileKind.WININST,
    ".msi": FileKind.MSI,
    ".rpm": FileKind.RPM,
    ".deb": FileKind.DEB,
    ".dmg": FileKind.DMG,
}


_MAX_PARTS = 10
"""How many parts of a name are tried; this bounds the number of candidates."""


def candidate_projects(filename: str) -> list[ProjectName]:
    """Return the projects that a file can belong to: those whose name and a dash it starts with."""
    parts = filename.split("-", _MAX_PARTS)[:-1]
    texts = ("-".join(parts[: count + 1]) for count in range(len(parts)))
    names = []
    for text in texts:
        with suppress(InvalidValue):
            names.append(project_name(text))
    return names


def likely_owners(filename: str) -> list[ProjectName]:
    """Return the projects that a file's name says it may belong to: of a wheel only one.

    They are the same for all names that some file system does not hold apart.
    """
    filename = ANY_FOLDING.fold(filename)
    if filename.endswith(".whl"):
        return candidate_projects(filename.partition("-")[0] + "-")
    return candidate_projects(filename)


def is_likely_owner(filename: str, name: ProjectName) -> bool:
    """Whether ``likely_owners`` has the project."""
    begin = filename[: len(name)]
    if begin == name and "-" not in name and filename.startswith("-", len(name)):
        return True  # most names
    return name in likely_owners(filename)


def can_belong_to(filename: str, name: ProjectName) -> bool:
    """Whether a file of this name can belong to the project.

    Only a valid name of a wheel says with certainty whose it is. PyPI has projects with files of
    any name: whose a path is, is decided by its digest (``file_path``).
    """
    if is_named_after(filename, name) or not filename.endswith(".whl"):
        return True
    try:
        return parse_wheel_filename(filename)[0] == name
    except InvalidWheelFilename:
        return True


@dataclass(frozen=True, slots=True)
class WheelTags:
    """The compressed tag sets of a wheel, in lower case."""

    pythons: frozenset[str]
    abis: frozenset[str]
    platforms: frozenset[str]


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """What the name of a file other than a wheel states.

    ``python`` is a version such as "2.7" or "3", "" if not stated. ``platform`` has the form of a
    wheel's platform tag, such as ``win_amd64`` or ``macosx_10_9_x86_64``, or is "".
    """

    kind: FileKind
    python: str = ""
    platform: str = ""


def wheel_tag_text(filename: str) -> str | None:
    """Return the tags in a wheel's name in lower case, or None if it is not a wheel's name.

    The version need not conform to PEP 440; the tags are valid without it. A variant label is
    omitted.
    """
    found = _WHEEL.fullmatch(filename) or _VARIANT.fullmatch(filename)
    return found[1].lower() if found and filename.endswith(".whl") else None


@lru_cache(maxsize=_CACHE_SIZE)
def wheel_tags(part: str) -> WheelTags:
    """Return the tag sets in a result of ``wheel_tag_text``."""
    pythons, abis, platforms = (frozenset(tags.split(".")) for tags in part.split("-"))
    return WheelTags(pythons, abis, platforms)


@lru_cache(maxsize=_CACHE_SIZE)
def build_info(filename: str, name: ProjectName) -> BuildInfo:
    """Return what the name of a project's file states; for a wheel only the kind.

    An archive is a source distribution unless its version is followed by a platform.
    """
    stem = strip_ending(filename)
    ending = filename[len(stem) :].lower()
    kind = _KINDS.get(ending, FileKind.SDIST if ending else FileKind.OTHER)
    if kind is FileKind.WHEEL:
        return BuildInfo(kind)
    found = _BUILT.fullmatch(_after_version(stem, version_text(filename, name), name))
    if found is None:
        return BuildInfo(kind)
    platform = _SEPARATORS.sub("_", (found["before"] or found["after"] or "").lower())
    if kind is FileKind.SDIST:
        return (
            BuildInfo(FileKind.DUMB, found["python"] or "", platform)
            if platform
            else BuildInfo(kind)
        )
    return BuildInfo(kind, found["python"] or "", platform)


def _after_version(stem: str, version: str, name: ProjectName) -> str:
    """Return what follows the version; no spelling of a name is shorter than the normalised one."""
    at = stem.find(f"-{version}", len(name)) if version else -1
    return stem[at + 1 + len(version) :] if at >= 0 else ""
