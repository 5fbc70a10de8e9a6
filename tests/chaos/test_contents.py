"""Cases 60 to 74: invalid pages, and files that differ from their pages."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.pages import heal, spoil
from tests.support import faults
from tests.support.server import HTML, JSON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.web import Request

    from tests.chaos.case import Case
    from tests.support.server import Answer

LARGE = 1_500_000
"""Size in bytes of a file whose download is resumed."""


def in_the_newest(key: str) -> Callable[[dict[str, Any], object], object]:
    """Return a function that sets a key of the newest file's entry; ``...`` removes the key."""

    def put(page: dict[str, Any], value: object) -> None:
        file = next(each for each in page["files"] if "-2.0-" in each["filename"])
        if value is ...:
            del file[key]
        else:
            file[key] = value

    return put


# ---------------------------------------------------------------- pages

NOT_PAGES = {
    "cut": b'{"meta": {"api-version": "1.4"}, "name": "foo", "files": [{"filename": "foo-1',
    "not UTF-8": b'{"meta": {"api-version": "1.4"}, "name": "\xff\xfe", "files": []}',
    "null": b"null",
    "a list": b"[]",
    "nothing in it": b"{}",
    "a text": b'"foo"',
    "a number": b"12",
    "nothing": b"",
    "deep": b"[" * 100_000,
    "a key with NUL": b'{"na\x00me": "foo"}',
}


@pytest.mark.parametrize("kind", NOT_PAGES)
def test_case_060_an_invalid_page_leaves_the_last_valid_one(case: Case, kind: str) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    case.fault("detail", faults.body(NOT_PAGES[kind], JSON), project="foo")

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "InvalidPage"}
    assert ran.synced == ["bar"]
    assert len(case.site.filenames("foo")) == 1
    case.heals()


@pytest.mark.parametrize("kind", ["text/html", HTML, "text/plain", "application/json"])
def test_case_060_a_login_page_leaves_the_last_valid_page(case: Case, kind: str) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    login = b"<!DOCTYPE html><html><title>Log in</title><form>Who are you?</form></html>"
    case.fault("detail", faults.body(login, kind), project="foo")

    ran = case.mirror(exits=4)

    assert list(ran.failed) == ["foo"]
    assert len(case.site.filenames("foo")) == 1
    case.heals()


OTHERS: tuple[object, ...] = (None, True, 5, 1.5, "", "x", [], {}, [1], {"a": 1})
"""A value of every type."""

_NEEDED: Mapping[str, set[type]] = {"name": set(), "files": {list}, "meta": {dict}}
"""The required keys of a page, with the valid types of their values."""


@pytest.mark.parametrize("key", _NEEDED)
def test_case_060_a_page_with_a_wrong_type_at_a_required_key_is_invalid(
    case: Case, key: str
) -> None:
    wrong = [value for value in OTHERS if type(value) not in _NEEDED[key]]
    files = spoil(case, wrong, lambda page, value: page.__setitem__(key, value))

    ran = case.mirror(exits=4)

    assert set(ran.failed.values()) == {"InvalidPage"}
    assert ran.failed.keys() == files.keys() - {"bar"}
    case.heals()


def test_case_060_the_location_of_a_wrong_type_is_reported(case: Case) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    case.fault("detail", faults.document(lambda page: page.update(files={})), project="foo")

    assert "at `$.files`" in case.mirror(exits=4).log

    case.heals()


@pytest.mark.parametrize("key", ["versions", "project-status"])
def test_case_060_a_wrong_type_at_an_optional_key_counts_as_missing(case: Case, key: str) -> None:
    right: type = list if key == "versions" else dict
    wrong = [value for value in OTHERS if not isinstance(value, right)]
    files = spoil(case, wrong, lambda page, value: page.__setitem__(key, value))

    assert case.mirror().synced == sorted(files)

    heal(case, files)


@pytest.mark.parametrize("key", ["filename", "url", "size"])
def test_case_060_an_entry_with_a_wrong_type_at_a_required_key_is_dropped(
    case: Case, key: str
) -> None:
    right = {"size": {type(None), int}}.get(key, set())
    files = spoil(case, [v for v in OTHERS if type(v) not in right], in_the_newest(key))
    excluded = [file.filename for name, file in files.items() if name != "bar"]

    ran = case.mirror(exits=4, excluded=excluded)

    assert ran.report["files"]["rejected"] == len(excluded)
    assert ran.log.count("rejected 1 file(s)") == len(excluded)
    assert set(ran.failed.values()) == {"RejectedFiles"}
    assert len(case.site.filenames("bar")) == 2
    heal(case, files)


