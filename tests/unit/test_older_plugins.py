"""Plugins for the interface of earlier releases."""

from __future__ import annotations

from configparser import ConfigParser
from copy import deepcopy
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import FilterFailure, InvalidRules
from bandersnatch.filter import (
    Filter,
    FilterMetadataPlugin,
    FilterProjectPlugin,
    FilterReleaseFilePlugin,
    FilterReleasePlugin,
)
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.interface import Needs, PageFilter, ProjectFilter, Stage
from bandersnatch.filters.options import FilterOptions
from bandersnatch.filters.plugins.installed import provided
from bandersnatch.filters.plugins.legacy import (
    LegacyClass,
    LegacyClasses,
    LegacyProjectFilter,
    LegacyReleaseFilter,
)
from bandersnatch.filters.plugins.v1 import GROUP
from bandersnatch.model.names import ProjectName
from bandersnatch.model.versions import version_key
from tests.support.factories import make_detail, make_file
from tests.support.plugins import Installed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bandersnatch.model.project import ProjectDetail

FOO, BAR = ProjectName("foo"), ProjectName("bar")
KINDS = {
    "project": FilterProjectPlugin,
    "metadata": FilterMetadataPlugin,
    "release": FilterReleasePlugin,
    "release_file": FilterReleaseFilePlugin,
}
DOCUMENT: dict[str, Any] = {
    "info": {"name": "Foo", "version": "2.0", "classifiers": ["A", "B"], "license": "MIT"},
    "releases": {
        "1.0": [{"filename": "foo-1.0.tar.gz", "comment_text": "first", "downloads": {"day": -1}}],
        "2.0": [{"filename": "foo-2.0.tar.gz"}, {"filename": "foo-2.0-py3-none-any.whl"}],
        "3.0": [],
    },
    "vulnerabilities": [{"id": "X-1"}],
}
PAGE = make_detail(
    *[make_file(f"foo-{rest}") for rest in ("1.0.tar.gz", "2.0-py3-none-any.whl", "2.0.tar.gz")],
    versions=("1.0", "2.0", "3.0"),
    document=DOCUMENT,
)


# ---------------------------------------------------------------- classes, as packages have them


class Prefix(FilterProjectPlugin):
    """Keeps the projects whose names begin with an option's value."""

    name = "prefix_project"
    deprecated_name = "prefix_package"
    made: ClassVar[int] = 0

    def initialize_plugin(self) -> None:
        type(self).made += 1
        self.prefix = self.configuration["prefix"]["Begins:with"]

    def filter(self, metadata: dict[str, Any]) -> bool:
        return self.check_match(name=metadata["info"]["name"])

    def check_match(self, **kwargs: Any) -> bool:
        return bool(kwargs["name"].startswith(self.prefix))


class PrefixedReleases(FilterReleasePlugin):
    """The same package's filter of another kind, under the same name."""

    name = "prefix_project"

    def filter(self, metadata: dict[str, Any]) -> bool:
        return bool(metadata["version"].startswith("1"))


class Unnamed(FilterReleasePlugin):
    """A class without a name."""


class Impostor:
    """A class that is made from none of the base classes."""

    name = "impostor"


class Unsettled(FilterReleasePlugin):
    """A class that cannot be made without its section."""

    name = "unsettled"

    def initialize_plugin(self) -> None:
        self.count = self.configuration.getint("unsettled", "count")


# ---------------------------------------------------------------- making filters


