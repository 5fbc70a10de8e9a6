"""Lock files: writes ``pylock.toml`` (PEP 751), and reads what lock files pin, with digests."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from packaging.markers import InvalidMarker, Marker
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock
from packaging.utils import canonicalize_name
from packaging.version import Version

from bandersnatch.errors import InvalidValue, OptionError
from bandersnatch.model.digests import Digest, parse_digest
from bandersnatch.model.names import ProjectName, project_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from bandersnatch.closure.library import Release
    from bandersnatch.closure.resolver import Resolution
    from bandersnatch.closure.targets import Target
    from bandersnatch.model.files import ReleaseFile

LOCK_VERSION = "1.0"


class LockedFile(Struct, frozen=True):
    """A file that a lock file names; ``filename`` is "" if it does not say."""

    filename: str
    digest: Digest


class LockEntry(Struct, frozen=True):
    """What a lock file pins of one project.

    ``files`` are those with a digest. ``unknown`` is why an index cannot be asked for the entry, ""
    if it can.
    """

    name: ProjectName
    version: str
    marker: str
    files: tuple[LockedFile, ...]
    unknown: str = ""


_LOCAL = frozenset({"directory", "editable", "virtual", "path", "file"})
"""Sources on the machine that the lock file is for."""

_ELSEWHERE = {
    "vcs": "version control",
    "git": "version control",
    "archive": "an archive",
    "url": "a URL",
}
"""Sources that are not an index."""


def read_lock(path: str, text: str) -> list[LockEntry]:
    """Return the entries of a lock file, without projects on the machine that it is for.

    :raises OptionError: if it is not a lock file of a known kind.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path} is not TOML: {error}") from None
    tables = document.get("packages", document.get("package"))
    if not isinstance(tables, list):
        raise OptionError(f"{path} has neither [[packages]] nor [[package]]")
    if not all(isinstance(each, dict) for each in tables):
        raise OptionError(f"{path} has an entry that is not a table")
    return [_entry(path, table) for table in tables if not _kinds_of_source(table) & _LOCAL]


def _entry(path: str, table: Mapping[str, Any]) -> LockEntry:
    """Return the entry of a table.

    :raises OptionError: if it has no name.
    """
    try:
        name = project_name(table.get("name"))
    except InvalidValue as error:
        raise OptionError(f"{path}: {error}") from None
    version, marker = table.get("version"), table.get("marker", table.get("markers"))
    files = [
        found
        for value in (table.get("wheels"), table.get("files"), [table.get("sdist")])
        for found in _listed(value)
    ]
    elsewhere = sorted(_kinds_of_source(table) & _ELSEWHERE.keys())
    unknown = "" if files else "the lock file has no digest of it"
    if elsewhere:
        unknown = f"it comes from {_ELSEWHERE[elsewhere[0]]}, not from the index"
    return LockEntry(
        name,
        version if isinstance(version, str) else "",
        marker if isinstance(marker, str) else "",
        tuple(files),
        unknown,
    )


def _kinds_of_source(table: Mapping[str, Any]) -> frozenset[str]:
    """Return where an entry comes from, by the keys of the three kinds of lock files."""
    found = {key for key in ("vcs", "directory", "archive") if key in table}
    source = table.get("source")
    if isinstance(source, dict):
        kind = source.get("type")  # of Poetry, whose sources all have a URL
        found |= {kind} if isinstance(kind, str) else source.keys()
    return frozenset(found)


def _listed(value: object) -> Iterator[LockedFile]:
    """Yield a file for each digest in a list of tables."""
    for each in value if isinstance(value, list) else []:
        if not isinstance(each, dict):
            continue
        url = each.get("url") if isinstance(each.get("url"), str) else each.get("path", "")
        given = each.get("name") or each.get("file") or str(url).partition("#")[0]
        filename = str(given).rpartition("/")[2]
        hashes = each.get("hashes")
        pairs = list(hashes.items()) if isinstance(hashes, dict) else []
        if isinstance(each.get("hash"), str):
            algorithm, _, digest = each["hash"].partition(":")
            pairs.append((algorithm, digest))
        for algorithm, digest in pairs:
            try:
                yield LockedFile(filename, parse_digest(algorithm, digest))
            except InvalidValue:
                continue


