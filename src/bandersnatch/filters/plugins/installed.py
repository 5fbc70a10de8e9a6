"""The filters that installed packages provide under the names that are enabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.filters.plugins.providers import EntryPoints, Found
from bandersnatch.filters.plugins.v1 import GROUP, v1_providers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint


def installed(*, group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group that installed packages have."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and seldom needed

    return entry_points(group=group)


def provided(names: Iterable[str], entry_points: EntryPoints = installed) -> Found:
    """Return the providers of names that are enabled and belong to no built-in filter.

    Classes of the older interface are loaded only for names that version 1 does not have.
    """
    missing = frozenset(names)
    if not missing:
        return Found()
    v1 = tuple(entry_points(group=GROUP))
    providers = v1_providers(missing, v1)
    missing -= {each.name for each in providers}
    if not missing:
        return Found(providers)
    from bandersnatch.filters.plugins.legacy import legacy_classes  # noqa: PLC0415 - seldom needed

    legacy = legacy_classes(entry_points)
    all_names = legacy.names | {each.name for each in v1}
    return Found((*providers, *legacy.providers(missing)), all_names, legacy.broken)
