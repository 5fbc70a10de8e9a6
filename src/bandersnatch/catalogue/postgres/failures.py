"""Translates the errors of psycopg into sentences that say what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors as codes
from psycopg.conninfo import conninfo_to_dict

from bandersnatch.errors import StorageError

if TYPE_CHECKING:
    from bandersnatch.config.catalogue import CatalogueSettings

_LONGEST = 300
"""Characters of the message of an error, which may have a value of a row."""

_LOST = ("08", "57P")
"""The classes of SQLSTATE after which a connection is of no use, with a restart of the server."""

_WRONG_OBJECT = "42"
"""The class of SQLSTATE of statements that do not agree with what is in the schema."""

_HINTS = (
    (
        re.compile(r"password authentication failed|no password supplied"),
        "check the password: in [mirror] catalogue, in PGPASSWORD or in ~/.pgpass",
    ),
    (
        re.compile(r'database ".*" does not exist'),
        "create it, for example with: createdb --encoding=UTF8 --template=template0 NAME",
    ),
    (
        re.compile(r'role ".*" does not exist'),
        "create the user, or name another one in [mirror] catalogue",
    ),
    (
        re.compile(r"could not translate host name|failed to resolve host|Name or service"),
        "check the name of the host in [mirror] catalogue",
    ),
    (
        re.compile(r"Connection refused|No such file or directory|timed? ?out|timeout"),
        "check that the server is running, and the host and port in [mirror] catalogue",
    ),
    (
        re.compile(r"no pg_hba.conf entry|SSL"),
        "check pg_hba.conf of the server, and sslmode in the URL",
    ),
)
"""What to do about an error of connecting, by the message of libpq, which has no code."""

_PASSING = re.compile(r"the database system is|closed the connection|terminating connection")
"""Messages of errors, which have no code while a connection is made."""

_OTHERWISE = "check [mirror] catalogue, and the log of the server"


def url_problem(settings: CatalogueSettings) -> str:
    """Return why libpq does not accept a URL, without a password in it; "" if it does."""
    try:
        conninfo_to_dict(settings.url)
    except psycopg.Error as error:
        found = re.search(r'parameter: "([A-Za-z_]+)"', str(error))
        unknown = f": it knows no parameter {found[1]}" if found else ""
        return f"libpq does not accept the URL{unknown}"
    return ""


def connection_error(
    settings: CatalogueSettings, error: psycopg.Error, what: str = "no connection"
) -> StorageError:
    """Return the error of a connection that could not be made; ``what`` begins the sentence."""
    text = _one_line(str(error))
    hint = next((hint for pattern, hint in _HINTS if pattern.search(text)), _OTHERWISE)
    return StorageError(settings.shown, f"{what}: {text}; {hint}")


def statement_error(settings: CatalogueSettings, error: psycopg.Error) -> StorageError:
    """Return the error of a statement that failed."""
    text = _one_line(str(error))
    if isinstance(error, codes.InsufficientPrivilege):
        user = "the user of [mirror] catalogue"
        text += (
            f"; let {user} create and own the schema: GRANT CREATE, TEMPORARY ON DATABASE ... TO "
            f"..., or CREATE SCHEMA {settings.schema} AUTHORIZATION ..."
        )
    elif isinstance(error, codes.ReadOnlySqlTransaction):
        text += "; the server is a standby: name the primary, or use target_session_attrs"
    elif isinstance(error, codes.UndefinedTable):
        text += (
            f"; the schema {settings.schema} was changed: run DROP SCHEMA {settings.schema} "
            "CASCADE, and the next run fills a new one from the tree"
        )
    elif isinstance(error, codes.LockNotAvailable):
        text += f"; another session has locked a table of the schema {settings.schema}: end it"
    elif (error.sqlstate or "").startswith(_WRONG_OBJECT):
        text += (
            f"; the schema {settings.schema} has tables of another program: use another one, "
            "?schema=NAME"
        )
    return StorageError(settings.shown, text)


def is_lost(connection: psycopg.Connection, error: psycopg.Error) -> bool:
    """Whether an error means that the connection is lost, and a new one may work."""
    return connection.closed or (error.sqlstate or "").startswith(_LOST)


def is_passing(error: psycopg.Error) -> bool:
    """Whether a connection failed because the server has just been started, or is ending."""
    return (error.sqlstate or "").startswith(_LOST) or bool(_PASSING.search(str(error)))


def _one_line(text: str) -> str:
    """Return a message without the lines of detail that libpq repeats for each address."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [
        line for line in lines if not line.startswith(("Is the server", "- host:", "Multiple"))
    ]
    return (found or lines or ["it failed"])[0][:_LONGEST]
