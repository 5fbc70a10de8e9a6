"""Which responses can answer a request."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidResponse
from bandersnatch.index.answers import check_answer, check_body

URL = "https://example.org/simple/foo/"
CONDITIONAL = {"If-None-Match": '"1"'}
SINCE = {"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}
RANGE = {"Range": "bytes=100-"}


@given(
    status=st.integers(100, 599),
    sent=st.sampled_from([{}, CONDITIONAL, SINCE, RANGE]),
    stated=st.text(max_size=30),
    is_post=st.booleans(),
)
def test_only_an_answer_to_the_request_is_accepted(
    status: int,
    sent: dict[str, str],
    stated: str,
    *,
    is_post: bool,
) -> None:
    received = {"Content-Range": stated}
    if status >= 300 and status != 304:
        assert not check_answer(URL, sent, status, received, is_post=is_post)
        return
    is_conditional = sent in (CONDITIONAL, SINCE) and not is_post
    if status == 200 or (status == 304 and is_conditional):
        assert check_answer(URL, sent, status, received, is_post=is_post)
        return
    with pytest.raises(InvalidResponse):
        check_answer(URL, sent, status, received, is_post=is_post)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.none() | st.integers(0, 10**6))
def test_a_partial_response_begins_where_the_range_does(
    first: int, last: int, total: int | None
) -> None:
    is_possible = first <= last and (total is None or last < total)
    size = "*" if total is None else total
    for wanted in {first, 100}:
        sent = {"Range": f"bytes={wanted}-"}
        received = {"Content-Range": f"bytes {first}-{last}/{size}"}
        if is_possible and wanted == first:
            assert check_answer(URL, sent, 206, received)
        else:
            with pytest.raises(InvalidResponse, match="status 206 with the range bytes"):
                check_answer(URL, sent, 206, received)


@pytest.mark.parametrize(
    "stated",
    ["", "bytes", "bytes 100-", "bytes 100-199", "bytes */200", "100-199/200", "lines 100-199/200",
     "bytes 100-199/200, 0-1/2", "bytes 1" + "0" * 30 + "-1/2", "bytes \N{SUPERSCRIPT TWO}-9/10"],
)  # fmt: skip
def test_an_invalid_range_is_refused(stated: str) -> None:
    with pytest.raises(InvalidResponse):
        check_answer(URL, RANGE, 206, {"Content-Range": stated})


def test_the_error_says_what_was_wrong() -> None:
    with pytest.raises(InvalidResponse, match="status 304, although the request has no condition"):
        check_answer(URL, {"Accept": "text/html"}, 304, {})
    with pytest.raises(InvalidResponse, match="status 206, although the request has no range"):
        check_answer(URL, {}, 206, {"Content-Range": "bytes 0-9/10"})
    with pytest.raises(InvalidResponse, match="status 204 has no content"):
        check_answer(URL, {}, 204, {})


def test_a_document_that_is_still_compressed_is_refused() -> None:
    for body in (b"", b"{}", b"<html>", b"\x1f"):
        check_body(URL, body)
    with pytest.raises(InvalidResponse, match="compressed more often"):
        check_body(URL, gzip.compress(b"{}"))
