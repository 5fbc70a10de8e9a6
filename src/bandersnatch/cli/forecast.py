"""A forecast as a table for people."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bandersnatch.cli.summary import size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bandersnatch.mirror.queries.estimate import Estimate


def table(forecast: Estimate, rate: float | None) -> str:
    """Return the lines that tell a forecast; ``rate`` is in bytes a second."""
    lines = [*_work(forecast, rate), *_disk(forecast)]
    if forecast.rules:
        rows = [
            (name, f"{each.projects:,}", f"{each.kept_out.files:,}", size(each.kept_out.size))
            for name, each in sorted(forecast.rules.items())
        ]
        lines += ["", *columns([("kept out by", "projects", "files", "size"), *rows])]
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
        small = counted(forecast.sidecars, "small file")
        yield f"  and {small} of core metadata, whose sizes nobody tells"
    if rate is not None:
        taken = timedelta(seconds=max(1, round(forecast.seconds(rate))))
        yield f"Time for that: about {taken} at {size(rate)}/s"
    if forecast.restored.files:
        yield f"To bring back out of removed/: {counted(forecast.restored.files, 'file')}"
    if forecast.removed.files or forecast.projects_removed:
        yield (
            f"To move to removed/: {counted(forecast.removed.files, 'file')}, "
            f"{size(forecast.removed.size)}"
            f"{_whole_projects(len(forecast.projects_removed))}"
        )


def _whole_projects(count: int) -> str:
    return f", with {counted(count, 'whole project')}" if count else ""


def counted(count: int, what: str) -> str:
    """Return a number with what it counts, in the singular or the plural."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _disk(forecast: Estimate) -> Iterator[str]:
    yield (
        f"Mirror afterwards: {counted(forecast.projects_after, 'project')}, "
        f"{size(forecast.size_after)} "
        f"(now {size(forecast.size_before)})"
    )
    if forecast.free is not None:
        verdict = "enough" if forecast.fits else "NOT ENOUGH"
        yield f"Free on the disk: {size(forecast.free)}: {verdict}"


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the rows with their columns aligned, all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        aligned = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *aligned]).rstrip()
