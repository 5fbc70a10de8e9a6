"""Cases 75 to 84: hostile names, URLs and texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.pages import heal, spoil
from tests.support import faults

if TYPE_CHECKING:
    from tests.chaos.case import Case

HOSTILE = [
    *["\x00", "\n", "\r", "\t", "\x1b[31m", "\x7f", "\x85", "\u202e", "\u2066", "\u200b", "\ufeff"],
]
"""Characters that mislead terminals, logs and readers."""


def leaves_out(case: Case, entries: list[dict[str, Any]]) -> None:
    """Assert that such entries are dropped, without a request, and that all others are published.

    Each entry has the fields that replace those of the newest file.
    """
    files = spoil(case, entries, _say)
    excluded = [file.filename for name, file in files.items() if name != "bar"]

    ran = case.mirror(exits=4, excluded=excluded)

    assert ran.report["files"]["rejected"] == len(entries)
    assert set(ran.failed.values()) == {"RejectedFiles"}
    assert {each.path for each in case.asked("file", "sidecar")} == {
        files["bar"].path,
        f"{files['bar'].path}.metadata",
    }
    assert all(line.isprintable() for line in ran.log.splitlines()), ran.log
    heal(case, files)


def _say(page: dict[str, Any], told: object) -> None:
    assert isinstance(told, dict)
    newest(page).update(told)


def newest(page: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of the newest file."""
    found: dict[str, Any] = next(each for each in page["files"] if "-2.0-" in each["filename"])
    return found


# ---------------------------------------------------------------- URLs

CLIMBING = [
    *["/packages/../../x/{}", "/packages/%2e%2e/%2e%2e/{}", "/packages/.%2e/%2E./{}"],
    *["/packages/%252e%252e/{}", "/packages/..%2f..%2f{}", "/packages/..%5c..%5c{}"],
    *["/packages/..\\..\\{}", "/packages/a%2f{}", "/packages/a%5c..%5c{}"],
    *["/packages/%c0%ae%c0%ae/{}", "/packages/./{}", "/packages//{}", "/packages/a/%2e/{}"],
]


def test_case_075_a_url_that_climbs_by_escapes_is_dropped(case: Case) -> None:
    """A URL that resolves to its own name is accepted."""
    end = "p{}-2.0-py3-none-any.whl"
    climbing = [url for url in CLIMBING if url not in {"/packages/../../x/{}", "/packages/./{}"}]
    leaves_out(case, [{"url": url.format(end.format(n))} for n, url in enumerate(climbing)])


@pytest.mark.parametrize("url", ["/packages/../../etc/{}", "../../../../../../etc/{}"])
def test_case_075_a_url_with_plain_dots_is_resolved_within_its_host(case: Case, url: str) -> None:
    """A URL has no parent of its root, and local paths are not taken from it."""
    case.mirrored("foo")
    (file,) = case.index.release("foo", "2.0")
    case.index.files[f"/etc/{file.filename}"] = file
    act = faults.document(lambda page: newest(page).update(url=url.format(file.filename)))
    case.fault("detail", act)

    ran = case.site.mirror()

    assert ran.code == 0, ran.log
    assert len(case.site.filenames("foo")) == 2
    assert all(path.startswith("packages/") for path in case.site.tree() if "-2.0-" in path)
    case.site.check()


ODD = [
    *["http://example.org:0/packages/{}", "http://user:secret@example.org/packages/{}"],
    *["http://user@example.org/packages/{}", "/packages/{}?download=1", "/packages/{}/", "", "#"],
    *["/packages", "/packages/", "/", "ftp://example.org/{}", "file:///packages/{}", "data:,{}"],
    *["//[::1/{}", "http://exa mple.org/{}", "http://-x.example.org/{}", "http://", "http://?/{}"],
    *[
        "javascript:alert(1)//{}",
        "http://example.org:99999/{}",
        "http://xn--zzzz--/{}",
        "\\\\h\\{}",
    ],
    *["/packages/other-2.0.tar.gz", "/packages/{}.metadata", "/packages/{}.asc", "x" * 100_000],
]


def test_case_076_an_unusual_url_is_dropped(case: Case) -> None:
    end = "p{}-2.0-py3-none-any.whl"
    leaves_out(case, [{"url": url.format(end.format(n))} for n, url in enumerate(ODD)])


