"""What the files of a project need, and what follows from it for each needed project.

A *context* is the extra that a project is needed with, "" for none, and the targets that need it.
Sets of targets are numbers, as in `targets.Targets`.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from msgspec import MsgspecError, Struct, json, structs

from bandersnatch.closure.markers import extras_of
from bandersnatch.closure.requirements import Requirement, parse_requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bandersnatch.closure.targets import Targets
    from bandersnatch.model.names import ProjectName


class RequirementList(Struct, frozen=True, array_like=True):
    """What some files of a project state.

    ``requires`` are the texts of requirements and ``extras`` the extras that the files provide.
    ``files`` are the names of the files, each with the ``Requires-Python`` of its page, and
    ``version`` is the newest of their versions. ``is_build`` is for the requirements to build
    source distributions.
    """

    requires: tuple[str, ...]
    extras: tuple[str, ...]
    files: tuple[tuple[str, str | None], ...]
    version: str
    is_build: bool = False


class ProjectNeeds(Struct, frozen=True, array_like=True):
    """What all kept files of a project state; ``unknown`` has the files without, and why."""

    lists: tuple[RequirementList, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()

    def encoded(self) -> str:
        """Return the text that the catalogue stores."""
        return json.encode(self).decode()

    @classmethod
    def decoded(cls, text: str) -> ProjectNeeds:
        """Return what a text of ``encoded`` stands for; nothing for one that is damaged."""
        try:
            return _NEEDS.decode(text)
        except MsgspecError:
            return cls()


class Dependency(Struct, frozen=True, array_like=True):
    """One requirement of a project on another, as far as it matters to targets.

    ``targets`` are those for which it may hold, ``sure`` those for which it does. ``text`` is the
    requirement as it is written in the metadata of ``version`` of the dependant.
    """

    specifier: str
    extras: tuple[str, ...]
    targets: int
    sure: int
    text: str
    version: str


_NEEDS = json.Decoder(ProjectNeeds)
_DEPENDENCIES = json.Decoder(tuple[Dependency, ...])

Contexts: TypeAlias = "Mapping[str, int]"
"""The targets that need a project, by the extra that they need it with."""

Dependencies: TypeAlias = "Mapping[ProjectName, tuple[Dependency, ...]]"
"""What one project asks for, by the needed project; or what is asked of one, by its dependant."""


class ProjectDependencies(Struct, frozen=True):
    """What follows from the requirements of a project.

    ``unreadable`` are the texts that are not requirements, ``mended`` those that were read in spite
    of a mistake, and ``direct`` those that name a URL.
    """

    dependencies: dict[ProjectName, tuple[Dependency, ...]]
    unreadable: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    direct: tuple[str, ...] = ()


def judge_needs(
    name: ProjectName, needs: ProjectNeeds, contexts: Contexts, targets: Targets
) -> ProjectDependencies:
    """Return what a project asks for in its contexts.

    What it asks of itself, ``foo[all]`` of ``foo[one]``, adds to its contexts.
    """
    found: dict[ProjectName, dict[tuple[str, tuple[str, ...]], Dependency]] = {}
    unreadable: dict[str, None] = {}
    mended: dict[str, None] = {}
    direct: dict[str, None] = {}
    stated = list(_stated(name, needs, targets, unreadable))
    contexts = _with_own(name, stated, contexts, targets)
    for requirement, taking, version in stated:
        if requirement.mended:
            mended[requirement.text] = None
        possible, sure = _holding(requirement, contexts, taking, targets)
        if possible and requirement.url:
            direct[requirement.text] = None
        elif possible and requirement.name != name:
            dependencies = found.setdefault(requirement.name, {})
            _add(dependencies, requirement, possible, sure, version)
    by_name = {
        needed: tuple(sorted(by_key.values(), key=_order)) for needed, by_key in found.items()
    }
    return ProjectDependencies(by_name, tuple(unreadable), tuple(mended), tuple(direct))


def _stated(
    name: ProjectName, needs: ProjectNeeds, targets: Targets, unreadable: dict[str, None]
) -> Iterator[tuple[Requirement, int, str]]:
    """Yield each requirement with the targets that take a file which states it, and the version.

    Texts that are not requirements are added to ``unreadable``.
    """
    for each in needs.lists:
        taking = 0
        for filename, requires_python in each.files:
            taking |= targets.taking(filename, name, requires_python)
        for text in each.requires:
            requirement = parse_requirement(text)
            if requirement is None:
                unreadable[text] = None
            else:
                yield requirement, taking, each.version


def _with_own(
    name: ProjectName,
    stated: Iterable[tuple[Requirement, int, str]],
    contexts: Contexts,
    targets: Targets,
) -> dict[str, int]:
    """Return the contexts with those that the requirements of a project on itself add.

    Each extra is looked at again only if more targets need it, so that long chains and rings of
    extras cost no more than their length.
    """
    extended = dict(contexts)
    own: dict[str, list[tuple[Requirement, int]]] = {}
    for requirement, taking, _ in stated:
        if requirement.name == name and requirement.extras:
            for extra in ("", *extras_of(requirement.marker)):
                own.setdefault(extra, []).append((requirement, taking))
    queue = deque(extended) if own else deque()
    while queue:
        extra = queue.popleft()
        for requirement, taking in own.get(extra, ()):
            holding = targets.admitting(requirement.marker, extra)[1] & taking & extended[extra]
            for each in ("", *requirement.extras):
                if holding & ~extended.get(each, 0):
                    extended[each] = extended.get(each, 0) | holding
                    queue.append(each)
    return dict(sorted(extended.items()))


def _holding(
    requirement: Requirement, contexts: Contexts, taking: int, targets: Targets
) -> tuple[int, int]:
    """Return the targets for which a requirement may hold, and those for which it does."""
    possible = sure = 0
    # Without the extras that its marker names it holds as it does without an extra.
    named = extras_of(requirement.marker) if "" in contexts else contexts
    for extra in ("", *named):
        mask = contexts.get(extra, 0)
        if mask:
            certainly, maybe = targets.admitting(requirement.marker, extra)
            possible |= maybe & mask
            sure |= certainly & mask
    return possible & taking, sure & taking


def _add(
    found: dict[tuple[str, tuple[str, ...]], Dependency],
    requirement: Requirement,
    possible: int,
    sure: int,
    version: str,
) -> None:
    """Add an ask, or the targets of an equal one; the first text, of the newest version, stays."""
    key = requirement.specifier, requirement.extras
    known = found.get(key)
    if known is None:
        found[key] = Dependency(*key, possible, sure, requirement.text, version)
    else:
        found[key] = structs.replace(
            known, targets=known.targets | possible, sure=known.sure | sure
        )


def _order(dependency: Dependency) -> tuple[str, tuple[str, ...]]:
    return dependency.specifier, dependency.extras


def encode_dependencies(dependencies: Iterable[Dependency]) -> str:
    """Return the text that the catalogue stores of what one project asks of another."""
    return json.encode(tuple(dependencies)).decode()


def decode_dependencies(text: str) -> tuple[Dependency, ...]:
    """Return what a text of ``encode_asks`` stands for; nothing for one that is damaged."""
    try:
        return _DEPENDENCIES.decode(text)
    except MsgspecError:
        return ()


def contexts_of(
    incoming: Iterable[Dependency], *, root: Contexts, follows_extras: bool
) -> dict[str, int]:
    """Return the contexts of a project: those of a root, and those that dependants ask for."""
    contexts = dict(root)
    for dependency in incoming:
        contexts[""] = contexts.get("", 0) | dependency.targets
        for extra in dependency.extras if follows_extras else ():
            contexts[extra] = contexts.get(extra, 0) | dependency.targets
    return dict(sorted(contexts.items()))


def encode_contexts(contexts: Contexts) -> str:
    """Return contexts as a text that is equal for equal contexts."""
    return " ".join(f"{extra}:{mask:x}" for extra, mask in sorted(contexts.items()))


class Shortage(StrEnum):
    """Why the mirror lacks something that is asked of a project."""

    NONE = ""
    PENDING = "pending"
    """The project is not synced yet."""
    ABSENT = "absent"
    """The index does not have the project."""
    DROPPED = "dropped"
    """A filter drops the project."""
    VERSIONS = "versions"
    """No version that is kept satisfies a requirement."""
    LIMITED = "limited"
    """A limit of the closure keeps the project out."""


class Unmet(Struct, frozen=True, array_like=True):
    """What the mirror lacks of a followed project.

    ``by`` is the filter that drops the project. ``specifiers`` are those that are not satisfied,
    each with the targets in which that is so, and the filter that drops a version that would
    satisfy it, "" if the index has none.
    """

    shortage: Shortage = Shortage.NONE
    by: str = ""
    specifiers: tuple[tuple[str, int, str], ...] = ()

    def encoded(self) -> str:
        """Return the text that the catalogue stores, "" for nothing."""
        return json.encode(self).decode() if self.shortage else ""

    @classmethod
    def decoded(cls, text: str) -> Unmet:
        """Return what a text of ``encoded`` stands for; nothing for one that is damaged."""
        try:
            return _UNMET.decode(text) if text else cls()
        except MsgspecError:
            return cls()


_UNMET = json.Decoder(Unmet)


def dependencies_digest(incoming: Iterable[Dependency]) -> str:
    """Return a digest of what is asked of a project; it does not depend on who asks."""
    by_specifier: dict[str, int] = {}
    for dependency in incoming:
        by_specifier[dependency.specifier] = (
            by_specifier.get(dependency.specifier, 0) | dependency.targets
        )
    text = "\n".join(f"{specifier} {mask:x}" for specifier, mask in sorted(by_specifier.items()))
    return sha256(text.encode()).hexdigest()[:16]
