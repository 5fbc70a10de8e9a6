"""Names that a file system does not hold apart: by case, or by Unicode normal form."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Folding:
    """What a file system ignores when it compares names.

    ``case`` is ignored by NTFS, APFS and SMB, and by ext4 with casefold; ``normal_form`` by APFS
    and HFS+, where the composed and the decomposed form of an accented letter are one name.
    """

    case: bool = False
    normal_form: bool = False

    def __bool__(self) -> bool:
        return self.case or self.normal_form

    def __or__(self, other: Folding) -> Folding:
        """Return what one of two file systems ignores."""
        return Folding(self.case or other.case, self.normal_form or other.normal_form)

    def __str__(self) -> str:
        parts = {"case": self.case, "Unicode normal form": self.normal_form}
        return " and ".join(part for part, ignored in parts.items() if ignored)

    def fold(self, path: str) -> str:
        """Return a text that is equal for paths that the file system does not hold apart.

        The tables of file systems differ. It may also be equal for a few that are held apart, such
        as those with a sharp s and a double s (Unicode 3.13, canonical caseless matching).
        """
        if path.isascii():
            return path.lower() if self.case else path
        if self.normal_form:
            visible = (each for each in path if unicodedata.category(each) != "Cf")
            path = unicodedata.normalize("NFD", "".join(visible))
        if self.case:
            path = path.upper().casefold()
        return unicodedata.normalize("NFD", path) if self.normal_form else path


ANY_FOLDING = Folding(case=True, normal_form=True)
"""What any file system may ignore."""

EXACT = Folding()
"""The usual file systems of Linux compare names byte by byte."""