def test_case_076_a_fragment_is_ignored(case: Case) -> None:
    case.index.release("foo", "1.0")

    def more(page: dict[str, Any]) -> None:
        for file in page["files"]:
            file["url"] += "#sha256=0000&egg=foo"

    case.fault("detail", faults.document(more))

    case.mirror()

    case.heals()


ELSEWHERE = ["/packages_evil/x/{}", "/simple/foo/{}", "/json/{}", "/status/{}", "/{}"]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_case_077_every_file_is_stored_below_packages(case: Case, place: str) -> None:
    """The path is computed: a file with another layout of URLs is stored by its digest.

    So such a file is not refused, and is stored far from pages and state.
    """
    case.mirrored("foo")
    (file,) = case.index.release("foo", "2.0")
    path = place.format(file.filename)
    case.index.files[path] = file
    case.fault("detail", faults.document(lambda page: newest(page).update(url=path)))
    before = case.site.tree().keys()

    ran = case.site.mirror()

    digest = file.sha256
    here = f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{file.filename}"
    if not path.startswith("/simple/"):
        assert ran.code == 0, ran.log
        assert case.site.tree().keys() - before <= {here, f"{here}.metadata"}
    assert all("-2.0-" not in path for path in case.site.tree() if not path.startswith("packages/"))
    case.site.check()


POINTING = ["/simple/index.html", "/simple/foo/", "/json/foo", "/pypi/foo/json", "/status", "/todo"]


def test_case_077_the_url_of_a_page_or_a_state_file_is_dropped(case: Case) -> None:
    leaves_out(case, [{"url": url} for url in POINTING])


def test_case_077_a_page_cannot_be_a_file(case: Case) -> None:
    names = [url.rstrip("/").rpartition("/")[2] for url in POINTING]
    entries = [{"url": u, "filename": n} for u, n in zip(POINTING, names, strict=True)]
    leaves_out(case, entries)


# ---------------------------------------------------------------- names of files


def named(filename: str) -> dict[str, Any]:
    """Return the fields of an entry with an unusual name and a URL that agrees."""
    return {"filename": filename, "url": f"/packages/aa/{filename}"}


def test_case_078_file_names_with_control_characters_are_dropped_and_logged_escaped(
    case: Case,
) -> None:
    entries = [named(f"p{n}-2.0{text}-py3-none-any.whl") for n, text in enumerate(HOSTILE)]
    leaves_out(case, entries)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_case_078_project_names_with_control_characters_are_invalid(case: Case, text: str) -> None:
    case.site.configure(api_method="simple")
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    entry = {"name": f"ba{text}r", "_last-serial": 5}
    case.fault("list", faults.document(lambda page: page["projects"].append(entry)))

    ran = case.mirror()

    assert "WARNING: bad entry of the list" in ran.log
    assert all(line.isprintable() and line.isascii() for line in ran.log.splitlines())
    case.heals()


@pytest.mark.parametrize("half", ["\ud800", "\ud83dx\ude00"], ids=ascii)
def test_case_078_a_lone_surrogate_in_the_list_drops_its_entry(case: Case, half: str) -> None:
    case.site.configure(api_method="simple")
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    odd = {"name": f"ba{half}r", "_last-serial": 5, "\U0001f600\\ud800": half}
    case.fault("list", faults.document(lambda page: page["projects"].append(odd)))

    ran = case.mirror()

    assert ran.synced == ["foo"]
    assert "WARNING: bad entry of the list" in ran.log
    case.heals()


def test_case_078_a_lone_surrogate_makes_a_page_invalid(case: Case) -> None:
    """A lone surrogate has no encoding, and its document is not JSON."""
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    act = faults.document(lambda page: newest(page).update(named("foo-2.0\ud800.whl")))
    case.fault("detail", act, project="foo")

    assert case.mirror(exits=4).failed == {"foo": "InvalidPage"}

    case.heals()


def test_case_078_control_characters_in_texts_are_removed_or_escaped(case: Case) -> None:
    """A reason is for people: it is kept without the characters that are not text."""
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    case.index.yank("foo", "2.0", "bad\x1b[31m \u202e reason\x00\n")

    case.site.mirror()

    text = case.site.text("web/simple/foo/index.html") + case.site.text(
        "web/simple/foo/index.v1_json"
    )
    assert not set("\x1b\x00") & set(text)
    case.site.check()