# ---------------------------------------------------------------- writing


def write_lock(resolutions: Sequence[Resolution], locate: Callable[[ReleaseFile], str]) -> str:
    """Return the text of a ``pylock.toml`` with what was found for all targets.

    ``locate`` returns the URL of a file. A version that not all targets have has a marker that
    names those that have it.
    """
    found: dict[tuple[ProjectName, Version], list[tuple[Target, Release]]] = {}
    for resolution in resolutions:
        for name, release in resolution.pins.items():
            found.setdefault((name, release.version), []).append((resolution.target, release))
    packages = [
        _package(name, version, pinned, locate, everywhere=len(pinned) == len(resolutions))
        for (name, version), pinned in sorted(found.items())
    ]
    markers = [_marker([each.target]) for each in resolutions]
    lock = Pylock(
        lock_version=Version(LOCK_VERSION),
        environments=None if None in markers else [each for each in markers if each],
        created_by="bandersnatch",
        packages=packages,
    )
    return _toml(lock.to_dict())


def _package(
    name: ProjectName,
    version: Version,
    pinned: Sequence[tuple[Target, Release]],
    locate: Callable[[ReleaseFile], str],
    *,
    everywhere: bool,
) -> Package:
    files = {file.filename: file for _, release in pinned for file in release.files}
    wheels = [file for file in files.values() if file.filename.endswith(".whl")]
    sdists = [file for file in files.values() if not file.filename.endswith(".whl")]
    return Package(
        name=canonicalize_name(name),
        version=version,
        marker=None if everywhere else _marker([target for target, _ in pinned]),
        wheels=[
            PackageWheel(
                name=file.filename,
                url=locate(file),
                size=file.size,
                hashes={each.algorithm: each.value for each in file.hashes},
            )
            for file in sorted(wheels, key=lambda each: each.filename)
        ]
        or None,
        sdist=PackageSdist(
            name=sdists[0].filename,
            url=locate(sdists[0]),
            size=sdists[0].size,
            hashes={each.algorithm: each.value for each in sdists[0].hashes},
        )
        if sdists
        else None,
    )


def _marker(targets: Iterable[Target]) -> Marker | None:
    """Return the marker that holds in some targets, None if one of them is any environment."""
    texts = []
    for each in targets:
        variables = dict(each.variables)
        parts = [
            f'{name} == "{variables[name][0]}"'
            for name in ("python_version", "sys_platform", "platform_machine")
            if name in variables
        ]
        if not parts:
            return None
        if variables.get("implementation_name") == ("pypy",):
            parts.append('implementation_name == "pypy"')
        texts.append(" and ".join(parts))
    joined = " or ".join(f"({text})" for text in dict.fromkeys(texts))
    try:
        return Marker(joined)
    except InvalidMarker:
        return None


def _toml(document: Mapping[str, Any]) -> str:
    """Return a lock file as TOML: its own keys first, then a table for each package."""
    lines = [f"{key} = {_value(each)}" for key, each in document.items() if key != "packages"]
    lines += [] if document["packages"] else ["packages = []"]
    for package in document["packages"]:
        lines += ["", "[[packages]]"]
        lines += [f"{key} = {_value(each)}" for key, each in package.items() if key != "wheels"]
        if wheels := package.get("wheels"):
            lines.append("wheels = [")
            lines += [f"    {_value(each)}," for each in wheels]
            lines.append("]")
    return "\n".join([*lines, ""])


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _text(str(value))


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else _text(key)


def _text(text: str) -> str:
    """Return a basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'
