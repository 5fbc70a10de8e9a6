"""Options and sections of earlier releases that are not read any more.

What they chose is not lost without a word: a setting that selected projects or files is refused
with its new spelling, and only settings that selected nothing are noted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bandersnatch.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bandersnatch.config.ini import IniFile

RETIRED_OPTIONS = {
    ("mirror", "http-client"): "every request is sent with aiohttp",
    ("mirror", "cleanup-todo"): "a project that is gone never stays in todo",
}
"""Options that selected nothing and have no effect, with what to use instead."""

RETIRED_SECTIONS = {
    "statistics": "read the web server's log with a tool of your choice",
}
"""Sections that selected nothing and have no effect, with what to use instead."""

REFUSED_SECTIONS = {
    "swift": (
        "it is not read since release 7; Swift's S3 layer can be used: set storage-backend = s3, "
        "with [s3] endpoint_url, and remove this section"
    )
}
"""Sections that said where the mirror is, with the way on."""

RENAMED_SECTIONS = {"whitelist": "allowlist", "blacklist": "blocklist"}
"""Sections of releases before 5 that selected projects and filters, with their new names."""

_LOST = {
    "whitelist": "and without it the whole index would be mirrored",
    "blacklist": "and without it these projects would be mirrored",
}
_VERSIONED = re.compile(r"[<>=!~]")
_OLD_WORDS = (("whitelist", "allowlist"), ("blacklist", "blocklist"))


def renamed(name: str) -> str:
    """Return the present name of a filter that may have its name of before release 5."""
    for old, new in _OLD_WORDS:
        name = name.replace(old, new)
    return name


def renamed_section(
    file: IniFile, section: str, known: Mapping[str, frozenset[str]], notes: list[str]
) -> Iterator[Problem]:
    """Yield a problem for each option of a renamed section that selects something.

    An option whose new place is in use has been moved; it is mentioned in ``notes`` only, as is a
    section that selects nothing. ``known`` are the options of each section.
    """
    new = RENAMED_SECTIONS[section]
    chosen = {name: text for name, text in file.sections[section].items() if _lines(text)}
    lost = [name for name in chosen if not _is_moved(file, new, name)]
    if not lost:
        where = f"[{new}]" if "plugins" not in chosen else f"[{new}] and [plugins] enabled"
        instead = f"{where} counts" if chosen else f"use [{new}]"
        notes.append(f"[{section}] is not read any more; {instead}")
    for name in lost:
        lines = _lines(chosen[name])
        if name == "plugins":
            yield Problem(section, name, _lost_filters(lines))
        elif name in known.get(new, frozenset()):
            yield Problem(section, name, _lost_option(section, name, lines))
        else:
            message = f"it is not read any more, and [{new}] has no such option; remove it"
            yield Problem(section, name, message)


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _is_moved(file: IniFile, new: str, option: str) -> bool:
    """Return whether the new place of an option is in use."""
    if option == "plugins":
        return "enabled" in file.sections.get("plugins", {})
    return bool(file.sections.get(new))


def _lost_filters(names: list[str]) -> str:
    present = ", ".join(dict.fromkeys(map(renamed, names)))
    verb = "this filter" if len(names) == 1 and names != ["all"] else "these filters"
    return (
        f"it is not read any more, and without it {verb} would be lost; write into [plugins] "
        f"enabled, one on each line: {present}"
    )


def _lost_option(section: str, name: str, lines: list[str]) -> str:
    new = RENAMED_SECTIONS[section]
    filters, lost = f"{new}_project", _LOST[section]
    if any(map(_VERSIONED.search, lines)):
        filters = f"{filters} and {new}_release"
    if name == "platforms":
        filters, lost = "exclude_platform", "and without it their files would be mirrored"
    if name.startswith("requirements"):
        filters = "project_requirements and project_requirements_pinned"
    return (
        f"it is not read any more, {lost}; move it to [{new}] {name}, "
        f"with {filters} in [plugins] enabled"
    )
