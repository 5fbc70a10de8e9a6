"""What a dry run of ``delete`` or ``restore`` would do, key by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cli.text import one_line, size
from bandersnatch.events import Event, FileRemoved, FileRestored, PageRemoved, PageWritten

if TYPE_CHECKING:
    from bandersnatch.layout import StorageKey

LISTED: dict[str, tuple[type[Event], ...]] = {
    "delete": (PageRemoved, FileRemoved),
    "restore": (FileRestored, PageWritten),
}
"""The events that tell of what somebody asks for, by the command."""


class Listing:
    """Takes the events of a dry run, in the order in which things would happen."""

    def __init__(self, command: str) -> None:
        self._listed = LISTED[command]
        self._found: list[tuple[StorageKey, int]] = []

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case (
                PageRemoved(key=key, size=count)
                | PageWritten(key=key, size=count)
                | FileRemoved(key=key, size=count)
                | FileRestored(key=key, size=count)
            ) if isinstance(event, self._listed):
                self._found.append((key, count))
            case _:
                pass

    def __str__(self) -> str:
        """Return each key with its size, and what that comes to."""
        lines = [f"{one_line(key)}  {size(count)}" for key, count in self._found]
        total = sum(count for _, count in self._found)
        return "\n".join([*lines, f"Together: {len(self._found)}, {size(total)}"])
