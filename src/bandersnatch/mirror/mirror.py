"""A mirror and the index it follows: everything that a command works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.clock import Clock
    from bandersnatch.closure.state import ClosureState
    from bandersnatch.config.schema import Settings
    from bandersnatch.events import EventSink
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.storage.port import MirrorStorage


@dataclass(frozen=True, slots=True)
class Mirror:
    """What the composition root hands to a command; each port is open and ready.

    ``closure`` is what is known of followed dependencies, None if none are followed; ``filters`` is
    a ``FollowingChain`` then.
    """

    index: PackageIndex
    storage: MirrorStorage
    catalogue: MirrorCatalogue
    clock: Clock
    events: EventSink
    settings: Settings
    filters: FilterChain
    closure: ClosureState | None = None
