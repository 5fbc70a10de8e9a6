"""Project filters by lists: allowlist_project, project_requirements, blocklist_project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidRules
from bandersnatch.filters.builtin.project_lists import (
    AllowlistProject,
    BlocklistProject,
    ProjectRequirements,
)
from bandersnatch.model.names import ProjectName, project_name
from tests.support.option_files import make_options
from tests.support.strategies import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from bandersnatch.filters.interface import ProjectFilter
    from bandersnatch.filters.options import FilterOptions

NAMES = [project_name(each) for each in ["foo", "foo-bar", "foo-baz", "bar", "baz"]]


def kept(made: ProjectFilter) -> list[str]:
    """Return the names that a filter keeps."""
    return [name for name in NAMES if made.apply(name)]


def allow(*lines: str) -> ProjectFilter:
    """Return an allowlist of these lines."""
    return AllowlistProject.from_options(make_options(allowlist={"packages": "\n".join(lines)}))


def block(*lines: str) -> ProjectFilter:
    """Return a blocklist of these lines."""
    return BlocklistProject.from_options(make_options(blocklist={"packages": "\n".join(lines)}))


def require(files: dict[str, str | bytes], named: str = "requirements.txt") -> ProjectFilter:
    """Return the filter of these files."""
    return ProjectRequirements.from_options(make_options(files, allowlist={"requirements": named}))


def problem(make: Callable[[FilterOptions], ProjectFilter], options: FilterOptions) -> str:
    """Return the one thing that is wrong."""
    with pytest.raises(InvalidRules) as caught:
        make(options)
    (found,) = caught.value.problems
    return str(found)


# ---------------------------------------------------------------- AllowlistProject.from_options


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["foo"], ["foo"]),
        (["Foo_Bar", "", "# bar", "baz # why"], ["foo-bar", "baz"]),
        (["foo>=99; python_version < '3'", "bar[x]", "baz @ https://example.org/baz.zip"],
         ["foo", "bar", "baz"]),
        (["foo-*"], ["foo-bar", "foo-baz"]),
        (["foo*"], ["foo", "foo-bar", "foo-baz"]),
        (["ba?", "*-bar"], ["foo-bar", "bar", "baz"]),
        (["nothing"], []),
    ],
)  # fmt: skip
def test_an_allowlist_keeps_what_it_names(lines: list[str], expected: list[str]) -> None:
    assert kept(allow(*lines)) == expected


def test_an_allowlist_is_finite_but_for_patterns() -> None:
    assert allow("foo>1", "Foo", "bar").names == frozenset(map(project_name, ["foo", "bar"]))
    assert allow("foo", "bar*").names is None


def test_an_allowlist_may_be_in_a_file() -> None:
    options = make_options({"x.txt": "foo\nbar"}, allowlist={"packages-file": "x.txt"})
    made = AllowlistProject.from_options(options)
    assert kept(made) == ["foo", "bar"]
    assert made.describe() == ("keep only the 2 projects named in x.txt",)


def test_an_allowlist_describes_itself_and_its_reasons() -> None:
    options = make_options(
        {"x.txt": "foo-*"}, allowlist={"packages": "foo\nbar", "packages-file": "x.txt"}
    )
    made = AllowlistProject.from_options(options)
    place = "[allowlist] packages (bandersnatch.conf) and x.txt"
    assert made.describe() == (f"keep only the 2 projects and 1 pattern named in {place}",)
    assert made.explain(ProjectName("baz")) == f"baz is not named in {place}"


EMPTY: list[dict[str, str] | None] = [
    None,
    {},
    {"packages": ""},
    {"packages": "\n# foo\n  "},
    {"packages-file": "empty.txt"},
]


@pytest.mark.parametrize("section", EMPTY, ids=repr)
def test_an_empty_list_does_not_mean_everything(section: dict[str, str] | None) -> None:
    sections = {} if section is None else {"allowlist": section}
    options = make_options({"empty.txt": "# foo\n"}, **sections)
    assert problem(AllowlistProject.from_options, options) == (
        "[allowlist] packages: allowlist_project is enabled and the list is empty; "
        "name a project, or remove the filter from [plugins] enabled"
    )


@pytest.mark.parametrize("section", EMPTY, ids=repr)
def test_an_empty_blocklist_drops_nothing_and_is_noted(section: dict[str, str] | None) -> None:
    sections = {} if section is None else {"blocklist": section}
    made = BlocklistProject.from_options(make_options({"empty.txt": "# foo\n"}, **sections))
    assert made.apply(ProjectName("foo"))
    note = "blocklist_project is enabled and [blocklist] packages is empty: it drops nothing"
    assert made.notes == (note,)
    assert BlocklistProject.from_options(make_options(blocklist={"packages": "bar"})).notes == ()


@pytest.mark.parametrize(
    ("section", "make"),
    [("allowlist", AllowlistProject.from_options), ("blocklist", BlocklistProject.from_options)],
)
def test_a_line_that_names_no_project_is_reported(
    section: str, make: Callable[[FilterOptions], ProjectFilter]
) -> None:
    assert problem(make, make_options(**{section: {"packages": "foo\nfoo, bar"}})) == (
        f"[{section}] packages: 'foo, bar' in bandersnatch.conf: "
        "it is not a project's name or a requirement; write one a line, like foo>=1"
    )


def test_a_missing_list_file_is_refused() -> None:
    options = make_options(allowlist={"packages": "foo", "packages-file": "x.txt"})
    assert problem(AllowlistProject.from_options, options) == (
        "[allowlist] packages-file: 'x.txt' in bandersnatch.conf: x.txt does not exist"
    )


def test_two_configurations_in_one_process_have_nothing_in_common() -> None:
    """The rules of the first are not those of the second."""
    first, second = allow("foo"), allow("bar")
    assert (kept(first), kept(second)) == (["foo"], ["bar"])


# ---------------------------------------------------------------- BlocklistProject.from_options


@pytest.mark.parametrize(
    ("lines", "dropped"),
    [
        (["foo"], ["foo"]),
        (["Foo_Bar # why", "#bar", "baz#why"], ["foo-bar", "baz"]),
        (["foo>=1", "bar[x]", "baz; python_version < '3'", "foo-bar @ https://example.org/x"], []),
        (["foo>=1", "foo"], ["foo"]),
        (["foo-*", "ba*>=1"], ["foo-bar", "foo-baz"]),
        (["nothing"], []),
    ],
)
def test_a_blocklist_drops_what_a_bare_line_names(lines: list[str], dropped: list[str]) -> None:
    made = block(*lines)
    assert kept(made) == [name for name in NAMES if name not in dropped]
    assert made.names is None


def test_a_blocklist_describes_itself_and_its_reasons() -> None:
    made = block("foo>=1", "foo-b*", "bar  # old")
    place = "in [blocklist] packages (bandersnatch.conf)"
    assert made.describe() == (f"drop the 1 project and 1 pattern named {place}",)
    assert made.explain(ProjectName("bar")) == "'bar  # old' in bandersnatch.conf"
    assert made.explain(ProjectName("foo-bar")) == "'foo-b*' in bandersnatch.conf"
    assert made.explain(ProjectName("foo")) == ""
    assert block("foo>1").describe() == (f"drop no project, for no line {place} is a name alone",)


def test_specifiers_do_not_change_the_fingerprint_of_project_filters() -> None:
    assert block("foo", "bar>=1").fingerprint() == block("foo", "bar>=2").fingerprint()
    assert block("foo", "bar>=1").fingerprint() != block("foo", "bar").fingerprint()
    assert allow("foo>=1").fingerprint() == allow("Foo").fingerprint()


# ---------------------------------------------------------------- ProjectRequirements.from_options


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo==1.0\nBar", ["foo", "bar"]),
        ("-r more.txt", ["foo-bar"]),
        ("foo\n-c more.txt", ["foo"]),
        ("foo==1 \\\n  --hash=sha256:00 \\\n  --hash=sha256:11\nbaz", ["foo", "baz"]),
        ("foo; python_version < '3'\n-e .\ngit+https://example.org/bar", ["foo"]),
    ],
)
def test_requirement_files_keep_what_they_require(text: str, expected: list[str]) -> None:
    made = require({"requirements.txt": text, "more.txt": "foo-bar>=1"})
    assert kept(made) == expected
    assert made.names == frozenset(map(project_name, expected))


def test_requirement_files_say_what_they_keep_and_why_and_what_they_skip() -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": "foo>=1\nfoo<2\n./x",
        "uv.lock": '[[package]]\nname = "bar"\nversion = "1.0"',
    }
    made = require(files, "requirements.txt\nuv.lock")
    place = "in requirements.txt, uv.lock"
    assert made.describe() == (f"keep only the 2 projects named {place}",)
    assert made.explain(ProjectName("baz")) == f"baz is not named {place}"
    assert [note.partition(":")[0] for note in made.notes] == [
        "'./x' in requirements.txt, line 3 is skipped"
    ]


@pytest.mark.parametrize(
    ("files", "section", "what"),
    [
        ({}, {}, "no file is named"),
        ({}, {"requirements": "# x"}, "no file is named"),
        ({"x": "# foo"}, {"requirements": "x"}, "its files name no project"),
        ({"x": "-c y", "y": "foo"}, {"requirements": "x"}, "its files name no project"),
        ({"x": "./foo"}, {"requirements": "x"}, "its files name no project"),
    ],
)
def test_files_without_a_project_do_not_mean_everything(
    files: dict[str, str], section: dict[str, str], what: str
) -> None:
    assert problem(ProjectRequirements.from_options, make_options(files, allowlist=section)) == (
        f"[allowlist] requirements: project_requirements is enabled and {what}; "
        "name one, or remove the filter from [plugins] enabled"
    )


# ---------------------------------------------------------------- all


@given(st.lists(names | names.map(lambda name: f"{name}*"), min_size=1, max_size=5), names)
def test_the_order_of_the_lines_does_not_matter(lines: list[str], name: str) -> None:
    asked = project_name(name)
    for make in (allow, block):
        one, other = make(*lines), make(*reversed(lines))
        assert one.apply(asked) is other.apply(asked)
        assert (one.fingerprint(), one.names) == (other.fingerprint(), other.names)
    assert allow(*lines).apply(asked) is not block(*lines).apply(asked)
