"""Divides the budgets of the mirror over its workers; pure.

At no moment do the workers together use more than there is: a share grows only by what the others
have said that they do not use any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cluster.messages import Share

if TYPE_CHECKING:
    from collections.abc import Mapping

WHOLE = 1000
"""The permille of everything."""

_BUDGETS = ("index", "files", "permille")


def divide(total: int, assigned: Mapping[int, int], held: Mapping[int, int]) -> dict[int, int]:
    """Return the new shares of the workers, by number.

    ``assigned`` are the shares that they were given last, ``held`` those that they use; both have
    the same keys. The first by number get what cannot be divided.
    """
    if not assigned:
        return {}
    each, rest = divmod(total, len(assigned))
    targets = {worker: each + (place < rest) for place, worker in enumerate(sorted(assigned))}
    shares = {worker: min(assigned[worker], targets[worker]) for worker in assigned}
    free = total - sum(max(shares[worker], held[worker]) for worker in assigned)
    for worker in sorted(assigned):
        used = max(shares[worker], held[worker])
        growth = min(max(free, 0), max(targets[worker] - used, 0))
        if growth or used <= targets[worker]:
            shares[worker] = min(used + growth, targets[worker])
        free -= growth
    return shares


def divide_all(
    total: Share, assigned: Mapping[int, Share], held: Mapping[int, Share]
) -> dict[int, Share]:
    """Return the new shares of each budget; see ``divide``."""
    parts = {
        name: divide(
            getattr(total, name),
            {worker: getattr(share, name) for worker, share in assigned.items()},
            {worker: getattr(share, name) for worker, share in held.items()},
        )
        for name in _BUDGETS
    }
    return {
        worker: Share(parts["index"][worker], parts["files"][worker], parts["permille"][worker])
        for worker in assigned
    }