@pytest.fixture
def packages(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def here(name: str) -> str:
    """Return what an entry point calls something in this module."""
    return f"{__name__}:{name}"


def group(kind: str) -> str:
    return f"bandersnatch_filter_plugins.v2.{kind}"


def made(kind: str, does: Callable[..., object], **attributes: Any) -> ProjectFilter | PageFilter:
    """Return the filter of a class of a kind whose ``filter`` is a function of the dictionary."""
    body = {"name": "own", "filter": lambda _, metadata: does(metadata)}
    return adapted(kind, type("Own", (KINDS[kind],), body | attributes))


def adapted(
    kind: str, own: type[Filter], sections: Mapping[str, Mapping[str, str]] = MappingProxyType({})
) -> ProjectFilter | PageFilter:
    """Return the filter of a class."""
    classes = LegacyClasses((LegacyClass(kind, own, "acme 1 (acme:Own)", "acme 1"),))
    (provider,) = classes.providers([own.name])
    return provider.make(FilterOptions(sections=sections))


def page_filter(kind: str, does: Callable[..., object], **attributes: Any) -> PageFilter:
    found = made(kind, does, **attributes)
    assert isinstance(found, PageFilter)
    return found


def noting(asked: list[Any]) -> Callable[[object], bool]:
    """Return a filter that keeps everything and notes what it was asked."""

    def notes(metadata: object) -> bool:
        asked.append(metadata)
        return True

    return notes


def narrowed(found: ProjectFilter | PageFilter) -> ProjectDetail | None:
    """Return what a chain of one filter leaves of the page."""
    if isinstance(found, ProjectFilter):
        return PAGE if FilterChain(projects=(found,)).selects(FOO) else None
    return FilterChain(pages=(found,)).apply(PAGE).page


def names_of(page: ProjectDetail | None) -> list[str]:
    assert page is not None
    return [file.filename for file in page.files]


def test_a_class_is_enabled_by_its_own_name_and_gets_the_whole_configuration(
    packages: Installed,
) -> None:
    packages.add("acme", "1.2", {group("project"): {"any_name": here("Prefix")}})

    (provider,) = provided(["prefix_project"], packages).providers
    found = provider.make(FilterOptions(sections={"prefix": {"Begins:with": "f"}}))

    assert isinstance(found, ProjectFilter)
    assert found.name == "prefix_project"
    assert (provider.name, provider.distribution, provider.note) == (found.name, "acme 1.2", "")
    assert (found.apply(FOO), found.apply(BAR)) == (True, False)
    assert found.names is None
    assert found.describe() == ("drop what prefix_project of acme 1.2 does not keep",)
    assert found.explain(BAR) == "acme 1.2 does not keep it"


def test_the_name_of_an_entry_point_enables_nothing(packages: Installed) -> None:
    packages.add("acme", "1.2", {group("project"): {"any_name": here("Prefix")}})
    found = provided(["any_name"], packages)
    assert found.providers == ()
    assert found.names == {"prefix_project"}


def test_a_deprecated_name_enables_a_class_with_a_note(packages: Installed) -> None:
    packages.add("acme", "1.2", {group("project"): {"any_name": here("Prefix")}})
    (provider,) = provided(["prefix_package"], packages).providers
    assert provider.name == "prefix_package"
    assert provider.note == (
        "'prefix_package' in [plugins] enabled is now called 'prefix_project'; write that"
    )
    found = provider.make(FilterOptions(sections={"prefix": {"Begins:with": "f"}}))
    assert found.name == "prefix_package"


def test_a_class_is_instantiated_once_and_only_if_enabled(packages: Installed) -> None:
    packages.add("acme", "1.2", {group("project"): {"any_name": here("Prefix")}})
    before = Prefix.made
    (provider,) = provided(["prefix_project"], packages).providers
    assert Prefix.made == before
    provider.make(FilterOptions(sections={"prefix": {"Begins:with": "f"}}))
    assert Prefix.made == before + 1


def test_two_configurations_in_one_process_do_not_meet() -> None:
    """No part of a configuration is kept outside the filter that is built from it."""
    filters = [
        adapted("project", Prefix, {"prefix": {"Begins:with": letter}}) for letter in ("f", "b")
    ]
    assert [
        (each.apply(FOO), each.apply(BAR)) for each in filters if isinstance(each, ProjectFilter)
    ] == [(True, False), (False, True)]


def test_a_package_may_have_classes_of_several_kinds_under_one_name(packages: Installed) -> None:
    packages.add(
        "acme",
        "1.2",
        {
            group("project"): {"a": here("Prefix")},
            group("release"): {"b": here("PrefixedReleases")},
        },
    )
    options = FilterOptions(sections={"prefix": {"Begins:with": "f"}})
    filters = [each.make(options) for each in provided(["prefix_project"], packages).providers]
    assert [type(each) for each in filters] == [LegacyProjectFilter, LegacyReleaseFilter]


def test_a_name_of_two_packages_is_refused_with_both(packages: Installed) -> None:
    packages.add("acme", "1", {group("project"): {"a": here("Prefix")}})
    packages.add("umbrella", "2", {group("release"): {"b": here("PrefixedReleases")}})
    (provider,) = provided(["prefix_project"], packages).providers
    with pytest.raises(InvalidRules) as caught:
        provider.make(FilterOptions())
    assert str(caught.value) == (
        "[plugins] enabled: 'prefix_project' is provided by "
        f"acme 1 ({here('Prefix')}) and umbrella 2 ({here('PrefixedReleases')}); uninstall one"
    )


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module:Own", "ModuleNotFoundError: No module named 'no_such_module'"),
        (here("Missing"), "AttributeError: module"),
        (here("Impostor"), "it is not a subclass of those in bandersnatch.filter"),
        (here("FOO"), "it is not a subclass of those in bandersnatch.filter"),
        (here("Unnamed"), "its class has no name"),
    ],
)
def test_a_class_that_does_not_load_is_reported_if_a_name_is_not_found(
    packages: Installed, value: str, why: str
) -> None:
    packages.add("acme", "1.2", {group("release"): {"own": value}})
    packages.add("umbrella", "1", {GROUP: {"new": here("Prefix")}})
    packages.add("cyclops", "1", {group("project"): {"own": here("Prefix")}})

    found = provided(["own"], packages)

    assert found.providers == ()
    assert found.names == {"new", "prefix_project"}
    (broken,) = found.broken
    assert broken.startswith(f"acme 1.2 ({value}) cannot be loaded: {why}")


