"""Random events on an index: releases, files and projects that are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.model.names import project_name

if TYPE_CHECKING:
    import random

    from tests.support.index import Index

FEWEST = 3
"""Projects of which none is removed any more."""


def publish_projects(index: Index) -> None:
    """Publish the projects that ``change_projects`` changes."""
    for name in ("stays", "grows", "goes", "shrinks"):
        index.release(name, "1.0")
    index.release("shrinks", "2.0")


def change_projects(index: Index) -> None:
    """Make a change of each kind: a release, a new project, a removed one, and a removed file."""
    index.release("grows", "2.0")
    index.release("comes", "1.0")
    index.remove_project("goes")
    index.remove_file("shrinks", "shrinks-1.0-py3-none-any.whl")


class IndexEvents:
    """Makes events on an index; each method returns what it did."""

    def __init__(self, index: Index, dice: random.Random) -> None:
        self._index = index
        self._dice = dice
        self._versions = iter(range(1, 10_000))

    def any(self, name: str, releases: int = 1) -> str:
        """Make any event of a project; one is as likely as another, a release so many times."""
        kinds = [self.release] * releases
        return self._dice.choice([*kinds, self.lose, self.remove])(name)

    def release(self, name: str) -> str:
        """Publish a version, some with an sdist."""
        version = f"{next(self._versions)}.0"
        self._index.release(name, version, size=40, sdist=self._dice.random() < 0.3)
        return f"release {version}"

    def lose(self, name: str) -> str:
        """Remove a file of a project that has more than one."""
        project = self._index.project(name)
        if len(project.files) < 2:
            return self.release(name)
        filename = self._dice.choice(sorted(project.files))
        self._index.remove_file(name, filename)
        return f"remove {filename}"

    def remove(self, name: str) -> str:
        """Remove a project, if there are enough others."""
        is_known = project_name(name) in self._index.projects
        if len(self._index.projects) < FEWEST or not is_known:
            return self.release(name)
        self._index.remove_project(name)
        return "remove the project"
