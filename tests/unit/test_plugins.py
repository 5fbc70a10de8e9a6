"""Filters of other packages, by version 1 of the interface."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import FilterFailure, InvalidRules, OptionError
from bandersnatch.filters import interface
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.interface import Needs, PageFilter, ProjectFilter, Stage
from bandersnatch.filters.options import FilterOptions
from bandersnatch.filters.plugins.installed import installed, provided
from bandersnatch.filters.plugins.providers import Found
from bandersnatch.filters.plugins.v1 import GROUP, v1_providers
from bandersnatch.model.names import ProjectName
from bandersnatch.model.project import ProjectStatus
from tests.support.factories import make_detail, make_file
from tests.support.plugins import Installed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

FOO, BAR = ProjectName("foo"), ProjectName("bar")
PAGE = make_detail(
    *[make_file(f"foo-{version}.tar.gz") for version in ("1.0", "2.0", "3.0")],
    versions=("1.0", "2.0", "3.0", "4.0"),
    document={"info": {"name": "foo"}, "releases": {"1.0": [{"size": 1}]}},
)
FOREIGN_FILE = make_file("foo-9.tar.gz")


# ---------------------------------------------------------------- plugins, as packages have them


@dataclass(frozen=True)
class Prefixed(ProjectFilter):
    """Keep the names that begin with a prefix."""

    name = "acme_names"

    prefix: str

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        return cls(options.sections["acme_names"]["prefix"])

    def apply(self, name: ProjectName) -> bool:
        return name.startswith(self.prefix)

    def fingerprint(self) -> str:
        return f"prefix {self.prefix}"


class FirstOnly(PageFilter):
    """Keep the first files; the class that `first_only` returns an object of."""

    name = "acme_first"
    stage = Stage.RELEASE

    def __init__(self, count: int) -> None:
        self.count = count

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        return replace(page, files=page.files[: self.count])

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        assert page.document is None
        return f"it is not among the first {self.count}: {file and file.filename}"

    def describe(self) -> tuple[str, ...]:
        return (f"keep the first\n{self.count} files",)

    def fingerprint(self) -> str:
        return f"first {self.count}"


def first_only(options: FilterOptions) -> FirstOnly:
    return FirstOnly(int(options.text("acme_first", "count") or "1"))


class Page(PageFilter):
    """A page filter that calls a function and has any attributes."""

    name: Any = "own"
    stage: Any = Stage.RELEASE
    needs: Any = Needs.NOTHING
    prefetch: Any = False
    notes: Any = ()
    text: Any = "1"
    sentences: Any = ()

    def __init__(self, does: Callable[[ProjectDetail], Any], **attributes: Any) -> None:
        self.does = does
        for name, value in attributes.items():
            setattr(self, name, value)

    def apply(self, page: ProjectDetail) -> Any:
        return self.does(page)

    def fingerprint(self) -> Any:
        return self.text

    def describe(self) -> Any:
        return self.sentences


class Answers(Page):
    """A page filter whose optional methods return, or raise, one value."""

    def __init__(self, answer: Any, **attributes: Any) -> None:
        super().__init__(lambda page: page, **attributes)
        self.answer = answer

    def _answer(self, *_: object) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    apply_later = next_change = is_exclusive = explain = fingerprint_for = _answer


class Names(ProjectFilter):
    """A project filter that returns, or raises, one value and has any attributes."""

    name: Any = "own"
    names: Any = None
    notes: Any = ()
    text: Any = "1"

    def __init__(self, answer: Any = "", **attributes: Any) -> None:
        self.answer = answer
        for name, value in attributes.items():
            setattr(self, name, value)

    def apply(self, name: ProjectName) -> Any:
        del name
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def explain(self, name: ProjectName) -> Any:
        return self.apply(name)

    def fingerprint(self) -> Any:
        return self.text


class Unnamed(ProjectFilter):
    """A filter without a name."""

    def apply(self, name: ProjectName) -> bool:
        return bool(name)

    def fingerprint(self) -> str:
        return "1"


class Abstract(ProjectFilter):
    """A filter without a fingerprint."""

    name = "mine"

    def apply(self, name: ProjectName) -> bool:
        return bool(name)


def lazy(options: FilterOptions) -> None:
    """Return nothing."""


def broken(options: FilterOptions) -> None:
    raise ValueError("prefix = 1\n is no\x1b[0m prefix")


def exits(options: FilterOptions) -> None:
    sys.exit(3)


def picky(options: FilterOptions) -> None:
    raise OptionError("name a prefix")


no_factory = 3


# ---------------------------------------------------------------- building


@pytest.fixture
def packages(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def here(name: str) -> str:
    """Return what an entry point calls something in this module."""
    return f"{__name__}:{name}"


def built(packages: Installed, name: str, **options: str) -> ProjectFilter | PageFilter:
    """Return the filter of a name that has one provider."""
    (provider,) = provided([name], packages).providers
    return provider.make(FilterOptions(sections={name: options}))


def refusal(packages: Installed, name: str) -> str:
    """Return why the filter of a name cannot be built."""
    with pytest.raises(InvalidRules) as caught:
        built(packages, name)
    (problem,) = caught.value.problems
    assert (problem.section, problem.option) == ("plugins", "enabled")
    return problem.message


def guarded(plugin: Any) -> ProjectFilter | PageFilter:
    """Return the guard of a plugin, whose entry point is ``own``."""

    class EntryPoint:
        name, value, dist = "own", "own:make", None

        def load(self) -> Callable[[object], Any]:
            return lambda _: plugin

    (provider,) = v1_providers(["own"], [EntryPoint()])  # type: ignore[list-item]
    return provider.make(FilterOptions())


def guarded_page(plugin: Page) -> PageFilter:
    found = guarded(plugin)
    assert isinstance(found, PageFilter)
    return found


def page_filter(does: Callable[[ProjectDetail], Any], **attributes: Any) -> PageFilter:
    return guarded_page(Page(does, **attributes))


def test_a_project_filter_is_built_from_its_section(packages: Installed) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"acme_names": here("Prefixed")}})

    found = built(packages, "acme_names", prefix="f")

    assert isinstance(found, ProjectFilter)
    assert found.name == "acme_names"
    assert (found.apply(FOO), found.apply(BAR)) == (True, False)
    assert found.names is None
    assert found.notes == ()
    assert found.fingerprint() == "acme_names prefix f"
    assert found.describe() == ("drop what acme_names of acme-filters 1.2 does not keep",)
    assert found.explain(BAR) == "acme-filters 1.2 does not keep it"


def test_a_long_fingerprint_is_digested(packages: Installed) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"acme_names": here("Prefixed")}})
    one, other = (built(packages, "acme_names", prefix="f" * n).fingerprint() for n in (500, 501))
    assert one != other
    assert len(one) == len(other) < 100


def test_a_page_filter_is_built_from_its_section(packages: Installed) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"acme_first": here("first_only")}})

    found = built(packages, "acme_first", count="2")

    assert isinstance(found, PageFilter)
    assert (found.name, found.stage, found.needs) == ("acme_first", Stage.RELEASE, Needs.NOTHING)
    assert found.apply(PAGE) == replace(PAGE, files=PAGE.files[:2])
    assert found.fingerprint() == found.fingerprint_for(FOO) == "acme_first first 2"
    assert found.describe() == ("keep the first 2 files",)
    assert found.explain(PAGE, PAGE.files[2]) == "it is not among the first 2: foo-3.0.tar.gz"
    assert not found.has_project_rules
    assert not found.changes_with_time
    assert not found.is_exclusive(FOO)
    assert (found.next_change(PAGE), found.apply_later(PAGE)) == (None, found.apply(PAGE))
    result = FilterChain(pages=(found,)).apply(PAGE)
    assert [(each.by, each.files) for each in result.dropped] == [("acme_first", (PAGE.files[2],))]


def test_a_plugin_is_given_its_own_section_only(packages: Installed) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"acme_names": here("Prefixed")}})
    (provider,) = provided(["acme_names"], packages).providers
    sections = {"acme_names": {"prefix": "f"}, "mirror": {"master": "x"}}
    guard: Any = provider.make(FilterOptions(sections=sections))
    assert guard.plugin.prefix == "f"
    seen: list[FilterOptions] = []

    class EntryPoint:
        name, value, dist = "own", "own:make", None

        def load(self) -> Callable[[FilterOptions], Names]:
            return make

    def make(options: FilterOptions) -> Names:
        seen.append(options)
        return Names(answer=True)

    (provider,) = v1_providers(["own"], [EntryPoint()])  # type: ignore[list-item]
    options = FilterOptions(sections=sections | {"own": {"a": "b"}}, path="x.conf", now=3)
    provider.make(options)
    assert seen == [replace(options, sections={"own": {"a": "b"}})]


def test_a_missing_section_has_no_options(packages: Installed) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"acme_first": here("first_only")}})
    (provider,) = provided(["acme_first"], packages).providers
    found = provider.make(FilterOptions(sections={"acme": {"count": "2"}}))
    assert found.fingerprint() == "acme_first first 1"


def test_no_names_cause_no_lookup(packages: Installed) -> None:
    assert provided([], packages) == Found()
    assert packages.groups_asked == []


def test_only_enabled_filters_are_loaded(packages: Installed) -> None:
    packages.add(
        "acme-filters", "1", {GROUP: {"good": here("first_only"), "bad": "no_such_module:make"}}
    )
    packages.add(
        "older", "1", {"bandersnatch_filter_plugins.v2.release": {"other": "no_such_module:Make"}}
    )
    found = provided(["good"], packages)
    assert [each.name for each in found.providers] == ["good"]
    assert found.broken == ()
    assert packages.groups_asked == [GROUP]


def test_a_missing_name_is_not_found_and_the_existing_names_are_returned(
    packages: Installed,
) -> None:
    packages.add("acme-filters", "1", {GROUP: {"good": here("first_only")}})
    assert provided(["goood"], packages) == Found(names=frozenset({"good"}))


def test_installed_packages_are_searched_by_default() -> None:
    assert list(installed(group="console_scripts"))
    assert provided(["no_such_filter"]).providers == ()


def test_a_name_that_two_packages_provide_is_refused(packages: Installed) -> None:
    packages.add("acme", "1", {GROUP: {"mine": here("first_only")}})
    packages.add("umbrella", "2", {GROUP: {"mine": here("Prefixed")}})
    (provider,) = provided(["mine"], packages).providers
    assert provider.name == "mine"
    assert refusal(packages, "mine") == (
        f"'mine' is provided by acme 1 ({here('first_only')}) and umbrella 2 ({here('Prefixed')}); "
        "uninstall one"
    )


def test_version_1_is_preferred_where_a_package_has_both_interfaces(packages: Installed) -> None:
    packages.add(
        "acme",
        "1",
        {
            GROUP: {"mine": here("first_only")},
            "bandersnatch_filter_plugins.v2.release": {"mine": "no_such_module:Make"},
        },
    )
    assert "its name is 'acme_first'" in refusal(packages, "mine"), "it is the class of version 1"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module:make", "ModuleNotFoundError: No module named 'no_such_module'"),
        (here("no_such_name"), "AttributeError: module"),
        (here("no_factory"), "TypeError: 'int' object is not callable"),
        (here("broken"), "ValueError: prefix = 1 is no [0m prefix"),
        (here("exits"), "SystemExit: 3"),
        (here("picky"), "name a prefix"),
        (here("Prefixed"), "its name is 'acme_names' and must be that of its entry point"),
        (here("first_only"), "its name is 'acme_first' and must be that of its entry point"),
        (here("Unnamed"), "its name is None and must be that of its entry point"),
        (here("Abstract"), "TypeError: Can't instantiate abstract class Abstract"),
        (here("lazy"), "its factory returned None, which is not a ProjectFilter or a PageFilter"),
    ],
)
def test_a_plugin_that_cannot_be_built_is_a_problem_with_its_package_and_the_cause(
    packages: Installed, value: str, why: str
) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"mine": value}})
    expected = f"the filter 'mine' of acme-filters 1.2 cannot be built: {why}"
    assert refusal(packages, "mine").startswith(expected)


def test_a_syntax_error_is_reported_in_one_line(
    packages: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme_nonsense.py").write_text("def (:\n")
    monkeypatch.syspath_prepend(tmp_path)
    packages.add("acme-filters", "1.2", {GROUP: {"mine": "acme_nonsense:make"}})
    message = refusal(packages, "mine")
    assert "acme_nonsense.py" in message
    assert message.endswith("SyntaxError: invalid syntax")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("plugin", "why"),
    [
        (Names(text=" "), "it has no fingerprint, a text that changes whenever its answers may"),
        (Names(text=1), "it has no fingerprint"),
        (Names(names="foo"), "its names are 'foo' and must be a frozenset of texts, or None"),
        (Names(names={"a/b"}), "project name 'a/b' is not letters"),
        (Names(names={1}), "project name 1 is not text"),
        (Names(notes="x"), "its notes are 'x' and must be a tuple of texts"),
        (Names(notes=(1,)), "its notes are (1,) and must be a tuple of texts"),
        (Page(id, stage="release"), "its stage is 'release' and must be a Stage"),
        (Page(id, stage=None), "its stage is None and must be a Stage"),
        (Page(id, needs="sizes"), "its needs are 'sizes' and must be Needs"),
        (Page(id, prefetch=1), "it returned 1, which is neither True nor False"),
        (Page(id, sentences=[""]), "its sentences of describe() are [''] and must be a tuple"),
        (Page(id, text=""), "it has no fingerprint"),
    ],
)
def test_a_plugin_that_does_not_conform_is_refused(plugin: object, why: str) -> None:
    with pytest.raises(InvalidRules) as caught:
        guarded(plugin)
    assert f"'own' of an unknown package cannot be built: {why}" in str(caught.value)


def test_notes_are_cleaned() -> None:
    assert guarded(Names(notes=("a\nb",))).notes == ("a b",)


# ---------------------------------------------------------------- project filters


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, None),
        (frozenset({"foo", "Bar.Baz"}), frozenset({"foo", "bar-baz"})),
        (frozenset(), frozenset()),
    ],
)
def test_the_names_are_normalised(names: object, expected: object) -> None:
    found = guarded(Names(names=names))
    assert isinstance(found, ProjectFilter)
    assert found.names == expected


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "it returned None, which is neither True nor False"),
        (1, "it returned 1, which is neither True nor False"),
        ("", "it returned '', which is neither True nor False"),
        (RuntimeError("no\nway"), "RuntimeError: no way"),
        (SystemExit(1), "SystemExit: 1"),
        (RecursionError(), "RecursionError"),
        (FilterFailure("x", "y"), "the filter x failed: y"),
    ],
)
def test_an_answer_that_is_not_a_boolean_fails_the_project(answer: object, why: str) -> None:
    found = guarded(Names(answer))
    assert isinstance(found, ProjectFilter)
    with pytest.raises(FilterFailure) as caught:
        FilterChain(projects=(found,)).selects(FOO)
    assert (caught.value.filter_name, caught.value.why) == ("own", why)


def test_an_interruption_is_not_a_failure_of_the_filter() -> None:
    found = guarded(Names(KeyboardInterrupt()))
    assert isinstance(found, ProjectFilter)
    with pytest.raises(KeyboardInterrupt):
        found.apply(FOO)


# ---------------------------------------------------------------- page filters


def test_none_drops_a_project_at_the_first_stage() -> None:
    found = page_filter(lambda _: None, stage=Stage.METADATA)
    assert found.apply(PAGE) is None


@pytest.mark.parametrize("stage", [Stage.FILE, Stage.RELEASE, Stage.SELECTION])
def test_none_is_a_failure_at_later_stages(stage: Stage) -> None:
    with pytest.raises(FilterFailure, match="it returned None, which is not a page"):
        page_filter(lambda _: None, stage=stage).apply(PAGE)


def raises(page: ProjectDetail) -> None:
    raise ZeroDivisionError("division by zero")


def with_fields(page: Any, **fields: Any) -> Any:
    """Return a page with fields of any type."""
    return replace(page, **fields)


BAD_ANSWERS: dict[str, tuple[Callable[[ProjectDetail], object], str]] = {
    "raises": (raises, "ZeroDivisionError: division by zero"),
    "a bool": (lambda _: True, "it returned True, which is not a page"),
    "its files": (lambda page: page.files, "which is not a page"),
    "another project": (lambda page: with_fields(page, name=BAR), "it returned the page of 'bar'"),
    "a file more": (
        lambda page: with_fields(page, files=(*page.files, FOREIGN_FILE)),
        "it added or changed a file: ReleaseFile(filename='foo-9.tar.gz'",
    ),
    "a changed file": (
        lambda page: with_fields(
            page, files=(with_fields(page.files[0], url="https://example.org/x"),)
        ),
        "it added or changed a file",
    ),
    "a file twice": (
        lambda page: with_fields(page, files=page.files[:1] * 2),
        "it returned a file twice",
    ),
    "names for files": (
        lambda page: with_fields(page, files=("foo-1.0.tar.gz",)),
        "it added or changed a file: 'foo-1.0.tar.gz'",
    ),
    "lists for files": (lambda page: with_fields(page, files=([],)), "TypeError: unhashable type"),
    "no files": (lambda page: with_fields(page, files=None), "TypeError"),
    "a version more": (
        lambda page: with_fields(page, versions=("5.0", "1.0")),
        "it added versions: ['5.0']",
    ),
    "another serial": (lambda page: with_fields(page, serial=9), "it changed more of the page"),
    "another status": (
        lambda page: with_fields(page, status=ProjectStatus.ARCHIVED),
        "it changed more of the page than its files and versions",
    ),
}


@pytest.mark.parametrize(("does", "why"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_an_answer_that_is_not_a_part_of_the_page_fails_the_project(
    does: Callable[[ProjectDetail], object], why: str
) -> None:
    found = page_filter(does, stage=Stage.METADATA)
    with pytest.raises(FilterFailure) as caught:
        FilterChain(pages=(found,)).apply(PAGE)
    assert caught.value.filter_name == "own"
    assert why in caught.value.why


def test_the_order_of_the_page_is_kept() -> None:
    found = page_filter(
        lambda page: replace(page, files=page.files[::-1], versions=page.versions[:0:-1])
    )
    assert found.apply(PAGE) == replace(PAGE, versions=("2.0", "3.0", "4.0"))


def test_a_plugin_gets_the_document_only_if_it_needs_it() -> None:
    seen = []

    def looks(page: ProjectDetail) -> ProjectDetail:
        seen.append(page.document)
        return page

    page_filter(looks).apply(PAGE)
    page_filter(looks, needs=Needs.SIZES).apply(PAGE)
    page_filter(looks, needs=Needs.DOCUMENT | Needs.TIMES).apply(PAGE)
    page_filter(looks, needs=Needs.DOCUMENT).apply(replace(PAGE, document=None))
    assert seen == [None, None, PAGE.document, None]


def test_a_change_to_the_document_does_not_reach_the_page() -> None:
    def spoils(page: ProjectDetail) -> ProjectDetail:
        document: Any = page.document
        document["releases"]["1.0"][0]["size"] = 0
        document["releases"]["1.0"].append("x")
        del document["info"]
        return page

    left = page_filter(spoils, needs=Needs.DOCUMENT).apply(PAGE)
    expected = {"info": {"name": "foo"}, "releases": {"1.0": [{"size": 1}]}}
    assert PAGE.document == expected
    assert left is not None
    assert left.document == expected


@given(
    kept=st.sets(st.sampled_from(PAGE.files)),
    versions=st.sets(st.sampled_from(PAGE.versions)),
    order=st.permutations(PAGE.files),
)
def test_a_plugin_can_only_narrow(kept: Any, versions: Any, order: Any) -> None:
    found = page_filter(
        lambda page: replace(
            page,
            files=tuple(file for file in order if file in kept and file in page.files),
            versions=tuple(versions & set(page.versions)),
        )
    )
    left = found.apply(PAGE)
    assert left == replace(
        PAGE,
        files=tuple(file for file in PAGE.files if file in kept),
        versions=tuple(text for text in PAGE.versions if text in versions),
    )
    assert found.apply(left) == left


@given(st.none() | st.booleans() | st.text() | st.lists(st.integers()) | st.just(FOREIGN_FILE))
def test_any_other_answer_fails_the_project(answer: object) -> None:
    found = page_filter(lambda _: answer)
    with pytest.raises(FilterFailure):
        found.apply(PAGE)


# ---------------------------------------------------------------- optional methods


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        ("soon", "it returned 'soon', which is not a time in whole seconds"),
        (1.5, "it returned 1.5, which is not a time in whole seconds"),
        (True, "it returned True, which is not a time in whole seconds"),
    ],
)
def test_a_wrong_time_of_the_next_change_fails_the_project(answer: object, why: str) -> None:
    with pytest.raises(FilterFailure) as caught:
        guarded_page(Answers(answer)).next_change(PAGE)
    assert (caught.value.filter_name, caught.value.why) == ("own", why)


@pytest.mark.parametrize("answer", [None, 1000])
def test_the_time_of_the_next_change_is_returned(answer: int | None) -> None:
    found = guarded_page(Answers(answer))
    assert found.changes_with_time
    assert found.next_change(PAGE) == answer


@pytest.mark.parametrize("answer", [True, PAGE.files, RuntimeError("x")])
def test_a_wrong_page_of_later_fails_the_project(answer: object) -> None:
    with pytest.raises(FilterFailure):
        guarded_page(Answers(answer, prefetch=True)).apply_later(PAGE)


def test_the_page_of_later_is_returned() -> None:
    later = replace(PAGE, files=PAGE.files[:1], document=None)
    found = guarded_page(Answers(later, prefetch=True))
    assert found.prefetch
    assert found.apply_later(PAGE) == replace(PAGE, files=PAGE.files[:1])


def test_an_exclusive_plugin_decides_alone() -> None:
    assert guarded_page(Answers(answer=True)).is_exclusive(FOO)
    with pytest.raises(FilterFailure, match="it returned 1, which is neither True nor False"):
        guarded_page(Answers(1)).is_exclusive(FOO)


@pytest.mark.parametrize(
    ("answer", "fingerprint"),
    [("rule", "own rule"), ("", ""), (" ", "own 1"), (None, "own 1"), (OSError(), "own 1")],
)
def test_a_fingerprint_of_a_project_that_fails_is_the_general_one(
    answer: object, fingerprint: str
) -> None:
    found = guarded_page(Answers(answer))
    assert found.has_project_rules
    assert found.fingerprint_for(FOO) == fingerprint
    assert FilterChain(pages=(found,)).fingerprint_for(FOO) == fingerprint


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("too\nold", "too old"),
        ("", "an unknown package does not keep it"),
        (OSError("disk"), "it cannot say why: OSError: disk"),
    ],
)
def test_a_reason_is_cleaned_and_never_fails(answer: object, reason: str) -> None:
    assert guarded_page(Answers(answer)).explain(PAGE, None) == reason
    project = guarded(Names(answer))
    assert isinstance(project, ProjectFilter)
    assert project.explain(FOO) == reason


def test_the_names_that_authors_import_exist() -> None:
    """Removing a name breaks the packages that import it."""
    promised = {
        *["Factory", "Filter", "PageFilter", "ProjectFilter", "Needs", "Stage", "FilterOptions"],
        *["Hashes", "ProjectDetail", "ProjectName", "ReleaseFile", "parse_version"],
        *["project_name", "OptionError", "InvalidRules", "Problem"],
    }
    assert promised == set(interface.__all__)
    assert all(hasattr(interface, name) for name in interface.__all__)
    assert {stage.name for stage in interface.Stage} >= {"METADATA", "FILE", "RELEASE", "SELECTION"}
    assert {needs.name for needs in interface.Needs} >= {"DOCUMENT", "SIZES", "TIMES"}
