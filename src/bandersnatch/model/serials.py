"""Serials and changes of the index's journal (docs/development/protocol.md, "The changelog")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

from bandersnatch.errors import InvalidValue

if TYPE_CHECKING:
    from bandersnatch.model.names import ProjectName

Serial = NewType("Serial", int)
"""The id of a journal entry; ids have gaps and grow in the order of commits."""

NO_SERIAL = Serial(0)
"""Nothing is reflected yet, or the index has no serials."""

_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)
_LIMIT = 2**53

REMOVE_PROJECT = "remove project"
"""The journal action that says that the project is gone."""

REMOVE_RELEASE, REMOVE_FILE = "remove release", "remove file "
"""The journal actions that take files off a page; the second is followed by the file's name."""

QUARANTINE_RELEASE = "release quarantined"
"""The journal action that takes the files of one release off a page, until it is cleared."""


def parse_serial(value: object) -> Serial:
    """Return the serial in an integer or a text of digits, which earlier releases wrote.

    :raises InvalidValue: for anything else, and from 2**53.
    """
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LIMIT:
        raise InvalidValue("serial", value, "is not a whole number from 0 to 2**53")
    return Serial(value)


def optional_serial(value: object) -> Serial | None:
    """Return the serial that ``value`` stands for, or None if it is not a serial."""
    try:
        return parse_serial(value)
    except InvalidValue:
        return None


@dataclass(frozen=True, slots=True)
class Change:
    """One event of the index's journal about a project.

    ``display`` is the display name; ``time`` is in seconds since 1970. ``version`` is "" for an
    event that is not about one release.
    """

    name: ProjectName
    display: str
    serial: Serial
    action: str
    time: int
    version: str = ""

    @property
    def is_removal(self) -> bool:
        """Whether this event removes the project."""
        return self.action == REMOVE_PROJECT

    @property
    def is_quarantine(self) -> bool:
        """Whether this event puts a release in quarantine."""
        return self.action == QUARANTINE_RELEASE

    @property
    def removes_files(self) -> bool:
        """Whether this event takes files off the project's page."""
        is_removal = self.action == REMOVE_RELEASE or self.action.startswith(REMOVE_FILE)
        return is_removal or self.is_quarantine
