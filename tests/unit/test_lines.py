"""The line numbers of values in a configuration file, and list files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.config.ini import ListFiles, line_numbers, read_ini
from bandersnatch.errors import OptionError
from bandersnatch.filters.options import FilterOptions

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
# a comment
[mirror]
directory = /srv/pypi

[plugins]
enabled =
    allowlist_project
    # not this one
    latest_release

    blocklist_project

[allowlist]
; another comment
packages = foo
  bar
"""


def test_every_line_of_a_value_has_its_number(tmp_path: Path) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text(TEXT)
    file = read_ini(path)
    lines = TEXT.split("\n")
    for section, options in file.sections.items():
        for option, value in options.items():
            numbers = file.numbers[section, option]
            texts = [lines[number - 1].rpartition("=")[2].strip() for number in numbers]
            assert texts == [line.strip() for line in value.split("\n")]
    assert file.numbers["plugins", "enabled"] == [6, 7, 9, 10, 11]
    assert file.numbers["allowlist", "packages"] == [15, 16]


options = st.lists(
    st.tuples(
        st.sampled_from(["a", "b-c", "d_e"]),
        st.lists(
            st.sampled_from(["x", "foo==1.0", "", "# no", "; no", "y z", "k = v"]), max_size=5
        ),
        st.sampled_from(["  ", "\t", "        "]),
    ),
    unique_by=lambda drawn: drawn[0],
)


@given(options, options)
def test_the_numbers_agree_with_what_the_parser_reads(
    tmp_path_factory: pytest.TempPathFactory,
    one: list[tuple[str, list[str], str]],
    two: list[tuple[str, list[str], str]],
) -> None:
    text = ""
    for section, drawn in (("one", one), ("two", two)):
        text += f"[{section}]\n"
        for option, lines, indent in drawn:
            text += f"{option} = first\n" + "".join(f"{indent}{line}\n" for line in lines)
    path = tmp_path_factory.mktemp("ini") / "mirror.conf"
    path.write_text(text)
    file = read_ini(path)
    whole = text.split("\n")
    for section, values in file.sections.items():
        for option, value in values.items():
            numbers = file.numbers[section, option]
            assert len(numbers) == value.count("\n") + 1
            assert numbers == sorted(set(numbers))
            for number, line in zip(numbers, value.split("\n"), strict=True):
                assert whole[number - 1].removeprefix(f"{option} = ").strip() == line.strip()


def test_a_text_without_options_has_no_line_numbers() -> None:
    assert line_numbers("") == {}
    assert line_numbers("\n# nothing\n[empty]\n") == {}


# ---------------------------------------------------------------- list files


def test_filters_without_files_find_none() -> None:
    with pytest.raises(OptionError, match=r"x\.txt cannot be read"):
        FilterOptions().files.read("x.txt")
    with pytest.raises(OptionError, match=r"no file in \. is named \*\.txt"):
        FilterOptions().files.find(".", "*.txt")


def test_a_list_file_is_read_by_relative_and_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.txt").write_bytes(b"foo\n")
    monkeypatch.chdir(tmp_path)
    assert ListFiles().read("list.txt") == b"foo\n"
    assert ListFiles().read(str(tmp_path / "list.txt")) == b"foo\n"


@pytest.mark.parametrize(
    ("name", "why"), [("missing", "No such file"), (".", "directory"), ("a\0b", "null")]
)
def test_a_list_file_that_cannot_be_read_is_an_option_error(
    tmp_path: Path, name: str, why: str
) -> None:
    with pytest.raises(OptionError, match=f"cannot be read: .*{why}"):
        ListFiles().read(f"{tmp_path}/{name}")


def test_an_endless_list_file_is_refused() -> None:
    with pytest.raises(OptionError, match="is it the right one"):
        ListFiles().read("/dev/zero")


def test_a_pattern_finds_files_in_nested_directories(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "a.in", "team/c.txt", "team/deep/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "dir.txt").mkdir()

    def found(pattern: str) -> list[str]:
        paths = ListFiles().find(str(tmp_path), pattern)
        return [path.removeprefix(f"{tmp_path}/") for path in paths]

    assert found("*.txt") == ["a.txt", "b.txt"]
    assert found("team/*.txt") == ["team/c.txt"]
    assert found("*/*.txt") == ["team/c.txt"]
    assert found("**/*.txt") == ["a.txt", "b.txt", "team/c.txt", "team/deep/d.txt"]


@pytest.mark.parametrize("pattern", ["*.lock", "none/*.txt", "/etc/*", ""])
def test_a_pattern_without_matches_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(OptionError):
        ListFiles().find(str(tmp_path), pattern)
