"""Loads a configuration file: its options, its filters, and what they need."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from bandersnatch.config.ini import ListFiles, read_ini
from bandersnatch.config.load import enabled_filters, load_settings, login_origins
from bandersnatch.errors import ConfigError, InvalidRules, OptionError, Problem
from bandersnatch.filters.options import FilterOptions
from bandersnatch.filters.plugins.providers import Found
from bandersnatch.filters.registry import ALL, BUILT_IN, SECTIONS, build_chain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bandersnatch.config.catalogue import CatalogueSettings
    from bandersnatch.config.schema import Settings
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.model.wheels import Environment


class Configuration(Struct, frozen=True):
    """A valid configuration; ``environments`` are those that are declared."""

    settings: Settings
    filters: FilterChain
    environments: tuple[Environment, ...] = ()


def load(path: Path, now: datetime | None = None) -> Configuration:
    """Load a configuration file; ``now`` is the time for filters by age, by default the current.

    :raises FileNotFoundError: if the file does not exist.
    :raises ConfigError: with all problems of the file.
    """
    file = read_ini(path, os.environ)
    names = [name for name in enabled_filters(file) if name not in BUILT_IN and name != ALL]
    plugins = _load_plugins(names)
    sections = {**SECTIONS, **{each.name: frozenset({""}) for each in plugins.providers}}
    others = any(each.reads_anything for each in plugins.providers)
    loaded = load_settings(file, sections, others=others)
    moment = now if now is not None else datetime.now(UTC)
    options = FilterOptions(
        sections=file.sections,
        path=file.path,
        numbers=file.numbers,
        files=ListFiles(),
        now=int(moment.timestamp()),
    )
    used = {"environments"} if loaded.settings.closure.follow else set[str]()
    built = build_chain(loaded.settings.filters.enabled, options, plugins, used=used)
    settings, credential_problems = _with_credentials(loaded.settings, os.environ)
    environments, unusable = _environments(options)
    missing = _missing_extras(settings)
    if loaded.problems or built.problems or credential_problems or unusable or missing:
        refused = {(each.section, each.option) for each in file.problems}
        of_filters = [each for each in built.problems if each[:2] not in refused]
        of_filters += [each for each in unusable if each not in of_filters]
        problems = [*loaded.problems, *missing, *credential_problems, *of_filters]
        raise ConfigError(file.path, problems)
    notes = (*settings.notes, *built.notes)
    return Configuration(structs.replace(settings, notes=notes), built.chain, environments)


def _environments(
    options: FilterOptions,
) -> tuple[tuple[Environment, ...], list[Problem]]:
    """Return the declared environments, and what is wrong in them."""
    if not options.sections.get("environments"):
        return (), []
    from bandersnatch.filters.builtin.environments import declared  # noqa: PLC0415 - as needed

    try:
        return declared(options), []
    except InvalidRules as error:
        return (), list(error.problems)


def _missing_extras(settings: Settings) -> list[Problem]:
    """Return a problem for each option that needs a library which is not installed."""
    problems = []
    if settings.storage.bucket is not None and find_spec("obstore") is None:
        why = "it needs the library obstore; run: pip install 'bandersnatch[s3]'"
        problems.append(Problem("mirror", "storage-backend", f"'s3' is not installed: {why}"))
    if settings.catalogue is not None and (why := catalogue_problem(settings.catalogue)):
        problems.append(Problem("mirror", "catalogue", why))
    if settings.cluster.enabled and not _has_cluster():
        why = "it needs the library procrastinate; run: pip install 'bandersnatch[cluster]'"
        problems.append(Problem("mirror", "cluster", why))
    return problems


def _has_cluster() -> bool:
    return all(find_spec(name) is not None for name in ("procrastinate", "psycopg_pool"))


def catalogue_problem(settings: CatalogueSettings) -> str:
    """Return why a catalogue in PostgreSQL cannot be used, as far as known here; else ""."""
    try:
        from bandersnatch.catalogue.postgres.failures import url_problem  # noqa: PLC0415 - as needed
    except ImportError:  # also if there is psycopg without libpq
        library = "'bandersnatch[postgres]'"
        return f"it needs the library psycopg, with libpq; run: pip install {library}"
    return url_problem(settings)


def _with_credentials(
    settings: Settings, environment: Mapping[str, str]
) -> tuple[Settings, list[Problem]]:
    """Return the settings with the logins of a netrc file, and the problems of credentials."""
    problems: list[Problem] = []
    if settings.index.tls.is_set:
        from bandersnatch.index.tls import certificate_problems  # noqa: PLC0415 - as needed

        problems += certificate_problems(settings.index.tls)
    if not settings.index.netrc:
        return settings, problems
    from bandersnatch.config.netrc import netrc_path, read_logins  # noqa: PLC0415 - as needed

    origins = login_origins(settings)
    try:
        path = netrc_path(environment)
        logins = read_logins(path, origins)
    except OptionError as error:
        return settings, [*problems, Problem("mirror", "netrc", str(error))]
    index = structs.replace(settings.index, logins=(*settings.index.logins, *logins))
    notes = settings.notes
    if not logins:
        note = f"{path} has no entry for {', '.join(origins)}"
        pypi = "PyPI needs no user name, and no other host is configured"
        notes = (*notes, f"[mirror] netrc: {note if origins else pypi}")
    return structs.replace(settings, index=index, notes=notes), problems


def _load_plugins(names: list[str]) -> Found:
    if not names:
        return Found()
    from bandersnatch.filters.plugins.installed import provided  # noqa: PLC0415 - as needed

    return provided(names)
