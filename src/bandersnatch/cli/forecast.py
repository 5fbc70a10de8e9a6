"""A forecast as a table for people."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bandersnatch.cli.text import columns, counted, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bandersnatch.mirror.queries.estimate import Estimate


def table(forecast: Estimate, rate: float | None) -> str:
    """Return the lines that tell a forecast; ``rate`` is in bytes a second."""
    lines = [*_work(forecast, rate), *_disk(forecast)]
    if forecast.filters:
        rows = [
            (name, f"{each.projects:,}", f"{each.dropped.files:,}", size(each.dropped.size))
            for name, each in sorted(forecast.filters.items())
        ]
        lines += ["", *columns([("dropped by", "projects", "files", "size"), *rows])]
    if forecast.largest:
        rows = [(name, *_share(forecast, name), size(whole)) for name, whole in forecast.largest]
        head = ("largest projects", "new files", "to download", "size then")
        lines += ["", *columns([head, *rows])]
    if forecast.files:
        listed = [(path, f"{count:,}") for path, count in sorted(forecast.files)]
        lines += ["", *columns([("files to download", "bytes"), *listed])]
    return "\n".join(lines)


def _share(forecast: Estimate, name: str) -> tuple[str, str]:
    found = forecast.downloads.get(name)  # type: ignore[call-overload]  # a name is a text
    return (f"{found.files:,}", size(found.size)) if found else ("", "")


def _work(forecast: Estimate, rate: float | None) -> Iterator[str]:
    whole = forecast.to_download
    yield (
        f"To download: {counted(whole.files, 'file')} of "
        f"{counted(len(forecast.downloads), 'project')}, {size(whole.size)}"
    )
    if forecast.sidecars:
        yield f"  and {counted(forecast.sidecars, 'core metadata file')} of unknown size"
    if rate is not None:
        taken = timedelta(seconds=max(1, round(forecast.seconds(rate))))
        yield f"Time for that: about {taken} at {size(rate)}/s"
    if forecast.restored.files:
        yield f"To restore from removed/: {counted(forecast.restored.files, 'file')}"
    if forecast.removed.files or forecast.projects_removed:
        yield (
            f"To move to removed/: {counted(forecast.removed.files, 'file')}, "
            f"{size(forecast.removed.size)}"
            f"{_whole_projects(len(forecast.projects_removed))}"
        )


def _whole_projects(count: int) -> str:
    return f", with {counted(count, 'whole project')}" if count else ""


def _disk(forecast: Estimate) -> Iterator[str]:
    yield (
        f"Mirror afterwards: {counted(forecast.projects_after, 'project')}, "
        f"{size(forecast.size_after)} "
        f"(now {size(forecast.size_before)})"
    )
    if forecast.free is not None:
        verdict = "enough" if forecast.fits else "NOT ENOUGH"
        yield f"Free on the disk: {size(forecast.free)}: {verdict}"
