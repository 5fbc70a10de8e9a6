"""The option ``catalogue``: the URL of a database in PostgreSQL.

The URL is one of libpq, with one more parameter: ``schema`` names the schema of this mirror.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from bandersnatch.config import readers
from bandersnatch.errors import OptionError, shown_url

DEFAULT_SCHEMA = "bandersnatch"

_SCHEMES = ("postgresql", "postgres")
_ADDRESS = re.compile(r"(?:[^@/?:]*(?::[^@/?]*)?@)?[^@/?]*(?:/[^@/?]*)?")
"""User name and password, hosts and database of a URL, as libpq and we agree to read it."""

_PORT = re.compile(r"(?:\[[^]]*\]|[^:]*)(?::\d*)?", re.ASCII)
_PARAMETER = re.compile(r"[A-Za-z_]+=[^=@]*", re.ASCII)
_SCHEMA = re.compile(r"(?!pg_|information_schema)[a-z_][a-z0-9_]{0,62}")
_EXAMPLE = "postgresql://bandersnatch@db.example.org/mirrors"


class CatalogueSettings(Struct, frozen=True):
    """A catalogue in PostgreSQL: the URL of its database, as libpq reads it, and its schema."""

    url: str
    schema: str = DEFAULT_SCHEMA

    def __repr__(self) -> str:
        return f"CatalogueSettings({self.shown!r}, schema={self.schema!r})"

    @property
    def shown(self) -> str:
        """The URL as messages show it, without user name, password and parameters."""
        return shown_url(self.url.partition("?")[0])


def read_catalogue(text: str) -> CatalogueSettings | None:
    """Read the URL of a database; None for the empty text, which means a file.

    :raises OptionError: if it is not such a URL; the sentence has no password.
    """
    value = readers.plain(text)
    if not value:
        return None
    if not is_postgres_url(value):
        why = f"is not the URL of a database in PostgreSQL, such as {_EXAMPLE}"
        instead = "without the option, the catalogue is a file of the mirror"
        raise readers.refusal(text, f"{why}; {instead}")
    for each in readers.mistake_in(value):
        raise OptionError(f"{readers.shown(value)} {each}")
    _check_parts(value)
    address, _, query = value.partition("?")
    parameters = query.split("&") if query else []
    schemas = [each.partition("=")[2] for each in parameters if each.startswith("schema=")]
    if len(schemas) > 1:
        raise OptionError("it has the parameter schema twice; keep one")
    schema = unquote(schemas[0]) if schemas else DEFAULT_SCHEMA
    if not _SCHEMA.fullmatch(schema):
        why = "write small letters, digits and _, at most 63, without pg_ at the beginning"
        raise OptionError(f"{readers.shown(schema)} cannot be the name of a schema; {why}")
    others = "&".join(each for each in parameters if not each.startswith("schema="))
    return CatalogueSettings(f"{address}?{others}" if others else address, schema)


def _check_parts(url: str) -> None:
    """Refuse a URL in which a password, or a part of it, would be taken for something else.

    :raises OptionError: if it is one; the sentence has no part of the URL.
    """
    address, _, query = url.partition("://")[2].partition("?")
    hosts = address.partition("/")[0].rpartition("@")[2].split(",")
    has_parameters = all(map(_PARAMETER.fullmatch, query.split("&"))) if query else True
    if not (_ADDRESS.fullmatch(address) and all(map(_PORT.fullmatch, hosts)) and has_parameters):
        raise OptionError(
            "the URL cannot be read as USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE; percent-encode "
            "the characters / ? # % & = and @ of a password: %2F %3F %23 %25 %26 %3D %40"
        )


def is_postgres_url(value: str) -> bool:
    """Whether a text has the form of a URL of PostgreSQL."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    is_plain = value.isascii() and value.isprintable() and not set(" \"'<>\\#") & set(value)
    return is_plain and parts.scheme in _SCHEMES and value.startswith(f"{parts.scheme}://")
