"""Packages with filters, installed in an environment of their own and run there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bandersnatch

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "filter-plugin"
OLDER = ROOT / "tests" / "data" / "plugins"

DECIDE = """
import json, sys
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.interface import ProjectFilter
from bandersnatch.filters.plugins.installed import provided
from bandersnatch.filters.options import FilterOptions
from tests.support.factories import make_detail, make_file

enabled, sections, sizes, document = json.load(sys.stdin)
found = provided(enabled)
made = [each.make(FilterOptions(sections=sections)) for each in found.providers]
projects = tuple(each for each in made if isinstance(each, ProjectFilter))
pages = tuple(each for each in made if not isinstance(each, ProjectFilter))
chain = FilterChain(projects, pages)
files = [make_file(name, size=size) for name, size in sizes.items()]
narrowed = chain.apply(make_detail(*files, versions=(), document=document))
told = {
    "from": {each.name: each.distribution for each in found.providers},
    "notes": [each.note for each in found.providers if each.note],
    "names": sorted(found.names),
    "selected": [name for name in ("foo", "acme-foo", "a-name") if chain.selects(name)],
    "files": [each.filename for each in narrowed.page.files] if narrowed.page else None,
    "dropped": {each.by: len(each.files) for each in narrowed.dropped},
}
json.dump(told, sys.stdout)
"""
"""Makes filters in the environment, asks them about names and a page, and prints what they say."""

FILES = {
    "foo-1.0.tar.gz": 10,
    "foo-2.0.dev1.tar.gz": 10,
    "foo-2.0.dev2.tar.gz": 10,
    "foo-2.0-py3-none-any.whl": 99,
    "foo-2.0.tar.gz": 10,
}
DOCUMENT = {"info": {"name": "foo", "version": "2.0", "license": "MIT"}, "releases": {}}


class Scratch:
    """An environment that has what the tests have, and the packages with filters."""

    def __init__(self, home: Path) -> None:
        self.home = home / "venv"
        venv.create(self.home, symlinks=os.name != "nt")
        self.python = self.home / ("Scripts" if os.name == "nt" else "bin") / "python"
        places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        lines = [f"import site; site.addsitedir({place!r})" for place in sorted(places)]
        purelib = self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
        Path(purelib.strip(), "tests.pth").write_text("\n".join(lines))
        self.install(*(shutil.copytree(each, home / each.name) for each in packages()))

    def install(self, *sources: Path) -> None:
        """Install packages from their sources; what builds them is there already."""
        uv = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-cache", "--quiet"]
        options = ["--no-deps", "--no-build-isolation", "--python", str(self.python)]
        subprocess.run(
            [*uv, *options, *map(str, sources)],
            check=True,
            env=os.environ | {"UV_NO_CONFIG": "1"},
            timeout=300,
        )

    def run(self, *arguments: str, told: object = None) -> str:
        """Run Python, where the packages' sources are, and return what it prints."""
        done = self.start(*arguments, told=told)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *arguments: str, told: object = None) -> subprocess.CompletedProcess[str]:
        """Run Python, and return what it came to."""
        places = [str(Path(bandersnatch.__file__).parent.parent), str(ROOT)]
        return subprocess.run(
            [str(self.python), "-W", "error", *arguments],
            check=False,
            input=json.dumps(told),
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
            cwd=self.home.parent,
            timeout=120,
        )

    def decide(
        self, *enabled: str, document: object = DOCUMENT, **sections: dict[str, str]
    ) -> dict[str, Any]:
        """Return what the filters say that are enabled, with the sections of their options."""
        told = self.run("-c", DECIDE, told=[list(enabled), sections, FILES, document])
        decided: dict[str, Any] = json.loads(told)
        return decided


def packages() -> list[Path]:
    return [EXAMPLE, *sorted(each for each in OLDER.iterdir() if each.is_dir())]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    return Scratch(tmp_path_factory.mktemp("plugins"))


def test_the_example_of_the_documentation_works(scratch: Scratch) -> None:
    told = scratch.decide(
        "name_prefix",
        "dev_releases",
        name_prefix={"prefixes": "\nacme-\nfoo"},
        dev_releases={"keep": "1"},
    )
    package = "example-filters 1.0"
    assert told["from"] == {"dev_releases": package, "name_prefix": package}
    assert told["selected"] == ["foo", "acme-foo"]
    assert told["files"] == [name for name in FILES if name != "foo-2.0.dev1.tar.gz"]
    assert told["dropped"] == {"dev_releases": 1}


def test_the_tests_of_the_example_pass(scratch: Scratch) -> None:
    # What else the environment has for pytest is set up in our own configuration.
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    assert "4 passed" in scratch.run("-m", "pytest", *options, EXAMPLE.name)


