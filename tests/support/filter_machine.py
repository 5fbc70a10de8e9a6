"""A state machine of a mirror whose filters change, between kills, failures and late caches."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from msgspec import structs

from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import UnusableIndex, WrongIndexUrl
from bandersnatch.filters.builtin.age import ReleaseAge
from bandersnatch.filters.builtin.latest import LatestRelease
from bandersnatch.filters.builtin.limits import SizeProjectMetadata
from bandersnatch.filters.builtin.project_lists import AllowlistProject, BlocklistProject
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.options import FilterOptions
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.ledger import PROOF_BY_EXPIRY
from bandersnatch.model.names import project_name
from tests.support.machines import MirrorMachine
from tests.support.world import NAMES, KillableCatalogue, World

if TYPE_CHECKING:
    from bandersnatch.filters.interface import PageFilter, ProjectFilter
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.names import ProjectName
    from tests.support.clock import QuickClock
    from tests.support.index import Index


names = st.sampled_from(NAMES)


lists = st.frozensets(names, min_size=1)


@dataclass(frozen=True)
class Rules:
    """Filters of projects and of their files."""

    allowed: frozenset[str] | None = None
    blocked: frozenset[str] | None = None
    latest: bool = False
    small: bool = False
    aged: bool = False
    prefetch: bool = False

    def chain(self, now: int) -> FilterChain:
        """Return the filters as a run that begins ``now`` makes them."""
        projects: list[ProjectFilter] = []
        pages: list[PageFilter] = []
        sections: dict[str, dict[str, str]] = {
            "latest_release": {"keep": "1"},
            "size_project_metadata": {"max_package_size": "300"},
            "release_age": {"min-age": "1 days", "prefetch": str(self.prefetch).lower()},
        }
        if self.allowed is not None:
            packages = "\n".join(sorted(self.allowed))
            own = FilterOptions({"allowlist": {"packages": packages}}, now=now)
            projects.append(AllowlistProject.from_options(own))
        if self.blocked is not None:
            packages = "\n".join(sorted(self.blocked))
            own = FilterOptions({"blocklist": {"packages": packages}}, now=now)
            projects.append(BlocklistProject.from_options(own))
        options = FilterOptions(sections, now=now)
        pages += [LatestRelease.from_options(options)] * self.latest
        pages += [SizeProjectMetadata.from_options(options)] * self.small
        pages += [ReleaseAge.from_options(options)] * self.aged
        return FilterChain(tuple(projects), tuple(pages))

    @property
    def finite(self) -> frozenset[ProjectName] | None:
        """The projects that can be selected, if the rules name them."""
        return self.chain(0).finite_names

    def selects(self, name: str) -> bool:
        """Whether the project filters select a project."""
        return self.chain(0).selects(project_name(name))


rules = st.builds(
    Rules,
    allowed=st.none() | lists,
    blocked=st.none() | lists,
    latest=st.booleans(),
    small=st.booleans(),
    aged=st.booleans(),
    prefetch=st.booleans(),
)


class FilteredWorld(World):
    """A mirror whose filters change."""

    def __init__(self, index: Index, clock: QuickClock, method: ApiMethod) -> None:
        super().__init__(index, clock, method)
        self.rules = Rules()
        self.most = 100
        self.refused = False

    def mirror(self) -> Mirror:
        """Return the mirror as a run uses it."""
        plain = super().mirror()
        run = structs.replace(plain.settings.run, max_removals=self.most)
        chain = self.rules.chain(int(self.clock.now().timestamp()))
        return replace(plain, settings=structs.replace(plain.settings, run=run), filters=chain)

    def run(self, kill_after: int = -1) -> None:
        """Run ``mirror``, killed after so many changes; the index may be unusable.

        ``refused`` is set if the index had none of the projects that the rules name.
        """
        self.refused = False
        try:
            super().run(kill_after)
        except UnusableIndex as error:
            self.refused = isinstance(error, WrongIndexUrl)
        self.storage.kill_after = -1


class ReconcilingMachine(MirrorMachine):
    """Adds an operator who changes the filters at any time."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.world: FilteredWorld = FilteredWorld(self.index, self.clock, self.method)
        self.by_name: set[str] = set()
        self.settled = False

    def _uploaded(self) -> str:
        return f"{self.clock.now():%Y-%m-%dT%H:%M:%S}.000000Z"

    # ------------------------------------------------------------ the index

    @rule(name=names, sdist=st.booleans())
    def release(self, name: str, *, sdist: bool) -> None:
        self._release(name, sdist=sdist, size=20)

    @rule(name=names)
    def release_something_large(self, name: str) -> None:
        self._release(name, sdist=False, size=400)

    def _release(self, name: str, *, sdist: bool, size: int) -> None:
        version, uploaded = f"{next(self.versions)}.0", self._uploaded()
        self.index.release(name, version, size=size, sdist=sdist, upload_time=uploaded)

    @rule(name=names)
    def file_breaks(self, name: str) -> None:
        super().file_breaks(name)
        # The other files of its release are stored and named by no page yet; if the index
        # removes them meanwhile, only ``verify`` finds them, as after a kill.
        self.killed = True

    # ------------------------------------------------------------ the operator

    @rule(chosen=rules)
    def change_the_rules(self, chosen: Rules) -> None:
        self.earlier = self.world.rules
        self.world.rules, self.settled = chosen, False

    @rule()
    def change_them_back(self) -> None:
        chosen = getattr(self, "earlier", Rules())
        self.change_the_rules(chosen)

    @rule(most=st.sampled_from([0, 1, 100]), kill_after=st.integers(-1, 60))
    def run_mirror(self, most: int, kill_after: int) -> None:
        self.killed |= kill_after >= 0
        self.world.most = most
        self.world.run(kill_after)
        self.world.most, self.settled = 100, False
        if kill_after < 0:
            self._check_status()

    @rule(name=names, kill_after=st.integers(-1, 10))
    def run_sync(self, name: str, kill_after: int) -> None:
        if not self.world.rules.selects(name):
            self.by_name.add(project_name(name))
        super().run_sync(name, kill_after)
        self.settled = False

    @precondition(lambda self: self.settled)
    @rule()
    def lose_the_catalogue(self) -> None:
        self.world.catalogue = KillableCatalogue(self.world.storage)
        self.world.run()

    @rule()
    def settle(self) -> None:
        """Clear all faults, run, and compare with a clean mirror."""
        self._settle()
        self._compare()
        self.by_name = {n for n in self.by_name if not self.world.rules.selects(n)}
        self.settled = True

    # ------------------------------------------------------------ invariants

    def _check_status(self) -> None:
        """Assert that each page is as new as ``status`` claims, or pending."""
        pending = [line.split()[0] for line in (self.world.text("todo") or "").splitlines()[1:]]
        last = {
            project_name(e.name): e for e in self.index.journal if e.serial <= self.world.status
        }
        for name, event in last.items():
            page = self.world.page(name)
            if page is not None and name not in pending and self.world.rules.selects(name):
                assert page["meta"]["_last-serial"] >= event.serial or self._is_gone(name)

    def _is_gone(self, name: str) -> bool:
        project = self.index.projects.get(project_name(name))
        return project is None or project.status == "quarantined"

    @invariant()
    def status_claims_no_more_than_the_tree_shows(self) -> None:
        """Not an invariant here: see ``_check_status``, since filters change what is selected."""

    def _settle(self) -> None:
        self.world.upstream.mend()
        for project in list(self.index.projects.values()):
            if project.status == "quarantined":
                self.index.clear_quarantine(project.display)
        for _ in range(5):
            self.clock.advance(minutes=11)
            self.world.run()
        if self._waits_for_proof():
            self.clock.advance(seconds=PROOF_BY_EXPIRY + 1)
            self.world.run()

    def _waits_for_proof(self) -> bool:
        """Whether only removed projects are pending that a list of projects once named.

        Pages of a finite set of names are requested one by one, so nothing disproves the list
        until no cache can have an older page.
        """
        if self.method is not ApiMethod.SIMPLE or self.world.rules.finite is None:
            return False
        todo = (self.world.text("todo") or "").splitlines()[1:]
        return bool(todo) and all(line.split()[0] not in self.index.projects for line in todo)

    def _check_refused(self) -> None:
        finite = self.world.rules.finite
        assert finite, "only a set of names can have nothing that the index has"
        assert not finite & self.index.projects.keys()

    def _compare(self) -> None:
        if self.world.refused:
            self._check_refused()
            return
        if self.method is not ApiMethod.SIMPLE:
            assert self.world.status == self.index.serial
        assert self.world.text("todo") is None
        clean = FilteredWorld(self.index, self.clock, self.method)
        clean.rules = self.world.rules
        clean.run()
        if clean.refused:  # a mirror that had projects of this index is not
            self._check_refused()
            return
        assert self.world.status >= clean.status, "a list may end with an event of no entry"
        ours, theirs = self.world.tree(), clean.tree()
        assert theirs.keys() <= ours.keys()
        # A title has the name as the list spells it, and not every run reads the list.
        told = {k for k in theirs if not k.endswith("html") and k.count("/") > 2}
        assert {k: ours[k] for k in told} == {k: theirs[k] for k in told}
        extra = {k for k in ours.keys() - theirs.keys() if not k.startswith("web/packages/")}
        kept = {name for name in self.by_name if not self.world.rules.selects(name)}
        assert {key.split("/")[2] for key in extra} <= kept
        listed = {
            p["name"] for p in json.loads(ours[StorageKey("web/simple/index.v1_json")])["projects"]
        }
        with_page = {k.split("/")[2] for k in ours if k.endswith("/index.v1_json")} - {
            "index.v1_json"
        }
        assert listed == with_page
        if not (self.killed or kept):
            files = {k for k in ours.keys() - theirs.keys() if k.startswith("web/packages/")}
            assert files == set()

    def teardown(self) -> None:
        """Assert that a few runs without faults give the tree of a clean mirror."""
        if not hasattr(self, "world"):
            return
        self._settle()
        self._compare()
        before = dict(self.world.storage.modified)
        downloads = self.world.upstream.downloads
        self.world.run()
        assert self.world.upstream.downloads == downloads
        changed = {k for k, t in self.world.storage.modified.items() if before.get(k) != t}
        assert changed <= {"status", "todo", "web/last-modified"}


class ReconcilingByTheList(ReconcilingMachine):
    """The same with an index that has no changelog."""

    method = ApiMethod.SIMPLE
