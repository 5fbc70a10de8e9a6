"""Parsing of HTML pages."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidPage
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import FILE_ENDINGS, ReleaseFile
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectDetail, ProjectList, ProjectStatus, UnknownStatus
from bandersnatch.model.serials import Serial
from bandersnatch.simple.html_page import display_name, parse_detail_html, parse_list_html
from tests.support.factories import FILENAME, SHA256, make_context
from tests.support.strategies import hostile_text

CONTEXT = make_context("foo")
WHERE = "https://example.org/simple/"
HREF = f"../../packages/{FILENAME}#sha256={SHA256}"
FILE = ReleaseFile(
    filename=FILENAME,
    url=f"https://example.org/packages/{FILENAME}",
    path=f"packages/{FILENAME}",
    hashes=Hashes((Digest("sha256", SHA256),)),
)


def link(href: str = HREF, attributes: str = "", text: str = FILENAME) -> str:
    """Return the HTML of a link."""
    return f'<a href="{href}" {attributes}>{text}</a><br/>\n'


def page_of(*links: str, head: str = "", end: str = "") -> str:
    """Return the HTML of a project's page with these links."""
    head = f"<head>{head}<title>Links for foo</title></head>"
    return f"<!DOCTYPE html><html>{head}<body>{''.join(links)}</body></html>{end}"


def read(*links: str, charset: str | None = "utf-8", **parts: str) -> ProjectDetail:
    """Return the parsed page with these links."""
    return parse_detail_html(page_of(*links, **parts).encode(), CONTEXT, charset=charset)


# ---------------------------------------------------------------- a project's page


def test_a_page_is_parsed() -> None:
    page = read(
        link(
            attributes=f'data-requires-python="&gt;=3" data-yanked="&lt;b&gt;broken"'
            f' data-core-metadata="sha256={SHA256}"'
            f' data-provenance="https://example.org/provenance"'
        ),
        head='<meta name="pypi:repository-version" content="1.4">'
        '<meta name="pypi:project-status" content="archived">'
        '<meta name="pypi:project-status-reason" content="done &amp; gone">',
        end="\n<!--SERIAL 10-->",
    )
    assert page == ProjectDetail(
        name=CONTEXT.name,
        files=(
            ReleaseFile(
                filename=FILENAME,
                url=FILE.url,
                path=FILE.path,
                hashes=FILE.hashes,
                requires_python=">=3",
                yanked="<b>broken",
                core_metadata=Hashes((Digest("sha256", SHA256),)),
                provenance="https://example.org/provenance",
            ),
        ),
        serial=Serial(10),
        status=ProjectStatus.ARCHIVED,
        status_reason="done & gone",
    )


def test_a_page_of_version_1_0_is_parsed() -> None:
    assert read(link()) == ProjectDetail(CONTEXT.name, (FILE,))


def test_a_page_without_files_is_accepted_with_a_title_or_meta_tag() -> None:
    marked = b'<meta name="pypi:repository-version" content="1.0">'
    for text in (page_of().encode(), marked):
        assert parse_detail_html(text, CONTEXT, charset=None) == ProjectDetail(CONTEXT.name)


def test_a_newer_minor_version_is_accepted() -> None:
    page = read(link(), head='<meta name="pypi:repository-version" content="1.9">')
    assert page.files == (FILE,)


@pytest.mark.parametrize("ending", FILE_ENDINGS)
def test_a_link_with_the_ending_of_a_release_file_is_a_file(ending: str) -> None:
    for name in (f"foo-1.0{ending}", f"foo-1.0{ending.upper()}"):
        page = read(link(f"/packages/{name}#sha256={SHA256}"), link("/packages/foo-1.html"))
        assert [file.filename for file in page.files] == [name]


@pytest.mark.parametrize(
    "href",
    ["..", "", "#top", "https://example.org/", "/packages/foo-1.0.html", "mailto:a@b.example"],
)
def test_any_other_link_is_ignored(href: str) -> None:
    assert read(link(), link(href)) == ProjectDetail(CONTEXT.name, (FILE,))


