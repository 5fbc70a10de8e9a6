"""Decides which project a path belongs to, where several name it.

Projects that name a path with the same digest share its file, which leaves with the last of them.
A claim with another digest is rejected, and touches nothing: the project that had the path before
this run keeps it. Of those that claim it in the same run, the project whose name begins the file's
name has it, the longest first, else the first by name; so the tree does not depend on the order
in which projects are synced. Where the file system ignores case or normal forms, paths are
compared as it does.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch.catalogue.records import PathOwner
from bandersnatch.model.names import ProjectName, is_named_after
from bandersnatch.model.project import Rejection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Sequence

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.catalogue.records import FileRecord, ProjectRecord
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.storage.port import Storage

_MANY_CLAIMS = 20_000

_OWNED = "{0.path} belongs to {0.project}, with other content"
_TAKEN = "{} has its place, because the file system ignores {} in names"
_REASON = re.compile(r"(.+) (?:belongs to (\S+), with other content|has its place, because .+)")
"""Matches the reasons of rejections, with the path and, if it is another one, its project."""


class Resync(NamedTuple):
    """Projects to sync again so that each path has its right owner.

    ``losers`` come first; those that are ``new`` in this run are removed before that.
    """

    losers: frozenset[ProjectName] = frozenset()
    new: frozenset[ProjectName] = frozenset()
    winners: frozenset[ProjectName] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.losers or self.winners)


class PathOwners:
    """The owners of paths: those in the catalogue, and those that claim a path in this run.

    A claim is kept until the catalogue has it.
    """

    def __init__(self, storage: Storage, catalogue: MirrorCatalogue) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._claims: dict[str, dict[ProjectName, PathOwner]] = {}  # by folded path
        self._count = 0
        self._claimants: set[ProjectName] = set()  # those that had no file before this run
        self._added: set[tuple[ProjectName, str]] = set()  # what others claimed in this run
        self._contests: dict[str, dict[ProjectName, PathOwner]] = {}
        self._winners: dict[str, PathOwner] = {}
        self._releases: dict[str, asyncio.Event] = {}

    @classmethod
    def of(cls, mirror: Mirror) -> PathOwners:
        """Return the owners of the paths of a mirror, for one run."""
        return cls(mirror.storage, mirror.catalogue)

    def _place(self, path: str) -> str:
        return self._storage.folding.fold(path)

    # ------------------------------------------------------------ claims

    async def claim(
        self, name: ProjectName, files: Sequence[ReleaseFile], recorded: Collection[str]
    ) -> list[Rejection]:
        """Claim the paths of a project's files; return those files whose path another one has.

        ``recorded`` are the paths of the files that the catalogue has of the project.
        """
        own = {self._place(path): path for path in recorded}
        claims = {
            file.path: PathOwner(name, file.path, file.hashes, file.sidecar) for file in files
        }
        for path in claims:
            while (release := self._releases.get(self._place(path))) is not None:
                await release.wait()
        self._register(claims.values(), own.values())
        others = await self._others(name, list(claims))
        rejections = []
        for file in sorted(files, key=lambda each: each.filename):
            claim, place = claims[file.path], self._place(file.path)
            first = own.setdefault(place, file.path)
            why = _taken(first, self._storage) if first != file.path else ""
            if not why and (owner := self._conflict(claim, place, others.get(place, []))):
                why = _OWNED.format(owner)
            if why:
                self._withdraw(claim, place)
                rejections.append(Rejection.of(file.filename, why))
        return rejections

    def replaces(self, files: Sequence[ReleaseFile], recorded: Collection[str]) -> bool:
        """Return whether a file of a page needs the place of a recorded one that leaves the page.

        Then the page must be published without both, so that the place is free after that.
        """
        if not self._storage.folding:
            return False
        listed = {file.path for file in files}
        leaving = {self._place(path) for path in recorded if path not in listed}
        return any(self._place(path) in leaving for path in listed)

    def _register(self, claims: Iterable[PathOwner], recorded: Collection[str]) -> None:
        known = set(recorded)
        for claim in claims:
            if claim.path in known:
                continue
            place = self._place(claim.path)
            self._claims.setdefault(place, {})[claim.project] = claim
            self._count += 1
            if known:
                self._added.add((claim.project, place))
            else:
                self._claimants.add(claim.project)

    def _withdraw(self, claim: PathOwner, place: str) -> None:
        claims = self._claims.get(place, {})
        if claims.get(claim.project) == claim:
            del claims[claim.project]
            self._count -= 1
            if not claims:
                del self._claims[place]

    async def _others(
        self, name: ProjectName, paths: Collection[str]
    ) -> dict[str, list[PathOwner]]:
        """Return the other owners of paths, by folded path."""
        await self._forget_committed()
        found = await self._catalogue.path_owners(name, paths, self._storage.folding)
        others: dict[str, dict[ProjectName, PathOwner]] = {}
        for owner in found:
            others.setdefault(self._place(owner.path), {})[owner.project] = owner
        for path in paths:
            place = self._place(path)
            for owner in self._claims.get(place, {}).values():
                if owner.project != name:
                    others.setdefault(place, {})[owner.project] = owner
        return {place: list(owners.values()) for place, owners in others.items()}

    def _conflict(
        self, claim: PathOwner, place: str, others: Sequence[PathOwner]
    ) -> PathOwner | None:
        """Return the owner that keeps a path from a claim, None if the claim is right."""
        winner = self._winners.get(place)
        if winner is not None and _differ(winner, claim):
            return winner
        conflicts = [owner for owner in others if _differ(owner, claim)]
        if not conflicts:
            return None
        before = [owner for owner in others if not self._is_new(owner.project, place)]
        if winner is None and not before and self._is_new(claim.project, place):
            contest = self._contests.setdefault(place, {})
            contest.update({each.project: each for each in (*others, claim)})
        elif not self._is_new(claim.project, place):
            conflicts = [owner for owner in conflicts if owner in before]
            conflicts = [owner for owner in conflicts if _rank(owner) < _rank(claim)]
        return min(conflicts, key=_rank, default=None)

    def _is_new(self, name: ProjectName, place: str) -> bool:
        return name in self._claimants or (name, place) in self._added

    async def _forget_committed(self) -> None:
        """Forget the claims of projects whose files the catalogue has by now."""
        if self._count < _MANY_CLAIMS:
            return
        samples = {each.project: each for some in self._claims.values() for each in some.values()}
        owned = await self._catalogue.paths_owned([(n, each.path) for n, each in samples.items()])
        done = {name for name, each in samples.items() if each.path in owned}
        kept = {
            place: left
            for place, some in self._claims.items()
            if (left := {name: each for name, each in some.items() if name not in done})
        }
        self._claims, self._count = kept, sum(map(len, kept.values()))

    # ------------------------------------------------------------ releases

    @asynccontextmanager
    async def release(
        self, name: ProjectName, files: Sequence[FileRecord]
    ) -> AsyncIterator[list[FileRecord]]:
        """Yield the files that no other project owns, which may be trashed in the block.

        Meanwhile nobody can claim their paths.
        """
        shared = await self._others(name, [found.file.path for found in files])
        leaving = [found for found in files if self._place(found.file.path) not in shared]
        # Between the answer of the catalogue and here, another project may have made a claim.
        places = {self._place(found.file.path): found for found in leaving}
        free = {p: f for p, f in places.items() if not self._claims.get(p, {}).keys() - {name}}
        done = asyncio.Event()
        self._releases.update(dict.fromkeys(free, done))
        try:
            yield list(free.values())
        finally:
            for place in free:
                del self._releases[place]
            done.set()

    # ------------------------------------------------------------ after all claims

    async def settle(self, *, free: bool) -> Resync:
        """Decide all contests, and return the projects to sync again.

        These are the projects that have a path which another one wins, then the winners, and if
        ``free`` the projects that wanted a path whose owner has left it.
        """
        losers, winners = set[ProjectName](), set[ProjectName]()
        for place, contest in self._contests.items():
            winner = self._winners[place] = min(contest.values(), key=_rank)
            for each in contest.values():
                (losers if _differ(winner, each) else winners).add(each.project)
        self._contests.clear()
        self._claims.clear()
        self._count = 0
        if free:
            winners |= await self._free_again()
        new = frozenset(losers & self._claimants)
        return Resync(frozenset(losers), new, frozenset(winners - losers))

    async def _free_again(self) -> set[ProjectName]:
        """Return the projects with rejected files whose path has lost its owner."""
        waiting: dict[tuple[ProjectName, str], set[ProjectName]] = {}
        for each in await self._catalogue.rejected():
            if found := _REASON.fullmatch(each.rejection.reason):
                owner = ProjectName(found[2]) if found[2] else each.project
                waiting.setdefault((owner, found[1]), set()).add(each.project)
        owned = await self._catalogue.paths_owned(list(waiting)) if waiting else frozenset()
        free = [names for (_, path), names in waiting.items() if path not in owned]
        return set().union(*free)

    async def keeper(self, record: ProjectRecord, file: ReleaseFile) -> PathOwner | None:
        """Return the owner that keeps the path of a recorded file from it; None if it may have it.

        Records may disagree if one of them was adopted, or if the mirror was moved to a disk that
        ignores case.
        """
        name, place = record.name, self._place(file.path)
        for each in record.files if self._storage.folding else ():
            if each.file.path < file.path and self._place(each.file.path) == place:
                return PathOwner(name, each.file.path, each.file.hashes, each.file.sidecar)
        claim = PathOwner(name, file.path, file.hashes, file.sidecar)
        others = (await self._others(name, [file.path])).get(self._place(file.path), [])
        stronger = [each for each in others if _differ(each, claim) and _rank(each) < _rank(claim)]
        return min(stronger, key=_rank, default=None)


def _rank(owner: PathOwner) -> tuple[bool, int, str]:
    """Return a key by which the project with the best right to a path comes first."""
    is_foreign = not is_named_after(owner.path.rpartition("/")[2], owner.project)
    return is_foreign, 0 if is_foreign else -len(owner.project), owner.project


def _differ(one: PathOwner, other: PathOwner) -> bool:
    """Whether two projects cannot share a path: another spelling, or another content.

    Files without a common digest may differ.
    """
    if one.path != other.path or one.hashes.agrees_with(other.hashes) is not True:
        return True
    return None not in {one.sidecar, other.sidecar} and one.sidecar != other.sidecar


def _taken(owner: str, storage: Storage) -> str:
    return _TAKEN.format(owner, storage.folding)
