"""What the operator asks of one ``verify``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bandersnatch.model.names import ProjectName


@dataclass(frozen=True, slots=True)
class VerifyOrders:
    """Everything that the flags of ``verify`` say.

    ``quick`` compares sizes and times of what is known and reads only what differs. ``sample``
    is how many of a hundred bytes to read, ``max_age`` the seconds after which content is read
    again; ``seconds`` and ``size``, in bytes, limit the run, and ``rate``, in bytes per second,
    its pace.
    ``despite`` are unknown projects that are to count as having nothing.
    """

    repair: bool = True
    delete: bool = False
    update: bool = False
    quick: bool = False
    sample: float | None = None
    max_age: int | None = None
    seconds: float | None = None
    size: int | None = None
    rate: float | None = None
    workers: int = 3
    despite: frozenset[ProjectName] = frozenset()

    @property
    def is_partial(self) -> bool:
        """Whether only a part of the mirror is to be looked at."""
        limits = (self.sample, self.max_age, self.seconds, self.size)
        return any(limit is not None for limit in limits)
