"""Lock files: ``pylock.toml`` (PEP 751), ``uv.lock`` and ``poetry.lock``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from bandersnatch.errors import InvalidValue, OptionError
from bandersnatch.filters.names import LONGEST_REQUIREMENT, ListedRequirement, Skipped, text_lines
from bandersnatch.filters.options import Line, Origin
from bandersnatch.model.names import project_name
from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Callable

_Package: TypeAlias = Mapping[str, Any]
_Elsewhere: TypeAlias = "Callable[[_Package], str | None]"

_PYLOCK = re.compile(r"pylock(?:\.[^.]+)?\.toml")
_OTHERS = re.compile(r".*\.toml|Pipfile(?:\.lock)?|pdm\.lock", re.IGNORECASE)
_HEADER = re.compile(r"[ \t]*\[\[[ \t]*([\w\"'-]+)[ \t]*\]\]")
_VERSION = re.compile(rf"[^*\s]{{1,{LONGEST_REQUIREMENT}}}")
_OWN = ""
"""Where a project comes from that is locked because it is being worked on."""


def is_lock_file(filename: str) -> bool:
    """Whether a file of this name, without its directory, is a lock file.

    :raises OptionError: if it is one of a kind that is not read.
    """
    if filename in _KINDS or _PYLOCK.fullmatch(filename):
        return True
    if _OTHERS.fullmatch(filename):
        known = "pylock.toml, pylock.NAME.toml, uv.lock and poetry.lock"
        raise OptionError(f"{filename} is no requirement file, and of lock files {known} are read")
    return False


def locked(path: str, filename: str, text: str) -> list[ListedRequirement | Skipped]:
    """Return what a lock file pins, in its order, and what of it the index does not have.

    :raises OptionError: if it is not what its name says.
    """
    key, elsewhere = _KINDS.get(filename, ("packages", _not_from_an_index))
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path} is no TOML: {error}") from None
    if key == "packages":
        _check_version(path, document)
    packages = document.get(key, [])
    if not isinstance(packages, list) or not all(isinstance(each, dict) for each in packages):
        raise OptionError(f"{path} has no list of tables [[{key}]]")
    lines = _header_lines(text, key, len(packages))
    return [
        found
        for line, package in zip(lines, packages, strict=True)
        if (found := _locked(path, line, package, elsewhere(package))) is not None
    ]


def _locked(
    path: str, line: int, package: _Package, elsewhere: str | None
) -> ListedRequirement | Skipped | None:
    """Return what one table pins; nothing for the very project that the file is of."""
    said, version = package.get("name"), package.get("version")
    shown = f"{said}=={version}" if version is not None else f"{said}"
    origin = Origin(path, line, shown)
    try:
        name = project_name(said)
    except InvalidValue as error:
        raise OptionError(f"{origin}: {error}") from None
    if elsewhere is not None:
        why = f"it comes from {elsewhere}, not from the index"
        return Skipped(Line(shown, origin), why) if elsewhere != _OWN else None
    if version is None:
        return ListedRequirement(name, SpecifierSet(), bare=True, origin=origin)
    return ListedRequirement(name, _pin(version, origin), bare=False, origin=origin)


def _pin(version: object, origin: Origin) -> SpecifierSet:
    if isinstance(version, str) and _VERSION.fullmatch(version):
        operator = "===" if parse_version(version) is None else "=="
        try:
            specifier = SpecifierSet(f"{operator}{version}")
        except InvalidSpecifier:
            specifier = SpecifierSet()
        if len(specifier) == 1:
            return specifier
    raise OptionError(f"{origin}: its version is none")


def _check_version(path: str, document: Mapping[str, Any]) -> None:
    """Refuse a lock file of a later specification, as PEP 751 asks."""
    version = document.get("lock-version")
    if not isinstance(version, str) or version.partition(".")[0] != "1":
        raise OptionError(f"{path} is no lock file of version 1.x of PEP 751: {version!r}")


def _header_lines(text: str, key: str, count: int) -> list[int]:
    """Return the number of the line that each table begins on; zeros if that is not certain."""
    numbers = [
        number
        for number, line in text_lines(text)
        if (found := _HEADER.match(line)) and found[1].strip("\"'") == key
    ]
    return numbers if len(numbers) == count else [0] * count


def _not_from_an_index(package: _Package) -> str | None:
    kinds = {"vcs": "version control", "directory": "a directory", "archive": "an archive"}
    return next((words for kind, words in kinds.items() if kind in package), None)


def _not_from_uv_index(package: _Package) -> str | None:
    source = package.get("source")
    kinds = {
        "virtual": _OWN,
        "editable": _OWN,
        "directory": "a directory",
        "path": "a path",
        "git": "version control",
        "url": "a URL",
    }
    told = source if isinstance(source, dict) else {}
    return next((words for kind, words in kinds.items() if kind in told), None)


def _not_from_poetry_index(package: _Package) -> str | None:
    source = package.get("source")
    told = source.get("type") if isinstance(source, dict) else None
    kinds = {"git": "version control", "url": "a URL", "directory": "a directory", "file": "a path"}
    return kinds.get(told) if isinstance(told, str) else None


_KINDS: Mapping[str, tuple[str, _Elsewhere]] = {
    "uv.lock": ("package", _not_from_uv_index),
    "poetry.lock": ("package", _not_from_poetry_index),
}
