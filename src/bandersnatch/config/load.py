"""Builds ``Settings`` from a parsed file; finds every problem before it reports any."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from bandersnatch.config import retired, schema
from bandersnatch.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bandersnatch.config.ini import IniFile

MOST_WORKERS_AT_PYPI = 10

_PASSWORD = re.compile(r"://[^/\s]*:[^/\s]+@|[?&]password=.")
_VARIABLE = re.compile(r"\$\{[A-Za-z0-9_]+\}")
_READABLE = "it has {}, and every user can read the file; run: chmod o= {}"


class LoadResult(Struct, frozen=True):
    """What a file says: ``settings`` can be used only if there are no ``problems``."""

    settings: schema.Settings
    problems: tuple[Problem, ...]


def enabled_filters(file: IniFile) -> list[str]:
    """Return the names in ``[plugins] enabled``, each once."""
    lines = file.sections.get("plugins", {}).get("enabled", "").splitlines()
    names = (line.strip() for line in lines)
    return list(dict.fromkeys(name for name in names if name and not name.startswith("#")))


def load_settings(
    file: IniFile, filter_sections: Mapping[str, frozenset[str]], *, others: bool = False
) -> LoadResult:
    """Return the settings in ``file``, with its problems.

    ``filter_sections`` maps each section that a filter reads to the options it may have; ""
    among them allows any. ``others`` allows unknown sections, each with a note.
    """
    options = schema.SectionOptions(file.sections.get("mirror", {}), file.refused("mirror"))
    notes: list[str] = []
    settings = schema.read_mirror(options, notes)
    serving = schema.SectionOptions(
        file.sections.get("serve", {}), file.refused("serve"), section="serve"
    )
    serve = schema.read_serve(serving)
    closing = schema.SectionOptions(
        file.sections.get("closure", {}), file.refused("closure"), section="closure"
    )
    closure = schema.read_closure(closing, settings.files)
    schema.check_processes(settings, options)
    bucket = schema.SectionOptions(file.sections.get("s3", {}), file.refused("s3"), section="s3")
    storage = _read_bucket(settings.storage, bucket, options)
    enabled = _enabled_filters(file, options)
    _check_master(settings.index, options)
    _check_passwords(file, options, bucket)
    known = {
        "mirror": file.shared | options.names,
        "serve": file.shared | serving.names,
        "closure": file.shared | closing.names,
        "plugins": frozenset({"enabled"}),
        **filter_sections,
    }
    if storage.bucket is not None:
        known["s3"] = file.shared | bucket.names
    unknown = _unknown_names(file, known, notes, others=others)
    of_sections = (each for read in (options, serving, closing, bucket) for each in read.problems)
    problems = (*file.problems, *unknown, *of_sections)
    complete = replace(
        settings, storage=storage, filters=enabled, serve=serve, closure=closure, notes=tuple(notes)
    )
    return LoadResult(complete, problems)


def _read_bucket(
    settings: schema.StorageSettings, bucket: schema.SectionOptions, mirror: schema.SectionOptions
) -> schema.StorageSettings:
    """Return the settings with those of ``[s3]``, if the mirror is stored in a bucket."""
    if settings.backend is not schema.Backend.S3:
        return settings
    from bandersnatch.config import s3  # noqa: PLC0415 - rarely needed

    return replace(settings, bucket=s3.read_bucket(bucket, mirror, settings.directory))


def _unknown_names(
    file: IniFile, known: Mapping[str, frozenset[str]], notes: list[str], *, others: bool
) -> list[Problem]:
    """Return a problem for each unknown section and option; retired ones go to ``notes``."""
    problems = []
    if "mirror" not in file.sections:
        problems.append(Problem("mirror", "", "the section is missing"))
    for section, options in file.sections.items():
        if section in retired.REFUSED_SECTIONS:
            problems.append(Problem(section, "", retired.REFUSED_SECTIONS[section]))
        elif section in retired.RETIRED_SECTIONS:
            instead = retired.RETIRED_SECTIONS[section]
            notes.append(f"[{section}] has no effect any more: {instead}")
        elif section in retired.RENAMED_SECTIONS:
            problems += retired.renamed_section(file, section, known, notes)
        elif section in known:
            problems += _unknown_options(section, options, known, notes)
        elif section not in schema.UNREAD_SECTIONS:
            message = f"there is no such section{_section_hint(section, known)}"
            if others:
                notes.append(f"[{section}]: {message}; maybe a plugin of an earlier kind reads it")
            else:
                problems.append(Problem(section, "", message))
    return problems


def _section_hint(section: str, known: Mapping[str, frozenset[str]]) -> str:
    from bandersnatch.config import hints  # noqa: PLC0415 - needed only for mistakes

    if section == "filter_project":  # an article about earlier releases names it
        return hints.question(["allowlist", "blocklist"])
    return hints.hint(section, known)


def _unknown_options(
    section: str, options: Iterable[str], known: Mapping[str, frozenset[str]], notes: list[str]
) -> Iterator[Problem]:
    for option in options:
        if (section, option) in retired.RETIRED_OPTIONS:
            instead = retired.RETIRED_OPTIONS[section, option]
            notes.append(f"[{section}] {option} has no effect any more: {instead}")
        elif not {option, ""} & known[section]:
            message = f"there is no such option{_option_hint(section, option, known)}"
            yield Problem(section, option, message)


def _option_hint(section: str, option: str, known: Mapping[str, frozenset[str]]) -> str:
    """Return the hint for an unknown option: a name of its section, else of another one."""
    from bandersnatch.config import hints  # noqa: PLC0415 - needed only for mistakes

    here = hints.hint(option, known[section])
    places = [name for name, names in known.items() if name != section and option in names]
    if here or not places:
        return here
    return f"; it is an option of {' and '.join(f'[{name}]' for name in places)}"


def login_origins(settings: schema.Settings) -> list[str]:
    """Return the origins of the configured hosts that may want a login and have none yet.

    PyPI wants none: what a netrc file has for it is for uploads.
    """
    index = settings.index
    urls = [] if not index.index_url and is_pypi(index.master) else [index.url]
    urls += [settings.files.download_mirror, *(f"https://{host}" for host in index.file_hosts)]
    parts = [urlsplit(url) for url in urls if url]
    origins = dict.fromkeys(f"{each.scheme}://{each.netloc}" for each in parts)
    return [each for each in origins if each not in {login.origin for login in index.logins}]


def _check_master(index: schema.IndexSettings, options: schema.SectionOptions) -> None:
    is_known = bool(index.url) or not options.is_refused("master")
    is_known = is_known and not options.is_refused("index-url")
    if index.workers > MOST_WORKERS_AT_PYPI and is_known and is_pypi(index.url):
        options.refuse("workers", f"PyPI asks for at most {MOST_WORKERS_AT_PYPI}")


def is_pypi(master: str) -> bool:
    """Whether a URL is one of PyPI's, which is the index if there is none."""
    if not master:
        return True
    from distlib.index import DEFAULT_INDEX  # noqa: PLC0415 - slow to import, rarely needed

    return urlsplit(master).hostname == urlsplit(str(DEFAULT_INDEX)).hostname


