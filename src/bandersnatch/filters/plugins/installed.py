"""The filters that installed distributions provide under the names that are enabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.filters.plugins.providers import Found
from bandersnatch.filters.plugins.v1 import GROUP, newer_providers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

    from bandersnatch.filters.plugins.providers import EntryPoints


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
    from bandersnatch.filters.plugins.legacy import older_classes  # noqa: PLC0415 - seldom needed

    older = older_classes(entry_points)
    names_of_all = older.names | {each.name for each in newer}
    return Found((*providers, *older.providers(rest)), names_of_all, older.broken)
