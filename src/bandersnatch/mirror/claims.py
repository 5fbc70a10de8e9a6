"""Decides which file has a path, where several projects or names would share it.

A file system may not hold apart names that differ in case or normal form only. The file that came
first keeps its place; each other one is rejected, and touches nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bandersnatch.model.filenames import candidate_projects
from bandersnatch.model.project import Rejection

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.folding import Folding
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import Storage

_MANY_CLAIMS = 20_000


class _Claim(NamedTuple):
    name: ProjectName
    path: str


class PathClaims:
    """The paths that the projects of a run claim, and those that recorded files have.

    Only claims that another project could make are kept, until the catalogue has the files.
    """

    def __init__(self, storage: Storage, catalogue: MirrorCatalogue) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._claims: dict[str, _Claim] = {}  # by folded path

    async def reject(
        self, name: ProjectName, files: Sequence[ReleaseFile], recorded: Iterable[str]
    ) -> list[Rejection]:
        """Claim the paths of a project's files; return those files whose place another one has.

        ``recorded`` are the paths of the files that the catalogue has of the project.
        """
        folding = self._storage.folding
        if not folding:
            return []
        taken = {folding.fold(path): path for path in recorded}
        taken.update(await self._taken_by_others(name, files, folding))
        rejections = []
        for file in sorted(files, key=lambda each: each.filename):
            place = folding.fold(file.path)
            owner = taken.setdefault(place, file.path)
            if owner != file.path:
                rejections.append(_rejection(file, owner, folding))
            elif others_of(file, name):
                self._claims.setdefault(place, _Claim(name, file.path))
        await self._forget_recorded()
        return rejections

    def replaces(self, files: Sequence[ReleaseFile], recorded: Collection[str]) -> bool:
        """Return whether a file of a page needs the place of a recorded one that leaves the page.

        Then the page must be published without both, so that the place is free in the next run.
        """
        folding = self._storage.folding
        if not folding:
            return False
        listed = {file.path for file in files}
        leaving = {folding.fold(path) for path in recorded if path not in listed}
        return any(folding.fold(path) in leaving for path in listed)

    async def _taken_by_others(
        self, name: ProjectName, files: Sequence[ReleaseFile], folding: Folding
    ) -> dict[str, str]:
        """Return the paths that other projects have, or claim, by folded path."""
        others = {each for file in files for each in others_of(file, name)}
        stats = await self._catalogue.file_stats(others) if others else {}
        taken = {folding.fold(stat.path): stat.path for some in stats.values() for stat in some}
        for file in files:
            claim = self._claims.get(folding.fold(file.path))
            if claim is not None and claim.name != name:
                taken.setdefault(folding.fold(file.path), claim.path)
        return taken

    async def _forget_recorded(self) -> None:
        if len(self._claims) >= _MANY_CLAIMS:
            owned = await self._catalogue.paths_owned(list(self._claims.values()))
            self._claims = {k: each for k, each in self._claims.items() if each.path not in owned}


def others_of(file: ReleaseFile, name: ProjectName) -> list[ProjectName]:
    """Return the other projects that a file of this name could belong to."""
    if file.filename.endswith(".whl"):
        return []
    return [each for each in candidate_projects(file.filename) if each != name]


def _rejection(file: ReleaseFile, owner: str, folding: Folding) -> Rejection:
    why = f"{owner} has its place, because the file system ignores {folding} in names"
    return Rejection.of(file.filename, why)