def _check_passwords(
    file: IniFile, options: schema.SectionOptions, bucket: schema.SectionOptions
) -> None:
    """Refuse passwords in a file that every user of the machine can read."""
    if not file.is_public:
        return
    for option, text in file.sections.get("mirror", {}).items():
        if _PASSWORD.search(_written(file, "mirror", option, text)):
            options.refuse(option, _READABLE.format("a password", file.path))
    secret = "aws_secret_access_key"  # noqa: S105 - the name of an option
    if secret in bucket.names and bucket.is_set(secret):
        text = file.sections["s3"][secret]
        if _written(file, "s3", secret, text).strip():
            bucket.refuse(secret, _READABLE.format("a secret", file.path))


def _written(file: IniFile, section: str, option: str, text: str) -> str:
    """Return a value without what environment variables contain, which is not in the file."""
    return _VARIABLE.sub("", file.unexpanded.get((section, option), text))


def _enabled_filters(file: IniFile, options: schema.SectionOptions) -> schema.FilterSettings:
    enabled = enabled_filters(file)
    if any("," in name for name in enabled):
        message = "write one name on each line, without commas"
        options.problems.append(Problem("plugins", "enabled", message))
        enabled = [name for name in enabled if "," not in name]
    others = {name: dict(texts) for name, texts in file.sections.items() if name != "mirror"}
    return schema.FilterSettings(tuple(enabled), others)
