"""Checks that a relative path stays below its directory, by the rules of POSIX and Windows."""

from __future__ import annotations

import ntpath
import posixpath
import unicodedata

_UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of control, format and surrogate characters, and of separators of lines."""


def stays_below(relative: str) -> bool:
    """Whether ``relative``, joined to any directory, is strictly below it.

    A colon after the first segment means something to Windows alone, which allows none in names.
    """
    posix = posixpath.normpath(posixpath.join("/srv/mirror", relative))
    windows = ntpath.normpath(ntpath.join("C:\\mirror", relative))
    return (
        posix.startswith("/srv/mirror/")
        and windows.startswith("C:\\mirror\\")
        and not _UNREADABLE.intersection(map(unicodedata.category, relative))
    )
