"""``status``: reports the state of a mirror without changing it, and checks limits."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bandersnatch.catalogue.records import CatalogueUpdate, Marker
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.config.schema import Settings, StorageSettings
from bandersnatch.filters.chain import FilterChain
from bandersnatch.mirror.mirror import Mirror
from bandersnatch.mirror.queries.status import mirror_status
from tests.support import faults
from tests.support.clock import FakeClock
from tests.support.disks import listing
from tests.support.fake_index import FakePackageIndex
from tests.support.index import Index
from tests.support.memory_catalogue import MemoryCatalogue
from tests.support.memory_storage import MemoryStorage
from tests.support.records import make_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bandersnatch.catalogue.records import ProjectSummary
    from bandersnatch.model.names import ProjectName
    from tests.support.server import IndexServer, ReceivedRequest
    from tests.support.site import Site


def status_of(site: Site, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Return the JSON output of ``status``."""
    ran = site.ask("status", "--json", *arguments)
    assert ran.code == code, ran.log
    status: dict[str, Any] = json.loads(ran.out)
    return status


# ---------------------------------------------------------------- contents


def test_a_mirror_that_never_ran_is_reported_and_not_created(index: Index, site: Site) -> None:
    index.release("foo", "1.0")

    status = status_of(site)

    assert status["serial"] == {"status": 0, "cursor": 0, "index": index.serial}
    assert status["projects"] == {"mirrored": 0, "expected": 0}
    assert status["last_success"] is None
    assert status["catalogue_complete"] is False
    assert "Behind:    everything that the index has" in site.ask("status").out
    assert not site.root.exists(), "nothing is written"


def test_a_current_mirror_is_not_behind(index: Index, site: Site) -> None:
    index.release("foo", "1.0", sdist=True, size=1000)
    index.release("bar", "1.0", size=400)
    site.mirror()
    site.clock.advance(minutes=5)

    status = status_of(site, "--max-lag", "0", "--max-age", "1 h")

    assert status["mirror"] == str(site.root)
    assert status["at"] == "2026-11-21T12:05:00+00:00"
    assert status["serial"]["status"] == status["serial"]["index"] == index.serial
    assert status["lag"] == {
        "serials": 0, "events": 0, "projects": 0, "seconds": 0, "counted": True,
    }  # fmt: skip
    assert status["lag_unknown"] is None
    assert status["catalogue_complete"] is True
    assert status["projects"] == {"mirrored": 2, "expected": 2}
    assert (status["files"], status["bytes"]) == (3, 2400)
    assert status["deferred"] == []
    assert status["last_success"] == {"at": "2026-11-21T12:00:00+00:00", "seconds_ago": 300}
    assert status["largest"] == [
        {"name": "foo", "files": 2, "bytes": 2000},
        {"name": "bar", "files": 1, "bytes": 400},
    ]
    assert status["exceeded"] == []


