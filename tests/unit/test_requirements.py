"""Requirement files as pip writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidRules, OptionError
from bandersnatch.filters.names import Skipped
from bandersnatch.filters.requirements import (
    DEEPEST,
    Requirements,
    logical_lines,
    required,
    statements,
)
from bandersnatch.model.names import project_name
from tests.support.option_files import make_options
from tests.support.strategies import hostile_text, names

if TYPE_CHECKING:
    from bandersnatch.filters.names import ListedRequirement

NO_REQUIREMENT = "it is not a project's name or a requirement; write one a line, like foo>=1"
NO_VARIABLES = f"{NO_REQUIREMENT}; variables are not replaced"
NO_SUCH_LOCK = (
    "pyproject.toml is not a requirement file, and the supported lock files are pylock.toml, "
    "pylock.NAME.toml, uv.lock and poetry.lock"
)
DIGEST = "sha256:" + "0" * 64


def read(
    files: dict[str, str | bytes], *, named: str = "requirements.txt", path: str | None = None
) -> Requirements:
    """Return what the files ask for that ``[allowlist] requirements`` names."""
    where = {} if path is None else {"requirements_path": path}
    return required(make_options(files, allowlist={"requirements": named, **where}))


def asked(text: str) -> list[str]:
    """Return what a file of this text asks for."""
    return shown(read({"requirements.txt": text}).entries)


def shown(entries: tuple[ListedRequirement, ...]) -> list[str]:
    """Return entries as lines."""
    return [f"{each.name}{each.specifier}" for each in entries]


def problems(
    files: dict[str, str | bytes], *, named: str = "requirements.txt", path: str | None = None
) -> list[str]:
    """Return what is wrong with the files."""
    with pytest.raises(InvalidRules) as caught:
        read(files, named=named, path=path)
    assert {(each.section, each.option) for each in caught.value.problems} == {
        ("allowlist", "requirements")
    }
    return [each.message for each in caught.value.problems]


# ---------------------------------------------------------------- one file


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n  \n# foo\n   # bar\n", []),
        ("foo", ["foo"]),
        ("Foo_Bar==1.0", ["foo-bar==1.0"]),
        ("foo # why\nbar>=1,<2# no comment to pip, but the contract's", ["foo", "bar<2,>=1"]),
        ("foo[a,b]>=1; python_version < '3' and extra == 'x'", ["foo>=1"]),
        ("foo (>=1)", ["foo>=1"]),
        ("foo===odd", ["foo===odd"]),
        (f"foo==1.0 --hash={DIGEST} --hash={DIGEST}", ["foo==1.0"]),
        (f"foo==1 \\\n    --hash={DIGEST} \\\n    --hash={DIGEST}\n# x\nbar", ["foo==1", "bar"]),
        ("foo==1.0 --global-option='--x y' --config-settings=a=b -C c=d", ["foo==1.0"]),
        ("foo\\\n>=1\\\n,<2", ["foo<2,>=1"]),
        ("foo \\  \n==1", ["foo==1"]),
        ("foo \\\n# a comment ends what is continued \\\nbar", ["foo", "bar"]),
        ("foo\\", ["foo"]),
        ("foo\r\nbar\rbaz", ["foo", "bar", "baz"]),
        ("-i https://example.org/simple\n--extra-index-url=https://example.org\nfoo", ["foo"]),
        ("--find-links ./wheels\n-f x\n--no-binary :all:\n--pre\n--require-hashes\nfoo", ["foo"]),
        ("--trusted-host example.org --no-index -Z\n--use-feature=x\n--extra x\nfoo", ["foo"]),
        ("--index-url 'https://example.org/a b' -- \nfoo", ["foo"]),
    ],
)  # fmt: skip
def test_the_requirements_of_a_file(text: str, expected: list[str]) -> None:
    found = read({"requirements.txt": text})
    assert (shown(found.entries), found.constraints, found.warnings) == (expected, (), ())


@pytest.mark.parametrize(
    ("line", "why"),
    [
        *[
            (line, "it is an editable project, not one of the index")
            for line in ["-e .", "-e./x", "--editable ../x", "--editable=git+https://example.org/x"]
        ],
        *[
            (line, "its files come from a URL, not from the index")
            for line in [
                "foo @ https://example.org/foo-1.0.zip",
                "foo[x]@file:///foo.whl",
                "foo @ git+https://example.org/x@main ; python_version > '3'",
            ]
        ],
        *[
            (line, "it is a URL or a path, not a project of the index")
            for line in [
                *["git+https://example.org/x.git@main#egg=foo", "https://example.org/foo-1.0.zip"],
                *["file:foo", "./foo", "../foo[x]", ".", "foo/", "/srv/foo", "C:\\foo", "sub\\foo"],
                *["foo-1.0-py3-none-any.whl", "foo-1.0.tar.gz[x]", "foo.ZIP", "hg+ssh://x/y"],
            ]
        ],
        ("--universal", "--universal is not a known option"),
        ("-q", "-q is not a known option"),
    ],
)
def test_what_the_index_does_not_have_is_skipped_with_a_warning(line: str, why: str) -> None:
    found = read({"requirements.txt": f"foo\n{line}\nbar"})
    assert shown(found.entries) == ["foo", "bar"]
    assert found.warnings == (f"{line!r} in requirements.txt, line 2 is skipped: {why}",)


def test_a_warning_shows_no_password() -> None:
    (warning,) = read({"requirements.txt": "git+https://user:p@ss@example.org/x@main"}).warnings
    assert warning.startswith("'git+https://example.org/x@main' in requirements.txt, line 1 is")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("foo bar", NO_REQUIREMENT),
        ("foo==", NO_REQUIREMENT),
        ("foo @", NO_REQUIREMENT),
        *[
            (line, NO_VARIABLES)
            for line in ["${FOO}", "${FOO}/bar", "foo==${VERSION}"]
        ],
        ("foo-*", "patterns are allowed in [allowlist] packages only, not in such a file"),
        ("foo -r x.txt", "an option that names another file must be on a line of its own"),
        ("foo -e .", "an option that names another file must be on a line of its own"),
        ("-r", "--requirement names no file"),
        ("--constraint=", "--constraint names no file"),
        ("-r http://example.org/", "--requirement names a URL; fetch that file and name its path"),
        ("--requirments x.txt", "--requirments is not an option; did you mean --requirement?"),
        ("--re x.txt", "--re is not an option; did you mean --requirement?"),
        ("-r 'x.txt", "its quotes cannot be read (No closing quotation)"),
    ],
)  # fmt: skip
def test_an_invalid_line_is_refused_with_its_number(line: str, why: str) -> None:
    assert problems({"requirements.txt": f"foo\n\n{line}\nbar"}) == [
        f"{line!r} in requirements.txt, line 3: {why}"
    ]


def test_all_problems_are_reported_each_with_its_first_line() -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": "a b\nfoo \\\n  bar\n-r base.txt\n-r base.txt\n-r lost.txt",
        "base.txt": "c d",
    }
    said = [each.partition(";")[0] for each in problems(files, named="requirements.txt\ngone.txt")]
    assert said == [
        *(
            f"{where}: it is not a project's name or a requirement"
            for where in [
                "'a b' in requirements.txt, line 1",
                "'foo   bar' in requirements.txt, line 2",
                "'c d' in base.txt, line 1",
            ]
        ),
        "'-r lost.txt' in requirements.txt, line 6: lost.txt does not exist",
        "'gone.txt' in bandersnatch.conf: gone.txt does not exist",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_file_may_have_any_encoding_with_a_byte_order_mark(encoding: str) -> None:
    assert shown(read({"requirements.txt": "foo # na\xefve\n".encode(encoding)}).entries) == ["foo"]


def test_a_requirement_file_that_is_not_text_is_refused() -> None:
    (problem,) = problems({"requirements.txt": b"foo\n\xff\n"})
    assert problem.endswith(": requirements.txt, line 2 is not utf-8; save it as UTF-8")


# ---------------------------------------------------------------- files that name files


@pytest.mark.parametrize(
    "line",
    [
        *["-r sub/base.txt", "-rsub/base.txt", "--requirement sub/base.txt", "-r 'sub/base.txt'"],
        *["--requirement=sub/base.txt", "--requirem=sub/base.txt", "-r ./sub/base.txt"],
        *["-r \\\n  sub/base.txt", "--pre -r sub/base.txt", "-r sub/base.txt # why"],
        *["-r sub/base.txt\\\n# why", "-e./x -r sub/base.txt"],
    ],
)
def test_a_file_may_name_another(line: str) -> None:
    found = read({"requirements.txt": f"foo\n{line}", "sub/base.txt": "bar>=1"})
    assert (shown(found.entries), found.constraints) == (["foo", "bar>=1"], ())


@pytest.mark.parametrize(
    "line", ["-c sub/c.txt", "-csub/c.txt", "--constraint sub/c.txt", "--constraint=sub/c.txt"]
)
def test_constraints_require_nothing(line: str) -> None:
    found = read({"requirements.txt": f"foo\n{line}", "sub/c.txt": "foo<2\nbar"})
    assert (shown(found.entries), shown(found.constraints)) == (["foo"], ["foo<2", "bar"])


def test_a_path_is_seen_from_the_file_that_names_it() -> None:
    files: dict[str, str | bytes] = {
        "in/requirements.txt": "-r sub/one.txt",
        "in/sub/one.txt": "-r ../two.txt\n-r /srv/three.txt",
        "in/two.txt": "two",
        "/srv/three.txt": "three\n-c four.txt",
        "/srv/four.txt": "four\n-r five.txt",
        "/srv/five.txt": "five",
    }
    found = read(files, path="in")
    assert sorted(shown(found.entries)) == ["five", "three", "two"]
    assert shown(found.constraints) == ["four"]


def test_files_that_name_one_another_are_read_once() -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": "foo\n-r requirements.txt\n-r a.txt\n-c a.txt",
        "a.txt": "bar\n-r ./requirements.txt\n-r b/../a.txt\n./x",
    }
    found = read(files, named="requirements.txt\na.txt")
    assert shown(found.sets[0].entries) == ["foo", "bar"]
    assert shown(found.sets[0].constraints) == ["bar"]
    assert sorted(shown(found.sets[1].entries)) == ["bar", "foo"]
    assert len(found.warnings) == 1


def test_files_do_not_name_one_another_for_ever() -> None:
    files: dict[str, str | bytes] = {
        f"{n}.txt": f"name{n}\n-r {n + 1}.txt" for n in range(DEEPEST + 2)
    }
    last = files.pop(f"{DEEPEST + 1}.txt")
    assert problems(files, named="0.txt") == [
        f"'-r {DEEPEST + 1}.txt' in {DEEPEST}.txt, line 2: 20 files name one another up to here"
    ]
    assert last
    assert len(read(files | {f"{DEEPEST}.txt": "x"}, named="0.txt").entries) == DEEPEST + 1


# ---------------------------------------------------------------- which files


FILES: dict[str, str | bytes] = {
    "reqs/a.txt": "a",
    "reqs/b.txt": "b",
    "reqs/sub/c.txt": "c",
    "reqs/sub/d.in": "d",
    "e.txt": "e",
}


@pytest.mark.parametrize(
    ("named", "path", "expected"),
    [
        ("a.txt", "reqs", "a"),
        ("a.txt", "reqs/", "a"),
        ("sub/c.txt # why\n\n# sub/d.in\n", "reqs", "c"),
        ("b.txt\na.txt", "reqs", "ba"),
        ("*.txt", "reqs", "ab"),
        ("sub/*.txt", "reqs", "c"),
        ("s*/*", "reqs", "cd"),
        ("?.txt\nb.txt", "reqs", "ab"),
        ("reqs/*.txt", ".", "ab"),
        ("e.txt", "", "e"),
        ("*.txt", None, "e"),
    ],
)
def test_the_files_are_named_or_matched(named: str, path: str | None, expected: str) -> None:
    assert "".join(shown(read(FILES, named=named, path=path).entries)) == expected


@pytest.mark.parametrize(
    "named", ["/srv/a.txt", "/srv/*.txt", "/s*/a.txt", "/*/?.txt", "/srv/a.txt\n/srv/?.txt"]
)
def test_an_absolute_path_is_not_joined(named: str) -> None:
    files: dict[str, str | bytes] = {"/srv/a.txt": "a", "reqs/a.txt": "b"}
    found = read(files, named=named, path="reqs")
    assert (shown(found.entries), found.sources) == (["a"], ("/srv/a.txt",))


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("lost.txt", "reqs/lost.txt does not exist"),
        ("*.req", "no file in reqs is named *.req"),
        ("/etc/*.req", "no file in /etc is named *.req"),
        ("../f.txt", "f.txt does not exist"),
        ("pyproject.toml", NO_SUCH_LOCK),
    ],
)  # fmt: skip
def test_a_missing_file_is_refused(named: str, why: str) -> None:
    assert problems(FILES, named=named, path="reqs") == [
        f"'{named}' in bandersnatch.conf: {why}"
    ]  # fmt: skip


def test_nothing_is_read_if_nothing_is_named() -> None:
    assert required(make_options()) == Requirements()
    assert required(make_options(allowlist={"requirements": "\n# a.txt"})) == Requirements()


def test_many_files_are_summarised() -> None:
    assert read(FILES, named="e.txt\nreqs/a.txt").place == "e.txt, reqs/a.txt"
    many = "e.txt\nreqs/a.txt\nreqs/b.txt\nreqs/sub/c.txt\nreqs/sub/d.in"
    assert read(FILES, named=many).place == "e.txt, reqs/a.txt, reqs/b.txt and 2 more"


# ---------------------------------------------------------------- odd and decorated files

decorations = st.sampled_from(
    [
        *["{}", "  {}  ", "{} # why", "{}\t#-r x", "# {}\n{}", "{} \\\n", "{} \\\n# done"],
        *[f"{{}} --hash={DIGEST}", f"{{}} \\\n  --hash={DIGEST} \\\n  --hash={DIGEST}"],
        *["{}; python_version < '3'", "--pre\n{}", "\\\n{}", "{}\\\n;python_version < '3'"],
    ]
)
lines = st.tuples(names, st.sampled_from(["", "==1.0", ">=1,<2", "~=1.1"]), decorations)


@given(st.lists(lines, max_size=5), st.sampled_from(["\n", "\r\n", "\r"]))
def test_decoration_changes_nothing(parts: list[tuple[str, str, str]], end: str) -> None:
    written = [
        decoration.format(name + specifier, name + specifier) if "# {}" in decoration
        else decoration.format(name + specifier)
        for name, specifier, decoration in parts
    ]  # fmt: skip
    expected = asked("\n".join(name + specifier for name, specifier, _ in parts))
    assert len(expected) == len(parts)
    assert asked("\n".join(f"{each}\n" for each in written).replace("\n", end)) == expected


pieces = st.lists(
    st.sampled_from(
        [
            *["-r", "-c", "-e", "--requirement", "=", " ", "\n", "\\\n", "#", "foo", "==1", "'"],
            *["@", "https://", "${X}", ";", "[", "--hash=", "requirements.txt", "./", "*", '"'],
        ]
    ),
    max_size=12,
).map("".join)


@given(hostile_text | st.text() | pieces)
def test_any_text_is_a_requirement_file_or_is_refused(text: str) -> None:
    try:
        found = read({"requirements.txt": text.encode("utf-8", "surrogatepass")})
    except InvalidRules:
        return
    assert not any(entry.is_pattern for entry in found.entries)


@given(st.binary(max_size=60))
def test_any_bytes_ask_for_something_or_are_refused(content: bytes) -> None:
    try:
        found = read({"requirements.txt": content})
    except InvalidRules:
        return
    assert all(project_name(entry.name) == entry.name for entry in found.entries)


def test_a_line_may_be_as_deep_or_long_as_it_likes() -> None:
    (line,) = logical_lines("requirements.txt", "foo @ x; " + "(" * 3_000)
    with pytest.raises(OptionError, match="write one a line"):
        statements(line)
    (line,) = logical_lines("requirements.txt", "foo @ https://example.org/" + "1" * 5_000)
    (found,) = statements(line)
    assert isinstance(found, Skipped)