@pytest.mark.parametrize(
    "href",
    [
        f"/packages/{FILENAME}#md5={'0' * 31}",
        f"/packages/{FILENAME}#sha256={SHA256[1:]}",
        f"/packages/bar-1.0-py3-none-any.whl#sha256={SHA256}",
        f"/packages/..%2f{FILENAME}#sha256={SHA256}",
        f"/packages/%2e%2e/{FILENAME}#sha256={SHA256}",
        f"http://example.org/packages/{FILENAME}#sha256={SHA256}",
        f"https://user@example.org/packages/{FILENAME}#sha256={SHA256}",
        f"https://example.org:0/packages/{FILENAME}#sha256={SHA256}",
        f"/packages/foo-1.0.tar.gz%0a{FILENAME}#sha256={SHA256}",
        f"file:///packages/{FILENAME}#sha256={SHA256}",
    ],
    ids=ascii,
)
def test_an_invalid_link_is_rejected_alone(href: str) -> None:
    other = f"foo-2.0.tar.gz#sha256={SHA256}"
    page = read(link(href), link(f"/packages/{other}"))
    assert [file.filename for file in page.files] == ["foo-2.0.tar.gz"]
    assert len(page.rejected) == 1


@pytest.mark.parametrize(
    "fragment", ["", "#", "#egg=foo", "#sha256", "#sha256=", "#top", "#crc32=00"]
)
def test_a_link_without_a_digest_is_a_file_without_one(fragment: str) -> None:
    assert read(link(f"/packages/{FILENAME}{fragment}")).files == (replace(FILE, hashes=Hashes()),)


@pytest.mark.parametrize(
    "fragment",
    [
        f"sha256={SHA256}&egg=foo",
        f"egg=foo&amp;SHA256={SHA256.upper()}",
        f"sha-256={SHA256}",
        SHA256.upper(),
        f"sha256={SHA256}&sha256={'0' * 64}",
    ],
)
def test_a_digest_is_read_in_every_spelling(fragment: str) -> None:
    assert read(link(f"/packages/{FILENAME}#{fragment}")).files == (FILE,)


def test_the_file_name_comes_from_the_address_not_the_text() -> None:
    assert read(link(text="<b>../../bar</b>-9.9.zip")).files == (FILE,)


def test_an_escaped_address_is_decoded_once() -> None:
    page = read(link(f"/packages/foo-1%212.0%2Blocal.tar.gz#sha256={SHA256}"))
    assert [file.path for file in page.files] == ["packages/foo-1!2.0+local.tar.gz"]


def test_a_base_is_honoured() -> None:
    page = read(link(f"packages/{FILENAME}#sha256={SHA256}"), head='<base href="/mirror/">')
    assert [file.url for file in page.files] == [f"https://example.org/mirror/packages/{FILENAME}"]


def test_two_different_files_of_one_name_are_refused_in_html() -> None:
    with pytest.raises(InvalidPage, match="twice, differently"):
        read(link(), link(attributes="data-yanked"))


@pytest.mark.parametrize(
    ("attributes", "yanked"),
    [
        ("", None),
        ("data-yanked", ""),
        ('data-yanked=""', ""),
        ('data-yanked="a&#10;b\tc"', "a b c"),
        ("DATA-YANKED=x", "x"),
        ('data-yanked="caf\xe9 \u65e5\u672c"', "caf\xe9 \u65e5\u672c"),
    ],
)
def test_a_yank_is_an_attribute(attributes: str, yanked: str | None) -> None:
    assert [file.yanked for file in read(link(attributes=attributes)).files] == [yanked]


DIGEST = Digest("sha256", SHA256)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", None),
        (f"data-core-metadata=sha256={SHA256}", Hashes((DIGEST,))),
        (f"data-dist-info-metadata=sha256={SHA256}", Hashes((DIGEST,))),
        (f"data-core-metadata=true data-dist-info-metadata=sha256={SHA256}", Hashes()),
        ("data-core-metadata=true", Hashes()),
        ("data-core-metadata=sha256=short", Hashes()),
        ("data-core-metadata=false", None),
        ("data-core-metadata", None),
    ],
)
def test_core_metadata_is_a_digest_or_true(attributes: str, expected: object) -> None:
    assert [file.core_metadata for file in read(link(attributes=attributes)).files] == [expected]


