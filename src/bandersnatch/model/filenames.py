"""What kind of distribution a file's name says it is, in the words of the legacy JSON document."""

from __future__ import annotations

import re

from bandersnatch.model.versions import without_ending

_KINDS = {
    ".whl": "bdist_wheel", ".egg": "bdist_egg", ".exe": "bdist_wininst", ".msi": "bdist_msi",
    ".rpm": "bdist_rpm", ".dmg": "bdist_dmg", ".deb": "bdist_dumb",
}  # fmt: skip
_DUMB = re.compile(
    r"-v?\d[^/]*\.(?:linux-(?!\d)\w+|win32|win-\w+|macosx-[\d.]+-\w+|(?:freebsd|openbsd|netbsd|"
    r"dragonfly|cygwin|aix|sunos|solaris|hp-ux|irix|darwin|mingw|msys|java)[-\d][-\w.]*)"
    r"(?:-py\d[\d.]*)?\Z",
    re.IGNORECASE | re.ASCII,
)
"""How the name of what ``bdist_dumb`` built goes on after the project's: version and platform."""

_BUILT_FOR = re.compile(r"[-.]py(\d[\d.]*)(?=[-.]|\Z)", re.IGNORECASE | re.ASCII)
_WHEEL_PARTS = 5


def package_type(filename: str) -> str:
    """Return the kind of distribution: ``sdist``, ``bdist_wheel``, ``bdist_wininst``, ...

    An archive that names a platform after its version is what ``bdist_dumb`` made.
    """
    ending = filename.lower()[-4:]
    if ending in _KINDS:
        return _KINDS[ending]
    return "bdist_dumb" if _DUMB.search(without_ending(filename)) else "sdist"


def python_version(filename: str) -> str:
    """Return the Python that a file is for: a wheel's python tag, ``2.7``, ``any`` or ``source``.

    "" for a wheel whose name has no tags.
    """
    kind = package_type(filename)
    if kind == "sdist":
        return "source"
    if kind == "bdist_wheel":
        parts = without_ending(filename).split("-")
        return parts[-3] if len(parts) >= _WHEEL_PARTS else ""
    found = _BUILT_FOR.findall(without_ending(filename))
    return found[-1].rstrip(".") if found else "any"
