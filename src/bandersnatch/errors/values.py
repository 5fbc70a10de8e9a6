"""Values from outside that fail their gate."""

from __future__ import annotations

from bandersnatch.errors.tree import BandersnatchError


class InvalidValue(BandersnatchError, ValueError):
    """A value from outside is not what its field may hold (protocol sheet, section 5.1)."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(field, value, reason)
        self.field, self.value, self.reason = field, value, reason

    def __str__(self) -> str:
        shown = ascii(self.value)
        if len(shown) > SHOWN_CHARACTERS:
            shown = shown[:SHOWN_CHARACTERS] + "..."
        return f"{self.field} {shown} {self.reason}"


SHOWN_CHARACTERS = 80
"""How much of a refused value is repeated in a message."""
