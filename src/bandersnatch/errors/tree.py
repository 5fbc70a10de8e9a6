"""The root of everything that is foreseen to go wrong."""

from __future__ import annotations

from typing import ClassVar


class BandersnatchError(Exception):
    """Anything this program foresees going wrong.

    ``sentence`` is what it says to people, with the names of attributes in braces.
    """

    transient: ClassVar[bool] = False
    sentence: ClassVar[str] = ""

    def __str__(self) -> str:
        return self.sentence.format_map(vars(self)) if self.sentence else super().__str__()
