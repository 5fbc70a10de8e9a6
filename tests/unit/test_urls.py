"""File URLs: which are accepted, and the local paths of their files."""

from __future__ import annotations

import re
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidValue
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.urls import (
    absolute_url,
    decode_path,
    file_path,
    is_computed_path,
    is_file_path,
    path_digest,
    quote_path,
)
from tests.support.confinement import stays_below
from tests.support.factories import make_file
from tests.support.strategies import hostile_text, json_values

BASE = "https://example.org/simple/foo/"
PLAIN_BASE = "http://127.0.0.1:8080/simple/foo/"
HOST = "https://files.example.org"
FILENAME = "foo-1.0.tar.gz"
SHA256 = "ab" + "cd" + "0123" * 15
COMPUTED = f"packages/ab/cd/{'0123' * 15}/{FILENAME}"
"""The computed path of a file whose URL has no usable path."""

BLAKE2 = f"packages/01/23/{'4f' * 30}/{FILENAME}"
"""A path of PyPI's form."""

# ---------------------------------------------------------------- accepted URLs


@pytest.mark.parametrize(
    ("value", "url"),
    [
        (f"{HOST}/packages/{FILENAME}", f"{HOST}/packages/{FILENAME}"),
        (f"{HOST}/packages/{FILENAME}#sha256=00", f"{HOST}/packages/{FILENAME}"),
        (f"{HOST}:8443/packages/{FILENAME}#a#b", f"{HOST}:8443/packages/{FILENAME}"),
        (f"{HOST}:65535/{FILENAME}", f"{HOST}:65535/{FILENAME}"),
        (f"{HOST}/a%2Bb~c/{FILENAME}", f"{HOST}/a%2Bb~c/{FILENAME}"),
        (f"{HOST}/a@b/{FILENAME}", f"{HOST}/a@b/{FILENAME}"),
        (f"{HOST}/packages//{FILENAME}", f"{HOST}/packages//{FILENAME}"),
        (f"HTTPS://Files.Example.org/{FILENAME}", f"https://Files.Example.org/{FILENAME}"),
        (f"https://my_files.example.org/{FILENAME}", f"https://my_files.example.org/{FILENAME}"),
        (f"https://[2001:db8::1]:8443/{FILENAME}", f"https://[2001:db8::1]:8443/{FILENAME}"),
        (f"https://xn--bcher-kva.example/{FILENAME}", f"https://xn--bcher-kva.example/{FILENAME}"),
        (f"../../packages/{FILENAME}", f"https://example.org/packages/{FILENAME}"),
        (f"/packages/{FILENAME}", f"https://example.org/packages/{FILENAME}"),
        (f"//files.example.org/{FILENAME}", f"{HOST}/{FILENAME}"),
        (FILENAME, f"{BASE}{FILENAME}"),
        (f"../../../../{FILENAME}", f"https://example.org/{FILENAME}"),
        (HOST, HOST),
        (f"{FILENAME}?", f"{BASE}{FILENAME}"),
        (f"https:///{FILENAME}", f"https://example.org/{FILENAME}"),
        (f"https:{FILENAME}", f"{BASE}{FILENAME}"),
        ("https://example.org/a b/\xe9[1].zip", "https://example.org/a%20b/%C3%A9[1].zip"),
        ("https://example.org/\u202e%20+~#x y", "https://example.org/%E2%80%AE%20+~"),
        ("a b.zip", f"{BASE}a%20b.zip"),
    ],
)
def test_a_url_is_made_absolute(value: str, url: str) -> None:
    assert absolute_url(value, base=BASE) == url


