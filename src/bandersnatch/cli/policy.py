"""What a configuration means, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.config.schema import ApiMethod

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bandersnatch.app import Configuration
    from bandersnatch.config.schema import IndexSettings
    from bandersnatch.filters.interface import PageFilter, ProjectFilter


def policy(configuration: Configuration, path: str) -> str:
    """Return the effective policy: what is followed, where it goes, and the filters in order."""
    settings, filters = configuration.settings, configuration.filters
    pages = settings.pages
    lines = [
        f"{path} can be used.",
        "",
        f"Index:   {settings.index.master or 'PyPI'}, {_followed(settings.index)}",
        f"Mirror:  {settings.storage.directory}",
        f"Pages:   {', '.join(form.file_name for form in pages.formats)}",
        f"Files:   {'downloaded' if settings.files.release_files else 'not downloaded'}",
        "",
    ]
    finite = filters.finite_names
    if not filters.projects:
        lines.append("Projects: all that the index has. No filter chooses among them.")
    elif finite is None:
        lines.append("Projects, by name (each filter must keep a project):")
    else:
        lines.append(f"Projects, by name (at most {len(finite):,} can be selected):")
    lines += _described(filters.projects)
    lines += ["", "Files and versions, in this order:" if filters.pages else "Files: all."]
    lines += _described(filters.in_order_of_stages())
    lines += [f"Note: {note}" for note in settings.notes]
    return "\n".join(lines)


def _followed(index: IndexSettings) -> str:
    how = {
        ApiMethod.AUTO: "by its changelog, or by its listing if it has none",
        ApiMethod.XMLRPC: "by its changelog",
        ApiMethod.SIMPLE: "by its listing",
    }
    return how[index.api_method]


def _described(filters: Iterable[ProjectFilter | PageFilter]) -> Iterator[str]:
    for number, each in enumerate(filters, start=1):
        first, *others = each.describe() or ("what its own documentation says",)
        yield f"  {number}. {each.name}: {first}"
        yield from (f"     {' ' * len(each.name)}  {sentence}" for sentence in others)
