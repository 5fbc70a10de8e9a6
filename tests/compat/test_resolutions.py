"""Resolutions are those of pip and uv, on generated indexes: ``RESOLUTIONS`` says how many."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement as ParsedRequirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from bandersnatch.closure.library import Library
from bandersnatch.closure.requirements import parse_metadata, parse_requirement
from bandersnatch.closure.resolver import Resolution, resolve
from bandersnatch.model.names import ProjectName
from bandersnatch.model.wheels import Linux, Tagged
from bandersnatch.simple.entries import PageContext
from bandersnatch.simple.json_page import parse_detail_json
from tests.support.clock import FakeClock
from tests.support.closures import metadata, wheel
from tests.support.resolvers import (
    JSON,
    LINUX,
    PLATFORMS,
    SERIES,
    UV,
    of_pip,
    of_uv,
    pins,
    run,
    target,
)
from tests.support.static_site import Reply, StaticSite, static_site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bandersnatch.closure.targets import Target

# ---------------------------------------------------------------- generated indexes


@dataclass(frozen=True)
class Release:
    """A version with what its wheel says."""

    requires: tuple[str, ...] = ()
    requires_python: str | None = None
    yanked: bool = False


@dataclass(frozen=True)
class Graph:
    """An index of releases by project and version, and what is asked of it."""

    projects: Mapping[str, Mapping[str, Release]]
    asked: tuple[str, ...]


NAMES = [f"pkg-{letter}" for letter in "abcdef"]
EXTRAS = ("x", "y")
FINAL = ["1.0", "1.1", "2.0", "3.0"]
SPECIFIERS = ["", "", ">=1.1", "<2", "~=1.0", "==2.0", "!=3.0", ">=2,<3", "==1.*", ">=4"]
MARKERS = [
    *("", "", "", ""),
    "; sys_platform == 'linux'",
    "; sys_platform == 'win32'",
    "; python_version < '3.8'",
    "; python_version >= '3.8' and platform_system != 'Darwin'",
    "; extra == 'x'",
    "; extra == 'y' or extra == 'x'",
]


def requirements(*, pre: bool, markers: bool = True) -> st.SearchStrategy[str]:
    specifiers = [*SPECIFIERS, ">=2.1rc1", "==2.1rc1"] if pre else SPECIFIERS
    return st.builds(
        "{}{}{}{}".format,
        st.sampled_from(NAMES),
        st.sampled_from(["", "", "[x]", "[x,y]"]),
        st.sampled_from(specifiers),
        st.sampled_from(MARKERS) if markers else st.just(""),
    )


@st.composite
def graphs(draw: st.DrawFn, *, pre: bool) -> Graph:
    versions = [*FINAL, "2.1rc1"] if pre else [*FINAL, "2.0+local.1"]
    releases = st.builds(
        Release,
        st.lists(requirements(pre=pre), max_size=3).map(tuple),
        st.sampled_from([None, None, ">=3.8", "<3.8" if pre else ">=3.99"]),  # uv has no "<"
        st.sampled_from([False, False, False, True]),
    )
    projects = {
        name: draw(st.dictionaries(st.sampled_from(versions), releases, min_size=1, max_size=4))
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=3))
    }
    asked = st.lists(requirements(pre=pre, markers=False), min_size=1, max_size=3, unique=True)
    return Graph(projects, tuple(draw(asked)))


def publish(site: StaticSite, graph: Graph) -> None:
    """Serve an index; what was served before is gone."""
    site.replies.clear()
    for name, releases in graph.projects.items():
        files = []
        for version, each in releases.items():
            filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
            text = metadata(name, version, each.requires, extras=EXTRAS)
            if each.requires_python:
                line = f"Requires-Python: {each.requires_python}\n".encode()
                text = text.replace(b"\n\n", b"\n" + line + b"\n", 1)
            content = wheel(name, version, text)
            site.replies[f"/files/{filename}"] = Reply(content, "application/octet-stream")
            site.replies[f"/files/{filename}.metadata"] = Reply(text, "application/octet-stream")
            files.append(
                {
                    "filename": filename,
                    "url": f"{site.url}/files/{filename}",
                    "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
                    "requires-python": each.requires_python,
                    "yanked": each.yanked,
                    "core-metadata": {"sha256": hashlib.sha256(text).hexdigest()},
                }
            )
        page = {"meta": {"api-version": "1.0"}, "name": name, "files": files}
        site.replies[f"/simple/{name}/"] = Reply(json.dumps(page).encode(), JSON)


def library(site: StaticSite) -> Library:
    """Return the same index as the resolver sees it."""
    found = Library(pages=dict.fromkeys(map(ProjectName, NAMES)))
    for path, reply in site.replies.items():
        if path.startswith("/simple/"):
            name = ProjectName(path.split("/")[2])
            context = PageContext(name, f"{site.url}{path}", FakeClock().now())
            page = found.pages[name] = parse_detail_json(reply.body, context)
            for file in page.files:
                text = site.replies[f"/files/{file.filename}.metadata"].body
                found.metadata[file.path] = parse_metadata(text)
    return found


def ours(graph: Graph, site: StaticSite, where: Target) -> Resolution:
    asked = [found for each in graph.asked if (found := parse_requirement(each)) is not None]
    assert len(asked) == len(graph.asked)
    return resolve(asked, library(site), where)


# ---------------------------------------------------------------- the clients


@pytest.fixture(scope="module")
def site() -> Iterator[StaticSite]:
    with static_site() as running:
        yield running


# ---------------------------------------------------------------- the comparison


def check(graph: Graph, found: dict[str, str], platform: Linux | Tagged) -> None:
    """Check that pins satisfy everything that is asked of them; independent of the resolver."""
    system = "linux" if isinstance(platform, Linux) else "win32"
    names = {"linux": "Linux", "win32": "Windows"}
    if not isinstance(platform, Linux) and platform.words.startswith("macos"):
        system, names = "darwin", {"darwin": "Darwin"}
    environment = {
        "sys_platform": system,
        "platform_system": names[system],
        "python_version": SERIES,
    }
    queue = [(ParsedRequirement(each), "") for each in graph.asked]
    seen = set()
    while queue:
        asked, extra = queue.pop()
        if asked.marker is not None and not asked.marker.evaluate({**environment, "extra": extra}):
            continue
        version = found[asked.name]
        assert asked.specifier.contains(version, prereleases=True), (str(asked), version)
        for each in ("", *asked.extras):
            if (asked.name, each) not in seen:
                seen.add((asked.name, each))
                texts = graph.projects[asked.name][version].requires
                queue += [(ParsedRequirement(text), each) for text in texts]
    assert {name for name, _ in seen} == set(found)


def greedy(graph: Graph, where: dict[str, str]) -> bool:
    """Whether choosing the newest version of everything that is asked for meets no conflict."""
    return all(
        version == _newest(graph.projects[name], SpecifierSet()) for name, version in where.items()
    )


def _newest(releases: Mapping[str, Release], specifier: SpecifierSet) -> str | None:
    usable = [
        Version(version)
        for version, each in releases.items()
        if not each.yanked and each.requires_python not in {"<3.8", ">=3.99"}
    ]
    found = list(specifier.filter(usable))
    return str(max(found)) if found else None


COMPARED = settings(
    max_examples=int(os.environ.get("RESOLUTIONS", "24")),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(900)
@COMPARED
@given(graph=graphs(pre=False))
def test_the_answers_are_those_of_uv_for_each_platform(site: StaticSite, graph: Graph) -> None:
    publish(site, graph)
    for platform, here in PLATFORMS.items():
        mine = pins(ours(graph, site, target(here)))

        theirs = of_uv(graph.asked, site, platform)

        assert (mine is None) is (theirs is None)
        if mine is not None and theirs is not None:
            check(graph, mine, here)
            if greedy(graph, theirs):
                assert mine == theirs


@pytest.mark.timeout(900)
@COMPARED
@given(graph=graphs(pre=True))
def test_the_answers_are_those_of_pip_for_this_machine(
    site: StaticSite, graph: Graph, tmp_path_factory: pytest.TempPathFactory
) -> None:
    publish(site, graph)
    mine = pins(ours(graph, site, target(LINUX)))

    theirs = of_pip(graph.asked, site, tmp_path_factory.mktemp("pip"))

    assert (mine is None) is (theirs is None)
    if mine is not None and theirs is not None:
        check(graph, mine, LINUX)
        if greedy(graph, theirs):
            assert mine == theirs


@pytest.mark.timeout(600)
@settings(COMPARED, max_examples=10)
@given(graph=graphs(pre=False))
def test_clients_accept_what_is_found(
    site: StaticSite, graph: Graph, tmp_path_factory: pytest.TempPathFactory
) -> None:
    publish(site, graph)
    mine = pins(ours(graph, site, target(LINUX)))
    if mine is None:
        return
    home = tmp_path_factory.mktemp("uv") / "venv"
    made = run([*UV, "venv", "-q", "--no-config", "--python", sys.executable, str(home)])
    assert made.returncode == 0, made.stderr
    texts = [f"{name}=={version}" for name, version in mine.items()]
    where = ("--python", str(home / "bin" / "python"))
    index = ("--no-config", "--no-cache", "--default-index", f"{site.url}/simple/")
    installed = run([*UV, "pip", "install", "-q", "--no-deps", *index, *where, *texts])
    assert installed.returncode == 0, installed.stderr

    checked = run([*UV, "pip", "check", "--no-config", *where])

    assert checked.returncode == 0, checked.stderr
