"""Defects that the filters of earlier releases had: none of them is repeated.

docs/how-to/filter.md, "What is different from earlier releases", describes them for operators.
The unit tests have all other properties of these filters.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from bandersnatch.config.schema import IndexSettings, Settings, StorageSettings
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.interface import Stage
from bandersnatch.mirror.mirror import Mirror
from bandersnatch.mirror.preparation import RunOptions
from bandersnatch.mirror.project import FEW_FILES
from bandersnatch.mirror.run import MirrorRun
from bandersnatch.model.names import ProjectName
from tests.support.chains import PageRule, chain_of, kept
from tests.support.clock import FakeClock
from tests.support.factories import make_detail, make_file
from tests.support.fake_index import FakePackageIndex
from tests.support.index import Index
from tests.support.memory_catalogue import MemoryCatalogue
from tests.support.memory_storage import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable

    from bandersnatch.model.project import ProjectDetail
    from tests.support.server import IndexServer
    from tests.support.site import Site


def left(text: str, *filenames: str, **requires: str | None) -> list[str]:
    """Return what a configuration leaves of a page of ``foo``, in its order.

    ``requires`` are the Pythons that files require, by version with ``v`` before and ``_`` for
    dots; they have none otherwise.
    """
    files = []
    for name in filenames:
        version = name.split("-")[1].removesuffix(".tar.gz").replace(".", "_")
        files.append(make_file(name, requires_python=requires.get(f"v{version}")))
    return kept(chain_of(text).apply(make_detail(*files, versions=())))


def sdists(*versions: str) -> list[str]:
    """Return the names of source distributions of ``foo``."""
    return [f"foo-{version}.tar.gz" for version in versions]


def lines(*texts: str) -> str:
    """Return lines as the value of an option."""
    return "".join(f"\n    {text}" for text in texts)


# ---------------------------------------------------------------- failing open


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[plugins]\nenabled = allowlist_project\n[allowlist]\npackages =\n",
            "[allowlist] packages: allowlist_project is enabled and the list is empty",
        ),
        (
            "[plugins]\nenabled = allowlist_project\n[allowlist]\npackages =\n    # foo\n",
            "[allowlist] packages: allowlist_project is enabled and the list is empty",
        ),
        (
            "[plugins]\nenabled = allowlist_projects\n[allowlist]\npackages = foo\n",
            "there is no filter 'allowlist_projects'; did you mean 'allowlist_project'?",
        ),
        (
            "[plugins]\nenabled = allowlist_project, regex_project\n[allowlist]\npackages = foo\n",
            "[plugins] enabled: write one name on each line, without commas",
        ),
        (
            "[plugins]\nenabled = project_requirements\n[allowlist]\nrequirements = no-*.txt\n",
            "is named no-*.txt",
        ),
    ],
)
def test_d1_an_empty_list_or_an_unknown_name_is_refused_and_does_not_mean_the_whole_index(
    index: Index, server: IndexServer, site: Site, text: str, problem: str
) -> None:
    index.release("foo", "1.0")
    site.filter(text)
    ran = site.mirror()
    assert ran.code == 2
    assert problem in ran.log
    assert server.asked == []
    assert not site.root.exists()


def test_d2_all_does_not_enable_a_release_allowlist_that_has_no_list(
    index: Index, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("foo", "2.0")
    site.filter("[plugins]\nenabled = all\n[latest_release]\nkeep = 1\n")
    assert site.mirror().code == 0
    assert site.filenames("foo") == ["foo-2.0-py3-none-any.whl"]


# ---------------------------------------------------------------- lists


def test_d3_a_blocklist_accepts_comments_at_the_ends_of_lines_and_wildcards(
    index: Index, site: Site
) -> None:
    for name in ("foo", "bar", "evil-one", "evil-two", "good"):
        index.release(name, "1.0")
        index.release(name, "2.0")
    site.filter(
        "[plugins]\nenabled =\n    blocklist_project\n    blocklist_release\n[blocklist]\n"
        f"packages ={lines('foo  # not that one', 'evil-*', 'bar == 1.0  # broken', 'go*d>=2')}\n"
    )
    assert site.mirror().code == 0
    assert site.names() == ["bar", "good"]
    assert site.filenames("bar") == ["bar-2.0-py3-none-any.whl"]
    assert site.filenames("good") == ["good-1.0-py3-none-any.whl"]


REQUIREMENTS = """\
# What pip-compile and people write.
--index-url https://example.org/simple
hashed==1.0 \\
    --hash=sha256:1111111111111111111111111111111111111111111111111111111111111111
inline==1.0 --hash=sha256:1111111111111111111111111111111111111111111111111111111111111111
long \\
    >=2.0
