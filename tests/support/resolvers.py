"""What pip and uv resolve, and what this program does, as pins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from bandersnatch.closure.targets import Target, targets_of
from bandersnatch.model.wheels import Environment, Linux, Pythons, Tagged, macos

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bandersnatch.closure.resolver import Resolution
    from tests.support.static_site import StaticSite

UV = (sys.executable, "-m", "uv")
SERIES = f"{sys.version_info[0]}.{sys.version_info[1]}"
JSON = "application/vnd.pypi.simple.v1+json"
LINUX = Linux("x86_64", "glibc", (2, 28))
PLATFORMS: dict[str, Linux | Tagged] = {
    "x86_64-manylinux_2_28": LINUX,
    "x86_64-pc-windows-msvc": Tagged("tag win_amd64", frozenset({"win_amd64"})),
    "aarch64-apple-darwin": macos("arm64", (13, 0)),
}
"""The platforms of ``uv pip compile``, and what they are here."""


def target(platform: Linux | Tagged) -> Target:
    (found,) = targets_of([Environment("e", (Pythons(f"=={SERIES}"),), (platform,))])
    return found


def pins(found: Resolution) -> dict[str, str] | None:
    if found.conflicts:
        return None
    assert not found.unknown
    assert not found.undecided
    return {name: str(each.version) for name, each in found.pins.items()}


def run(command: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=120, env=clean
    )


def of_uv(asked: Sequence[str], site: StaticSite, platform: str) -> dict[str, str] | None:
    ran = run(
        [
            *(*UV, "pip", "compile", "-", "--no-header", "--no-annotate", "--no-cache", "-q"),
            *("--no-config", "--default-index", f"{site.url}/simple/", "--no-python-downloads"),
            *("--python-version", SERIES, "--python-platform", platform, "--no-build"),
        ],
        "\n".join(asked),
    )
    if ran.returncode:
        assert "No solution found" in ran.stderr, ran.stderr
        return None
    pairs = (line.split("==") for line in ran.stdout.splitlines() if "==" in line)
    return dict(pairs)


def of_pip(asked: Sequence[str], site: StaticSite, home: Path) -> dict[str, str] | None:
    report = home / "report.json"
    ran = run(
        [
            *(sys.executable, "-m", "pip", "--isolated", "install", "--dry-run", "--no-cache-dir"),
            *("--ignore-installed", "--quiet", "--disable-pip-version-check", "--report"),
            *(str(report), "--index-url", f"{site.url}/simple/", *asked),
        ]
    )
    if ran.returncode:
        is_conflict = "ResolutionImpossible" in ran.stderr or "No matching" in ran.stderr
        assert is_conflict, ran.stderr
        return None
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {each["metadata"]["name"].lower(): each["metadata"]["version"] for each in found}
