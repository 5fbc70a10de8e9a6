"""Option texts to values: what each kind of option accepts, and what it says of the rest."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandersnatch.config import readers
from bandersnatch.config.settings import CompareMethod, Login
from bandersnatch.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

PORT = readers.whole_number(1, 65535)
COUNT = readers.whole_number(0)
METHOD = readers.choice(CompareMethod)
WEB = readers.url("https", "http")


def refusal(read: Callable[[str], object], text: str) -> str:
    """Return what a reader says of a text that it refuses."""
    with pytest.raises(OptionError) as caught:
        read(text)
    return str(caught.value)


# ---------------------------------------------------------------- booleans and numbers


@pytest.mark.parametrize("text", ["1", "yes", "true", "on", "TRUE", "Yes", " on "])
def test_there_are_four_words_for_true(text: str) -> None:
    assert readers.boolean(text) is True


@pytest.mark.parametrize("text", ["0", "no", "false", "off", "FALSE", "No", " off "])
def test_there_are_four_words_for_false(text: str) -> None:
    assert readers.boolean(text) is False


@pytest.mark.parametrize("text", ["", "2", "y", "t", "none", "true ; really", "yes\nno"])
def test_everything_else_is_neither_true_nor_false(text: str) -> None:
    assert refusal(readers.boolean, text) == f"{text!r} is neither true nor false"


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("65535", 65535), (" 80 ", 80)])
def test_a_whole_number_within_its_limits_is_read(text: str, number: int) -> None:
    assert PORT(text) == number


@pytest.mark.parametrize("text", ["0", "65536", "-1"])
def test_a_whole_number_beyond_its_limits_is_refused(text: str) -> None:
    assert refusal(PORT, text) == f"{text!r} is not from 1 to 65535"


def test_a_limit_may_be_open() -> None:
    assert COUNT("123456789") == 123456789
    assert refusal(COUNT, "-1") == "'-1' is not 0 or more"


@pytest.mark.parametrize("text", ["", "three", "1.5", "0x10", "1e3", "9" * 5000])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    assert refusal(PORT, text).endswith(" is not a whole number")


@pytest.mark.parametrize("read", [PORT, readers.seconds])
@pytest.mark.parametrize("text", ["3 ; x", "3 # x", "3;"])
def test_a_comment_after_a_number_is_recognised_as_one(
    read: Callable[[str], object], text: str
) -> None:
    assert refusal(read, text).endswith("; a comment must stand on a line of its own")


@pytest.mark.parametrize(("text", "number"), [("10", 10.0), ("0.5", 0.5), ("1e2", 100.0)])
def test_seconds_may_have_fractions(text: str, number: float) -> None:
    assert readers.seconds(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e300", "2592001"])
def test_seconds_are_more_than_none_and_not_for_ever(text: str) -> None:
    """What is longer than a month would overflow in an event loop, sooner or later."""
    assert refusal(readers.seconds, text) == f"{text!r} is not between 0 and 2592000 seconds"


@pytest.mark.parametrize("text", ["", "ten", "10 s", "1,5"])
def test_what_is_no_number_of_seconds_is_refused(text: str) -> None:
    assert refusal(readers.seconds, text) == f"{text!r} is not a number of seconds"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("24 h", timedelta(hours=24)),
        ("24h", timedelta(hours=24)),
        ("14 d", timedelta(days=14)),
        ("14 days", timedelta(days=14)),
        ("1.5 hours", timedelta(minutes=90)),
        ("90", timedelta(seconds=90)),
        ("5 min", timedelta(minutes=5)),
        ("2 weeks", timedelta(weeks=2)),
        ("0", timedelta(0)),
    ],
)
def test_a_time_span_is_a_number_with_a_unit(text: str, span: timedelta) -> None:
    assert readers.duration(text) == span


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "-1 h", "nan", "²", "1 fortnight", "5 5", "9999999999999 days"]
)
def test_what_is_no_time_span_is_refused_with_two_that_are(text: str) -> None:
    said = refusal(readers.duration, text)

    assert said == f"{text!r} is not a time span like '24 h' or '14 days'"


# ---------------------------------------------------------------- texts, paths, choices


def test_a_path_is_taken_as_it_is() -> None:
    assert readers.path(" ./some dir/größe ") == "./some dir/größe"


@pytest.mark.parametrize("text", ["", "  ", "a\0b"])
def test_nothing_is_no_path(text: str) -> None:
    assert refusal(readers.path, text) == f"{text!r} is not a path"


def test_a_path_is_on_one_line() -> None:
    assert refusal(readers.path, "/srv\n/pypi") == "the value must be on one line"


def test_a_tilde_is_refused_rather_than_made_a_directory_of_that_name() -> None:
    said = refusal(readers.path, "~/mirror")

    assert said == "'~/mirror' begins with ~, which only a shell understands"


def test_an_optional_path_may_be_empty() -> None:
    assert readers.optional_path("  ") == ""
    assert readers.optional_path("/srv/list") == "/srv/list"
    assert refusal(readers.optional_path, "a\0b") == "'a\\x00b' is not a path"


def test_a_header_text_is_plain() -> None:
    assert readers.header_text(" mirror of example.org; mail ops@example.org ") == (
        "mirror of example.org; mail ops@example.org"
    )
    assert readers.header_text("") == ""


@pytest.mark.parametrize("text", ["a (b", "b)", "a\\b", "größe", "a\x7fb", "a\tb", "a\x00b"])
def test_what_could_end_a_header_or_its_comment_is_refused(text: str) -> None:
    assert refusal(readers.header_text, text).endswith("is not plain ASCII without parentheses")


@pytest.mark.parametrize("text", ["hash", "HASH", " Hash "])
def test_a_choice_is_read_in_any_case(text: str) -> None:
    assert METHOD(text) is CompareMethod.HASH


@pytest.mark.parametrize("text", ["", "both", "hash, stat"])
def test_a_choice_that_is_not_offered_is_refused_with_those_that_are(text: str) -> None:
    assert refusal(METHOD, text) == f"{text!r} is not one of hash, stat"


@pytest.mark.parametrize("text", ["sha256", "SHA256", " md5 ", "sha512", "blake2b"])
def test_a_digest_is_named_in_any_case(text: str) -> None:
    assert readers.digest_name(text) == text.strip().lower()


@pytest.mark.parametrize("text", ["", "sha-256", "crc32", "shake_128", "blake2b_256"])
def test_a_digest_that_pages_cannot_show_is_refused(text: str) -> None:
    assert "sha256" in refusal(readers.digest_name, text)


# ---------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", ""),
        ("   ", ""),
        ("https://index.example.org", "https://index.example.org"),
        ("https://index.example.org/", "https://index.example.org"),
        ("https://index.example.org/a/b//", "https://index.example.org/a/b"),
        ("HTTPS://index.example.org/A", "https://index.example.org/A"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://localhost", "http://localhost"),
        ("https://user:pa%20ss@index.example.org", "https://user:pa%20ss@index.example.org"),
        ("https://a_b.example.org.", "https://a_b.example.org."),
    ],
)
def test_a_url_loses_its_trailing_slashes(text: str, meaning: str) -> None:
    assert WEB(text) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "index.example.org",
        "//index.example.org",
        "ftp://index.example.org",
        "file:///srv/pypi",
        "https:index.example.org",
        "https://",
        "https:///simple",
        "https://:443",
        "https://index.example.org:99999",
        "https://index.example.org:port",
        "https://[::1",
        "https://index example.org",
        "https://index.example.org/a b",
        "https://index.example.org\\@example.com",
        "https://index.ex\u00e4mple.org",
        "https://index.example.org/\u00e4",
        "https://index..example.org",
        "https://index.example.org/\x01",
        "https://<index>",
        f"https://{'a' * 64}.example.org",
    ],
)
def test_what_is_no_url_of_the_web_is_refused(text: str) -> None:
    assert refusal(WEB, text).endswith(" is not a URL of https or http")


@pytest.mark.parametrize("text", ["https://example.org/?a=b", "https://example.org/#a"])
def test_a_url_to_build_on_has_neither_query_nor_fragment(text: str) -> None:
    assert refusal(WEB, text) == f"{text!r} has a query or a fragment"


@pytest.mark.parametrize(
    "text",
    [
        "user:secret@index.example.org",
        "ftp://user:secret@index.example.org",
        "https://user:sec@ret@index.example.org:port",
        "https://user:/secret@index.example.org/ x",
        "https://user:secret@index.example.org/?q",
    ],
)
def test_a_refused_url_is_repeated_without_its_password(text: str) -> None:
    said = refusal(WEB, text)

    assert "ret@" not in said
    assert "***@index.example.org" in said


@pytest.mark.parametrize(
    "text",
    [
        "http://proxy.example.org",
        "https://proxy.example.org:3128",
        "socks4://proxy.example.org:1080",
        "socks4a://proxy.example.org:1080",
        "socks5://user:pass@proxy.example.org:1080",
        "socks5h://proxy.example.org:1080",
    ],
)
def test_a_proxy_speaks_http_or_socks(text: str) -> None:
    assert readers.proxy(text) == text


def test_a_socks_proxy_has_no_usual_port_so_it_must_be_given() -> None:
    said = refusal(readers.proxy, "socks5://user:secret@proxy.example.org")

    assert said == "'socks5://***@proxy.example.org' has no port"


@pytest.mark.parametrize("text", ["socks://proxy.example.org:1", "proxy.example.org:3128", "none"])
def test_another_proxy_is_refused_and_not_ignored(text: str) -> None:
    assert " is not a URL of http or https or socks4" in refusal(readers.proxy, text)


# ---------------------------------------------------------------- words about names


def test_a_name_is_compared_with_those_that_are_known() -> None:
    known = ["directory", "workers", "download-workers"]

    assert readers.unknown("worker", known) == "there is no such option; did you mean 'workers'?"
    assert readers.unknown("zzz", known) == "there is no such option"


def test_a_long_value_is_not_repeated_as_a_whole() -> None:
    assert readers.shown("x" * 80) == repr("x" * 80)
    assert readers.shown("x" * 81) == repr("x" * 80 + "...")


# ---------------------------------------------------------------- any text

READERS = [
    readers.boolean, PORT, COUNT, readers.seconds, readers.duration, readers.plain, readers.path,
    readers.optional_path, readers.header_text, METHOD, WEB, readers.proxy, readers.digest_name,
]  # fmt: skip
TEXTS = st.one_of(
    st.text(),
    st.from_regex(r"[a-z0-9]{1,6}://[^ ]{0,20}"),
    st.from_regex(r"-?[0-9_.e+]{1,12} ?[a-z]{0,6}"),
)


@pytest.mark.parametrize("read", READERS)
@settings(max_examples=200)
@given(text=TEXTS)
def test_any_text_has_a_value_or_is_refused_on_one_line(
    read: Callable[[str], object], text: str
) -> None:
    try:
        read(text)
    except OptionError as error:
        said = str(error)
    else:
        said = ""
    assert said.isprintable()
    assert len(said) < 500


# ---------------------------------------------------------------- credentials

secrets = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1)


@given(secrets, secrets | st.just(""))
def test_a_login_is_taken_out_of_a_url_and_decoded(user: str, password: str) -> None:
    text = f"https://{quote(user, safe='')}:{quote(password, safe='')}@example.org:8080/pypi"
    url, login = readers.split_login(text)
    assert url == "https://example.org:8080/pypi"
    assert login == Login("https://example.org:8080", user, password)
    assert "password" not in repr(login)


def test_a_url_without_a_login_stays_as_it_is() -> None:
    for text in ("https://example.org", "http://[::1]:8080/x", ""):
        assert readers.split_login(text) == (text, None)


def test_a_token_may_stand_alone() -> None:
    _, login = readers.split_login("https://token@example.org")
    assert login == Login("https://example.org", "token", "")
