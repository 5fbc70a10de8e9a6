"""Versions (PEP 440), and versions in the names of release files.

Results are cached, because the filters of a page parse the same few thousand texts repeatedly.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from packaging.version import InvalidVersion, Version

from bandersnatch.model.files import COMPANION_ENDING, FILE_ENDINGS, is_companion

if TYPE_CHECKING:
    from bandersnatch.model.names import ProjectName

VersionKey: TypeAlias = "Version | str"
"""The identity of a version: the parsed version, or the text if it does not parse."""

_CACHE_SIZE = 8_192
_PREFIX_CACHE_SIZE = 256
_SEPARATORS = re.compile(r"[-_.]+")
SYSTEMS = "linux|win|macosx|freebsd|openbsd|netbsd|cygwin|aix|sunos|solaris|hp-ux|java|darwin"
"""How the platform names that distutils appends begin, as a regular expression."""

_BUILT = re.compile(
    rf"[-.](?:py\d[\d.]*|(?:{SYSTEMS})[-_\d].*|noarch|src|\d+\.(?:noarch|src|x86_64|i[3-6]86))\Z|"
    r"[-.]win32.*\Z",
    re.IGNORECASE,
)
"""What follows the version in the names of files built with distutils."""


@lru_cache(maxsize=_CACHE_SIZE)
def parse_version(text: str) -> Version | None:
    """Return the parsed version, or None if the text does not conform to PEP 440."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def version_key(text: str) -> VersionKey:
    """Return the key that is equal for texts of the same version."""
    return parse_version(text) or text


def version_order(text: str) -> tuple[bool, Any]:
    """Return a key that sorts versions from old to new, those that do not parse first."""
    parsed = parse_version(text)
    return (parsed is not None, text if parsed is None else parsed)


def version_text(filename: str, name: ProjectName) -> str:
    """Return the version in the name of a project's file, as written there.

    In other files than wheels it is what follows the project's name, without what distutils
    appended; "" if the file name does not start with that name. A companion has the version that
    it describes.
    """
    if filename.endswith(".whl"):
        rest = filename[:-4].partition("-")[2]
        return rest.partition("-")[0]
    if is_companion(filename):
        stem = filename.removesuffix(COMPANION_ENDING)
        return stem[_prefix_length(stem, name) :].partition("-")[0]
    stem = strip_ending(filename)
    rest = stem[_prefix_length(stem, name) :]
    while parse_version(rest) is None and (shorter := _BUILT.sub("", rest)) != rest:
        rest = shorter
    return rest


def strip_ending(filename: str) -> str:
    """Return a file name without its ending, one of ``FILE_ENDINGS``."""
    lowered = filename.lower()
    for ending in FILE_ENDINGS:
        if lowered.endswith(ending):
            return filename[: -len(ending)]
    return filename


def _prefix_length(stem: str, name: ProjectName) -> int:
    """Return where the version begins: after the project's name in any spelling and a dash."""
    if stem.startswith(name) and stem.startswith("-", len(name)):
        return len(name) + 1  # the common case, and the result of the pattern
    match = _prefix(name).match(stem)
    return match.end() if match else len(stem)


@lru_cache(maxsize=_PREFIX_CACHE_SIZE)
def _prefix(name: ProjectName) -> re.Pattern[str]:
    pattern = "[-_. ]+".join(re.escape(part) for part in _SEPARATORS.split(name))
    return re.compile(rf"[-_. ]*{pattern}-", re.IGNORECASE)
