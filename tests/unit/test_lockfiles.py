"""Lock files: pylock.toml, uv.lock, poetry.lock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidRules
from bandersnatch.filters.requirements import Requirements, required
from tests.support.option_files import make_options
from tests.support.strategies import hostile_text, names, versions

PYLOCK = """\
lock-version = "1.0"
created-by = "someone"

[[packages]]
name = "foo-bar"
version = "1.0"
[[packages.wheels]]
name = "foo_bar-1.0-py3-none-any.whl"
url = "https://example.org/foo_bar-1.0-py3-none-any.whl"
hashes = {sha256 = "00"}

[[packages]]
name = "by-vcs"
version = "2.0"
[packages.vcs]
type = "git"
url = "https://user:secret@example.org/x"
commit-id = "0a1b"

[[ "packages" ]]
name = "by-directory"
directory = {path = "."}

[[packages]]
name = "by-archive"
version = "3"
archive = {url = "https://example.org/x.zip", hashes = {sha256 = "00"}}

[[packages]]
name = "baz"
marker = "python_version < '3'"
sdist = {name = "baz-1.tar.gz", path = "baz-1.tar.gz", hashes = {sha256 = "00"}}
"""

UV = """\
version = 1

[[package]]
name = "own"
version = "0.1.0"
source = { editable = "." }
dependencies = [{ name = "foo" }]

[[package]]
name = "workspace"
source = { virtual = "." }

[[package]]
name = "foo"
version = "1.0"
source = { registry = "https://example.org/simple" }

[[package]]
name = "foo"
version = "2.0rc1"

[[package]]
name = "by-git"
version = "1"
source = { git = "https://example.org/x" }

[[package]]
name = "by-url"
version = "1"
source = { url = "https://example.org/x.whl" }

[[package]]
name = "by-path"
version = "1"
source = { path = "x.whl" }

[[package]]
name = "by-directory"
version = "1"
source = { directory = "x" }
"""

POETRY = """\
[[package]]
name = "Foo"
version = "1.0"
description = \"\"\"
a description
\"\"\"

[[package]]
name = "elsewhere"
version = "2.0+cpu"
[package.source]
type = "legacy"
url = "https://example.org/simple"

[[package]]
name = "by-git"
version = "1"
[package.source]
type = "git"

[[package]]
name = "by-url"
version = "1"
source = {type = "url"}

[[package]]
name = "by-file"
version = "1"
source = {type = "file"}

[[package]]
name = "by-dir"
version = "1"
source = {type = "directory"}

