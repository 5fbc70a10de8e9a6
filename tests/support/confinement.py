"""Whether a relative path stays where it is put, on every kind of machine."""

from __future__ import annotations

import ntpath
import posixpath


def stays_below(relative: str) -> bool:
    """Whether ``relative``, joined to any directory, names something strictly below it."""
    posix = posixpath.normpath(posixpath.join("/srv/mirror", relative))
    windows = ntpath.normpath(ntpath.join("C:\\mirror", relative))
    return (
        posix.startswith("/srv/mirror/")
        and windows.startswith("C:\\mirror\\")
        and relative.isprintable()
        and ":" not in relative
    )