def test_a_class_that_does_not_load_does_not_affect_the_others(packages: Installed) -> None:
    packages.add("acme", "1.2", {group("release"): {"own": "no_such_module:Own"}})
    packages.add("cyclops", "1", {group("project"): {"own": here("Prefix")}})
    (provider,) = provided(["prefix_project"], packages).providers
    assert provider.distribution == "cyclops 1"


def test_a_class_that_cannot_be_instantiated_is_a_problem(packages: Installed) -> None:
    packages.add("acme", "1.2", {group("release"): {"own": here("Unsettled")}})
    (provider,) = provided(["unsettled"], packages).providers
    with pytest.raises(InvalidRules) as caught:
        provider.make(FilterOptions())
    (problem,) = caught.value.problems
    assert (problem.section, problem.option) == ("plugins", "enabled")
    assert problem.message == (
        "the filter 'unsettled' of acme 1.2 cannot be built: "
        "configparser.NoSectionError: No section: 'unsettled'"
    )


# ---------------------------------------------------------------- the base classes


def test_a_class_that_does_not_say_drops_everything() -> None:
    plugin = Filter()
    assert plugin.filter({}) is False
    assert plugin.check_match(name="foo") is False
    assert plugin.pinned_version_exists({}) is False
    assert (plugin.name, plugin.deprecated_name) == ("", "")


@pytest.mark.parametrize("base", KINDS.values())
def test_every_kind_has_the_lists_of_the_configuration(base: type[Filter]) -> None:
    plugin = base()
    plugin.configuration = ConfigParser()
    with pytest.raises(KeyError):
        _ = plugin.allowlist
    with pytest.raises(KeyError):
        _ = plugin.blocklist
    plugin.configuration.read_dict({"allowlist": {"a": "1"}, "blocklist": {"b": "2"}})
    assert (plugin.allowlist["a"], plugin.blocklist.getint("b")) == ("1", 2)


