"""Filters of other packages, by version 1 of the interface."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import FilterFailure, InvalidRules, OptionError
from bandersnatch.filters import interface
from bandersnatch.filters.chain import FilterChain, Needs, PageFilter, ProjectFilter, Stage
from bandersnatch.filters.options import FilterOptions
from bandersnatch.filters.plugins.installed import installed, provided
from bandersnatch.filters.plugins.providers import Found
from bandersnatch.filters.plugins.v1 import GROUP, newer_providers
from bandersnatch.model.names import ProjectName
from bandersnatch.model.project import ProjectStatus
from tests.support.factories import make_detail, make_file
from tests.support.plugins import Installed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bandersnatch.filters.interface import Factory, PagePlugin, ProjectPlugin
    from bandersnatch.model.project import ProjectDetail

FOO, BAR = ProjectName("foo"), ProjectName("bar")
PAGE = make_detail(
    *[make_file(f"foo-{version}.tar.gz") for version in ("1.0", "2.0", "3.0")],
    versions=("1.0", "2.0", "3.0", "4.0"),
    document={"info": {"name": "foo"}, "releases": {"1.0": [{"size": 1}]}},
)
OTHERS = make_file("foo-9.tar.gz")


# ---------------------------------------------------------------- plugins, as packages have them


@dataclass(frozen=True)
class Prefixed:
    """A project filter: keep the names that begin with a prefix."""

    prefix: str

    @property
    def terms(self) -> str:
        return f"prefix {self.prefix}"

    def __call__(self, name: str, /) -> bool:
        return name.startswith(self.prefix)


def prefixed(section: Mapping[str, str]) -> Prefixed:
    return Prefixed(section["prefix"])


@dataclass(frozen=True)
class Page:
    """A page filter that does what it is told."""

    does: Callable[[ProjectDetail], Any]
    stage: Any = Stage.RELEASE
    terms: Any = "1"
    reads: Any = Needs.NOTHING

    def __call__(self, page: ProjectDetail, /) -> Any:
        return self.does(page)


def first_only(section: Mapping[str, str]) -> Page:
    count = int(section.get("count", "1"))
    return Page(lambda page: replace(page, files=page.files[:count]), terms=f"first {count}")


class Names:
    """A project filter that has and answers what it is told."""

    def __init__(self, answer: Any = "", **attributes: Any) -> None:
        self.answer = answer
        for name, value in ({"terms": "1"} | attributes).items():
            setattr(self, name, value)

    def __call__(self, _: str) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Without:
    """A filter of neither kind: it has no terms."""

    def __call__(self, name: str) -> bool:
        return bool(name)


def lazy(section: Mapping[str, str]) -> None:
    """Return nothing."""


def broken(section: Mapping[str, str]) -> None:
    raise ValueError("prefix = 1\n is no\x1b[0m prefix")


def exits(section: Mapping[str, str]) -> None:
    sys.exit(3)


def without_terms(section: Mapping[str, str]) -> Without:
    return Without()


def picky(section: Mapping[str, str]) -> None:
    raise OptionError("name a prefix")


def writes(section: dict[str, str]) -> None:
    section["prefix"] = "x"


no_factory = 3


# ---------------------------------------------------------------- the door


@pytest.fixture
def packages(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def here(name: str) -> str:
    """Return what an entry point calls something in this module."""
    return f"{__name__}:{name}"


def made(packages: Installed, name: str, **options: str) -> ProjectFilter | PageFilter:
    """Return the filter of a name that has one provider."""
    (provider,) = provided([name], packages).providers
    return provider.make(FilterOptions(sections={name: options}))


def refusal(packages: Installed, name: str) -> str:
    """Return why the filter of a name cannot be made."""
    with pytest.raises(InvalidRules) as caught:
        made(packages, name)
    (problem,) = caught.value.problems
    assert (problem.section, problem.option) == ("plugins", "enabled")
    return problem.message


def wrapped(plugin: Any) -> ProjectFilter | PageFilter:
    """Return the filter that asks a plugin, whose entry point is ``own``."""

    class EntryPoint:
        name, value, dist = "own", "own:make", None

        def load(self) -> Callable[[object], Any]:
            return lambda _: plugin

    (provider,) = newer_providers(["own"], [EntryPoint()])  # type: ignore[list-item]
    return provider.make(FilterOptions())


def page_filter(does: Callable[[ProjectDetail], Any], **fields: Any) -> PageFilter:
    found = wrapped(Page(does, **fields))
    assert isinstance(found, PageFilter)
    return found


def test_a_project_filter_is_made_of_its_section(packages: Installed) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"acme_names": here("prefixed")}})

    found = made(packages, "acme_names", prefix="f")

    assert isinstance(found, ProjectFilter)
    assert found.name == "acme_names"
    assert (found.keeps(FOO), found.keeps(BAR)) == (True, False)
    assert found.names is None
    assert found.terms == "acme_names prefix f"
    assert found.words == ("leave out what acme_names of acme-filters 1.2 does not keep",)
    assert found.because(BAR) == "acme-filters 1.2 does not keep it"


def test_terms_that_are_long_are_digested(packages: Installed) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"acme_names": here("prefixed")}})
    one, other = (made(packages, "acme_names", prefix="f" * n).terms for n in (500, 501))
    assert one != other
    assert len(one) == len(other) < 100


def test_a_page_filter_is_made_of_its_section(packages: Installed) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"acme_first": here("first_only")}})

    found = made(packages, "acme_first", count="2")

    assert isinstance(found, PageFilter)
    assert (found.name, found.stage, found.reads) == ("acme_first", Stage.RELEASE, Needs.NOTHING)
    assert found.narrows(PAGE) == replace(PAGE, files=PAGE.files[:2])
    assert found.terms == "acme_first first 2"
    assert found.words == ("leave out what acme_first of acme-filters 1.2 does not keep",)
    assert found.because(PAGE, PAGE.files[2]) == "acme-filters 1.2 does not keep it"
    narrowed = FilterChain(pages=(found,)).apply(PAGE)
    assert [(each.by, each.files) for each in narrowed.dropped] == [
        ("acme_first", (PAGE.files[2],))
    ]


def test_a_section_that_is_not_there_has_no_options(packages: Installed) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"acme_first": here("first_only")}})
    (provider,) = provided(["acme_first"], packages).providers
    found = provider.make(FilterOptions(sections={"acme": {"count": "2"}}))
    assert found.terms == "acme_first first 1"


def test_nothing_is_looked_up_unless_a_name_has_to_be_found(packages: Installed) -> None:
    assert provided([], packages) == Found()
    assert packages.groups_asked == []


def test_only_what_is_enabled_is_loaded(packages: Installed) -> None:
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


def test_a_name_that_nobody_provides_is_not_found_and_the_others_are_told(
    packages: Installed,
) -> None:
    packages.add("acme-filters", "1", {GROUP: {"good": here("first_only")}})
    assert provided(["goood"], packages) == Found(names=frozenset({"good"}))


def test_by_default_it_is_the_installed_packages_that_provide() -> None:
    assert list(installed(group="console_scripts"))
    assert provided(["no_such_filter"]).providers == ()


def test_a_name_that_two_packages_provide_is_refused_with_both(packages: Installed) -> None:
    packages.add("acme", "1", {GROUP: {"mine": here("first_only")}})
    packages.add("umbrella", "2", {GROUP: {"mine": here("prefixed")}})
    (provider,) = provided(["mine"], packages).providers
    assert provider.name == "mine"
    assert refusal(packages, "mine") == (
        f"'mine' is provided by acme 1 ({here('first_only')}) and umbrella 2 ({here('prefixed')}); "
        "uninstall one"
    )


def test_the_newer_interface_goes_first_where_a_package_has_both(packages: Installed) -> None:
    packages.add(
        "acme",
        "1",
        {
            GROUP: {"mine": here("first_only")},
            "bandersnatch_filter_plugins.v2.release": {"mine": "no_such_module:Make"},
        },
    )
    assert isinstance(made(packages, "mine"), PageFilter)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module:make", "ModuleNotFoundError: No module named 'no_such_module'"),
        (here("no_such_name"), "AttributeError: module"),
        (here("no_factory"), "TypeError: 'int' object is not callable"),
        (here("broken"), "ValueError: prefix = 1 is no [0m prefix"),
        (here("exits"), "SystemExit: 3"),
        (here("picky"), "name a prefix"),
        (here("writes"), "TypeError: 'mappingproxy' object does not support item assignment"),
        (here("prefixed"), "KeyError: 'prefix'"),
        (here("lazy"), "its factory returned None, which is no filter"),
        (here("without_terms"), "it has no terms, a text that changes whenever its decisions may"),
    ],
)
def test_what_cannot_be_made_is_a_problem_that_names_the_plugin_its_package_and_the_cause(
    packages: Installed, value: str, why: str
) -> None:
    packages.add("acme-filters", "1.2", {GROUP: {"mine": value}})
    expected = f"the filter 'mine' of acme-filters 1.2 cannot be made: {why}"
    assert refusal(packages, "mine").startswith(expected)


def test_a_module_that_is_no_python_is_told_of_in_one_line(
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
        (Names(terms=" "), "it has no terms"),
        (Names(terms=1), "it has no terms"),
        (Names(names="foo"), "its names are 'foo' and must be a frozenset of texts, or None"),
        (Names(names={"a/b"}), "project name 'a/b' is not letters"),
        (Names(names={1}), "project name 1 is not text"),
        (Names(stage="release"), "its stage is 'release' and must be a Stage"),
        (Names(stage=None), "its stage is None and must be a Stage"),
        (Names(stage=Stage.FILE, reads="sizes"), "its reads are 'sizes' and must be Reads"),
        (Names(stage=Stage.FILE, terms=""), "it has no terms"),
    ],
)
def test_what_is_of_neither_kind_is_refused(plugin: object, why: str) -> None:
    with pytest.raises(InvalidRules) as caught:
        wrapped(plugin)
    assert f"'own' of an unknown package cannot be made: {why}" in str(caught.value)


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
    found = wrapped(Names(names=names))
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
def test_what_is_no_answer_about_a_name_fails_the_project(answer: object, why: str) -> None:
    found = wrapped(Names(answer))
    assert isinstance(found, ProjectFilter)
    with pytest.raises(FilterFailure) as caught:
        FilterChain(projects=(found,)).selects(FOO)
    assert (caught.value.filter_name, caught.value.why) == ("own", why)


def test_an_interruption_is_not_the_filters() -> None:
    found = wrapped(Names(KeyboardInterrupt()))
    assert isinstance(found, ProjectFilter)
    with pytest.raises(KeyboardInterrupt):
        found.keeps(FOO)


# ---------------------------------------------------------------- page filters


def test_none_leaves_a_project_out_at_the_first_stage() -> None:
    found = page_filter(lambda _: None, stage=Stage.METADATA)
    assert found.narrows(PAGE) is None


@pytest.mark.parametrize("stage", [Stage.FILE, Stage.RELEASE, Stage.SELECTION])
def test_none_is_no_answer_later(stage: Stage) -> None:
    with pytest.raises(FilterFailure, match="it returned None, which is no page"):
        page_filter(lambda _: None, stage=stage).narrows(PAGE)


def raises(page: ProjectDetail) -> None:
    raise ZeroDivisionError("division by zero")


def with_fields(page: Any, **fields: Any) -> Any:
    """Return a page with fields of any type."""
    return replace(page, **fields)


BAD_ANSWERS: dict[str, tuple[Callable[[ProjectDetail], object], str]] = {
    "raises": (raises, "ZeroDivisionError: division by zero"),
    "a bool": (lambda _: True, "it returned True, which is no page"),
    "its files": (lambda page: page.files, "which is no page"),
    "another project": (lambda page: with_fields(page, name=BAR), "it returned the page of 'bar'"),
    "a file more": (
        lambda page: with_fields(page, files=(*page.files, OTHERS)),
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
        "it named a file twice",
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
def test_what_is_no_narrower_page_fails_the_project(
    does: Callable[[ProjectDetail], object], why: str
) -> None:
    found = page_filter(does, stage=Stage.METADATA)
    with pytest.raises(FilterFailure) as caught:
        FilterChain(pages=(found,)).apply(PAGE)
    assert caught.value.filter_name == "own"
    assert why in caught.value.why


def test_the_order_of_the_page_stays() -> None:
    found = page_filter(
        lambda page: replace(page, files=page.files[::-1], versions=page.versions[:0:-1])
    )
    assert found.narrows(PAGE) == replace(PAGE, versions=("2.0", "3.0", "4.0"))


def test_a_plugin_sees_the_document_only_if_it_says_that_it_reads_it() -> None:
    seen = []

    def looks(page: ProjectDetail) -> ProjectDetail:
        seen.append(page.document)
        return page

    page_filter(looks).narrows(PAGE)
    page_filter(looks, reads=Needs.SIZES).narrows(PAGE)
    page_filter(looks, reads=Needs.DOCUMENT | Needs.TIMES).narrows(PAGE)
    page_filter(looks, reads=Needs.DOCUMENT).narrows(replace(PAGE, document=None))
    assert seen == [None, None, PAGE.document, None]


def test_what_a_plugin_does_to_the_document_stays_with_it() -> None:
    def spoils(page: ProjectDetail) -> ProjectDetail:
        document: Any = page.document
        document["releases"]["1.0"][0]["size"] = 0
        document["releases"]["1.0"].append("x")
        del document["info"]
        return page

    left = page_filter(spoils, reads=Needs.DOCUMENT).narrows(PAGE)
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
    left = found.narrows(PAGE)
    assert left == replace(
        PAGE,
        files=tuple(file for file in PAGE.files if file in kept),
        versions=tuple(text for text in PAGE.versions if text in versions),
    )
    assert found.narrows(left) == left


@given(st.none() | st.booleans() | st.text() | st.lists(st.integers()) | st.just(OTHERS))
def test_any_other_answer_fails_the_project(answer: object) -> None:
    found = page_filter(lambda _: answer)
    with pytest.raises(FilterFailure):
        found.narrows(PAGE)


def test_the_protocols_can_be_checked_against() -> None:
    """For mypy: the classes of this module are what the protocols ask for."""
    project: ProjectPlugin = Prefixed("f")
    page: PagePlugin = Page(lambda page: page)
    makers: list[Factory] = [prefixed, first_only]
    assert isinstance(makers[0]({"prefix": "f"}), type(project))
    assert page(PAGE) is PAGE


def test_what_authors_were_promised_is_there() -> None:
    """Whoever takes a name away breaks the packages that import it."""
    promised = {
        *["Factory", "PagePlugin", "ProjectPlugin", "Needs", "Stage"],
        *["Hashes", "ProjectDetail", "ReleaseFile", "parse_version", "project_name"],
    }
    assert promised <= set(interface.__all__)
    assert all(hasattr(interface, name) for name in interface.__all__)
    assert {stage.name for stage in interface.Stage} >= {"METADATA", "FILE", "RELEASE", "SELECTION"}
    assert {reads.name for reads in interface.Needs} >= {"DOCUMENT", "SIZES", "TIMES"}
