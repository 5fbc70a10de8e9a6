"""Metrics: the file of a run, the pages of a server, and the examples that use them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bandersnatch.config.schema import MetricsAccess, ServeSettings
from bandersnatch.state_word import RunEnd
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
    assert found["bandersnatch_last_run_downloaded_files"] == 2
    assert found["bandersnatch_last_run_exit_code"] == 0
    assert found["bandersnatch_serial"] == found["bandersnatch_index_serial"] == index.serial
    assert found["bandersnatch_lag_serials"] == 0
    assert found["bandersnatch_disk_free_bytes"] > 0
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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_no_fault(mirrored: Site) -> None:
    rules = str(DOCS / "examples/alerts.yml")
    assert subprocess.run(["promtool", "check", "rules", rules], check=False).returncode == 0
    text = (mirrored.home / "m.prom").read_bytes()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_totals_of_an_earlier_release_are_empty() -> None:
    end = RunEnd.parse("0 1 2")

    assert end is not None
    assert end.totals.projects == {}