def test_the_configuration_is_read_as_from_the_file() -> None:
    seen: list[Any] = []

    class Needs(FilterProjectPlugin):
        name = "own"

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            seen.append(self.configuration["mirror"]["master"])
            super().__init__(*args, **kwargs)

        def initialize_plugin(self) -> None:
            own = self.configuration["own"]
            seen.extend([own["Any:a.b"], own.getint("count"), own.get("none", "x"), own["share"]])
            seen.append(self.configuration.getboolean("own", "on"))
            seen.append("any:a.b" in own)

    own = {"Any:a.b": "a\nb", "count": "3", "share": "100%", "on": "yes"}
    adapted("project", Needs, {"mirror": {"master": "https://example.org"}, "own": own})
    assert seen == ["https://example.org", "a\nb", 3, "x", "100%", True, False]


def test_what_one_filter_does_to_the_configuration_does_not_reach_another() -> None:
    def spoils(plugin: Filter) -> None:
        assert plugin.configuration["own"]["a"] == "1"
        plugin.configuration["own"]["a"] = "2"

    sections = {"own": {"a": "1"}}
    own = type("Own", (FilterProjectPlugin,), {"name": "own", "initialize_plugin": spoils})
    for _ in range(2):
        adapted("project", own, sections)
    assert sections == {"own": {"a": "1"}}


def test_the_terms_are_the_name_the_package_and_all_rules_but_not_how_to_mirror() -> None:
    def terms(**sections: Mapping[str, str]) -> str:
        return adapted("project", Reader, sections).fingerprint()

    class Reader(FilterProjectPlugin):
        name = "own"

    first = terms(own={"a": "1", "b": "2"}, other={})
    assert first.startswith("own acme 1 ")
    assert terms(other={}, own={"b": "2", "a": "1"}) == first
    assert terms(own={"a": "1", "b": "2"}, other={}, mirror={"workers": "3"}) == first
    different = {
        terms(own={"a": "1", "b": "3"}, other={}),
        terms(own={"a": "1"}, other={"b": "2"}),
        terms(own={"a": "1", "b": "2"}),
        terms(own={"a": "1", "b": "2"}, other={}, allowlist={"packages": "foo"}),
    }
    assert len(different | {first}) == 5


# ---------------------------------------------------------------- what each kind gets


def test_a_project_filter_gets_the_name() -> None:
    asked: list[Any] = []
    found = made("project", noting(asked))
    assert isinstance(found, ProjectFilter)
    assert narrowed(found) is PAGE
    assert asked == [{"info": {"name": "foo"}}]


def test_a_metadata_filter_gets_the_document() -> None:
    asked: list[Any] = []
    found = page_filter("metadata", noting(asked))
    assert (found.stage, found.needs) == (Stage.METADATA, Needs.DOCUMENT)
    assert found.apply(PAGE) is PAGE
    (document,) = asked
    assert document["info"] == DOCUMENT["info"] | {
        "requires_python": None, "yanked": False, "yanked_reason": None
    }  # fmt: skip
    assert {
        version: [file["filename"] for file in files]
        for version, files in document["releases"].items()
    } == {
        "1.0": ["foo-1.0.tar.gz"],
        "2.0": ["foo-2.0-py3-none-any.whl", "foo-2.0.tar.gz"],
        "3.0": [],
    }
    assert document["releases"]["1.0"][0]["comment_text"] == "first"


def test_a_metadata_filter_drops_projects() -> None:
    found = page_filter("metadata", lambda metadata: metadata["info"]["license"] != "MIT")
    assert found.apply(PAGE) is None
    assert FilterChain(pages=(found,)).apply(PAGE).page is None


def test_a_release_filter_gets_each_version_with_or_without_files() -> None:
    asked: list[Any] = []
    found = page_filter("release", noting(asked))
    assert (found.stage, found.needs) == (Stage.RELEASE, Needs.DOCUMENT)
    assert found.apply(PAGE) == PAGE
    assert [each["version"] for each in asked] == ["1.0", "2.0", "3.0"]
    assert all(each.keys() == {"info", "releases", "version"} for each in asked)
    assert [list(each["releases"]) for each in asked] == [["1.0", "2.0", "3.0"]] * 3
    assert asked[0]["info"]["classifiers"] == ["A", "B"]


