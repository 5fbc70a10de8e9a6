"""XML-RPC: the standard library as the judge of what an answer means, and what is not read."""

from __future__ import annotations

import xmlrpc.client
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.index.xmlrpc import NoAnswer, read_answer, write_call

HEAVIEST = 2**20

words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Z", "S"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | words | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)


def answer(value: Any) -> bytes:
    """Return the answer that holds a value."""
    return xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()


def response(value: str, before: str = "") -> bytes:
    """Return an answer whose value is written by hand."""
    inner = f"<params><param><value>{value}</value></param></params>"
    return f"<?xml version='1.0'?>{before}<methodResponse>{inner}</methodResponse>".encode()


@given(values)
def test_an_answer_is_the_value_that_was_written(value: Any) -> None:
    assert read_answer(answer(value), HEAVIEST) == value


def test_a_call_is_read_by_others() -> None:
    assert xmlrpc.client.loads(write_call("changelog_since_serial", 5)) == (
        (5,),
        "changelog_since_serial",
    )


def test_a_fault_says_what_it_is() -> None:
    fault = xmlrpc.client.Fault(-32601, "no such method")
    with pytest.raises(xmlrpc.client.Fault, match="no such method"):
        read_answer(xmlrpc.client.dumps(fault).encode(), HEAVIEST)


@given(values, st.integers(0), st.binary(max_size=12), st.integers(0, 12))
def test_an_answer_that_was_changed_is_read_or_refused(
    value: Any,
    place: int,
    piece: bytes,
    gone: int,
) -> None:
    text = answer(value)
    place %= len(text)
    with suppress(NoAnswer, xmlrpc.client.Fault):
        read_answer(text[:place] + piece + text[place + gone :], HEAVIEST)


GROWING = "".join(
    f'<!ENTITY e{number} "{f"&e{number - 1};" * 10 if number else "x" * 10}">'
    for number in range(9)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (response("<string>&e8;</string>", f"<!DOCTYPE x [{GROWING}]>"), "document type"),
        (response("<int>1</int>", "<!DOCTYPE html>"), "document type"),
        (response("<string>&e8;</string>"), "undefined entity"),
        (response("<array><data><value>" * 30), "nested"),
        (response("<array><data><value>" * 30 + "</value></data></array>" * 30), "nested"),
        (response(f"<string>{'x' * 70_000}</string>"), "tag or text of more"),
        (response("<string " + "a='' " * 20_000 + ">x</string>"), "tag or text of more"),
        (response("<array><data>" + "<array/>" * 20_000 + "</data></array>"), "in memory"),
        (response("<bigdecimal>x</bigdecimal>"), "Conversion"),
        (response("<dateTime.iso8601>yesterday</dateTime.iso8601>"), "does not match"),
        (response(f"<int>{'9' * 5000}</int>"), "4300"),
        (response("<struct><member><value>x</value></member></struct>"), "index out of range"),
        (response("<int>1</int>") * 2, "junk after"),
        (b"<?xml version='1.0' encoding='zlib'?><methodResponse/>", "encoding"),
        (b"", "no element"),
    ],
)
def test_what_no_index_answers_is_not_read(text: bytes, why: str) -> None:
    with pytest.raises(NoAnswer, match=why):
        read_answer(text, HEAVIEST)


def test_a_document_type_cannot_hide_in_another_encoding() -> None:
    text = response("<string>&e8;</string>", f"<!DOCTYPE x [{GROWING}]>").decode()
    with pytest.raises(NoAnswer, match="document type"):
        read_answer(text.replace("?>", " encoding='utf-16'?>", 1).encode("utf-16"), HEAVIEST)
