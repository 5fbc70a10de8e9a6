"""Metrics: the file of a run, the pages of a server, and the examples that use them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from bandersnatch.config.schema import MetricsAccess, ServeSettings
from bandersnatch.index.port import Traffic
from bandersnatch.state_word import RunEnd, RunTotals
from tests.support.programs import require_program
from tests.support.serving import Client, serve_configuration, serving, write_tree

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.site import Site

DOCS = Path(__file__).parents[2] / "docs"
NAME = re.compile(r"\bbandersnatch_[a-z_]+")


def read(text: str) -> dict[str, float]:
    """Return the samples by name and the values of labels."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def metrics_of(site: Site) -> dict[str, float]:
    return read((site.home / "m.prom").read_text())


@pytest.fixture
def mirrored(index: Index, site: Site) -> Site:
    """Return a mirror of three projects, one of which failed."""
    index.release("foo", "1.0", size=700)
    index.release("bar", "1.0", size=300)
    site.configure(metrics_file=site.home / "m.prom")
    assert site.mirror().code == 0
    return site


def test_a_run_writes_what_it_did(mirrored: Site, index: Index) -> None:
    found = metrics_of(mirrored)

    assert found["bandersnatch_state current"] == 1
    assert found["bandersnatch_state failed"] == 0
    assert found["bandersnatch_running"] == 0
    assert found["bandersnatch_projects"] == 2
    assert found["bandersnatch_size_bytes"] == 1000
    assert found["bandersnatch_last_run_projects synced"] == 2
    assert found["bandersnatch_last_run_downloaded_files"] == 4  # two have core metadata
    assert found["bandersnatch_last_run_exit_code"] == 0
    assert found["bandersnatch_serial"] == found["bandersnatch_index_serial"] == index.serial
    assert found["bandersnatch_lag_serials"] == 0
    assert found["bandersnatch_lag_seconds"] == 0
    assert found["bandersnatch_disk_free_bytes ."] > 0
    host = mirrored.server.url.rpartition("/")[2]
    assert found[f"bandersnatch_last_run_requests {host} 200"] >= 6
    assert found["bandersnatch_last_run_retries"] == 0
    phases = {"plan", "sync", "remove", "sweep", "end"}
    assert all(f"bandersnatch_last_run_phase_duration_seconds {each}" in found for each in phases)
    assert found["bandersnatch_last_success_timestamp_seconds"] > 1_000_000_000
    assert (mirrored.home / "m.prom").stat().st_mode & 0o777 == 0o644


def test_the_next_run_replaces_them(mirrored: Site, index: Index) -> None:
    server = mirrored.server
    server.fault("/simple/new/", lambda _, answer: _set_status(answer))
    index.release("new", "1.0")

    assert mirrored.mirror().code == 4

    found = metrics_of(mirrored)
    assert found["bandersnatch_last_run_exit_code"] == 4
    assert found["bandersnatch_state partial"] == 1
    assert found["bandersnatch_last_run_projects failed"] == 1
    assert sum(v for k, v in found.items() if k.startswith("bandersnatch_pending_projects")) == 1
    assert sum(v for k, v in found.items() if k.startswith("bandersnatch_last_run_failures")) == 1
    assert found["bandersnatch_lag_serials"] > 0
    assert found["bandersnatch_last_run_retries"] > 0
    host = server.url.rpartition("/")[2]
    retried = found["bandersnatch_last_run_retries"] + 1
    assert found[f"bandersnatch_last_run_requests {host} 500"] == retried

    mirrored.clock.passed += 3_600
    mirrored.mirror()

    assert metrics_of(mirrored)["bandersnatch_lag_seconds"] >= 3_600


async def _set_status(answer: object) -> None:
    answer.status = 500  # type: ignore[attr-defined]


def test_a_run_without_an_index_says_so(mirrored: Site) -> None:
    mirrored.configure(master="http://127.0.0.1:1")

    assert mirrored.mirror().code == 3

    found = metrics_of(mirrored)
    assert found["bandersnatch_last_run_exit_code"] == 3
    assert found["bandersnatch_state failed"] == 1
    assert found["bandersnatch_projects"] == 2
    assert "bandersnatch_serial" not in found
    assert "bandersnatch_lag_seconds" not in found
    assert found["bandersnatch_last_run_requests 127.0.0.1:1 none"] > 0


