"""Makes what projects in rings ask of one another come to an end.

What a project is asked for follows from its dependants, and these follow from theirs. Where less is
asked for and more at the same time, both changes can run round a ring of projects for ever. So
after some reductions nothing is taken away from a project any more in the same run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.closure.needs import Ask
    from bandersnatch.model.names import ProjectName

REDUCTIONS = 8
"""So often less may be asked of a project; without rings of projects that happens once or twice."""


class Settling:
    """The contexts and asks of the projects that were computed so far, and how often they shrank.

    A project that shrank too often can only grow.
    """

    def __init__(self) -> None:
        self._contexts: dict[ProjectName, dict[str, int]] = {}
        self._asks: dict[ProjectName, tuple[Ask, ...]] = {}
        self._reductions: dict[tuple[ProjectName, str], int] = {}

    def contexts(self, name: ProjectName, found: Mapping[str, int]) -> dict[str, int]:
        """Return the contexts of a project."""
        known, settled = self._contexts.get(name, {}), dict(found)
        is_reduced = any(mask & ~settled.get(extra, 0) for extra, mask in known.items())
        if is_reduced and self._is_unsettled(name, "contexts"):
            names = sorted(known.keys() | settled.keys())
            settled = {each: known.get(each, 0) | settled.get(each, 0) for each in names}
        self._contexts[name] = settled
        return settled

    def asks(self, name: ProjectName, found: tuple[Ask, ...]) -> tuple[Ask, ...]:
        """Return what is asked of a project."""
        known = self._asks.get(name, ())
        if not set(known) <= set(found) and self._is_unsettled(name, "asks"):
            found = tuple(dict.fromkeys((*known, *found)))
        self._asks[name] = found
        return found

    def _is_unsettled(self, name: ProjectName, what: str) -> bool:
        """Count a reduction, and return whether there were too many."""
        count = self._reductions[name, what] = self._reductions.get((name, what), 0) + 1
        return count > REDUCTIONS
