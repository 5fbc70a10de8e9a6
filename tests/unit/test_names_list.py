"""Lists of names and requirements."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidRules, OptionError
from bandersnatch.filters.names import (
    ListedRequirement,
    decoded,
    file_lines,
    listed,
    name_list,
    requirement,
    satisfying,
)
from bandersnatch.filters.options import FilterOptions, Line, Origin
from bandersnatch.model.names import ProjectName, project_name
from tests.support.option_files import make_options
from tests.support.strategies import hostile_text, names

patterns = st.text("ab-*?", min_size=1, max_size=6).filter(
    lambda text: text.strip("*?-") and not re.search(r"--|^-|-$", text)
)


def entry(text: str) -> ListedRequirement:
    """Return what a line of a list says."""
    return requirement(Line(text, Origin("bandersnatch.conf", 3, text)))


# ---------------------------------------------------------------- one line


@pytest.mark.parametrize(
    ("line", "specifier", "bare"),
    [
        ("foo-bar", "", True),
        ("Foo_Bar", "", True),
        ("foo.bar", "", True),
        ("FOO--bar", "", True),
        ("foo-bar#why", "", True),
        ("foo-bar==1.0", "==1.0", False),
        ("foo-bar==1.0#why", "==1.0", False),
        ("foo-bar >= 1, != 2", "!=2,>=1", False),
        ("foo-bar (>=1)", ">=1", False),
        ("foo-bar[extra]", "", False),
        ("foo-bar; python_version < '3'", "", False),
        ("foo-bar[extra]>=1; python_version < '3'", ">=1", False),
        ("foo-bar @ https://example.org/foo_bar-1.0.zip#sha256=00", "", False),
    ],
)
def test_a_line_names_a_project_as_requirements_do(line: str, specifier: str, bare: bool) -> None:  # noqa: FBT001 - a column of the table
    found = entry(line)
    assert (found.name, str(found.specifier), found.bare) == ("foo-bar", specifier, bare)
    assert not found.is_pattern


@pytest.mark.parametrize(
    ("line", "name", "specifier"),
    [
        ("foo-*", "foo-*", ""),
        ("Foo_*", "foo-*", ""),
        ("foo*", "foo*", ""),
        ("*-stubs>=2", "*-stubs", ">=2"),
        ("f?o==1.*", "f?o", "==1.*"),
    ],
)
def test_a_name_may_be_a_pattern(line: str, name: str, specifier: str) -> None:
    found = entry(line)
    assert (found.name, str(found.specifier), found.is_pattern) == (name, specifier, True)


@pytest.mark.parametrize(
    "line",
    [
        *["foo, bar", "foo bar", "-r other.txt", "--hash=sha256:00", "git+https://example.org/x"],
        *["../foo", "foo/bar", "foo==", "foo>1 or 2", "na\xefve", "\u212aelvin", "foo; nonsense"],
        *["x" * 201, "foo-", "[foo]", "foo==" + "1" * 5_000, "foo; " + "(" * 3_000, "fo[a-z]*"],
    ],
    ids=lambda line: ascii(line)[:20],
)
def test_a_line_without_a_name_is_refused(line: str) -> None:
    with pytest.raises(OptionError, match="not a project's name or a requirement; write one a"):
        entry(line)


@pytest.mark.parametrize("line", ["*", "**", "?", "*-*", "*>=1", "???"])
def test_a_pattern_of_wildcards_alone_is_refused(line: str) -> None:
    with pytest.raises(OptionError, match="names nearly every project"):
        entry(line)


@given(hostile_text | st.text())
def test_any_line_is_an_entry_or_is_refused(text: str) -> None:
    try:
        found = entry(text)
    except OptionError:
        return
    assert entry(found.name).name == found.name


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("line", "version", "expected"),
    [
        ("foo", "1.0", True),
        ("foo", "1.0rc1", True),
        ("foo", "weird", False),
        ("foo[extra]", "1.0", True),
        ("foo>=1", "1.0", True),
        ("foo>=1", "2.0.dev1", True),
        ("foo>=1", "0.9", False),
        ("foo>=1,!=1.5", "1.5.0", False),
        ("foo>=1", "weird", False),
        ("foo==1.0", "1", True),
        ("foo==1.0", "v1.0.0", True),
        ("foo==1.0", "1.0+local", True),
        ("foo==1.0+local", "1.0+local", True),
        ("foo==1.0+local", "1.0", False),
        ("foo==1.*", "1.7", True),
        ("foo==1!1.0", "1.0", False),
        ("foo===1.0", "1.0", True),
        ("foo===1.0", "1.0.0", False),
        ("foo===1.0-rc1", "1.0rc1", True),
        ("foo===Weird", "weird", True),
        ("foo===weird", "odd", False),
        ("foo===weird,>=1", "weird", False),
        ("foo===1.5,>=1", "1.5", True),
        ("foo===1.5,>=2", "1.5", False),
    ],
)
def test_a_specifier_is_satisfied(line: str, version: str, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    assert entry(line).matches(version) is expected
    assert satisfying([entry(line)])(version) is expected


def test_one_satisfied_entry_is_enough_and_no_entries_satisfy_nothing() -> None:
    wanted = satisfying([entry("foo==1"), entry("foo==2"), entry("foo<0.5"), entry("foo===odd")])
    assert [v for v in ("0.1", "1.0", "1.5", "2", "odd", "even") if wanted(v)] == [
        *["0.1", "1.0", "2", "odd"]
    ]
    assert not satisfying([])("1.0")


VERSIONS = ["0.9", "1", "1.0", "1.0rc1", "1.0.post1", "1.5", "2.0.dev1", "10!1"]
clauses = st.builds(
    "".join, st.tuples(st.sampled_from(["==", "!=", "<", ">=", "==="]), st.sampled_from(VERSIONS))
)
specifiers = st.lists(clauses, max_size=2).map(lambda each: f"foo{','.join(each)}")


@given(
    st.lists(specifiers.map(entry), max_size=4), st.sampled_from([*VERSIONS, "1.0+local", "weird"])
)
def test_the_lookup_agrees_with_each_entry(entries: list[ListedRequirement], version: str) -> None:
    assert satisfying(entries)(version) is any(each.matches(version) for each in entries)


@pytest.mark.parametrize(
    ("line", "pin"),
    [
        *[("foo==1.0", "1.0"), ("foo===odd", "odd"), ("foo>=1,==1.5", "1.5")],
        *[("foo", None), ("foo==1.*", None), ("foo>=1", None), ("foo[x]", None)],
    ],
)
def test_a_pin_is_one_version(line: str, pin: str | None) -> None:
    assert entry(line).pin == pin


# ---------------------------------------------------------------- many entries


@given(st.lists(patterns, max_size=5), st.lists(names, max_size=3), names | st.text("ab-"))
def test_patterns_match_as_in_the_shell(wild: list[str], plain: list[str], name: str) -> None:
    asked = ProjectName(name)
    entries = [entry(text) for text in wild + plain]
    expected = [each for each in entries if fnmatchcase(name, each.name)]
    found = name_list(entries)
    assert (asked in found) is bool(expected)
    assert sorted(map(str, found.of(asked))) == sorted(map(str, expected))


def test_only_a_list_without_patterns_is_finite() -> None:
    assert name_list([entry("foo"), entry("Foo>1"), entry("bar")]).names == frozenset(
        map(project_name, ["foo", "bar"])
    )
    assert name_list([entry("foo"), entry("ba*")]).names is None
    assert name_list([]).names == frozenset()


def test_a_list_counts_its_names() -> None:
    assert name_list([]).counted() == "the 0 projects"
    assert name_list([entry("foo"), entry("foo>1")]).counted() == "the 1 project"
    assert name_list([entry("foo*")]).counted() == "the 1 pattern"
    many = [entry(f"foo{n}") for n in range(1200)]
    assert name_list([*many, entry("a*"), entry("b*")]).counted() == (
        "the 1,200 projects and 2 patterns"
    )


@given(st.lists(specifiers.map(entry) | names.map(entry), max_size=4).flatmap(st.permutations))
def test_the_terms_do_not_depend_on_the_order(entries: list[ListedRequirement]) -> None:
    foo = project_name("foo")
    one, other = name_list(entries), name_list(reversed(entries))
    assert one.fingerprint() == other.fingerprint()
    assert one.fingerprint_for(foo) == other.fingerprint_for(foo)


def test_the_terms_of_a_project_are_those_of_its_own_entries() -> None:
    many = name_list(map(entry, ["foo>=1", "foo==2", "fo*", "bar"]))
    assert many.fingerprint() == "bar fo* foo==2 foo>=1"
    assert many.fingerprint_for(project_name("foo")) == "fo* foo==2 foo>=1"
    assert many.fingerprint_for(project_name("baz")) == ""


# ---------------------------------------------------------------- options and files


def names_in(options: FilterOptions) -> list[str]:
    """Return the names that ``[allowlist] packages`` and its file list."""
    return [each.name for each in listed(options, "allowlist")]


def test_comments_and_empty_lines_say_nothing() -> None:
    packages = "\n# all of these\nfoo  # the first\n\n  bar>=1\t# and\n  #baz\n"
    assert names_in(make_options(allowlist={"packages": packages})) == ["foo", "bar"]
    assert names_in(make_options()) == []


def test_a_file_adds_to_the_list() -> None:
    options = make_options(
        {"names.txt": "bar # why\r\nbaz-*\r\n"},
        allowlist={"packages": "foo", "packages-file": "names.txt  # ours"},
    )
    found = listed(options, "allowlist")
    assert [each.name for each in found] == ["foo", "bar", "baz-*"]
    assert str(found[1].origin) == "'bar # why' in names.txt, line 1"


def test_an_entry_has_its_place() -> None:
    numbers = {("allowlist", "packages"): (7, 8, 9)}
    sections = {"allowlist": {"packages": "\nfoo\nbar>=1  # why"}}
    found = listed(FilterOptions(sections=sections, numbers=numbers), "allowlist")
    assert [str(each.origin) for each in found] == [
        "'foo' in bandersnatch.conf, line 8",
        "'bar>=1  # why' in bandersnatch.conf, line 9",
    ]


def test_all_problems_of_a_list_are_reported_together() -> None:
    options = make_options(
        {"names.txt": "foo\nno name\n"},
        allowlist={"packages": "a b\nfoo\n-r x", "packages-file": "names.txt\nlost.txt"},
    )
    with pytest.raises(InvalidRules) as caught:
        listed(options, "allowlist")
    assert [str(problem).partition(";")[0] for problem in caught.value.problems] == [
        "[allowlist] packages-file: 'lost.txt' in bandersnatch.conf: lost.txt does not exist",
        *(
            f"[allowlist] {option}: {where}: it is not a project's name or a requirement"
            for option, where in [
                ("packages", "'a b' in bandersnatch.conf"),
                ("packages", "'-r x' in bandersnatch.conf"),
                ("packages-file", "'no name' in names.txt, line 2"),
            ]
        ),
    ]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
)
def test_a_byte_order_mark_gives_the_encoding(encoding: str) -> None:
    mark = "\ufeff" if encoding[-3:] in {"-le", "-be"} else ""
    text = "# na\xefve\nfoo\n"
    assert decoded("x.txt", (mark + text).encode(encoding)).removeprefix("\ufeff") == text


@pytest.mark.parametrize("before", ["", "# a file\n", "#!/bin/sh\n"])
def test_a_coding_comment_gives_the_encoding(before: str) -> None:
    text = f"{before}# -*- coding: latin-1 -*-\nfoo # na\xefve\n"
    lines = file_lines("x.txt", text.encode("latin-1"))
    assert [(line.text, line.origin.line) for line in lines] == [("foo", 2 + before.count("\n"))]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"foo\nna\xefve\n", "x.txt, line 2 is not utf-8; save it as UTF-8"),
        (b"#\n#\n# coding: latin-1\n\xef", "x.txt, line 4 is not utf-8; save it as UTF-8"),
        (b"# coding: klingon\n", "x.txt gives its encoding as klingon, which is unknown"),
        (b"# coding: hex\n", "x.txt gives its encoding as hex, which is unknown"),
        (b"# coding: undefined\n", "x.txt is not undefined; save it as UTF-8"),
    ],
)
def test_a_file_that_is_not_text_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(OptionError) as caught:
        decoded("x.txt", content)
    assert str(caught.value) == why


def test_lines_are_numbered_as_in_editors() -> None:
    lines = file_lines("x.txt", "a\r\nb\rc\x0c\x0bd\u2028\ne".encode())
    assert [(line.origin.line, line.text) for line in lines] == [
        *[(1, "a"), (2, "b"), (3, "c\x0c\x0bd"), (4, "e")]
    ]


@given(st.binary(max_size=60))
def test_any_bytes_are_lines_or_are_refused(content: bytes) -> None:
    try:
        lines = file_lines("x.txt", content)
    except OptionError:
        return
    assert all(line.text and line.text == line.text.strip() for line in lines)
    numbers = [line.origin.line for line in lines]
    assert numbers == sorted(set(numbers))


def test_without_files_every_path_is_refused() -> None:
    """The default of `FilterOptions.files`."""
    with pytest.raises(OptionError, match=r"x\.txt cannot be read"):
        FilterOptions().files.read("x.txt")
    with pytest.raises(OptionError, match="no file in a is named"):
        FilterOptions().files.find("a", "*.txt")
