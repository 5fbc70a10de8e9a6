"""Helpers of the tests of ``delete`` and ``restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.steps import StepWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.support.index import File
    from tests.support.site import Ran, Site


BLOCKING = "[plugins]\nenabled = blocklist_project\n[blocklist]\npackages =\n    {}"


def block(site: Site, *names: str) -> None:
    """Block projects, so that the filters no longer select them."""
    site.filter(BLOCKING.format("\n    ".join(names)))


def area_of(site: Site, file: File) -> str:
    """Return where a file is stored: "web", "removed", or "" for nowhere."""
    found = [a for a in ("web", "removed") if (site.root / a / file.path.lstrip("/")).exists()]
    return " and ".join(found)


def listed(ran: Ran) -> dict[str, str]:
    """Return the keys that a dry run lists, with their formatted sizes."""
    lines = ran.out.splitlines()
    [end] = [number for number, line in enumerate(lines) if line.startswith("Together: ")]
    return dict(line.split("  ") for line in lines[:end])


def deletes_alpha(world: StepWorld) -> Coroutine[Any, Any, object]:
    """Return the command that the tests kill."""
    return world.deletes("Alpha", until_next_change=True)


NEXT_COMMANDS: dict[str, Callable[[StepWorld], Coroutine[Any, Any, object]]] = {
    "mirror": StepWorld.mirrors,
    "sync": lambda world: world.syncs("beta"),
    "delete": deletes_alpha,
    "delete another": lambda world: world.deletes("beta", until_next_change=True),
}