SPECIAL = [
    *["-rf.zip", "--help.zip", " p{}-2.0.zip", "p{}-2.0.zip .zip", "a:b.zip", "p{}-2.0:x.zip"],
    *["p{}-*.zip", "p{}-?.zip", "p{}-2.0;x.zip", "p{}-2.0|x.zip", "p{}-$HOME.zip", "p{}-`x`.zip"],
    *[
        "p{}-2.0'.zip",
        'p{}-2.0".zip',
        "p{}-[0-9].zip",
        "~.zip",
        "CON.zip",
        "NUL.zip",
        "p{}-2.0%20.zip",
    ],
    *[
        "p{}-2.0&x.zip",
        "p{}-2.0<b>.zip",
        "p{}-2.0,.zip",
        "p{}-2.0@x.zip",
        "p{}-2.0=.zip",
        "p{}#.zip",
    ],
    *["p{}-2.0 (1).zip", "_p{}-2.0.zip", "p{}~2.0.zip", "p{}-2..0.zip"],
]


def publishes(case: Case, names: list[str]) -> None:
    """Assert that files with such names are mirrored, each by a project of its own."""
    for number, name in enumerate(names):
        case.index.upload(f"p{number}", "1.0", name.format(number), escaped=True)

    case.mirror()

    for number, name in enumerate(names):
        assert case.site.filenames(f"p{number}") == [name.format(number)]
    case.heals()


def test_case_079_names_with_a_special_meaning_are_mirrored(case: Case) -> None:
    publishes(case, SPECIAL)


REFUSED = [
    *[".htaccess", ".p{}-2.0-py3-none-any.whl", "..", ".", "-rf", "p{}-2.0.whl\\", "p{}-2.0.whl "],
    *["p{}-2.0%2f.whl", "p{}-2.0.html", "p{}-2.0.svg", "p{}-2.0", "p{}-2.0.whl.", "p{}/2.0.whl"],
]


def test_case_079_names_that_web_servers_or_browsers_treat_specially_are_dropped(
    case: Case,
) -> None:
    leaves_out(case, [named(each.format(n)) for n, each in enumerate(REFUSED)])


def long_name(size: int) -> str:
    """Return the name of a source distribution with ``size`` characters."""
    return f"foo-1.{'0' * (size - len('foo-1..tar.gz'))}.tar.gz"


@pytest.mark.parametrize("size", [245, 246, 254, 255])
def test_case_080_a_name_of_up_to_255_bytes_is_published(case: Case, size: int) -> None:
    case.index.upload("foo", "1.0", long_name(size), size=2_000_000)

    case.mirror()

    case.heals()


def test_case_080_a_wheel_is_published_without_core_metadata_if_its_name_is_too_long(
    case: Case,
) -> None:
    filename = f"foo-1.{'0' * 228}-py3-none-any.whl"
    assert len(filename) <= 255 < len(f"{filename}.metadata")
    case.index.upload("foo", "1.0", filename, metadata=b"Name: foo\n")

    case.mirror(bare=[filename])

    assert case.site.filenames("foo") == [filename]


@pytest.mark.parametrize("size", [256, 257, 300, 10_000])
def test_case_080_a_longer_name_is_dropped(case: Case, size: int) -> None:
    case.mirrored("foo")
    case.index.upload("foo", "1.0", long_name(size))
    case.index.release("foo", "2.0")

    case.mirror(exits=4, excluded=[long_name(size)])

    case.index.remove_file("foo", long_name(size))
    case.heals()


def test_case_081_names_that_are_not_ascii_are_mirrored(case: Case) -> None:
    """This includes two spellings of one name, and characters of several bytes."""
    texts = [
        *["\u00e9", "e\u0301", "\u00e9" * 118, "\U0001f4a3" * 59, "\uff0e\uff0e", "\u2215", "\xdf"],
        *["\u0130", "\u4e2d\u6587", "\u0424"],
    ]
    publishes(case, [f"p{{}}-2.0{text}.zip" for text in texts])


def test_case_081_names_of_more_than_255_bytes_are_dropped(case: Case) -> None:
    texts = ["\u00e9" * 126, "\U0001f4a3" * 63]
    leaves_out(case, [named(f"p{n}-2.0{text}.zip") for n, text in enumerate(texts)])


