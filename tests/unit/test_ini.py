"""INI files: sections, references, duplicates, and what is refused."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bandersnatch.app import load
from bandersnatch.config.ini import IniFile, expand_variables, read_ini
from bandersnatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[str | bytes], IniFile]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that writes a text to a file and reads it."""
    path = tmp_path / "mirror.conf"

    def read(text: str | bytes) -> IniFile:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_ini(path)

    return read


def problems(file: IniFile) -> list[str]:
    """Return the problems of a file that could be read."""
    return [str(problem) for problem in file.problems]


def refusal(read: Read, text: str | bytes) -> list[str]:
    """Return the problems of a file that is refused, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert all(line.startswith(caught.value.file) for line in str(caught.value).splitlines())
    return [str(problem) for problem in caught.value.problems]


# ---------------------------------------------------------------- the format


def test_sections_hold_options_with_their_values(read: Read) -> None:
    file = read("[mirror]\ndirectory = /srv/pypi\nworkers=3\n\n[plugins]\nenabled = one\n")

    assert file.sections == {
        "mirror": {"directory": "/srv/pypi", "workers": "3"},
        "plugins": {"enabled": "one"},
    }
    assert file.problems == []


def test_lines_that_begin_with_a_hash_or_a_semicolon_are_comments(read: Read) -> None:
    file = read("# one\n[mirror]\n; two\n   # three\nworkers = 3\n")

    assert file.sections == {"mirror": {"workers": "3"}}


def test_a_comment_after_a_value_belongs_to_the_value(read: Read) -> None:
    assert read("[mirror]\nworkers = 3 ; x # y\n").sections["mirror"]["workers"] == "3 ; x # y"


def test_a_value_continues_on_indented_lines_with_blank_lines_between(read: Read) -> None:
    file = read("[plugins]\nenabled =\n    one\n\n      two\n[mirror]\nworkers = 3\n")

    assert file.sections["plugins"]["enabled"].split() == ["one", "two"]
    assert file.sections["mirror"] == {"workers": "3"}


def test_only_an_equals_sign_ends_a_name(read: Read) -> None:
    file = read("[regex_project_metadata]\nany:info.classifier = .*Python.*=x\n")

    assert file.sections["regex_project_metadata"] == {"any:info.classifier": ".*Python.*=x"}


def test_names_keep_their_case(read: Read) -> None:
    assert read("[mirror]\nJSON = true\njson = false\n").sections["mirror"] == {
        "JSON": "true",
        "json": "false",
    }


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_both_line_endings_are_accepted(read: Read, end: str) -> None:
    file = read(end.join(["[mirror]", "directory = /srv/pypi", "workers = 3", ""]))

    assert file.sections == {"mirror": {"directory": "/srv/pypi", "workers": "3"}}


def test_a_byte_order_mark_is_skipped(read: Read) -> None:
    file = read(b"\xef\xbb\xbf[mirror]\nworkers = 3\n")

    assert file.sections == {"mirror": {"workers": "3"}}


def test_a_file_is_utf_8_whatever_the_locale(read: Read) -> None:
    file = read("[mirror]\ndirectory = /srv/größe\n")

    assert file.sections["mirror"]["directory"] == "/srv/größe"


def test_an_empty_file_has_no_sections(read: Read) -> None:
    assert read("").sections == {}


# ---------------------------------------------------------------- files that cannot be read


def test_a_file_that_is_not_utf_8_is_refused_with_the_line_number(read: Read) -> None:
    [message] = refusal(read, b"[mirror]\nworkers = 3\ndirectory = /srv/gr\xf6\xdfe\n")

    assert message == "line 3 is not UTF-8; save the file in that encoding"


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "huge.conf"
    with path.open("wb") as file:
        file.truncate(17 * 1024 * 1024)

    with pytest.raises(ConfigError, match="more than 16777216 bytes; is it the right one"):
        read_ini(path)


def test_an_endless_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="more than 16777216 bytes"):
        read_ini(Path("/dev/zero"))


def test_a_pipe_can_be_read() -> None:
    """A shell makes one for ``-c <(...)``."""
    reading, writing = os.pipe()
    try:
        os.write(writing, b"[mirror]\nworkers = 3\n")
        os.close(writing)

        assert read_ini(Path(f"/dev/fd/{reading}")).sections == {"mirror": {"workers": "3"}}
    finally:
        os.close(reading)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the file cannot be read \(Is a directory\)"):
        read_ini(tmp_path)


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"the file cannot be read \(Not a directory\)"):
        read_ini(tmp_path / "file" / "mirror.conf")


def test_a_missing_file_is_not_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_ini(tmp_path / "none.conf")


@pytest.mark.parametrize("text", ["workers = 3\n[mirror]\n", "<html>\n", "\0", "x"])
def test_text_before_the_first_section_is_refused(read: Read, text: str) -> None:
    assert refusal(read, text) == ["line 1 is before the first [section]"]


def test_every_line_that_is_neither_section_nor_option_is_named(read: Read) -> None:
    message = refusal(read, "[mirror]\ndirectory = /x\nworkers 3\njson = true\n= 5\n")

    assert message == [
        "line 3 is neither a section nor 'option = value': 'workers 3\\n'",
        "line 5 is neither a section nor 'option = value': '= 5\\n'",
    ]


@pytest.mark.parametrize("line", ["<p>nonsense</p>", "  nonsense", "x" * 10_000])
def test_many_invalid_lines_are_one_problem(read: Read, line: str) -> None:
    message = refusal(read, "[mirror]\n" + f"{line}\n" * 1_000)

    assert message == [
        "1000 lines are neither a section nor 'option = value', first line 2; is it the right file?"
    ]


# ---------------------------------------------------------------- everything that is there twice


def test_every_duplicate_is_found_and_the_rest_is_still_read(read: Read) -> None:
    file = read(
        "[mirror]\ndirectory = /x\ndirectory = /y\nworkers = 1\nworkers = 2\nworkers = 3\n"
        "[plugins]\nenabled =\n    one\n[mirror]\njson = true\n"
    )

    assert problems(file) == [
        "[mirror] directory: it is set twice (again in line 3); keep one",
        "[mirror] workers: it is set twice (again in line 5); keep one",
        "[mirror] workers: it is set twice (again in line 6); keep one",
        "[mirror]: the section exists twice (again in line 10); join the two",
    ]
    assert file.sections["mirror"]["json"] == "true"
    assert file.sections["plugins"] == {"enabled": "\none"}


def test_the_number_of_reported_duplicates_is_limited(read: Read) -> None:
    assert len(problems(read("[mirror]\n" + "workers = 1\n" * 100))) == 20


def test_a_duplicate_with_several_lines_is_one_problem(read: Read) -> None:
    file = read("[plugins]\nenabled =\n    one\nenabled =\n    two\n    three\n")

    assert problems(file) == ["[plugins] enabled: it is set twice (again in line 4); keep one"]


def test_a_duplicate_does_not_hide_an_invalid_line(read: Read) -> None:
    message = refusal(read, "[mirror]\nworkers = 1\nworkers = 2\nnonsense\n")

    assert message == [
        "[mirror] workers: it is set twice (again in line 3); keep one",
        "line 4 is neither a section nor 'option = value': 'nonsense\\n'",
    ]


# ---------------------------------------------------------------- % references


def test_a_percent_reference_gives_the_value_of_another_option(read: Read) -> None:
    file = read("[mirror]\ndirectory = /srv\nlog-config = %(directory)s/log.conf\n")

    assert file.sections["mirror"]["log-config"] == "/srv/log.conf"


def test_a_doubled_percent_sign_is_a_literal_one(read: Read) -> None:
    assert read("[mirror]\ndirectory = /100%%\n").sections["mirror"]["directory"] == "/100%"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("50%", "% begins a reference like %(option)s; a literal % is written %%"),
        ("%x", "% begins a reference like %(option)s; a literal % is written %%"),
        ("%(directory", "% begins a reference like %(option)s; a literal % is written %%"),
        ("%(nowhere)s", "%(nowhere)s does not name an option; a literal % is written %%"),
        ("%(json)s", "its % references are circular; a literal % is written %%"),
    ],
)
def test_an_invalid_percent_reference_is_a_problem_of_its_option(
    read: Read, value: str, message: str
) -> None:
    file = read(f"[mirror]\ndirectory = /srv\njson = {value}\nworkers = 3\n")

    assert problems(file) == [f"[mirror] json: {message}"]
    assert file.sections["mirror"] == {"directory": "/srv", "workers": "3"}


@pytest.mark.parametrize("reference", ["%cret", "%(secret)s"])
def test_a_password_with_a_percent_sign_is_not_repeated(read: Read, reference: str) -> None:
    file = read(f"[mirror]\nproxy = http://user:very{reference}@proxy.example.org:3128\n")

    assert len(problems(file)) == 1
    assert "very" not in problems(file)[0]
    assert "example.org" not in problems(file)[0]


def test_every_section_can_refer_to_options_of_the_default_section(read: Read) -> None:
    file = read(
        "[DEFAULT]\nbase = /srv\ntop = %(base)s/top\n"
        "[mirror]\ndirectory = %(top)s/mirror\n[allowlist]\nrequirements_path = %(base)s/lists\n"
    )

    assert file.sections["mirror"]["directory"] == "/srv/top/mirror"
    assert file.sections["allowlist"] == {"requirements_path": "/srv/lists"}
    assert file.shared == {"base", "top"}


def test_a_section_overrides_the_default_section(read: Read) -> None:
    file = read("[DEFAULT]\nbase = /a\n[mirror]\nbase = /b\ndirectory = %(base)s/m\n")

    assert file.sections["mirror"] == {"base": "/b", "directory": "/b/m"}


def test_an_option_equal_to_the_default_section_is_kept(read: Read) -> None:
    file = read("[DEFAULT]\ndirectory = /srv\n[mirror]\ndirectory = /srv\n")

    assert file.sections["mirror"] == {"directory": "/srv"}


def test_the_default_section_counts_only_for_the_mirror_section(read: Read) -> None:
    file = read("[DEFAULT]\nworkers = 5\n[mirror]\ndirectory = /srv\n[plugins]\nenabled = x\n")

    assert file.sections["mirror"] == {"directory": "/srv", "workers": "5"}
    assert file.sections["plugins"] == {"enabled": "x"}


# ---------------------------------------------------------------- {{ }} references


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("{{mirror_directory}}", "/srv/pypi"),
        ("{{ mirror_directory }}", "/srv/pypi"),
        ("{{ mirror _ directory }}", "/srv/pypi"),
        ("{{\tmirror_directory}}", "/srv/pypi"),
        ("{{ mirror_directory }}/new", "/srv/pypi/new"),
        ("/x{{ mirror_directory }}/new", "/x/srv/pypi/new"),
        ("{{ mirror_directory }}/{{ mirror_digest_name }}", "/srv/pypi/sha256"),
        ("{{mirror_directory}}{{mirror_directory}}", "/srv/pypi/srv/pypi"),
        ("/{{ mirror_root_uri }}", "/https://files.example.org"),
        ("/{{ my_section_option }}", "/one"),
        ("/{{ my_section_long_option }}", "/two"),
        ("/{{ x_option }}", "/three"),
        ("/no/reference", "/no/reference"),
        ("/one/{brace}", "/one/{brace}"),
    ],
)
def test_a_reference_in_braces_gives_an_option_of_any_section(
    read: Read, value: str, meaning: str
) -> None:
    file = read(
        "[mirror]\ndirectory = /srv/pypi\ndigest_name = sha256\n"
        f"root_uri = https://files.example.org\ndiff-file = {value}\n"
        "[my_section]\noption = one\nlong_option = two\n[x]\noption = three\n"
    )

    assert problems(file) == []
    assert file.sections["mirror"]["diff-file"] == meaning


@pytest.mark.parametrize("order", [1, -1])
def test_references_may_be_nested(read: Read, order: int) -> None:
    lines = [
        "diff-file = {{ mirror_log-config }}.diff",
        "log-config = {{ mirror_directory }}/log",
        "directory = /srv",
    ]
    file = read("\n".join(["[mirror]", *lines[::order]]))

    assert file.sections["mirror"]["diff-file"] == "/srv/log.diff"


@pytest.mark.parametrize(
    "reference",
    ["mirror_nothing", "nowhere_directory", "directory", "mirror", "", "_", "mirror_", "_option"],
)
def test_a_reference_to_an_unknown_option_is_a_problem(read: Read, reference: str) -> None:
    file = read(f"[mirror]\ndirectory = /srv\ndiff-file = /x/{{{{{reference}}}}}\n")

    [message] = problems(file)
    assert message.startswith(
        f"[mirror] diff-file: {{{{{reference}}}}} does not name an option with"
    )


def test_unclosed_braces_are_a_problem(read: Read) -> None:
    file = read("[mirror]\ndirectory = /srv\ndiff-file = {{ mirror_directory }/x\n")

    assert problems(file) == [
        "[mirror] diff-file: a {{ has no }} after it; a reference is like {{ mirror_directory }}"
    ]


@pytest.mark.parametrize("other", ["{{ mirror_directory }}", "{{ mirror_diff-file }}"])
def test_circular_references_are_a_problem(read: Read, other: str) -> None:
    file = read(f"[mirror]\ndirectory = {other}\ndiff-file = {{{{ mirror_directory }}}}/x\n")

    assert problems(file) == [
        "[mirror] directory: its {{ }} references are circular",
        "[mirror] diff-file: its {{ }} references are circular",
    ]


def test_braces_outside_the_mirror_section_are_text(read: Read) -> None:
    file = read("[filter_regex]\npackages =\n    a{{2}}\n")

    assert file.sections["filter_regex"]["packages"] == "\na{{2}}"


# ---------------------------------------------------------------- ${ } references


ENVIRONMENT = {
    "ROOT": "/srv",
    "_x1": "${ROOT}%(directory)s{{ mirror_json }}",
    "EMPTY": "",
    "SP": " ",
}


def expanded(tmp_path: Path, text: str) -> IniFile:
    """Return a file that is read with some environment variables."""
    path = tmp_path / "mirror.conf"
    path.write_text(text)
    return read_ini(path, ENVIRONMENT)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("${ROOT}", "/srv"),
        ("${ROOT}/a${ROOT}", "/srv/a/srv"),
        ("$${ROOT}", "${ROOT}"),
        ("$${ROOT", "${ROOT"),
        ("$$${ROOT}", "$${ROOT}"),
        ("$ROOT", "$ROOT"),
        ("$", "$"),
        ("{ROOT}", "{ROOT}"),
        ("${_x1}", ENVIRONMENT["_x1"]),
    ],
)
@pytest.mark.parametrize("section", ["mirror", "allowlist", "any"])
def test_a_variable_is_replaced_once_in_every_section(
    tmp_path: Path, section: str, value: str, meaning: str
) -> None:
    file = expanded(tmp_path, f"[{section}]\noption = {value}\n")

    assert problems(file) == []
    assert file.sections[section]["option"] == meaning


def test_a_variable_is_replaced_after_all_other_references(tmp_path: Path) -> None:
    file = expanded(
        tmp_path,
        "[DEFAULT]\nbase = ${ROOT}\n[mirror]\ndirectory = %(base)s/m\n"
        "diff-file = {{ mirror_directory }}/diff\n",
    )

    assert file.sections["mirror"]["diff-file"] == "/srv/m/diff"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${NOWHERE}", "the environment variable NOWHERE is not set"),
        ("${root}", "the environment variable root is not set"),
        ("/a/${EMPTY}", "the environment variable EMPTY is empty"),
        ("/a/${SP}", "the environment variable SP is empty"),
        ("${ROOT", "a ${ has no } after it; a literal ${ is written $${"),
        ("${}", "${} does not name an environment variable; a literal ${ is written $${"),
        ("${A:-b}", "${A:-b} does not name an environment variable; a literal ${ is written $${"),
        ("${1}", "${1} does not name an environment variable; a literal ${ is written $${"),
    ],
)
@pytest.mark.parametrize("section", ["mirror", "allowlist"])
def test_a_variable_without_a_value_is_a_problem(
    tmp_path: Path, section: str, value: str, message: str
) -> None:
    file = expanded(tmp_path, f"[{section}]\noption = {value}\n")

    assert problems(file) == [f"[{section}] option: {message}"]


@given(st.text(st.sampled_from("${}AB_ \n:"), max_size=12))
def test_any_text_with_its_references_escaped_is_unchanged(text: str) -> None:
    assert expand_variables(text.replace("${", "$${"), {}) == text


@given(st.text(st.sampled_from("${}A_ \n:"), max_size=12))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    with suppress(LookupError):
        assert "${A}" not in expand_variables(text, {"A": "a"}).replace("$${A}", "") or "$$" in text


# ---------------------------------------------------------------- any text at all

PIECES = st.lists(
    st.sampled_from(
        [
            "[mirror]", "[plugins]", "[allowlist]", "[DEFAULT]", "[x]", "[", "]", "[]", "directory",
            "workers", "master", "proxy", "enabled", "packages", "diff-file", "removal-grace",
            "timeout", "allowlist_project", " = ", "=", ":", "\n", "\n", "\n", "\n    ", "\r", "\t",
            "%", "%%", "%(directory)s", "%(", "{{", "}}", "{{ mirror_directory }}", "#", ";",
            "/srv", "3", "-1", "1e999", "true", "https://example.org", "http://[::1", "://u:p@",
            "@", "\x00", "\x0b", "\u2028", "\ufeff", "\ud7ff", "é",
        ]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=300)
@given(st.one_of(st.text(), PIECES).map(str.encode) | st.binary())
@example(b"[mirror]\ndirectory = /x\ndirectory = /y\nnonsense\n")
@example(b"[[]\n[mirror]\n[mirror]\n =\n")
@example(b"[mirror]\nproxy = http://[::1\nmaster = https://example.org:99999\n")
def test_any_bytes_load_or_raise_a_configuration_error(content: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "any.conf")
        path.write_bytes(content)
        try:
            came_to = load(path).settings.storage.directory
        except ConfigError as error:
            came_to = str(error)
    assert came_to
