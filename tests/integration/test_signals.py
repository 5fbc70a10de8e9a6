"""A signal to a real process and its group, at any moment, ends a run in order."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import default_signals, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.site import Site

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

GAPS = (0.0, 0.0005, 0.003, 0.02, 0.2)
"""Seconds between the signal to the process and that to its group."""


def command(site: Site) -> list[str]:
    """Return a command line that writes a report."""
    report = str(site.home / "report.json")
    options = ["-c", str(site.config), "mirror", "--report", report]
    return [sys.executable, "-m", "bandersnatch", *options]


def wait_for_handlers(process: subprocess.Popen[str]) -> None:
    """Wait until the program catches SIGTERM; before, the interpreter is not done starting."""
    bit = 1 << (signal.SIGTERM - 1)
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:") and int(line.split()[1], 16) & bit:
                return
        time.sleep(0.0005)


def interrupt(site: Site, number: signal.Signals, *, after: float, gap: float) -> tuple[int, str]:
    """Run ``mirror`` and send a signal to the process, then to its group; return code and log."""
    with start(command(site), new_session=True) as process:
        wait_for_handlers(process)
        time.sleep(after)
        for target in (process.pid, -process.pid):
            try:
                os.kill(target, number)
            except ProcessLookupError:
                break
            time.sleep(gap)
        try:
            _, log = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, log


def fill(index: Index) -> None:
    """Publish projects with small and large files."""
    for number in range(12):
        index.release(f"project-{number}", "1.0", size=3_000 if number % 3 else 1_500_000)


def change(index: Index) -> None:
    """Release and remove something."""
    for number in range(0, 12, 2):
        index.release(f"project-{number}", "2.0", size=200_000)
    index.remove_project("project-1")
    index.quarantine("project-3")


def judge(site: Site, code: int, log: str, number: signal.Signals) -> None:
    """Assert that a run was completed, or ended by the signal in order."""
    assert code in {0, CODES[number]}, (code, log)
    assert "Traceback" not in log
    assert "Exception ignored" not in log
    assert "bug" not in log
    if code and log:  # nothing is logged before a run has begun
        line = f"ERROR: interrupted by signal {int(number)}; the next run continues from here"
        assert log.count(line) == 1, log
        assert json.loads((site.home / "report.json").read_text())["exit_code"] == code
    if site.web.exists():
        site.check()
    partial = site.root / ".partial"
    assert not partial.exists() or not [each for each in site.leftovers() if each[0] == "t"]


def moments(count: int, seed: int) -> list[tuple[signal.Signals, float, float]]:
    """Return signals with a moment, as a part of the duration of a run, and a gap."""
    dice = random.Random(seed)
    kinds = [signal.SIGINT, *CODES]
    return [
        (dice.choice(kinds), (n + dice.random()) / count, dice.choice(GAPS)) for n in range(count)
    ]


def check_moments(index: Index, make_site: Callable[..., Site], count: int, seed: int) -> None:
    """Interrupt first runs and runs with changes at random moments, and complete them."""
    fill(index)
    clean, first = make_site(workers=2, download_workers=2), make_site()
    began = time.monotonic()
    subprocess.run(command(clean), check=True, capture_output=True, preexec_fn=default_signals)
    duration = 1.1 * (time.monotonic() - began)
    for number, part, gap in moments(count, seed):
        shutil.rmtree(first.root, ignore_errors=True)
        code, log = interrupt(first, number, after=part * duration, gap=gap)
        judge(first, code, log, number)
    change(index)
    for number, part, gap in moments(count, seed + 1):
        shutil.rmtree(first.root, ignore_errors=True)
        shutil.copytree(clean.root, first.root, symlinks=True)
        code, log = interrupt(first, number, after=part * duration, gap=gap)
        judge(first, code, log, number)
    for site in (clean, first):
        assert (
            subprocess.run(command(site), check=False, preexec_fn=default_signals).returncode == 0
        )
    assert first.tree() == clean.tree()
    assert first.leftovers() == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_signal_to_process_and_group_at_random_moments_ends_in_order(
    index: Index, make_site: Callable[..., Site]
) -> None:
    check_moments(index, make_site, 5, seed=20261130)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_signal_at_many_random_moments_ends_in_order(
    index: Index, make_site: Callable[..., Site], seed: int
) -> None:
    check_moments(index, make_site, 40, seed=seed)


@pytest.mark.parametrize("number", CODES, ids=lambda each: each.name)
@pytest.mark.skipif(shutil.which("timeout") is None, reason="needs timeout of GNU coreutils")
def test_timeout_ends_a_run_in_order(index: Index, site: Site, number: signal.Signals) -> None:
    """It signals the process, and then its group, in which the process is again."""
    index.release("foo", "1.0", size=2_000_000)
    site.server.on_request = lambda asked: time.sleep(3 if asked.kind == "file" else 0)
    with_limit = ["timeout", "--preserve-status", "-s", number.name, "2"]

    done = subprocess.run(
        [*with_limit, *command(site)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        start_new_session=True,
        preexec_fn=default_signals,
    )

    assert done.returncode == CODES[number]
    judge(site, done.returncode, done.stderr, number)