def test_case_082_names_that_differ_in_case_only_never_share_a_directory(case: Case) -> None:
    """None overwrites the other on any file system: each is stored by its digest.

    Projects have one name in lower case.
    """
    for filename in ("foo-1.0.tar.gz", "Foo-1.0.tar.gz", "FOO-1.0.tar.gz"):
        case.index.upload("foo", "1.0", filename, content=filename.encode())

    case.mirror()

    paths = [path.lower() for path in case.site.tree()]
    assert len(set(paths)) == len(paths)
    assert len(case.site.filenames("foo")) == 3
    case.heals()


# ---------------------------------------------------------------- names of projects

NO_NAMES: list[object] = [
    *["..", ".", "", "/etc", "a/b", "a\\b", "a b", " a", "a\nb", 'a"b', "a'b", "<b>a</b>", "a&b"],
    *["x" * 300, "-a", "a-", "_", "ä", "a\u0301", "%2e%2e", "a%2fb", 12, 1.5, None, True, [], {}],
]


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda each: ascii(each)[:20])
def test_case_083_an_invalid_project_name_never_reaches_the_file_system(
    case: Case, name: object
) -> None:
    """Such an entry cannot be selected, so the exit status is 0, with a warning."""
    case.site.configure(api_method="simple")
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    entry = {"name": name, "_last-serial": 5}
    case.fault("list", faults.document(lambda page: page["projects"].append(entry)))

    ran = case.mirror()

    assert ran.synced == ["foo"]
    assert "WARNING: bad entry of the list" in ran.log
    assert len(case.asked("detail")) == 1


def test_case_083_an_event_with_an_invalid_name_is_ignored(case: Case) -> None:
    case.mirrored("foo")
    names = [name for name in NO_NAMES if isinstance(name, str) and name == name.strip()]
    for name in names:
        case.index.journal.append(type(case.index.journal[0])(name, None, 1, "create", 0))
        case.index.serial += 1
        case.index.journal[-1].serial = case.index.serial
    case.index.release("foo", "2.0")

    assert case.mirror().synced == ["foo"]

    assert len(case.asked("detail")) == 1
    case.heals()


@pytest.mark.parametrize(
    "name", ["simple", "index.html", "packages", "json", "nul", "con", "0", "a"]
)
def test_case_083_a_project_may_have_the_name_of_an_area_of_the_mirror(
    case: Case, name: str
) -> None:
    case.index.release(name, "1.0")
    case.index.release("foo", "1.0")

    case.mirror()

    case.heals()


SCRIPT = "\"'><script>alert(1)</script><!--&lt;\u2028</a><a href=x onclick=y>"


def test_case_084_a_script_in_a_text_is_escaped_in_every_format(case: Case) -> None:
    """The oracle parses the pages and compares them with the index."""
    case.site.configure(json=True)
    case.mirrored("foo")
    case.index.release("foo", "2.0", requires_python=f">=3.9{SCRIPT}")
    case.index.yank("foo", "1.0", SCRIPT)
    case.index.project("foo").status = "archived"
    case.index.project("foo").reason = SCRIPT
    case.index.info = {"summary": SCRIPT, "home_page": f"javascript:{SCRIPT}"}

    case.mirror()

    for path in ("index.html", "index.v1_html"):
        assert "<script" not in case.site.text(f"web/simple/foo/{path}")
    case.heals()


def test_case_084_a_script_in_an_identifier_is_dropped(case: Case) -> None:
    entries = [
        {"url": f"/packages/{SCRIPT}"},
        named(f"p1-2.0{SCRIPT}.whl"),
        {"hashes": {"sha256": SCRIPT}},
    ]
    leaves_out(case, entries)


def test_case_084_a_script_in_a_version_or_digest_is_not_published(case: Case) -> None:
    def scripted(page: dict[str, Any]) -> None:
        page["versions"].append(f"3.0{SCRIPT}")
        newest(page)["hashes"][SCRIPT] = SCRIPT
        newest(page)["hashes"]["md5"] = SCRIPT

    case.mirrored("foo")
    case.index.release("foo", "2.0")
    case.fault("detail", faults.document(scripted))

    case.mirror()

    text = "".join(
        case.site.text(f"web/simple/foo/{page.name}")
        for page in (case.site.web / "simple/foo").iterdir()
    )
    assert "script" not in text
    case.heals()
