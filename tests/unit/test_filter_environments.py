"""``target_environments``: what the declared environments can install, as pip decides it."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.tags import (
    Tag,
    compatible_tags,
    cpython_tags,
    generic_tags,
    mac_platforms,
    parse_tag,
)

from bandersnatch.errors import InvalidRules
from bandersnatch.filters.builtin.environments import TargetEnvironments
from bandersnatch.filters.interface import PageFilter, Stage
from bandersnatch.filters.options import FilterOptions
from tests.support.factories import make_detail, make_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bandersnatch.model.files import ReleaseFile


def made(*environments: str, sdists: str | None = None) -> PageFilter:
    """Return the filter with these environments, called ``env0`` and so on."""
    own = {} if sdists is None else {"sdists": sdists}
    declared = {f"env{number}": text for number, text in enumerate(environments)}
    return TargetEnvironments.from_options(
        FilterOptions(sections={"environments": declared, "target_environments": own})
    )


def left(filter_: PageFilter, *files: ReleaseFile) -> list[str]:
    """Return what a filter leaves of a page with these files."""
    page = filter_.apply(make_detail(files=files))
    assert page is not None
    return [file.filename for file in page.files]


def keeps(environment: str, tags: str, requires_python: str | None = None) -> bool:
    """Whether a wheel of these tags is kept for an environment."""
    file = make_file(f"foo-1.0-{tags}.whl", requires_python=requires_python)
    return left(made(environment), file) == [file.filename]


# ---------------------------------------------------------------- packaging.tags as the judge


def glibc_platforms(architecture: str, minor: int) -> Iterator[str]:
    """Yield what a Linux with glibc 2.``minor`` runs."""
    yield f"linux_{architecture}"
    oldest = 5 if architecture in {"x86_64", "i686"} else 17
    for each in range(oldest, minor + 1):
        yield f"manylinux_2_{each}_{architecture}"
        legacy = {5: "1", 12: "2010", 17: "2014"}.get(each)
        if legacy:
            yield f"manylinux{legacy}_{architecture}"


def musl_platforms(architecture: str, minor: int) -> Iterator[str]:
    """Yield what a Linux with musl 1.``minor`` runs."""
    yield f"linux_{architecture}"
    yield from (f"musllinux_1_{each}_{architecture}" for each in range(minor + 1))


PLATFORMS: dict[str, list[str]] = {
    "linux x86_64 glibc 2.17": list(glibc_platforms("x86_64", 17)),
    "linux x86_64 glibc 2.28": list(glibc_platforms("x86_64", 28)),
    "linux i686 glibc 2.12": list(glibc_platforms("i686", 12)),
    "linux aarch64 glibc 2.35": list(glibc_platforms("aarch64", 35)),
    "linux x86_64 musl 1.1": list(musl_platforms("x86_64", 1)),
    "linux aarch64 musl 1.2": list(musl_platforms("aarch64", 2)),
    "macos x86_64 10.15": list(mac_platforms((10, 15), "x86_64")),
    "macos x86_64 12": list(mac_platforms((12, 0), "x86_64")),
    "macos arm64 12": list(mac_platforms((12, 0), "arm64")),
    "windows amd64": ["win_amd64"],
    "windows x86": ["win32"],
    "windows arm64": ["win_arm64"],
    "tag freebsd_13_1_release_amd64": ["freebsd_13_1_release_amd64"],
}
CPYTHONS = {
    **{f"3.{minor}": ((3, minor), [f"cp3{minor}"]) for minor in range(8, 15)},
    "2.7": ((2, 7), ["cp27m", "cp27mu"]),
    "3.2": ((3, 2), ["cp32m", "cp32mu"]),
    "3.6": ((3, 6), ["cp36m"]),
    "3.13t": ((3, 13), ["cp313t"]),
    "3.14t": ((3, 14), ["cp314t"]),
    "3.99": ((3, 99), ["cp399"]),
}
PYPYS = {"3.9": ((3, 9), ["pypy39_pp73"]), "3.10": ((3, 10), ["pypy310_pp73"])}


def supported(implementation: str, python: str, platform: str) -> frozenset[Tag]:
    """Return the tags that one Python on one platform supports, as ``packaging.tags`` lists."""
    platforms = PLATFORMS[platform]
    if implementation == "pypy":
        version, abis = PYPYS[python]
        interpreter = f"pp{version[0]}{version[1]}"
        own = generic_tags(interpreter, list(abis), platforms)
        return frozenset({*own, *compatible_tags(version, "pp3", platforms)})
    version, abis = CPYTHONS[python]
    interpreter = f"cp{version[0]}{version[1]}"
    own = cpython_tags(version, list(abis), platforms)
    return frozenset({*own, *compatible_tags(version, interpreter, platforms)})


CONCRETE = [
    *product(["cpython"], CPYTHONS, PLATFORMS),
    *product(["pypy"], PYPYS, ["linux x86_64 glibc 2.28", "macos arm64 12", "windows amd64"]),
]
INTERPRETERS = [
    *["py2", "py3", "py4", "py27", "py30", "py37", "py310", "py314", "py3100", "py", "py03"],
    *["cp2", "cp3", "cp26", "cp27", "cp31", "cp32", "cp36", "cp37", "cp38", "cp39", "cp310"],
    *["cp312", "cp313", "cp314", "cp399", "cp3100", "cp40", "cpython", "cp", "cp039"],
    *["pp3", "pp27", "pp39", "pp310", "pp311", "ip27", "jy27", "graalpy311", "foo"],
]
ABIS = [
    *["none", "abi3", "abi4", "cp27m", "cp27mu", "cp27", "cp32m", "cp32mu", "cp36m", "cp36"],
    *["cp37m", "cp38", "cp38d", "cp39", "cp310", "cp313", "cp313t", "cp314", "cp314t", "cp399"],
    *["m", "t", "mu", "cp", "pypy39_pp73", "pypy310_pp73", "pypy_73", "pypy39", "foo"],
]
SYSTEMS = [
    *["any", "win32", "win_amd64", "win_arm64", "win_ia64", "freebsd_13_1_release_amd64"],
    *[
        f"{family}_{architecture}"
        for family in (
            *["linux", "manylinux1", "manylinux2010", "manylinux2014", "manylinux2024"],
            *[f"manylinux_2_{m}" for m in (4, 5, 12, 16, 17, 18, 27, 28, 29, 35, 36)],
            *["manylinux_1_9", "manylinux_3_1", "manylinux_02_17", "manylinux"],
            *["musllinux_1_0", "musllinux_1_1", "musllinux_1_2", "musllinux_1_3"],
            *["musllinux_2_0", "musllinux", "musllinux_01_1"],
        )
        for architecture in ("x86_64", "i686", "aarch64")
    ],
    *[
        f"macosx_{version}_{form}"
        for version in ("10_3", "10_9", "10_15", "10_16", "11_0", "11_1", "12_0", "12_3", "13_0")
        for form in ("x86_64", "arm64", "universal2", "intel", "fat", "ppc")
    ],
]


def some(pool: list[str]) -> st.SearchStrategy[str]:
    """Draw a compressed tag set."""
    return st.lists(st.sampled_from(pool), min_size=1, max_size=3, unique=True).map(".".join)


@pytest.mark.parametrize(
    ("implementation", "python", "platform"), CONCRETE, ids=map(" ".join, CONCRETE)
)
def test_every_single_tag_is_judged_as_packaging_does(
    implementation: str, python: str, platform: str
) -> None:
    tags = supported(implementation, python, platform)
    texts = [
        f"{interpreter}-{abi}-{system}"
        for interpreter in INTERPRETERS
        for abi in ABIS
        if abi in {"none", "abi3", "m", "t"} or abi.startswith((interpreter, "pypy"))
        for system in ("any", "win32", PLATFORMS[platform][-1])
    ]
    texts += [f"py3-none-{system}" for system in SYSTEMS]
    names = {f"foo-1.0-{text}.whl": text for text in texts}
    kept = left(made(f"{implementation}; python {python}; {platform}"), *map(make_file, names))
    assert {names[name] for name in kept} == {text for text in texts if parse_tag(text) & tags}


@given(
    st.sampled_from(CONCRETE),
    st.lists(st.tuples(some(INTERPRETERS), some(ABIS), some(SYSTEMS)), max_size=8, unique=True),
)
def test_compressed_tags_are_judged_as_packaging_does(
    environment: tuple[str, str, str], tags: list[tuple[str, str, str]]
) -> None:
    implementation, python, platform = environment
    able = supported(*environment)
    names = {f"foo-1.0-{'-'.join(each)}.whl": parse_tag("-".join(each)) for each in tags}
    kept = left(made(f"{implementation}; python {python}; {platform}"), *map(make_file, names))
    assert kept == [name for name, parsed in names.items() if parsed & able]


SPECIFIERS = st.lists(
    st.tuples(
        st.sampled_from([">=", "<", ">", "<=", "!="]),
        st.tuples(st.sampled_from([2, 3]), st.integers(6, 15)),
    ).map(lambda drawn: f"{drawn[0]}{drawn[1][0]}.{drawn[1][1]}"),
    min_size=1,
    max_size=3,
).map(",".join)
REQUIRES = st.lists(
    st.tuples(
        st.sampled_from([">=", "<", ">", "<=", "!=", "==", "~="]),
        st.sampled_from(["3.7", "3.9.2", "3.9.0", "3.12", "3.20", "2.7.9", "3.8.99"]),
    ).map("".join)
    | st.sampled_from(["!=3.8.*", "==3.*", "!=3.*", ">=3", "<4", "==3.10.*", "===3.9.2"]),
    max_size=3,
).map(",".join)


@given(SPECIFIERS, REQUIRES, st.sampled_from(["py3", "py2", "py38", "cp39", "cp312", "py39"]))
def test_a_range_of_pythons_is_as_good_as_each_of_them(
    specifier: str, requires: str, interpreter: str
) -> None:
    """Every series up to 40 and every patch level up to 120 is tried instead."""
    series = [(major, minor) for major in (2, 3) for minor in range(41)]
    declared = SpecifierSet(specifier)
    allows = SpecifierSet(requires)
    expected = any(
        declared.contains(f"{major}.{minor}")
        and Tag(interpreter, "none", "any")
        in {*compatible_tags((major, minor), f"cp{major}{minor}", ["win32"])}
        and any(allows.contains(f"{major}.{minor}.{patch}") for patch in range(121))
        for major, minor in series
    )
    try:
        answer = keeps(f"python {specifier}; windows x86", f"{interpreter}-none-any", requires)
    except InvalidRules:
        assert not any(declared.contains(f"{major}.{minor}") for major, minor in series)
    else:
        assert answer == expected


# ---------------------------------------------------------------- tables


OPEN = "python >=3.9; linux x86_64 glibc 2.28"


@pytest.mark.parametrize(
    ("environment", "tags", "requires", "stays"),
    [
        (OPEN, "cp399-cp399-manylinux_2_28_x86_64", ">=3.99", True),
        (OPEN, "cp399-cp399-manylinux_2_28_x86_64", ">=3.100", False),
        (OPEN, "cp38-cp38-linux_x86_64", None, False),
        (OPEN, "cp38-abi3-linux_x86_64", None, True),
        (OPEN, "cp38-abi3-linux_x86_64", "<3.9", False),
        (OPEN, "cp38-abi3-any", None, False),
        (OPEN, "py3-none-any", ">=3.50", True),
        (OPEN, "py3-none-any", ">=4", False),
        (OPEN, "py4-none-any", None, True),
        (OPEN, "py2-none-any", None, False),
        (OPEN, "py2.py3-none-any", "<3", False),
        (OPEN, "py3-none-any", "<3.10,>3.9.18", True),
        (OPEN, "py3-none-any", "<=3.9", True),
        (OPEN, "py3-none-any", ">=3.8,<3.9", False),
        (OPEN, "py3-none-any", "", True),
        (OPEN, "py3-none-any", ">=3.7.*", True),
        (OPEN, "py3-none-any", "rubbish", True),
        (OPEN, "py3-none-any", "===3.9.7", True),
        (OPEN, "py3-none-any", "===rubbish", False),
        (OPEN, "py3-none-any", "!=3.*,<4", False),
        ("python 3.9 3.11; windows amd64", "py3-none-any", "==3.10.*", False),
        ("python 3.9, 3.11; windows amd64", "cp311-cp311-win_amd64", ">=3.11.4", True),
        ("python >=3.9,<3.14; windows amd64", "cp313-cp313-win_amd64", None, True),
        ("python >=3.9,<3.14; windows amd64", "cp314-cp314-win_amd64", None, False),
        ("python >= 3.9 , < 3.14; windows amd64", "cp314-cp314-win_amd64", None, False),
        ("python ~=3.12; windows amd64", "cp311-cp311-win_amd64", None, False),
        ("python ~=3.12; windows amd64", "cp399-cp399-win_amd64", None, True),
        ("python ==3.*; windows amd64", "cp30-none-any", None, True),
        ("python >3.12; windows amd64", "cp312-none-any", None, False),
        ("python 2.7\npython >=3.12; windows amd64", "cp27-cp27m-win_amd64", None, True),
        ("python >=3.13t; windows amd64", "cp313-cp313-win_amd64", None, False),
        ("python >=3.13t; windows amd64", "cp399-cp399t-win_amd64", None, True),
        ("python >=3.9t; windows amd64", "cp312-none-any", None, False),
        ("python >=3.9t; windows amd64", "py3-none-any", "<3.13", False),
        ("python >=3.9t; windows amd64", "py3-none-any", "<3.14", True),
        ("python 3.15t; windows amd64", "cp315-abi3-win_amd64", None, False),
        ("python 3.15t; windows amd64", "cp315-abi3t-win_amd64", None, True),
        ("python 3.15; windows amd64", "cp315-abi3t-win_amd64", None, False),
        ("python 3.15; windows amd64", "cp314-abi3.abi3t-win_amd64", None, True),
        ("python 3.13 3.13t; windows amd64", "cp313-cp313-win_amd64", None, True),
        ("pypy; python 2.7; linux x86_64 glibc 2.17", "pp27-pypy_73-linux_x86_64", None, True),
        ("pypy; python 3.99; windows amd64", "pp399-pypy399_pp80-win_amd64", None, True),
        ("pypy; python 3.99; windows amd64", "pp399-pypy398_pp80-win_amd64", None, False),
        ("pypy; python 3.99; windows amd64", "pp399-pypy_80-win_amd64", None, False),
        ("pypy; python 3.99; windows amd64", "cp399-cp399-win_amd64", None, False),
        ("cpython; python 3.99; windows amd64", "pp399-pypy399_pp80-win_amd64", None, False),
        ("python 3.9; linux x86_64 glibc 3.1", "py3-none-manylinux_2_99_x86_64", None, True),
        ("python 3.9; linux x86_64 musl 2.0", "py3-none-musllinux_1_2_x86_64", None, False),
        ("python 3.9; linux riscv64 glibc 2.39", "py3-none-manylinux_2_39_riscv64", None, True),
        ("python 3.9; linux riscv64 glibc 2.38", "py3-none-manylinux_2_39_riscv64", None, False),
        ("python 3.9; linux x86_64 aarch64 glibc 2.28", "py3-none-linux_aarch64", None, True),
        ("python 3.9; linux x86_64 glibc 2.28; windows x86", "py3-none-win32", None, True),
        ("python 3.9; linux amd64 arm64 glibc 2.28", "py3-none-linux_aarch64", None, True),
        ("python 3.9; macos x86_64 arm64 12.6", "py3-none-macosx_12_0_arm64", None, True),
        ("python 3.9; macos aarch64 99", "py3-none-macosx_99_0_arm64", None, True),
        ("python 3.9; windows win32 x64", "py3-none-win_amd64", None, True),
        ("python 3.9; tag any", "py3-none-any", None, True),
        ("python 3.9; tag any", "cp39-cp39-any", None, False),
        ("python 3.9; tag any", "py3-none-win32", None, False),
        ("python 3.9; tag any linux-armv5tel", "cp39-cp39-linux_armv5tel", None, True),
        ("Python 3.9 # old\n# nothing\nWINDOWS AMD64;", "cp39-cp39-win_amd64", None, True),
    ],
)
def test_wheels_are_kept_by_rules_and_not_by_tables_of_versions(
    environment: str, tags: str, requires: str | None, *, stays: bool
) -> None:
    assert keeps(environment, tags, requires) is stays


def test_one_python_must_do_for_both_tags_and_requirement() -> None:
    both = ("python 3.9; windows amd64", "python 3.12; linux x86_64 glibc 2.28")
    file = make_file("foo-1.0-cp312-cp312-win_amd64.whl")
    assert left(made(*both), file) == []
    wide = make_file("foo-1.0-py3-none-win_amd64.whl", requires_python=">=3.12")
    assert left(made(*both), wide) == []
    assert left(made("python 3.9 3.12; windows amd64"), file, wide) == [
        file.filename,
        wide.filename,
    ]


WHEEL = "foo-1.0-cp39-cp39-win_amd64.whl"
UNINSTALLABLE = {
    "foo-1.0-py3.9.egg": "an egg",
    "foo-1.0.win-amd64-py3.9.exe": "a Windows installer",
    "foo-1.0.win-amd64-py3.9.msi": "a Windows installer package",
    "foo-1.0-1.noarch.rpm": "an RPM package",
    "foo-1.0.deb": "a Debian package",
    "foo-1.0.dmg": "a disk image",
    "foo-1.0.linux-x86_64.tar.gz": "a built archive",
    "foo-1.0.jar": "of no known kind",
}


def test_what_pip_cannot_install_is_dropped() -> None:
    filter_ = made("python >=2.0; windows amd64")
    files = [
        *map(make_file, [*UNINSTALLABLE, "foo-1.0-odd.whl", "foo-x_y-py3-none-any.whl", WHEEL])
    ]
    assert left(filter_, *files) == [WHEEL]
    page = make_detail(files=tuple(files))
    for file in files[: len(UNINSTALLABLE)]:
        assert f"it is {UNINSTALLABLE[file.filename]}, " in filter_.explain(page, file)
    for file in files[len(UNINSTALLABLE) : -1]:
        assert "its name is not that of a wheel" in filter_.explain(page, file)


SDISTS = ["foo-1.0.tar.gz", "foo-1.zip", "foo-2.0.tar.gz", "foo-3.0.tar.gz", "foo-odd.tar.gz"]


@pytest.mark.parametrize(
    ("sdists", "stay"),
    [
        (None, SDISTS),
        ("keep", SDISTS),
        ("Keep", SDISTS),
        ("drop", []),
        ("when-no-wheel", ["foo-2.0.tar.gz", "foo-3.0.tar.gz", "foo-odd.tar.gz"]),
    ],
)
def test_source_distributions_have_a_policy(sdists: str | None, stay: list[str]) -> None:
    filter_ = made("python 3.9; windows amd64", "python 3.9; windows x86", sdists=sdists)
    wheels = [WHEEL, "foo-1.0.0-py2.py3-none-win32.whl", "foo-2.0-py3-none-win32.whl"]
    others = ["foo-3.0-cp27-none-any.whl"]
    assert left(filter_, *map(make_file, [*SDISTS, *wheels, *others])) == [*stay, *wheels]


@pytest.mark.parametrize("requires", [None, ">=3.9", "rubbish"])
def test_only_a_kept_wheel_serves_a_version(requires: str | None) -> None:
    filter_ = made("python 3.9; windows amd64", sdists="when-no-wheel")
    sdist, new = make_file("foo-1.0.tar.gz"), make_file(WHEEL, requires_python=requires)
    old = make_file(WHEEL, requires_python="<3.9")
    assert left(filter_, sdist, new) == [WHEEL]
    assert left(filter_, sdist, old) == ["foo-1.0.tar.gz"]


# ---------------------------------------------------------------- words, terms and problems


def test_it_is_a_file_filter_that_describes_itself() -> None:
    filter_ = made(OPEN, "pypy; python 3.10; windows x86")
    assert (filter_.name, filter_.stage) == ("target_environments", Stage.FILE)
    assert filter_.describe() == (
        "keep the wheels that env0 can install: cpython >=3.9 on linux x86_64 glibc 2.28",
        "keep the wheels that env1 can install: pypy ==3.10 on tag win32",
        "keep every source distribution",
        "drop what pip cannot install: eggs, installers, and other packages",
    )
    assert made(OPEN, sdists="drop").describe()[-2] == "drop every source distribution"
    assert "that have no wheel" in made(OPEN, sdists="when-no-wheel").describe()[-2]


def test_the_reason_gives_what_is_missing() -> None:
    options = FilterOptions(
        sections={
            "environments": {"servers": OPEN},
            "target_environments": {"sdists": "when-no-wheel"},
        },
        numbers={("target_environments", "sdists"): (9,)},
    )
    page = make_detail()

    def reason(filename: str, requires: str | None = None) -> str:
        because = TargetEnvironments.from_options(options).explain
        return because(page, make_file(filename, requires_python=requires))

    assert reason("foo-1.0-cp27-cp27m-macosx_10_9_x86_64.whl") == (
        "no declared environment can install it: its tags are cp27-cp27m-macosx_10_9_x86_64"
    )
    assert reason("foo-1.0-py3-none-any.whl", "<3.8") == (
        "no declared environment can install it: it requires Python '<3.8', and its tags are "
        "py3-none-any"
    )
    assert reason("foo-1.0.tar.gz") == (
        "every declared environment has a wheel of 1.0, and sdists = 'when-no-wheel' in "
        "bandersnatch.conf, line 9"
    )
    dropping = made(OPEN, sdists="drop").explain(page, make_file("foo-1.0.tar.gz"))
    assert dropping == "it is a source distribution, and sdists = 'drop' in bandersnatch.conf"
    assert TargetEnvironments.from_options(options).explain(page, None) == ""


def test_terms_change_with_the_rules_and_not_with_their_names_or_order() -> None:
    one, two = "python 3.9\npython >=3.12", "windows x86"
    assert (
        made(f"{one};{two}").fingerprint()
        == made(f"{two}; python >=3.12; Python 3.9 3.9").fingerprint()
    )
    assert (
        made(OPEN, "python 3.9; tag any").fingerprint()
        == made("tag any; python 3.9", OPEN).fingerprint()
    )
    different = [
        made(OPEN),
        made(OPEN, sdists="drop"),
        made(OPEN + "; pypy"),
        made("python >=3.9; linux x86_64 glibc 2.29"),
        made("python >=3.9; linux x86_64 musl 2.28"),
        made("python >=3.9; linux aarch64 glibc 2.28"),
        made("python >=3.9t; linux x86_64 glibc 2.28"),
        made("python 3.9; linux x86_64 glibc 2.28"),
        made("python >=3.9; macos arm64 12"),
        made("python >=3.9; macos arm64 13"),
    ]
    assert len({each.fingerprint() for each in different}) == len(different)


def problems(*environments: str, sdists: str | None = None) -> list[str]:
    """Return all that is wrong with these environments."""
    with pytest.raises(InvalidRules) as caught:
        made(*environments, sdists=sdists)
    return [str(each) for each in caught.value.problems]


@pytest.mark.parametrize(
    ("clause", "said"),
    [
        ("pythn 3.9", "did you mean 'python'?"),
        ("win amd64", "did you mean 'windows'?"),
        ("mac arm64 12", "did you mean 'macos'?"),
        (">=3.9", "a clause begins with python, cpython"),
        ("python", "write versions, as in"),
        ("python ,", "write versions, as in"),
        ("python 3", "'3' is not a version of the form X.Y"),
        ("python 3.9.1", "'3.9.1' is not a version of the form X.Y"),
        ("python py39", "'py39' is not a version"),
        ("python 3.9 x", "'x' is not a version"),
        ("python 3.12t", "the first free-threaded build is 3.13t"),
        ("python >=3.9.1", "'>=3.9.1' is not an operator of PEP 440"),
        ("python >=3.9 <3.12", "with a comma between the parts"),
        ("python >=3.9,3.12", "'3.12' is not an operator of PEP 440"),
        ("python 3.8 >=3.9", "is not an operator of PEP 440"),
        ("python ===3.9", "is not an operator of PEP 440"),
        ("python >=3.9.*", "'>=3.9.*' is not a specifier of PEP 440"),
        ("python ~=3", "'~=3' is not a specifier of PEP 440"),
        ("python >=3.12,<3.9", "there is no Python >=3.12,<3.9"),
        ("python <3.13t", "there is no Python <3.13t"),
        ("cpython 3.9", "cpython takes no versions; write them as 'python 3.9'"),
        ("pypy 3.9 3.10", "write them as 'python 3.9 3.10'"),
        ("linux", "write 'linux ARCHITECTURE glibc X.Y'"),
        ("linux x86_64", "write 'linux ARCHITECTURE glibc X.Y'"),
        ("linux x86_64 glibc", "write 'linux ARCHITECTURE glibc X.Y'"),
        ("linux x86_64 glibc 2", "write 'linux ARCHITECTURE glibc X.Y'"),
        ("linux x86_64 libc 2.28", "write 'linux ARCHITECTURE glibc X.Y'"),
        ("linux glibc 2.28", "name an architecture: one of x86_64"),
        ("linux x86_46 glibc 2.28", "did you mean 'x86_64'?"),
        ("linux xglibc 2.28", "write 'linux ARCHITECTURE glibc X.Y'"),
        ("linux x86_64 glibc 2.4", "no wheel is made for a glibc older than 2.5"),
        ("linux x86_64 glibc 1.2", "no wheel is made for a glibc older than 2.5"),
        ("macos", "write 'macos ARCHITECTURE X'"),
        ("macos arm64", "write 'macos ARCHITECTURE X'"),
        ("macos x86_64 10", "for macOS 10, 'macos ARCHITECTURE 10.Y'"),
        ("macos 12", "name an architecture: one of x86_64, arm64"),
        ("macos arm46 12", "did you mean 'arm64'?"),
        ("windows", "name an architecture: one of amd64"),
        ("windows amd46", "did you mean 'amd64'?"),
        ("tag", "write a platform tag"),
        ("tag linux", "'linux' is not a platform tag"),
        ("tag linux_x86_46", "did you mean 'x86_64'?"),
    ],
)
def test_a_mistake_is_one_problem_that_shows_the_way_out(clause: str, said: str) -> None:
    (message,) = problems(f"python 3.9; windows amd64; {clause}")
    assert message.startswith(f"[environments] env0: {clause!r} in bandersnatch.conf: ")
    assert said in message


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ("windows amd64", "no Python is named; add a clause such as"),
        ("python 3.9", "no platform is named; add a clause such as"),
        ("python 3.9; windows amd64; cpython; pypy", "it must be either cpython or pypy"),
        ("pypy; python 3.13t; windows amd64", "PyPy has no free-threaded builds"),
    ],
)
def test_an_incomplete_environment_is_a_problem(environment: str, said: str) -> None:
    (message,) = problems(environment)
    assert message.startswith("[environments] env0: ")
    assert said in message


def test_all_problems_are_reported_together() -> None:
    assert len(problems("linux arm", "pythn 3; pypy 3", "", sdists="kepe")) == 6
    assert "did you mean 'keep'?" in problems(OPEN, sdists="kepe")[0]
    assert problems(OPEN, sdists="x")[0].startswith("[target_environments] sdists: 'x' is none of")


@pytest.mark.parametrize("sections", [{}, {"environments": {}}])
def test_no_environment_is_an_error(sections: dict[str, dict[str, str]]) -> None:
    with pytest.raises(InvalidRules, match="no environment is declared"):
        TargetEnvironments.from_options(FilterOptions(sections=sections))


# ---------------------------------------------------------------- properties


NAMES = st.one_of(
    st.tuples(some(INTERPRETERS), some(ABIS), some(SYSTEMS)).map(
        lambda tags: f"foo-1.0-{'-'.join(tags)}.whl"
    ),
    st.sampled_from([*SDISTS, *UNINSTALLABLE, WHEEL, "foo-2.0-py3-none-any.whl"]),
    st.text().map("foo-1.0-{}.whl".format),
)
FILES = st.lists(
    st.builds(
        lambda name, requires: make_file(name, requires_python=requires),
        NAMES,
        st.none() | REQUIRES | st.text(alphabet="<>=!~*.,3 9x"),
    ),
    unique_by=lambda file: file.filename,
)
ENVIRONMENTS = [
    OPEN,
    "python 3.9; windows amd64",
    "pypy; python >=3.9; macos arm64 12",
    "python >3t;tag any",
]


@given(
    st.lists(st.sampled_from(ENVIRONMENTS), min_size=1, unique=True),
    st.sampled_from(["keep", "drop", "when-no-wheel"]),
    FILES.flatmap(lambda files: st.tuples(st.just(files), st.permutations(files))),
)
def test_the_result_is_stable_and_does_not_depend_on_order(
    environments: list[str], sdists: str, files: tuple[list[ReleaseFile], list[ReleaseFile]]
) -> None:
    filter_ = made(*environments, sdists=sdists)
    once = left(filter_, *files[0])
    assert once == [file.filename for file in files[0] if file.filename in once]
    assert left(filter_, *(file for file in files[0] if file.filename in once)) == once
    assert set(left(made(*reversed(environments), sdists=sdists), *files[1])) == set(once)
    page = make_detail(files=tuple(files[0]))
    assert all(filter_.explain(page, f) for f in files[0] if f.filename not in once)


@given(
    st.text(alphabet=st.characters() | st.sampled_from("python linux glibc 3.9;>=,"), max_size=40)
)
def test_any_text_is_an_environment_or_a_problem(text: str) -> None:
    for environment in (text, f"python {text}; windows amd64", f"python 3.9; linux {text}"):
        try:
            found: object = made(environment).describe()
        except InvalidRules as error:
            found = error.problems
        assert found
