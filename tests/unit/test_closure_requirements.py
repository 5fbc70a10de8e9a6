"""Requirements, markers, targets and core metadata of closures."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker, default_environment

from bandersnatch.closure.archives import (
    SdistFiles,
    build_requirements,
    read_sdist,
    read_wheel,
)
from bandersnatch.closure.markers import Verdict, evaluate, extras_of
from bandersnatch.closure.needs import (
    Dependency,
    ProjectNeeds,
    RequirementList,
    Shortage,
    Unmet,
    contexts_of,
    decode_dependencies,
    dependencies_digest,
    encode_contexts,
    encode_dependencies,
    judge_needs,
)
from bandersnatch.closure.requirements import (
    MAX_REQUIREMENTS,
    CoreMetadata,
    parse_metadata,
    parse_requirement,
)
from bandersnatch.closure.targets import (
    ANY,
    NEWEST_SERIES,
    Targets,
    open_ranges,
    preference,
    targets_of,
)
from bandersnatch.model.names import ProjectName
from bandersnatch.model.wheels import Environment, Linux, Pythons, Tagged, macos, python_satisfies

LINUX = Linux("x86_64", "glibc", (2, 28))
WINDOWS = Tagged("tag win_amd64", frozenset({"win_amd64"}))
FOO = ProjectName("foo")


def environment(*pythons: str, platform: Linux | Tagged = LINUX, name: str = "e") -> Environment:
    return Environment(name, tuple(map(Pythons, pythons)), (platform,))


# ---------------------------------------------------------------- requirements


@pytest.mark.parametrize(
    ("text", "specifier"),
    [
        ("foo (>=1.0)", ">=1.0"),
        ("foo>=2.7.*", ">=2.7"),
        ("foo (>=1,<2,)", "<2,>=1"),
        ("foo>1 <2", "<2,>1"),
        ("foo !=3.0*", "!=3.0.*"),
        ("foo>='2.7'", ">=2.7"),
        ("foo, >=2", ">=2"),
        ("foo[b,A_x]>=1 <2; python_version>='3.6'", "<2,>=1"),
    ],
)
def test_old_requirements_are_read_as_they_are_meant(text: str, specifier: str) -> None:
    found = parse_requirement(text)

    assert found is not None
    assert (found.name, found.specifier) == ("foo", specifier)


@pytest.mark.parametrize(
    "text", ["", "foo bar", "-r x", ">=1", "foo" + " " * 5_000, "_", "f o >=1"]
)
def test_what_is_not_a_requirement_is_none(text: str) -> None:
    assert parse_requirement(text) is None


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    found = parse_requirement(text)

    assert found is None or found.text == text


def test_a_requirement_is_normalised() -> None:
    found = parse_requirement("Foo_Bar[B, a.C] >=1 ; extra == 'X_y'")

    assert found is not None
    assert (found.name, found.extras, found.mended) == ("foo-bar", ("a-c", "b"), False)
    assert extras_of(found.marker) == {"x-y"}
    direct = parse_requirement("foo @ https://example.org/foo.whl")
    assert direct is not None
    assert direct.url == "https://example.org/foo.whl"


# ---------------------------------------------------------------- core metadata


def test_core_metadata_states_requirements_and_extras() -> None:
    text = (
        b"Metadata-Version: 2.2\nName: foo\nRequires-Dist: a\nrequires-dist: b; extra == 'x'\n"
        b"License: long\n  text\n        \n  more\nRequires-Dist: c\n  >=1\n"
        b"Provides-Extra: X_y\n\nRequires-Dist: not-a-header\n"
    )

    assert parse_metadata(text) == CoreMetadata(
        ("a", "b; extra == 'x'", "c >=1"), ("x-y",), is_static=True
    )


@pytest.mark.parametrize(
    ("text", "is_static"),
    [
        (b"Metadata-Version: 2.1\n", False),
        (b"Metadata-Version: 2.4\n", True),
        (b"Metadata-Version: 2.4\nDynamic: Requires-Dist\n", False),
        (b"Metadata-Version: 2.4\nDynamic: License\n", True),
    ],
)
def test_metadata_is_static_from_version_2_2_on(
    text: bytes,
    is_static: bool,  # noqa: FBT001 - an expected value
) -> None:
    found = parse_metadata(text)

    assert isinstance(found, CoreMetadata)
    assert found.is_static is is_static


@pytest.mark.parametrize(
    "text", [b"", b"nonsense", b"Name: foo\n", b"Metadata-Version: x\n", b"\xff\xfe\x00"]
)
def test_metadata_that_cannot_be_read_says_why(text: bytes) -> None:
    assert isinstance(parse_metadata(text), str)


def test_too_many_requirements_are_not_followed() -> None:
    lines = "".join(f"Requires-Dist: a{n}\n" for n in range(MAX_REQUIREMENTS + 1))

    found = parse_metadata(f"Metadata-Version: 2.1\n{lines}".encode())

    assert isinstance(found, str)
    assert "10,001 requirements" in found


@given(st.binary(max_size=300))
def test_any_bytes_are_metadata_or_not(content: bytes) -> None:
    assert isinstance(parse_metadata(content), CoreMetadata | str)


# ---------------------------------------------------------------- markers


VARIABLES = (
    ("python_full_version", ("3.12.0", "3.12.9")),
    ("python_version", ("3.12",)),
    ("sys_platform", ("linux",)),
)


@pytest.mark.parametrize(
    ("marker", "verdict"),
    [
        ("", Verdict.YES),
        ("python_version < '3.13'", Verdict.YES),
        ("python_version < '3.12'", Verdict.NO),
        ("python_full_version < '3.12.4'", Verdict.UNDECIDED),
        ("python_full_version < '3.11.4'", Verdict.NO),
        ("platform_release > '3'", Verdict.UNDECIDED),
        ("platform_release > '3' and sys_platform == 'win32'", Verdict.NO),
        ("platform_release > '3' or sys_platform == 'linux'", Verdict.YES),
        ("extra == 'x'", Verdict.NO),
        ("'lin' in sys_platform", Verdict.YES),
        ("sys_platform ~= 'a'", Verdict.UNDECIDED),
        ("not a marker", Verdict.UNDECIDED),
    ],
)
def test_markers_have_three_answers(marker: str, verdict: Verdict) -> None:
    assert evaluate(marker, "", VARIABLES) is verdict


VALUES = st.sampled_from(["3.8", "3.12", "3.13", "linux", "win32", "posix"])
LEAVES = st.builds(
    "{} {} '{}'".format,
    st.sampled_from(["python_version", "sys_platform", "os_name"]),
    st.sampled_from(["==", "!="]),
    VALUES,
)
MARKERS = st.recursive(
    LEAVES,
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
)


@given(MARKERS)
def test_a_decided_environment_is_judged_as_packaging_does(marker: str) -> None:
    variables = {key: (str(value),) for key, value in default_environment().items()}

    found = evaluate(marker, "", tuple(sorted(variables.items())))

    assert found is (Verdict.YES if Marker(marker).evaluate() else Verdict.NO)


@given(MARKERS)
def test_an_undecided_marker_may_hold(marker: str) -> None:
    """What any environment decides is never excluded by knowing less."""
    whole = {key: (str(value),) for key, value in default_environment().items()}
    some = {key: whole[key] for key in ("sys_platform",)}

    found = evaluate(marker, "", tuple(sorted(some.items())))

    assert found in {Verdict.UNDECIDED, evaluate(marker, "", tuple(sorted(whole.items())))}


# ---------------------------------------------------------------- targets


def test_an_open_range_reaches_the_newest_known_series() -> None:
    found = targets_of([environment(">=3.13")])

    assert [each.series for each in found] == [(3, n) for n in range(13, NEWEST_SERIES[1] + 1)]
    assert open_ranges([environment(">=3.13"), environment("==3.12", name="f")]) == ("e",)


def test_a_listed_series_counts_though_it_is_not_known() -> None:
    assert [each.series for each in targets_of([environment("==3.99")])] == [(3, 99)]


def test_equal_targets_count_once() -> None:
    assert len(targets_of([environment("==3.12"), environment(">=3.12,<3.13", name="f")])) == 1
    assert targets_of([]) == (ANY,)


@pytest.mark.parametrize(
    ("platform", "marker"),
    [
        (LINUX, "platform_machine == 'x86_64' and os_name == 'posix'"),
        (WINDOWS, "platform_machine == 'AMD64' and platform_system == 'Windows'"),
        (macos("arm64", (12, 0)), "sys_platform == 'darwin' and platform_machine == 'arm64'"),
        (Tagged("tag macosx_11_0_x", frozenset({"macosx_11_0_x"})), "sys_platform == 'darwin'"),
        (Tagged("tag linux_armv5tel", frozenset({"linux_armv5tel"})), "sys_platform == 'linux'"),
    ],
)
def test_platforms_decide_markers(platform: Linux | Tagged, marker: str) -> None:
    targets = Targets(targets_of([environment("==3.12", platform=platform)]))

    assert targets.admitting(marker, "") == (1, 1)


def test_a_platform_that_is_unknown_decides_nothing() -> None:
    any_platform = Tagged("tag any", frozenset({"any"}))
    targets = Targets(targets_of([environment("==3.12", platform=any_platform)]))

    assert targets.admitting("sys_platform == 'linux'", "") == (0, 1)


def test_targets_take_wheels_and_source_distributions() -> None:
    targets = Targets(
        targets_of([environment("==3.12"), environment("==3.12", platform=WINDOWS, name="w")])
    )

    assert targets.taking("foo-1-py3-none-any.whl", FOO, None) == targets.all == 3
    assert targets.taking("foo-1-cp312-cp312-win_amd64.whl", FOO, None) == 2
    assert targets.taking("foo-1.tar.gz", FOO, ">=3.13") == 0
    assert targets.taking("foo-1.tar.gz", FOO, ">=3.12.4") == 3
    assert targets.taking("foo-1.exe", FOO, None) == 0
    assert Targets([ANY]).taking("foo-1-cp27-cp27m-win32.whl", FOO, ">=9") == 1
    assert [each.declared for each in targets.of(2)] == ["w"]


def test_a_pypy_target_is_one() -> None:
    pypy = Environment("p", (Pythons("==3.11"),), (LINUX,), "pypy")
    (target,) = targets_of([pypy])

    assert "PyPy" in target.name
    assert evaluate("implementation_name == 'pypy'", "", target.variables) is Verdict.YES
    assert evaluate("implementation_version > '7'", "", target.variables) is Verdict.UNDECIDED


def test_installers_prefer_particular_wheels() -> None:
    ordered = ["foo-1.tar.gz", "foo-1-py3-none-any.whl", "foo-1-cp38-abi3-linux_x86_64.whl"]
    ordered.append("foo-1-cp312-cp312-linux_x86_64.whl")

    assert sorted({*ordered}, key=preference) == ordered


def test_requires_python_is_about_any_patch_level() -> None:
    assert python_satisfies(">=3.12.4", (3, 12))
    assert not python_satisfies(">=3.13", (3, 12))
    assert python_satisfies(None, (3, 12))
    assert python_satisfies("nonsense", (3, 12))


# ---------------------------------------------------------------- what is asked


def needs(*requires: str, extras: tuple[str, ...] = (), wheel: str = "") -> ProjectNeeds:
    file = wheel or "foo-1-py3-none-any.whl"
    return ProjectNeeds((RequirementList(requires, extras, ((file, None),), "1"),))


def test_only_what_holds_in_a_target_is_asked_for() -> None:
    targets = Targets(
        targets_of([environment("==3.12"), environment("==3.12", platform=WINDOWS, name="w")])
    )
    found = judge_needs(
        FOO,
        needs("a", "b; sys_platform == 'win32'", "c; python_version < '3'", "d @ https://x/d", "?"),
        {"": 3},
        targets,
    )

    assert {
        name: [dependency.targets for dependency in dependencies]
        for name, dependencies in found.dependencies.items()
    } == {
        "a": [3],
        "b": [2],
    }
    assert found.direct == ("d @ https://x/d",)
    assert found.unreadable == ("?",)


def test_rings_of_extras_end() -> None:
    stated = needs("foo[one]; extra == 'all'", "foo[all]; extra == 'one'", "a; extra == 'one'", "b")

    found = judge_needs(FOO, stated, {"": 1, "all": 1}, Targets([ANY]))

    assert set(found.dependencies) == {"a", "b"}


def test_contexts_and_asks_survive_the_catalogue() -> None:
    dependency = Dependency(">=1", ("x",), 3, 1, "a[x]>=1", "2.0")

    assert decode_dependencies(encode_dependencies([dependency])) == (dependency,)
    assert decode_dependencies("damaged") == ()
    assert ProjectNeeds.decoded(needs("a").encoded()) == needs("a")
    assert ProjectNeeds.decoded("damaged") == ProjectNeeds()
    unmet = Unmet(Shortage.VERSIONS, "", ((">=1", 3, "by"),))
    assert Unmet.decoded(unmet.encoded()) == unmet
    assert Unmet.decoded("damaged") == Unmet.decoded("") == Unmet()
    contexts = contexts_of([dependency], root={"": 4}, follows_extras=True)
    assert contexts == {"": 7, "x": 3}
    assert encode_contexts(contexts) == ":7 x:3"
    assert contexts_of([dependency], root={}, follows_extras=False) == {"": 3}
    assert dependencies_digest([dependency]) != dependencies_digest(
        [Dependency(">=1", (), 1, 1, "a>=1", "1")]
    )
    assert dependencies_digest([dependency]) == dependencies_digest(
        [Dependency(">=1", (), 3, 1, "other", "1")]
    )


# ---------------------------------------------------------------- source distributions


def tar(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"foo-1/{name.replace('__', '.')}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def test_the_metadata_of_a_source_distribution_is_found() -> None:
    content = tar(**{"setup__py": b"x" * 1000, "PKG-INFO": b"info", "pyproject__toml": b"toml"})

    assert read_sdist(content) == SdistFiles(b"info", b"toml")

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("foo-1/PKG-INFO", b"info")
        archive.writestr("foo-1/foo.egg-info/PKG-INFO", b"other")
    assert read_sdist(stream.getvalue()) == SdistFiles(b"info", None)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_are_an_archive_or_not(content: bytes, length: int) -> None:
    for each in (content, b"PK" + content, tar(**{"PKG-INFO": b"x"})[:length]):
        assert isinstance(read_sdist(each), SdistFiles | str)
        assert isinstance(read_wheel(each), str)


def test_the_metadata_of_a_wheel_is_found() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("foo-1.dist-info/METADATA", b"text")
        archive.writestr("foo/other-1.dist-info/METADATA", b"other")

    assert read_wheel(stream.getvalue()) == b"text"


def test_build_requirements_have_a_default() -> None:
    assert build_requirements(b"[build-system]\nrequires = ['hatchling']") == ("hatchling",)
    assert build_requirements(None) == build_requirements(b"") == ("setuptools>=40.8.0",)
    assert build_requirements(b"[build-system") is None
    assert build_requirements(b"build-system = 1") is None
    assert build_requirements(b"[build-system]\nrequires = [1]") is None