[metadata]
lock-version = "2.1"
"""


def read(filename: str, content: str | bytes) -> Requirements:
    """Return what a lock file requires."""
    options = make_options({filename: content}, allowlist={"requirements": filename})
    return required(options)


def problem(filename: str, content: str | bytes) -> str:
    """Return the only problem of a lock file."""
    with pytest.raises(InvalidRules) as caught:
        read(filename, content)
    (found,) = caught.value.problems
    assert (found.section, found.option) == ("allowlist", "requirements")
    return found.message.removeprefix(f"'{filename}' in bandersnatch.conf: ")


@pytest.mark.parametrize(
    ("filename", "content", "expected"),
    [
        ("pylock.toml", PYLOCK, ["'foo-bar==1.0' in pylock.toml, line 4",
                                 "'baz' in pylock.toml, line 29"]),
        ("uv.lock", UV, ["'foo==1.0' in uv.lock, line 13", "'foo==2.0rc1' in uv.lock, line 18"]),
        ("poetry.lock", POETRY, ["'Foo==1.0' in poetry.lock, line 1",
                                 "'elsewhere==2.0+cpu' in poetry.lock, line 8"]),
    ],
)  # fmt: skip
def test_each_entry_is_a_pin_with_its_line(
    filename: str, content: str, expected: list[str]
) -> None:
    found = read(filename, content)
    assert [str(each.origin) for each in found.entries] == expected
    assert found.constraints == ()


@pytest.mark.parametrize(
    ("filename", "content", "expected"),
    [
        (
            "pylock.toml",
            PYLOCK,
            [
                "'by-vcs==2.0' in pylock.toml, line 12 is skipped: it comes from version control",
                "'by-directory' in pylock.toml, line 20 is skipped: it comes from a directory",
                "'by-archive==3' in pylock.toml, line 24 is skipped: it comes from an archive",
            ],
        ),
        (
            "uv.lock",
            UV,
            [
                *["'by-git==1' in uv.lock, line 22 is skipped: it comes from version control"],
                *["'by-url==1' in uv.lock, line 27 is skipped: it comes from a URL"],
                *["'by-path==1' in uv.lock, line 32 is skipped: it comes from a path"],
                *["'by-directory==1' in uv.lock, line 37 is skipped: it comes from a directory"],
            ],
        ),
        (
            "poetry.lock",
            POETRY,
            [
                *["'by-git==1' in poetry.lock, line 15 is skipped: it comes from version control"],
                *["'by-url==1' in poetry.lock, line 21 is skipped: it comes from a URL"],
                *["'by-file==1' in poetry.lock, line 26 is skipped: it comes from a path"],
                *["'by-dir==1' in poetry.lock, line 31 is skipped: it comes from a directory"],
            ],
        ),
    ],
)  # fmt: skip
def test_an_entry_that_is_not_from_the_index_is_skipped_with_a_warning(
    filename: str, content: str, expected: list[str]
) -> None:
    found = read(filename, content)
    assert list(found.warnings) == [f"{each}, not from the index" for each in expected]


def test_an_entry_without_a_version_pins_nothing() -> None:
    found = read("pylock.toml", PYLOCK)
    assert [(each.name, each.pin, each.bare) for each in found.entries] == [
        *[("foo-bar", "1.0", False), ("baz", None, True)]
    ]
    assert [each.pin for each in read("uv.lock", UV).entries] == ["1.0", "2.0rc1"]


def test_a_text_that_is_not_a_version_pins_exactly_this_text() -> None:
    (found,) = read("uv.lock", '[[package]]\nname = "foo"\nversion = "2004d-x"').entries
    assert (str(found.specifier), found.matches("2004d-x")) == ("===2004d-x", True)


@pytest.mark.parametrize("filename", ["pylock.toml", "pylock.linux.toml", "in/pylock.toml"])
def test_a_lock_file_of_pep_751_may_have_a_name_of_its_own(filename: str) -> None:
    assert len(read(filename, PYLOCK).entries) == 2


@pytest.mark.parametrize("filename", ["requirements.lock", "uv.lock.txt", "pylock.txt", "xuv.lock"])
def test_a_file_with_another_name_is_a_requirement_file(filename: str) -> None:
    assert [each.name for each in read(filename, "foo==1.0").entries] == ["foo"]


@pytest.mark.parametrize(
    "filename", ["pyproject.toml", "pylock.a.b.toml", "Pipfile", "Pipfile.lock", "pdm.lock"]
)
def test_files_of_other_kinds_are_refused(filename: str) -> None:
    assert problem(filename, "") == (
        f"{filename} is not a requirement file, and the supported lock files are pylock.toml, "
        "pylock.NAME.toml, uv.lock and poetry.lock"
    )


def test_a_requirement_file_may_name_a_lock_file() -> None:
    files = {"requirements.txt": "foo\n-c in/uv.lock", "in/uv.lock": UV}
    found = required(make_options(files, allowlist={"requirements": "requirements.txt"}))
    assert [each.name for each in found.entries] == ["foo"]
    assert [str(each.specifier) for each in found.constraints] == ["==1.0", "==2.0rc1"]


@pytest.mark.parametrize(
    ("filename", "content", "why"),
    [
        ("uv.lock", "[[package", "uv.lock is not TOML: "),
        ("uv.lock", "x = " + "[" * 5_000, "uv.lock is not TOML: "),
        ("uv.lock", b"x = '\xff'", "uv.lock, line 1 is not utf-8; save it as UTF-8"),
        ("uv.lock", "package = [1]", "uv.lock has no list of tables [[package]]"),
        ("uv.lock", "package = {}", "uv.lock has no list of tables [[package]]"),
    ],
)
def test_a_text_that_is_not_a_lock_file_is_refused(
    filename: str, content: str | bytes, why: str
) -> None:
    assert problem(filename, content).startswith(why)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('lock-version = "1.0"', "", "Missing required value in 'lock-version'"),
        ('lock-version = "1.0"', "lock-version = 1", "Unexpected type int"),
        ('lock-version = "1.0"', 'lock-version = "2.0"', "pylock version 2.0 is not supported"),
        ('created-by = "someone"', "", "Missing required value in 'created-by'"),
        ('name = "foo-bar"', 'name = "Foo_Bar"', "Name 'Foo_Bar' is not normalized"),
        ('version = "3"', f'version = "{"1" * 5_000}"', "in 'packages[3].version'"),
        ('created-by = "someone"', 'created-by = "x"\npackages = 1\n[x]\na = """', "not TOML"),
        ('commit-id = "0a1b"', "", "Missing required value in 'packages[1].vcs.commit-id'"),
    ],
)
def test_a_file_that_does_not_conform_to_pep_751_is_refused(old: str, new: str, why: str) -> None:
    message = problem("pylock.toml", PYLOCK.replace(old, new))
    assert message.startswith("pylock.toml is not ")
    assert why in message


