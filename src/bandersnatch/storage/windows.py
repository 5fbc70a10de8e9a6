"""Names and paths on Windows; everything here is about texts, and works on all systems."""

from __future__ import annotations

import ntpath

_DEVICES = frozenset(
    [
        *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"),
        *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789\xb9\xb2\xb3"),
    ]
)
"""Names of devices, which no file may have, whatever the case and the suffix."""

_CHARACTERS = frozenset('"*:<>?|\\/')
_LITERAL = "\\\\?\\"
"""A path with this prefix may be longer than 260 characters."""


def name_problem(name: str) -> str:
    """Return why Windows cannot store a file or directory of this name, "" if it can.

    A colon would name a stream of another file, and a reverse solidus another directory. Names of
    devices and those that end with a dot or a space can be created by special means, but most
    programs, such as web servers, could not open the files.
    """
    if any(character in _CHARACTERS or character < " " for character in name):
        return "Windows does not allow one of its characters in names"
    if name.endswith((".", " ")):
        return "Windows does not allow names that end with a dot or a space"
    if name.partition(".")[0].rstrip(" ").upper() in _DEVICES:
        return "Windows reserves it for a device"
    return ""


def long_path(path: str) -> str:
    """Return an absolute path in the form that has no limit of 260 characters."""
    if path.startswith(_LITERAL):
        return path
    path = ntpath.normpath(path)
    if path.startswith("\\\\"):
        return f"{_LITERAL}UNC\\{path[2:]}"
    return f"{_LITERAL}{path}"
