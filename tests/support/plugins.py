"""Packages that provide filters, as far as their entry points go."""

from __future__ import annotations

from importlib.metadata import EntryPoint, distributions
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Installed:
    """Packages in a directory that nothing is imported from: only their metadata are there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.groups_asked: list[str] = []

    def add(self, name: str, version: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
        """Add a package with its entry points: by group, by name, what they name."""
        info = self.home / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for group, members in entry_points.items():
            lines += [f"[{group}]", *(f"{key} = {value}" for key, value in members.items())]
        (info / "entry_points.txt").write_text("\n".join(lines))

    def __call__(self, *, group: str) -> list[EntryPoint]:
        """Return the entry points of a group."""
        self.groups_asked.append(group)
        everything = distributions(path=[str(self.home)])
        return [each for package in everything for each in package.entry_points.select(group=group)]
