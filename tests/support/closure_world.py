"""A mirror in memory that follows the dependencies of some projects."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.closure.state import ClosureState
from bandersnatch.config.schema import ClosureSettings
from bandersnatch.filters.following import FollowingChain
from bandersnatch.model.wheels import Environment, Linux, Pythons
from tests.support.chains import chain_of
from tests.support.world import World

if TYPE_CHECKING:
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.mirror.mirror import Mirror

LINUX = Environment("l", (Pythons("==3.12"),), (Linux("x86_64", "glibc", (2, 28)),))


def listed(*names: str) -> FilterChain:
    lines = "\n".join(f"    {name}" for name in names)
    enabled = "enabled =\n    allowlist_project\n    latest_release"
    return chain_of(
        f"[plugins]\n{enabled}\n[allowlist]\npackages =\n{lines}\n[latest_release]\nkeep = 1"
    )


class ClosureWorld(World):
    """A mirror that follows the dependencies of some projects."""

    allowed: tuple[str, ...] = ("a", "x")

    def mirror(self) -> Mirror:
        """Return the mirror, with what its catalogue has followed."""
        plain = super().mirror()
        settings = structs.replace(plain.settings, closure=ClosureSettings(follow=True))
        state = ClosureState(settings.closure, [LINUX])
        state.load(asyncio.run(self.catalogue.followed()))
        chain = FollowingChain.of(listed(*self.allowed), state)
        return replace(plain, settings=settings, filters=chain, closure=state)
