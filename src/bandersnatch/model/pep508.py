"""Parses requirements and markers (PEP 508) from any source.

It stands alone because filters, dependencies and lock files read them, and the parsers of
`packaging` raise more than they say: of literals with escapes, of very long numbers, of deep
nesting.
"""

from __future__ import annotations

from packaging.markers import Marker
from packaging.requirements import Requirement

from bandersnatch.errors import InvalidValue

MAX_LENGTH = 4_000
"""Characters of a marker, or of a requirement on a project of the index.

Python converts no number of more than 4,300 digits.
"""


def parse_pep508(text: str) -> Requirement:
    """Return the requirement that a text states.

    :raises InvalidValue: if it states none.
    """
    _check("requirement", text, text.partition(";")[2])
    try:
        found = Requirement(text)
        str(found)  # of what cannot be written again, nothing can be stored
    except (RecursionError, SyntaxError, ValueError) as error:
        raise InvalidValue("requirement", text, "does not conform to PEP 508") from error
    return found


def parse_marker(text: str) -> Marker:
    """Return the marker in a text.

    :raises InvalidValue: if it is none.
    """
    _check("marker", text, text)
    try:
        found = Marker(text)
        str(found)
    except (RecursionError, SyntaxError, ValueError) as error:
        raise InvalidValue("marker", text, "does not conform to PEP 508") from error
    return found


def _check(what: str, text: str, marker: str) -> None:
    """Refuse a marker that is too long, or has a backslash: literals have no escapes."""
    if len(marker) > MAX_LENGTH:
        raise InvalidValue(what, text, f"is longer than {MAX_LENGTH:,} characters")
    if "\\" in marker:
        raise InvalidValue(what, text, "has a backslash in its marker")
