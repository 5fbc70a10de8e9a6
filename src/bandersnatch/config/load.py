"""From a file's sections to ``Settings``: every problem is found before any is reported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bandersnatch.config.readers import nearest, split_login, unknown
from bandersnatch.config.schema import (
    MIRROR_OPTIONS,
    OTHER_SECTIONS,
    RETIRED_OPTIONS,
    RETIRED_SECTIONS,
)
from bandersnatch.config.settings import (
    DiffSettings,
    FileSettings,
    FilterSettings,
    IndexSettings,
    PageSettings,
    RemovedProjects,
    RunSettings,
    Settings,
    StorageSettings,
)
from bandersnatch.errors import OptionError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.config.ini import IniFile

MOST_WORKERS_AT_PYPI = 10

_PASSWORD = re.compile(r"://[^/\s]*:[^/\s]*@")


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a file: ``settings`` can be used only if there is no problem."""

    settings: Settings
    problems: tuple[Problem, ...]


def enabled_filters(file: IniFile) -> list[str]:
    """Return the names in ``[plugins] enabled``, each once."""
    lines = file.sections.get("plugins", {}).get("enabled", "").splitlines()
    said = (line.strip() for line in lines)
    return list(dict.fromkeys(line for line in said if line and not line.startswith("#")))


def read_settings(
    file: IniFile, filter_sections: Mapping[str, frozenset[str]], *, others: bool = False
) -> Reading:
    """Return what the file says.

    ``filter_sections`` maps each section that a filter reads to the options it may have; ""
    among them allows any. ``others`` allows sections that nobody knows, with a note.
    """
    problems = list(file.problems)
    notes: list[str] = []
    _check_names(file, filter_sections, problems, notes, others=others)
    groups, ungrouped = _read_mirror(file.sections.get("mirror", {}), problems)
    _check_master(file, groups["index"], ungrouped, problems)
    _check_removal(groups["run"], ungrouped, problems, notes)
    _take_logins(groups)
    _check_secrecy(file, problems)
    settings = Settings(
        storage=StorageSettings(**{"directory": "", **groups["storage"]}),
        index=IndexSettings(**groups["index"]),
        files=FileSettings(**groups["files"]),
        pages=PageSettings(**groups["pages"]),
        run=RunSettings(**groups["run"]),
        diff=DiffSettings(**groups["diff"]),
        filters=_filters(file, problems),
        log_config=ungrouped.get("log-config", ""),
        notes=tuple(notes),
    )
    return Reading(settings, tuple(problems))


def _check_names(
    file: IniFile,
    filter_sections: Mapping[str, frozenset[str]],
    problems: list[Problem],
    notes: list[str],
    *,
    others: bool,
) -> None:
    known = {
        "mirror": file.shared.union(option.name for option in MIRROR_OPTIONS),
        "plugins": frozenset({"enabled"}),
        **filter_sections,
    }
    if "mirror" not in file.sections:
        problems.append(Problem("mirror", "", "the section is missing"))
    for section, options in file.sections.items():
        if section in RETIRED_SECTIONS:
            notes.append(f"[{section}] does nothing any more: {RETIRED_SECTIONS[section]}")
        elif section in known:
            for option in options:
                if (section, option) in RETIRED_OPTIONS:
                    way = RETIRED_OPTIONS[section, option]
                    notes.append(f"[{section}] {option} does nothing any more: {way}")
                elif not {option, ""} & known[section]:
                    problems.append(Problem(section, option, unknown(option, known[section])))
        elif section not in OTHER_SECTIONS:
            message = f"there is no such section{nearest(section, known)}"
            if others:
                notes.append(
                    f"[{section}]: {message}; maybe a plugin of the older interface reads it"
                )
            else:
                problems.append(Problem(section, "", message))


def _read_mirror(
    texts: Mapping[str, str], problems: list[Problem]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the values by group and field, and by option name those that have no group."""
    groups: dict[str, dict[str, Any]] = {
        group: {} for group in ("storage", "index", "files", "pages", "run", "diff")
    }
    others: dict[str, Any] = {}
    for option in MIRROR_OPTIONS:
        if option.name not in texts:
            continue
        try:
            value = option.read(texts[option.name])
        except OptionError as error:
            problems.append(Problem("mirror", option.name, str(error)))
            continue
        if option.group:
            groups[option.group][option.field] = value
        else:
            others[option.name] = value
    if "directory" not in texts:
        problems.append(Problem("mirror", "directory", "it must say where the mirror is kept"))
    if {"keep_index_versions", "keep-index-versions"} <= texts.keys():
        message = "both spellings are set; keep one"
        problems.append(Problem("mirror", "keep_index_versions", message))
    return groups, others


def _check_master(
    file: IniFile,
    index: Mapping[str, Any],
    others: Mapping[str, Any],
    problems: list[Problem],
) -> None:
    if "master" not in index and "master" in file.sections.get("mirror", {}):
        return  # it is a problem already, and nobody knows which index was meant
    master = index.get("master", "")
    if master.startswith("http:") and not others.get("allow-non-https"):
        message = "it is not https; set allow-non-https = true if that is meant"
        problems.append(Problem("mirror", "master", message))
    if index.get("workers", 0) > MOST_WORKERS_AT_PYPI and _is_pypi(master):
        message = f"PyPI asks for at most {MOST_WORKERS_AT_PYPI}"
        problems.append(Problem("mirror", "workers", message))


def _is_pypi(master: str) -> bool:
    if not master:
        return True
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415 - slow, and rarely needed

    return urlsplit(master).hostname == urlsplit(PYPI_SIMPLE_ENDPOINT).hostname


def _take_logins(groups: Mapping[str, dict[str, Any]]) -> None:
    """Move the credentials out of the URLs."""
    logins = []
    for group, option in (("index", "master"), ("files", "download_mirror")):
        if option in groups[group]:
            groups[group][option], login = split_login(groups[group][option])
            logins += [login] if login else []
    groups["index"]["logins"] = tuple(logins)


def _check_removal(
    run: dict[str, Any],
    others: Mapping[str, Any],
    problems: list[Problem],
    notes: list[str],
) -> None:
    missing = others.get("delete_missing_packages")
    if missing is None:
        return
    chosen = RemovedProjects.DELETE if missing else RemovedProjects.KEEP
    meaning = f"removed-projects = {chosen.value}"
    if run.setdefault("removed_projects", chosen) is chosen:
        notes.append(f"[mirror] delete_missing_packages is read as {meaning}")
    else:
        message = f"it means {meaning}, and removed-projects says otherwise; keep that one"
        problems.append(Problem("mirror", "delete_missing_packages", message))


def _check_secrecy(file: IniFile, problems: list[Problem]) -> None:
    """Refuse a password that every user of the machine can read."""
    if not file.is_public:
        return
    for option, text in file.sections.get("mirror", {}).items():
        if _PASSWORD.search(text):
            message = (
                f"it has a password, and everybody can read the file; run: chmod o= {file.path}"
            )
            problems.append(Problem("mirror", option, message))


def _filters(file: IniFile, problems: list[Problem]) -> FilterSettings:
    enabled = enabled_filters(file)
    if any("," in name for name in enabled):
        message = "names stand one to a line, without commas"
        problems.append(Problem("plugins", "enabled", message))
        enabled = [name for name in enabled if "," not in name]
    others = {name: dict(texts) for name, texts in file.sections.items() if name != "mirror"}
    return FilterSettings(tuple(enabled), others)