@pytest.mark.parametrize(
    "value",
    [
        *["", "https:// /packages/x", "https://:443/packages/x"],
        *["http://example.org/x", "ftp://example.org/x", "file:///etc/passwd", "data:,x"],
        *["javascript:alert(1)", "HTTP://example.org/x", "mailto:a@example.org", "urn:x"],
        *["https://user@example.org/x", "https://user:secret@example.org/x", "https://@h/x"],
        *["https://example.org:0/x", "https://example.org:/x", "https://example.org:x/"],
        *["https://example.org:65536/x", "https://example.org:99999/x", "https://h:-1/x"],
        *["https://example.org:8\uff18/x", "https://example.org:00080x/"],
        *["https://example.org/x?query", "https://example.org/x?a=b#c", "?x"],
        *["https://exa mple.org/ab", "https://example.org/a\tb", "https://h\t/x", "https://h\n/x"],
        *["https://example.org/\0", "https://example.org/\x1b", "https://example.org/\x7f"],
        *["https://example.org\\@evil.example/x", "https:\\\\example.org\\x", "\\\\h\\x"],
        *["https://ex\xe4mple.org/x", "https://\u212a/x"],
        *["https://a..b/x", "https://.a/x", "https://a./x", "https://-a/x", "https://a-/x"],
        *["https://a.-b/x", "https://_a/x", "https://a%2fb/x", "https://a*b/x", "https://<b>/x"],
        *[f"https://{'a' * 64}.example/x", "https://xn--a.example/x", "https://XN--A.example/x"],
        *["https://[", "https://[]/x", "https://[1]/x", "https://[::1/x", "https://[::g]/x"],
        *["https://[fe80::1%25eth0]/x", "https://[v1.a]/x", "//[", "https://]/x"],
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_unsafe_or_invalid_url_is_refused(value: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        absolute_url(value, base=BASE)
    assert caught.value.field == "URL"
    assert str(caught.value).isascii()


@pytest.mark.parametrize("value", [None, 5, True, b"https://example.org/x", [BASE]], ids=repr)
def test_a_value_other_than_a_text_is_not_a_url(value: object) -> None:
    with pytest.raises(InvalidValue, match="is not a URL"):
        absolute_url(value, base=BASE)


@pytest.mark.parametrize("path", ["packages/x", "packages//x"])
def test_http_is_accepted_only_from_an_http_base(path: str) -> None:
    url = f"http://127.0.0.1:8081/{path}"
    assert absolute_url(url, base=PLAIN_BASE) == url
    assert absolute_url(f"{HOST}/{path}", base=PLAIN_BASE) == f"{HOST}/{path}"
    with pytest.raises(InvalidValue, match="is not https"):
        absolute_url(url, base=BASE)


def test_only_https_is_accepted_from_a_base_of_another_scheme() -> None:
    with pytest.raises(InvalidValue, match="is not"):
        absolute_url("ftp://example.org/x", base="ftp://example.org/")


hosts = st.sampled_from(
    [
        *[
            "example.org",
            "files.example.org",
            "127.0.0.1",
            "a..b",
            "a.",
            "-a",
            "a_b.c",
            "u@h",
            "[::1]",
        ],
        *["[1]", "xn--a", "xn--bcher-kva", "h:443", "h:0", "h:70000", "h:", "", "a" * 64, "A"],
    ]
)
urls = st.builds(
    "{}{}/{}{}".format,
    st.sampled_from(["https://", "http://", "//", "HTTPS://", "ftp://", "https:/", ""]),
    hosts,
    st.lists(
        st.sampled_from(
            ["packages", FILENAME, "", ".", "..", "%2e%2e", "a;b", "a:b", "@", "[", "é"]
        )
    ).map("/".join),
    st.sampled_from(["", "", "#x", "?", "?q", "#[", "#a#b", "/"]),
)


upward = st.builds(
    "{}{}{}".format,
    st.integers(1, 5).map(lambda steps: "../" * steps),
    st.lists(st.sampled_from(["packages", "aa", FILENAME, "", ".", "..", "%2e%2e"])).map("/".join),
    st.sampled_from(["", "#sha256=x", "?q", "/"]),
)
bases = st.sampled_from(
    [
        *[BASE, PLAIN_BASE, "https://example.org/", "https://example.org/simple/foo"],
        *["https://example.org/a/../b/", "https://example.org/a//b/", "https://xn--a/simple/foo/"],
        *["https://example.org/a/b/?q=/c/", "https://example.org:8080/a/b/c/"],
    ]
)


@given(urls | upward | hostile_text | json_values, bases)
@example("https://h/packages/../x", BASE)
@example("../../packages/x", "https://example.org/simple/foo/")
def test_every_url_parser_agrees_on_an_accepted_url(value: object, base: str) -> None:
    try:
        url = absolute_url(value, base=base)
    except InvalidValue:
        return
    assert isinstance(value, str)
    parts = urlsplit(url)
    assert parts.scheme in {"https", urlsplit(base).scheme}
    assert parts.hostname
    assert parts.port != 0
    assert parts.username is parts.password is None
    assert not parts.query
    assert not parts.fragment
    assert url.isascii()
    assert url.isprintable()
    assert absolute_url(url, base=base) == url
    joined = urldefrag(urljoin(base, value)).url.removesuffix("?")
    assert url == urlsplit(joined)._replace(query="").geturl()


@given(hosts, st.sampled_from(["http", "https"]), st.sampled_from([BASE, PLAIN_BASE]))
def test_the_fast_path_accepts_what_the_general_algorithm_does(
    host: str, scheme: str, base: str
) -> None:
    """An empty segment excludes a URL from the fast path."""
    outcomes = []
    for path in ("packages/x", "packages//x"):
        try:
            absolute_url(f"{scheme}://{host}/{path}", base=base)
            outcomes.append("")
        except InvalidValue as error:
            outcomes.append(error.reason)
    assert outcomes[0] == outcomes[1]


# ---------------------------------------------------------------- paths of URLs


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"{HOST}/packages/{FILENAME}", f"/packages/{FILENAME}"),
        (f"{HOST}/foo-1%212.0%2Blocal.zip", "/foo-1!2.0+local.zip"),
        (f"{HOST}/foo-1!2.0+local.zip", "/foo-1!2.0+local.zip"),
        (f"{HOST}/with%20space/caf%C3%A9", "/with space/caf\xe9"),
        (f"{HOST}/100%/x", "/100%/x"),
    ],
)
def test_a_path_is_decoded_once(url: str, path: str) -> None:
    assert decode_path(url) == path


