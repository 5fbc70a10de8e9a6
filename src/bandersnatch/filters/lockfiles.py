"""Lock files: ``pylock.toml`` (PEP 751), ``uv.lock`` and ``poetry.lock``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from bandersnatch.errors import InvalidValue, OptionError
from bandersnatch.filters.names import ListedRequirement, Skipped, text_lines
from bandersnatch.filters.options import Line, Origin
from bandersnatch.model.names import project_name
from bandersnatch.model.pep508 import MAX_LENGTH
from bandersnatch.model.versions import parse_version

_Table: TypeAlias = Mapping[str, Any]
_Source: TypeAlias = "Callable[[_Table], str | None]"

_PYLOCK = re.compile(r"pylock(?:\.[^.]+)?\.toml")
_OTHER_KINDS = re.compile(r".*\.toml|Pipfile(?:\.lock)?|pdm\.lock", re.IGNORECASE)
_HEADER = re.compile(r"[ \t]*\[\[[ \t]*([\w\"'-]+)[ \t]*\]\]")
_VERSION = re.compile(rf"[^*\s]{{1,{MAX_LENGTH}}}")
_OWN_PROJECT = ""
"""The source of the project that the lock file belongs to."""


def is_lock_file(filename: str) -> bool:
    """Return whether a file of this name, without its directory, is a lock file.

    :raises OptionError: if it is of a kind that is not supported.
    """
    if filename in _SOURCES or _PYLOCK.fullmatch(filename):
        return True
    if _OTHER_KINDS.fullmatch(filename):
        known = "pylock.toml, pylock.NAME.toml, uv.lock and poetry.lock"
        raise OptionError(
            f"{filename} is not a requirement file, and the supported lock files are {known}"
        )
    return False


def locked(path: str, filename: str, text: str) -> list[ListedRequirement | Skipped]:
    """Return what a lock file pins, in its order, and the entries that the index does not have.

    :raises OptionError: if the text is not a lock file of the kind that its name says.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path} is not TOML: {error}") from None
    source = _SOURCES.get(filename)
    if source is None:
        _check_pylock(path, document)
        key, source = "packages", _pylock_source
    else:
        key = "package"
    tables = document.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise OptionError(f"{path} has no list of tables [[{key}]]")
    lines = _header_lines(text, key, len(tables))
    return [
        entry
        for line, table in zip(lines, tables, strict=True)
        if (entry := _entry(path, line, table, source(table))) is not None
    ]


def _entry(
    path: str, line: int, table: _Table, source: str | None
) -> ListedRequirement | Skipped | None:
    """Return what one table pins; None for the project that the file belongs to."""
    name, version = table.get("name"), table.get("version")
    shown = f"{name}=={version}" if version is not None else f"{name}"
    origin = Origin(path, line, shown)
    try:
        project = project_name(name)
    except InvalidValue as error:
        raise OptionError(f"{origin}: {error}") from None
    if source is not None:
        why = f"it comes from {source}, not from the index"
        return Skipped(Line(shown, origin), why) if source != _OWN_PROJECT else None
    if version is None:
        return ListedRequirement(project, SpecifierSet(), bare=True, origin=origin)
    return ListedRequirement(project, _pin(version, origin), bare=False, origin=origin)


def _pin(version: object, origin: Origin) -> SpecifierSet:
    if isinstance(version, str) and _VERSION.fullmatch(version):
        operator = "===" if parse_version(version) is None else "=="
        try:
            specifier = SpecifierSet(f"{operator}{version}")
        except InvalidSpecifier:
            specifier = SpecifierSet()
        if len(specifier) == 1:
            return specifier
    raise OptionError(f"{origin}: its version is not usable")


def _check_pylock(path: str, document: Mapping[str, Any]) -> None:
    """Refuse a file that does not conform to PEP 751, as it demands.

    :raises OptionError: with the first violation.
    """
    from packaging.pylock import Pylock, PylockValidationError  # noqa: PLC0415 - seldom needed

    try:
        Pylock.from_dict(document)
    except PylockValidationError as error:
        raise OptionError(f"{path} is not a lock file of PEP 751: {error}") from None


def _header_lines(text: str, key: str, count: int) -> list[int]:
    """Return the number of the line that each table begins on; zeros if that is not certain."""
    numbers = [
        number
        for number, line in text_lines(text)
        if (found := _HEADER.match(line)) and found[1].strip("\"'") == key
    ]
    return numbers if len(numbers) == count else [0] * count


def _pylock_source(table: _Table) -> str | None:
    kinds = {"vcs": "version control", "directory": "a directory", "archive": "an archive"}
    return next((words for kind, words in kinds.items() if kind in table), None)


def _uv_source(table: _Table) -> str | None:
    source = table.get("source")
    kinds = {
        "virtual": _OWN_PROJECT,
        "editable": _OWN_PROJECT,
        "directory": "a directory",
        "path": "a path",
        "git": "version control",
        "url": "a URL",
    }
    keys = source if isinstance(source, dict) else {}
    return next((words for kind, words in kinds.items() if kind in keys), None)


def _poetry_source(table: _Table) -> str | None:
    source = table.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    kinds = {"git": "version control", "url": "a URL", "directory": "a directory", "file": "a path"}
    return kinds.get(kind) if isinstance(kind, str) else None


_SOURCES: Mapping[str, _Source] = {"uv.lock": _uv_source, "poetry.lock": _poetry_source}
"""What tells where an entry comes from if not from the index, by file name."""
