"""Makes the contexts and asks of projects in a ring of dependencies converge.

What is asked of a project follows from its dependants, and what is asked of these from theirs. If
more and less is asked at the same time, both changes can go round a ring of projects without an
end. So after some reductions the contexts and asks of a project only grow in the same run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.closure.needs import Dependency
    from bandersnatch.model.names import ProjectName

REDUCTIONS = 8
"""How often less may be asked of a project; without a ring that happens once or twice."""


class Convergence:
    """The contexts and asks that were computed so far, and how often those of each project shrank.

    After ``REDUCTIONS`` they only grow.
    """

    def __init__(self) -> None:
        self._contexts: dict[ProjectName, dict[str, int]] = {}
        self._dependencies: dict[ProjectName, tuple[Dependency, ...]] = {}
        self._reductions: dict[tuple[ProjectName, str], int] = {}

    def contexts(self, name: ProjectName, found: Mapping[str, int]) -> dict[str, int]:
        """Return the contexts of a project."""
        known, contexts = self._contexts.get(name, {}), dict(found)
        is_reduced = any(mask & ~contexts.get(extra, 0) for extra, mask in known.items())
        if is_reduced and self._may_only_grow(name, "contexts"):
            names = sorted(known.keys() | contexts.keys())
            contexts = {each: known.get(each, 0) | contexts.get(each, 0) for each in names}
        self._contexts[name] = contexts
        return contexts

    def dependencies(
        self, name: ProjectName, found: tuple[Dependency, ...]
    ) -> tuple[Dependency, ...]:
        """Return what is asked of a project."""
        known = self._dependencies.get(name, ())
        if not set(known) <= set(found) and self._may_only_grow(name, "asks"):
            found = tuple(dict.fromkeys((*known, *found)))
        self._dependencies[name] = found
        return found

    def _may_only_grow(self, name: ProjectName, what: str) -> bool:
        """Count a reduction, and return whether there have been too many."""
        count = self._reductions[name, what] = self._reductions.get((name, what), 0) + 1
        return count > REDUCTIONS
