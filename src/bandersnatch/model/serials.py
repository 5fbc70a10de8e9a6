"""Serials: the index's count of changes, and the changes themselves (protocol sheet, section 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

from bandersnatch.errors import InvalidValue

if TYPE_CHECKING:
    from bandersnatch.model.names import ProjectName

Serial = NewType("Serial", int)
"""The id of a change in the index's journal; ids have gaps, and grow in the order of commits."""

NO_SERIAL = Serial(0)
"""Nothing is reflected yet, or the index has no serials at all."""

_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)
_LIMIT = 2**53

REMOVE_PROJECT = "remove project"
"""The one journal action whose text means something here: the project is gone."""


def parse_serial(value: object) -> Serial:
    """Return the serial that an integer or a text of digits stands for.

    Older releases wrote it as text into project pages.

    :raises InvalidValue: for anything else, and from 2**53 up.
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
    """One event of the index's journal that names a project.

    ``display`` is the name as the index shows it; ``time`` is in seconds since 1970, UTC.
    """

    name: ProjectName
    display: str
    serial: Serial
    action: str
    time: int

    @property
    def is_removal(self) -> bool:
        """Whether this event says that the project is gone."""
        return self.action == REMOVE_PROJECT