@pytest.mark.parametrize(
    ("end", "serial"),
    [
        ("<!--SERIAL 10-->", 10),
        ("<!--SERIAL 10-->\n \n", 10),
        ("<!--SERIAL 10--><p>", None),
        ("<!--SERIAL x-->", None),
        ("<!--SERIAL 9999999999999999-->", None),
        ("<!--SERIAL 99999999999999999-->", None),
        ("", None),
    ],
)
def test_the_serial_is_the_last_comment_of_the_page(end: str, serial: int | None) -> None:
    assert read(link(), end=end).serial == serial


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ('<meta name="pypi:project-status" content="quarantined">', ProjectStatus.QUARANTINED),
        ('<meta name="pypi:project-status" content="new">', UnknownStatus("new")),
        ('<meta name="pypi:project-status" content="<b>">', ProjectStatus.ACTIVE),
        ('<meta name="pypi:project-status-reason" content="why">', ProjectStatus.ACTIVE),
        ('<meta name="project-status" content="archived">', ProjectStatus.ACTIVE),
    ],
)
def test_a_status_is_a_meta_tag(head: str, status: ProjectStatus | UnknownStatus) -> None:
    assert (read(head=head).status, read(head=head).status_reason) == (status, "")


def test_the_first_of_duplicate_tags_counts() -> None:
    tags = "".join(f'<meta name="pypi:project-status" content="{s}">' for s in ("archived", "new"))
    assert read(head=tags).status is ProjectStatus.ARCHIVED


REFUSED = [
    *[b"", b" ", b"Hello.", b"\0", b"\xff\xfe\xfa", b"<html><body>Sign in, please.</body></html>"],
    *[b"<a href='/'>home</a>", b"{}", b"null", b'<meta name="robots" content="none">'],
    *[b'<title>Links for</title><meta name="pypi:repository-version" content="2.0">'],
    *[b'<title>Links for</title><meta name="pypi:repository-version" content="x">'],
    *[b'<title>Links for</title><meta name="pypi:repository-version" content="0.1">'],
    *[b"<title>Links for</title><![n00b <a href='x'>"],
    *[b"<base href='https://['><title>Links for</title><a href='x'>x</a>"],
]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[-40:]))
def test_html_that_is_not_a_simple_page_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidPage) as caught:
        parse_detail_html(text, CONTEXT, charset=None)
    assert caught.value.url == CONTEXT.url
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("charset", [None, "utf-8", "UTF8", "nonsense", "a\0b", "zlib", "rot13"])
def test_an_unusual_character_set_is_ignored(charset: str | None) -> None:
    assert read(link(attributes="data-yanked='caf\xe9'"), charset=charset).files[0].yanked == (
        "caf\xe9"
    )


def test_the_character_set_of_the_response_is_used() -> None:
    page = read(link(attributes="data-yanked='caf\xe9'"), charset="iso-8859-1")
    assert [file.yanked for file in page.files] == ["caf\xc3\xa9"]


@given(st.lists(hostile_text | st.text(), min_size=2, max_size=2))
def test_no_text_escapes_its_attribute(texts: list[str]) -> None:
    requires, reason = (text.encode(errors="replace").decode() for text in texts)
    attributes = f'data-requires-python="{escape(requires)}" data-yanked="{escape(reason)}"'
    files = read(link(attributes=attributes)).files
    assert [file.path for file in files] == [FILE.path]
    assert files[0].yanked is not None


pieces: Any = st.sampled_from(
    [
        *[
            "<a href='",
            "<a",
            "</a>",
            ">",
            "'",
            '"',
            "<",
            "<!",
            "<![",
            "<!--",
            "-->",
            "<?",
            "&#x",
            "&amp",
            ";",
        ],
        *[
            "\0",
            "\n",
            "\xe9",
            "foo",
            FILENAME,
            f"#sha256={SHA256}",
            "//[",
            "https://",
            "data-yanked",
        ],
        *[
            "<meta name='pypi:repository-version' content='",
            "1.0",
            "2",
            "<base href='",
            "<title>Links for",
        ],
        *[
            "<script>",
            "</script>",
            "<p>",
            "CDATA[",
            "]]>",
            "<svg>",
            "\ufeff",
            "=",
            "class=a",
            " href=x",
        ],
    ]
)
documents = st.lists(pieces, max_size=14).map(lambda parts: "".join(parts).encode()) | st.binary()