HOSTILE_PATHS = [
    *["", "/", "/packages/", "//x", "/packages//x", "/packages/x/"],
    *["/./x", "/packages/../x", "/..", "/.", "/packages/x/.."],
    *["/%2e%2e/x", "/.%2e/x", "/%2E./x", "/packages/%2e%2e/%2e%2e/etc/x", "/%2e/x"],
    *["/%252e%252e/x", "/packages/a%252fb/x", "/a%25252e/x", "/%25c3%25a9/x"],
    *["/a%2fb", "/packages%2Fx", "/..%2f..%2fetc/x", "/%2f", "/a%2F"],
    *["/%ff", "/%c3", "/%ed%a0%80", "/%c0%ae%c0%ae/x"],
]


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_with_hidden_segments_is_refused(path: str) -> None:
    with pytest.raises(InvalidValue, match=r"^URL path "):
        decode_path(HOST + path)


# ---------------------------------------------------------------- local paths


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (BLAKE2, BLAKE2),
        (f"some/prefix/{BLAKE2}", BLAKE2),
        (f"packages/{BLAKE2}", BLAKE2),
        (f"packages/{FILENAME}", f"packages/{FILENAME}"),
        (f"packages/source/f/foo/{FILENAME}", f"packages/source/f/foo/{FILENAME}"),
        (f"packages/py2.py3/f/foo/{FILENAME}", f"packages/py2.py3/f/foo/{FILENAME}"),
        (f"packages/{'a/' * 8}{FILENAME}", f"packages/{'a/' * 8}{FILENAME}"),
    ],
)
def test_a_safe_path_below_packages_is_kept(path: str, place: str) -> None:
    assert file_path(f"{HOST}/{path}", filename=FILENAME, sha256=SHA256) == place


@pytest.mark.parametrize(
    ("quoted", "filename"),
    [
        ("my%20pkg-1.0%20%28copy%29.zip", "my pkg-1.0 (copy).zip"),
        ("my%20pkg-1.0%20(copy).zip", "my pkg-1.0 (copy).zip"),
        ("foo%23~%40%3D%2C%5B1%5D.zip", "foo#~@=,[1].zip"),
        ("caf%C3%A9-1.0.zip", "caf\xe9-1.0.zip"),
        ("cafe%CC%81-1.0.zip", "cafe\u0301-1.0.zip"),
        ("_foo-1.0.tar.gz", "_foo-1.0.tar.gz"),
        ("foo%2520bar.zip", "foo%20bar.zip"),
        ("100%25.zip", "100%.zip"),
    ],
)
@pytest.mark.parametrize("directory", [BLAKE2.rpartition("/")[0], "packages/source/f/foo"])
def test_the_path_of_a_file_with_an_unusual_name_has_that_name(
    directory: str, quoted: str, filename: str
) -> None:
    url = absolute_url(f"{HOST}/{directory}/{quoted}", base=BASE)
    path = file_path(url, filename=filename, sha256=SHA256)
    assert path == f"{directory}/{filename}"
    assert is_file_path(path)
    again = absolute_url(f"{HOST}/{quote_path(path)}", base=BASE)
    assert file_path(again, filename=filename, sha256=SHA256) == path


def test_a_file_that_is_not_named_after_its_project_needs_a_digest_in_its_path() -> None:
    """In any other path it could take the place of another project's file."""

    def path(directory: str) -> str:
        url = f"{HOST}/{directory}/{FILENAME}"
        return file_path(url, filename=FILENAME, sha256=SHA256, is_usual=False)

    assert path(BLAKE2.rpartition("/")[0]) == BLAKE2
    assert path("packages/source/f/foo") == COMPUTED
    assert path("packages") == COMPUTED