vcs @ git+https://example.org/vcs.git@main
marked==1.0; python_version < "3.8"
-r more.txt
-c limits.txt
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_d4_requirement_files_are_read_as_pip_reads_them(
    index: Index, site: Site, encoding: str
) -> None:
    names = ("hashed", "inline", "long", "vcs", "marked", "nested", "limited", "deep", "unnamed")
    for name in names:
        index.release(name, "1.0")
        index.release(name, "2.0")
    deep = site.home / "lists" / "team"
    deep.mkdir(parents=True)
    (site.home / "lists/base.txt").write_text(REQUIREMENTS, encoding=encoding)
    (site.home / "lists/more.txt").write_text("nested==2.0\nlimited\n", encoding=encoding)
    (site.home / "lists/limits.txt").write_text("limited<2\nunnamed==1.0\n", encoding=encoding)
    (deep / "of-team.txt").write_text("deep==1.0\n", encoding=encoding)
    site.filter(
        "[plugins]\nenabled =\n    project_requirements\n    project_requirements_pinned\n"
        f"[allowlist]\nrequirements_path = {site.home}/lists\n"
        f"requirements ={lines('base.txt', 'team/of-*.txt')}\n"
    )

    ran = site.mirror()

    assert ran.code == 0
    assert "vcs" in ran.log, "skipped lines are reported"
    assert {name: site.page(name)["versions"] for name in site.names()} == {
        "deep": ["1.0"],
        "hashed": ["1.0"],
        "inline": ["1.0"],
        "limited": ["1.0"],
        "long": ["2.0"],
        "marked": ["1.0"],
        "nested": ["2.0"],
    }


# ---------------------------------------------------------------- versions


def latest(keep: int | str) -> str:
    """Return a configuration that keeps the latest releases."""
    return f"[plugins]\nenabled = latest_release\n[latest_release]\nkeep = {keep}\n"


def calls(act: Callable[[], object]) -> int:
    """Return how many functions are called in doing something."""
    count = 0

    def counting(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counting)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def test_d5_twice_as_many_versions_are_twice_the_work_and_not_four_times() -> None:
    pages = []
    for count in (1000, 2000, 4000):
        names = sdists(*(f"{n // 100}.{n % 100}.{count}" for n in range(count)))
        pages.append(make_detail(*map(make_file, names), versions=()))
    chain = chain_of(latest(3))
    some, more, most = (calls(lambda page=page: chain.apply(page)) for page in pages)  # type: ignore[misc]
    assert more < 2.5 * some
    assert most < 2.5 * more
    assert kept(chain.apply(pages[-1])) == sdists("39.97.4000", "39.98.4000", "39.99.4000")


def test_d5_an_invalid_version_fails_nothing_and_sorts_last(index: Index, site: Site) -> None:
    for version in ("2004d", "old_1", "1.0", "2.0"):
        index.upload("foo", version, f"foo-{version}.tar.gz")
    index.upload("foo", "gibberish", "foo-gibberish.tar.gz")
    site.filter(latest(2))
    ran = site.mirror()
    assert ran.code == 0
    assert ran.failed == {}
    assert site.filenames("foo") == sdists("1.0", "2.0")


def test_d5_a_number_of_releases_below_nothing_is_refused(server: IndexServer, site: Site) -> None:
    site.filter(latest(-1))
    ran = site.mirror()
    assert ran.code == 2
    assert "[latest_release] keep: '-1' is not a number of releases" in ran.log
    assert server.asked == []


def test_d5_a_missing_current_version_replaces_no_release() -> None:
    document = {"info": {"version": "9.9"}, "releases": {}}
    page = make_detail(*map(make_file, sdists("1.0", "2.0", "3.0")), versions=(), document=document)
    assert kept(chain_of(latest(2)).apply(page)) == sdists("2.0", "3.0")


def test_d6_pre_releases_are_those_of_pep_440() -> None:
    finals = sdists("1.0", "1.0.post1", "1.0+deb", "1.0.dist")
    others = sdists(
        "1.0c1", "1.0pre1", "1.0preview1", "1.0a", "1.0rc1.post1", "1.0b1+local", "1.0RC1"
    )
    text = "[plugins]\nenabled = prerelease_release\n"
    assert left(text, *others, *finals) == finals


def test_d6_names_in_filter_prerelease_may_have_any_spelling(index: Index, site: Site) -> None:
    for display in ("Foo_Bar", "other"):
        for version in ("1.0", "2.0rc1"):
            index.release(display, version)
    site.filter(
        "[plugins]\nenabled = prerelease_release\n[filter_prerelease]\npackages = foo.BAR\n"
    )
    assert site.mirror().code == 0
    assert site.page("foo-bar")["versions"] == ["1.0"]
    assert site.page("other")["versions"] == ["1.0", "2.0rc1"]