@given(documents, st.sampled_from([None, "utf-8", "utf-16", "nonsense", "zlib"]))
def test_any_bytes_are_a_page_or_refused(text: bytes, charset: str | None) -> None:
    try:
        page = parse_detail_html(text, CONTEXT, charset=charset)
    except InvalidPage:
        return
    assert page.name == "foo"
    assert all(file.path.startswith("packages/") for file in page.files)


# ---------------------------------------------------------------- the list of projects


def listed(text: str, *, charset: str | None = None) -> ProjectList:
    """Return the parsed root page."""
    return parse_list_html(text.encode(), WHERE, charset=charset)


def test_a_list_is_parsed() -> None:
    page = listed("<a href='/simple/foo-bar/'>Foo_Bar</a><br/><a href='baz/'> baz </a>")
    assert page == ProjectList({"foo-bar": None, "baz": None}, {"foo-bar": "Foo_Bar"})  # type: ignore[dict-item]


NGINX = """<html><head><title>Index of {path}</title></head><body><h1>Index of {path}</h1><hr><pre>
<a href="../">../</a>
{links}</pre><hr></body></html>"""
APACHE = """<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN"><html><head>
<title>Index of {path}</title></head><body><h1>Index of {path}</h1><pre>
<a href="?C=N;O=D">Name</a> <a href="?C=M;O=A">Last modified</a><hr>
<img src="/icons/back.gif" alt="[PARENTDIR]"> <a href="/">Parent Directory</a>
{links}<hr></pre></body></html>"""
PYTHON = """<!DOCTYPE HTML><html lang="en"><head><title>Directory listing for {path}</title></head>
<body><h1>Directory listing for {path}</h1><hr><ul>{links}</ul><hr></body></html>"""


@pytest.mark.parametrize("server", [NGINX, APACHE, PYTHON])
def test_the_list_of_a_directory_is_a_list_of_projects(server: str) -> None:
    name = "a-project-whose-name-is-longer-than-a-column-of-the-list"
    links = (
        f"<a href='{name}/'>a-project-whose-name-is-..&gt;</a><a href='foo%2Dbar/'>foo-bar/</a>"
        "<a href='index.json'>index.json</a><a href='foo-1.0.tar.gz'>foo-1.0.tar.gz</a>"
        "<a href='.git/'>.git/</a><a href='lost+found/'>lost+found/</a><a href='_/'>_/</a>"
    )
    page = listed(server.format(path="/simple/", links=links + "<a href='x/'>x</a>" * 200))

    assert list(page.serials) == [name, "foo-bar", "x"]
    assert page.directories == {}


@pytest.mark.parametrize("server", [NGINX, APACHE, PYTHON])
def test_the_names_of_directories_that_are_not_normalised_are_kept(server: str) -> None:
    names = ["PyYAML", "zope.interface", "Foo", "foo", "Foo_", "b-a-r"]
    links = "".join(link(f"{name}/", text=name) for name in names)
    page = listed(server.format(path="/simple/", links=links))

    assert page.directories == {"pyyaml": "PyYAML", "zope-interface": "zope.interface"}
    assert listed(links).directories == {}


@pytest.mark.parametrize("server", [NGINX, APACHE, PYTHON])
def test_the_list_of_a_directory_is_a_page_of_a_project(server: str) -> None:
    links = link("foo-1.0.tar.gz#sha256=" + SHA256) + link("foo-1.0.tar.gz.asc") + link("old/")
    text = server.format(path="/simple/foo/", links=links).encode()
    page = parse_detail_html(text, CONTEXT, charset=None)
    assert [file.filename for file in page.files] == ["foo-1.0.tar.gz"]

    empty = server.format(path="/simple/foo/", links="").encode()
    assert parse_detail_html(empty, CONTEXT, charset=None).files == ()


