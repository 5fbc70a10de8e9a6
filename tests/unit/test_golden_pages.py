"""What configurations make of real pages, once recorded, as packaging judges it.

Each case is checked twice: against ``packaging``, and against a line of ``golden.txt``, which
says how many files and versions are left and has a digest of their names. ``python -m
tests.unit.test_golden_pages`` writes these lines again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from bandersnatch.model.versions import version_key
from bandersnatch.simple.json_page import parse_detail_json
from tests.support.chains import chain_of, kept
from tests.support.factories import make_context
from tests.support.judges import (
    PAGES,
    PROJECTS,
    RecordedPage,
    ending,
    everything,
    final,
    in_ranges,
    installable,
    newest,
    not_yanked,
    one_after_another,
    recorded_page,
    requiring,
    uploaded_until,
    without_platforms,
)

if TYPE_CHECKING:
    from bandersnatch.model.project import ProjectDetail
    from tests.support.judges import Judge

THEN = datetime(2026, 11, 22, tzinfo=UTC)
"""When the pages were recorded, and when the filters by age run."""

GOLDEN = PAGES / "golden.txt"

RANGES = ("NumPy>=1.26,<2.1", "boto3~=1.40.0", "boto3==1.0.0", "cryptography>=42", "lxml!=5.*,>=4")
PINS = ("cryptography==45.0.0", "numpy>=2.4.0", "boto3==1.0.0")
"""One pins a yanked version; a range pins nothing."""


@dataclass(frozen=True)
class Case:
    """The text of a configuration, and the judge of what it makes of a page."""

    text: str
    judge: Judge


def listing(*lines: str) -> str:
    """Return lines as the value of an option."""
    return "".join(f"\n    {line}" for line in lines)


CASES = {
    "nothing": Case("", everything),
    "allowlist_release": Case(
        f"[plugins]\nenabled = allowlist_release\n[allowlist]\npackages ={listing(*RANGES)}\n",
        in_ranges(*RANGES),
    ),
    "latest_release": Case(
        "[plugins]\nenabled = latest_release\n[latest_release]\nkeep = 3\n", newest(3)
    ),
    "latest_of_each_minor": Case(
        "[plugins]\nenabled = latest_release\n[latest_release]\nkeep = 1\nkeep-per = minor\n",
        newest(1, series=2),
    ),
    "prerelease_release": Case("[plugins]\nenabled = prerelease_release\n", final),
    "exclude_platform": Case(
        "[plugins]\nenabled = exclude_platform\n[blocklist]\nplatforms = windows macos\n",
        without_platforms("win", "macosx"),
    ),
    "target_environments": Case(
        "[plugins]\nenabled = target_environments\n"
        "[environments]\nservers = python 3.11 3.12 3.13; linux x86_64 glibc 2.28\n",
        installable((11, 12, 13), 28),
    ),
    "release_age": Case(
        "[plugins]\nenabled = release_age\n[release_age]\nmin-age = 60 days\n",
        uploaded_until(THEN - timedelta(days=60)),
    ),
    "yanked_release": Case(
        f"[plugins]\nenabled = yanked_release\n[allowlist]\npackages ={listing(*PINS)}\n",
        not_yanked(*PINS),
    ),
    "version_range": Case(
        "[plugins]\nenabled = version_range_release_file_metadata\n"
        "[version_range_release_file_metadata]\nany:release_file.requires_python = 3.8.20\n",
        requiring("3.8.20"),
    ),
    "regex_packagetype": Case(
        "[plugins]\nenabled = regex_release_file_metadata\n"
        "[regex_release_file_metadata]\n"
        f"any:release_file.packagetype ={listing('sdist$', 'bdist_egg')}\n",
        ending(".tar.gz", ".zip", ".egg"),
    ),
    "everything": Case(
        f"""
[plugins]
enabled =
    latest_release
    prerelease_release
    allowlist_release
    yanked_release
    release_age
    version_range_release_file_metadata
    target_environments
    exclude_platform
    regex_release_file_metadata