def test_the_documentation_shows_the_example_as_it_is() -> None:
    text = (ROOT / "docs" / "how-to" / "write-a-filter.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```(?:python|toml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    files = [*EXAMPLE.glob("*.py"), *EXAMPLE.glob("*.toml")]
    lines = {line for path in files for line in path.read_text(encoding="utf-8").splitlines()}
    assert len(shown) == 5
    for block in shown:
        assert set(block.splitlines()) <= lines


def test_a_project_filter_of_the_older_interface_works(scratch: Scratch) -> None:
    told = scratch.decide("length_project", length_project={"longest": "4"})
    assert told["from"] == {"length_project": "bandersnatch-filter-length 0.3"}
    assert told["selected"] == ["foo"]
    assert told["notes"] == []
    told = scratch.decide(
        "length_package", length_project={"longest": "4"}, allowlist={"packages": "a-name"}
    )
    assert told["selected"] == ["foo", "a-name"]
    assert told["notes"] == [
        "'length_package' in [plugins] enabled is now called 'length_project'; write that"
    ]


@pytest.mark.parametrize(
    ("licences", "document", "files"),
    [
        ("\nBSD\nMIT", DOCUMENT, list(FILES)),
        ("BSD", DOCUMENT, None),
        ("MIT", None, None),
    ],
)
def test_a_metadata_filter_of_the_older_interface_works(
    scratch: Scratch, licences: str, document: object, files: list[str] | None
) -> None:
    told = scratch.decide(
        "licence_project_metadata", licence={"licences": licences}, document=document
    )
    assert told["from"] == {"licence_project_metadata": "bandersnatch-filter-licence 0.3"}
    assert told["files"] == files
    assert told["dropped"] == ({} if files else {"licence_project_metadata": len(FILES)})


@pytest.mark.parametrize("document", [DOCUMENT, None])
def test_a_release_filter_of_the_older_interface_works(scratch: Scratch, document: object) -> None:
    told = scratch.decide("wheels_release", document=document)
    assert told["from"] == {"wheels_release": "bandersnatch-filter-wheels 0.3"}
    assert told["files"] == ["foo-2.0-py3-none-any.whl", "foo-2.0.tar.gz"]
    assert told["dropped"] == {"wheels_release": 3}


def test_a_release_file_filter_of_the_older_interface_works(scratch: Scratch) -> None:
    told = scratch.decide("size_release_file", size_release_file={"largest": "50"})
    assert told["from"] == {"size_release_file": "bandersnatch-filter-size 0.3"}
    assert told["files"] == [name for name in FILES if not name.endswith(".whl")]


def test_filters_of_both_interfaces_work_together(scratch: Scratch) -> None:
    told = scratch.decide(
        "dev_releases",
        "size_release_file",
        "wheels_release",
        "length_project",
        dev_releases={"keep": "0"},
        size_release_file={"largest": "50"},
        length_project={"longest": "4"},
    )
    assert told["selected"] == ["foo"]
    assert told["dropped"] == {"size_release_file": 1, "wheels_release": 3}
    assert told["files"] == ["foo-2.0.tar.gz"]


def test_a_name_that_is_misspelt_has_others_to_suggest(scratch: Scratch) -> None:
    told = scratch.decide("dev_release")
    assert told["from"] == {}
    assert told["names"] == [
        "dev_releases",
        "length_project",
        "licence_project_metadata",
        "name_prefix",
        "size_release_file",
        "wheels_release",
    ]


# ---------------------------------------------------------------- through the command line

EVERYTHING = """
    [plugins]
    enabled =
        name_prefix
        dev_releases
        length_project
        licence_project_metadata
        wheels_release
        size_release_file
        blocklist_project
    [name_prefix]
    prefixes = a
    [dev_releases]
    keep = 0
    [length_project]
    longest = 4
    [licence]
    licences = MIT
    [size_release_file]
    largest = 1000
    [blocklist]
    packages = a-no
"""


def test_a_mirror_applies_filters_of_both_interfaces_and_built_in_ones(
    scratch: Scratch, index: Index, server: IndexServer, site: Site
) -> None:
    index.info["license"] = "MIT"
    for name in ("a", "a-b", "a-no", "a-much-too-long", "b"):
        index.release(name, "1.0", sdist=True)
    index.release("a", "0.9", wheel=False, sdist=True)
    index.release("a", "1.1.dev1")
    index.release("a", "1.0.1", size=2000)
    site.filter(EVERYTHING)

    told = scratch.run("-m", "bandersnatch", "-c", str(site.config), "config", "check")
    assert "name_prefix: " in told
    assert "wheels_release: " in told
    told = scratch.run("-m", "bandersnatch", "-c", str(site.config), "mirror")

    assert "Projects: 2 synced" in told
    assert site.names() == ["a", "a-b"]
    assert site.filenames("a") == ["a-1.0-py3-none-any.whl", "a-1.0.tar.gz"]
    assert "/simple/b/" not in server.paths("detail")
    site.check()
    told = scratch.run("-m", "bandersnatch", "-c", str(site.config), "why", "a", "1.0.1")
    assert "a-1.0.1-py3-none-any.whl: dropped by size_release_file" in told


def test_a_filter_that_raises_fails_its_project(
    scratch: Scratch, index: Index, server: IndexServer, site: Site
) -> None:
    index.release("a", "1.0", metadata=False)
    server.speaks_json = server.has_legacy = False  # no source states a size
    site.filter("[plugins]\nenabled = size_release_file\n[size_release_file]\nlargest = 9")

    done = scratch.start("-m", "bandersnatch", "-c", str(site.config), "mirror")

    assert done.returncode == 4
    assert "a failed: the filter size_release_file failed: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (site.web / "simple/a").exists()
    assert not server.paths("file")


def test_a_filter_that_cannot_be_built_is_a_problem_of_the_configuration(
    scratch: Scratch, server: IndexServer, site: Site
) -> None:
    site.filter("[plugins]\nenabled =\n    dev_releases\n    wheels_relase\n    length_project")

    done = scratch.start("-m", "bandersnatch", "-c", str(site.config), "mirror")

    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if " ERROR: " in line]
    assert len(lines) == 3
    assert "'dev_releases' of example-filters 1.0" in done.stderr
    assert "did you mean 'wheels_release'?" in done.stderr
    assert "length_project" in done.stderr
    assert "Traceback" not in done.stderr
    assert not server.asked