def test_a_list_of_directories_is_not_the_page_of_a_project() -> None:
    """It is the root page of an index, below another address than the configured one."""
    for text in (NGINX.format(path="/", links=link("a/")), page_of(link("a/"), link("/simple/"))):
        with pytest.raises(InvalidPage, match=r"it lists directories \(.*/a/\) and no files"):
            parse_detail_html(text.encode(), CONTEXT, charset=None)


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize(
    "root",
    [
        "https://example.org/simple/",
        "",
        "/simple/",
        "../x/simple/",
        "https://example.com/api/simple/",
    ],
)
def test_links_of_a_list_are_absolute_or_relative(root: str, end: str) -> None:
    page = listed(f"<a href='{root}foo-bar{end}'>Foo.Bar</a><a href='https://example.com/'>x</a>")
    assert page.display_names == {"foo-bar": "Foo.Bar"}
    assert list(page.serials) == ["foo-bar"]


def test_a_link_out_of_the_root_is_not_a_project() -> None:
    page = listed("<a href='/'>home</a><a href='foo/'>foo</a><a href='../help/'>help</a>")
    assert list(page.serials) == ["foo"]


def test_a_list_of_files_is_not_a_list_of_projects() -> None:
    """It is a page of files of any projects, which pip reads with ``--find-links``."""
    files = link("foo-1.0.zip", text="foo-1.0.zip"), link("Bar-2.whl", text="Bar-2.whl")
    with pytest.raises(InvalidPage, match=r"it lists files \(foo-1.0.zip\) and no projects"):
        listed("".join(files))
    assert list(listed("".join([*files, link("zip.zip/", text="zip")])).serials)[-1] == "zip"


def test_an_invalid_name_is_rejected_alone() -> None:
    page = listed("<a href='foo/'>foo</a><a href='bar/'>../bar</a>")
    assert list(page.serials) == ["foo"]
    assert [rejection.entry for rejection in page.rejected] == ["../bar"]


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "{}",
            "<html>",
            "<a>foo</a>",
            "<a href='/'>home</a>",
            "<![n00b <a href='foo/'>foo</a>",
        ],
        *["<a href='//['>foo</a>", "<a href='a/'>..</a><a href='b/'>.</a>"],
        *["<meta name='pypi:repository-version' content='2.0'><a href='foo/'>foo</a>"],
    ],
)
def test_an_invalid_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidPage) as caught:
        listed(text)
    assert caught.value.url == WHERE
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("charset", ["nonsense", "a\0b", "zlib", "idna", "undefined", "punycode"])
def test_a_list_in_an_unknown_character_set_is_decoded_as_utf_8(charset: str) -> None:
    assert list(listed("<a href='foo/'>foo</a>", charset=charset).serials) == ["foo"]


@given(documents, st.sampled_from([None, "utf-8", "utf-16", "nonsense", "zlib"]))
def test_any_bytes_are_a_list_or_refused(text: bytes, charset: str | None) -> None:
    try:
        page = parse_list_html(text, WHERE, charset=charset)
    except InvalidPage:
        return
    assert page.serial is None
    assert set(page.display_names) <= set(page.serials)


# ---------------------------------------------------------------- display names


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Links for Foo", "Foo"),
        ("Links for fOO ", "fOO"),
        ("\n Links for foo", "foo"),
        ("Links for bar", ""),
        ("Links for &lt;script&gt;", ""),
        ("Links for F&#111;o", "Foo"),
        ("Links for ../foo", ""),
        ("Simple Index", ""),
        ("", ""),
    ],
)
def test_the_display_name_in_a_title_is_used_if_it_is_the_projects(title: str, shown: str) -> None:
    page = f"<html><head><title>{title}</title></head></html>".encode()

    assert display_name(page, CONTEXT.name) == shown


@given(st.binary(max_size=50) | hostile_text.map(lambda text: text.encode("utf-8", "replace")))
def test_any_title_gives_a_display_name_of_the_project(title: bytes) -> None:
    shown = display_name(b"<title>Links for " + title + b"</title>", CONTEXT.name)

    assert shown == "" or project_name(shown) == CONTEXT.name
