"""The filters that installed packages provide, of both interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.filters.installed.newer import GROUP, newer_providers
from bandersnatch.filters.installed.providers import Found

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

    from bandersnatch.filters.installed.providers import EntryPoints


def installed(*, group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group that installed packages have."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and seldom needed

    return entry_points(group=group)


def provided(names: Iterable[str], entry_points: EntryPoints = installed) -> Found:
    """Return the providers of the names; they are enabled and of no built-in filter.

    Nothing is looked up for no names, and classes of the older interface are loaded only for
    names that the newer one does not have.
    """
    wanted = frozenset(names)
    if not wanted:
        return Found()
    newer = tuple(entry_points(group=GROUP))
    providers = newer_providers(wanted, newer)
    rest = wanted - {each.name for each in providers}
    if not rest:
        return Found(providers)
    from bandersnatch.filters.installed.older import older_classes  # noqa: PLC0415 - seldom needed

    older = older_classes(entry_points)
    names_of_all = older.names | {each.name for each in newer}
    return Found((*providers, *older.providers(rest)), names_of_all, older.broken)