@pytest.mark.parametrize(
    "key", ["upload-time", "requires-python", "yanked", "core-metadata", "provenance"]
)
def test_case_060_an_entry_with_a_wrong_type_at_an_optional_key_is_published(
    case: Case, key: str
) -> None:
    def odd(page: dict[str, Any], value: object) -> None:
        in_the_newest(key)(page, value)
        in_the_newest("data-dist-info-metadata")(page, ...)

    files = spoil(case, OTHERS, odd)

    assert case.mirror(behind=files).synced == sorted(files)

    assert all(len(case.site.filenames(name)) == 2 for name in files)
    heal(case, files)


def test_case_060_a_published_file_with_an_invalid_entry_stays_on_the_page(case: Case) -> None:
    """Otherwise an attacker who can damage an entry could remove the file."""
    case.mirrored("bar", "foo")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    broken = faults.document(lambda page: page["files"][0].update(url="nowhere"))
    case.fault("detail", broken, project="foo")

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "RejectedFiles"}
    assert len(case.site.filenames("foo")) == 2
    assert case.site.todo() == []
    case.index.yank("foo", "2.0")
    case.heals()


# ---------------------------------------------------------------- digests and sizes


def test_case_061_a_wrong_digest_once_is_recovered(case: Case) -> None:
    case.index.release("foo", "1.0")

    case.recovers("file", faults.wrong_bytes())

    case.heals()


def test_case_061_a_permanently_wrong_digest_is_reported_and_nothing_is_kept(case: Case) -> None:
    case.mirrored("foo", "bar")
    (file,) = case.index.release("foo", "2.0", size=LARGE)
    case.index.release("bar", "2.0")
    case.fault(file.path, faults.wrong_bytes())

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "MissingFiles"}
    assert file.sha256 in ran.log
    assert len(case.asked("file", of=file.path)) > 1
    assert case.site.leftovers() == []
    case.heals()


@pytest.mark.parametrize("more", [1, -1, 10**6])
def test_case_062_a_file_with_the_right_digest_and_a_wrong_size_fails(
    case: Case, more: int
) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        (file,) = case.index.release(name, "2.0")
    size = in_the_newest("size")
    act = faults.document(lambda page: size(page, len(file.content) + more))
    case.fault("detail", act, project="foo")

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "MissingFiles"}
    assert len(case.site.filenames("foo")) == 1
    case.heals()


def test_case_063_a_changed_published_file_is_held_until_the_operator_accepts_it(
    case: Case,
) -> None:
    case.mirrored("foo", "bar")
    (had,) = case.index.projects["foo"].files.values()
    now = case.index.upload("foo", "1.0", had.filename, content=b"something else")
    case.index.release("foo", "2.0")
    case.index.release("bar", "2.0")

    for synced in (["bar"], []):
        ran = case.mirror(exits=5)
        assert ran.failed == {"foo": "ChangedFile"}
        assert ran.synced == synced
        assert f"published with sha256 {had.sha256}" in ran.log
        assert now.sha256 in ran.log
        assert "--accept-change foo" in ran.log
        assert case.asked("file", of=now.path) == []

    case.mirror("--accept-change", "foo")
    assert (case.site.root / f"removed{had.path}").read_bytes() == had.content
    case.heals()


TWINS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another URL and digest": lambda file: {
        **file,
        "url": file["url"].replace("/packages/", "/packages/aa/"),
        "hashes": {"sha256": "1" * 64},
    },
    "another URL": lambda file: {**file, "url": file["url"].replace("/packages/", "/packages/x/x")},
    "another size": lambda file: {**file, "size": file["size"] + 1},
}


@pytest.mark.parametrize("kind", TWINS)
def test_case_064_a_file_name_with_two_digests_makes_a_page_invalid(case: Case, kind: str) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    twin = TWINS[kind]
    act = faults.document(lambda page: page["files"].append(twin(page["files"][-1])))
    case.fault("detail", act, project="foo")

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "InvalidPage"}
    assert "names foo-2.0-py3-none-any.whl twice" in ran.log
    case.heals()


def test_case_064_equal_entries_count_as_one(case: Case) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    act = faults.document(lambda page: page["files"].append(page["files"][-1]))
    case.fault("detail", act, project="foo")

    case.mirror()

    assert len(case.site.filenames("foo")) == 2
    case.heals()


def test_case_065_a_url_with_two_digests_makes_a_page_invalid(case: Case) -> None:
    """The name is the last segment of the URL, so this is also one name with two digests."""
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    other = {"hashes": {"sha256": "1" * 64}}
    act = faults.document(lambda page: page["files"].append({**page["files"][-1], **other}))
    case.fault("detail", act, project="foo")

    assert case.mirror(exits=4).failed == {"foo": "InvalidPage"}

    case.heals()


