"""Reading of links in HTML, with pypi-simple as oracle."""

from __future__ import annotations

from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypi_simple.html import RepositoryPage

from bandersnatch.errors import InvalidPage
from bandersnatch.simple.links import Link, LinkReader

WHERE = "https://example.org/simple/foo/"


def read(text: str) -> list[Link]:
    """Return the links of a page in UTF-8."""
    return list(LinkReader(text.encode(), WHERE, charset=None).links())


def urls(text: str) -> list[str]:
    """Return the addresses of a page's links."""
    return [link.url for link in read(text)]


# ---------------------------------------------------------------- the oracle

words = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=12)
addresses = st.from_regex(
    r"(/|\.\./|https://example\.com/)[a-z0-9/._-]{0,12}(#[a-z0-9=]*)?", fullmatch=True
)
attributes = st.dictionaries(
    st.sampled_from(["data-yanked", "data-requires-python", "data-core-metadata", "title", "id"]),
    words | st.just(""),
    max_size=3,
)


@given(
    st.lists(st.tuples(addresses, words, attributes), max_size=4),
    st.none() | addresses,
    st.lists(st.tuples(st.sampled_from(["repository-version", "x"]), words), max_size=2),
)
def test_links_equal_those_of_pypi_simple(
    shown: list[tuple[str, str, dict[str, str]]],
    base: str | None,
    tags: list[tuple[str, str]],
) -> None:
    head = "" if base is None else f'<base href="{escape(base)}">'
    head += "".join(f'<meta name="pypi:x-{key}" content="{escape(v)}">' for key, v in tags)
    body = "".join(
        f'<a href="{escape(url)}" '
        + " ".join(f'{key}="{escape(value)}"' for key, value in attrs.items())
        + f">{escape(text)}</a><br/>\n"
        for url, text, attrs in shown
    )
    text = f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>".encode()
    page = LinkReader(text, WHERE, charset="utf-8")
    links = list(page.links())
    judged = RepositoryPage.from_html(text, base_url=WHERE, from_encoding="utf-8")
    assert [(link.url, link.text) for link in links] == [
        (link.url, link.text) for link in judged.links
    ]
    assert [link.attributes for link in links] == [
        {key: value for key, value in link.attrs.items() if key != "href"} for link in judged.links
    ]
    assert page.meta == {key: values[0] for key, values in judged.pypi_meta.items()}


# ---------------------------------------------------------------- special cases


def test_a_link_has_address_text_and_attributes() -> None:
    links = read("<A HREF=' x ' data-yanked data-id=1 data-id=2> a <b>b</b>&amp;\n</A> c")
    assert links == [
        Link(f"{WHERE}x", "/simple/foo/x", "a b&", {"data-yanked": "", "data-id": "1"})
    ]


def test_an_open_link_ends_where_the_next_begins() -> None:
    assert [link.text for link in read("<a href=x>one<a href=y>two")] == ["one", "two"]


def test_an_anchor_without_address_is_not_a_link() -> None:
    assert urls("<a name=top>x</a><a>y</a><a href>z</a>") == [WHERE]


def test_a_link_with_an_invalid_address_is_skipped() -> None:
    assert urls("<a href='https://['>x</a><a href=y>y</a>") == [f"{WHERE}y"]


@pytest.mark.parametrize("hidden", ["<!-- {} -->", "<script>{}</script>", "<style>{}</style>"])
def test_comments_and_raw_text_have_no_links(hidden: str) -> None:
    assert urls(hidden.format("<a href=x>x</a>") + "<a href=y>y</a>") == [f"{WHERE}y"]


def test_only_the_first_base_counts() -> None:
    page = "<base><base href='/one/'><base href='/two/'><a href=x>x</a>"
    assert urls(page) == ["https://example.org/one/x"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<a href=x>x</a><a href='y", "ends inside a tag"),
        ("<a href=x>x</a><!-- and", "ends inside a tag"),
        ("<a href=x>x</a></a", "ends inside a tag"),
        ("<a href=x>x</a><", "ends inside a tag"),
        ("<base href='https://['><a href=x>x</a>", "base"),
        ("<![n00b <a href=x>x</a>", "declaration"),
    ],
)
def test_a_truncated_or_malformed_page_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidPage, match=why):
        read(text)


def test_a_page_that_ends_in_text_is_complete() -> None:
    for end in ("&", "&amp", "x", "a & b", ">"):
        assert urls(f"<a href=x>x</a>{end}") == [f"{WHERE}x"]


def test_the_number_of_links_is_limited() -> None:
    link = b"<a href=x>x</a>"
    assert len(list(LinkReader(link * 2, WHERE, charset=None, limit=2).links())) == 2
    with pytest.raises(InvalidPage, match="more than 2 links"):
        list(LinkReader(link * 3, WHERE, charset=None, limit=2).links())


@pytest.mark.parametrize(
    "piece",
    ["<a href=x>", "<a ", "<a href='", '<a x="', "<!--", "<!", "<?", "</", "</a", "&", "&#", "< "],
)
def test_the_time_to_parse_is_linear(piece: str) -> None:
    """A quadratic parser would take hours."""
    try:
        links = read(piece * 100_000)
    except InvalidPage:
        return
    assert len(links) in {0, 100_000}


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [(None, "utf-8"), ("utf-8", "utf-8-sig"), ("latin-1", "latin-1"), ("zlib", "utf-8")],
)
def test_a_page_is_decoded_with_its_character_set(charset: str | None, encoding: str) -> None:
    page = LinkReader("<a href=x>caf\xe9</a>".encode(encoding), WHERE, charset=charset)
    assert [link.text for link in page.links()] == ["caf\xe9"]


@given(st.binary(max_size=40), st.integers(0, 60), st.sampled_from([None, "latin-1", "cp1252"]))
def test_the_result_does_not_depend_on_chunk_boundaries(
    text: bytes, before: int, charset: str | None
) -> None:
    link = (
        "<a href='../x/?a=1&amp;b#sha256=0' data-yanked='caf\xe9 &#x1F600;'>\u4e2d&lt;</a>".encode()
    )
    padding = b"x" * (32 * 1024 - before)

    def read_after(beginning: bytes) -> list[Link] | str:
        page = LinkReader(beginning + link + text + link, WHERE, charset=charset)
        try:
            return list(page.links())
        except InvalidPage as error:
            return str(error)

    assert read_after(padding) == read_after(b"")


@pytest.mark.parametrize("begin", ["<a title='", "<!--", "<script>", "<a href=x "])
def test_an_endless_tag_or_comment_is_refused_early(begin: str) -> None:
    with pytest.raises(InvalidPage, match="tag or comment of more than"):
        read(f"<a href=y>y</a>{begin}{'x' * 100_000}")


def test_the_text_of_a_link_is_limited() -> None:
    assert [link.text for link in read(f"<a href=x>{'y' * 200_000}</a>")] == ["y" * 1000]
