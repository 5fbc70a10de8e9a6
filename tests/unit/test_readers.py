"""Readers: which texts each accepts, the value it returns, and the message for the others."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from humanfriendly import InvalidTimespan, parse_timespan
from hypothesis import given, settings
from hypothesis import strategies as st

from bandersnatch.config import readers
from bandersnatch.config.schema import CompareMethod, Login, split_login
from bandersnatch.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

PORT = readers.whole_number(1, 65535)
COUNT = readers.whole_number(0)
METHOD = readers.choice(CompareMethod)
WEB = readers.url("https", "http")


def refusal(read: Callable[[str], object], text: str) -> str:
    """Return the message of a reader that refuses a text."""
    with pytest.raises(OptionError) as caught:
        read(text)
    return str(caught.value)


# ---------------------------------------------------------------- booleans and numbers


@pytest.mark.parametrize("text", ["1", "yes", "true", "on", "TRUE", "Yes", " on "])
def test_boolean_has_four_words_for_true(text: str) -> None:
    assert readers.boolean(text) is True


@pytest.mark.parametrize("text", ["0", "no", "false", "off", "FALSE", "No", " off "])
def test_boolean_has_four_words_for_false(text: str) -> None:
    assert readers.boolean(text) is False


@pytest.mark.parametrize("text", ["", "2", "y", "t", "none", "yes\nno"])
def test_boolean_refuses_any_other_word(text: str) -> None:
    assert refusal(readers.boolean, text) == f"{text!r} is neither true nor false"


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("65535", 65535), (" 80 ", 80)])
def test_whole_number_accepts_its_limits(text: str, number: int) -> None:
    assert PORT(text) == number


@pytest.mark.parametrize("text", ["0", "65536", "-1"])
def test_whole_number_refuses_a_number_beyond_its_limits(text: str) -> None:
    assert refusal(PORT, text) == f"{text!r} is not from 1 to 65535"


def test_whole_number_may_have_no_upper_limit() -> None:
    assert COUNT("123456789") == 123456789
    assert refusal(COUNT, "-1") == "'-1' is not 0 or more"


@pytest.mark.parametrize("text", ["", "three", "1.5", "0x10", "1e3", "9" * 5000])
def test_whole_number_refuses_other_texts(text: str) -> None:
    assert refusal(PORT, text).endswith(" is not a whole number")


@pytest.mark.parametrize("read", [PORT, readers.seconds, readers.boolean])
@pytest.mark.parametrize("text", ["3 ; x", "3 # x", "3;"])
def test_a_comment_after_a_number_is_named_as_the_mistake(
    read: Callable[[str], object], text: str
) -> None:
    assert refusal(read, text).endswith("; a comment must stand on a line of its own")


@pytest.mark.parametrize(("text", "share"), [("5", 5), ("2.5", 2.5), ("100%", 100), (" 1 ", 1)])
def test_percent_reads_a_share(text: str, share: float) -> None:
    assert readers.percent(text) == share


@pytest.mark.parametrize("text", ["", "0", "-1", "101", "half", "nan"])
def test_percent_refuses_other_texts(text: str) -> None:
    assert refusal(readers.percent, text) == f"{text!r} is not a share like '5' or '2.5' percent"


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(("text", "number"), [("10", 10.0), ("0.5", 0.5), ("1e2", 100.0)])
def test_seconds_may_have_a_fraction(text: str, number: float) -> None:
    assert readers.seconds(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e300", "2592001"])
def test_seconds_are_more_than_zero_and_at_most_30_days(text: str) -> None:
    """A longer timeout could overflow in an event loop."""
    assert refusal(readers.seconds, text) == f"{text!r} is not between 0 and 2592000 seconds"


@pytest.mark.parametrize("text", ["", "ten", "10 s", "1,5"])
def test_seconds_refuses_other_texts(text: str) -> None:
    assert refusal(readers.seconds, text) == f"{text!r} is not a number of seconds"


@pytest.mark.parametrize("read", [readers.duration, readers.duration_with_unit])
@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("24 h", timedelta(hours=24)),
        ("24h", timedelta(hours=24)),
        ("14 d", timedelta(days=14)),
        ("14 days", timedelta(days=14)),
        ("1.5 hours", timedelta(minutes=90)),
        ("5 min", timedelta(minutes=5)),
        ("2 weeks", timedelta(weeks=2)),
        ("0", timedelta(0)),
    ],
)
def test_duration_reads_a_number_with_a_unit(
    read: Callable[[str], timedelta], text: str, span: timedelta
) -> None:
    assert read(text) == span


def test_duration_reads_a_number_without_a_unit_as_seconds() -> None:
    assert readers.duration("90") == timedelta(seconds=90)


@given(text=st.from_regex(r"\s?[0-9]{1,20}(\.[0-9]{0,20})?\s?", fullmatch=True))
def test_a_number_is_the_time_span_that_the_library_reads(text: str) -> None:
    """Most numbers are read without it, because it is slow to import."""
    try:
        expected = timedelta(seconds=parse_timespan(text))
    except (InvalidTimespan, OverflowError):
        assert "is not a time span" in refusal(readers.duration, text)
    else:
        assert readers.duration(text) == expected


@pytest.mark.parametrize("text", ["90", "1.5", " 7 "])
def test_duration_with_unit_refuses_a_number_without_a_unit(text: str) -> None:
    assert refusal(readers.duration_with_unit, text) == (
        f"{text!r} has no unit; write one, such as '{text.strip()} days'"
    )


@pytest.mark.parametrize("read", [readers.duration, readers.duration_with_unit])
@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "-1 h", "nan", "²", "1 fortnight", "5 5", "9999999999999 days"]
)
def test_duration_refuses_other_texts_with_two_examples(
    read: Callable[[str], timedelta], text: str
) -> None:
    assert refusal(read, text) == f"{text!r} is not a time span like '24 h' or '14 days'"


@pytest.mark.parametrize(("text", "seconds"), [("30", 2_592_000), ("0", 0), ("0.5", 43_200)])
def test_days_are_read(text: str, seconds: int) -> None:
    assert readers.days(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "-1", "a month", "nan", "inf", "1e9"])
def test_days_refuses_other_texts(text: str) -> None:
    assert refusal(readers.days, text) == f"{text!r} is not a number of days"


# ---------------------------------------------------------------- sizes and rates


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1000", 1000), ("2 GB", 2 * 1024**3), (" 1 KiB ", 1024)]
)
def test_byte_size_counts_in_powers_of_1024(text: str, size: int) -> None:
    assert readers.byte_size(text) == size


@pytest.mark.parametrize("text", ["", "large", "-1", "5 apples", "5 %"])
def test_byte_size_refuses_other_texts(text: str) -> None:
    assert refusal(readers.byte_size, text) == (
        f"{text!r} is not a size like '2 GB' or a number of bytes"
    )


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("50 GB", (50 * 1024**3, None)),
        ("0", (0, None)),
        ("2.5 %", (None, 0.025)),
        ("0%", (None, 0.0)),
    ],
)
def test_size_or_share_reads_bytes_or_a_fraction(
    text: str, pair: tuple[int | None, float | None]
) -> None:
    assert readers.size_or_share(text) == pair


@pytest.mark.parametrize("text", ["much", "-1 GB", "nan %", "100 %", "5 % 3", "% 5", ""])
def test_size_or_share_refuses_other_texts(text: str) -> None:
    assert refusal(readers.size_or_share, text) == (
        f"{text!r} is not a size like '50 GB' or a share like '5 %'"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 h", timedelta(hours=2)),
        ("90 min", timedelta(minutes=90)),
        ("50 GB", 50_000_000_000),
        ("1 MiB", 1_048_576),
    ],
)
def test_time_or_size_reads_either(text: str, value: timedelta | int) -> None:
    assert readers.time_or_size(text) == value


@pytest.mark.parametrize("text", ["", "5", "1.5", "a lot", "-2 h", "5 apples"])
def test_time_or_size_refuses_a_text_that_is_neither_or_could_be_both(text: str) -> None:
    assert refusal(readers.time_or_size, text) == (
        f"{text!r} is not a time like '2 h' or a size like '50 GB'"
    )


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("100 Mbit/s", 12_500_000),
        ("100mbit", 12_500_000),
        ("100 Mbps", 12_500_000),
        ("100 MBps", 100_000_000),
        ("5/s", 5),
        ("12 MB/s", 12_000_000),
        ("1.5G", 1.5e9),
        ("800", 800),
        ("8 bit/s", 1),
        ("2 Tb", 2e12),
    ],
)
def test_rate_reads_bits_and_bytes_per_second(text: str, bytes_per_second: float) -> None:
    assert readers.rate(text) == bytes_per_second


@pytest.mark.parametrize("text", ["", "fast", "-5", "0", "1.2.3 MB/s", "5 apples", "."])
def test_rate_refuses_other_texts(text: str) -> None:
    assert refusal(readers.rate, text) == (f"{text!r} is not a rate like '100 Mbit/s' or '12 MB/s'")


# ---------------------------------------------------------------- texts, paths, choices


def test_a_path_is_returned_without_the_space_around_it() -> None:
    assert readers.path(" ./some dir/größe ") == "./some dir/größe"


@pytest.mark.parametrize("text", ["", "  ", "a\0b"])
def test_a_path_is_neither_empty_nor_with_a_nul(text: str) -> None:
    assert refusal(readers.path, text) == f"{text!r} is not a path"


def test_a_path_is_on_one_line() -> None:
    assert refusal(readers.path, "/srv\n/pypi") == "the value must be on one line"


def test_a_path_with_a_tilde_is_refused() -> None:
    message = refusal(readers.path, "~/mirror")

    assert message == "'~/mirror' begins with ~, which only a shell understands"


def test_an_optional_path_may_be_empty() -> None:
    assert readers.optional_path("  ") == ""
    assert readers.optional_path("/srv/list") == "/srv/list"
    assert refusal(readers.optional_path, "a\0b") == "'a\\x00b' is not a path"


def test_a_header_text_is_plain_ascii() -> None:
    assert readers.header_text(" mirror of example.org; mail ops@example.org ") == (
        "mirror of example.org; mail ops@example.org"
    )
    assert readers.header_text("") == ""


@pytest.mark.parametrize("text", ["a (b", "b)", "a\\b", "größe", "a\x7fb", "a\tb", "a\x00b"])
def test_a_header_text_cannot_end_the_header_or_its_comment(text: str) -> None:
    assert refusal(readers.header_text, text).endswith("is not plain ASCII without parentheses")


@pytest.mark.parametrize("text", ["hash", "HASH", " Hash "])
def test_a_choice_is_read_in_any_case(text: str) -> None:
    assert METHOD(text) is CompareMethod.HASH


@pytest.mark.parametrize("text", ["", "both", "hash, stat"])
def test_another_choice_is_refused_with_a_list_of_all(text: str) -> None:
    assert refusal(METHOD, text) == f"{text!r} is not one of hash, stat"


@pytest.mark.parametrize("text", ["sha256", "SHA256", " md5 ", "sha512", "blake2b"])
def test_a_digest_name_is_read_in_any_case(text: str) -> None:
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
def test_a_malformed_url_or_one_with_another_scheme_is_refused(text: str) -> None:
    assert " is not a URL of https or http" in refusal(WEB, text)


@pytest.mark.parametrize("text", ["https://example.org/?a=b", "https://example.org/#a"])
def test_a_url_with_a_query_or_a_fragment_is_refused(text: str) -> None:
    assert refusal(WEB, text) == "'https://example.org/...' has a query or a fragment"


@pytest.mark.parametrize(
    "text",
    [
        "user:secret@index.example.org",
        "ftp://user:secret@index.example.org",
        "https://user:sec@ret@index.example.org:port",
        "https://user:secret@index.example.org/?q",
    ],
)
def test_a_refused_url_is_repeated_without_its_password(text: str) -> None:
    message = refusal(WEB, text)

    assert "ret@" not in message
    assert "***@index.example.org" in message


def test_a_refused_url_whose_host_is_not_certain_is_not_repeated() -> None:
    message = refusal(WEB, "https://user:/secret@index.example.org/ x")

    assert message == "'https://***' is not a URL of https or http"


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
def test_a_proxy_has_an_http_or_socks_url(text: str) -> None:
    assert readers.proxy(text) == text


def test_a_socks_proxy_needs_a_port() -> None:
    message = refusal(readers.proxy, "socks5://user:secret@proxy.example.org")

    assert message == "'socks5://***@proxy.example.org' has no port"


@pytest.mark.parametrize("text", ["socks://proxy.example.org:1", "proxy.example.org:3128", "none"])
def test_a_proxy_of_another_kind_is_refused(text: str) -> None:
    assert " is not a URL of http or https or socks4" in refusal(readers.proxy, text)


# ---------------------------------------------------------------- messages


def test_a_long_value_is_shortened_in_messages() -> None:
    assert readers.shown("x" * 80) == repr("x" * 80)
    assert readers.shown("x" * 81) == repr("x" * 80 + "...")


# ---------------------------------------------------------------- any text

READERS = [
    readers.boolean, PORT, COUNT, readers.percent, readers.seconds, readers.duration,
    readers.duration_with_unit, readers.days, readers.byte_size, readers.size_or_share,
    readers.time_or_size, readers.rate, readers.plain, readers.path, readers.optional_path,
    readers.header_text, METHOD, WEB, readers.public_url, readers.proxy, readers.digest_name,
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
        message = str(error)
    else:
        message = ""
    assert message.isprintable()
    assert len(message) < 500


AMOUNTS = st.one_of(st.text(max_size=12), TEXTS)


@given(AMOUNTS)
def test_an_accepted_amount_is_within_its_limits(text: str) -> None:
    with suppress(OptionError):
        assert readers.rate(text) > 0
    with suppress(OptionError):
        assert 0 < readers.percent(text) <= 100
    with suppress(OptionError):
        assert readers.days(text) >= timedelta(0)
    with suppress(OptionError):
        assert readers.time_or_size(text) is not None


# ---------------------------------------------------------------- credentials

secrets = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1)


@given(secrets, secrets | st.just(""))
def test_split_login_decodes_the_credentials_of_a_url(user: str, password: str) -> None:
    text = f"https://{quote(user, safe='')}:{quote(password, safe='')}@example.org:8080/pypi"
    url, login = split_login(text)
    assert url == "https://example.org:8080/pypi"
    assert login == Login("https://example.org:8080", user, password)
    assert "password" not in repr(login)


def test_split_login_returns_a_url_without_credentials_unchanged() -> None:
    for text in ("https://example.org", "http://[::1]:8080/x", ""):
        assert split_login(text) == (text, None)


def test_split_login_accepts_a_user_name_without_a_password() -> None:
    _, login = split_login("https://token@example.org")
    assert login == Login("https://example.org", "token", "")
