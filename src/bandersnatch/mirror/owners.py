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
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.catalogue.records import FileRecord, ProjectRecord
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.storage.port import Storage

_MANY_CLAIMS = 20_000

_OWNED = "{0.path} belongs to {0.project}, with other content"
_OTHERS = "{0.path} of {0.project} has its place, because the file system ignores {1} in names"
_OWN = "{0.path} has its place, because the file system ignores {1} in names"
_PLACE = r"(?: of [a-z0-9-]+)? has its place, because .+"
_REASON = re.compile(rf"(.+?)(?: belongs to [a-z0-9-]+, with other content|{_PLACE})")
"""Matches the reasons of rejections, with the path that another file has."""


class Resync(NamedTuple):
    """Projects to sync again so that each path has its right owner.

    ``losers`` come first; of these, the ``new`` ones had no record before this run.
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
        self._limit = _MANY_CLAIMS
        self._new: set[ProjectName] = set()  # those that had no record before this run
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
        self, name: ProjectName, files: Sequence[ReleaseFile], record: ProjectRecord | None
    ) -> list[Rejection]:
        """Claim the paths of a project's files; return those files whose path another one has.

        ``record`` is what the catalogue has of the project.
        """
        claims = {file.path: PathOwner.of(name, file) for file in files}
        places = {path: self._place(path) for path in claims}
        await self._released(places.values())
        before = () if record is None else record.files
        recorded = {found.file.path: PathOwner.of(name, found.file) for found in before}
        self._register(claims.values(), recorded, is_new=record is None)
        others = await self._others(name, list(claims))
        own = {self._place(path): each for path, each in recorded.items()}
        rejections = []
        for file in sorted(files, key=lambda each: each.filename):
            claim, place = claims[file.path], places[file.path]
            owner: PathOwner | None = own.setdefault(place, claim)
            if owner is None or owner.path == claim.path:
                owner = self._conflict(claim, place, others.get(place, []))
            if owner is not None:
                self._withdraw(claim, place)
                rejections.append(Rejection.of(file.filename, self._reason(owner, claim)))
        return rejections

    async def _released(self, places: Collection[str]) -> None:
        """Wait until no place is being released."""
        while found := [self._releases[each] for each in places if each in self._releases]:
            await found[0].wait()

    def _reason(self, owner: PathOwner, claim: PathOwner) -> str:
        if owner.path == claim.path:
            return _OWNED.format(owner)
        text = _OWN if owner.project == claim.project else _OTHERS
        return text.format(owner, self._storage.folding)

    def replaces(self, files: Sequence[ReleaseFile], recorded: Collection[str]) -> bool:
        """Return whether a file of a page needs the place of a recorded one that leaves the page.

        Then the page must be published without both, so that the place is free after that.
        """
        if not self._storage.folding:
            return False
        listed = {file.path for file in files}
        leaving = {self._place(path) for path in recorded if path not in listed}
        return any(self._place(path) in leaving for path in listed)

    def _register(
        self, claims: Iterable[PathOwner], recorded: Mapping[str, PathOwner], *, is_new: bool
    ) -> None:
        """Keep the claims of files that the catalogue does not have with this content."""
        for claim in claims:
            before = recorded.get(claim.path)
            if before is not None and not before.differs(claim):
                continue
            place = self._place(claim.path)
            claims_there = self._claims.setdefault(place, {})
            self._count += claim.project not in claims_there
            claims_there[claim.project] = claim
            if is_new:
                self._new.add(claim.project)
            else:
                self._added.add((claim.project, place))

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
        if winner is not None and winner.differs(claim):
            return winner
        conflicts = [owner for owner in others if owner.differs(claim)]
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
        return name in self._new or (name, place) in self._added

    async def _forget_committed(self) -> None:
        """Forget the claims of projects whose files the catalogue has by now."""
        if self._count < self._limit:
            return
        self._limit = 2 * self._count  # no other task needs to do this meanwhile
        samples = {each.project: each for some in self._claims.values() for each in some.values()}
        owned = await self._catalogue.paths_owned([(n, each.path) for n, each in samples.items()])
        done = {name for name, each in samples.items() if each.path in owned}
        kept = {
            place: left
            for place, some in self._claims.items()
            if (left := {name: each for name, each in some.items() if name not in done})
        }
        self._claims, self._count = kept, sum(map(len, kept.values()))
        self._limit = max(_MANY_CLAIMS, 2 * self._count)

    # ------------------------------------------------------------ releases

    @asynccontextmanager
    async def release(
        self, name: ProjectName, leaving: Sequence[FileRecord], kept: Iterable[ReleaseFile]
    ) -> AsyncIterator[list[PathOwner]]:
        """Release the paths of files that leave a page: no project can claim them in the block.

        Yield the owners of these paths that the catalogue may not have yet: other projects, and
        the project itself with a file that is ``kept``.
        """
        places = {self._place(found.file.path) for found in leaving}
        owners = [PathOwner.of(name, file) for file in kept] if places else []
        owners = [each for each in owners if self._place(each.path) in places]
        for place in places:
            claims = self._claims.get(place, {})
            owners += [each for each in claims.values() if each.project != name]
        done = asyncio.Event()
        self._releases.update(dict.fromkeys(places, done))
        try:
            yield owners
        finally:
            for place in places:
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
                (losers if winner.differs(each) else winners).add(each.project)
        self._contests.clear()
        self._claims.clear()
        self._count = 0
        if free:
            winners |= await self._free_again()
        new = frozenset(losers & self._new)
        return Resync(frozenset(losers), new, frozenset(winners - losers))

    async def _free_again(self) -> set[ProjectName]:
        """Return the projects with rejected files whose path has lost its owner."""
        waiting: dict[ProjectName, set[str]] = {}
        for each in await self._catalogue.rejected():
            if found := _REASON.fullmatch(each.rejection.reason):
                waiting.setdefault(each.project, set()).add(found[1])
        free = set[ProjectName]()
        for name, paths in waiting.items():
            own = await self._catalogue.paths_owned([(name, path) for path in paths])
            others = await self._catalogue.path_owners(name, paths)
            if paths - own - {each.path for each in others}:
                free.add(name)
        return free

    async def keeper(self, record: ProjectRecord, file: ReleaseFile) -> PathOwner | None:
        """Return the owner that keeps the path of a recorded file from it; None if it may have it.

        Records may disagree if one of them was adopted, or if the mirror was moved to a disk that
        ignores case.
        """
        name, place = record.name, self._place(file.path)
        for each in record.files if self._storage.folding else ():
            if each.file.path < file.path and self._place(each.file.path) == place:
                return PathOwner.of(name, each.file)
        claim = PathOwner.of(name, file)
        others = (await self._others(name, [file.path])).get(place, [])
        stronger = [each for each in others if each.differs(claim) and _rank(each) < _rank(claim)]
        return min(stronger, key=_rank, default=None)


def _rank(owner: PathOwner) -> tuple[bool, int, str]:
    """Return a key by which the project with the best right to a path comes first."""
    is_foreign = not is_named_after(owner.path.rpartition("/")[2], owner.project)
    return is_foreign, 0 if is_foreign else -len(owner.project), owner.project