@given(
    st.lists(st.from_regex(r"[A-Za-z0-9._-]{1,9}", fullmatch=True), max_size=3),
    st.from_regex(r"[a-z0-9._-]{1,9}\.(zip|whl|tar\.gz)", fullmatch=True),
)
def test_the_path_does_not_depend_on_escapes_in_the_url(prefix: list[str], name: str) -> None:
    """Most URLs have no escapes and take the fast path."""
    plain = "/".join([*prefix, BLAKE2.rpartition("/")[0], name])
    escaped = plain.replace("packages", "p%61ckages")
    places = []
    for path in (plain, escaped):
        try:
            places.append(file_path(f"{HOST}/{path}", filename=name, sha256=SHA256))
        except InvalidValue:
            places.append("")
    assert places[0] == places[1]


@pytest.mark.parametrize(
    "path",
    [
        FILENAME,
        f"packages_evil/{FILENAME}",
        f"Packages/{FILENAME}",
        f"simple/foo/{FILENAME}",
        f"json/{FILENAME}",
        f"a/packages/{FILENAME}",
        f"packages/{'a/' * 9}{FILENAME}",
        f"packages/.hidden/{FILENAME}",
        f"packages/-rf/{FILENAME}",
        f"packages/a..b/{FILENAME}",
        f"packages/a%20b/{FILENAME}",
        f"packages/a%5c..%5cb/{FILENAME}",
        f"packages/a%00b/{FILENAME}",
        f"packages/a%0ab/{FILENAME}",
        f"packages/%E2%80%AE/{FILENAME}",
        f"packages/a:b/{FILENAME}",
        f"packages/{'a' * 256}/{FILENAME}",
        f"packages/AB/23/{'4f' * 30}/x/y/z/a/b/c/{FILENAME}",
    ],
)
def test_any_other_path_is_computed_from_the_digest(path: str) -> None:
    assert file_path(f"{HOST}/{path}", filename=FILENAME, sha256=SHA256) == COMPUTED


def test_without_a_digest_the_path_is_computed_from_the_url_without_scheme_and_query() -> None:
    url = f"{HOST}/x/{FILENAME}"
    path = file_path(url, filename=FILENAME, sha256="")
    assert re.fullmatch(rf"packages/url/[0-9a-f]{{2}}/[0-9a-f]{{62}}/{FILENAME}", path)
    assert file_path(f"{url}?token=1", filename=FILENAME, sha256="") == path
    assert file_path(url.replace("/x/", "/y/"), filename=FILENAME, sha256="") != path


def test_a_path_made_of_a_digest_or_url_is_recognised() -> None:
    by_url = file_path(f"{HOST}/x/{FILENAME}", filename=FILENAME, sha256="")
    by_digest = file_path(f"{HOST}/x/{FILENAME}", filename=FILENAME, sha256=SHA256)
    assert is_computed_path(make_file(FILENAME, path=by_url))
    assert is_computed_path(
        make_file(FILENAME, path=by_digest, hashes=Hashes((Digest("sha256", SHA256),)))
    )
    assert not is_computed_path(make_file(FILENAME, path=f"packages/source/f/foo/{FILENAME}"))


@pytest.mark.parametrize(
    ("path", "filename"),
    [
        ("packages/bar-1.0.tar.gz/foo-1.0.tar.gz", FILENAME),
        ("packages/x.WHL/foo-1.0.tar.gz", FILENAME),
    ],
)
def test_no_file_has_the_path_that_another_needs_as_directory(path: str, filename: str) -> None:
    """Otherwise one project could make the storage fail for all."""
    place = file_path(f"{HOST}/{path}", filename=filename, sha256=SHA256)
    assert place == COMPUTED.replace(FILENAME, filename)


@pytest.mark.parametrize(
    ("path", "filename"),
    [
        ("packages/bar-1.0.tar.gz", FILENAME),
        (f"packages/{FILENAME}.asc", FILENAME),
        (f"packages/{FILENAME.upper()}", FILENAME),
        ("packages", FILENAME),
        ("packages/foo-1.0.tar.gz%0a", FILENAME),
        ("packages/foo%5c-1.0.tar.gz", FILENAME),
        ("packages/foo%00-1.0.tar.gz", FILENAME),
        ("packages/foo%252d1.0.tar.gz", FILENAME),
        ("packages/..%252ffoo.zip", "..%2ffoo.zip"),
        ("packages/foo%252fbar.zip", "foo%2fbar.zip"),
        ("packages/foo-1.0", "foo-1.0"),
    ],
)
def test_a_url_of_another_file_is_refused(path: str, filename: str) -> None:
    with pytest.raises(InvalidValue, match=r"^file name "):
        file_path(f"{HOST}/{path}", filename=filename, sha256=SHA256)


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_url_with_hidden_segments_gives_no_path(path: str) -> None:
    with pytest.raises(InvalidValue):
        file_path(f"{HOST}{path}/../{FILENAME}", filename=FILENAME, sha256=SHA256)


