"""Which page and which encoding a client gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.layout import ALL_FORMATS, PageFormat
from bandersnatch.serve.negotiation import (
    Encoding,
    acceptable_formats,
    best_encoding,
    elements,
    format_named,
    format_parameter,
)

HTML, V1_HTML, V1_JSON = PageFormat.HTML, PageFormat.V1_HTML, PageFormat.V1_JSON
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"
LATEST = "application/vnd.pypi.simple.latest"
PIP = f"{JSON_TYPE}, {HTML_TYPE};q=0.1, text/html;q=0.01"
UV = f"{JSON_TYPE}, {HTML_TYPE};q=0.2, text/html;q=0.01"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, [HTML, V1_HTML, V1_JSON]),
        ("", [HTML, V1_HTML, V1_JSON]),
        ("*/*", [HTML, V1_HTML, V1_JSON]),
        (PIP, [V1_JSON, V1_HTML, HTML]),
        (UV, [V1_JSON, V1_HTML, HTML]),
        (BROWSER, [HTML, V1_HTML, V1_JSON]),
        ("text/html", [HTML]),
        ("TEXT/HTML", [HTML]),
        ("text/html; charset=utf-8", [HTML]),
        ("text/*", [HTML]),
        ("application/*", [V1_HTML, V1_JSON]),
        (JSON_TYPE, [V1_JSON]),
        (f"{LATEST}+json", [V1_JSON]),
        (f"{LATEST}+html", [V1_HTML]),
        (f"{JSON_TYPE};q=0.5, text/html;q=0.6", [HTML, V1_JSON]),
        (f"text/html, {JSON_TYPE}", [V1_JSON, HTML]),
        (f"{JSON_TYPE};q=0, */*", [HTML, V1_HTML]),
        ("text/html;q=0", []),
        (f"{JSON_TYPE};q=0", []),
        ("image/png", []),
        ("application/json", []),
        ("*/*;q=0", []),
        (f"{JSON_TYPE};q=0.0001", []),  # an invalid quality: the element is ignored
        (f"{JSON_TYPE};q=1.001", []),
        (f"{JSON_TYPE};q=", []),
        (f'{JSON_TYPE};a="x,y;q=0";q=0.5', [V1_JSON]),
        (f"{JSON_TYPE};q=0.1, {JSON_TYPE};q=0.9, text/html;q=0.5", [V1_JSON, HTML]),
        (",,;,", []),
    ],
)
def test_the_format_with_the_highest_quality_comes_first(
    accept: str | None, expected: list[PageFormat]
) -> None:
    assert acceptable_formats(accept, ALL_FORMATS) == expected


@pytest.mark.parametrize("accept", [None, JSON_TYPE, "image/png", PIP])
def test_a_mirror_of_one_kind_of_pages_answers_everybody(accept: str | None) -> None:
    assert HTML in acceptable_formats(accept, (HTML, V1_HTML))
    assert V1_JSON in acceptable_formats(accept, (V1_JSON,))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, Encoding.IDENTITY),
        ("", Encoding.IDENTITY),
        ("gzip, deflate", Encoding.GZIP),
        ("gzip, deflate, zstd", Encoding.ZSTD),
        ("x-gzip", Encoding.GZIP),
        ("zstd;q=0.5, gzip", Encoding.GZIP),
        ("gzip;q=0", Encoding.IDENTITY),
        ("gzip;q=0, *", Encoding.ZSTD),
        ("*", Encoding.ZSTD),
        ("*;q=0", Encoding.IDENTITY),
        ("identity", Encoding.IDENTITY),
        ("identity, gzip;q=0.5", Encoding.IDENTITY),
        ("identity;q=0.5, gzip;q=0.5", Encoding.GZIP),
        ("br", Encoding.IDENTITY),
        ("GZIP", Encoding.GZIP),
    ],
)
def test_the_encoding_with_the_highest_quality_is_chosen(
    accept: str | None, expected: Encoding
) -> None:
    assert best_encoding(accept, (Encoding.ZSTD, Encoding.GZIP)) is expected


def test_an_encoding_that_is_not_available_is_not_chosen() -> None:
    assert best_encoding("zstd, gzip;q=0.1", (Encoding.GZIP,)) is Encoding.GZIP
    assert best_encoding("zstd", ()) is Encoding.IDENTITY


def test_a_query_can_name_the_format() -> None:
    assert format_named(JSON_TYPE) is V1_JSON
    assert format_named(f"{LATEST}%2Bhtml".upper().replace("%2B", "%2b")) is V1_HTML
    assert format_named("text/html") is HTML
    assert format_named("text/plain") is None
    assert format_parameter(f"a=b&format={JSON_TYPE}") == JSON_TYPE
    assert format_parameter("a=b&formats=x") is None


qualities = st.integers(0, 1000).map(lambda n: f"{n / 1000:.3f}")
types = st.sampled_from([JSON_TYPE, HTML_TYPE, "text/html", "text/*", "*/*", "image/png"])


@given(st.dictionaries(types, qualities, min_size=1))
def test_a_format_is_acceptable_if_its_most_specific_element_is(accept: dict[str, str]) -> None:
    """Compares with the rule of RFC 9110, section 12.5.1, written down once more."""
    header = ", ".join(f"{name};q={quality}" for name, quality in accept.items())

    def quality(*names: str) -> float:
        return next((float(accept[name]) for name in names if name in accept), 0.0)

    found = acceptable_formats(header, ALL_FORMATS)
    expected = {
        HTML: quality("text/html", "text/*", "*/*"),
        V1_HTML: quality(HTML_TYPE, "application/*", "*/*"),
        V1_JSON: quality(JSON_TYPE, "application/*", "*/*"),
    }

    assert set(found) == {form for form, q in expected.items() if q > 0}
    assert [expected[form] for form in found] == sorted(map(expected.get, found), reverse=True)  # type: ignore[type-var]


@given(st.text(max_size=300))
def test_any_header_can_be_read(text: str) -> None:
    assert len(list(elements(text))) <= 64
    assert set(acceptable_formats(text, ALL_FORMATS)) <= set(ALL_FORMATS)
    assert best_encoding(text, (Encoding.GZIP,)) in Encoding
    format_parameter(text)
    format_named(text)


def test_a_long_header_is_read_in_linear_time() -> None:
    for part in ('"', ";", '";', 'a;"', ",", "a,", '\\"', 'a;x="\\'):
        acceptable_formats(part * (8_000 // len(part)), ALL_FORMATS)