def test_a_release_filter_drops_versions_and_their_files() -> None:
    found = page_filter("release", lambda metadata: metadata["version"] in {"1.0", "3.0"})
    left = found.apply(PAGE)
    assert left == replace(PAGE, files=PAGE.files[:1], versions=("1.0", "3.0"))
    assert left is not None
    assert found.apply(left) == left


def test_equal_versions_are_distinguished_by_their_texts() -> None:
    page = make_detail(make_file("foo-1.0.tar.gz"), versions=("1.0", "1.0.0"))
    assert version_key("1.0") == version_key("1.0.0")
    found = page_filter("release", lambda metadata: bool(metadata["releases"][metadata["version"]]))
    assert found.apply(page) == replace(page, versions=("1.0",))


def test_a_file_filter_gets_each_file_with_its_version() -> None:
    asked: list[Any] = []
    found = page_filter("release_file", noting(asked))
    assert (found.stage, found.needs) == (Stage.FILE, Needs.DOCUMENT)
    assert found.apply(PAGE) == PAGE
    assert all(each.keys() == {"info", "release", "release_file"} for each in asked)
    assert [(each["release"], each["release_file"]["packagetype"]) for each in asked] == [
        ("1.0", "sdist"),
        ("2.0", "bdist_wheel"),
        ("2.0", "sdist"),
    ]
    assert {each["info"]["license"] for each in asked} == {"MIT"}


def test_a_file_filter_drops_files_and_keeps_the_versions() -> None:
    found = page_filter(
        "release_file", lambda metadata: metadata["release_file"]["packagetype"] == "sdist"
    )
    assert found.apply(PAGE) == replace(PAGE, files=(PAGE.files[0], PAGE.files[2]))


@pytest.mark.parametrize("kind", ["metadata", "release", "release_file"])
def test_without_a_document_a_page_filter_gets_the_values_of_the_page(kind: str) -> None:
    asked: list[Any] = []
    found = page_filter(kind, noting(asked))
    page = replace(PAGE, document=None)
    assert found.apply(page) == page
    assert {each["info"]["name"] for each in asked} == {"foo"}


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (True, True),
        (1, True),
        ("yes", True),
        (False, False),
        (None, False),
        (0, False),
        ([], False),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_answers_count_by_their_truth(kind: str, answer: object, kept: bool) -> None:  # noqa: FBT001 - a table's column
    left = narrowed(made(kind, lambda _: answer))
    assert (names_of(left) if left else []) == (names_of(PAGE) if kept else [])


