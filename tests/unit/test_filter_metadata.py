"""The filters by values at dotted paths of the legacy document."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import FilterFailure, InvalidRules
from bandersnatch.filters.builtin.metadata import (
    RegexProjectMetadata,
    RegexReleaseFileMetadata,
    VersionRangeProjectMetadata,
    VersionRangeReleaseFileMetadata,
)
from bandersnatch.filters.interface import Needs, Stage
from bandersnatch.filters.options import FilterOptions
from bandersnatch.model.serials import Serial
from tests.support.factories import make_detail, make_file
from tests.support.strategies import json_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from bandersnatch.filters.interface import PageFilter
    from bandersnatch.model.project import ProjectDetail

    Make = Callable[[FilterOptions], PageFilter]

MAKERS: dict[str, Make] = {
    "regex_project_metadata": RegexProjectMetadata.from_options,
    "regex_release_file_metadata": RegexReleaseFileMetadata.from_options,
    "version_range_project_metadata": VersionRangeProjectMetadata.from_options,
    "version_range_release_file_metadata": VersionRangeReleaseFileMetadata.from_options,
}
REGEX = [name for name in MAKERS if name.startswith("regex")]
RANGE = [name for name in MAKERS if name.startswith("version")]

SDIST = make_file("foo-1.0.tar.gz", requires_python=">=3.8")
WHEEL = make_file("foo-1.0-py3-none-any.whl", requires_python=">=3.12", yanked="broken")
EGG = make_file("foo-1.0-py2.7.egg", size=None, upload_time=None)
PAGE = make_detail(SDIST, WHEEL, EGG, versions=("1.0",), serial=Serial(7))


def made(name: str, settings: dict[str, str], *, at: int = 0) -> PageFilter:
    """Return a filter with its section; ``at`` is the line that each option begins on."""
    numbers = (
        {(name, option): range(at, at + len(text.split("\n"))) for option, text in settings.items()}
        if at
        else {}
    )
    return MAKERS[name](FilterOptions(sections={name: settings}, numbers=numbers))


def info(**told: Any) -> ProjectDetail:
    """Return a page whose document tells this of the project."""
    return make_detail(document={"info": told, "releases": {}})


def keeps(by: PageFilter, page: ProjectDetail) -> bool:
    """Whether a project filter keeps the page as it is."""
    left = by.apply(page)
    assert left in (None, page)
    return left is not None


def kept(by: PageFilter, page: ProjectDetail = PAGE) -> list[str]:
    """Return how the names end of the files that a filter keeps."""
    left = by.apply(page)
    assert left is not None
    return [file.filename.rpartition(".")[2] for file in left.files]


@pytest.mark.parametrize("null", ["", "match-null:", "not-null:"])
@pytest.mark.parametrize(
    ("mode", "values", "patterns", "keep"),
    [
        ("any", ["a", "x"], ["x", "y"], True),
        ("any", ["a", "b"], ["x", "y"], False),
        ("all", ["x", "y", "a"], ["x", "y"], True),
        ("all", ["xy"], ["x", "xy"], True),
        ("all", ["x", "z"], ["x", "y"], False),
        ("none", ["a"], ["x", "y"], True),
        ("none", ["a", "y"], ["x", "y"], False),
    ],
)
def test_values_are_judged_by_mode(
    mode: str, values: list[str], patterns: list[str], null: str, *, keep: bool
) -> None:
    option = {f"{null}{mode}:info.classifiers": "\n".join(patterns)}
    assert keeps(made("regex_project_metadata", option), info(classifiers=values)) is keep


@pytest.mark.parametrize("mode", ["any", "all", "none"])
@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize(
    "told",
    [
        {},
        {"classifiers": None},
        {"classifiers": []},
        {"classifiers": [None]},
        {"classifiers": "text"},
        {"classifiers": ["list"]},
    ],
    ids=str,
)
def test_without_values_the_null_tag_decides(
    mode: str, told: dict[str, Any], *, null: bool
) -> None:
    """Of these ``none`` dropped every one, whatever its tags."""
    path = "info.classifiers.deeper" if any(told.get("classifiers") or ()) else "info.classifiers"
    tag = "match-null" if null else "not-null"
    by = made("regex_project_metadata", {f"{mode}:{tag}:{path}": ".*"})
    assert keeps(by, info(**told)) is null


def test_an_empty_text_is_a_value() -> None:
    assert not keeps(made("regex_project_metadata", {"info.license": "MIT"}), info(license=""))
    by = made("regex_project_metadata", {"not-null:info.license": "^$"})
    assert keeps(by, info(license=""))


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        (3, "3$"),
        (1.5, r"1\.5$"),
        (True, "true$"),
        ([False], "false$"),
        ({"b": 1, "a": "é"}, r'\{"a": "é", "b": 1\}$'),
        ([["x"]], r'\["x"\]$'),
    ],
)
def test_values_that_are_not_texts_are_matched_as_json(value: object, pattern: str) -> None:
    by = made("regex_project_metadata", {"not-null:info.downloads": pattern})
    assert keeps(by, info(downloads=value))


def test_later_tags_win() -> None:
    page = info(license="x")
    assert not keeps(made("regex_project_metadata", {"any:none:info.license": "x"}), page)
    assert keeps(made("regex_project_metadata", {"none:any:info.license": "x"}), page)
    option = {"not-null: match-null: info.summary": "x"}
    assert keeps(made("regex_project_metadata", option), page)


def test_all_options_must_pass() -> None:
    options = {"info.license": "MIT", "info.summary": "a"}
    by = made("regex_project_metadata", options)
    assert keeps(by, info(license="MIT", summary="abc"))
    assert not keeps(by, info(license="MIT", summary="b"))
    assert not keeps(by, info(license="x", summary="abc"))


@pytest.mark.parametrize(
    ("said", "found"), [("true", True), ("On", True), ("no", False), ("0", False)]
)
def test_patterns_match_at_the_start_or_anywhere(said: str, *, found: bool) -> None:
    project = made("regex_project_metadata", {"info.summary": "mirror", "search": said})
    assert keeps(project, info(summary="a mirror")) is found
    file = made("regex_release_file_metadata", {"release_file.url": r"\.whl$", "search": said})
    assert kept(file) == (["whl"] if found else [])
    name = made("regex_project_metadata", {"info.name": "OO", "search": said})
    assert keeps(name, PAGE) is found
    assert (
        project.fingerprint()
        == made("regex_project_metadata", {"info.summary": "mirror"}).fingerprint()
    ) is (not found)


@pytest.mark.parametrize(
    ("option", "pattern", "left"),
    [
        ("any:release_file.packagetype", "sdist\nbdist_wheel", ["gz", "whl"]),
        ("none:release_file.packagetype", "bdist_egg", ["gz", "whl"]),
        ("release_file.python_version", "2", ["egg"]),
        ("release_file.filename", "foo-1.0-", ["egg", "whl"]),
        ("release_file.requires_python", ">=3.8", ["gz", "egg"]),
        ("not-null:release_file.requires_python", ">=3.8", ["gz"]),
        ("not-null:release_file.size", r"\d+$", ["gz", "whl"]),
        ("not-null:release_file.upload_time", "2024-05-06T07:08:09$", ["gz", "whl"]),
        ("not-null:release_file.upload_time_iso_8601", ".*Z$", ["gz", "whl"]),
        ("release_file.url", "https://files.example.org", ["gz", "egg", "whl"]),
        ("release_file.yanked", "true", ["whl"]),
        ("not-null:release_file.yanked_reason", "br", ["whl"]),
        ("release_file.digests.sha256", WHEEL.hashes.sha256_value, ["whl"]),
        ("release", "1.0$", ["gz", "egg", "whl"]),
        ("none:release", "1", []),
        ("info.name", "FOO$", ["gz", "egg", "whl"]),
    ],
)
def test_files_are_judged_by_the_values_of_the_page(
    option: str, pattern: str, left: list[str]
) -> None:
    by = made("regex_release_file_metadata", {option: pattern})
    assert sorted(kept(by)) == sorted(left)
    assert Needs.DOCUMENT not in by.needs


@pytest.mark.parametrize(
    ("kind", "path", "reads"),
    [
        ("project", "info.name", Needs.NOTHING),
        ("project", "last_serial", Needs.NOTHING),
        ("project", "info.version", Needs.DOCUMENT),
        ("project", "info.x-private", Needs.DOCUMENT),
        ("project", "releases", Needs.DOCUMENT),
        ("project", "releases.unknown", Needs.DOCUMENT),
        ("project", "urls", Needs.DOCUMENT),
        ("project", "vulnerabilities", Needs.DOCUMENT),
        ("release_file", "release", Needs.NOTHING),
        ("release_file", "info.name", Needs.NOTHING),
        ("release_file", "info.requires_python", Needs.DOCUMENT),
        ("release_file", "release_file.requires_python", Needs.NOTHING),
        ("release_file", "release_file.size", Needs.SIZES),
        ("release_file", "release_file.upload_time", Needs.TIMES),
        ("release_file", "release_file.upload_time_iso_8601", Needs.TIMES),
        ("release_file", "release_file.digests", Needs.DOCUMENT),
        ("release_file", "release_file.digests.md5", Needs.DOCUMENT),
        ("release_file", "release_file.has_sig", Needs.DOCUMENT),
        ("release_file", "release_file.x-private", Needs.DOCUMENT),
    ],
)
def test_the_document_is_needed_only_for_values_that_pages_lack(
    kind: str, path: str, reads: Needs
) -> None:
    for by in (made(f"regex_{kind}_metadata", {path: "3"}),
               made(f"version_range_{kind}_metadata", {path: "3"})):  # fmt: skip
        assert by.needs == reads
        if reads is Needs.DOCUMENT:
            with pytest.raises(FilterFailure) as raised:
                by.apply(PAGE)
            assert str(raised.value) == (
                f"the filter {by.name} failed: the index has no JSON document for foo, "
                f"which [{by.name}] {path} reads"
            )
        else:
            other = {"info": {"name": "3"}, "last_serial": 3}
            assert by.apply(PAGE) == by.apply(replace(PAGE, document=other))


def test_the_needs_of_all_paths_are_known() -> None:
    options = {"release_file.size": "1", "release_file.upload_time": "2", "release": "1"}
    by = made("regex_release_file_metadata", options)
    assert by.needs == Needs.SIZES | Needs.TIMES


def test_values_of_the_page_do_not_depend_on_the_document() -> None:
    said = {
        "info": {"name": "Foo.Bar", "license": "MIT"},
        "releases": {
            "1.0": [{"filename": SDIST.filename, "packagetype": "other", "has_sig": True}]
        },
    }
    page = make_detail(SDIST, document=said)
    options = {"release_file.packagetype": "sdist", "release_file.has_sig": "true"}
    by = made("regex_release_file_metadata", options | {"info.license": "MIT"})
    assert kept(by, page) == ["gz"]
    project = made("regex_project_metadata", {"info.name": "foo$", "info.license": "MIT"})
    assert keeps(project, page)


def test_releases_and_urls_are_those_of_the_page() -> None:
    said = {"info": {"version": "1.0"}, "releases": {"0.9": [{"filename": "old"}]}}
    page = make_detail(SDIST, versions=("1.0",), document=said)
    by = made("regex_project_metadata", {"releases": '.*"1.0": ', "none:releases.0.9": "x"})
    assert keeps(by, page)
    assert keeps(made("regex_project_metadata", {"not-null:urls": ".*foo-1.0.tar.gz"}), page)


def test_a_release_is_written_as_the_page_lists_it() -> None:
    by = made("regex_release_file_metadata", {"release": "v1"})
    assert kept(by, make_detail(SDIST, versions=("v1.0", "0.9"))) == ["gz"]
    assert kept(by, make_detail(SDIST, versions=())) == []


# ---------------------------------------------------------------- ranges of versions


@pytest.mark.parametrize(
    ("option", "versions", "left"),
    [
        ("release_file.requires_python", "3.9", ["gz", "egg"]),
        ("release_file.requires_python", "3.9\n3.12.1  # newest", ["gz", "egg", "whl"]),
        ("all:release_file.requires_python", "3.9\n3.12.1", ["gz", "egg"]),
        ("none:release_file.requires_python", "3.12", ["egg"]),
        ("not-null:release_file.requires_python", "3.9", ["gz"]),
        ("none:not-null:release_file.requires_python", "3.9", ["whl"]),
        ("release_file.requires_python", "2.7", ["egg"]),
        ("release_file.requires_python", "3.13.0rc1", ["gz", "egg", "whl"]),
    ],
)
def test_a_file_is_kept_if_it_allows_a_version(option: str, versions: str, left: list[str]) -> None:
    by = made("version_range_release_file_metadata", {option: versions})
    assert sorted(kept(by)) == sorted(left)


@pytest.mark.parametrize("told", [None, "invalid", ">=3.*", 3, ["x", None]], ids=str)
@pytest.mark.parametrize("mode", ["any", "all", "none"])
def test_a_text_that_is_not_a_specifier_is_ignored(told: object, mode: str) -> None:
    """It raised, as did null under not-null, and failed the project."""
    page = info(requires_python=told)
    for null, tag in ((True, "match-null"), (False, "not-null")):
        option = {f"{mode}:{tag}:info.requires_python": "3.9"}
        assert keeps(made("version_range_project_metadata", option), page) is null


def test_an_empty_range_allows_everything() -> None:
    option = {"not-null:info.requires_python": "3.9"}
    assert keeps(made("version_range_project_metadata", option), info(requires_python=""))


@pytest.mark.parametrize(("version", "keep"), [("2.7", False), ("3.9", True), ("4.0b1", True)])
def test_the_range_of_a_project_is_read_from_its_own_section(version: str, *, keep: bool) -> None:
    """It read the section for files, and was not to be had."""
    by = made("version_range_project_metadata", {"info.requires_python": version})
    assert keeps(by, info(requires_python=">=3.8")) is keep
    other = {"version_range_release_file_metadata": {"release_file.requires_python": version}}
    with pytest.raises(InvalidRules):
        VersionRangeProjectMetadata.from_options(FilterOptions(sections=other))


# ---------------------------------------------------------------- what is said


def test_filters_say_what_they_do_and_when() -> None:
    options = {"release_file.packagetype": "\nsdist\nbdist", "none:not-null:release": "1"}
    by = made("regex_release_file_metadata", options)
    assert (by.name, by.stage) == ("regex_release_file_metadata", Stage.FILE)
    assert by.describe() == (
        (
            "keep the files whose release_file.packagetype matches one of: sdist, bdist; "
            "also those without it"
        ),
        "keep the files whose release matches none of: 1; not those without it",
    )
    project = made("version_range_project_metadata", {"all:info.requires_python": "3.9"})
    assert (project.name, project.stage) == ("version_range_project_metadata", Stage.METADATA)
    assert project.describe() == (
        "keep the projects whose info.requires_python allows each of: 3.9; also those without it",
    )


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("release_file.yanked", "\ntrue\nmaybe", "'true' in bandersnatch.conf, line 6"),
        ("all:release_file.yanked", "false\ntrue", "'true' in bandersnatch.conf, line 6"),
        ("none:release_file.yanked", "true\nfalse", "'false' in bandersnatch.conf, line 6"),
        (
            "not-null:release_file.yanked_reason",
            "x",
            "there is no usable value at release_file.yanked_reason",
        ),
    ],
)
def test_a_dropped_file_is_explained_by_its_rule_and_line(
    option: str, value: str, why: str
) -> None:
    by = made("regex_release_file_metadata", {option: value}, at=5)
    page = make_detail(SDIST)
    assert kept(by, page) == []
    numbers = f"[regex_release_file_metadata] {option}: {why}"
    assert by.explain(page, SDIST) == numbers
    assert by.explain(page, None) == ""


def test_a_dropped_project_is_explained_by_its_rule_and_line() -> None:
    by = made("regex_project_metadata", {"none:info.license": "MIT"}, at=5)
    assert by.explain(info(license="MIT"), None) == (
        "[regex_project_metadata] none:info.license: 'MIT' in bandersnatch.conf, line 5"
    )
    assert by.explain(info(license="x"), None) == ""


@pytest.mark.parametrize("name", MAKERS)
def test_terms_change_with_the_rules_and_not_with_their_order(name: str) -> None:
    one, two = "info.name", "info.summary"

    def terms(*options: tuple[str, str]) -> str:
        return made(name, dict(options)).fingerprint()

    same = terms((one, "1\n2"), (two, "3"))
    assert same == terms((two, "3"), (f"any:match-null:{one}", "2\n1\n1"))
    others = {
        terms((one, "1\n2")),
        terms((one, "1"), (two, "3")),
        terms((f"all:{one}", "1\n2"), (two, "3")),
        terms((f"not-null:{one}", "1\n2"), (two, "3")),
        terms((two, "1\n2"), (one, "3")),
    }
    assert len(others - {same}) == 5


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("al:info.name", "'al' is not a tag; did you mean 'all'?"),
        ("sometimes:info.name", "'sometimes' is not a tag; there are any, all, none, match-null"),
        (":info.name", "'' is not a tag"),
        ("any:", "its path is empty"),
        ("", "its path is empty"),
        ("info..name", "has an empty part"),
        ("info.name.", "has an empty part"),
        ("inof.name", "no path begins with 'inof' here; did you mean 'info'?"),
        ("something", "no path begins with 'something' here; there are "),
        ("info", "'info' holds many values; name one of them, as in info."),
        ("info.classifier", "info has no 'classifier'; did you mean 'classifiers'?"),
    ],
)
def test_an_option_that_is_not_a_path_is_refused(name: str, option: str, why: str) -> None:
    with pytest.raises(InvalidRules) as raised:
        made(name, {option: "1", "info.summary": "1"})
    (problem,) = raised.value.problems
    assert (problem.section, problem.option) == (name, option)
    assert why in problem.message


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("project", "release_file.size"),
        ("project", "release"),
        ("project", "last_serial.x"),
        ("release_file", "releases"),
        ("release_file", "last_serial"),
        ("release_file", "release.x"),
        ("release_file", "release_file"),
        ("release_file", "release_file.package_type"),
    ],
)
def test_a_path_of_the_other_kind_is_refused(kind: str, path: str) -> None:
    for name in (f"regex_{kind}_metadata", f"version_range_{kind}_metadata"):
        with pytest.raises(InvalidRules):
            made(name, {path: "1"})


@pytest.mark.parametrize("name", MAKERS)
def test_a_filter_without_rules_is_refused(name: str) -> None:
    with pytest.raises(InvalidRules, match="no path is set"):
        MAKERS[name](FilterOptions())
    with pytest.raises(InvalidRules, match=r"info\.summary: it has no (pattern|version)"):
        made(name, {"info.summary": "\n  \n# none"})


@pytest.mark.parametrize("name", REGEX)
def test_all_problems_of_a_section_are_reported_together(name: str) -> None:
    with pytest.raises(InvalidRules) as raised:
        made(name, {"search": "maybe", "info.summary": "(\n(foo){e<=1}", "x": "1"})
    told = [(each.option, each.message) for each in raised.value.problems]
    assert [option for option, _ in told] == ["search", "info.summary", "info.summary", "x"]
    assert told[0][1] == "'maybe' in bandersnatch.conf is neither true nor false"
    with pytest.raises(InvalidRules, match="no path is set"):
        made(name, {"search": "true"})


@pytest.mark.parametrize("name", RANGE)
def test_a_text_that_is_not_a_version_is_refused_with_its_line(name: str) -> None:
    with pytest.raises(InvalidRules) as raised:
        made(name, {"info.requires_python": "3.9\n>=3.8\n3.x"}, at=5)
    assert [each.message for each in raised.value.problems] == [
        f"{text!r} in bandersnatch.conf, line {line}: "
        "it is not a version; write one such as 3.12 (PEP 440)"
        for text, line in ((">=3.8", 6), ("3.x", 7))
    ]
    with pytest.raises(InvalidRules, match="search"):
        made(name, {"search": "true", "info.requires_python": "3.9"})


# ---------------------------------------------------------------- properties


def test_two_configurations_in_one_process_have_nothing_in_common() -> None:
    """Patterns were kept with the class, and stayed."""
    first = made("regex_release_file_metadata", {"release_file.packagetype": "sdist"})
    second = made("regex_release_file_metadata", {"release_file.packagetype": "bdist_egg"})
    assert (kept(first), kept(second)) == (["gz"], ["egg"])


OPTIONS = st.dictionaries(
    st.sampled_from(
        [
            *["none:release_file.packagetype", "not-null:release_file.size", "release"],
            *["all:release_file.filename", "release_file.requires_python", "info.summary"],
            *["not-null:release_file.comment_text", "none:not-null:info.keywords"],
        ]
    ),
    st.lists(st.sampled_from(["1", "2", "sdist", ".*", "foo", ">=3"]), min_size=1),
    min_size=1,
)


@given(options=OPTIONS, said=json_values, order=st.randoms(), searching=st.booleans())
def test_the_result_is_a_part_of_the_page_and_does_not_depend_on_order(
    options: dict[str, list[str]], said: object, order: Random, *, searching: bool
) -> None:
    entry = {"filename": SDIST.filename, "comment_text": said}
    document = {"info": {"summary": said, "keywords": said}, "releases": {"1.0": [entry]}}
    files = [SDIST, WHEEL, EGG]
    page = make_detail(*files, document=document)

    def by(items: list[tuple[str, list[str]]]) -> PageFilter:
        settings = {option: "\n".join(lines) for option, lines in items}
        return made("regex_release_file_metadata", settings | {"search": str(searching)})

    left = by(list(options.items())).apply(page)
    assert left is not None
    assert set(left.files) <= set(page.files)
    assert by(list(options.items())).apply(left) == left
    shuffled = [(option, order.sample(lines, len(lines))) for option, lines in options.items()]
    order.shuffle(shuffled)
    order.shuffle(files)
    other = by(shuffled).apply(make_detail(*files, document=document))
    assert other is not None
    assert set(other.files) == set(left.files)


@given(said=json_values, name=st.sampled_from([*MAKERS]))
def test_any_document_is_accepted(said: Any, name: str) -> None:
    options = {"info.requires_python": "3", "not-null:info.classifiers": "1"}
    by = made(name, options)
    for document in ({"info": said}, {"info": {"requires_python": said, "classifiers": said}}):
        page = make_detail(document=document)
        assert by.apply(page) in (None, page, page.keep(lambda _: False))
