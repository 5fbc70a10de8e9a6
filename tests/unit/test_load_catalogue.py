"""The option ``catalogue``: the URL of a database in PostgreSQL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.app import load
from bandersnatch.config.catalogue import CatalogueSettings, is_postgres_url, read_catalogue
from bandersnatch.errors import ConfigError, OptionError

if TYPE_CHECKING:
    from pathlib import Path

URL = "postgresql://mirror:secret@db.example.org:5433/mirrors"


def refusal(path: Path, text: str, mode: int = 0o600) -> str:
    """Return the only problem of a configuration with this value."""
    path.write_text(f"[mirror]\ndirectory = /srv/pypi\ncatalogue = {text}\n")
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert "secret" not in str(problem)
    return str(problem)


@pytest.mark.parametrize(
    ("text", "url", "schema"),
    [
        (URL, URL, "bandersnatch"),
        (f" {URL}?schema=pytorch ", URL, "pytorch"),
        (f"{URL}?sslmode=require&schema=a_1", f"{URL}?sslmode=require", "a_1"),
        ("postgres:///mirrors?host=/run/postgresql", None, "bandersnatch"),
        ("postgresql://one:1,two:2/mirrors?target_session_attrs=any", None, "bandersnatch"),
        ("postgresql://?service=mirrors", None, "bandersnatch"),
        ("postgresql://[::1]/mirrors", None, "bandersnatch"),
    ],
)
def test_a_url_of_libpq_is_read(text: str, url: str | None, schema: str) -> None:
    assert read_catalogue(text) == CatalogueSettings(url or text, schema)


def test_without_the_option_the_catalogue_is_a_file(tmp_path: Path) -> None:
    assert read_catalogue("") is None
    config = tmp_path / "bandersnatch.conf"
    config.write_text("[mirror]\ndirectory = /srv/pypi\n")
    assert load(config).settings.catalogue is None


@pytest.mark.parametrize(
    "text",
    [
        *("sqlite", "/srv/catalogue.sqlite", "mysql://host/db", "postgresql:host"),
        *("postgresql://a b/c", "postgresql://host/db#x", "postgresql://[host/db"),
        '"postgresql://host/db"',
    ],
)
def test_another_value_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="is not the URL of a database in PostgreSQL"):
        read_catalogue(text)
    assert not is_postgres_url(text)


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "pg_a", "information_schema", "a" * 64])
def test_a_name_that_no_schema_can_have_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="cannot be the name of a schema"):
        read_catalogue(f"{URL}?schema={name}")


def test_two_schemas_are_refused() -> None:
    with pytest.raises(OptionError, match="twice"):
        read_catalogue(f"{URL}?schema=a&schema=b")


def test_nothing_shows_the_password() -> None:
    settings = read_catalogue(f"{URL}?password=secret&schema=a")
    assert settings is not None
    assert settings.shown == "postgresql://***@db.example.org:5433/mirrors"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "user:{}?rest@host/db",
            "user:{}/rest@host/db",
            "user:{}@rest@host/db",
            "user@host:{}/db",
        ),
        *("user:12?{}=3@host/db", "user:{}/a?b=c@host/db", "host/db?{}", "host/db?password=a={}"),
        *("host/db?password=a&{}", "one,two:{}/db", "[::1]:{}/db"),
    ],
)
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    """Otherwise libpq takes a part of it for the host, the port or a parameter, and names it."""
    found = refusal(tmp_path / "conf", f"postgresql://{text.format('hidden')}")

    assert "percent-encode the characters / ? # % & = and @ of a password" in found
    assert "hidden" not in found


@pytest.mark.parametrize(
    "text",
    [
        *("user:a%2Fb%40c:d@host/db", "/db?host=/run/postgresql&port=5433", "%2Frun/db"),
        *("one:1,[::1]:2,three/db", "?service=a&schema=b", "host/?options=-c%20geqo%3Doff"),
    ],
)
def test_urls_of_libpq_are_read(text: str) -> None:
    assert read_catalogue(f"postgresql://{text}") is not None


@given(st.text(max_size=40), st.booleans())
def test_any_text_is_read_or_refused(text: str, is_url: bool) -> None:  # noqa: FBT001 - drawn
    value = f"postgresql://user:hidden-word@{text}" if is_url else text
    try:
        found = read_catalogue(value)
    except OptionError as error:
        assert "hidden-word" not in str(error)  # noqa: PT017 - most texts are refused
    else:
        assert found is None or "?schema=" not in found.url


def test_a_parameter_that_libpq_does_not_know_is_named(tmp_path: Path) -> None:
    found = refusal(tmp_path / "conf", f"{URL}?shema=a")
    assert found.endswith("libpq does not accept the URL: it knows no parameter shema")


@pytest.mark.parametrize("text", [URL, "postgresql://db.example.org/mirrors?password=secret"])
def test_a_password_in_a_file_that_everybody_can_read_is_refused(tmp_path: Path, text: str) -> None:
    assert "run: chmod o=" in refusal(tmp_path / "conf", text, 0o644)


def test_without_the_extra_the_message_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        each for each in sys.modules if each.startswith("bandersnatch.catalogue.postgres")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)

    found = refusal(tmp_path / "conf", URL)

    assert found.endswith("with libpq; run: pip install 'bandersnatch[postgres]'")
