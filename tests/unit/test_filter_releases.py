"""Release filters that go by lists, and the filter of yanked files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidRules
from bandersnatch.filters.builtin.release_lists import (
    AllowlistRelease,
    BlocklistRelease,
    ProjectRequirementsPinned,
)
from bandersnatch.filters.builtin.yanked import YankedRelease
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.interface import PageFilter, Stage
from bandersnatch.model.names import ProjectName, project_name
from tests.support.factories import make_detail, make_file
from tests.support.option_files import make_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from bandersnatch.filters.options import FilterOptions
    from bandersnatch.model.project import ProjectDetail

    Make = Callable[[FilterOptions], PageFilter]

FOO, BAR = ProjectName("foo"), ProjectName("bar")
VERSIONS = ["0.9", "1.0", "1.0rc1", "1.5", "2.0", "2.1.dev1", "odd"]


def page(*versions: str, name: str = "foo") -> ProjectDetail:
    """Return a page with a file of each version."""
    told = versions or tuple(VERSIONS)
    files = (make_file(f"{name}-{version}.tar.gz") for version in told)
    return make_detail(*files, name=name, versions=told)


def left(made: PageFilter, whole: ProjectDetail | None = None) -> list[str]:
    """Return the versions that a filter leaves; the page lists those that have files."""
    narrowed = made.apply(whole or page())
    assert narrowed is not None
    assert [narrowed.version_of(file) for file in narrowed.files] == list(narrowed.versions)
    return list(narrowed.versions)


def without(*gone: str) -> list[str]:
    """Return all versions but some."""
    return [version for version in VERSIONS if version not in gone]


def block(*lines: str) -> PageFilter:
    """Return a blocklist of these lines."""
    return BlocklistRelease.from_options(make_options(blocklist={"packages": "\n".join(lines)}))


def allow(*lines: str) -> PageFilter:
    """Return an allowlist of these lines."""
    return AllowlistRelease.from_options(make_options(allowlist={"packages": "\n".join(lines)}))


def pin(*lines: str, **more: str) -> PageFilter:
    """Return the filter of a requirement file of these lines, and of more with the ending txt."""
    files = {"requirements.txt": "\n".join(lines)} | {f"{n}.txt": t for n, t in more.items()}
    named = "\n".join(["requirements.txt", *(f for f in files if f.startswith("also"))])
    options = make_options(dict(files), allowlist={"requirements": named})
    return ProjectRequirementsPinned.from_options(options)


def because(made: PageFilter, version: str, whole: ProjectDetail | None = None) -> str:
    """Return why a filter drops the files of a version."""
    whole = whole or page()
    (file,) = (each for each in whole.files if whole.version_of(each) == version)
    assert made.explain(whole, None) == ""
    return made.explain(whole, file)


# ---------------------------------------------------------------- blocklist_release


@pytest.mark.parametrize(
    ("lines", "gone"),
    [
        (["foo==1.0"], ["1.0"]),
        (["Foo == 1.0.0  # why"], ["1.0"]),
        (["foo<1"], ["0.9"]),
        (["foo<=1.0"], ["0.9", "1.0", "1.0rc1"]),
        (["foo>=1"], ["1.0", "1.5", "2.0", "2.1.dev1"]),
        (["foo~=1.0"], ["1.0", "1.5"]),
        (["foo==1.*,!=1.5"], ["1.0", "1.0rc1"]),
        (["foo==0.9", "foo==2.0", "bar"], ["0.9", "2.0"]),
        (["foo"], without("odd")),
        (["foo[x]"], without("odd")),
        (["foo; python_version < '3'"], without("odd")),
        (["foo===odd"], ["odd"]),
        (["f*==1.5"], ["1.5"]),
        (["bar", "fo?o"], []),
    ],
)
def test_a_blocklist_drops_the_versions_that_a_line_matches(
    lines: list[str], gone: list[str]
) -> None:
    assert left(block(*lines)) == without(*gone)


def test_a_blocklist_gives_the_line_that_drops_a_version() -> None:
    made = block("bar", "foo<1", "f*==1.5 # bad")
    assert because(made, "0.9") == "'foo<1' in bandersnatch.conf"
    assert because(made, "1.5") == "'f*==1.5 # bad' in bandersnatch.conf"
    assert because(made, "2.0") == ""


def test_a_blocklist_describes_itself() -> None:
    (words,) = block("foo<1", "foo>2", "bar-*").describe()
    assert words == (
        "drop the releases of the 1 project and 1 pattern that match their lines in "
        "[blocklist] packages (bandersnatch.conf)"
    )


def test_a_blocklist_touches_only_the_projects_it_lists() -> None:
    one, other = block("foo<1", "bar"), block("foo<2", "bar")
    assert one.fingerprint() != other.fingerprint()
    assert one.fingerprint_for(FOO) != other.fingerprint_for(FOO)
    assert one.fingerprint_for(BAR) == other.fingerprint_for(BAR) == "blocklist_release bar"
    assert one.fingerprint_for(project_name("baz")) == ""
    whole = page(name="baz")
    assert one.apply(whole) is whole


# ---------------------------------------------------------------- allowlist_release


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (["foo==1.0"], ["1.0"]),
        (["foo"], without("odd")),
        (["foo[x]; python_version < '3'"], without("odd")),
        (["foo<1", "foo>=2  # why"], ["0.9", "2.0", "2.1.dev1"]),
        (["foo>1.0,<2"], ["1.5"]),
        (["foo==1.0", "foo===odd"], ["1.0", "odd"]),
        (["f*==1.5", "foo==1.0"], ["1.0", "1.5"]),
        (["foo>=99"], []),
        (["bar"], []),
    ],
)
def test_an_allowlist_keeps_the_versions_that_a_line_matches(
    lines: list[str], kept: list[str]
) -> None:
    assert left(allow(*lines)) == kept


def test_an_allowlist_gives_the_lines_that_do_not_match() -> None:
    made = allow("foo>=2", "f*==1.5", "bar")
    assert because(made, "0.9") == (
        "'0.9' is not allowed by 'foo>=2' in bandersnatch.conf, 'f*==1.5' in bandersnatch.conf"
    )
    many = allow(*(f"foo=={n}" for n in range(5, 10)))
    assert because(many, "0.9").endswith("'foo==7' in bandersnatch.conf and 2 more")
    assert because(made, "1.0", page("1.0", name="baz")) == (
        "baz is not named in [allowlist] packages (bandersnatch.conf)"
    )


def test_an_allowlist_describes_itself() -> None:
    (words,) = allow("foo<1", "bar").describe()
    assert words == (
        "keep only the releases of the 2 projects that match their lines in "
        "[allowlist] packages (bandersnatch.conf)"
    )


def test_an_allowlist_touches_the_others_alike() -> None:
    one, other = allow("foo<1", "bar"), allow("foo<2", "baz")
    assert one.fingerprint_for(FOO) != other.fingerprint_for(FOO)
    assert one.fingerprint_for(BAR) != other.fingerprint_for(BAR)
    unlisted = project_name("quux")
    assert one.fingerprint_for(unlisted) == other.fingerprint_for(unlisted) == "allowlist_release "


@pytest.mark.parametrize("options", [None, {}, {"packages": " \n# foo"}], ids=repr)
def test_an_empty_list_is_refused(options: dict[str, str] | None) -> None:
    """An allowlist that is not set drops no release of all."""
    with pytest.raises(InvalidRules) as caught:
        AllowlistRelease.from_options(
            make_options(**({} if options is None else {"allowlist": options}))
        )
    assert str(caught.value) == (
        "[allowlist] packages: allowlist_release is enabled and the list is empty; "
        "name a project, or remove the filter from [plugins] enabled"
    )


@pytest.mark.parametrize("options", [None, {}, {"packages": " \n# foo"}], ids=repr)
def test_an_empty_blocklist_drops_nothing_and_is_noted(options: dict[str, str] | None) -> None:
    made = BlocklistRelease.from_options(
        make_options(**({} if options is None else {"blocklist": options}))
    )
    page = make_detail()
    assert made.apply(page) is page
    note = "blocklist_release is enabled and [blocklist] packages is empty: it drops nothing"
    assert made.notes == (note,)


# ---------------------------------------------------------------- project_requirements_pinned


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (["foo==1.0 --hash=sha256:00"], ["1.0"]),
        (["foo"], without("odd")),
        (["foo<1", "foo>=2; python_version < '3'"], ["0.9", "2.0", "2.1.dev1"]),
        (["foo", "-c c.txt"], ["0.9", "1.0", "1.0rc1"]),
        (["foo>=1", "-c c.txt"], ["1.0"]),
        (["foo>=1", "-c c.txt", "-c d.txt"], []),
        (["foo===odd", "-c e.txt"], ["odd"]),
        (["foo===odd", "-c c.txt"], []),
        (["bar", "-c c.txt"], []),
        (["-r c.txt"], ["0.9", "1.0", "1.0rc1"]),
    ],
)
def test_requirement_files_keep_the_versions_they_ask_for(
    lines: list[str], kept: list[str]
) -> None:
    assert left(pin(*lines, c="foo<=1.0", d="foo>=2", e="foo\nbar==1")) == kept


def test_constraints_hold_for_the_file_that_names_them() -> None:
    """Two files that pin otherwise are for two places; the mirror has what either asks for."""
    made = pin("foo", "-c c.txt", c="foo==1.0", also="foo\n-c d.txt", d="foo==2.0")
    assert left(made) == ["1.0", "2.0"]


def test_lock_files_keep_what_they_pin() -> None:
    lock = "\n".join(f'[[package]]\nname = "Foo"\nversion = "{v}"' for v in ["1.0", "2.1.dev1"])
    made = ProjectRequirementsPinned.from_options(
        make_options({"uv.lock": lock}, allowlist={"requirements": "uv.lock"})
    )
    assert left(made) == ["1.0", "2.1.dev1"]
    assert made.is_exclusive(FOO)
    assert because(made, "1.5") == (
        "'1.5' is not allowed by 'Foo==1.0' in uv.lock, line 1, 'Foo==2.1.dev1' in uv.lock, line 4"
    )


@pytest.mark.parametrize(
    ("lines", "decides"),
    [
        (["foo==1.0"], True),
        (["foo>=1"], True),
        (["foo", "foo<1"], True),
        (["foo"], False),
        (["foo[x]; python_version < '3'"], False),
        (["foo", "-c pinning.txt"], True),
        (["foo", "-c narrowing.txt"], False),
        (["bar==1.0"], False),
        (["bar", "-c pinning.txt"], False),
    ],
)
def test_a_requirement_with_a_specifier_is_exclusive(lines: list[str], decides: bool) -> None:  # noqa: FBT001 - a column of the table
    made = pin(*lines, pinning="foo==1.0", narrowing="foo<2")
    assert made.is_exclusive(FOO) is decides
    other = block("foo==1.0")
    pages = FilterChain(pages=(made, other)).in_order(FOO)
    assert [each.name for each in pages] == [
        *([] if decides else ["blocklist_release"]),
        "project_requirements_pinned",
    ]


def test_requirement_files_say_why_a_version_is_dropped() -> None:
    made = pin("foo>=1", "-c c.txt", c="bar\nfoo<=1.0")
    assert because(made, "0.9") == "'0.9' is not allowed by 'foo>=1' in requirements.txt, line 1"
    assert because(made, "2.0") == "'2.0' is not allowed by 'foo<=1.0' in c.txt, line 2"
    assert because(made, "1.0", page("1.0", name="baz")) == "baz is not named in requirements.txt"


def test_requirement_files_say_what_they_do_and_what_they_skip() -> None:
    made = pin("foo>=1", "bar", "-e .")
    assert made.describe() == (
        "keep only the releases of the 2 projects that match their lines in requirements.txt",
        "where a line gives versions, no other release filter decides",
    )
    assert [note.partition(":")[0] for note in made.notes] == [
        "'-e .' in requirements.txt, line 3 is skipped"
    ]


def test_the_fingerprint_distinguishes_constraints_and_requirements() -> None:
    terms = {
        pin(*lines, c="foo<2", d="bar<2").fingerprint()
        for lines in [["foo"], ["foo<2"], ["foo", "-c c.txt"], ["foo", "foo<2", "bar"]]
    }
    assert len(terms) == 4
    assert pin("foo", "-c d.txt", d="bar<2").fingerprint() == pin("foo").fingerprint()
    made = pin("foo", "bar", "-c c.txt", c="foo<2")
    assert made.fingerprint_for(FOO) == "project_requirements_pinned foo & foo<2"
    assert made.fingerprint_for(BAR) == "project_requirements_pinned bar & "
    assert made.fingerprint_for(project_name("baz")) == "project_requirements_pinned "


@pytest.mark.parametrize("section", [{}, {"requirements": "empty.txt"}], ids=repr)
def test_files_without_a_project_are_refused(section: dict[str, str]) -> None:
    with pytest.raises(InvalidRules, match="project_requirements_pinned is enabled and"):
        ProjectRequirementsPinned.from_options(make_options({"empty.txt": ""}, allowlist=section))


# ---------------------------------------------------------------- yanked_release


YANKED = make_detail(
    *(make_file(f"foo-{n}.0.tar.gz", yanked="it is broken") for n in (1, 2)),
    make_file("foo-2.0-py3-none-any.whl", yanked=""),
    make_file("foo-2.0+cpu-py3-none-any.whl", yanked=""),
    make_file("foo-3.0.tar.gz"),
    make_file("foo-odd.tar.gz", yanked=""),
)
UV = '[[package]]\nname = "foo"\nversion = "1.0"'
FILES = {"r.txt": "foo==1\n-c c.txt", "c.txt": "foo==2.0", "n.txt": "foo>=1", "uv.lock": UV}


def unyanked(**section: str) -> list[str]:
    """Return what is left of the page of yanked files."""
    made = YankedRelease.from_options(make_options(dict(FILES), allowlist=section))
    narrowed = made.apply(YANKED)
    assert narrowed is not None
    return [file.filename.removeprefix("foo-") for file in narrowed.files]


@pytest.mark.parametrize(
    ("section", "kept"),
    [
        ({}, []),
        ({"packages": "foo\nbar==2.0"}, []),
        ({"packages": "foo>=1\nfoo==2.*"}, []),
        ({"packages": "foo==2"}, ["2.0.tar.gz", "2.0-py3-none-any.whl",
                                  "2.0+cpu-py3-none-any.whl"]),
        ({"packages": "foo==2+cpu"}, ["2.0+cpu-py3-none-any.whl"]),
        ({"packages": "foo===1.0"}, ["1.0.tar.gz"]),
        ({"packages": "foo===odd"}, ["odd.tar.gz"]),
        ({"packages": "f*==1.0"}, ["1.0.tar.gz"]),
        ({"requirements": "n.txt"}, []),
        ({"requirements": "uv.lock"}, ["1.0.tar.gz"]),
        ({"requirements": "r.txt"}, ["1.0.tar.gz", "2.0.tar.gz", "2.0-py3-none-any.whl",
                                     "2.0+cpu-py3-none-any.whl"]),
        ({"requirements": "uv.lock", "packages": "foo===odd"}, ["1.0.tar.gz", "odd.tar.gz"]),
    ],
)  # fmt: skip
def test_yanked_files_are_dropped_unless_pinned(section: dict[str, str], kept: list[str]) -> None:
    names = unyanked(**section)
    assert "3.0.tar.gz" in names
    assert [name for name in names if name != "3.0.tar.gz"] == kept


def test_a_yanked_file_is_dropped_for_a_reason() -> None:
    made = YankedRelease.from_options(make_options())
    first, wheel = YANKED.files[0], YANKED.files[2]
    assert made.explain(YANKED, first) == (
        "yanked, with the reason 'it is broken'; no allowlist pins foo==1.0"
    )
    assert made.explain(YANKED, wheel) == ("yanked, without a reason; no allowlist pins foo==2.0")
    assert made.explain(YANKED, YANKED.files[4]) == ""
    assert made.explain(YANKED, None) == ""


def test_the_filter_of_yanked_files_describes_itself() -> None:
    made = YankedRelease.from_options(
        make_options(
            {"r.txt": "bar==1\n./x"}, allowlist={"packages": "foo==1\nbaz", "requirements": "r.txt"}
        )
    )
    assert made.describe() == (
        "drop yanked files, except of the versions pinned of the 2 projects",
    )
    assert made.fingerprint() == "yanked_release bar==1 foo==1"
    assert made.fingerprint_for(FOO) == "yanked_release foo==1"
    assert [note.partition(":")[0] for note in made.notes] == ["'./x' in r.txt, line 2 is skipped"]
    none = YankedRelease.from_options(make_options())
    assert none.describe() == ("drop yanked files; no allowlist pins a version",)


def test_the_lists_that_pin_are_refused_with_all_that_is_wrong_in_them() -> None:
    section = {"packages": "a b", "requirements": "lost.txt"}
    with pytest.raises(InvalidRules) as caught:
        YankedRelease.from_options(make_options(allowlist=section))
    assert [each.option for each in caught.value.problems] == ["packages", "requirements"]


# ---------------------------------------------------------------- all


def test_each_filter_has_its_name_and_stage() -> None:
    stages = {each.name: each.stage for each in (block("foo"), allow("foo"), pin("foo"))}
    assert stages == dict.fromkeys(
        ["blocklist_release", "allowlist_release", "project_requirements_pinned"], Stage.RELEASE
    )
    made = YankedRelease.from_options(make_options())
    assert (made.name, made.stage) == ("yanked_release", Stage.FILE)


specifiers = st.sampled_from(["", "==1.0", "<1", ">=1.5", "!=1.0", "===odd", "==1.*", "~=1.0"])
rules = st.lists(
    st.builds("".join, st.tuples(st.sampled_from(["foo", "Foo", "fo*", "bar"]), specifiers)),
    min_size=1,
    max_size=4,
)
pages = st.lists(
    st.sampled_from([*VERSIONS, "1.0-py3-none-any", "2.0+cpu"]), unique=True, max_size=6
)


@given(rules, pages, st.sampled_from(["foo", "bar", "quux"]))
def test_a_filter_narrows_once_and_in_any_order(
    lines: list[str], versions: list[str], name: str
) -> None:
    files = [make_file(f"{name}-{v}.tar.gz", yanked=v[:1] or None) for v in versions]
    whole = make_detail(name=name, versions=tuple(versions))
    whole = replace(whole, files=tuple(files))
    turned = replace(whole, files=tuple(reversed(files)))
    plain = [line.replace("fo*", "fo") for line in lines]
    backward = list(reversed(lines))
    yank = [
        YankedRelease.from_options(make_options(allowlist={"packages": "\n".join(each)}))
        for each in (lines, backward)
    ]
    pairs = [
        (block(*lines), block(*backward)),
        (allow(*lines), allow(*backward)),
        (pin(*plain), pin(*reversed(plain))),
        (yank[0], yank[1]),
    ]
    for one, other in pairs:
        narrowed, again = one.apply(whole), other.apply(turned)
        assert narrowed is not None
        assert again is not None
        assert set(narrowed.files) == set(again.files) <= set(files)
        assert set(narrowed.versions) <= set(whole.versions)
        assert one.apply(narrowed) == narrowed
        assert one.fingerprint() == other.fingerprint()
        told = (one.explain(whole, file) for file in set(files) - set(narrowed.files))
        assert all(told)