def test_other_commands_write_them_and_a_dry_run_does_not(mirrored: Site) -> None:
    path = mirrored.home / "m.prom"
    for command in (["verify"], ["sync", "foo"]):
        path.unlink()
        mirrored.run(*command)
        assert metrics_of(mirrored)["bandersnatch_projects"] == 2
    path.unlink()

    mirrored.mirror("--dry-run")

    assert not path.exists()


@pytest.mark.parametrize("where", ["missing/m.prom", "mirror/status", "mirror"])
def test_a_file_that_cannot_be_written_is_a_warning(site: Site, index: Index, where: str) -> None:
    index.release("foo", "1.0")
    site.configure(metrics_file=site.home / where)

    ran = site.mirror()

    assert ran.code == 0
    assert "the metrics could not be written" in ran.log
    assert site.status > 0


# ---------------------------------------------------------------- serve


async def test_a_server_has_the_same_metrics(mirrored: Site) -> None:
    expected = metrics_of(mirrored)
    async with serving(serve_configuration(mirrored.root)) as client:
        await client.get("/simple/foo/")
        reply = await client.get("/metrics")
        head = await client.get("/metrics", method="HEAD")

    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert head.body == b""
    found = read(reply.body.decode())
    assert found["bandersnatch_served_requests_total project 200"] == 1
    assert found["bandersnatch_served_bytes_total"] > 0
    for name, value in expected.items():
        if not name.startswith(("bandersnatch_disk", "bandersnatch_state")):
            assert found[name] == value, name


async def test_metrics_are_for_this_machine_unless_allowed(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "catalogue.sqlite").unlink()
    async with serving(serve_configuration(tmp_path)) as client:
        assert (await client.get("/metrics")).status == 200
        for header in ("X_Forwarded_For", "Forwarded", "X_Real_IP"):
            assert (await client.get("/metrics", **{header: "192.0.2.1"})).status == 403
        assert (await client.get("/metrics", method="POST")).status == 405
    serve = ServeSettings(metrics=MetricsAccess.ALL)
    async with serving(serve_configuration(tmp_path, serve=serve)) as client:
        assert (await client.get("/metrics?x=1", X_Forwarded_For="192.0.2.1")).status == 200


async def test_a_server_answers_in_the_middle_of_a_run(mirrored: Site) -> None:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(mirrored.root)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert running.stdout is not None
    await running.stdout.readline()
    try:
        async with serving(serve_configuration(mirrored.root)) as client:
            found = read((await client.get("/metrics")).body.decode())
            health = await client.get("/health")
    finally:
        await running.communicate(b"")

    assert found["bandersnatch_running"] == 1
    assert found["bandersnatch_projects"] == 2
    assert json.loads(health.body)["running"] is True


HOLD = """
import asyncio, sys
from bandersnatch.catalogue.records import CatalogueUpdate, Marker
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.storage.filesystem import FilesystemStorage

async def hold():
    async with FilesystemStorage(sys.argv[1]), SqliteCatalogue(sys.argv[1]) as catalogue:
        await catalogue.commit(CatalogueUpdate(markers={Marker.LAST_RUN: "4000000000"}))
        print("ready", flush=True)
        sys.stdin.read()

asyncio.run(hold())
"""
"""A program that has a mirror open as a run has it, until standard input is closed."""


async def test_a_catalogue_that_is_damaged_knows_nothing(tmp_path: Path) -> None:
    write_tree(tmp_path)  # its catalogue is no database
    async with serving(serve_configuration(tmp_path)) as client:
        found = read((await client.get("/metrics")).body.decode())
        assert await _health(client) == (503, "never")

    assert found["bandersnatch_state never"] == 1
    assert "bandersnatch_serial" not in found


async def _health(client: Client) -> tuple[int, str]:
    reply = await client.get("/health")
    return reply.status, json.loads(reply.body)["state"]


async def test_health_is_the_word_of_the_state(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "catalogue.sqlite").unlink()
    async with serving(serve_configuration(tmp_path)) as client:
        assert await _health(client) == (503, "unknown")