# ---------------------------------------------------------------- metadata


@pytest.mark.parametrize(
    ("tag", "stays"), [("", True), ("match-null:", True), ("not-null:", False)]
)
def test_d7_the_tags_for_null_apply_under_none(tag: str, stays: bool) -> None:  # noqa: FBT001 - a column of the table
    name = "regex_release_file_metadata"
    text = f"[plugins]\nenabled = {name}\n[{name}]\nnone:{tag}release_file.requires_python = .*2\n"
    names = sdists("1.0", "2.0", "3.0")
    excluded = names[:1] if stays else []
    assert left(text, *names, v2_0=">=2.7", v3_0=">=3.8") == [*excluded, "foo-3.0.tar.gz"]


@pytest.mark.parametrize(("tag", "stays"), [("", True), ("not-null:", False)])
def test_d8_a_missing_or_invalid_requires_python_fails_no_project(
    index: Index,
    site: Site,
    tag: str,
    stays: bool,  # noqa: FBT001 - a column of the table
) -> None:
    for version, requires in (("1", None), ("2", "three"), ("3", ">=3.8"), ("4", "<3")):
        index.upload("foo", version, f"foo-{version}.tar.gz", requires_python=requires)
    name = "version_range_release_file_metadata"
    site.filter(
        f"[plugins]\nenabled = {name}\n[{name}]\n{tag}release_file.requires_python = 3.12\n"
    )
    ran = site.mirror()
    assert ran.code == 0
    assert ran.failed == {}
    assert site.filenames("foo") == sdists(*("1", "2") * stays, "3")


def test_d8_the_filter_of_projects_by_a_range_can_be_reached_and_reads_its_own_section() -> None:
    text = """
        [plugins]
        enabled = version_range_project_metadata
        [version_range_project_metadata]
        info.requires_python = 3.12
        [version_range_release_file_metadata]
        release_file.requires_python = 2.7
    """
    chain = chain_of(text)
    for requires, is_kept in ((">=3.8", True), ("<3", False), (None, True)):
        document = {"info": {"requires_python": requires}, "releases": {}}
        page = make_detail(make_file(requires_python=requires), document=document)
        assert bool(kept(chain.apply(page))) is is_kept


# ---------------------------------------------------------------- platforms


def excluding(*tokens: str) -> str:
    """Return a configuration that excludes platforms."""
    return f"[plugins]\nenabled = exclude_platform\n[blocklist]\nplatforms ={lines(*tokens)}\n"


@pytest.mark.parametrize("token", ["e", "n", "free", "nux", "linux_x86"])
def test_d9_a_part_of_a_platforms_name_is_refused(
    server: IndexServer, site: Site, token: str
) -> None:
    site.filter(excluding("windows", token))
    ran = site.mirror()
    assert ran.code == 2
    assert f"'{token}' in {site.config}, line " in ran.log
    assert server.asked == []


def test_d9_a_wheel_for_two_pythons_is_dropped_only_with_both() -> None:
    both = "foo-1.0-py2.py3-none-any.whl"
    assert left(excluding("py2"), both, "foo-1.0-py2-none-any.whl") == [both]
    assert left(excluding("py2", "py3"), both) == []


def test_d9_short_and_compressed_tags_are_known() -> None:
    gone = [
        "foo-1.0-py27-none-any.whl",
        "foo-1.0-cp27.pp27-none-any.whl",
        "foo-1.0-cp27-none-win32.win_amd64.whl",
    ]
    assert left(excluding("py2.7"), *gone, "foo-1.0-cp36.cp27-none-any.whl") == [
        "foo-1.0-cp36.cp27-none-any.whl"
    ]


@pytest.mark.parametrize(
    "platform",
    [
        "linux_aarch64",
        "linux_x86_64",
        "linux_ppc64le",
        "manylinux_2_28_riscv64",
        "musllinux_1_2_i686",
        "manylinux_2_17_aarch64.manylinux2014_aarch64",
    ],
)
def test_d9_linux_is_every_linux(platform: str) -> None:
    wheel = f"foo-1.0-cp311-cp311-{platform}.whl"
    assert left(excluding("linux"), wheel, "foo-1.0.tar.gz") == ["foo-1.0.tar.gz"]


# ---------------------------------------------------------------- cost


def test_d10_two_configurations_in_one_process_have_nothing_in_common() -> None:
    windows, macos = "foo-1.0-py3-none-win_amd64.whl", "foo-1.0-py3-none-macosx_11_0_arm64.whl"
    assert left(excluding("windows"), windows, macos) == [macos]
    assert left(excluding("macos"), windows, macos) == [windows]
    name = "regex_project_metadata"
    pages = {other: make_detail(make_file(f"{other}-1.0.tar.gz"), name=other) for other in "ab"}
    for wanted in "aba":
        text = f"[plugins]\nenabled = {name}\n[{name}]\ninfo.name = {wanted}\n"
        chain = chain_of(text)
        assert [other for other in "ab" if kept(chain.apply(pages[other]))] == [wanted]