def test_the_lag_counts_changes_of_selected_projects(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.allow("foo", "bar", "new")
    site.mirror()
    before = index.serial
    index.release("foreign", "1.0")
    index.release("foo", "2.0", sdist=True)
    index.release("new", "1.0")
    site.clock.advance(hours=3)

    status = status_of(site)

    assert status["serial"] == {"status": before, "cursor": before, "index": index.serial}
    assert status["lag"] == {
        "serials": index.serial - before,
        "events": 4,
        "projects": 2,
        "seconds": 3 * 3600,
        "counted": True,
    }
    line = "Behind:    4 changes of 2 projects; the first was 3 hours ago"
    assert line in site.ask("status").out


def test_a_failing_project_is_reported_with_its_reason_and_time(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("good", "1.0")
    site.mirror()
    index.release("bad", "1.0")
    serial = index.serial
    server.fault("/simple/bad/", faults.status(403))
    site.clock.advance(minutes=10)
    site.mirror()
    index.release("good", "2.0")
    site.clock.advance(minutes=10)
    site.mirror()
    site.clock.advance(minutes=10)

    status = status_of(site)

    (left,) = status["deferred"]
    assert left["name"] == "bad"
    assert left["kind"] == "pending"
    assert left["serial"] == serial
    assert left["since"] == "2026-11-21T12:00:00+00:00", "when it happened on the index"
    assert left["tried"] == "2026-11-21T12:20:00+00:00"
    assert (left["attempts"], left["error"]) == (2, "refused")
    assert "status 403" in left["reason"]
    assert status["projects"] == {"mirrored": 1, "expected": 2}
    assert status["serial"]["status"] < serial
    assert status["serial"]["cursor"] == status["serial"]["index"] == index.serial
    assert status["lag"]["events"] == 0, "every event was read; the project that failed is named"
    assert status["last_success"]["at"] == "2026-11-21T12:00:00+00:00"
    out = site.ask("status").out
    assert "Not done: 1 project\n  bad: pending since 2026-11-21 12:00 UTC (30 minutes ago)" in out


def test_the_table_names_twenty_projects_and_json_all(
    index: Index, server: IndexServer, site: Site
) -> None:
    for number in range(25):
        index.release(f"p{number:02}", "1.0", metadata=False)
        server.fault(f"/simple/p{number:02}/", faults.status(403))
    index.release("good", "1.0")
    site.mirror()

    out = site.ask("status").out

    assert "Not done: 25 projects" in out
    assert "  p19: " in out
    assert "  p20: " not in out
    assert "  and 5 more; --json lists them all" in out
    assert len(status_of(site)["deferred"]) == 25


def test_the_trash_is_counted(index: Index, site: Site) -> None:
    index.release("foo", "1.0", size=700, metadata=False)
    index.release("bar", "1.0")
    index.release("baz", "1.0")
    site.mirror()
    index.remove_project("foo")
    site.mirror()

    removed = status_of(site)["removed"]

    trashed = [path for path in (site.root / "removed").rglob("*") if path.is_file()]
    assert removed["files"] == len(trashed) == 4, "three pages and a file"
    assert removed["bytes"] >= 700
    assert "Removed:   4 files, " in site.ask("status").out


def test_the_age_of_the_last_verification_is_reported(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    status = status_of(site)["verified"]
    assert status["complete"] is None
    assert status["oldest"] == {"at": "2026-11-21T12:00:00+00:00", "seconds_ago": 0}
    assert status["projects_never_read"] == 0

    async def verified_as_a_whole() -> None:
        async with SqliteCatalogue(str(site.root)) as catalogue:
            await catalogue.commit(
                CatalogueUpdate(markers={Marker.VERIFIED: str(int(site.clock.now().timestamp()))})
            )

    asyncio.run(verified_as_a_whole())
    site.clock.advance(days=3)
    assert status_of(site)["verified"]["complete"]["seconds_ago"] == 3 * 86_400
    assert "Verified:  2026-11-21 12:00 UTC (3 days ago), completely" in site.ask("status").out


def test_adopted_content_counts_as_never_read(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    (site.root / "catalogue.sqlite").unlink()
    assert status_of(site)["catalogue_complete"] is False
    assert "Catalogue: incomplete" in site.ask("status").out

    site.mirror()
    status = status_of(site)

    assert status["catalogue_complete"] is True
    assert status["verified"]["projects_never_read"] == 2
    assert status["verified"]["oldest"] is None
    assert "2 projects with content that was never read" in site.ask("status").out


def test_the_table_has_no_control_characters(index: Index, server: IndexServer, site: Site) -> None:
    index.release("bad", "1.0")
    text = b"\x1b[2J\nOK: https://user:secret@example.org/"
    server.fault("/simple/bad/", faults.body(text, "text/plain"))
    site.mirror()

    for ran in (site.ask("status"), site.ask("status", "--json")):
        assert "bad" in ran.out
        assert "\x1b" not in ran.out
        assert "secret" not in ran.out
        assert "\nOK" not in ran.out


# ---------------------------------------------------------------- an unknown lag


def test_an_unreachable_index_is_reported_and_not_a_failure(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    server.fault("xmlrpc", faults.status(503))

    status = status_of(site)

    assert status["lag"] is None
    assert "503" in status["lag_unknown"]
    assert status["serial"] == {"status": index.serial, "cursor": index.serial, "index": None}
    assert "Behind:    unknown: " in site.ask("status").out


def test_the_lag_is_unknown_without_a_changelog(
    index: Index, server: IndexServer, site: Site
) -> None:
    server.has_changelog = False
    index.release("foo", "1.0")
    site.mirror()

    assert "offers no changelog" in status_of(site)["lag_unknown"]
    ran = site.ask("status", "--max-lag", "1 d")
    assert ran.code == 3
    assert ran.out.startswith("Exceeded: how far the mirror is behind is unknown: ")


@pytest.mark.parametrize("how", ["simple", "offline"])
def test_offline_the_index_is_not_asked(
    index: Index, server: IndexServer, site: Site, how: str
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    if how == "simple":
        site.configure(api_method="simple")
    server.forget()

    status = status_of(site, *(["--offline"] if how == "offline" else []))

    assert server.asked == []
    assert status["lag"] is None
    assert status["lag_unknown"]
    assert status["projects"]["mirrored"] == 1


def test_the_lag_is_not_negative_if_the_serial_of_the_index_decreases(
    index: Index, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.serial -= 1
    index.journal.pop()

    assert status_of(site, "--max-lag", "0")["lag"]["serials"] == 0


def test_many_changes_are_counted_in_windows(index: Index, server: IndexServer, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    for number in range(3):
        index.serial += 60_000
        index.release("foo", f"2.{number}")
    server.forget()

    assert status_of(site)["lag"]["events"] == 3
    assert len(server.paths("xmlrpc")) > 3


def test_a_mirror_too_far_behind_is_counted_in_part(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("foo", "2.0")
    index.serial += 2_000_000
    index.release("foo", "3.0")
    site.clock.advance(days=20)
    server.forget()

    status = status_of(site)

    assert status["lag"]["counted"] is False
    assert status["lag"]["serials"] > 2_000_000
    assert status["lag"]["events"] == 1
    assert status["lag"]["seconds"] == 20 * 86_400
    assert len(server.paths("xmlrpc")) == 2
    assert "more than 1 change of 1 project" in site.ask("status").out
    assert site.ask("status", "--max-lag", "5").code == 8
    assert site.ask("status", "--max-lag", "5 d").code == 8


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        (["--max-lag", "2"], 8),
        (["--max-lag", "3"], 0),
        (["--max-lag", "119 min"], 8),
        (["--max-lag", "2 h"], 0),
        (["--max-lag=1d"], 0),
        (["--max-age", "119 min"], 8),
        (["--max-age", "2 hours"], 0),
        (["--max-age", "7199"], 8),
        (["--max-age", "2h", "--max-lag", "3"], 0),
        (["--max-age", "2h", "--max-lag", "1 h"], 8),
        (["--max-age", "1h", "--max-lag", "3"], 8),
        ([], 0),
    ],
)
def test_an_exceeded_limit_is_exit_status_8(
    index: Index, site: Site, limit: list[str], code: int
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    for number in range(3):
        index.upload("foo", "2.0", f"foo-2.0.{number}.tar.gz")
    site.clock.advance(hours=2)

    ran = site.ask("status", *limit)

    assert ran.code == code
    assert ran.out.startswith({0: "OK\n" if limit else "Mirror: ", 8: "Exceeded: "}[code])
    assert bool(status_of(site, *limit, code=code)["exceeded"]) == (code == 8)


@pytest.mark.parametrize("limit", [["--max-lag", "1 d"], ["--max-lag", "5"], ["--max-age", "1 d"]])
def test_a_mirror_that_never_ran_exceeds_every_limit(
    index: Index, site: Site, limit: list[str]
) -> None:
    index.release("foo", "1.0")
    assert site.ask("status", *limit).code == 8


def test_a_failing_project_exceeds_the_age_and_not_the_lag(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("good", "1.0")
    site.mirror()
    index.release("bad", "1.0")
    server.fault("/simple/bad/", faults.status(403))
    site.clock.advance(hours=5)
    site.mirror()

    assert site.ask("status").code == 0
    assert site.ask("status", "--max-lag", "1 h").code == 0
    assert site.ask("status", "--max-age", "1 h").code == 8


def test_a_run_with_refused_removals_is_not_a_success(index: Index, site: Site) -> None:
    for number in range(9):
        index.release(f"p{number}", "1.0")
    site.mirror()
    success = status_of(site)["last_success"]
    site.clock.advance(hours=1)
    for number in range(8):
        index.remove_project(f"p{number}")
    site.configure(max_removals=2)
    assert site.mirror().code == 5

    assert status_of(site)["last_success"]["at"] == success["at"]


def test_an_unreachable_index_takes_precedence_over_the_age(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    site.clock.advance(hours=2)
    server.fault("xmlrpc", faults.status(503))

    status = status_of(site, "--max-lag", "9", "--max-age", "1 h", code=3)

    assert len(status["exceeded"]) == 2


def test_quiet_prints_nothing_unless_a_limit_is_exceeded(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    site.clock.advance(hours=2)

    fine = site.ask("--quiet", "status", "--max-age", "3 h")
    assert (fine.code, fine.out, fine.log) == (0, "", "")

    late = site.ask("--quiet", "status", "--max-age", "1 h")
    assert (late.code, late.out) == (8, "")
    (line,) = late.errors()
    assert "the last successful run was 2 hours ago; the limit is 1 hour" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-lag", "soon"], "--max-lag 'soon' is not a time span like"),
        (["--max-lag", "1.5 changes"], "--max-lag '1.5 changes' is not a time span"),
        (["--max-age", ""], "--max-age '' is not a time span"),
        (["--max-age=-2h"], "--max-age '-2h' is not a time span"),
    ],
)
def test_an_invalid_limit_is_a_usage_error(
    server: IndexServer, site: Site, arguments: list[str], message: str
) -> None:
    ran = site.ask("status", *arguments)
    assert ran.code == 2
    assert message in ran.log
    assert server.asked == []


def test_max_lag_cannot_be_checked_offline(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        site.ask("status", "--offline", "--max-lag", "5")


def test_a_tree_of_a_newer_release_is_refused(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    (site.root / "generation").write_text("6")

    ran = site.ask("status")

    assert ran.code == 2
    assert "newer release" in ran.log


# ---------------------------------------------------------------- isolation


def test_status_changes_nothing(index: Index, server: IndexServer, site: Site) -> None:
    index.release("foo", "1.0")
    index.release("bad", "1.0")
    server.fault("/simple/bad/", faults.status(403))
    site.mirror()
    (site.root / ".lock").unlink()
    before = listing(site.root)

    assert site.ask("status", "--max-lag", "5").code == 0

    assert listing(site.root) == before


def test_status_works_while_a_run_is_in_progress(
    index: Index, server: IndexServer, site: Site
) -> None:
    """It takes no lock: a health check must not wait for hours."""
    index.release("foo", "1.0")
    site.mirror()
    index.release("foo", "2.0")
    index.release("bar", "1.0")
    command = [sys.executable, "-m", "bandersnatch", "-c", str(site.config)]
    answers: list[subprocess.CompletedProcess[str]] = []

    def ask(asked: ReceivedRequest) -> None:
        if asked.kind == "file" and not answers:
            answers.append(
                subprocess.run(
                    [*command, "status", "--offline", "--json"],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
            )

    server.on_request = ask
    assert site.mirror().code == 0

    (answer,) = answers
    assert answer.returncode == 0, answer.stderr
    status = json.loads(answer.stdout)
    assert status["projects"] == {"mirrored": 1, "expected": 2}
    assert status["last_success"] is not None


class FrugalCatalogue(MemoryCatalogue):
    """Refuses queries for everything that it has."""

    async def summaries(
        self, names: Iterable[ProjectName] | None, /
    ) -> dict[ProjectName, ProjectSummary]:
        assert names is not None, "a mirror may have 700,000 projects"
        return await super().summaries(names)


async def test_status_never_reads_the_whole_catalogue() -> None:
    clock = FakeClock()
    catalogue = FrugalCatalogue()
    await catalogue.commit(CatalogueUpdate(records=[make_record("foo", "1.zip")]))
    mirror = Mirror(
        index=FakePackageIndex(Index(), clock),
        storage=MemoryStorage(),
        catalogue=catalogue,
        clock=clock,
        events=lambda _: None,
        settings=Settings(StorageSettings("/nowhere")),
        filters=FilterChain(),
    )

    status = await mirror_status(mirror, offline=False)

    assert status.totals.projects == status.expected == 1
