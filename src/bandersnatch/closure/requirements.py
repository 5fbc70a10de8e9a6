"""Core metadata, and the requirements in it (PEP 508, PEP 643, core metadata 1.0 to 2.5)."""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct, structs

from bandersnatch.errors import InvalidValue
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.pep508 import MAX_LENGTH, parse_pep508

MAX_REQUIREMENTS = 10_000
"""A file that states more requirements counts as one whose requirements are not known."""

MAX_CHARACTERS = 500_000
"""Of all requirements of a file; the longest real ones have a tenth."""

_CACHE_SIZE = 65_536
_STATIC_SINCE = (2, 2)
"""The first version of core metadata that says which fields are dynamic (PEP 643)."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_METADATA_VERSION = re.compile(r"([1-9]\d{0,2})\.(\d{1,3})", re.ASCII)
_SEPARATORS = re.compile(r"[-_.]+")
_MISTAKES = (
    (re.compile(r"((?:~=|[<>]=?)\s*[\w.!+]*?)\.?\*"), r"\1"),  # ">=2.7.*"
    (re.compile(r"([=!]=\s*\d[\w.]*?)(?<!\.)\*"), r"\1.*"),  # "!=3.0*"
    (re.compile(r"([<>=!~]=?)\s*['\"]\s*([\w.*!+]+)\s*['\"]"), r"\1\2"),  # ">='2.7'"
    (re.compile(r"([\w*])\s+(?=[<>=!~]=?)"), r"\1,"),  # ">=1 <2"
    (re.compile(r"(?<=[(,])\s*,+|,+\s*(?=\)|$)"), ""),  # trailing and doubled commas
    (re.compile(r"([<>]=?|~=)\s*>"), r"\1"),  # ">=>1"
)
"""Mistakes of old requirements, each with what was meant; only specifiers are searched."""


class Requirement(Struct, frozen=True):
    """One requirement.

    ``specifier`` and ``marker`` are normalised texts, "" for none; ``extras`` are normalised and
    sorted. ``url`` is that of a direct reference, "" for a project of the index. ``mended`` is
    whether the text is not a requirement of PEP 508 and was read as what it seems to mean.
    """

    text: str
    name: ProjectName
    specifier: str = ""
    extras: tuple[str, ...] = ()
    marker: str = ""
    url: str = ""
    mended: bool = False


class CoreMetadata(Struct, frozen=True):
    """The part of core metadata that says what a file needs.

    ``requires`` are the texts of ``Requires-Dist`` and ``extras`` those of ``Provides-Extra``.
    ``is_static`` is whether they hold for every file that is built of a source distribution with
    this metadata.
    """

    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    is_static: bool = False


def extra_name(text: str) -> str:
    """Return the normalised name of an extra (PEP 685)."""
    return _SEPARATORS.sub("-", text.strip()).lower()


@lru_cache(maxsize=_CACHE_SIZE)
def parse_requirement(text: str) -> Requirement | None:
    """Return the requirement that a text states, or None if it cannot be read.

    Old metadata has requirements with well-known mistakes; these are mended.
    """
    if len(text) > MAX_LENGTH:
        return None
    found = _parsed(text)
    if found is not None:
        return found
    specified, semicolon, marker = text.partition(";")
    mended = specified.strip()
    for pattern, meant in _MISTAKES:
        if "[" in mended and "]" in mended:
            head, _, rest = mended.partition("]")
            mended = f"{head}]{pattern.sub(meant, rest)}"
        else:
            mended = pattern.sub(meant, mended)
    mended = re.sub(r"^([\w.-]+),(?=\s*[(<>=!~])", r"\1", mended)
    for candidate in (f"{mended}{semicolon}{marker}", f"{mended};{_mended_marker(marker)}"):
        found = _parsed(candidate)
        if found is not None:
            return structs.replace(found, text=text, mended=True)
    return None


def _mended_marker(marker: str) -> str:
    """Return a marker without ``.*`` after ordered comparisons."""
    return re.sub(r"((?:[<>]=?|~=)\s*['\"][\d.]+?)\.\*", r"\1", marker)


def _parsed(text: str) -> Requirement | None:
    try:
        found = parse_pep508(text)
        name = project_name(found.name)
    except InvalidValue:
        return None
    extras = tuple(sorted(set(map(extra_name, found.extras))))
    marker = "" if found.marker is None else str(found.marker)
    return Requirement(text, name, str(found.specifier), extras, marker, found.url or "")


def parse_metadata(content: bytes) -> CoreMetadata | str:
    """Return what core metadata says about requirements, or why it cannot be read.

    Only the header fields are read; what is wrong in others does not matter here.
    """
    parts: dict[str, list[list[str]]] = {}
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    values: list[list[str]] | None = None
    for line in _LINE_END.split(text):
        if not line:
            break
        if line[0] in " \t":
            if values:
                values[-1].append(line.strip())
            continue
        name, colon, value = line.partition(":")
        if not colon:
            return "its core metadata cannot be read"
        values = parts.setdefault(name.strip().lower(), [])
        values.append([value.strip()])
    fields = {name: [" ".join(each) for each in values] for name, values in parts.items()}
    versions = fields.get("metadata-version", [])
    version = _METADATA_VERSION.fullmatch(versions[0]) if versions else None
    if version is None:
        return "its core metadata has no version"
    requires = tuple(dict.fromkeys(filter(None, fields.get("requires-dist", []))))
    if len(requires) > MAX_REQUIREMENTS:
        return f"it has {len(requires):,} requirements, more than {MAX_REQUIREMENTS:,}"
    if sum(map(len, requires)) > MAX_CHARACTERS:
        return f"its requirements have more than {MAX_CHARACTERS:,} characters"
    dynamic = {each.lower() for each in fields.get("dynamic", [])}
    is_new = (int(version[1]), int(version[2])) >= _STATIC_SINCE
    is_static = is_new and not dynamic & {"requires-dist", "provides-extra"}
    extras = tuple(dict.fromkeys(map(extra_name, fields.get("provides-extra", []))))
    return CoreMetadata(requires, extras, is_static)
