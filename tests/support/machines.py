"""State machines of a mirror that follows an index: random histories, late caches, kills."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bandersnatch.config.schema import (
    ApiMethod,
)
from bandersnatch.events import Warned
from bandersnatch.layout import StorageKey
from bandersnatch.model.names import project_name
from tests.support.clock import QuickClock
from tests.support.index import Index
from tests.support.world import World, names


class MirrorMachine(RuleBasedStateMachine):
    """An index that changes, caches that lag, failures and kills, and a mirror that follows."""

    method = ApiMethod.AUTO

    @initialize()
    def begin(self) -> None:
        self.clock = QuickClock()
        self.index = Index(lambda: int(self.clock.now().timestamp()))
        self.world = World(self.index, self.clock, self.method)
        self.index.release("anchor", "1.0", size=20)
        self.seen_status = 0
        self.killed = False
        self.versions = iter(range(10_000))

    # ------------------------------------------------------------ the index

    @rule(name=names, sdist=st.booleans())
    def release(self, name: str, *, sdist: bool) -> None:
        self.index.release(name, f"{next(self.versions)}.0", size=20, sdist=sdist)

    @rule(name=names)
    def yank(self, name: str) -> None:
        if project_name(name) in self.index.projects:
            project = self.index.project(name)
            if project.versions:
                self.index.yank(name, project.versions[0], "broken")

    @rule(name=names)
    def remove_file(self, name: str) -> None:
        project = self.index.projects.get(project_name(name))
        if project is not None and len(project.files) > 1:
            self.index.remove_file(name, min(project.files))

    @rule(name=names, action=st.sampled_from(["yank release", "remove release"]))
    def lose_files(self, name: str, action: str) -> None:
        project = self.index.projects.get(project_name(name))
        if project is not None and project.files:
            self.index.lose_files(name, action=action)

    @rule(name=names)
    def quarantine_release(self, name: str) -> None:
        project = self.index.projects.get(project_name(name))
        if project is not None and project.versions:
            self.index.quarantine_release(name, project.versions[0])

    @rule(name=names)
    def remove_project(self, name: str) -> None:
        if project_name(name) in self.index.projects:
            self.index.remove_project(name)

    @rule(name=names)
    def quarantine(self, name: str) -> None:
        if project_name(name) in self.index.projects:
            self.index.quarantine(name)

    # ------------------------------------------------------------ faults

    @rule(name=names)
    def page_goes_stale(self, name: str) -> None:
        self.world.upstream.cache(project_name(name))

    @rule()
    def list_goes_stale(self) -> None:
        self.world.upstream.cache_list()

    @rule(name=names)
    def page_breaks(self, name: str) -> None:
        self.world.upstream.broken.add(project_name(name))

    @rule(name=names)
    def file_breaks(self, name: str) -> None:
        project = self.index.projects.get(project_name(name))
        if project is not None and project.files:
            self.world.upstream.broken.add(max(project.files))

    @rule(name=names)
    def clear_quarantine(self, name: str) -> None:
        project = self.index.projects.get(project_name(name))
        if project is not None and project.status == "quarantined":
            self.index.clear_quarantine(name)

    @rule()
    def clear_faults(self) -> None:
        self.world.upstream.mend()

    @rule(minutes=st.sampled_from([1, 11, 60 * 25]))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)
        if minutes > 24 * 60:
            self.world.upstream.mend()  # no cache holds anything for longer

    # ------------------------------------------------------------ the mirror

    @rule(kill_after=st.integers(-1, 40))
    def run_mirror(self, kill_after: int) -> None:
        self.killed |= kill_after >= 0
        self.world.run(kill_after)

    @rule(name=names, kill_after=st.integers(-1, 10))
    def run_sync(self, name: str, kill_after: int) -> None:
        self.killed |= kill_after >= 0
        self.world.sync(name, kill_after)

    # ------------------------------------------------------------ invariants

    def in_hand(self) -> frozenset[str]:
        """Return the projects whose pages may be damaged: none without a power cut."""
        return frozenset()

    @invariant()
    def pages_name_only_what_is_there(self) -> None:
        objects, in_hand = self.world.storage.objects, self.in_hand()
        for key, content in objects.items():
            if not key.startswith("web/simple/") or not key.endswith("/index.v1_json"):
                continue
            if key.split("/")[2] in in_hand:
                continue
            for file in json.loads(content).get("files", []):
                path = "web/" + file["url"].removeprefix("../../")
                assert StorageKey(path) in objects
                assert len(objects[StorageKey(path)]) == file["size"]
                assert not file.get("core-metadata") or StorageKey(f"{path}.metadata") in objects

    @invariant()
    def the_root_names_only_projects_with_a_page(self) -> None:
        root = self.world.text("web/simple/index.v1_json")
        for project in json.loads(root)["projects"] if root else []:
            assert self.world.text(f"web/simple/{project['name']}/index.v1_json") is not None

    @invariant()
    def a_killed_run_is_never_reported_as_tampering(self) -> None:
        noticed_at = [event.text for event in self.world.report if isinstance(event, Warned)]
        tampering = ("synced again", "another tree", "published again", "published them again")
        assert not [text for text in noticed_at if any(each in text for each in tampering)]

    @invariant()
    def status_never_goes_back_nor_ahead(self) -> None:
        status = self.world.status
        assert self.seen_status <= status <= self.index.serial
        self.seen_status = status

    @invariant()
    def status_claims_no_more_than_the_tree_shows(self) -> None:
        status, in_hand = self.world.status, self.in_hand()
        last = {}
        for event in self.index.journal:
            if event.serial <= status and project_name(event.name) not in in_hand:
                last[project_name(event.name)] = event
        for name, event in last.items():
            page = self.world.page(name)
            if event.action == "remove project":
                later = [e for e in self.index.journal if project_name(e.name) == name]
                assert page is None or later[-1].serial > event.serial
            elif page is None:
                # It was removed later, even if it exists again by now; or it is in quarantine,
                # which the list omits, now or at the time of ``status``.
                project = self.index.projects.get(name)
                assert (
                    self._is_removed_after(name, status)
                    or self._is_quarantined_at(name, status)
                    or (project is not None and project.status == "quarantined")
                )
            else:
                assert page["meta"]["_last-serial"] >= event.serial

    def _is_removed_after(self, name: str, status: int) -> bool:
        events = (e for e in self.index.journal if project_name(e.name) == name)
        return any(e.action == "remove project" and e.serial > status for e in events)

    def _is_quarantined_at(self, name: str, status: int) -> bool:
        events = [e for e in self.index.journal if project_name(e.name) == name]
        told = [e.action for e in events if "quarantine" in e.action and e.serial <= status]
        return told[-1:] == ["project quarantined"]

    def teardown(self) -> None:
        """Assert that a few runs without faults give the tree of a clean mirror."""
        if not hasattr(self, "world"):
            return
        self.world.upstream.mend()
        for project in list(self.index.projects.values()):
            if project.status == "quarantined":
                self.index.clear_quarantine(
                    project.display
                )  # otherwise a clean mirror has no page of it
        for _ in range(4):
            self.clock.advance(minutes=11)
            self.world.run()
        assert self.world.text("todo") is None
        clean = World(self.index, self.clock, self.method)
        clean.run()
        # A list whose last event removed a project reaches only its highest entry.
        assert self.world.status >= clean.status
        assert self.world.status == self.index.serial or self.method is ApiMethod.SIMPLE
        extra = self.world.tree().keys() - clean.tree().keys()
        if self.killed:
            # Files that a killed run stored but did not record, and that the index removed before
            # the next run, are named by no page; only ``verify`` finds them.
            extra = {key for key in extra if not key.startswith("web/packages/")}
        assert extra == set()
        assert {key: self.world.tree().get(key) for key in clean.tree()} == clean.tree()
        before = dict(self.world.storage.modified)
        downloads = self.world.upstream.downloads
        self.world.run()
        assert self.world.upstream.downloads == downloads
        changed = {k for k, t in self.world.storage.modified.items() if before.get(k) != t}
        assert changed <= {"status", "todo", "web/last-modified"}


class FollowingTheList(MirrorMachine):
    """The same with an index that has no changelog."""

    method = ApiMethod.SIMPLE

    @invariant()
    def status_claims_no_more_than_the_tree_shows(self) -> None:
        """Check existing projects only: a list shows removals by absence, in two runs."""
        status, in_hand = self.world.status, self.in_hand()
        for name, project in self.index.projects.items():
            if name in in_hand:
                continue
            if 0 < project.serial <= status and project.status != "quarantined":
                page = self.world.page(name)
                assert page is not None
                assert page["meta"]["_last-serial"] >= project.serial


PROFILE = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
