"""XML-RPC answers: the standard library as the reference, and everything that is refused."""

from __future__ import annotations

import subprocess
import sys
import xmlrpc.client
from contextlib import suppress
from time import process_time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.index.changelog import FaultAnswer, InvalidAnswer, XmlRpcCall

if TYPE_CHECKING:
    from collections.abc import Callable

    Decode = Callable[[XmlRpcCall, bytes, int], Any]

MAX_MEMORY = 2**20
LARGE = 2**30

words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Z", "S"]), max_size=12)
plain = st.none() | st.integers(-(2**31), 2**31 - 1) | words


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return lists and dictionaries of what is drawn."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=12,
    )


both_decoders = pytest.mark.parametrize("decode", [XmlRpcCall.decode, XmlRpcCall.decode_stream])


def answer(value: Any) -> bytes:
    """Return the answer that holds a value."""
    return xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()


def response(value: str, before: str = "") -> bytes:
    """Return an answer whose value is written by hand."""
    inner = f"<params><param><value>{value}</value></param></params>"
    return f"<?xml version='1.0'?>{before}<methodResponse>{inner}</methodResponse>".encode()


def stripped(value: Any) -> Any:
    """Return a value as aiohttp-xmlrpc decodes it: without spaces at the ends of strings."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return [stripped(each) for each in value]
    if isinstance(value, dict):
        return {key or None: stripped(each) for key, each in value.items()}
    return value


@given(nested(plain))
def test_an_answer_decodes_to_the_value_that_was_encoded(value: Any) -> None:
    assert XmlRpcCall("x").decode(answer(value), MAX_MEMORY) == stripped(value)


@given(nested(plain | st.booleans() | st.binary(max_size=9)))
def test_a_stream_decodes_to_the_value_that_was_encoded(value: Any) -> None:
    assert XmlRpcCall("x").decode_stream(answer(value), MAX_MEMORY) == value


def test_a_namespace_in_the_first_element_is_allowed() -> None:
    text = answer([1]).replace(b"<methodResponse>", b"<methodResponse xmlns:ex='http://x'>")
    assert XmlRpcCall("x").decode(text, MAX_MEMORY) == [1]


def test_the_standard_library_reads_a_call() -> None:
    assert xmlrpc.client.loads(XmlRpcCall("changelog_since_serial", 5).request) == (
        (5,),
        "changelog_since_serial",
    )


@both_decoders
@pytest.mark.parametrize("code", [-32601, -32000, -32500, 0, 1])
def test_a_fault_raises_its_text(decode: Decode, code: int) -> None:
    fault = xmlrpc.client.Fault(code, "no such method")
    with pytest.raises(FaultAnswer, match=r"^no such method$"):
        decode(XmlRpcCall("x"), xmlrpc.client.dumps(fault).encode(), MAX_MEMORY)


def test_an_answer_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        XmlRpcCall("x").decode(answer("text\nof an answer"), MAX_MEMORY)
    assert "an answer" not in caplog.text


@given(nested(plain), st.integers(0), st.binary(max_size=12), st.integers(0, 12))
def test_a_damaged_answer_is_decoded_or_refused(
    value: Any,
    place: int,
    inserted: bytes,
    removed: int,
) -> None:
    text = answer(value)
    place %= len(text)
    text = text[:place] + inserted + text[place + removed :]
    for decode in (XmlRpcCall.decode, XmlRpcCall.decode_stream):
        with suppress(InvalidAnswer, FaultAnswer):
            decode(XmlRpcCall("x"), text, MAX_MEMORY)


GROWING = "".join(
    f'<!ENTITY e{number} "{f"&e{number - 1};" * 10 if number else "x" * 10}">'
    for number in range(9)
)
LIST_END = "</value></data></array>"


@both_decoders
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (response("<string>&e8;</string>", f"<!DOCTYPE x [{GROWING}]>"), "document type"),
        (response("<int>1</int>", "<!DOCTYPE html>"), "document type"),
        (response("<string>&e8;</string>"), "undefined entity"),
        (response("<array><data><value>" * 30), "nested"),
        (response("<array><data><value>" * 30 + LIST_END * 30), "nested"),
        (response(f"<string>{'x' * 70_000}</string>"), "tag or text of more"),
        (response("<string " + "a='' " * 20_000 + ">x</string>"), "tag or text of more"),
        (response("<array><data>" + "<array/>" * 20_000 + "</data></array>"), "in memory"),
        (response("<int>1</int>") * 2, "junk after"),
        (b"<?xml version='1.0' encoding='zlib'?><methodResponse/>", "encoding"),
        (b"<?xml version='1.0' encoding='utf-7'?><methodResponse/>", "encoding"),
        (b"", "no element"),
    ],
)
def test_an_attack_is_refused(decode: Decode, text: bytes, reason: str) -> None:
    with pytest.raises(InvalidAnswer, match=reason):
        decode(XmlRpcCall("x"), text, MAX_MEMORY)


@both_decoders
@pytest.mark.parametrize(
    "text",
    [
        response("<bigdecimal>x</bigdecimal>"),
        response("<dateTime.iso8601>yesterday</dateTime.iso8601>"),
        response(f"<int>{'9' * 5000}</int>"),
        response("<struct><member><value>x</value></member></struct>"),
        b"<methodResponse/>",
        b"<methodResponse><params></params></methodResponse>",
        b"<html><body>x</body></html>",
    ],
)
def test_an_invalid_value_is_refused(decode: Decode, text: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        decode(XmlRpcCall("x"), text, MAX_MEMORY)


@both_decoders
def test_a_document_type_in_another_encoding_is_refused(decode: Decode) -> None:
    text = response("<string>&e8;</string>", f"<!DOCTYPE x [{GROWING}]>").decode()
    text = text.replace("?>", " encoding='utf-16'?>", 1)
    with pytest.raises(InvalidAnswer, match="document type"):
        decode(XmlRpcCall("x"), text.encode("utf-16"), MAX_MEMORY)


INVALID = {
    "attributes": "<value a=''/>",
    "a namespace": "<value xmlns:x='y'/>",
    "numbers": "<value><int>x</int></value>",
    "large numbers": "<value><int>2147483648</int></value>",
    "no numbers": "<value><int/></value>",
    "numbers with an element": "<value><int>1<b/></int></value>",
    "two numbers": "<value><int>1</int><int>2</int></value>",
    "reals": "<value><double>x</double></value>",
    "dates": "<value><dateTime.iso8601>x</dateTime.iso8601></value>",
    "truth": "<value><boolean>2</boolean></value>",
    "unknown elements": "<value><foo/></value>",
    "elements in text": "<value>x<int>1</int></value>",
    "text in arrays": "<value><array>x<data/></array></value>",
    "two lists": "<value><array><data/><data/></array></value>",
    "no list": "<value><array/></value>",
    "full nils": "<value><nil>x</nil></value>",
    "members in disorder": "<value><struct><member><value/><name/></member></struct></value>",
    "empty members": "<value><struct><member/></struct></value>",
    "values in values": "<value><value/></value>",
}


@pytest.mark.parametrize("kind", INVALID)
def test_many_errors_are_refused_in_linear_time(kind: str) -> None:
    """The time of the library grows with the square of their number: here it takes minutes."""
    text = response("<array><data>" + INVALID[kind] * 100_000 + "</data></array>")
    start = process_time()
    with pytest.raises(InvalidAnswer):
        XmlRpcCall("x").decode(text, LARGE)
    assert process_time() - start < 5


def test_a_large_fault_is_refused() -> None:
    text = xmlrpc.client.dumps(xmlrpc.client.Fault(1, "x")).replace(
        "</struct>", "<member><name>x</name><value/></member>" * 10_000 + "</struct>"
    )
    with pytest.raises(InvalidAnswer, match="a fault of more than"):
        XmlRpcCall("x").decode(text.encode(), LARGE)


DENSE = {
    "events": b"<value><array><data><value><string>foo</string></value><value><nil/></value>"
    b"<value><int>1700000000</int></value><value><string>create</string></value>"
    b"<value><int>31000000</int></value></data></array></value>\n",
    "arrays": b"<array/>",
    "values": b"<value/>",
    "numbers": b"<value><int>1</int></value>",
    "words": b"<value>x</value>",
    "lines": b"\n<value>x</value>\n",
    "wide": "<value>\U0001f600</value>".encode(),
    "long": b"<value>" + b"x" * 1000 + b"</value>",
    "long and wide": b"<value>" + b"x" * 1000 + "\U0001f600</value>".encode(),
    "long with a reference": b"<value>" + b"x" * 1000 + b"&#128512;</value>",
    "structs": b"<value><struct/></value>",
    "lists": b"<value><array><data/></array></value>",
    "attributes": b"<value " + b" ".join(b"a%d=''" % n for n in range(50)) + b"/>",
    "comments": b"<!--x-->",
    "instructions": b"<?x y?>",
}
MEASURE = """
import resource, sys
from bandersnatch.index import changelog
text = sys.stdin.buffer.read()
call = changelog.XmlRpcCall("x")
call.decode(b"<methodResponse><params><param><value/></param></params></methodResponse>", 2**30)
call = changelog.XmlRpcCall("x")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    value = call.decode(text, 2**30)
except changelog.InvalidAnswer:
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
print(changelog._tree_memory(text))
"""


@pytest.mark.parametrize("kind", DENSE)
def test_the_memory_of_an_answer_stays_below_the_estimate(kind: str) -> None:
    """The parser of the library builds a tree, of which each part is larger than its text."""
    count = 15_000_000 // (280 * DENSE[kind].count(b"<") + 3 * len(DENSE[kind]))
    text = response("<array><data>" + (DENSE[kind] * count).decode() + "</data></array>")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], input=text, capture_output=True, check=True
    )
    used, estimate = map(int, done.stdout.split())
    assert used + len(text) <= estimate + 4 * 2**20
