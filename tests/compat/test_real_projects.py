"""Resolutions of real projects are those of pip and uv.

``tests/data/real_projects.json.gz`` has the wheels of 173 projects of PyPI with the part of their
core metadata that resolvers read: a mirror of the projects in ``ROOTS`` with ``[closure]`` and the
two newest releases of each, for CPython 3.11 to 3.13 on Linux, Windows and macOS, in November 2026.
Each wheel is served with that metadata and without other content.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import tomllib
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from msgspec import structs
from packaging.pylock import Pylock
from packaging.requirements import Requirement as ParsedRequirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from bandersnatch.closure.library import Library
from bandersnatch.closure.lockfile import write_lock
from bandersnatch.closure.requirements import parse_metadata, parse_requirement
from bandersnatch.closure.resolver import Resolution, resolve
from bandersnatch.model.names import ProjectName
from bandersnatch.simple.entries import PageContext
from bandersnatch.simple.json_page import parse_detail_json
from tests.support.clock import FakeClock
from tests.support.closures import configuration, wheel
from tests.support.resolvers import (
    JSON,
    PLATFORMS,
    SERIES,
    UV,
    of_pip,
    of_uv,
    pins,
    run,
    target,
)
from tests.support.static_site import Reply, static_site

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.index import Index
    from tests.support.site import Site
    from tests.support.static_site import StaticSite

DATA = Path(__file__).parents[1] / "data" / "real_projects.json.gz"
ROOTS = (
    *("flask", "requests", "rich", "httpx[http2]", "fastapi[standard]", "pydantic", "pytest"),
    *("black[d]", "sphinx", "aiohttp[speedups]", "sqlalchemy[asyncio]", "celery[redis]"),
    *("virtualenv", "tox", "mkdocs", "ipython", "django", "click", "twine", "build"),
    "uvicorn[standard]",
)
FEW = ("flask", "requests", "httpx[http2]")

pytestmark = pytest.mark.skipif(
    SERIES not in {"3.11", "3.12", "3.13"}, reason=f"nothing is recorded for Python {SERIES}"
)


class Recorded(NamedTuple):
    """A recorded wheel."""

    name: str
    version: str
    filename: str
    requires_python: str | None
    is_yanked: bool
    metadata: bytes

    def content(self) -> bytes:
        """Return a wheel that can be installed and has this core metadata."""
        return wheel(self.name, self.version, self.metadata)


def recorded() -> Iterator[Recorded]:
    document: dict[str, Any] = json.loads(gzip.decompress(DATA.read_bytes()))
    texts = [text.encode() for text in document["metadata"]]
    for name, files in document["projects"].items():
        for filename, requires_python, is_yanked, number in files:
            version = str(parse_wheel_filename(filename)[1])
            text = texts[number]
            yield Recorded(name, version, filename, requires_python, is_yanked, text)


@pytest.fixture(scope="module")
def real() -> Iterator[StaticSite]:
    """Return an index of the recorded projects."""
    with static_site() as site:
        pages: dict[str, list[dict[str, object]]] = {}
        for each in recorded():
            content = each.content()
            path = f"/files/{each.filename}"
            site.replies[path] = Reply(content, "application/octet-stream")
            site.replies[f"{path}.metadata"] = Reply(each.metadata, "application/octet-stream")
            pages.setdefault(each.name, []).append(
                {
                    "filename": each.filename,
                    "url": f"{site.url}{path}",
                    "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
                    "requires-python": each.requires_python,
                    "yanked": each.is_yanked,
                    "core-metadata": {"sha256": hashlib.sha256(each.metadata).hexdigest()},
                }
            )
        for name, files in pages.items():
            page = {"meta": {"api-version": "1.0"}, "name": name, "files": files}
            site.replies[f"/simple/{name}/"] = Reply(json.dumps(page).encode(), JSON)
        yield site


@pytest.fixture(scope="module")
def library(real: StaticSite) -> Library:
    """Return the same index as the resolver sees it."""
    found = Library()
    for path, reply in real.replies.items():
        if path.startswith("/simple/"):
            name = ProjectName(path.split("/")[2])
            context = PageContext(name, f"{real.url}{path}", FakeClock().now())
            page = found.pages[name] = parse_detail_json(reply.body, context)
            for file in page.files:
                stated = parse_metadata(real.replies[f"/files/{file.filename}.metadata"].body)
                found.metadata[file.path] = stated
                assert not isinstance(stated, str)
                for text in stated.requires:
                    needed = ProjectName(canonicalize_name(ParsedRequirement(text).name))
                    found.pages.setdefault(needed, None)
    return found


def ours(asked: Sequence[str], library: Library, platform: str) -> Resolution:
    requirements = [found for each in asked if (found := parse_requirement(each)) is not None]
    return resolve(requirements, library, target(PLATFORMS[platform]))


def on_this_machine(asked: Sequence[str], library: Library) -> dict[str, str] | None:
    """Return the pins for the patch level of this Python, which a target does not decide."""
    found = target(PLATFORMS["x86_64-manylinux_2_28"])
    variables = {**dict(found.variables), "python_full_version": (python_version(),)}
    here = structs.replace(found, name="this machine", variables=tuple(sorted(variables.items())))
    requirements = [each for text in asked if (each := parse_requirement(text)) is not None]
    return pins(resolve(requirements, library, here))


def together(library: Library, platform: str) -> list[str]:
    """Return the projects that can be installed together; some need a newer Python."""
    found: list[str] = []
    for root in ROOTS:
        if not ours([*found, root], library, platform).conflicts:
            found.append(root)
    return found


def normalised(found: dict[str, str] | None) -> dict[str, str] | None:
    return None if found is None else {canonicalize_name(n): v for n, v in found.items()}


def compare_with_uv(
    asked: Sequence[str], real: StaticSite, library: Library, platform: str
) -> dict[str, str] | None:
    mine = pins(ours(asked, library, platform))

    assert mine == normalised(of_uv(asked, real, platform))

    return mine


@pytest.mark.timeout(300)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_projects_together_are_pinned_as_by_uv(
    real: StaticSite, library: Library, platform: str
) -> None:
    asked = together(library, platform)
    assert len(asked) > 15

    assert compare_with_uv(asked, real, library, platform) is not None


@pytest.mark.timeout(300)
def test_some_projects_are_pinned_as_by_pip(
    real: StaticSite, library: Library, tmp_path: Path
) -> None:
    mine = on_this_machine(FEW, library)

    assert mine == normalised(of_pip(FEW, real, tmp_path))


@pytest.mark.timeout(300)
def test_a_contradiction_is_one_for_uv_too(real: StaticSite, library: Library) -> None:
    asked = ("flask", "werkzeug<1")

    assert compare_with_uv(asked, real, library, "x86_64-manylinux_2_28") is None


def installed(real: StaticSite, texts: Sequence[str], home: Path) -> tuple[str, ...]:
    """Install pins without their dependencies, and return how to name that environment."""
    made = run([*UV, "venv", "-q", "--no-config", "--python", sys.executable, str(home)])
    assert made.returncode == 0, made.stderr
    where = ("--python", str(home / "bin" / "python"))
    index = ("--no-config", "--no-cache", "--default-index", f"{real.url}/simple/")
    ran = run([*UV, "pip", "install", "-q", "--no-deps", *index, *where, *texts])
    assert ran.returncode == 0, ran.stderr
    return where


@pytest.mark.timeout(300)
def test_the_pins_can_be_installed_without_their_dependencies(
    real: StaticSite, library: Library, tmp_path: Path
) -> None:
    mine = pins(ours(FEW, library, "x86_64-manylinux_2_28"))
    assert mine is not None

    where = installed(real, [f"{name}=={each}" for name, each in mine.items()], tmp_path / "venv")

    checked = run([*UV, "pip", "check", "--no-config", *where])
    assert checked.returncode == 0, checked.stderr
    by_pip = run([sys.executable, "-m", "pip", "--python", where[1], "check"])
    assert by_pip.returncode == 0, by_pip.stdout


def test_the_lock_file_is_one(library: Library) -> None:
    resolutions = [ours(together(library, each), library, each) for each in PLATFORMS]

    document = tomllib.loads(write_lock(resolutions, lambda file: file.url))

    lock = Pylock.from_dict(document)
    lock.validate()
    assert {str(each.name) for each in lock.packages} == {
        name for each in resolutions for name in each.pins
    }


# ---------------------------------------------------------------- each project


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("root", ROOTS)
def test_each_project_is_pinned_as_by_uv_and_pip(
    real: StaticSite, library: Library, tmp_path: Path, root: str
) -> None:
    for platform in PLATFORMS:
        compare_with_uv([root], real, library, platform)
    mine = on_this_machine([root], library)
    assert mine == normalised(of_pip([root], real, tmp_path))
    if mine is None:
        return
    where = installed(real, [f"{name}=={each}" for name, each in mine.items()], tmp_path / "venv")
    assert run([*UV, "pip", "check", "--no-config", *where]).returncode == 0
    for name in mine:
        if name != canonicalize_name(root.partition("[")[0]):
            asked = [root, f"{name}<0.0.1"]
            assert compare_with_uv(asked, real, library, "x86_64-pc-windows-msvc") is None


@pytest.mark.nightly
@pytest.mark.timeout(1_200)
def test_the_command_finds_the_same(
    index: Index, site: Site, library: Library, tmp_path: Path
) -> None:
    for each in recorded():
        index.upload(
            *(each.name, each.version, each.filename),
            content=each.content(),
            metadata=each.metadata,
            requires_python=each.requires_python,
            yanked=each.is_yanked,
        )
    here = f"python {SERIES}; linux x86_64 glibc 2.28"
    there = f"python {SERIES}; windows amd64"
    site.filter(
        configuration(*ROOTS, environments=[here, there], keep=None, missing_dependencies="warn")
    )
    assert site.mirror().code == 0

    proofs = json.loads(site.ask("prove", "--each", "--json").out)["proofs"]

    assert len(proofs) == 2 * len(ROOTS)
    for proof in proofs:
        name = "x86_64-manylinux_2_28" if "linux" in proof["target"] else "x86_64-pc-windows-msvc"
        mine = pins(ours([proof["question"]], library, name))
        assert proof["result"] == ("failed" if mine is None else "passed")
        assert proof["pins"] == (mine or {})
    lock = tmp_path / "pylock.toml"
    flags = ("--write-lock", str(lock), "--index", "https://pypi.example.org")
    assert site.ask("prove", *FEW, *flags).code == 0
    Pylock.from_dict(tomllib.loads(lock.read_text())).validate()
    assert site.ask("prove", "-r", str(lock)).code == 0