segments = st.sampled_from(
    [
        *[
            "packages",
            "ab",
            "cd",
            "4f" * 30,
            "source",
            "py2.py3",
            FILENAME,
            "bar-1.zip",
            "foo-1",
            ".",
            "..",
        ],
        *[
            "%2e%2e",
            "%252e",
            "%2f",
            "%5c",
            "a b",
            "a%20b",
            "%00",
            "-",
            "",
            "a" * 256,
            "A",
            "CON",
            "~",
        ],
    ]
)
paths = st.lists(segments, max_size=9).map("/".join)
names = st.sampled_from([FILENAME, "bar-1.zip", "foo-1", "foo-1.0%2B1.egg", "x..y", ".x", "%2e"])


@given(paths, names)
def test_every_path_is_below_packages(path: str, quoted: str) -> None:
    filename = quoted.replace("%2B", "+")
    try:
        url = absolute_url(f"{HOST}/{path}/{quoted}", base=BASE)
        place = file_path(url, filename=filename, sha256=SHA256)
    except InvalidValue:
        return
    assert re.fullmatch(r"packages/([A-Za-z0-9][A-Za-z0-9._+!-]{0,254}/){0,8}" + "[^/]+", place)
    assert ".." not in place
    assert place.rpartition("/")[2] == filename
    assert stays_below(place)
    assert is_file_path(place)


@pytest.mark.parametrize("path", [BLAKE2, COMPUTED, f"packages/source/f/foo/{FILENAME}"])
def test_a_path_of_a_file_is_recognised(path: str) -> None:
    assert is_file_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *["", "packages", "packages/", FILENAME, f"/{BLAKE2}", f"{BLAKE2}/", f"x/{BLAKE2}"],
        *["../status", f"packages/../{FILENAME}", f"packages/./{FILENAME}"],
        f"packages//{FILENAME}",
        *["json/foo", "simple/foo/index.html", f"{BLAKE2}.metadata", f"{BLAKE2}\n"],
        f"packages/bar-1.0.tar.gz/{FILENAME}",
        f"packages/\0/{FILENAME}",
    ],
)
def test_other_paths_are_not_paths_of_files(path: str) -> None:
    assert not is_file_path(path)


@given(hostile_text)
def test_every_recognised_path_is_below_packages(text: str) -> None:
    if is_file_path(text):
        assert text.startswith("packages/")
        assert stays_below(text)


@given(paths, names, paths, names)
def test_the_paths_of_two_files_never_conflict(one: str, a: str, other: str, b: str) -> None:
    assume(a != b)
    try:
        places = [
            file_path(f"{HOST}/{path}/{name}", filename=name.replace("%2B", "+"), sha256=SHA256)
            for path, name in ((one, a), (other, b))
        ]
    except InvalidValue:
        return
    assert places[0] != places[1]
    assert not places[0].startswith(f"{places[1]}/")
    assert not places[1].startswith(f"{places[0]}/")


@pytest.mark.parametrize(
    ("path", "digest"),
    [
        (BLAKE2, "0123" + "4f" * 30),
        (COMPUTED, SHA256),
        (f"packages/source/f/foo/{FILENAME}", None),
        (f"packages/01/23/{'4F' * 30}/{FILENAME}", None),
        (f"packages/01/23/{'4f' * 29}/{FILENAME}", None),
        (f"x{BLAKE2}", None),
        (f"{BLAKE2}/x", None),
        ("", None),
    ],
)
def test_a_path_of_pypis_form_has_a_digest(path: str, digest: str | None) -> None:
    assert path_digest(path) == digest


@given(st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+!~ %é-]{0,9}", fullmatch=True), min_size=1))
def test_a_quoted_path_is_decoded_to_itself(parts: list[str]) -> None:
    path = "/".join(parts)
    assume("%" not in path and not any(part in {".", ".."} for part in parts))
    quoted = quote_path(path)
    assert decode_path(f"{HOST}/{quoted}") == f"/{path}"
    assert not set(quoted) & set("+!# ")
