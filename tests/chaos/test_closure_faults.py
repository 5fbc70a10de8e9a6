"""Cases 190 to 198: faults of dependencies, of those who need them, and of proofs."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.closure_seeds import NOT_METADATA, NOT_REQUIREMENTS, ClosureHistory
from tests.chaos.processes import PATIENCE, started
from tests.support.closures import LINUX, configuration, release
from tests.support.processes import start
from tests.support.site import Site

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.chaos.case import Case
    from tests.support.index import Index
    from tests.support.server import ReceivedRequest

SEEDS = 6
NIGHTLY_SEEDS = 1_500
PARTS = 10


def follow(case: Case, *allowed: str, **options: Any) -> None:
    """Mirror these projects with what they need; the oracle knows nothing of what that is."""
    case.site.filter(configuration(*allowed, environments=[LINUX], keep=None, **options))


def clean(case: Case) -> Site:
    """Return a mirror that was made now, with the same configuration."""
    home: Path = case.site.home / "neighbour" / "clean"
    home.mkdir()
    made = Site(home, case.server)
    made.clock, made.filters = case.site.clock, case.site.filters
    made.options = {**case.site.options, "directory": made.root}
    made.configure()
    assert made.mirror().code == 0
    return made


def bad(index: Index, name: str, text: bytes) -> None:
    index.upload(name, "1.0", f"{name}-1.0-py3-none-any.whl", metadata=text)


@pytest.mark.parametrize("text", NOT_METADATA, ids=range(len(NOT_METADATA)))
def test_case_190_core_metadata_that_cannot_be_read_is_named(case: Case, text: bytes) -> None:
    bad(case.index, "foo", text)
    release(case.index, "bar", "1.0", "baz")
    release(case.index, "baz", "1.0")
    follow(case, "foo", "bar", missing_dependencies="warn")

    ran = case.site.mirror()

    assert ran.code == 0, ran.log
    assert {"bar", "baz", "foo"} <= set(case.site.names())
    if b"\x00" not in text or text.startswith(b"\xff"):
        assert "the requirements of foo (foo-1.0-py3-none-any.whl) are not known" in ran.log
    proved = case.site.ask("prove", "foo")
    assert proved.code == 8
    assert "Traceback" not in ran.log + proved.log


def test_case_191_requirements_that_are_not_any_are_named_and_old_ones_are_read(
    case: Case,
) -> None:
    old = ["b (>=1.0)", "c>=1.*", "d>=1.0,", "e >='1.0'", "f>=0.9 <2"]
    release(case.index, "foo", "1.0", *old, *filter(None, NOT_REQUIREMENTS))
    for name in "bcdef":
        release(case.index, name, "1.0")
    follow(case, "foo", missing_dependencies="warn")

    ran = case.site.mirror()

    assert ran.code == 0, ran.log
    assert set("bcdef") <= set(case.site.names())
    assert "foo has a requirement that is not one: !!!" in ran.log
    assert "foo has a requirement that is not of PEP 508, read as meant: c>=1.*" in ran.log
    assert "Traceback" not in ran.log


@pytest.mark.timeout(300)
def test_case_192_a_file_with_100_000_requirements_is_named_and_not_followed(case: Case) -> None:
    release(case.index, "foo", "1.0", *(f"p{number}" for number in range(100_000)))
    release(case.index, "bar", "1.0", "baz", *(f"baz[e{n}]; extra == 'e{n}'" for n in range(5_000)))
    release(
        case.index,
        "baz",
        "1.0",
        *(f"baz[e{number + 1}]; extra == 'e{number}'" for number in range(5_000)),
    )
    follow(case, "foo", "bar", extras="all")

    ran = case.site.mirror()

    assert ran.code == 0, ran.log
    assert case.site.names() == ["bar", "baz", "foo"]
    assert "it has 100,000 requirements, more than 10,000" in ran.log


def test_case_193_what_the_index_lacks_is_named_until_it_is_there(case: Case) -> None:
    release(case.index, "foo", "1.0", "bar", "gone", "old>=2")
    release(case.index, "bar", "1.0")
    release(case.index, "old", "1.0")
    follow(case, "foo")
    for _ in range(2):
        ran = case.site.mirror()
        assert ran.code == 4
        assert "foo 1.0 (gone) needs gone, which the index does not have" in ran.log
        assert "foo 1.0 (old>=2) needs old, of which the index has no such version" in ran.log
    assert "bar" in case.site.names()

    release(case.index, "gone", "1.0")
    release(case.index, "old", "2.0")

    assert case.site.mirror().code == 0
    assert case.site.tree() == clean(case).tree()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_case_194_a_kill_before_what_is_needed_is_synced(case: Case) -> None:
    release(case.index, "foo", "1.0", "bar")
    release(case.index, "bar", "1.0", "baz")
    release(case.index, "baz", "1.0")
    follow(case, "foo")
    process: subprocess.Popen[str]

    def on_request(asked: ReceivedRequest) -> None:
        if "/bar/" in asked.path:
            kill(process.pid)

    case.server.on_request = on_request
    program = [sys.executable, "-m", "bandersnatch", "-c", str(case.site.config), "mirror"]
    process = start(program, new_session=True)
    process.communicate(timeout=PATIENCE)
    case.server.on_request = lambda _: None
    assert process.returncode == -signal.SIGKILL

    assert case.site.mirror().code == 0
    assert case.site.names() == ["bar", "baz", "foo"]
    assert case.site.tree() == clean(case).tree()


def test_case_195_a_dependant_leaves_while_the_run_is_killed(case: Case) -> None:
    release(case.index, "foo", "1.0", "both")
    release(case.index, "gone", "1.0", "both", "only")
    release(case.index, "only", "1.0", "last")
    for name in ("both", "last"):
        release(case.index, name, "1.0")
    follow(case, "foo", "gone")
    assert case.site.mirror().code == 0
    release(case.index, "foo", "2.0", "both")
    follow(case, "foo")

    with started(case, "mirror", at="file", do=kill) as process:
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL

    assert case.site.mirror().code == 0
    assert case.site.names() == ["both", "foo"]
    assert case.site.tree() == clean(case).tree()


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "damaged"])
def test_case_196_lost_or_damaged_core_metadata_is_not_believed(
    case: Case, *, is_lost: bool
) -> None:
    release(case.index, "foo", "1.0", "bar")
    release(case.index, "bar", "1.0")
    follow(case, "foo")
    assert case.site.mirror().code == 0
    (sidecar,) = (case.site.root / "web" / "packages").rglob("foo-1.0*.metadata")
    if is_lost:
        sidecar.unlink()
    else:
        sidecar.write_bytes(sidecar.read_bytes().replace(b"bar", b"baz"))
    release(case.index, "foo", "2.0", "bar")

    ran = case.site.mirror()

    assert ran.code == 0, ran.log
    assert case.site.names() == ["bar", "foo"]
    case.site.run("verify")
    assert case.site.mirror().code == 0
    assert case.site.ask("prove").code == 0


def test_case_197_a_ring_of_dependencies_ends(case: Case) -> None:
    names = [f"p{number}" for number in range(20)]
    for name, needed in zip(names, [*names[1:], names[0]], strict=True):
        release(case.index, name, "1.0", f"{needed}[e]", f"{name}[e]; extra == 'f'")
    follow(case, "p0")

    assert case.site.mirror().code == 0
    assert case.site.names() == sorted(names)
    assert case.site.ask("prove").code == 0
    assert "p19" in case.site.ask("closure", "--tree").out
    release(case.index, "p5", "2.0")
    assert case.site.mirror().code == 0


@pytest.mark.parametrize(("limit", "left"), [({"max_projects": 2}, 2), ({"depth": 1}, 2)])
def test_case_198_a_closure_beyond_a_limit_ends_with_the_number(
    case: Case, limit: dict[str, int], left: int
) -> None:
    for number in range(5):
        release(case.index, f"p{number}", "1.0", f"p{number + 1}")
    release(case.index, "p5", "1.0")
    follow(case, "p0", **limit)

    ran = case.site.mirror()

    assert ran.code == 5
    assert next(iter(limit)).replace("_", "-") in ran.log
    assert len(case.site.names()) == left
    follow(case, "p0")
    assert case.site.mirror().code == 0
    assert case.site.tree() == clean(case).tree()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_case_197_random_closures_end_and_recover(seed: int) -> None:
    ClosureHistory(seed).play()


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("part", range(PARTS))
def test_case_197_many_random_closures_end_and_recover(part: int) -> None:
    for seed in range(part, NIGHTLY_SEEDS, PARTS):
        ClosureHistory(seed).play()