def test_case_065_a_url_under_another_file_name_is_dropped(case: Case) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    other = {"filename": "foo-3.0-py3-none-any.whl", "hashes": {"sha256": "1" * 64}}
    act = faults.document(lambda page: page["files"].append({**page["files"][-1], **other}))
    case.fault("detail", act, project="foo")

    assert "is not the last part of its URL" in case.mirror(exits=4).log

    case.index.yank("foo", "2.0")
    case.heals()


def test_case_066_two_names_for_the_same_content_are_both_published(case: Case) -> None:
    """Small and large files, of one project and of two, in one run."""
    for name, size in (("foo", 1000), ("bar", 1000), ("baz", LARGE)):
        for number in (1, 2):
            filename = f"{name}-1.0-{number}-py3-none-any.whl"
            case.index.upload(name, "1.0", filename, content=b"x" * size)

    case.mirror()

    case.heals()


TOLD = "ab" * 32
MALFORMED = [TOLD[:-1], TOLD + "0", TOLD[:-1] + "g", f" {TOLD}", f"{TOLD}\n", f"0x{TOLD[2:]}"]
MISSING: tuple[object, ...] = ({}, {"SHA 256": TOLD}, {"sha256": ""}, None, 5, [TOLD], "sha256")


def test_case_067_an_entry_with_a_malformed_sha256_is_dropped(case: Case) -> None:
    files = spoil(case, [{"sha256": text} for text in MALFORMED], in_the_newest("hashes"))
    excluded = [file.filename for name, file in files.items() if name != "bar"]

    ran = case.mirror(exits=4, excluded=excluded)

    assert ran.report["files"]["rejected"] == len(excluded)
    assert {each.path for each in case.asked("file")} == {files["bar"].path}
    heal(case, files)


def test_case_067_a_digest_that_a_page_lacks_comes_from_the_legacy_document(case: Case) -> None:
    files = spoil(case, MISSING, in_the_newest("hashes"))

    assert case.mirror().synced == sorted(files)

    heal(case, files)


def test_case_067_a_file_without_any_digest_is_rejected(case: Case) -> None:
    files = spoil(case, MISSING, in_the_newest("hashes"))
    excluded = [file.filename for name, file in files.items() if name != "bar"]
    case.fault("legacy", faults.status(404))

    ran = case.mirror(exits=4, excluded=excluded)

    assert ran.report["files"]["rejected"] == len(excluded)
    assert "accept-unhashed" in ran.log
    heal(case, files)


@pytest.mark.parametrize(
    "hashes", [{"md5": "0" * 32, "sha512": "0" * 128, "blake2b": "0" * 64}, {"sha-256": TOLD}]
)
def test_case_067_content_that_has_another_digest_is_refused(
    case: Case, hashes: dict[str, str]
) -> None:
    files = spoil(case, [hashes], in_the_newest("hashes"))

    ran = case.mirror(exits=4)

    assert set(ran.failed.values()) == {"MissingFiles"}
    heal(case, files)


def test_case_067_a_sha256_in_upper_case_is_accepted(case: Case) -> None:
    def upper(page: dict[str, Any]) -> None:
        for file in page["files"]:
            file["hashes"] = {"sha256": file["hashes"]["sha256"].upper()}

    case.index.release("foo", "1.0")
    case.fault("detail", faults.document(upper))

    case.mirror()

    case.heals()


SIZES: tuple[object, ...] = (-1, "300", "abc", 300.5, True, 2**31 + 1, 10**30, [300], -(10**400))


def test_case_068_an_entry_with_an_impossible_size_is_dropped(case: Case) -> None:
    files = spoil(case, SIZES, in_the_newest("size"))
    excluded = [file.filename for name, file in files.items() if name != "bar"]

    case.mirror(exits=4, excluded=excluded)

    heal(case, files)


@pytest.mark.parametrize("told", [None, ...], ids=["null", "missing"])
def test_case_068_a_missing_size_is_measured(case: Case, told: object) -> None:
    """PEP 691 does not require a size."""
    files = spoil(case, [told], in_the_newest("size"))

    case.mirror()

    assert case.site.page("p0")["files"][-1]["size"] == len(files["p0"].content)
    case.heals()


# ---------------------------------------------------------------- optional fields

TIMES: tuple[object, ...] = (
    *(None, ..., "", "yesterday", 0, 1.7e9, True, [], "0001-01-01T00:00:00Z"),
    *("9999-12-31T23:59:59Z", "2024-05-01T00:00:00", "2024-02-30T00:00:00Z", "1969-12-31T23:59Z"),
    *("-2024-05-01T00:00:00Z", "2024-05-01T00:00:00+99:99", "٢٠٢٤-05-01T00:00:00Z"),
)


