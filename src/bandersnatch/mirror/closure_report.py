"""Reports what is missing of the dependencies, and what is not known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.closure import needs as values
from bandersnatch.closure.needs import Shortage, Unmet
from bandersnatch.config.schema import MissingDependencies
from bandersnatch.errors import MissingDependency
from bandersnatch.events import ProjectFailed, Warned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bandersnatch.closure.needs import Dependency, ProjectDependencies, ProjectNeeds
    from bandersnatch.mirror.following import Following
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.names import ProjectName

_SHOWN = 20
"""Messages of one kind in the log; the rest is counted."""

_SHOWN_DEPENDANTS = 3
_SHOWN_CHARACTERS = 120


async def report_closure(mirror: Mirror, following: Following) -> None:
    """Report what is needed and missing, and the requirements that this run could not read.

    What a target needs fails the run, unless ``missing-dependencies`` is ``warn``.
    """
    await following.save_results()
    unmet = {
        name: found
        for name, row in following.rows.items()
        if row.unmet and (found := Unmet.decoded(row.unmet)).shortage in _REPORTED
    }
    fails = mirror.settings.closure.missing is MissingDependencies.FAIL
    for name, dependants in sorted((await mirror.catalogue.dependants(unmet)).items()):
        dependencies = {n: values.decode_dependencies(text) for n, text in dependants.items()}
        text, is_sure = missing_text(name, unmet[name], dependencies)
        if not text:
            continue
        if is_sure and fails:
            mirror.events(ProjectFailed(name, MissingDependency(text), will_retry=True))
        else:
            mirror.events(Warned(text))
    lines = [line for name, note in sorted(following.notes.items()) for line in _notes(name, *note)]
    for line in lines[:_SHOWN]:
        mirror.events(Warned(line))
    if len(lines) > _SHOWN:
        more = len(lines) - _SHOWN
        mirror.events(Warned(f"and {more:,} more remarks about requirements"))


_REPORTED = frozenset({Shortage.ABSENT, Shortage.DROPPED, Shortage.VERSIONS})


def missing_text(
    name: ProjectName, unmet: Unmet, dependants: Mapping[ProjectName, tuple[Dependency, ...]]
) -> tuple[str, bool]:
    """Return a clause that says what is needed and missing, and whether a target needs it."""
    if unmet.shortage is not Shortage.VERSIONS:
        asking = _asking(dependants, None)
        why = "which the index does not have"
        if unmet.shortage is Shortage.DROPPED:
            why = f"which {unmet.by or 'a filter'} drops"
        return _sentence(name, asking, why), any(dependency.sure for _, dependency in asking)
    parts, is_sure = [], False
    for specifier, mask, by in unmet.specifiers:
        asking = [each for each in _asking(dependants, specifier) if each[1].targets & mask]
        why = "of which the index has no such version for each target"
        if by:
            why = f"of which {by} drops every such version"
        if asking:
            parts.append(_sentence(name, asking, why))
            is_sure = is_sure or any(dependency.sure & mask for _, dependency in asking)
    return "; ".join(parts), is_sure


def _asking(
    dependants: Mapping[ProjectName, tuple[Dependency, ...]], specifier: str | None
) -> list[tuple[ProjectName, Dependency]]:
    return [
        (name, dependency)
        for name, dependencies in sorted(dependants.items())
        for dependency in dependencies
        if specifier is None or dependency.specifier == specifier
    ]


def _sentence(name: ProjectName, asking: Iterable[tuple[ProjectName, Dependency]], why: str) -> str:
    named = [
        f"{dependant} {dependency.version} ({shown(dependency.text)})"
        for dependant, dependency in asking
    ]
    more = len(named) - _SHOWN_DEPENDANTS
    text = ", ".join(named[:_SHOWN_DEPENDANTS]) + (f" and {more} more" if more > 0 else "")
    return f"{text} needs {name}, {why}"


def shown(text: str) -> str:
    """Return the text of a requirement as it is shown: printable, and not too long."""
    clean = text if text.isprintable() else ascii(text)[1:-1]
    return clean if len(clean) <= _SHOWN_CHARACTERS else f"{clean[:_SHOWN_CHARACTERS]}..."


def _notes(name: ProjectName, found: ProjectNeeds, judged: ProjectDependencies) -> Iterator[str]:
    """Yield what is unusual about the requirements of a project."""
    for filename, why in found.unknown:
        yield f"the requirements of {name} ({filename}) are not known: {why}"
    for text in judged.unreadable:
        yield f"{name} has a requirement that is not one: {shown(text)}"
    for text in judged.mended:
        yield f"{name} has a requirement that is not of PEP 508, read as meant: {shown(text)}"
    for text in judged.direct:
        yield f"{name} needs a file from a URL, which is not mirrored: {shown(text)}"
