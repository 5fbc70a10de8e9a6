"""Case 113 and cases 168 to 178: faults of an object store that the mirror is in."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.chaos.index_events import change_projects, publish_projects
from tests.chaos.oracle import Oracle
from tests.chaos.tree import Disk
from tests.support.bucket_site import BucketSite
from tests.support.late_listing import late_listing, listed
from tests.support.store_proxy import Fault, Request, store_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.ceph import SharedCeph
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran, Site
    from tests.support.store_proxy import StoreProxy

_LARGE = 20 * 1024 * 1024
"""Bytes of a file that is uploaded in parts."""


class StoreCase:
    """A mirror of a few projects in a bucket, and the store's faults."""

    def __init__(
        self, index: Index, site: BucketSite, proxy: StoreProxy, make_site: Callable[..., Site]
    ) -> None:
        self.index = index
        self.site = site
        self.proxy = proxy
        self._make_site = make_site
        self._oracle = Oracle(index, lambda _: True)

    def publish(self) -> None:
        """Publish changes of all kinds after a first run."""
        publish_projects(self.index)
        assert self.site.mirror().code == 0
        change_projects(self.index)

    def run(self, *exits: int) -> Ran:
        """Run ``mirror`` against the faulty store, and judge what is stored then."""
        ran = self.site.mirror()
        assert ran.code in exits, ran.log
        assert "Traceback" not in ran.log
        if ran.code == 7:
            assert len(ran.errors()) == 1
            assert "storage failed at" in ran.log
        self.judge()
        return ran

    def judge(self) -> None:
        """Check that every stored page names what is stored and right."""
        self.site.fetch()
        if (self.site.web / "simple").exists():
            assert list(self._oracle.pages(Disk(self.site.root), at_rest=False)) == []

    def heals(self) -> None:
        """Check that a run without faults gives the tree of a clean mirror."""
        self.proxy.fault = lambda _: None
        self.proxy.listing = lambda _, answer: answer
        for _ in range(2):
            self.site.clock.passed += 3_600
            assert self.site.mirror().code in {0, 4}
        assert self.site.mirror().code == 0
        clean = self._make_site()
        assert clean.mirror().code == 0
        self.site.fetch()
        assert self.site.tree() == clean.tree()
        assert self.site.status == clean.status


@pytest.fixture
def proxy(shared_ceph: SharedCeph) -> Iterator[StoreProxy]:
    with store_proxy(shared_ceph.get().url) as running:
        yield running


@pytest.fixture
def case(
    tmp_path: Path,
    index: Index,
    server: IndexServer,
    shared_ceph: SharedCeph,
    proxy: StoreProxy,
    make_site: Callable[..., Site],
) -> StoreCase:
    site = BucketSite(tmp_path, server, shared_ceph.get(), url=proxy.url, timeout=5)
    return StoreCase(index, site, proxy, make_site)


def by_name(value: object) -> str | None:
    """Return the name of a fault, for the name of a test."""
    return value.name if isinstance(value, Fault) else None


def rarely(*values: object) -> list[object]:
    """Return parameters of which only the first is tested with every change."""
    first, *others = values
    return [first, *(pytest.param(each, marks=pytest.mark.nightly) for each in others)]


def once(fault: Fault) -> Callable[[Request], Fault | None]:
    """Return what lets the first attempt of each request fail."""
    seen: set[Request] = set()

    def decide(request: Request) -> Fault | None:
        if request in seen:
            return None
        seen.add(request)
        return fault

    return decide


def after(number: int, fault: Fault) -> Callable[[Request], Fault | None]:
    """Return what lets every request fail after the first ``number``."""
    requests = count()
    return lambda _: fault if next(requests) >= number else None


@pytest.mark.parametrize("fault", [Fault.INTERNAL_ERROR, Fault.ACCESS_DENIED], ids=by_name)
def test_case_113_a_listing_that_fails_is_never_an_empty_one(case: StoreCase, fault: Fault) -> None:
    case.publish()
    assert case.site.mirror().code == 0
    before = case.site.stored()
    case.site.configure_bucket(max_attempts=1)
    case.proxy.fault = lambda each: fault if "list-type" in each.query else None

    assert case.site.mirror("--rebuild").code == 7
    assert case.site.run("verify", "--delete").code == 7

    assert case.site.stored() == before
    case.heals()


