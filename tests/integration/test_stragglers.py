"""The root page does not wait for the last projects, a large download for example."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from bandersnatch.config.schema import ApiMethod
from bandersnatch.mirror import recovery
from bandersnatch.mirror.checkpoint import Checkpoint
from bandersnatch.mirror.executor import Executor
from bandersnatch.mirror.health import IndexHealth
from bandersnatch.mirror.project import ProjectSync
from bandersnatch.mirror.publish import publish_root
from bandersnatch.mirror.state import StateFiles, Todo
from bandersnatch.mirror.sync import tasks_by_name
from bandersnatch.model.names import project_name
from bandersnatch.model.serials import NO_SERIAL
from tests.support.clock import QuickClock
from tests.support.index import Index
from tests.support.world import World

if TYPE_CHECKING:
    from bandersnatch.mirror.tasks import Outcome, SyncTask

NAMES = [project_name(name) for name in ("alpha", "beta", "gamma")]


def listed(world: World) -> list[str]:
    """Return the projects that the root page lists, none without one."""
    text = world.text("web/simple/index.v1_json")
    return [] if text is None else [each["name"] for each in json.loads(text)["projects"]]


@pytest.mark.parametrize("slow", [{"gamma"}, {"alpha"}, {"alpha", "beta"}])
async def test_the_root_page_is_published_while_the_last_projects_are_synced(
    slow: set[str],
) -> None:
    index = Index()
    for name in NAMES:
        index.release(name, "1.0")
    world = World(index, QuickClock(), ApiMethod.XMLRPC)
    mirror, began = world.mirror(), world.clock.now()
    context = await recovery.open_context(mirror, began, accepted=frozenset(), force=False)
    checkpoint = Checkpoint(
        mirror.storage,
        mirror.catalogue,
        StateFiles(mirror.storage),
        mirror.clock,
        todo=Todo(NO_SERIAL),
        now=int(began.timestamp()),
    )
    sync = ProjectSync.of(mirror, context, began).sync
    seen: list[list[str]] = []
    published = asyncio.Event()

    async def sync_slowly(task: SyncTask) -> Outcome:
        if task.name in slow:
            await published.wait()
        return await sync(task)

    async def publish() -> None:
        await publish_root(mirror, final=False)
        seen.append(listed(world))
        published.set()

    executor = Executor(
        sync_slowly,
        checkpoint,
        mirror.clock,
        mirror.events,
        mirror.storage.probe,
        IndexHealth.of(mirror, None, NAMES),
        publish_root=publish,
        straggler_wait=0.01,
    )
    await executor.run(await tasks_by_name(mirror, NAMES), workers=4)

    assert seen == [[name for name in NAMES if name not in slow]]
    await checkpoint.commit()
    await publish_root(mirror)
    assert listed(world) == NAMES


async def test_the_root_page_is_published_once_if_all_projects_are_quick() -> None:
    index = Index()
    for name in NAMES:
        index.release(name, "1.0")
    world = World(index, QuickClock(), ApiMethod.XMLRPC)

    await asyncio.to_thread(world.run)

    written = [str(each) for each in world.report if "simple/index.html" in str(each)]
    assert len(written) == 1