async def test_health_of_a_mirror_whose_last_success_is_long_ago(mirrored: Site) -> None:
    async with serving(serve_configuration(mirrored.root)) as client:
        status, word = await _health(client)

    assert (status, word) in {(200, "current"), (503, "behind")}  # by the test's clock


# ---------------------------------------------------------------- documentation


def documented() -> set[str]:
    """Return the names in the reference."""
    text = (DOCS / "reference/metrics.md").read_text()
    return set(re.findall(r"^\| `(bandersnatch_\w+)`", text, re.MULTILINE))


async def test_the_reference_has_every_metric(mirrored: Site) -> None:
    async with serving(serve_configuration(mirrored.root)) as client:
        await client.get("/simple/foo/")
        text = (await client.get("/metrics")).body.decode()
    shown = {
        name.removesuffix("_created") for name in re.findall(r"^# HELP (\w+)", text, re.MULTILINE)
    }

    assert shown == documented()


def test_the_examples_use_metrics_that_exist() -> None:
    for example in ("alerts.yml", "grafana-dashboard.json"):
        text = (DOCS / "examples" / example).read_text()
        assert set(NAME.findall(text)) <= documented(), example
    json.loads((DOCS / "examples/grafana-dashboard.json").read_text())


def promtool(*arguments: str, text: str = "") -> str:
    """Return what promtool says about a text, "" if it finds no fault."""
    program = require_program("promtool", "apt-get install prometheus")
    command = [program, "check", *arguments]
    done = subprocess.run(command, input=text, capture_output=True, check=False, text=True)
    return done.stderr + done.stdout if done.returncode else ""


def test_promtool_finds_no_fault_in_metrics_rules_and_dashboard(mirrored: Site) -> None:
    assert promtool("rules", str(DOCS / "examples/alerts.yml")) == ""
    assert promtool("metrics", text=(mirrored.home / "m.prom").read_text()) == ""
    dashboard = json.loads((DOCS / "examples/grafana-dashboard.json").read_text())
    expressions = [each["expr"] for panel in dashboard["panels"] for each in panel["targets"]]
    rules = [{"record": "checked", "expr": f"({each}) * {n}"} for n, each in enumerate(expressions)]
    path = mirrored.home / "dashboard.yml"  # each YAML parser reads JSON
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert promtool("rules", str(path)) == ""


def test_the_totals_of_an_earlier_release_are_empty() -> None:
    end = RunEnd.parse("0 1 2")

    assert end is not None
    assert end.totals.projects == {}


counts = st.dictionaries(st.text(max_size=9), st.integers(0, 2**63 - 1), max_size=3)
totals = st.builds(
    RunTotals,
    projects=counts,
    failures=counts,
    requests=st.dictionaries(st.text(max_size=9), counts, max_size=3),
    phases=st.dictionaries(st.text(max_size=9), st.floats(0, 1e9), max_size=3),
    serial=st.none() | st.integers(0, 2**63 - 1),
)


@given(totals)
def test_the_end_of_a_run_is_stored_as_text(found: RunTotals) -> None:
    end = RunEnd(4, 5, 6, found)

    assert RunEnd.parse(str(end)) == end


@given(st.text() | st.from_regex(r"[0-9]{1,3} [0-9]{1,3} [0-9]{1,3} .*", fullmatch=True))
def test_any_text_is_the_end_of_a_run_or_none(text: str) -> None:
    end = RunEnd.parse(text)

    assert end is None or RunEnd.parse(str(end)) == end


@pytest.mark.parametrize(
    "totals",
    ['{"projects": {"synced": -1}}', '{"serial": 1e999}', '{"retries": 99999999999999999999}'],
)
def test_invalid_totals_are_no_end(totals: str) -> None:
    assert RunEnd.parse(f"0 1 2 {totals}") is None


def test_hosts_are_counted_up_to_a_number() -> None:
    traffic = Traffic()
    for number in range(Traffic.MOST_HOSTS + 5):
        traffic.count(f"{number}.example.org", "200")
    traffic.count("0.example.org", "200")

    assert len(traffic.requests) == Traffic.MOST_HOSTS + 1
    assert traffic.requests["other", "200"] == 5
    assert traffic.requests["0.example.org", "200"] == 2
