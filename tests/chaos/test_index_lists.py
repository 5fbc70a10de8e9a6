"""Cases 34 to 45, 58 and 59: lists of projects that shrink, are wrong, or go back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.lists import listing, with_serial
from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.case import Case

METHODS = ["auto", "simple", "xmlrpc"]


def comparing(case: Case, method: str) -> None:
    """Make the next run compare the whole list."""
    case.site.configure(api_method=method)
    case.clock.advance(hours=25)


def only(*names: str) -> faults.Act:
    """Answer with a list of these projects only."""

    def shortened(page: dict[str, Any]) -> None:
        page["projects"] = [each for each in page["projects"] if each["name"] in names]

    return listing(shortened)


# ---------------------------------------------------------------- too short


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_034_an_empty_list_removes_nothing(case: Case, method: str) -> None:
    names = [f"p{number}" for number in range(8)]
    case.mirrored(*names)
    case.index.yank("p0", "1.0")
    case.fault("list", only())

    for _ in range(2):
        comparing(case, method)
        ran = case.mirror(exits=5, behind=["p0"])
        assert "projects are gone from the index and one run may remove 5" in ran.log
        assert case.site.names() == names

    case.site.configure(api_method="auto")
    case.heals()


def test_case_034_an_empty_list_of_the_changelog_removes_nothing(case: Case) -> None:
    case.mirrored("bar", "baz", "foo")
    case.fault("xmlrpc", faults.call("list_packages_with_serial", {}))
    comparing(case, "xmlrpc")

    assert case.mirror(exits=5).report["projects"]["removed"] == []

    case.site.configure(api_method="auto")
    case.heals()


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_035_a_short_list_is_used_for_additions(case: Case, method: str) -> None:
    names = [f"p{number:02}" for number in range(12)]
    case.mirrored(*names)
    case.index.release("p11", "2.0")
    case.index.release("new", "1.0")
    case.fault("list", only("new", *names[6:]))
    comparing(case, method)

    ran = case.mirror(exits=5)

    assert ran.synced == ["new", "p11"]
    assert "run mirror with --max-removals 6 once" in ran.log
    assert case.site.names() == ["new", *names]
    case.site.configure(api_method="auto")
    case.heals()


def test_case_035_a_short_list_is_followed_if_the_operator_permits_it(
    case: Case,
) -> None:
    names = [f"p{number:02}" for number in range(12)]
    case.site.configure(api_method="simple")
    case.mirrored(*names)
    for name in names[:6]:
        case.index.remove_project(name)
    case.mirror(exits=5)
    case.site.configure(max_removals=6)

    case.mirror(behind=names[:6])
    case.clock.advance(minutes=11)
    ran = case.mirror(removals=6)

    assert ran.report["projects"]["removed"] == names[:6]
    case.heals()


@pytest.mark.parametrize("method", METHODS)
def test_case_036_an_empty_list_at_the_first_run_is_refused(case: Case, method: str) -> None:
    case.site.configure(api_method=method)

    for _ in range(2):
        ran = case.mirror(exits=3)
        assert "the index lists no projects at all" in ran.log

    case.index.release("foo", "1.0")
    case.heals()


# ---------------------------------------------------------------- invalid lists

NO_LISTS = {
    "{}": b"{}",
    "null": b"null",
    "[]": b"[]",
    "5": b"5",
    '"foo"': b'"foo"',
    "true": b"true",
    "nothing": b"",
    "no projects": b'{"meta": {"api-version": "1.0"}}',
    "projects null": b'{"projects": null}',
    "projects a mapping": b'{"projects": {"foo": 1}}',
    "projects a text": b'{"projects": "foo"}',
    "projects a number": b'{"projects": 5}',
    "meta a list": b'{"meta": [], "projects": [{"name": "foo"}]}',
}


def refused(case: Case, acts: Mapping[str, faults.Act]) -> dict[str, str]:
    """Assert that each list is refused as a whole; return the ERROR line of each."""
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")
    before, said = case.site.status, {}
    for kind in case.each(acts):
        case.fault("list", acts[kind])
        comparing(case, "simple")

        ran = case.mirror(exits=3)

        assert case.site.status == before
        (said[kind],) = ran.errors()
    case.site.configure(api_method="auto")
    case.heals()
    return said


def test_case_037_json_of_another_form_is_refused(case: Case) -> None:
    said = refused(case, {kind: faults.body(text) for kind, text in NO_LISTS.items()})

    for kind, line in said.items():
        assert "/simple/ cannot be read: " in line, kind
        if kind.startswith("projects"):
            assert "$.projects" in line, kind


def test_case_037_json_of_another_form_is_refused_in_a_comparison(case: Case) -> None:
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")
    case.fault("list", faults.body(b"{}"))
    comparing(case, "auto")

    case.mirror(exits=3)

    case.heals()


PAGES = {
    "a log-in page": (b"<html><a href='/login'>Log in</a></html>", "text/html"),
    "links elsewhere": (b"<a href='https://example.com/'>foo</a><a href='../x'>x</a>", "text/html"),
    "no links": (b"<html><h1>It works!</h1></html>", "text/html; charset=utf-8"),
    "no type": (b"<html>\x1b[31m\nLog in", ""),
    "a picture": (b"\x89PNG\r\n\x1a\n" + b"x" * 200, "image/png"),
    "text": (b"Back soon.\x00\x07", "text/plain"),
    "html that says it is json": (b"<html><a href='foo/'>foo</a></html>", "application/json"),
}


def test_case_038_an_html_page_for_people_is_refused(case: Case) -> None:
    """HTML is a list if it has a link to a project."""
    said = refused(case, {kind: faults.body(*page) for kind, page in PAGES.items()})

    for kind, line in said.items():
        assert not {"\x1b", "\x00", "\x07", "\n"} & set(line), kind
        assert len(line) < 500, kind
    assert "it is image/png, not a simple page: '" in said["a picture"]
    assert "it is text/plain, not a simple page: '" in said["text"]


BROKEN = {
    "cut": faults.edit(lambda body: body[:-5]),
    "cut in a name": faults.edit(lambda body: body[: body.index(b"foo") + 1]),
    "not UTF-8": faults.edit(lambda body: body.replace(b"foo", b"f\xff\xfeo")),
    "UTF-16": faults.edit(lambda body: body.decode().encode("utf-16")),
    "a NUL": faults.edit(lambda body: body + b"\x00"),
    "nested": faults.body(b'{"projects": ' + b"[" * 1_000_000),
    "NaN": faults.edit(lambda body: body.replace(b'"projects"', b'"x": NaN, "projects"')),
    "more behind it": faults.edit(lambda body: body + b"{}"),
}


def test_case_039_a_broken_list_is_refused(case: Case) -> None:
    for kind, line in refused(case, BROKEN).items():
        assert "/simple/ cannot be read: " in line, kind


BEARABLE = {
    "a byte order mark": faults.edit(lambda body: b"\xef\xbb\xbf" + body),
    "a key twice": faults.edit(
        lambda body: body.replace(b'"projects"', b'"projects": [], "projects"')
    ),
    "10 to the 400th": faults.edit(
        lambda body: body.replace(b'"projects"', b'"x": 1e400, "projects"')
    ),
}


def test_case_039_harmless_defects_of_a_list_are_tolerated(case: Case) -> None:
    """The last one of duplicate keys counts, as in every JSON parser."""
    case.site.configure(api_method="simple")
    case.mirrored("bar", "foo")
    for number, kind in enumerate(case.each(BEARABLE)):
        case.index.release("foo", f"2.{number}")
        case.fault("list", BEARABLE[kind])

        assert case.mirror().synced == ["foo"]
    case.heals()


def versioned(version: object) -> faults.Act:
    """Answer with a list of this version of the API."""
    return listing(lambda page: page["meta"].update({"api-version": version}))


OTHERS = ["2.0", "0.9", "", "one", None, 1, 1.0, ["1.0"], "99999.1"]


def test_case_040_a_list_of_another_major_version_is_refused(case: Case) -> None:
    for kind, line in refused(case, {repr(each): versioned(each) for each in OTHERS}).items():
        assert "its API version" in line, kind


def test_case_040_a_list_of_a_newer_minor_version_is_used_with_a_warning(case: Case) -> None:
    case.site.configure(api_method="simple")
    case.mirrored("bar", "foo")
    for version in case.each(["1.5", "1.999"]):
        case.index.release("foo", version)
        case.fault("list", versioned(version))

        ran = case.mirror()

        assert ran.log.count(f"WARNING: the index has API version {version}") == 1
    case.heals()


# ---------------------------------------------------------------- invalid entries

NO_NAMES: list[object] = [3, None, True, "", "..", "a/b", "a b", "\u00e4", "x" * 300, ["foo"], {}]
NO_SERIALS: list[object] = ["soon", -1, True, 1.5, 2**53, 10**400, [], {}, ""]


def another(name: object) -> faults.Act:
    """Answer with a list with one more entry."""
    return listing(lambda page: page["projects"].append({"name": name}))


def test_case_041_an_entry_without_a_name_is_dropped(case: Case) -> None:
    """It names no project, so nothing selected is missing: exit status 0, and a warning."""
    case.site.configure(api_method="simple")
    case.mirrored("bar", "foo")
    for number, name in enumerate(case.each(NO_NAMES)):
        case.index.release("foo", f"2.{number}")
        case.fault("list", another(name))

        ran = case.mirror()

        assert ran.synced == ["foo"]
        assert "WARNING: bad entry of the list: " in ran.log
    case.heals()


def test_case_041_a_project_with_an_invalid_serial_is_requested_in_every_run(case: Case) -> None:
    """It counts as an entry without a serial: its project is shown, and the exit status is 0."""
    case.site.configure(api_method="simple")
    case.mirrored("bar", "foo")
    for number, serial in enumerate(case.each(NO_SERIALS)):
        case.index.release("foo", f"2.{number}")
        case.index.release(f"new{number}", "1.0")
        case.fault("list", with_serial(f"new{number}", serial))

        ran = case.mirror()

        assert ran.synced == ["foo", f"new{number}"]
        assert f"WARNING: bad entry of the list: new{number}: serial " in ran.log
        assert case.mirror().synced == []
    case.heals()


def test_case_041_a_list_with_many_bad_entries_is_refused(case: Case) -> None:
    bad = [{"name": "..", "_last-serial": n} for n in range(3)]

    said = refused(case, {"many": listing(lambda page: page["projects"].extend(bad))})

    assert "3 of its 5 entries are bad" in said["many"]


@pytest.mark.parametrize("etags", [True, False])
@pytest.mark.parametrize("html", [True, False])
def test_case_042_an_index_without_serials_is_followed_by_its_pages(
    case: Case, *, etags: bool, html: bool
) -> None:
    server = case.server
    server.has_changelog = server.has_serials = False
    server.has_etags, server.speaks_json = etags, not html
    case.mirrored("bar", "foo")
    assert not (case.site.root / "status").exists(), "nothing proves a serial"

    assert case.mirror().synced == []
    assert case.asked("file", "sidecar") == []
    case.index.release("foo", "2.0")
    case.index.yank("bar", "1.0")
    assert case.mirror().synced == ["bar", "foo"]

    case.heals()


# ---------------------------------------------------------------- back in time


@pytest.mark.parametrize("method", METHODS)
def test_case_043_an_index_that_is_a_little_behind_reverts_nothing(case: Case, method: str) -> None:
    """New projects of an old list are synced, and those that it lacks stay."""
    case.site.configure(api_method=method)
    case.mirrored("bar", "foo")
    old = case.index.list_json()
    case.index.release("new", "1.0")
    case.index.release("foo", "2.0")
    case.mirror()
    status = case.site.status
    case.fault("list", faults.body(json.dumps(old).encode()))
    case.fault("xmlrpc", faults.call("changelog_last_serial", old["meta"]["_last-serial"]))
    serials = {each["name"]: each["_last-serial"] for each in old["projects"]}
    case.fault("xmlrpc", faults.call("list_packages_with_serial", serials))

    for _ in range(2):
        case.clock.advance(minutes=11)
        ran = case.mirror("--force-check")
        assert ran.report["projects"]["removed"] == []
        assert case.site.names() == ["bar", "foo", "new"]
        assert case.site.status == status

    case.heals()


def test_case_044_an_index_that_alternates_does_not_change_the_mirror(
    case: Case,
) -> None:
    case.site.configure(api_method="simple")
    case.mirrored("bar", "foo")
    old = json.dumps(case.index.list_json()).encode()
    pages = {
        name: json.dumps(case.index.detail_json(name, files_at=case.server.url)).encode()
        for name in ("bar", "foo")
    }
    case.index.release("new", "1.0")
    case.index.release("foo", "2.0")
    case.index.yank("bar", "1.0")
    case.fault("list", faults.every_other(faults.body(old)))
    for name, page in pages.items():
        case.fault("detail", faults.every_other(faults.body(page)), project=name)
        case.fault("detail", faults.header("X-PyPI-Last-Serial", None), project=name)
    case.mirror(behind=["foo", "bar", "new"])
    assert case.mirror().code == 0
    times = case.site.times()

    for _ in range(4):
        case.clock.advance(minutes=11)
        case.mirror()
        assert case.site.times() == times

    case.heals()


@pytest.mark.parametrize("method", METHODS)
def test_case_045_an_index_that_is_far_behind_is_refused(case: Case, method: str) -> None:
    """More than a day of changes; the message names the way out."""
    case.site.configure(api_method=method)
    case.index.serial += 1_000_000
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")
    past = 900_000

    def back(page: dict[str, Any]) -> None:
        page["meta"]["_last-serial"] -= past
        for each in page["projects"]:
            each["_last-serial"] -= past

    case.fault("list", listing(back))
    case.fault("xmlrpc", faults.call("changelog_last_serial", case.index.serial - past))
    comparing(case, method)

    ran = case.mirror(exits=5, behind=["foo"])

    assert "the index is at serial" in ran.log
    assert "already at" in ran.log
    case.heals()


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_045_the_operator_can_resume_after_a_serial_far_ahead(case: Case, method: str) -> None:
    """Only the operator can know whether the index went back or was wrong before."""
    case.site.configure(api_method=method)
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")
    ahead = 2_000_000_000

    def advance(page: dict[str, Any]) -> None:
        page["meta"]["_last-serial"] = ahead
        page["projects"][-1]["_last-serial"] = ahead

    case.fault("list", listing(advance))
    case.fault("xmlrpc", faults.call("changelog_last_serial", ahead))
    event = ["foo", "2.0", int(case.clock.now().timestamp()), "new release", ahead]
    case.fault("xmlrpc", faults.call("changelog_since_serial", [event]))
    case.oracle.highest = ahead
    case.mirror(exits=4)
    case.server.faults.clear()
    case.index.release("foo", "3.0")

    ran = case.mirror(exits=5, behind=["foo"])
    assert "delete its status and todo files: the next run" in ran.errors()[0]

    (case.site.root / "status").unlink()
    (case.site.root / "todo").unlink(missing_ok=True)
    case.heals()


# ---------------------------------------------------------------- unusual lists


@pytest.mark.parametrize("first", [True, False])
def test_case_058_two_names_that_normalise_to_one_count_as_one(case: Case, *, first: bool) -> None:
    case.site.configure(api_method="simple")
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")

    def twice(page: dict[str, Any]) -> None:
        twin = {"name": "Foo", "_last-serial": 7}
        page["projects"].insert(0 if first else len(page["projects"]), twin)

    case.fault("list", listing(twice))

    ran = case.mirror()

    assert ran.synced == ["foo"]
    assert "WARNING: the list has foo more than once" in ran.log
    case.heals()


def entries(count: int, beginning: bytes) -> bytes:
    """Return a list with this beginning and so many more projects."""
    more = b",".join(b'{"name":"x%d","_last-serial":1}' % number for number in range(count))
    return beginning.removesuffix(b"]}") + b"," + more + b"]}"


def test_case_059_a_large_list_of_which_little_is_selected(case: Case) -> None:
    case.site.filter("""\
        [plugins]
        enabled = regex_project
        [filter_regex]
        packages =
            x.*
    """)
    case.oracle.selects = lambda name: not name.startswith("x")
    case.site.configure(api_method="simple", timeout=60)
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")
    case.fault("list", faults.edit(lambda body: entries(200_000, body)))

    ended = case.process("mirror")

    assert "1 project(s) to process" in ended.log
    case.heals()


@pytest.mark.nightly
def test_case_059_a_list_beyond_its_limit_is_aborted(case: Case) -> None:
    """Eight million projects in 300 MB."""
    case.site.configure(api_method="simple", timeout=60)
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")
    baseline = case.process("mirror").peak
    case.index.release("foo", "3.0")
    large = entries(8_000_000, json.dumps(case.index.list_json()).encode())
    case.fault("list", faults.body(large))

    ended = case.process("mirror", exits=3)

    assert "is larger than 268435456 bytes" in ended.log
    case.figures.measure("G10", max(0.0, round(ended.peak - baseline - 256)))
    assert ended.peak - baseline - 256 <= 64
    case.heals()
