"""What the name of a release file says about Pythons and platforms (PEP 425, PEP 427, distutils).

Everything is read from names: the Simple API tells no kind of file.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidValue
from bandersnatch.model.names import project_name
from bandersnatch.model.versions import SYSTEMS, strip_ending, version_text

if TYPE_CHECKING:
    from bandersnatch.model.names import ProjectName

_REMEMBERED = 32_768
_WHEEL = re.compile(
    r"[a-z0-9][\w.]*-[\w.+!]+(?:-\d[\w.]*)?"
    r"-([a-z_]\w*(?:\.[a-z_]\w*)*-\w+(?:\.\w+)*-\w+(?:\.\w+)*)\.whl",
    re.ASCII | re.IGNORECASE,
)
_SEPARATORS = re.compile(r"[-.]")
_SYSTEM = rf"win32|(?:{SYSTEMS})[-_\d][\w.+-]*?"
_BUILT = re.compile(
    rf"(?:[-.](?P<before>{_SYSTEM}))?(?:[-.]py(?P<python>\d(?:\.\d+)?))?(?:[-.](?P<after>{_SYSTEM}))?",
    re.ASCII | re.IGNORECASE,
)
"""What distutils appends to a version: the platform before the Python, in eggs after it."""


class FileKind(Enum):
    """The kinds of release files, each with its name in a sentence."""

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


_MOST_PARTS = 10
"""Parts of a name that are tried; what has more is looked for in another way."""


def candidate_projects(filename: str) -> list[ProjectName]:
    """Return the projects that a file may be of: its name begins with theirs, then a dash."""
    parts = filename.split("-", _MOST_PARTS)[:-1]
    texts = ("-".join(parts[: count + 1]) for count in range(len(parts)))
    names = []
    for text in texts:
        with suppress(InvalidValue):
            names.append(project_name(text))
    return names


@dataclass(frozen=True, slots=True)
class WheelTags:
    """The compressed tag sets of a wheel, in lower case."""

    pythons: frozenset[str]
    abis: frozenset[str]
    platforms: frozenset[str]


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """What the name of a file that is no wheel says.

    ``python`` is "2.7", "3" or, where it is not told, "". ``platform`` is in the form of a
    wheel's platform tag, such as ``win_amd64`` or ``macosx_10_9_x86_64``, or "".
    """

    kind: FileKind
    python: str = ""
    platform: str = ""


def wheel_tag_text(filename: str) -> str | None:
    """Return the tags in a wheel's name as they stand there, or None if it is no such name.

    The version is not looked at: one that is none by PEP 440 says nothing against the tags.
    """
    found = _WHEEL.fullmatch(filename)
    return found[1].lower() if found and filename.endswith(".whl") else None


@lru_cache(maxsize=_REMEMBERED)
def wheel_tags(part: str) -> WheelTags:
    """Return the sets of tags that ``wheel_tag_text`` found."""
    pythons, abis, platforms = (frozenset(tags.split(".")) for tags in part.split("-"))
    return WheelTags(pythons, abis, platforms)


@lru_cache(maxsize=_REMEMBERED)
def build_info(filename: str, name: ProjectName) -> BuildInfo:
    """Return what the name of a project's file says; for a wheel, its kind alone.

    An archive is a source distribution unless a platform follows its version.
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
    """Return what follows the version; a name is never longer than it is spelt in a file's."""
    at = stem.find(f"-{version}", len(name)) if version else -1
    return stem[at + 1 + len(version) :] if at >= 0 else ""