[latest_release]
keep = 2
[allowlist]
packages ={listing(*RANGES)}
[release_age]
min-age = 60 days
[version_range_release_file_metadata]
any:release_file.requires_python = 3.12
[environments]
servers = python 3.11 3.12 3.13; linux x86_64 glibc 2.28
[blocklist]
platforms = py2 macos
[regex_release_file_metadata]
any:release_file.packagetype = bdist_wheel
""",
        one_after_another(
            ending(".whl"),
            without_platforms("macosx"),
            installable((11, 12, 13), 28),
            requiring("3.12"),
            uploaded_until(THEN - timedelta(days=60)),
            not_yanked(*RANGES),
            in_ranges(*RANGES),
            final,
            newest(2),
        ),
    ),
}


@cache
def recorded(project: str) -> RecordedPage:
    """Return the page as it was recorded."""
    return recorded_page(project)


@cache
def page_of(project: str) -> ProjectDetail:
    """Return the page as the program reads it."""
    context = replace(make_context(project), now=THEN)
    return parse_detail_json(recorded(project).text, context)


@cache
def left(case: str, project: str) -> tuple[str, ...]:
    """Return the names of the files that a configuration leaves of a page."""
    chain = chain_of(CASES[case].text, now=THEN)
    return tuple(kept(chain.apply(page_of(project))))


def summary(case: str, project: str) -> str:
    """Return the line about what a configuration leaves of a page."""
    names, page = left(case, project), page_of(project)
    stayed = frozenset(names)
    versions = {
        version_key(page.version_of(file)) for file in page.files if file.filename in stayed
    }
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    return f"{case} {project}: {len(names)} files, {len(versions)} versions, {digest}"


EVERY = [(case, project) for case in CASES for project in PROJECTS]


@pytest.mark.parametrize("project", PROJECTS)
def test_a_recorded_page_is_complete_and_names_no_host(project: str) -> None:
    page = page_of(project)
    assert page.rejected == ()
    assert {file.filename for file in page.files} == everything(recorded(project))
    assert {file.url.split("/")[2] for file in page.files} == {"files.example.org"}
    for file in recorded(project).files:
        listed = next(each for each in page.files if each.filename == file.name)
        assert version_key(page.version_of(listed)) == file.version


@pytest.mark.parametrize(("case", "project"), EVERY)
def test_the_result_for_a_real_page_agrees_with_packaging(case: str, project: str) -> None:
    assert frozenset(left(case, project)) == CASES[case].judge(recorded(project))


def test_of_a_real_page_stays_what_stayed_before() -> None:
    golden = GOLDEN.read_text(encoding="utf-8").splitlines()
    assert [summary(*each) for each in EVERY] == golden


@pytest.mark.parametrize(
    ("case", "kept_files", "dropped_files"),
    [
        (
            "allowlist_release",
            "numpy-1.26.0.tar.gz boto3-1.40.1.tar.gz lxml-4.9.1.tar.gz cryptography-42.0.0.tar.gz",
            "numpy-1.25.2.tar.gz boto3-1.41.0.tar.gz lxml-5.1.0.tar.gz cryptography-41.0.7.tar.gz",
        ),
        ("latest_release", "numpy-2.5.5.tar.gz", "numpy-2.4.2.tar.gz"),
        ("latest_of_each_minor", "numpy-1.26.4.tar.gz", "numpy-1.26.3.tar.gz"),
        (
            "prerelease_release",
            "numpy-2.4.0.tar.gz",
            "numpy-2.4.0rc1.tar.gz numpy-1.0.1.dev3460.win32-py2.4.exe",
        ),
        (
            "exclude_platform",
            "numpy-1.20.2.zip cryptography-42.0.0-cp39-abi3-musllinux_1_2_x86_64.whl",
            "numpy-1.6.2.win32-py2.7.exe lxml-2.2.7-py2.6-macosx-10.3-fat.egg",
        ),
        (
            "target_environments",
            "cryptography-42.0.0-cp39-abi3-manylinux_2_28_x86_64.whl numpy-1.20.2.zip",
            "cryptography-42.0.0-cp39-abi3-musllinux_1_2_x86_64.whl numpy-1.6.2.win32-py2.7.exe",
        ),
        ("yanked_release", "cryptography-45.0.0.tar.gz", "numpy-2.4.0.tar.gz"),
    ],
)
def test_some_files_by_name(case: str, kept_files: str, dropped_files: str) -> None:
    stayed = {name for project in PROJECTS for name in left(case, project)}
    there = {file.name for project in PROJECTS for file in recorded(project).files}
    assert set(kept_files.split()) <= stayed
    assert set(dropped_files.split()) <= there - stayed


if __name__ == "__main__":
    GOLDEN.write_text("".join(f"{summary(*each)}\n" for each in EVERY), encoding="utf-8")