@pytest.mark.parametrize(
    "fault", rarely(Fault.SLOW_DOWN, Fault.INTERNAL_ERROR, Fault.RESET), ids=by_name
)
def test_case_168_a_request_that_fails_once_is_repeated(case: StoreCase, fault: Fault) -> None:
    case.proxy.fault = once(fault)
    case.publish()

    case.run(0)

    case.heals()


@pytest.mark.parametrize("fault", rarely(Fault.RESET, Fault.SLOW_DOWN), ids=by_name)
def test_case_168_a_store_that_is_away_for_a_while_is_waited_for(
    case: StoreCase, fault: Fault
) -> None:
    case.publish()
    case.site.configure_bucket(max_attempts=10)
    requests = count()
    case.proxy.fault = lambda _: fault if 20 <= next(requests) < 28 else None

    case.run(0)

    assert next(requests) > 28
    case.heals()


@pytest.mark.parametrize("number", rarely(25, 0, 3, 12, 40))
@pytest.mark.parametrize(
    "fault", rarely(Fault.SLOW_DOWN, Fault.RESET, Fault.NO_BUCKET), ids=by_name
)
def test_case_169_a_store_that_fails_from_then_on_ends_the_run(
    case: StoreCase, fault: Fault, number: int
) -> None:
    case.publish()
    case.site.configure_bucket(max_attempts=1)
    case.proxy.fault = after(number, fault)

    case.run(7)

    case.heals()


def test_case_170_an_answer_that_is_lost_changes_nothing(case: StoreCase) -> None:
    case.proxy.fault = once(Fault.LOST_ANSWER)
    case.publish()
    case.index.release("large", "1.0", size=_LARGE)

    case.run(0)

    case.heals()


def test_case_171_an_incomplete_answer_is_never_taken_for_an_object(case: StoreCase) -> None:
    case.publish()
    case.proxy.fault = lambda each: Fault.TRUNCATED if each.method == "GET" else None
    case.site.configure_bucket(max_attempts=1)

    case.run(7)

    case.heals()


@pytest.mark.parametrize("method", rarely("PUT", "GET", "HEAD", "POST"))
def test_case_172_a_missing_permission_is_named(case: StoreCase, method: str) -> None:
    case.publish()

    def fault(request: Request) -> Fault | None:
        return Fault.ACCESS_DENIED if request.method == method else None

    case.proxy.fault = fault
    ran = case.run(7)

    assert f"the store does not permit {method} there" in ran.log
    case.heals()


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault.EXPIRED_TOKEN, "the credentials have expired (ExpiredToken); renew them"),
        (Fault.CLOCK_SKEW, "the clocks of this machine and of the store differ too much"),
    ],
    ids=by_name,
)
def test_case_173_credentials_that_are_refused_in_the_middle_of_a_run(
    case: StoreCase, fault: Fault, text: str
) -> None:
    case.publish()
    case.proxy.fault = after(15, fault)

    ran = case.run(7)

    assert text in ran.log
    case.heals()


@pytest.mark.parametrize("seed", rarely(*range(6)))
def test_case_174_a_kill_between_any_two_requests(case: StoreCase, seed: int) -> None:
    case.publish()
    case.index.release("large", "1.0", size=_LARGE)
    command = [sys.executable, "-m", "bandersnatch", "-c", str(case.site.config), "mirror"]
    draw = random.Random(seed)
    for _ in range(3):
        requests, limit = count(), draw.randrange(1, 45)
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

        def fault(_: Request) -> None:
            if next(requests) == limit:  # noqa: B023 - it is replaced before they change
                process.kill()  # noqa: B023

        case.proxy.fault = fault
        process.wait(120)
        case.judge()

    case.heals()


@pytest.mark.nightly
def test_case_175_a_store_that_hangs_ends_the_run(case: StoreCase) -> None:
    case.publish()
    case.site.configure_bucket(max_attempts=1)
    case.proxy.fault = after(10, Fault.HANG)

    case.run(7)

    case.heals()


