"""``delete`` and ``restore`` in random histories of an index and a mirror."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from bandersnatch.config.schema import ApiMethod
from bandersnatch.mirror.delete import delete
from bandersnatch.mirror.restore import restore
from bandersnatch.model.names import ProjectName, project_name
from tests.support.machines import PROFILE, MirrorMachine
from tests.support.steps import StepStorage
from tests.support.world import NAMES, KillableCatalogue, Killed, names

if TYPE_CHECKING:
    from collections.abc import Coroutine

kills = st.just(-1) | st.integers(0, 40)


class DeletionMachine(MirrorMachine):
    """A project deleted or restored by name stays as it is until the index changes it."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.world.storage = StepStorage()
        self.world.catalogue = KillableCatalogue(self.world.storage)
        self.touched: set[ProjectName] = set()
        for name in NAMES:
            self.index.release(name, f"{next(self.versions)}.0", size=20, sdist=True)
        self.world.run()

    def _do(self, name: str, command: Coroutine[Any, Any, None], kill_after: int) -> None:
        self.touched.add(project_name(name))
        self.killed |= kill_after >= 0
        self.world.storage.kill_after = kill_after
        with contextlib.suppress(Killed):
            asyncio.run(command)
        self.world.storage.kill_after = -1

    @rule(name=names, kill_after=kills)
    def run_delete(self, name: str, kill_after: int) -> None:
        command = delete(self.world.mirror(), {project_name(name): name}, until_next_change=True)
        self._do(name, command, kill_after)

    @rule(name=names, kill_after=kills)
    def run_restore(self, name: str, kill_after: int) -> None:
        self._do(name, restore(self.world.mirror(), [project_name(name)]), kill_after)

    @invariant()
    def status_claims_no_more_than_the_tree_shows(self) -> None:
        """Check the projects that no command has deleted or restored."""
        status = self.world.status
        for name, project in self.index.projects.items():
            hidden = project.status == "quarantined" or name in self.touched
            if 0 < project.serial <= status and not hidden:
                page = self.world.page(name)
                assert page is not None
                assert page["meta"]["_last-serial"] >= project.serial

    @invariant()
    def everything_in_the_trash_has_an_entry(self) -> None:
        trashed = {key for key in self.world.storage.objects if key.startswith("removed/")}
        rows = self.world.catalogue.trashed.keys()
        assert {key for key in trashed - rows if not key.startswith("removed/packages/")} == set()

    def teardown(self) -> None:
        """Change the deleted projects: then the mirror must equal a new one."""
        if hasattr(self, "world"):
            for name in sorted(self.touched & self.index.projects.keys()):
                display = self.index.projects[name].display
                self.index.release(display, f"{next(self.versions)}.0", size=20)
        super().teardown()


class FollowingTheList(DeletionMachine):
    """The same with an index that has only the project list."""

    method = ApiMethod.SIMPLE


FEWER = settings(PROFILE, max_examples=40)

TestFollowingTheChangelog = DeletionMachine.TestCase
TestFollowingTheChangelog.settings = FEWER
TestFollowingTheList = FollowingTheList.TestCase
TestFollowingTheList.settings = FEWER
