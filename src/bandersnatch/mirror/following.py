"""Follows the dependencies of what is mirrored.

A run syncs what is selected. Then it judges the requirements of what it has synced, and syncs what
they ask for, and so on until nothing new is asked for. What is asked of a project is remembered in
the catalogue, so that a run looks at the requirements of the projects that it has synced, and of no
others. A project that is not needed any more is removed with those that the filters drop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    FollowedRow,
    Marker,
    RequirementRow,
    Standing,
    requirements_basis,
)
from bandersnatch.closure import needs as values
from bandersnatch.closure.choice import Releases, bits
from bandersnatch.closure.convergence import Convergence
from bandersnatch.closure.graph import depths
from bandersnatch.closure.needs import ProjectNeeds, Shortage, Unmet
from bandersnatch.config.schema import FollowedExtras
from bandersnatch.errors import ClosureTooDeep, TooManyFollowed
from bandersnatch.events import Halted
from bandersnatch.filters.following import FollowingChain
from bandersnatch.mirror.requirements import RequirementReader, RequirementSync
from bandersnatch.mirror.tasks import Outcome, Result
from bandersnatch.model.names import ProjectName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from bandersnatch.catalogue.records import ProjectSummary
    from bandersnatch.closure.needs import Dependency, ProjectDependencies
    from bandersnatch.closure.state import ClosureState
    from bandersnatch.errors import SafetyStop
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.tasks import SyncTask

_BATCH = 500
"""Projects whose requirements are judged together."""

_TRANSIENT = (
    *("its core metadata is not stored", "its core metadata could not be read"),
    "its core metadata is damaged",
)
"""How the reasons begin for which a later run may know requirements that are unknown now."""


class Following:
    """The closure of one run: what it has read and judged, and what it follows.

    ``notes`` are what is unusual in the requirements that this run has judged, by project.
    """

    def __init__(self, mirror: Mirror, state: ClosureState, *, local: bool = False) -> None:
        """Assign the mirror; ``local`` is for a command that concerns some projects only."""
        assert isinstance(mirror.filters, FollowingChain), "a closure comes with its filters"
        self._mirror = mirror
        self._chain = mirror.filters
        self._catalogue = mirror.catalogue
        self._state = state
        self._local = local
        self._reader = RequirementReader.of(mirror, state.targets)
        self._rows: dict[ProjectName, FollowedRow] = {}
        self._read: dict[ProjectName, None] = {}
        self._results: dict[ProjectName, Unmet] = {}
        self._retained: frozenset[ProjectName] = frozenset()
        self._halted: set[type[SafetyStop]] = set()
        self._sent: set[ProjectName] = set()
        self._marked: dict[ProjectName, str] = {}
        self._convergence = Convergence()
        self.notes: dict[ProjectName, tuple[ProjectNeeds, ProjectDependencies]] = {}
        self.may_have_lost = False

    # ------------------------------------------------------------ at the beginning of a run

    async def open(self) -> None:
        """Load what is followed, and judge everything again if the options have changed."""
        rows = await self._catalogue.followed()
        self._state.load(rows)
        self._rows = dict(rows)
        if self._local or await self._catalogue.marker(Marker.CLOSURE) == self.policy:
            return
        await self._read_missing()
        await self._judge_everything()
        self.may_have_lost = True

    @property
    def policy(self) -> str:
        """The marker of the options under which everything was judged, stored at the end."""
        return self._chain.fingerprint

    async def forget_policy(self) -> None:
        """Have the next run judge everything again unless this one comes to its end."""
        await self._catalogue.commit(CatalogueUpdate(markers={Marker.CLOSURE: ""}))

    async def load(self, names: Iterable[ProjectName]) -> None:
        """Load what is asked of projects that are about to be synced."""
        wanted = [name for name in names if self._state.follows(name)]
        for start in range(0, len(wanted), _BATCH):
            some = wanted[start : start + _BATCH]
            self._state.dependencies.update(await self._incoming(some))

    async def _read_missing(self) -> None:
        """Read the requirements of published projects of which they are not known."""
        missing = await self._catalogue.requirements_missing()
        for start in range(0, len(missing), _BATCH):
            update = CatalogueUpdate()
            for name in missing[start : start + _BATCH]:
                record = await self._catalogue.project(name)
                if record is not None:
                    needs = (await self._reader.read(record)).encoded()
                    row = RequirementRow(requirements_basis(record), "", needs)
                    update.requirements[name] = row
                    self._read[name] = None
            await self._catalogue.commit(update)

    # ------------------------------------------------------------ one project

    def reading(
        self, sync: Callable[[SyncTask], Awaitable[Outcome]]
    ) -> Callable[[SyncTask], Awaitable[Outcome]]:
        """Return a function that syncs a project and reads its requirements."""
        return RequirementSync(sync, self._reader, self._state).sync

    def recording(
        self, sync: Callable[[SyncTask], Awaitable[Outcome]]
    ) -> Callable[[SyncTask], Awaitable[Outcome]]:
        """Return a function that syncs a project, and notes what its outcome says.

        ``sync`` is one of ``RequirementSync``, in this process or in another one.
        """

        async def sync_and_note(task: SyncTask) -> Outcome:
            outcome = await sync(task)
            self._note_result(outcome)
            if outcome.requirements is not None:
                self._read[task.name] = None
            return outcome

        return sync_and_note

    def _note_result(self, outcome: Outcome) -> None:
        """Remember what a synced project lacks of what is asked of it."""
        name = outcome.task.name
        if not self._state.follows(name):
            return
        if outcome.result in {Result.EXCLUDED, Result.UNWANTED}:
            self._results[name] = Unmet(Shortage.DROPPED, by=outcome.dropped[-1].by)
        elif outcome.result in {Result.ABSENT, Result.GONE}:
            self._results[name] = Unmet(Shortage.ABSENT)
        elif outcome.result in {Result.SYNCED, Result.EMPTIED}:
            specifiers = tuple(
                (specifier, mask, self._dropping(outcome, specifier, mask))
                for specifier, mask in outcome.unmet
            )
            shortage = Shortage.VERSIONS if outcome.unmet else Shortage.NONE
            self._results[name] = Unmet(shortage, specifiers=specifiers)
        elif self._rows.get(name, FollowedRow("", "")).unmet == Unmet(Shortage.PENDING).encoded():
            self._results[name] = Unmet()

    def _dropping(self, outcome: Outcome, specifier: str, mask: int) -> str:
        """Return the filter that drops a version which would satisfy a specifier, or ""."""
        if outcome.record is None:
            return ""
        for each in outcome.dropped:
            page = replace(outcome.record.detail, files=each.files)
            releases = Releases(page, self._state.targets)
            if any(releases.satisfying(specifier, bit, 1) for bit in bits(mask)):
                return each.by
        return ""

    # ------------------------------------------------------------ from one round to the next

    async def advance(self, touched: Iterable[ProjectName] = ()) -> list[ProjectName]:
        """Judge what was read since the last call, and return the projects to sync now.

        ``touched`` are projects of which less is asked because a dependant was removed.
        """
        await self.save_results()
        if not self._local:
            await self._read_missing()
            self._read.update(dict.fromkeys(await self._catalogue.requirements_unjudged()))
        queue, self._read = [*self._read, *touched], {}
        asked = set(touched)
        while queue:
            some, queue = queue[:_BATCH], queue[_BATCH:]
            changed = await self._judge(some)
            asked |= changed
            queue += sorted(changed - set(queue))
        return await self._follow(asked)

    async def save_results(self) -> None:
        """Store what the projects lack that were synced since this was last done."""
        update = CatalogueUpdate()
        for name, unmet in self._results.items():
            row = self._rows.get(name)
            if row is not None and row.unmet != unmet.encoded():
                update.followed[name] = self._rows[name] = row._replace(unmet=unmet.encoded())
        self._results = {}
        await self._catalogue.commit(update)

    async def _incoming(
        self, names: Collection[ProjectName]
    ) -> dict[ProjectName, tuple[Dependency, ...]]:
        """Return everything that is asked of each project."""
        found = await self._catalogue.dependants(names)
        return {
            name: tuple(
                dependency
                for text in found.get(name, {}).values()
                for dependency in values.decode_dependencies(text)
            )
            for name in names
        }

    async def _judge(self, names: Collection[ProjectName]) -> set[ProjectName]:
        """Judge the requirements of projects in their contexts, if these have changed.

        Return the projects of which something else is asked now.
        """
        rows = await self._catalogue.requirements(names)
        incoming = await self._incoming(list(rows))
        before = await self._catalogue.dependencies(rows)
        await self._load_retained(rows)
        update, changed = CatalogueUpdate(), set()
        for name, row in rows.items():
            found = ProjectNeeds.decoded(row.needs)
            contexts = self._convergence.contexts(name, self._contexts(name, found, incoming[name]))
            text = values.encode_contexts(contexts)
            if text == row.contexts:
                continue
            update.requirements[name] = row._replace(contexts=text)
            dependencies = self._dependencies(name, found, contexts, before.get(name, {}))
            changed |= self._replace(name, before.get(name, {}), dependencies, update)
        self._mark(changed, update)
        await self._catalogue.commit(update)
        return changed

    def _mark(self, names: Iterable[ProjectName], update: CatalogueUpdate) -> None:
        """Mark the projects of which something else is asked, for a run after an interruption."""
        for name in names:
            row = self._rows.get(name, FollowedRow("", ""))
            self._marked.setdefault(name, row.unmet)
            update.followed[name] = self._rows[name] = row._replace(unmet=_PENDING)

    async def _load_retained(self, names: Iterable[ProjectName]) -> None:
        summaries = await self._catalogue.summaries(names)
        self._retained |= _retained(summaries)

    def _contexts(
        self, name: ProjectName, found: ProjectNeeds, incoming: Iterable[Dependency]
    ) -> dict[str, int]:
        """Return the contexts of a project; one that nothing needs any more keeps all of them.

        It is still there, and what it needs has to be there as long.
        """
        every = self._state.targets.all
        root = self._root_contexts(name, found) if self._is_root(name) else {}
        follows = self._state.settings.extras is not FollowedExtras.NONE
        contexts = values.contexts_of(incoming, root=root, follows_extras=follows)
        return contexts or {"": every}

    def _is_root(self, name: ProjectName) -> bool:
        return name in self._retained or self._chain.roots.may_select(name)

    def _root_contexts(self, name: ProjectName, found: ProjectNeeds) -> dict[str, int]:
        every, extras = self._state.targets.all, set[str]()
        if self._state.settings.extras is FollowedExtras.ALL:
            extras = {extra for each in found.lists for extra in each.extras}
        elif self._state.settings.extras is FollowedExtras.REQUESTED:
            extras = {extra for each in self._chain.projects for extra in each.extras(name)}
        return {"": every, **dict.fromkeys(sorted(extras), every)}

    def _dependencies(
        self,
        name: ProjectName,
        found: ProjectNeeds,
        contexts: Mapping[str, int],
        before: Mapping[ProjectName, str],
    ) -> dict[ProjectName, str]:
        """Return what a project asks of others.

        As long as requirements are unknown that a later run may know, nothing that the project
        asked for before is forgotten.
        """
        judged = values.judge_needs(name, found, contexts, self._state.targets)
        if found.unknown or judged.unreadable or judged.mended or judged.direct:
            self.notes[name] = found, judged
        dependencies = {
            needed: values.encode_dependencies(each) for needed, each in judged.dependencies.items()
        }
        if any(why.startswith(_TRANSIENT) for _, why in found.unknown):
            return {**before, **dependencies}
        return dependencies

    def _replace(
        self,
        name: ProjectName,
        before: Mapping[ProjectName, str],
        dependencies: dict[ProjectName, str],
        update: CatalogueUpdate,
    ) -> set[ProjectName]:
        """Add what a project asks for to an update; return the projects for which that changes."""
        if before == dependencies:
            return set()
        update.dependencies[name] = dependencies
        if before.keys() - dependencies.keys():
            self.may_have_lost = True
            update.markers[Marker.CLOSURE] = ""
        names = before.keys() | dependencies.keys()
        return {each for each in names if before.get(each) != dependencies.get(each)}

    # ------------------------------------------------------------ everything at once

    async def _judge_everything(self) -> None:
        """Judge all requirements from the roots on.

        One by one, a ring of projects would keep the contexts that it had for a root that has left.
        """
        rows = dict(await self._catalogue.requirements(None))
        self._retained = _retained(await self._catalogue.summaries(None))
        before = await self._catalogue.dependencies(None)
        incoming: dict[ProjectName, dict[ProjectName, tuple[Dependency, ...]]] = {}
        judged: dict[ProjectName, str] = {}
        convergence = Convergence()
        # After the roots and what they need, whatever is still there and not needed any more.
        for start in ([name for name in rows if self._is_root(name)], list(rows)):
            queue = [name for name in start if name not in judged]
            while queue:
                name = queue.pop()
                found = ProjectNeeds.decoded(rows[name].needs)
                asked = [
                    dependency for each in incoming.get(name, {}).values() for dependency in each
                ]
                contexts = convergence.contexts(name, self._contexts(name, found, asked))
                text = values.encode_contexts(contexts)
                if judged.get(name) == text:
                    continue
                judged[name] = text
                dependencies = self._dependencies(name, found, contexts, before.get(name, {}))
                rows[name] = rows[name]._replace(contexts=text)
                for needed, encoded in dependencies.items():
                    incoming.setdefault(needed, {})[name] = values.decode_dependencies(encoded)
                    if needed in rows:
                        queue.append(needed)
        await self._store_everything(rows, incoming)

    async def _store_everything(
        self,
        rows: Mapping[ProjectName, RequirementRow],
        incoming: Mapping[ProjectName, Mapping[ProjectName, tuple[Dependency, ...]]],
    ) -> None:
        outgoing: dict[ProjectName, dict[ProjectName, str]] = {name: {} for name in rows}
        for needed, dependants in incoming.items():
            for name, dependencies in dependants.items():
                outgoing[name][needed] = values.encode_dependencies(dependencies)
        names = list(rows)
        for start in range(0, len(names), _BATCH):
            some = names[start : start + _BATCH]
            await self._catalogue.commit(
                CatalogueUpdate(
                    requirements={name: rows[name] for name in some},
                    dependencies={name: outgoing[name] for name in some},
                )
            )
        await self._follow({*incoming, *self._rows})
        self._sent.clear()  # the plan has them, and what it has not is found pending

    # ------------------------------------------------------------ what is followed

    async def _follow(self, names: Collection[ProjectName]) -> list[ProjectName]:
        """Update what is followed after other things are asked of projects.

        Return the projects to sync: new ones, and those of which other versions may be needed.
        """
        kept_out = {name for name, row in self._rows.items() if not row.digest}
        pending = {name for name, row in self._rows.items() if row.unmet == _PENDING}
        if self._local:
            kept_out, pending = kept_out & set(names), pending & set(names)
        ordered = sorted({*names, *kept_out, *pending})
        incoming: dict[ProjectName, tuple[Dependency, ...]] = {}
        for start in range(0, len(ordered), _BATCH):
            found = await self._incoming(ordered[start : start + _BATCH])
            incoming |= {
                name: self._convergence.dependencies(name, dependencies)
                for name, dependencies in found.items()
            }
        update, new, to_sync = CatalogueUpdate(), list[ProjectName](), list[ProjectName]()
        for name, dependencies in incoming.items():
            if not dependencies:
                self._leave(name, update)
            elif name not in self._state.digests:
                new.append(name)
            elif self._has_to_sync(name, dependencies):
                to_sync.append(name)
            elif name in self._marked:
                row = self._rows[name]._replace(unmet=self._marked[name])
                update.followed[name] = self._rows[name] = row
        to_sync += await self._admitted(new, update)
        self._sent.update(to_sync)  # what fails now is tried again by the next run
        self._marked = {}
        for name in to_sync:
            self._enter(name, incoming[name], update)
        await self._catalogue.commit(update)
        return to_sync

    def _has_to_sync(self, name: ProjectName, dependencies: tuple[Dependency, ...]) -> bool:
        """Whether other versions of a followed project may be needed, or it was not synced yet."""
        if self._state.digests[name] != values.dependencies_digest(dependencies):
            return True
        unmet = self._marked.get(name, self._rows[name].unmet)
        return unmet == _PENDING and name not in self._sent

    def _enter(
        self, name: ProjectName, dependencies: tuple[Dependency, ...], update: CatalogueUpdate
    ) -> None:
        digest = values.dependencies_digest(dependencies)
        self._state.digests[name], self._state.dependencies[name] = digest, dependencies
        update.followed[name] = self._rows[name] = FollowedRow(digest, _PENDING)

    def _leave(self, name: ProjectName, update: CatalogueUpdate) -> None:
        self._state.digests.pop(name, None)
        self._state.dependencies.pop(name, None)
        if self._rows.pop(name, None) is not None:
            update.unfollowed.append(name)

    def _keep_out(
        self, names: Iterable[ProjectName], update: CatalogueUpdate, unmet: Unmet
    ) -> None:
        for name in names:
            update.followed[name] = self._rows[name] = FollowedRow("", unmet.encoded())

    async def _admitted(
        self, names: list[ProjectName], update: CatalogueUpdate
    ) -> list[ProjectName]:
        """Return the projects that may be followed: no filter drops them, and the limits hold."""
        admitted = []
        for name in names:
            by = None if self._chain.followed.may_select(name) else self._chain.followed
            if by is None:
                admitted.append(name)
            else:
                dropping = by.refuses(name)
                word = dropping.name if dropping is not None else ""
                self._keep_out([name], update, Unmet(Shortage.DROPPED, by=word))
        within = await self._within_depth(admitted)
        self._keep_out(set(admitted) - set(within), update, Unmet(Shortage.LIMITED))
        limit, count = self._state.settings.max_projects, await self._count(within)
        if within and count > limit:
            self._halt(TooManyFollowed(count, limit))
            self._keep_out(within, update, Unmet(Shortage.LIMITED))
            return []
        return within

    async def _count(self, new: Iterable[ProjectName]) -> int:
        """Return how many projects the mirror would have."""
        finite = self._chain.roots.finite_names
        if finite is not None:
            return len({*finite, *self._state.digests, *new})
        known = await self._catalogue.summaries(new)
        return await self._catalogue.count() + len([name for name in new if name not in known])

    async def _within_depth(self, names: list[ProjectName]) -> list[ProjectName]:
        limit = self._state.settings.depth
        if limit is None or not names:
            return names
        edges = await self._catalogue.dependencies(None)
        roots = [name for name in edges if self._is_root(name)]
        found = depths(roots, edges)
        within = [name for name in names if found.get(name, 0) <= limit]
        if beyond := sorted(set(names) - set(within)):
            self._halt(ClosureTooDeep(len(beyond), limit, beyond[0]))
        return within

    def _halt(self, error: SafetyStop) -> None:
        """Report that a limit keeps projects out, once of each kind."""
        if type(error) not in self._halted:
            self._halted.add(type(error))
            self._mirror.events(Halted(error))

    # ------------------------------------------------------------ what is not needed

    async def unneeded(self) -> frozenset[ProjectName]:
        """Return the published projects that are neither selected nor needed by one that is."""
        summaries = await self._catalogue.summaries(None)
        self._retained = _retained(summaries)
        published = {name: each for name, each in summaries.items() if each.is_published}
        roots = [name for name in published if self._is_root(name)]
        reached = depths(roots, await self._catalogue.dependencies(None))
        return frozenset(
            name
            for name, each in published.items()
            if each.standing is Standing.SELECTED and not self._stays(name, reached)
        )

    def _stays(self, name: ProjectName, reached: Mapping[ProjectName, int]) -> bool:
        if self._is_root(name):
            return True
        return name in reached and self._chain.followed.may_select(name)

    async def asked_by(self, names: Collection[ProjectName]) -> frozenset[ProjectName]:
        """Return the projects that some projects ask for."""
        found = await self._catalogue.dependencies(names)
        return frozenset(needed for dependencies in found.values() for needed in dependencies)

    @property
    def rows(self) -> Mapping[ProjectName, FollowedRow]:
        """What is followed, as the catalogue has it."""
        return self._rows


_PENDING = Unmet(Shortage.PENDING).encoded()


def _retained(summaries: Mapping[ProjectName, ProjectSummary]) -> frozenset[ProjectName]:
    """Return the projects that are published though nothing selects them: synced by name."""
    return frozenset(name for name, each in summaries.items() if each.standing is Standing.RETAINED)
