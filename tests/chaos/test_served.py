"""Cases 166 and 167: clients of ``serve`` while runs change the tree, and hostile ones."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.clients import Clients, States
from tests.support.hostile import bombard
from tests.support.serving import serve_process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.case import Case
    from tests.support.index import Index

NAMES = [f"p{number:02}" for number in range(12)]


def change(index: Index, generate: random.Random, number: int) -> None:
    """Publish, yank and remove something of one project."""
    name = generate.choice(NAMES)
    versions = sorted({each.version for each in index.project(name).files.values()})
    match generate.randrange(5):
        case 0 if versions:
            index.yank(name, generate.choice(versions), f"reason {number}")
        case 1 if len(versions) > 3:
            files = [each for each in index.project(name).files if f"-{versions[0]}" in each]
            index.remove_file(name, files[0])
        case 2 if number % 7 == 0:
            index.remove_project(name)
        case _:
            index.release(name, f"2.{number}", sdist=True, size=generate.randrange(300, 60_000))


def ask_while_runs_change_the_tree(case: Case, seconds: float, least: int, seed: int) -> None:
    """Ask for ``seconds``, and for ``least`` runs, while the index changes."""
    generate = random.Random(seed)
    case.site.configure(simple_format="ALL")
    case.mirrored(*NAMES)
    states = States(case.site.web, NAMES)
    states.record()
    with serve_process(case.site.config) as url:
        clients, runs = Clients(url, NAMES, seed), 0
        until = time.monotonic() + seconds
        with clients.asking():
            while runs < least or time.monotonic() < until:
                runs += 1
                for number in range(generate.randint(1, 3)):
                    change(case.index, generate, 10 * runs + number)
                ran = case.site.mirror("--max-removals", "5")
                assert ran.code == 0, ran.log
                case.clock.advance(minutes=11)
                states.record()
    assert clients.judge(states) == []
    assert min(clients.pages, clients.files, clients.unchanged) > 10


def test_case_166_answers_belong_to_one_published_page(case: Case) -> None:
    ask_while_runs_change_the_tree(case, seconds=2, least=3, seed=1)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [2, 3])
def test_case_166_answers_belong_to_one_published_page_for_a_minute(case: Case, seed: int) -> None:
    ask_while_runs_change_the_tree(case, seconds=60, least=10, seed=seed)


@pytest.mark.nightly
async def test_case_167_ten_thousand_hostile_requests(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await bombard(tmp_path, 10_000, caplog, 2)