def test_case_176_wrong_bytes_in_the_store_are_found_and_repaired(case: StoreCase) -> None:
    case.publish()
    assert case.site.mirror().code == 0
    for key in case.site.stored("web/packages"):
        found = case.site.attributes(key)
        case.site.store.put(key, case.site.read(key)[::-1], attributes=found)

    ran = case.site.run("verify")

    assert ran.code == 0
    case.heals()


@pytest.mark.parametrize("part", ["web/packages", "web/simple", "partNumber"])
def test_case_176_the_store_refuses_bytes_that_were_altered_on_the_way(
    case: StoreCase, part: str
) -> None:
    """The digest of the content is signed."""
    case.publish()
    case.index.release("large", "1.0", size=_LARGE)
    case.site.configure_bucket(max_attempts=1)

    def fault(request: Request) -> Fault | None:
        is_altered = request.method == "PUT" and part in f"{request.path}?{request.query}"
        return Fault.ALTERED if is_altered else None

    case.proxy.fault = fault
    case.run(7)

    case.heals()


@pytest.mark.parametrize("moment", [0, 3, 9])
def test_case_177_a_command_on_another_machine_that_ends_during_the_run(
    case: StoreCase, moment: int
) -> None:
    """It has moved the mark; ``moment`` is the number of objects that the run wrote before."""
    case.publish()
    before = case.site.read("status")
    writes = count()

    def move_the_mark(request: Request) -> None:
        if request.method == "PUT" and "/web/" in request.path and next(writes) == moment:
            case.site.store.put("web/.mirror", b"0123456789abcdef0123456789abcdef 1000\n")

    case.proxy.fault = move_the_mark
    ran = case.run(6)

    assert "a command on another machine, which has changed the mirror since" in ran.log
    assert case.site.read("status") == before
    case.heals()


class LateListings:
    """The listings of a mirror that was changed in several ways since its first run.

    ``draw`` makes some of their entries those of the first run, or of an empty bucket.
    """

    def __init__(self, case: StoreCase) -> None:
        self._case = case
        case.publish()
        self._earlier = [{}, listed(case.site.store, case.site.prefix)]
        case.site.clock.passed += 3_600
        for _ in range(2):  # the second one finds a project removed
            assert case.site.mirror().code == 0
            case.site.clock.passed += 3_600

    def draw(self, seed: int) -> None:
        """Let the listings of the next command be late."""
        dice = random.Random(seed)
        earlier, share = dice.choice(self._earlier), dice.choice([0.2, 0.5, 1.0])
        self._case.proxy.listing = late_listing(earlier, share, seed)


@pytest.mark.parametrize("seed", rarely(*range(8)))
@pytest.mark.parametrize("flags", [["--quick"], [], ["--delete"], ["--quick", "--delete"]])
def test_case_178_a_late_listing_is_no_damage(
    case: StoreCase, server: IndexServer, seed: int, flags: list[str]
) -> None:
    late = LateListings(case)
    before = {key: case.site.read(key) for key in case.site.stored()}
    server.forget()
    late.draw(seed)

    ran = case.site.run("verify", *flags)

    assert ran.code == 0, ran.log
    assert "Damage: 0 found" in ran.out
    assert "belongs to no project" not in ran.log
    assert [each.path for each in server.asked if each.kind in {"file", "sidecar"}] == []
    assert before == {key: case.site.read(key) for key in case.site.stored()}
    case.judge()


@pytest.mark.parametrize("seed", rarely(*range(8)))
def test_case_178_damage_is_found_whatever_a_late_listing_shows(case: StoreCase, seed: int) -> None:
    late = LateListings(case)
    whole = {key: case.site.read(key) for key in case.site.stored("web/packages")}
    dice = random.Random(seed)
    for key in dice.sample(sorted(whole), 2):
        case.site.store.delete(key)
    late.draw(seed)

    assert case.site.run("verify").code == 0

    assert {key: case.site.read(key) for key in case.site.stored("web/packages")} == whole
    case.heals()


@pytest.mark.parametrize("seed", rarely(*range(8)))
def test_case_178_a_catalogue_is_rebuilt_from_a_late_listing(case: StoreCase, seed: int) -> None:
    LateListings(case).draw(seed)
    case.index.release("stays", "2.0")

    assert case.site.mirror("--rebuild").code in {0, 4}

    case.judge()
    case.heals()