class Compared(str):
    """A name that counts how often it is compared with another."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        type(self).compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_d11_a_name_is_found_by_a_lookup() -> None:
    listed = lines(*(f"project-{number}" for number in range(20_000)))
    chain = chain_of(f"[plugins]\nenabled = allowlist_project\n[allowlist]\npackages ={listed}\n")
    names = [ProjectName(Compared(f"project-{number}")) for number in range(19_000, 22_000)]
    assert sum(map(chain.selects, names)) == 1_000
    assert Compared.compared < 10 * len(names)


def test_d12_filters_are_built_once_a_run(index: Index, site: Site) -> None:
    """The list is a pipe, which tells how often it is opened."""
    pipe = site.home / "list"
    os.mkfifo(pipe)
    opened: list[int] = []

    def write() -> None:
        while len(opened) < 3:
            with suppress(BrokenPipeError), pipe.open("w") as writer:  # waits for a reader
                opened.append(len(opened))
                writer.write("p0\np1\np2\np3\np4\n")
            time.sleep(0.05)  # so that the reader sees the end

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    for number in range(5):
        index.release(f"p{number}", "1.0")
    site.filter(f"[plugins]\nenabled = allowlist_project\n[allowlist]\npackages-file = {pipe}\n")
    assert len(site.mirror().synced) == 5
    assert opened == [0]
    while thread.is_alive():  # let it go; this never waits for a writer
        os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
        time.sleep(0.02)


async def test_d13_a_large_page_is_narrowed_beside_the_event_loop() -> None:
    threads: dict[int, threading.Thread] = {}

    def watched(page: ProjectDetail) -> ProjectDetail:
        threads[len(page.files)] = threading.current_thread()
        return page

    index, large = Index(), FEW_FILES + 1
    for number in range(large):
        index.upload("large", f"1.{number}", f"large-1.{number}.tar.gz", size=1)
    index.release("small", "1.0")
    clock = FakeClock()
    mirror = Mirror(
        index=FakePackageIndex(index, clock),
        storage=MemoryStorage(),
        catalogue=MemoryCatalogue(),
        clock=clock,
        events=lambda _: None,
        settings=Settings(StorageSettings("/nowhere"), IndexSettings("https://example.org")),
        filters=FilterChain(pages=(PageRule("watched", Stage.FILE, watched),)),
    )
    await MirrorRun(mirror, RunOptions()).run()
    assert threads.keys() == {1, large}
    assert threads[1] is threading.main_thread()
    assert threads[large] is not threading.main_thread()


# ---------------------------------------------------------------- several filters


@pytest.mark.parametrize("pattern", ["foo-bar", "Foo_Bar", "foo.bar", "FOO-"])
def test_d14_neither_case_nor_separators_of_a_name_matter_to_a_pattern(
    index: Index, site: Site, pattern: str
) -> None:
    for display in ("Foo_Bar.Baz", "other"):
        index.release(display, "1.0")
    site.filter(f"[plugins]\nenabled = regex_project\n[filter_regex]\npackages = {pattern}\n")
    assert site.mirror().code == 0
    assert site.names() == ["other"]


def test_c19_pages_name_no_file_that_stricter_filters_dropped(index: Index, site: Site) -> None:
    index.release("foo", "1.0", sdist=True)
    index.release("foo", "2.0", sdist=True)
    site.mirror()
    site.filter(latest(1))
    ran = site.mirror()
    assert ran.report["files"]["removed"] == 3, "a wheel with its metadata, and an sdist"
    assert site.filenames("foo") == ["foo-2.0-py3-none-any.whl", "foo-2.0.tar.gz"]
    site.check()


# ---------------------------------------------------------------- G8


def test_g8_a_size_limit_and_a_list_of_projects_must_both_agree(index: Index, site: Site) -> None:
    index.release("listed-small", "1.0", size=100)
    index.release("listed-large", "1.0", size=9_000)
    index.release("small", "1.0", size=100)
    packages = lines("listed-small", "listed-large")
    both = (
        "[plugins]\nenabled =\n    size_project_metadata\n    allowlist_project\n"
        "[size_project_metadata]\nmax_package_size = 1000\n"
        f"[allowlist]\npackages ={packages}\n"
    )
    site.filter(both)
    assert site.mirror().code == 0
    assert site.names() == ["listed-small"]
    site.filter(both.replace("\n    allowlist_project", ""))
    assert site.mirror().code == 0
    assert site.names() == ["listed-large", "listed-small", "small"], "listed, or small"
