"""``max-rate``: downloads of a run are not faster, and none is given up for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


def test_all_files_of_a_run_share_the_rate(index: Index, make_site: Callable[..., Site]) -> None:
    for name in ("foo", "bar", "baz"):
        index.release(name, "1.0", size=200_000)
    site = make_site(max_rate="100 kB/s", download_workers=3)

    assert site.mirror().code == 0

    assert 6.0 <= site.clock.passed < 12.0
    site.check()


def test_a_rate_below_that_of_broken_servers_ends_no_download(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    index.release("foo", "1.0", size=200_000, metadata=False)
    site = make_site(max_rate="1 kB/s")

    assert site.mirror().code == 0

    assert site.clock.passed >= 200
    assert len(server.paths("file")) == 1


def test_a_server_that_is_slow_itself_is_still_given_up(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    index.release("foo", "1.0", size=3_000, metadata=False)
    site = make_site(max_rate="1 GB/s")
    server.fault("file", faults.trickle(100, lambda: site.clock.advance(seconds=10)))

    ran = site.mirror()

    assert ran.code == 4
    assert "fewer than 10000 bytes per second" in ran.log
