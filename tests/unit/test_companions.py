"""Companions of versions: the filters do not see them, and they stay with their version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.model.files import is_companion, is_mutable
from tests.support.chains import chain_of
from tests.support.factories import make_detail, make_file

if TYPE_CHECKING:
    from bandersnatch.model.project import ProjectDetail


def page(*filenames: str) -> ProjectDetail:
    """Return a page with files of these names, sorted as on every page."""
    return make_detail(*map(make_file, sorted(filenames)))


def kept(text: str, *filenames: str) -> list[str]:
    """Return the names of the files that filters keep."""
    result = chain_of(text).apply(page(*filenames))
    return [file.filename for file in result.page.files] if result.page is not None else []


def wheel(version: str, system: str = "any", label: str = "") -> str:
    """Return the name of a wheel."""
    return f"foo-{version}-py3-none-{system}{label and '-'}{label}.whl"


@pytest.mark.parametrize(
    ("filename", "companion", "mutable"),
    [
        ("foo-1.0-variants.json", True, True),
        ("foo-1.0-other.json", True, False),
        ("foo-1.0.json", True, False),
        (wheel("1.0", label="null"), False, False),
        ("foo-1.0.tar.gz", False, False),
    ],
)
def test_companions_and_those_that_may_change(
    filename: str, *, companion: bool, mutable: bool
) -> None:
    assert (is_companion(filename), is_mutable(filename)) == (companion, mutable)


def test_without_filters_everything_is_kept() -> None:
    names = ["foo-1.0-other.json", wheel("1.0"), "foo-2.0-variants.json"]

    assert kept("[mirror]", *names) == sorted(names)


LATEST = """
[plugins]
enabled = latest_release
[latest_release]
keep = 2
"""


def test_a_companion_is_no_version() -> None:
    old, middle, new = (wheel(version) for version in ("1.0", "2.0", "3.0"))
    companions = [f"foo-{version}-variants.json" for version in ("1.0", "2.0", "3.0")]

    assert kept(LATEST, old, middle, new, *companions) == sorted([middle, new, *companions[1:]])


PLATFORMS = """
[plugins]
enabled = exclude_platform
[blocklist]
platforms = windows
"""


def test_platform_filters_judge_a_variant_by_its_tags() -> None:
    windows, linux = wheel("1.0", "win_amd64", "cu12"), wheel("1.0", "linux_x86_64", "cu12")

    assert kept(PLATFORMS, windows, linux) == [linux]


def test_a_companion_leaves_with_the_last_file_of_its_version() -> None:
    companion = "foo-1.0-variants.json"
    windows, linux = wheel("1.0", "win_amd64", "cu12"), wheel("1.0", "linux_x86_64", "cu12")
    other = wheel("2.0")

    assert kept(PLATFORMS, windows, linux, companion, other) == sorted([linux, companion, other])
    assert kept(PLATFORMS, windows, companion, other) == [other]


def test_a_companion_without_files_of_its_version_on_the_index_is_kept() -> None:
    assert kept(PLATFORMS, "foo-1.0-variants.json", wheel("2.0")) == [
        "foo-1.0-variants.json",
        wheel("2.0"),
    ]


def test_what_drops_a_companion_is_explained() -> None:
    chain, companion = chain_of(PLATFORMS), "foo-1.0-variants.json"
    windows, linux = wheel("1.0", "win_amd64"), wheel("1.0", "linux_x86_64")

    assert chain.explain(page(windows, linux, companion), companion) is None
    assert chain.explain(page(linux, companion), companion) is None
    assert chain.explain(page(companion, wheel("2.0")), companion) is None
    found = chain.explain(page(windows, companion), companion)
    assert found is not None
    assert found[0].name == "exclude_platform"


@given(
    st.sets(
        st.tuples(st.sampled_from("123456"), st.sampled_from(["any", "win_amd64", "json"])),
        max_size=12,
    )
)
def test_companions_never_change_what_the_filters_keep(files: set[tuple[str, str]]) -> None:
    plain = [wheel(version, kind) for version, kind in files if kind != "json"]
    companions = [f"foo-{version}-variants.json" for version, kind in files if kind == "json"]
    for text in (LATEST, PLATFORMS):
        with_them = kept(text, *plain, *companions) if plain else []

        assert [name for name in with_them if not is_companion(name)] == (
            kept(text, *plain) if plain else []
        )
        versions = {name.split("-")[1] for name in with_them if not is_companion(name)}
        had = {name.split("-")[1] for name in plain}
        for name in companions if plain else ():
            version = name.split("-")[1]
            assert (name in with_them) == (version in versions or version not in had)
