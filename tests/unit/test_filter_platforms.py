"""``exclude_platform``, without the defects of earlier releases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidRules
from bandersnatch.filters.builtin.platforms import ExcludePlatform
from bandersnatch.filters.interface import PageFilter, Stage
from bandersnatch.filters.options import FilterOptions
from tests.support.factories import make_detail, make_file

MANYLINUX2014 = ("x86_64", "i686", "aarch64", "armv7l", "ppc64", "ppc64le", "s390x")


def made(platforms: str) -> PageFilter:
    """Return the filter with these tokens."""
    return ExcludePlatform.from_options(
        FilterOptions(sections={"blocklist": {"platforms": platforms}})
    )


def kept(platforms: str, *filenames: str) -> list[str]:
    """Return what the filter leaves of a page with these files."""
    page = make_detail(files=tuple(map(make_file, filenames)))
    left = made(platforms).apply(page)
    assert left is not None
    return [file.filename for file in left.files]


def keeps(platforms: str, filename: str) -> bool:
    """Whether the filter keeps a file."""
    return kept(platforms, filename) == [filename]


def wheel(platform: str, python: str = "cp39", abi: str = "cp39") -> str:
    """Return the name of a wheel."""
    return f"foo-1.0-{python}-{abi}-{platform}.whl"


WINDOWS = [wheel("win32"), wheel("win_amd64"), wheel("win_arm64"), wheel("win_ia64"),
           "foo-1.0.win32.exe", "foo-1.0.win-amd64-py2.7.exe", "foo-1.0.exe", "foo-1.0.win32.msi",
           "foo-1.0.msi", "foo-1.0.win32.zip", "foo-1.0-py2.7-win32.egg",
           "foo-1.0-py2.7-win-amd64.egg", "foo-1.0-py2.7-win-arm64.egg"]  # fmt: skip
MACOS = [wheel("macosx_10_9_x86_64"), wheel("macosx_11_0_arm64"), wheel("macosx_10_9_universal2"),
         "foo-1.0.macosx-10.9-x86_64.tar.gz", "foo-1.0-py2.7-macosx-10.6-intel.egg",
         "foo-1.0.dmg"]  # fmt: skip
FREEBSD = [wheel("freebsd_13_1_release_amd64"), "foo-1.0.freebsd-9-amd64.tar.gz",
           "foo-1.0-py2.7-freebsd-9.1-RELEASE-amd64.egg"]  # fmt: skip
LINUX = [
    *(wheel(f"linux_{arch}") for arch in (*MANYLINUX2014, "armv6l", "riscv64", "loongarch64")),
    *(wheel(f"manylinux1_{arch}") for arch in ("i686", "x86_64")),
    *(wheel(f"manylinux2010_{arch}") for arch in ("i686", "x86_64")),
    *(wheel(f"manylinux2014_{arch}") for arch in MANYLINUX2014),
    *(wheel(f"manylinux_2_{minor}_riscv64") for minor in (5, 17, 28, 39)),
    *(wheel(f"musllinux_1_{minor}_aarch64") for minor in (0, 1, 2)),
    "foo-1.0.linux-x86_64.tar.gz", "foo-1.0.linux-i686.tar.gz", "foo-1.0-py2.7-linux-aarch64.egg",
    "foo-1.0-1.noarch.rpm", "foo-1.0-1.src.rpm", "foo-1.0-1.x86_64.rpm", "foo-1.0.deb",
]  # fmt: skip
OF_ALL = ["foo-1.0.tar.gz", "foo-1.0.zip", "foo-1.0-py2.7.egg", "foo-1.0.jar",
          wheel("any", "py3", "none"), wheel("any", "py2.py3", "none"),
          "foo-linux_x86_64.whl"]  # fmt: skip
EVERY = [*WINDOWS, *MACOS, *FREEBSD, *LINUX, *OF_ALL]


@pytest.mark.parametrize(
    ("tokens", "gone"),
    [
        *[(token, WINDOWS) for token in ("windows", "win", "Windows", "WIN", "win windows")],
        *[(token, MACOS) for token in ("macos", "macosx", "MacOS")],
        *[(token, FREEBSD) for token in ("freebsd", "FreeBSD")],
        *[(token, LINUX) for token in ("linux", "LINUX")],
        ("windows macos\nfreebsd linux", [*WINDOWS, *MACOS, *FREEBSD, *LINUX]),
    ],
)
def test_a_word_for_a_platform_drops_all_that_is_built_for_it(tokens: str, gone: list[str]) -> None:
    assert set(EVERY) - set(kept(tokens, *EVERY)) == set(gone)


@pytest.mark.parametrize(
    ("token", "gone"),
    [
        *[(t, ["win32"]) for t in (".win32", "-win32", "win32", "WIN32")],
        *[(t, ["win_amd64"]) for t in ("win_amd64", "win-amd64", "-win_amd64", "Win-AMD64")],
        *[(t, ["win_arm64"]) for t in ("win_arm64", "win-arm64")],
        *[(t, ["linux_i686"]) for t in ("linux-i686", "linux_i686")],
        *[(t, ["linux_x86_64"]) for t in ("linux-x86_64", "linux_x86_64")],
        ("linux_armv7l", ["linux_armv7l"]),
        ("linux_armv6l", ["linux_armv6l"]),
        ("linux_aarch64", ["linux_aarch64"]),
        *[(f"manylinux1_{arch}", [f"manylinux1_{arch}"]) for arch in ("i686", "x86_64")],
        *[(f"manylinux2010_{arch}", [f"manylinux2010_{arch}"]) for arch in ("i686", "x86_64")],
        *[(f"manylinux2014_{arch}", [f"manylinux2014_{arch}"]) for arch in MANYLINUX2014],
        ("-manylinux_", ["manylinux_2_17_x86_64", "manylinux_2_28_x86_64"]),
        ("manylinux-", ["manylinux_2_17_x86_64", "manylinux_2_28_x86_64"]),
        *[(t, ["musllinux_1_1_x86_64", "musllinux_1_2_aarch64"])
          for t in ("musllinux", "-musllinux", "musllinux_")],
        ("manylinux_2_28_x86_64", ["manylinux_2_28_x86_64"]),
        ("musllinux_1_2_aarch64", ["musllinux_1_2_aarch64"]),
        ("macosx_11_0_arm64", ["macosx_11_0_arm64"]),
        ("macosx-11.0-arm64", ["macosx_11_0_arm64"]),
        ("freebsd_13_amd64", ["freebsd_13_amd64"]),
        ("android_21_arm64_v8a", ["android_21_arm64_v8a"]),
        ("ios_13_0_arm64_iphoneos", ["ios_13_0_arm64_iphoneos"]),
        ("pyodide_2024_0_wasm32", ["pyodide_2024_0_wasm32"]),
    ],
)  # fmt: skip
def test_a_single_tag_drops_just_that(token: str, gone: list[str]) -> None:
    tags = ["win32", "win_amd64", "win_arm64", "macosx_11_0_arm64", "macosx_11_0_x86_64",
            "linux_i686", "linux_x86_64", "linux_armv7l", "linux_armv6l", "linux_aarch64",
            *[f"manylinux1_{arch}" for arch in ("i686", "x86_64")],
            *[f"manylinux2010_{arch}" for arch in ("i686", "x86_64")],
            *[f"manylinux2014_{arch}" for arch in MANYLINUX2014],
            "manylinux_2_17_x86_64", "manylinux_2_28_x86_64", "musllinux_1_1_x86_64",
            "musllinux_1_2_aarch64", "freebsd_13_amd64", "android_21_arm64_v8a",
            "ios_13_0_arm64_iphoneos", "pyodide_2024_0_wasm32", "any"]  # fmt: skip
    left = kept(token, *map(wheel, tags))
    assert [tag for tag in tags if wheel(tag) not in left] == gone


@pytest.mark.parametrize("token", ["win32", ".win32", "-win32"])
def test_a_single_tag_also_drops_what_distutils_built(token: str) -> None:
    built = ["foo-1.0.win32.exe", "foo-1.0.win32-py2.7.msi", "foo-1.0-py2.7-win32.egg",
             "foo-1.0.win32.zip"]  # fmt: skip
    others = ["foo-1.0.win-amd64-py2.7.exe", "foo-1.0.exe", "foo-1.0.zip"]
    assert kept(token, *built, *others) == others


PYTHON_FILES = [
    *["foo-1.0-py2-none-any.whl", "foo-1.0-py2.py3-none-any.whl", "foo-1.0-py3-none-any.whl"],
    *[wheel("win32", f"{kind}27", "none") for kind in ("cp", "pp", "ip", "jy", "py")],
    *[wheel("win32", f"{kind}310", "none") for kind in ("cp", "pp", "ip", "jy", "py")],
    *[
        "foo-1.0-py27.py310-none-any.whl",
        "foo-1.0-cp37-abi3-win32.whl",
        wheel("any", "cp2", "none"),
    ],
    *["foo-1.0-cp37-cp37m-win32.whl", "foo-1.0-cp315-abi3.abi3t-win32.whl"],
    *["foo-1.0-cp37-abi3.cp37m-win32.whl", "foo-1.0-graalpy27-none-win32.whl"],
    *["foo-1.0-py2.7.egg", "foo-1.0-py3.10.egg", "foo-1.0-py2.egg", "foo-1.0-py3.1.egg"],
    *["foo-1.0.win32-py2.7.exe", "foo-1.0.win32-py3.10.msi", "foo-1.0.exe", "foo-1.0-1.noarch.rpm"],
    *["foo-1.0-py2.7.tar.gz", "foo-1.0.tar.gz"],
]


@pytest.mark.parametrize(
    ("token", "gone"),
    [
        (
            "py2",
            {"foo-1.0-py2-none-any.whl", "foo-1.0-cp2-none-any.whl", "foo-1.0-py2.egg",
             "foo-1.0-py2.7.egg", "foo-1.0.win32-py2.7.exe"},
        ),
        (
            "py3",
            {"foo-1.0-py3-none-any.whl", "foo-1.0-py3.10.egg", "foo-1.0-py3.1.egg",
             "foo-1.0.win32-py3.10.msi"},
        ),
        (
            "PY2.7",
            {*[wheel("win32", f"{kind}27", "none") for kind in ("cp", "pp", "ip", "jy", "py")],
             "foo-1.0-py2.7.egg", "foo-1.0.win32-py2.7.exe"},
        ),
        (
            "py3.10",
            {*[wheel("win32", f"{kind}310", "none") for kind in ("cp", "pp", "ip", "jy", "py")],
             "foo-1.0-py3.10.egg", "foo-1.0.win32-py3.10.msi"},
        ),
        ("py3.1", {"foo-1.0-py3.1.egg"}),
        ("py3.7", {"foo-1.0-cp37-cp37m-win32.whl"}),
        ("py3.15", set()),
        ("py3.99", set()),
        (
            "py2.7 py3.10",
            {*[wheel("win32", f"{kind}27", "none") for kind in ("cp", "pp", "ip", "jy", "py")],
             *[wheel("win32", f"{kind}310", "none") for kind in ("cp", "pp", "ip", "jy", "py")],
             "foo-1.0-py27.py310-none-any.whl", "foo-1.0-py2.7.egg", "foo-1.0.win32-py2.7.exe",
             "foo-1.0-py3.10.egg", "foo-1.0.win32-py3.10.msi"},
        ),
    ],
)  # fmt: skip
def test_a_python_drops_the_files_that_only_it_can_use(token: str, gone: set[str]) -> None:
    assert set(PYTHON_FILES) - set(kept(token, *PYTHON_FILES)) == gone


@pytest.mark.parametrize(
    ("tokens", "filename", "stays"),
    [
        ("py2", "foo-1.0-py2.py3-none-any.whl", True),
        ("py3", "foo-1.0-py2.py3-none-any.whl", True),
        ("py2 py3", "foo-1.0-py2.py3-none-any.whl", False),
        ("manylinux2014_i686", wheel("manylinux_2_17_i686.manylinux2014_i686"), True),
        ("manylinux2014_i686 manylinux_", wheel("manylinux_2_17_i686.manylinux2014_i686"), False),
        ("linux", wheel("linux_x86_64.macosx_11_0_arm64"), True),
        ("linux macos", wheel("linux_x86_64.macosx_11_0_arm64"), False),
        ("py3.9", wheel("win32", "cp39.cp310", "none"), True),
        ("py3.9 windows", wheel("win32", "cp39.cp310", "none"), False),
        ("py3.9 windows", wheel("win32.linux_x86_64", "cp39.cp310", "none"), True),
        ("py3.7", wheel("any", "py37", "none"), False),
        ("windows", wheel("darwin_x86", "win32", "win32"), True),
    ],
)  # fmt: skip
def test_a_wheel_is_dropped_if_all_its_combinations_are_excluded(
    tokens: str, filename: str, *, stays: bool
) -> None:
    assert keeps(tokens, filename) is stays


def problems(platforms: str) -> list[str]:
    """Return what is wrong with these tokens."""
    with pytest.raises(InvalidRules) as caught:
        made(platforms)
    assert {(each.section, each.option) for each in caught.value.problems} == {
        ("blocklist", "platforms")
    }
    return [each.message for each in caught.value.problems]


@pytest.mark.parametrize(
    ("token", "meant"),
    [
        ("windos", "windows"),
        ("linus", "linux"),
        ("freebsb", "freebsd"),
        ("n", "win"),
        ("windows,", "windows"),
        ("manylinux", "manylinux_"),
        ("win_amd46", "amd64"),
        ("linux_x86_46", "x86_64"),
        ("manylinux_2_28_aarch46", "aarch64"),
        ("musllinux_1_2_x86-65", "x86_64"),
        ("macosx_11_0_arm65", "arm64"),
        ("py27", "py2.7"),
        ("cp310", "py3.10"),
        ("python3.9", "py3.9"),
        ("python2", "py2"),
        ("py3.13t", "py3.13"),
    ],
)
def test_an_unknown_token_is_an_error_that_names_the_nearest(token: str, meant: str) -> None:
    (message,) = problems(token)
    assert repr(token) in message
    assert f"did you mean {meant!r}?" in message


@pytest.mark.parametrize("token", ["e", "n", "x", "any", "sdist", "py", "py.4", "-", "\u212a"])
def test_a_substring_of_a_token_does_not_match(token: str) -> None:
    (message,) = problems(token)
    assert "write windows, macos, linux" in message


def test_every_problem_is_reported_with_its_line() -> None:
    options = FilterOptions(
        sections={"blocklist": {"platforms": "\nwindows # of old\n# nothing\nlinus macos e"}},
        numbers={("blocklist", "platforms"): (7, 8, 9, 10)},
    )
    with pytest.raises(InvalidRules) as caught:
        ExcludePlatform.from_options(options)
    first, second = (each.message for each in caught.value.problems)
    assert first.startswith("'linus' in bandersnatch.conf, line 10: ")
    assert second.startswith("'e' in bandersnatch.conf, line 10: ")


@pytest.mark.parametrize(
    "sections", [{}, {"blocklist": {"platforms": ""}}, {"blocklist": {"platforms": "\n# none"}}]
)
def test_nothing_to_exclude_is_an_error(sections: dict[str, dict[str, str]]) -> None:
    with pytest.raises(InvalidRules, match="no platform is named"):
        ExcludePlatform.from_options(FilterOptions(sections=sections))


def test_it_is_a_file_filter_that_describes_itself() -> None:
    made_filter = made("windows py2.7 -win32")
    assert (made_filter.name, made_filter.stage) == ("exclude_platform", Stage.FILE)
    assert made_filter.describe() == (
        "drop the files that are only for platforms: windows, -win32",
        "drop the files that are only for Pythons: 2.7",
        "keep every source distribution",
    )
    assert made("py2.7").describe()[0].endswith("Pythons: 2.7")
    assert len(made("linux").describe()) == 2


def test_the_reason_names_the_tokens_and_their_lines() -> None:
    options = FilterOptions(
        sections={"blocklist": {"platforms": "\nmacos windows\nlinux py2.7 py3"}},
        numbers={("blocklist", "platforms"): (7, 8, 9)},
    )
    because = ExcludePlatform.from_options(options).explain
    page = make_detail()

    def reason(filename: str) -> str:
        return because(page, make_file(filename))

    windows, linux, python = (
        "'windows' in bandersnatch.conf, line 8",
        "'linux' in bandersnatch.conf, line 9",
        "'py2.7' in bandersnatch.conf, line 9",
    )
    assert reason(wheel("win_amd64")) == windows
    assert reason(wheel("linux_x86_64.win32")) == f"{windows} and {linux}"
    assert reason(wheel("any", "cp27")) == python
    assert reason("foo-1.0.win32-py2.7.exe") == f"{windows} and {python}"
    assert reason("foo-1.0.tar.gz") == ""
    assert reason(wheel("any", "cp39")) == ""
    assert because(page, None) == ""


def test_terms_change_with_the_rules_and_not_with_their_spelling() -> None:
    assert made("windows\nlinux").fingerprint() == made("LINUX win win").fingerprint()
    assert made("-win32 win-amd64").fingerprint() == made("win_amd64 .win32").fingerprint()
    different = ["windows", "win32", "macos", "linux", "linux_x86_64", "py2", "py2.7", "musllinux"]
    assert len({made(each).fingerprint() for each in different}) == len(different)


def test_two_configurations_in_one_process_do_not_mix() -> None:
    """Defect D10: what one configuration excludes stayed excluded in the next."""
    made("windows")
    assert keeps("linux", wheel("win32"))


TOKENS = ["windows", "macos", "linux", "freebsd", "py2", "py3", "py3.9", "win32", "-manylinux_"]
FILES = st.sampled_from([*EVERY, *PYTHON_FILES]) | st.text().map("foo-1.0-{}.whl".format)


@given(
    st.lists(st.sampled_from(TOKENS), min_size=1).flatmap(
        lambda tokens: st.tuples(st.just(tokens), st.permutations(tokens))
    ),
    st.lists(FILES, unique=True).flatmap(
        lambda files: st.tuples(st.just(files), st.permutations(files))
    ),
)
def test_the_result_is_stable_and_does_not_depend_on_order(
    tokens: tuple[list[str], list[str]], files: tuple[list[str], list[str]]
) -> None:
    once = kept(" ".join(tokens[0]), *files[0])
    assert once == [name for name in files[0] if name in once]
    assert kept(" ".join(tokens[0]), *once) == once
    assert set(kept("\n".join(tokens[1]), *files[1])) == set(once)
    page = make_detail()
    because = made(" ".join(tokens[0])).explain
    assert [name for name in files[0] if not because(page, make_file(name))] == once
    sdists = {"foo-1.0.tar.gz", "foo-1.0.zip", "foo-1.0-py2.7.tar.gz"}
    assert sdists & set(files[0]) <= set(once)


@given(st.text(alphabet=st.characters() | st.sampled_from("py39winlux_-. ")))
def test_any_text_is_tokens_or_a_problem(text: str) -> None:
    try:
        found: object = made(text).describe()
    except InvalidRules as error:
        found = error.problems
    assert found


def test_files_with_the_same_tags_share_their_fate() -> None:
    files = ["foo-1.0-py2-none-any.whl", "foo-2.0-py2-none-any.whl", "foo-2.0-py3-none-any.whl"]
    assert kept("py2", *files) == files[2:]
    assert kept("py3", *files) == files[:2]
