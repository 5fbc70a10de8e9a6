"""Versions (PEP 440), and what the names of release files say (binary distribution format).

Parsing is remembered: a page's filters ask for the same few thousand texts again and again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from packaging.version import InvalidVersion, Version

from bandersnatch.model.files import FILE_ENDINGS

if TYPE_CHECKING:
    from bandersnatch.model.names import ProjectName

VersionKey: TypeAlias = "Version | str"
"""What makes two texts the same version: the parsed version, or the text if it is none."""

_REMEMBERED = 8_192
_FEW = 256
_SEPARATORS = re.compile(r"[-_.]+")
SYSTEMS = "linux|win|macosx|freebsd|openbsd|netbsd|cygwin|aix|sunos|solaris|hp-ux|java|darwin"
"""How the names of platforms begin that distutils appends, as an expression."""

_BUILT = re.compile(
    rf"[-.](?:py\d[\d.]*|(?:{SYSTEMS})[-_\d].*|noarch|src|\d+\.(?:noarch|src|x86_64|i[3-6]86))\Z|"
    r"[-.]win32.*\Z",
    re.IGNORECASE,
)
"""What follows the version in the name of a file that was built with distutils."""


@lru_cache(maxsize=_REMEMBERED)
def parse_version(text: str) -> Version | None:
    """Return the version that a text is, or None if it is none by PEP 440."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def version_key(text: str) -> VersionKey:
    """Return what two texts of the same version have in common."""
    return parse_version(text) or text


def version_text(filename: str, name: ProjectName) -> str:
    """Return the version in the name of a project's file, as it is written there.

    A wheel tells it exactly. Of another file it is what follows the project's name, less what a
    builder appended; "" if the file does not begin with that name.
    """
    if filename.endswith(".whl"):
        rest = filename[:-4].partition("-")[2]
        return rest.partition("-")[0]
    stem = strip_ending(filename)
    rest = stem[_prefix_length(stem, name) :]
    while parse_version(rest) is None and (shorter := _BUILT.sub("", rest)) != rest:
        rest = shorter
    return rest


def strip_ending(filename: str) -> str:
    """Return a file name without the ending that tells what kind of file it is."""
    lowered = filename.lower()
    for ending in FILE_ENDINGS:
        if lowered.endswith(ending):
            return filename[: -len(ending)]
    return filename


def _prefix_length(stem: str, name: ProjectName) -> int:
    """Return where the version begins: after the project's name in any spelling, and a hyphen."""
    if stem.startswith(name) and stem.startswith("-", len(name)):
        return len(name) + 1  # as the pattern would find, in most cases
    match = _prefix(name).match(stem)
    return match.end() if match else len(stem)


@lru_cache(maxsize=_FEW)
def _prefix(name: ProjectName) -> re.Pattern[str]:
    pattern = "[-_.]+".join(re.escape(part) for part in _SEPARATORS.split(name))
    return re.compile(rf"{pattern}-", re.IGNORECASE)
