"""The page on filters: each of its examples is run as it stands there, and so is what it shows.

A fenced block of ``ini`` is an example, named by the heading above it. A block after a line that
is a path in backquotes and a colon is a file that the example reads. A block of ``console`` has
commands after ``$``, each with what it says: ``why`` all of it, the others some of the lines.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandersnatch.errors import TooManyRemovals
from bandersnatch.filters.interface import PageFilter, ProjectFilter
from bandersnatch.filters.registry import BUILT_IN, SECTIONS
from tests.support.index import Index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.server import IndexServer
    from tests.support.site import Site

    Publish = Callable[[Index], object]
    Tree = dict[str, list[str]]

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = DOCS / "how-to" / "filter.md"
REFUSED = "What is refused"

_HEADING = re.compile(r"#{2,3} (.+)")
_FILE = re.compile(r"`(/etc/bandersnatch/[^`]+)`:")
_COMMAND = "$ bandersnatch "


@dataclass
class Example:
    """What stands under one heading; paths are those of the page."""

    ini: str = ""
    files: dict[str, str] = field(default_factory=dict)
    shown: dict[str, list[str]] = field(default_factory=dict)


def _examples() -> dict[str, Example]:
    found: dict[str, Example] = {}
    lines = iter(PAGE.read_text(encoding="utf-8").splitlines())
    example, before = Example(), ""
    for line in lines:
        if heading := _HEADING.fullmatch(line):
            example = found.setdefault(heading[1], Example())
        elif line.startswith("```"):
            _take(example, line[3:], before, list(_block(lines)))
        before = line or before
    return {heading: each for heading, each in found.items() if each.ini or each.shown}


def _block(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == "```":
            return
        yield line


def _take(example: Example, kind: str, before: str, block: list[str]) -> None:
    path = _FILE.fullmatch(before)
    if path:
        example.files[path[1]] = "\n".join(block) + "\n"
    elif kind == "ini":
        assert not example.ini, "there are two examples under one heading"
        example.ini = "\n".join(block) + "\n"
    elif kind == "console":
        said: list[str] = []
        for line in block:
            if line.startswith(_COMMAND):
                said = example.shown[line.removeprefix(_COMMAND)] = []
            else:
                said.append(line)


EXAMPLES = _examples()


# ---------------------------------------------------------------- what the index has


def _platforms(index: Index) -> None:
    for tags in (
        "cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "cp314-cp314-manylinux_2_28_x86_64",
        "cp313-cp313-manylinux_2_34_x86_64",
        "cp310-cp310-manylinux_2_17_x86_64",
        "cp313-cp313-musllinux_1_2_x86_64",
        "cp313-cp313-win_amd64",
        "cp313-cp313-macosx_14_0_arm64",
        "cp27-cp27m-manylinux1_x86_64",
    ):
        index.upload("numpy", "2.3.5", f"numpy-2.3.5-{tags}.whl")
    index.upload("numpy", "2.3.5", "numpy-2.3.5.tar.gz")
    index.upload("docopt", "0.6.2", "docopt-0.6.2.tar.gz")
    index.upload("six", "1.17.0", "six-1.17.0-py2.py3-none-any.whl")
    index.upload("six", "1.17.0", "six-1.17.0.tar.gz")
    index.upload("six", "1.17.0", "six-1.17.0.win32.exe")


def _allowlist(index: Index) -> None:
    for name in ("django", "Types_Requests", "types-PyYAML", "NumPy", "pandas", "requests", "type"):
        index.release(name, "1.5")
    index.release("pandas", "2.3.3")


def _versions(index: Index) -> None:
    for version in ("4.2.26", "5.2", "5.2.8", "6.0rc1"):
        index.release("django", version)
    for version in ("2.31.0", "2.32.5"):
        index.release("requests", version)
    index.release("numpy", "1.26.4")


def _locks(index: Index) -> None:
    for name, versions in {
        "flask": ("3.0.3", "3.1.2"),
        "numpy": ("2.1.3", "2.3.5"),
        "django": ("3.2.25", "4.2.26", "5.2.8"),
        "psycopg": ("3.2.13", "3.3.0"),
        "urllib3": ("2.5.0",),
        "requests": ("2.32.5",),
    }.items():
        for version in versions:
            index.release(name, version)


def _releases(index: Index) -> None:
    for version in ("4.2", "5.0", "5.1", "5.2", "5.2.1", "6.0rc1"):
        index.release("django", version)
    for version in ("1.16", "1.17"):
        index.release("six", version)


def _ages(index: Index) -> None:
    for name in ("urllib3", "certifi", "idna"):
        index.release(name, "1.0")
        late = "2026-11-18T09:00:00.000000Z"
        index.release(name, "2.0", metadata=False, upload_time=late)
    index.release("urllib3", "2.6.0", upload_time="2026-11-20T09:00:00.000000Z")


def _frozen(index: Index) -> None:
    for version, day in {"1.0": "2026-10-30", "1.1": "2026-10-31", "1.2": "2026-11-01"}.items():
        index.release("idna", version, upload_time=f"{day}T23:59:59.000000Z")


def _sizes(index: Index) -> None:
    half = 11 * 1024**2
    for name in ("torch", "cupy"):
        for version in ("1.0", "2.0"):
            index.release(name, version, size=half)
    index.release("six", "1.17")
    index.release("attrs", "25.1")


def _status(index: Index) -> None:
    for version in ("1.0", "1.1a1", "1.1.dev3", "2.0", "2.0.post1"):
        index.release("attrs", version)
    index.release("attrs", "2.1", yanked="breaks pickling")
    for name in ("nose", "six"):
        index.release(name, "1.0")
    index.archive("nose")


def _blocked(index: Index) -> None:
    for name in ("tf-nightly", "tf", "reqeusts", "acme_telegram.bot", "robot"):
        index.release(name, "1.0")
    for version in ("5.4.1", "6.0", "6.0.3", "6.1.dev20261101"):
        index.release("PyYAML", version)


TOLD = {
    "django-cms": (["Programming Language :: Python :: 3.13", "Framework :: Django"], "BSD"),
    "django-gpl": (["Framework :: Django :: 5.2"], "GNU AGPL v3"),
    "flask": (["Framework :: Flask"], "BSD"),
    "bare": ([], "BSD"),
}
"""The classifiers and the licence of projects."""


class Documented(Index):
    """An index whose legacy documents tell classifiers and licences."""

    def legacy(self, name: str, *, files_at: str = "") -> str:
        """Return the legacy document with what this index states about its project."""
        document = json.loads(super().legacy(name, files_at=files_at))
        classifiers, licence = TOLD[name]
        document["info"] |= {"classifiers": classifiers, "license": licence}
        return json.dumps(document)


def _documented(index: Index) -> None:
    for name in TOLD:
        index.release(name, "1.0")
    index.upload("django-cms", "1.0", "django-cms-1.0.zip", requires_python=">=3.14")
    index.upload("django-cms", "1.0", "django-cms-1.0.tar.gz", requires_python=">=3.9,<4")
    index.upload("django-cms", "1.0", "django_cms-1.0-py3.9.egg")


def _wheels(name: str, *versions: str) -> list[str]:
    return [f"{name.replace('-', '_')}-{version}-py3-none-any.whl" for version in versions]


# ---------------------------------------------------------------- what a mirror then has

NUMPY = "numpy-2.3.5-cp313-cp313-"

CASES: dict[str, tuple[Publish, Tree]] = {
    "A small allowlist": (
        _allowlist,
        {
            "django": _wheels("django", "1.5"),
            "numpy": _wheels("numpy", "1.5"),
            "pandas": _wheels("pandas", "1.5", "2.3.3"),
            "types-pyyaml": _wheels("types-pyyaml", "1.5"),
            "types-requests": _wheels("types-requests", "1.5"),
        },
    ),
    "Some versions of them": (
        _versions,
        {
            "django": _wheels("django", "5.2", "5.2.8"),
            "numpy": _wheels("numpy", "1.26.4"),
            "requests": _wheels("requests", "2.31.0", "2.32.5"),
        },
    ),
    "Lock files and requirement files": (
        _locks,
        {
            "django": _wheels("django", "4.2.26"),
            "flask": _wheels("flask", "3.0.3"),
            "numpy": _wheels("numpy", "2.1.3"),
            "psycopg": _wheels("psycopg", "3.2.13"),
            "urllib3": _wheels("urllib3", "2.5.0"),
        },
    ),
    "By environments": (
        _platforms,
        {
            "docopt": ["docopt-0.6.2.tar.gz"],
            "numpy": [
                f"{NUMPY}macosx_14_0_arm64.whl",
                f"{NUMPY}manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                "numpy-2.3.5-cp314-cp314-manylinux_2_28_x86_64.whl",
            ],
            "six": ["six-1.17.0-py2.py3-none-any.whl"],
        },
    ),
    "By excluded platforms": (
        _platforms,
        {
            "docopt": ["docopt-0.6.2.tar.gz"],
            "numpy": [
                "numpy-2.3.5-cp310-cp310-manylinux_2_17_x86_64.whl",
                f"{NUMPY}manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                f"{NUMPY}manylinux_2_34_x86_64.whl",
                "numpy-2.3.5-cp314-cp314-manylinux_2_28_x86_64.whl",
                "numpy-2.3.5.tar.gz",
            ],
            "six": ["six-1.17.0-py2.py3-none-any.whl", "six-1.17.0.tar.gz"],
        },
    ),
    "The latest three releases": (
        _releases,
        {
            "django": _wheels("django", "5.1", "5.2", "5.2.1"),
            "six": _wheels("six", "1.16", "1.17"),
        },
    ),
    "Of each minor series": (
        _releases,
        {
            "django": _wheels("django", "4.2", "5.0", "5.1", "5.2.1"),
            "six": _wheels("six", "1.16", "1.17"),
        },
    ),
    "A cooldown": (
        _ages,
        {
            "certifi": _wheels("certifi", "1.0", "2.0"),
            "idna": _wheels("idna", "1.0"),
            "urllib3": _wheels("urllib3", "1.0", "2.6.0"),
        },
    ),
    "A fixed date": (_frozen, {"idna": _wheels("idna", "1.0", "1.1")}),
    "Size limits": (
        _sizes,
        {
            "attrs": _wheels("attrs", "25.1"),
            "six": _wheels("six", "1.17"),
            "torch": _wheels("torch", "1.0", "2.0"),
        },
    ),
    "Within an allowlist": (_sizes, {"six": _wheels("six", "1.17")}),
    "No pre-releases, yanked files or archived projects": (
        _status,
        {"attrs": _wheels("attrs", "1.0", "2.0", "2.0.post1"), "six": _wheels("six", "1.0")},
    ),
    "Classifiers and other metadata": (
        _documented,
        {"django-cms": ["django-cms-1.0.tar.gz", "django_cms-1.0-py3-none-any.whl"]},
    ),
    "Block projects or versions": (
        _blocked,
        {"pyyaml": _wheels("pyyaml", "6.0.3"), "tf": _wheels("tf", "1.0")},
    ),
}


def _whole(index: Index) -> Tree:
    return {
        name: sorted(file.filename for file in project.files.values())
        for name, project in sorted(index.projects.items())
    }


def _tree(site: Site) -> Tree:
    """Return what the pages list, after checking that it exists."""
    site.check()
    return {name: sorted(site.filenames(name)) for name in sorted(site.names())}


def _served(site: Site) -> list[str]:
    files = (path.name for path in (site.web / "packages").rglob("*") if path.is_file())
    return sorted(name for name in files if not name.endswith(".metadata"))


def _configure(site: Site, example: Example) -> None:
    """Put the example and its files where the page says, below the directory of the test."""
    base = site.config.read_text(encoding="utf-8")
    whole = example.ini.replace("/etc/", f"{site.home}/")
    site.config.write_text(f"{whole}\n{base}", encoding="utf-8")
    for path, text in example.files.items():
        place = site.home / path.removeprefix("/etc/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


def _check_shown(site: Site, shown: dict[str, list[str]]) -> None:
    for command, lines in shown.items():
        ran = site.ask(*command.split())
        assert ran.code == 0, (command, ran.log)
        said = ran.out.replace(f"{site.home}/", "/etc/").splitlines()
        found = said if command.startswith("why ") else [line for line in said if line in lines]
        assert found == lines, (command, said)


@pytest.fixture
def index() -> Index:
    """Return an index that has what every example asks for."""
    return Documented()


def test_every_example_of_the_page_is_run() -> None:
    assert sorted(EXAMPLES) == sorted([*CASES, REFUSED])


@pytest.mark.parametrize("name", CASES)
def test_an_example_has_the_documented_result(
    name: str, index: Index, server: IndexServer, site: Site
) -> None:
    publish, tree = CASES[name]
    publish(index)
    assert tree != _whole(index), "or else the example is not seen to drop anything"
    _configure(site, EXAMPLES[name])

    _check_shown(site, EXAMPLES[name].shown)
    checked = site.ask("config", "check")
    assert (checked.code, checked.log) == (0, "")
    plan = json.loads(site.ask("plan", "--json").out)
    ran = site.mirror()

    assert ran.code == 0
    assert _tree(site) == tree
    assert _served(site) == sorted(filename for files in tree.values() for filename in files)
    asked = bool(server.paths("legacy"))
    assert asked is ("metadata" in name), "the page says which filters read the documents"
    early = 2 if name == "A cooldown" else 0
    assert plan["download"]["files"] == len(_served(site)) + early


def test_what_came_of_age_is_listed_without_a_download(index: Index, site: Site) -> None:
    _ages(index)
    _configure(site, EXAMPLES["A cooldown"])
    site.mirror()
    site.clock.advance(days=5)

    ran = site.mirror()

    assert (ran.report["files"]["downloaded"], ran.report["files"]["restored"]) == (0, 2)
    assert _tree(site)["idna"] == _wheels("idna", "1.0", "2.0")


def test_the_mistakes_that_the_page_shows_are_refused(index: Index, site: Site) -> None:
    index.release("six", "1.0")
    _configure(site, EXAMPLES[REFUSED])
    (command,) = EXAMPLES[REFUSED].shown

    ran = site.ask(*command.split())

    assert (ran.code, site.mirror().code, site.root.exists()) == (2, 2, False)
    told = [line.replace(f"{site.home}/", "/etc/") for line in ran.errors()]
    shown = EXAMPLES[REFUSED].shown[command]
    assert len(told) == len(shown)
    for line, beginning in zip(told, shown, strict=True):
        assert f"ERROR: /etc/bandersnatch.conf: {beginning}" in line


def test_the_page_quotes_what_a_mass_removal_by_filters_says() -> None:
    assert f"\n{TooManyRemovals(60, 5, by_filters=60)}\n" in PAGE.read_text(encoding="utf-8")


def test_the_reference_has_every_section_and_option_of_filters() -> None:
    text = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
    parts = re.split(r"^#+ (.+)\n", text, flags=re.MULTILINE)
    told = dict(zip(parts[1::2], parts[2::2], strict=True))
    for section, options in SECTIONS.items():
        (heading,) = (each for each in told if f"`[{section}]`" in each)
        for option in options - {""}:
            assert f"`{option}`" in told[heading], (section, option)
    steps = dict(re.findall(r"^\| `(\w+)` \| (\d)", told["Filters"], re.MULTILINE))
    assert steps == {name: str(_step(built_in.load())) for name, built_in in BUILT_IN.items()}


def _step(filter_class: type[ProjectFilter | PageFilter]) -> int:
    return 2 + filter_class.stage if issubclass(filter_class, PageFilter) else 1