def test_case_069_a_file_with_an_impossible_upload_time_is_published_without_it(case: Case) -> None:
    files = spoil(case, TIMES, in_the_newest("upload-time"))

    case.mirror()

    for name, file in files.items():
        told = case.site.page(name)["files"][-1]
        modified = (case.site.web / file.path[1:]).stat().st_mtime
        assert ("upload-time" in told) == (name == "bar"), told
        assert 315_532_800 <= modified < 4_354_819_200, "from 1980 to 2107"
    heal(case, files)


def test_case_070_wrong_core_metadata_is_not_advertised(case: Case) -> None:
    case.mirrored("bar", "foo")
    (file,) = case.index.release("foo", "2.0")
    case.index.release("bar", "2.0")
    case.fault("sidecar", faults.wrong_bytes(), project="foo")

    for _ in range(2):
        ran = case.mirror(bare=[file.filename])
        assert "WARNING: foo: 1 file(s) without core metadata" in ran.log
        assert not (case.site.web / f"{file.path[1:]}.metadata").exists()

    case.heals()


def test_case_070_core_metadata_with_a_wrong_digest_is_not_advertised(case: Case) -> None:
    wrong = {"sha256": hashlib.sha256(b"another").hexdigest()}
    files = spoil(case, [wrong], in_the_newest("core-metadata"))
    bare = [files["p0"].filename]

    case.mirror(bare=bare)

    assert not case.site.page("p0")["files"][-1].get("core-metadata")
    heal(case, files)


YANKS: tuple[tuple[object, object], ...] = (
    *((True, True), (False, False), ("", True), ("broken", "broken"), (None, False), (0, False)),
    *((1, False), ([], False), ({"reason": "x"}, False), ("a\x00b\nc", "a b c")),
    ("x" * 1_000_000, "x" * 4_000),
)


def test_case_071_yanked_is_a_text_or_a_boolean(case: Case) -> None:
    """Other types count as not yanked; a reason is truncated to 4,000 characters."""
    files = spoil(case, [told for told, _ in YANKS], in_the_newest("yanked"))

    case.mirror(behind=files)

    for number, (_, shown) in enumerate(YANKS):
        assert case.site.page(f"p{number}")["files"][-1]["yanked"] == shown
    heal(case, files)


PYTHONS: tuple[tuple[object, object], ...] = (
    *((">=3.9", ">=3.9"), ("", None), (3, None), ([">=3"], None), (True, None), ({}, None)),
    *((">=3\n.9", ">=3 .9"), ("x" * 1_000_000, None), ("<3; rm -rf /", "<3; rm -rf /")),
)


def test_case_071_requires_python_is_a_text_of_limited_length(case: Case) -> None:
    files = spoil(case, [told for told, _ in PYTHONS], in_the_newest("requires-python"))

    case.mirror(behind=files)

    for number, (_, shown) in enumerate(PYTHONS):
        assert case.site.page(f"p{number}")["files"][-1].get("requires-python") == shown
    heal(case, files)


# ---------------------------------------------------------------- changes between requests


@pytest.mark.parametrize("shown", ["bar", "f", "foo-", "../foo", "foo bar", "föö"])
def test_case_072_the_page_of_another_project_is_refused(case: Case, shown: str) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    case.fault("detail", faults.document(lambda page: page.update(name=shown)), project="foo")

    assert case.mirror(exits=4).failed == {"foo": "InvalidPage"}

    case.heals()


def test_case_073_the_last_answer_counts_if_a_page_changes_between_two_tries(
    case: Case,
) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")

    async def change_and_cut(_: Request, answer: Answer) -> None:
        case.index.remove_file("foo", "foo-2.0-py3-none-any.whl")
        case.index.release("foo", "3.0")
        answer.status, answer.body = 503, answer.body[:100]

    case.recovers("detail", change_and_cut)

    assert case.site.filenames("foo") == ["foo-1.0-py3-none-any.whl", "foo-3.0-py3-none-any.whl"]
    case.heals()


def test_case_074_a_file_that_changes_between_two_parts_is_downloaded_again(case: Case) -> None:
    """The parts cannot be told apart by validators: the index sends none."""
    (file,) = case.index.release("foo", "1.0", size=2 * LARGE)

    async def another(request: Request, answer: Answer) -> Any:
        answer.body = b"y" * len(answer.body)
        return await faults.cut(LARGE)(request, answer)

    case.recovers(file.path, another)

    first, second, third = case.asked("file", of=file.path)
    assert "Range" not in first.headers
    assert second.headers["Range"].startswith("bytes=")
    assert "Range" not in third.headers
    case.heals()