def test_packages_of_a_pylock_file_are_a_list_of_tables() -> None:
    message = problem("pylock.toml", "lock-version = '1.0'\ncreated-by = 'x'\npackages = 1")
    assert message.startswith("pylock.toml is not a lock file of PEP 751: ")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("1", "is not text"),
        ("'../x'", "is not letters, digits and inner . _ -"),
        ("'foo-*'", "is not letters, digits and inner . _ -"),
    ],
)
def test_an_invalid_name_is_refused(name: str, why: str) -> None:
    shown = name.strip("'")
    assert problem("uv.lock", f"\n[[package]]\nname = {name}\nversion = '1'") == (
        f"'{shown}==1' in uv.lock, line 2: project name {name} {why}"
    )
    assert problem("uv.lock", "[[package]]").startswith("'None' in uv.lock, line 1: project name")


@pytest.mark.parametrize(
    "version", ["1", "'1;2'", "'1 2'", "'1,<2'", "'1.*'", "''", f"'{'1' * 5_000}'"]
)
def test_an_invalid_version_is_refused(version: str) -> None:
    said = problem("uv.lock", f"[[package]]\nname = 'x'\nversion = {version}")
    assert said.endswith("in uv.lock, line 1: its version is not usable")


def test_an_uncertain_line_is_not_reported() -> None:
    text = 'x = """\n[[package]]\n"""\n[[package]]\nname = "foo"\nversion = "1"'
    assert [str(each.origin) for each in read("uv.lock", text).entries] == ["'foo==1' in uv.lock"]
    text = 'package = [{name = "foo", version = "1"}]'
    assert [str(each.origin) for each in read("uv.lock", text).entries] == ["'foo==1' in uv.lock"]


@pytest.mark.parametrize("filename", ["uv.lock", "poetry.lock"])
@pytest.mark.parametrize("source", ["1", "'git'", "[]", "{}", "{type = 1}", "{type = 'new'}"])
def test_an_unknown_source_is_taken_for_an_index(filename: str, source: str) -> None:
    text = f"[[package]]\nname = 'foo'\nversion = '1'\nsource = {source}"
    assert len(read(filename, text).entries) == 1


@given(st.lists(st.tuples(names, versions), max_size=4))
def test_every_pin_of_a_lock_file_is_read(pins: list[tuple[str, str]]) -> None:
    text = "\n".join(f'[[package]]\nname = "{name}"\nversion = "{v}"' for name, v in pins)
    found = read("uv.lock", text).entries
    assert [(each.name, each.origin.line) for each in found] == [
        (name, 3 * n + 1) for n, (name, _) in enumerate(pins)
    ]
    assert all(each.matches(version) for each, (_, version) in zip(found, pins, strict=True))


values = st.sampled_from(["1", "'x'", "[]", "{}", "{git = 1}", "'1.0'", "true", "1979-05-27"])
tables = st.lists(
    st.tuples(st.sampled_from(["name", "version", "source", "vcs", "x"]), values)
).map(lambda each: "\n".join(["[[package]]", *(f"{key} = {value}" for key, value in each)]))


@given(st.lists(tables, max_size=3).map("\n".join) | hostile_text | st.text())
def test_any_text_is_a_lock_file_or_is_refused(text: str) -> None:
    try:
        found = read("uv.lock", text.encode("utf-8", "surrogatepass"))
    except InvalidRules:
        return
    assert all((entry.pin or entry.bare) and not entry.is_pattern for entry in found.entries)