class Undecided:
    """An answer that is neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError("ask later")


def raises(metadata: dict[str, Any]) -> bool:
    return bool(metadata["no such key"])


def leaves(metadata: dict[str, Any]) -> bool:
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("does", "why"),
    [
        (raises, "KeyError: 'no such key'"),
        (leaves, "SystemExit: 1"),
        (lambda _: Undecided(), "ValueError: ask later"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_that_raises_fails_the_project(
    kind: str, does: Callable[..., object], why: str
) -> None:
    found = made(kind, does)
    with pytest.raises(FilterFailure) as caught:
        narrowed(found)
    assert (caught.value.filter_name, caught.value.why) == ("own", why)


def spoil(value: Any) -> None:
    """Take everything out of a JSON value, the innermost first."""
    if isinstance(value, dict | list):
        for inner in list(value.values() if isinstance(value, dict) else value):
            spoil(inner)
        value.clear()


@pytest.mark.parametrize("kind", ["metadata", "release_file"])
def test_a_filter_may_do_to_its_dictionary_what_it_likes(kind: str) -> None:
    asked, before = [], deepcopy(DOCUMENT)

    def spoils(metadata: dict[str, Any]) -> bool:
        asked.append(repr(metadata))
        spoil(metadata)
        return True

    found = page_filter(kind, spoils)
    for _ in range(2):
        assert found.apply(PAGE) == PAGE
    assert asked[: len(asked) // 2] == asked[len(asked) // 2 :]
    assert all("'license': 'MIT'" in each for each in asked)
    assert before == DOCUMENT


def test_a_release_filter_may_do_to_its_dictionary_what_it_likes() -> None:
    asked, before = [], deepcopy(DOCUMENT)

    def spoils(metadata: dict[str, Any]) -> bool:
        files = metadata["releases"][metadata["version"]]
        asked.append((metadata["info"]["license"], len(metadata["releases"]), len(files)))
        kept = bool(metadata["version"] != "1.0")
        spoil(metadata)
        return kept

    left = page_filter("release", spoils).apply(PAGE)
    assert left == replace(PAGE, files=PAGE.files[1:], versions=("2.0", "3.0"))
    assert asked == [("MIT", 3, 1), ("MIT", 3, 2), ("MIT", 3, 0)]
    assert before == DOCUMENT


# ---------------------------------------------------------------- the exclusive filter


def test_a_release_filter_may_be_exclusive_for_a_project() -> None:
    asked = []

    def pinned(_: object, metadata: dict[str, Any]) -> bool:
        asked.append(metadata)
        return bool(metadata["info"]["name"] == "foo")

    alone = page_filter("release", lambda _: True, pinned_version_exists=pinned)
    assert (alone.is_exclusive(FOO), alone.is_exclusive(BAR)) == (True, False)
    assert asked == [{"info": {"name": "foo"}}, {"info": {"name": "bar"}}]
    other = page_filter("release", lambda _: False, name="other")
    assert FilterChain(pages=(alone, other)).apply(PAGE).page == PAGE


@pytest.mark.parametrize("kind", ["metadata", "release_file"])
def test_filters_of_other_kinds_are_never_exclusive(kind: str) -> None:
    found = page_filter(kind, lambda _: True, pinned_version_exists=lambda *_: True)
    assert not found.is_exclusive(FOO)


def test_a_failure_of_pinned_version_exists_fails_the_project() -> None:
    alone = page_filter("release", lambda _: True, pinned_version_exists=lambda _, m: m["x"])
    with pytest.raises(FilterFailure, match="the filter own failed: KeyError: 'x'"):
        FilterChain(pages=(alone,)).apply(PAGE)


# ---------------------------------------------------------------- as filters must be


@given(
    kind=st.sampled_from(["metadata", "release", "release_file"]),
    dropped=st.sets(st.sampled_from(["1.0", "2.0", "3.0", "1.0.tar.gz", "2.0.tar.gz"])),
    order=st.permutations(PAGE.versions),
)
def test_a_filter_only_narrows_and_once_is_enough(
    kind: str, dropped: set[str], order: list[str]
) -> None:
    def keeps(metadata: dict[str, Any]) -> bool:
        if kind == "release":
            return metadata["version"] not in dropped
        if kind == "release_file":
            return metadata["release_file"]["filename"].removeprefix("foo-") not in dropped
        return len(dropped) < 3

    found = page_filter(kind, keeps)
    left = found.apply(PAGE)
    if left is None:
        return
    assert set(left.files) <= set(PAGE.files)
    assert found.apply(left) == left
    shuffled = found.apply(replace(PAGE, versions=tuple(order)))
    assert shuffled is not None
    assert shuffled.files == left.files
    assert set(shuffled.versions) == set(left.versions)


@pytest.mark.parametrize("kind", ["metadata", "release", "release_file"])
def test_a_page_filter_describes_itself(kind: str) -> None:
    found = page_filter(kind, lambda _: True)
    assert found.describe() == ("drop what own of acme 1 does not keep",)
    assert found.explain(PAGE, None) == "acme 1 does not keep it"
    assert found.fingerprint().startswith("own acme 1 ")
