"""``config check``: checks the configuration and describes what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import add_global_flags
from bandersnatch.cli.text import one_line, size
from bandersnatch.errors import shown_url

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable, Iterator

    from bandersnatch.app import Configuration
    from bandersnatch.cli.session import Session
    from bandersnatch.config.catalogue import CatalogueSettings
    from bandersnatch.config.schema import IndexSettings, StorageSettings
    from bandersnatch.filters.interface import PageFilter, ProjectFilter
    from bandersnatch.storage.check import DiskReport, StorageReport


def add_arguments(parser: ArgumentParser) -> None:
    """Add the parts of ``config``."""
    parts = parser.add_subparsers(dest="part", metavar="check", required=True)
    text = "check the configuration and describe what it means"
    check = parts.add_parser("check", help=text, description=text, add_help=False)
    add_global_flags(check, default=False)
    check.add_argument(
        "--online", action="store_true", help="also ask the index whether it can be mirrored"
    )


async def run(session: Session) -> int:
    """Run ``config check``; main has loaded the configuration already."""
    from bandersnatch.app import check_storage
    from bandersnatch.cli.exit_codes import ExitCode

    configuration = session.configuration
    storage = check_storage(configuration.settings)
    code = session.answer(describe_config(configuration, str(session.arguments.config), storage))
    if not code and session.arguments.online:
        code = session.answer("\n".join(await _ask_index(session)))
    return code or (ExitCode.STORAGE if storage.problems else ExitCode.OK)


async def _ask_index(session: Session) -> list[str]:
    """Return what the index says.

    :raises UpstreamError: if no mirror can be made from it.
    """
    from bandersnatch.app import open_index
    from bandersnatch.cli.log import EventLog
    from bandersnatch.mirror.index_check import check_index

    configuration = session.configuration
    async with open_index(configuration, EventLog(session.logger), session.clock) as index:
        finite = configuration.filters.finite_names
        found = await check_index(index, configuration.settings.index, finite)
    return [f"The index: {sentence}" for sentence in found]


def describe_config(configuration: Configuration, path: str, storage: StorageReport) -> str:
    """Return what a configuration means: index, mirror, pages, and the filters in order."""
    settings, filters = configuration.settings, configuration.filters
    index = shown_url(settings.index.url, has_path=False) or "PyPI"
    lines = [
        f"{path} can be used.",
        "",
        f"Index:   {index}, {_changes(settings.index)}",
        f"Mirror:  {settings.storage.directory}",
        *_describe_bucket(settings.storage),
        *_describe_catalogue(settings.catalogue),
        *map(_describe_disk, storage.disks),
        f"Pages:   {', '.join(form.file_name for form in settings.pages.formats)}",
        f"Files:   {'downloaded' if settings.files.release_files else 'not downloaded'}",
        "",
    ]
    finite = filters.finite_names
    if not filters.projects:
        lines.append("Projects: all that the index has. No filter selects among them.")
    elif finite is None:
        lines.append("Projects, by name (each filter must keep a project):")
    else:
        lines.append(f"Projects, by name (at most {len(finite):,} can be selected):")
    lines += _descriptions(filters.projects)
    lines += ["", "Files and versions, in this order:" if filters.pages else "Files: all."]
    lines += _descriptions(filters.in_order_of_stages())
    lines += _closure(configuration)
    lines += [f"Note: {note}" for note in settings.notes]
    lines += [f"Problem: {one_line(str(problem))}" for problem in storage.problems]
    return "\n".join(lines)


def _closure(configuration: Configuration) -> Iterator[str]:
    """Yield what is followed, and for which targets."""
    closure = configuration.settings.closure
    if not closure.follow:
        return
    from bandersnatch.closure.targets import NEWEST_SERIES, open_ranges, targets_of

    targets = targets_of(configuration.environments)
    yield ""
    yield "Dependencies of the selected projects are followed, for these targets:"
    yield from (f"  {each.name}" for each in targets)
    if names := open_ranges(configuration.environments):
        newest = f"Python {NEWEST_SERIES[0]}.{NEWEST_SERIES[1]}"
        yield f"  The ranges of {', '.join(names)} reach {newest}, the newest that is known."
    yield f"  Versions: {closure.versions.value}; extras: {closure.extras.value}"


def _describe_bucket(settings: StorageSettings) -> Iterator[str]:
    """Yield where the objects of a mirror in a bucket are, and where its local state is."""
    if settings.bucket is not None:
        yield f"Bucket:  {settings.bucket.bucket}, at {settings.bucket.endpoint or 'Amazon'}"
        yield f"State:   {settings.state_directory}"


def _describe_catalogue(settings: CatalogueSettings | None) -> Iterator[str]:
    """Yield where the catalogue is, if it is in a database."""
    if settings is not None:
        yield f"Catalogue: {settings.shown}, schema {settings.schema}"


def _describe_disk(disk: DiskReport) -> str:
    """Return a line about a disk: what is on it, and the space that a run may use."""
    what = f"of {disk.place} at {disk.path}" if disk.place else "of the mirror"
    usable = max(0, disk.free - disk.floor)
    verdict = size(usable) if usable else f"none, as min-free-space keeps {size(disk.floor)}"
    return one_line(f"Disk:    {what}: {size(disk.free)} free, usable: {verdict}")


def _changes(index: IndexSettings) -> str:
    from bandersnatch.config.schema import ApiMethod

    texts = {
        ApiMethod.AUTO: "by its changelog, or by its project list if it has none",
        ApiMethod.XMLRPC: "by its changelog",
        ApiMethod.SIMPLE: "by its project list",
    }
    return texts[index.api_method]


def _descriptions(filters: Iterable[ProjectFilter | PageFilter]) -> Iterator[str]:
    for number, each in enumerate(filters, start=1):
        first, *others = each.describe() or ("described in its own documentation",)
        yield f"  {number}. {each.name}: {first}"
        yield from (f"     {' ' * len(each.name)}  {sentence}" for sentence in others)
