"""Dependencies are followed by workers and by processes as by the command alone."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandersnatch.app import load
from bandersnatch.catalogue.postgres.catalogue import PostgresCatalogue
from bandersnatch.catalogue.postgres.session import Access
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from tests.support.closures import LINUX, WINDOWS, configuration, release
from tests.support.workers import workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from bandersnatch.catalogue.port import MirrorCatalogue
    from tests.support.index import Index
    from tests.support.postgres import SharedPostgres
    from tests.support.site import Ran, Site

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="processes are started as on Linux"
)

_SECTIONS = """
[blocklist]
packages =
    blocked
"""


def publish(index: Index) -> None:
    """Publish two roots, a ring, several versions of which some are needed, and what is missing."""
    release(index, "flask", "3.1", "werkzeug>=3.1", "jinja2>=3,<4", "gone>=2", "blocked", "old<1")
    for version in ("3.0", "3.1", "3.2"):
        release(index, "werkzeug", version, "MarkupSafe>=2")
    for version in ("3.0", "3.1", "4.0"):
        release(index, "Jinja2", version, "markupsafe<3", "colorama; sys_platform == 'win32'")
    for version in ("2.0", "2.1", "3.0"):
        release(index, "MarkupSafe", version)
    release(index, "colorama", "0.4")
    release(index, "blocked", "1.0")
    release(index, "old", "2.0")
    release(index, "jupyter", "1.0", "werkzeug<3.1", "a[more]")
    release(index, "a", "1.0", "b", "c; extra == 'more'", extras=["more"])
    release(index, "b", "1.0", "a")
    index.release("c", "1.0", metadata=False)
    release(index, "unrelated", "1.0")


def change(index: Index) -> None:
    """Publish a release that needs something new and something else no longer."""
    release(index, "flask", "3.3", "werkzeug>=3.1", "blinker", "gone>=2", "old<1")
    release(index, "blinker", "1.9", "late")
    release(index, "late", "1.0")


@contextmanager
def _by_workers(make_site: Callable[..., Site], shared_postgres: SharedPostgres) -> Iterator[Site]:
    url = shared_postgres.get().url()
    site = make_site(catalogue=url, cluster=True, worker_timeout=60, worker_wait=120)
    with workers(site):
        yield site


@contextmanager
def _by_processes(make_site: Callable[..., Site], shared_postgres: object) -> Iterator[Site]:
    del shared_postgres
    yield make_site(processes=2)


def _follow(site: Site, *roots: str) -> None:
    text = configuration(
        *roots,
        environments=[LINUX, WINDOWS],
        filters="blocklist_project",
        sections=_SECTIONS,
        versions="needed",
    )
    site.filter(text)


async def _rows(site: Site) -> list[object]:
    """Return what the catalogue says of the closure, and of the projects in it."""
    settings = load(site.config, datetime.now(UTC)).settings
    async with AsyncExitStack() as stack:
        catalogue: MirrorCatalogue
        if settings.catalogue is None:
            catalogue = SqliteCatalogue(settings.storage.state_directory, read_only=True)
        else:
            access = Access(is_writing=False)
            catalogue = PostgresCatalogue(settings.catalogue, access, lambda _: None)
        await stack.enter_async_context(catalogue)
        summaries = await catalogue.summaries(None)
        records = [await catalogue.project(name) for name in sorted(summaries)]
        return [
            dict(await catalogue.followed()),
            dict(await catalogue.requirements(None)),
            dict(await catalogue.dependencies(None)),
            {name: (each.standing, each.serial) for name, each in summaries.items()},
            [
                each and (each.fingerprint, [one.file.path for one in each.files])
                for each in records
            ],
        ]


def _sentences(ran: Ran) -> list[str]:
    """Return the warnings and errors about requirements."""
    lines = (line.partition(": ")[2] for line in ran.log.splitlines())
    return sorted(each for each in lines if " needs " in each or "requirements" in each)


def _without_place(site: Site, text: str) -> str:
    return text.replace(str(site.home), "")


def _assert_same(several: Site, alone: Site) -> None:
    assert several.tree() == alone.tree()
    for left, right in zip(asyncio.run(_rows(several)), asyncio.run(_rows(alone)), strict=True):
        assert left == right
    for name in ("markupsafe", "werkzeug", "c", "blinker"):
        asked = [_without_place(site, site.ask("why", name).out) for site in (several, alone)]
        assert asked[0] == asked[1]
    assert several.status == alone.status
    several.check()


@pytest.mark.parametrize("how", [_by_workers, _by_processes])
def test_the_closure_is_that_of_a_single_process(
    index: Index,
    make_site: Callable[..., Site],
    shared_postgres: SharedPostgres,
    how: Callable[..., AbstractContextManager[Site]],
) -> None:
    publish(index)
    alone = make_site(processes=1)
    with how(make_site, shared_postgres) as several:

        def run(*flags: str) -> None:
            rans = []
            for site in (several, alone):
                site.clock.passed += 3_600
                rans.append(site.mirror(*flags))
            assert rans[0].code == rans[1].code, rans[0].log
            assert rans[0].synced == rans[1].synced, rans[0].log
            assert _sentences(rans[0]) == _sentences(rans[1])
            _assert_same(several, alone)

        several.configure(metrics_file=several.home / "m.prom")
        for site in (several, alone):
            _follow(site, "flask", "jupyter")
        run()
        metrics = (several.home / "m.prom").read_text()
        assert re.search(r"^bandersnatch_last_run_workers [12]", metrics, re.MULTILINE), metrics
        assert {"a", "b", "c", "colorama", "markupsafe"} <= set(several.names())
        assert len(several.filenames("werkzeug")) == 2
        change(index)
        run()
        assert "late" in several.names()
        for site in (several, alone):
            _follow(site, "flask")
        run("--max-removals", "10")
        assert several.names() == ["blinker", "flask", "late", "markupsafe", "old", "werkzeug"]
