"""Reads the metadata files in archives without unpacking or building them (PEP 427, PEP 625)."""

from __future__ import annotations

import lzma
import tarfile
import tomllib
import zipfile
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ARCHIVE = 64 * 1024**2
"""Bytes; a larger archive is not opened."""

_MAX_CONTENT = 1024**3
"""Bytes of the unpacked files that are passed over at most."""
_MAX_MEMBERS = 100_000
_MAX_FILE = 8 * 1024**2
_PKG_INFO, _PYPROJECT = "PKG-INFO", "pyproject.toml"

_ZIP_ERRORS = (
    *(zipfile.BadZipFile, EOFError, OSError, ValueError, KeyError),
    *(NotImplementedError, RuntimeError, OverflowError, TypeError),
)
"""What the readers of archives raise for contents that are damaged or unusual."""

DEFAULT_BUILD = ("setuptools>=40.8.0",)
"""What builds a source distribution that names nothing (PEP 517)."""


class SdistFiles(Struct, frozen=True):
    """The contents of the two files at the top of a source distribution; None if it has none."""

    pkg_info: bytes | None = None
    pyproject: bytes | None = None


def read_sdist(content: bytes) -> SdistFiles | str:
    """Return the metadata files of an archive, a zip file or a tar file, or why that failed."""
    try:
        members = _zip_members(content) if content[:2] == b"PK" else _tar_members(content)
        found: dict[str, bytes] = {}
        for name, data in members:
            found.setdefault(name, data)
            if len(found) == len((_PKG_INFO, _PYPROJECT)):
                break
    except (*_ZIP_ERRORS, tarfile.TarError, zlib.error, lzma.LZMAError):
        return "the archive cannot be read"
    return SdistFiles(found.get(_PKG_INFO), found.get(_PYPROJECT))


def read_wheel(content: bytes) -> bytes | str:
    """Return the core metadata in a wheel, or why it cannot be read."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            for member in reversed(archive.infolist()):  # it is usually among the last
                directory, _, name = member.filename.partition("/")
                is_metadata = name == "METADATA" and directory.endswith(".dist-info")
                if is_metadata and member.file_size <= _MAX_FILE:
                    with archive.open(member) as file:
                        return file.read(_MAX_FILE)
    except (*_ZIP_ERRORS, zlib.error, lzma.LZMAError):
        pass
    return "the archive cannot be read"


def _wanted(path: str) -> str | None:
    """Return the name of a metadata file at the top of an archive, None for other paths."""
    parts = path.removeprefix("./").split("/")
    is_top = len(parts) == len(("directory", "file")) and parts[1] in {_PKG_INFO, _PYPROJECT}
    return parts[1] if is_top else None


def _tar_members(content: bytes) -> Iterator[tuple[str, bytes]]:
    passed = 0
    with tarfile.open(fileobj=BytesIO(content), mode="r|*") as archive:
        for count, member in enumerate(archive):
            name = _wanted(member.name)
            if name is not None and member.isfile() and member.size <= _MAX_FILE:
                file = archive.extractfile(member)
                if file is not None:
                    yield name, file.read()
            passed += member.size
            if passed > _MAX_CONTENT or count > _MAX_MEMBERS:
                return


def _zip_members(content: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        for member in archive.infolist()[:_MAX_MEMBERS]:
            name = _wanted(member.filename)
            if name is not None and member.file_size <= _MAX_FILE:
                with archive.open(member) as file:
                    yield name, file.read(_MAX_FILE)


def build_requirements(pyproject: bytes | None) -> tuple[str, ...] | None:
    """Return ``build-system.requires`` (PEP 518), None if the file cannot be read."""
    if pyproject is None:
        return DEFAULT_BUILD
    try:
        table = tomllib.loads(pyproject.decode("utf-8")).get("build-system", {})
    except (ValueError, RecursionError):
        return None
    requires = table.get("requires", list(DEFAULT_BUILD)) if isinstance(table, dict) else None
    if not isinstance(requires, list) or not all(isinstance(each, str) for each in requires):
        return None
    return tuple(requires)
