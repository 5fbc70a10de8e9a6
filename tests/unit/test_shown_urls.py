"""URLs in messages: no user name, password or query, and of configured ones no path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.cli.text import without_credentials
from bandersnatch.config import readers
from bandersnatch.errors import InvalidValue, MissingFiles, OptionError, UnsafeUrl, shown_url
from bandersnatch.index.masked import PathMask

if TYPE_CHECKING:
    from collections.abc import Callable

SECRETS = st.text(st.characters(codec="ascii", exclude_characters="\\"), max_size=20).map(
    lambda text: f"S3CRET{text}S3CRET"
)
PLAIN = st.text("abcdefghij0123456789-._~%!$&'()*+,;=:", max_size=10).map("S3CRET{}".format)


@pytest.mark.parametrize(
    ("url", "shown", "without_path"),
    [
        ("https://example.org", "https://example.org", "https://example.org"),
        ("https://example.org/", "https://example.org/", "https://example.org/"),
        ("https://example.org/a/b", "https://example.org/a/b", "https://example.org/..."),
        (
            "https://example.org:8443/a",
            "https://example.org:8443/a",
            "https://example.org:8443/...",
        ),
        ("https://[::1]:80/a", "https://[::1]:80/a", "https://[::1]:80/..."),
        ("https://u:p@example.org/a", "https://***@example.org/a", "https://***@example.org/..."),
        ("https://u@example.org", "https://***@example.org", "https://***@example.org"),
        ("https://example.org/a?b=c#d", "https://example.org/a?...", "https://example.org/..."),
        ("https://example.org?b=c", "https://example.org?...", "https://example.org/..."),
        ("https://example.org/a@b", "https://example.org/a@b", "https://***"),
        (
            "https://u:p/w@example.org/a",
            "https://u:p/w@example.org/a",
            "https://***",
        ),
        ("u:p@example.org/a", "***@example.org/a", "***@example.org/..."),
        ("/packages", "/packages", "/packages"),
        ("", "", ""),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str, without_path: str) -> None:
    assert shown_url(url) == shown
    assert shown_url(url, has_path=False) == without_path


def refusal(read: Callable[[str], object], text: str) -> str:
    """Return the message with which a reader refuses a text, "" if it accepts it."""
    try:
        read(text)
    except OptionError as error:
        return str(error)
    return ""


@given(user=PLAIN, query=PLAIN, fragment=PLAIN)
def test_no_message_shows_user_query_or_fragment(user: str, query: str, fragment: str) -> None:
    url = f"https://{user}:{user}@example.org/simple/foo/?{query}#{fragment}"
    errors = [
        UnsafeUrl(url, "it is private"),
        InvalidValue("URL", url, "is not allowed"),
        MissingFiles("foo", [UnsafeUrl(url, "it is private")]),
    ]

    for text in [shown_url(url), *map(str, errors)]:
        assert "S3CRET" not in text
        assert "example.org/simple/foo/" in text


@pytest.mark.parametrize(
    "read",
    [
        readers.url("https", "http"), readers.proxy, readers.public_url, readers.index_url,
        readers.hosts, readers.path, readers.whole_number(0), readers.boolean, readers.duration,
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "shape",
    [
        "https://u:{}@example.org:x", "ftp://u:{}@example.org", "https://example.org/?t={}",
        "https://example.org/{}/?a=b", '"https://u:{}@example.org"', "https://u:{}@example.org # x",
        "https://example.org/{} # x", "u:{}@example.org", "htps://u:{}@example.org",
        "https://u:{}/x@example.org", "https://u:{}@exa mple.org", "https://example.org/#{}",
    ],
)  # fmt: skip
@given(secret=SECRETS)
def test_no_error_of_the_configuration_shows_a_secret(
    read: Callable[[str], object], shape: str, secret: str
) -> None:
    assert "S3CRET" not in refusal(read, shape.format(secret))


@given(user=PLAIN, query=PLAIN)
def test_the_log_shows_no_secret_of_a_url_within_a_text(user: str, query: str) -> None:
    text = f"see (https://{user}@example.org/a?{query}), 'http://example.com/b?{query}'."

    assert "S3CRET" not in without_credentials(text)
    assert "https://***@example.org/a?..." in without_credentials(text)


def test_a_mask_hides_the_paths_of_configured_urls() -> None:
    mask = PathMask(
        ["https://example.org/t0ken", "https://example.org/t0ken/more/", "", "http://p"]
    )
    cause = UnsafeUrl("https://example.org/t0ken/foo/", "it leads to https://example.org/t0ken/x")
    error = MissingFiles("foo", [cause])

    mask.hide(error)

    assert mask
    assert not PathMask(["https://example.org", "https://example.org/", ""])
    assert "t0ken" not in str(error) + repr(cause)
    assert cause.url == "https://example.org/.../foo/"
    assert mask.text("https://example.org/t0ken/more/x") == "https://example.org/.../x"
