"""What was read of a mirror, as a resolver sees it: releases, and what each of them needs.

Nothing is read here: `MissingData` names what is not in memory, and the caller reads it and asks
again. What follows from pages and core metadata is cached by project, because many questions are
about the same projects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from bandersnatch.closure.choice import is_pin, specifier_set
from bandersnatch.closure.markers import Verdict, evaluate
from bandersnatch.closure.requirements import CoreMetadata, Requirement, parse_requirement
from bandersnatch.closure.targets import Target, Targets, preference
from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.version import Version

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_SHOWN = 100
"""Characters of a requirement in a message."""

Identifier: TypeAlias = "tuple[ProjectName, str]"
"""A project, and an extra of it or ""."""


class Release(Struct, frozen=True, eq=False):
    """A version that a target can install, with the file that an installer takes of it.

    ``is_yanked`` is whether all its files are yanked; ``files`` are all that the target can take.
    """

    project: ProjectName
    version: Version
    file: ReleaseFile
    files: tuple[ReleaseFile, ...]
    is_yanked: bool


class MissingData(Exception):
    """Pages, or core metadata of the files of releases, that are needed and not in memory."""

    def __init__(
        self, *, pages: Iterable[ProjectName] = (), releases: Iterable[Release] = ()
    ) -> None:
        super().__init__()
        self.pages, self.releases = tuple(pages), tuple(releases)


class ResolverRequirement(Struct, frozen=True):
    """A requirement on one project with one extra or none, and whether a marker leaves it open."""

    identifier: Identifier
    requirement: Requirement
    undecided: bool = False


class ReleaseRequirements(Struct, frozen=True):
    """What a release needs with one extra or none.

    ``unknown`` are the reasons why that is not all it may need.
    """

    asked: tuple[ResolverRequirement, ...] = ()
    unknown: tuple[str, ...] = ()


class _ProjectCache(Struct):
    """A cache of what follows from the page and the core metadata of one project.

    ``versions`` are the files by version, the newest first. ``releases`` are those of each target,
    by its name; ``alike`` has the same lists by the files that the target cannot take, because most
    targets share one. The keys of ``satisfying`` are the identity of such a list and specifiers.
    """

    versions: list[tuple[Version, list[ReleaseFile]]] | None = None
    alike: dict[frozenset[str], list[Release]] = {}
    releases: dict[str, list[Release]] = {}
    satisfying: dict[tuple[int, frozenset[str]], list[Release]] = {}
    needed: dict[tuple[str, str, Version], ReleaseRequirements] = {}


@dataclass
class Library:
    """Pages, and what files state; None and texts for what the mirror does not have.

    ``metadata`` has the core metadata of files by their paths, or why it is not known.
    """

    pages: dict[ProjectName, ProjectDetail | None] = field(default_factory=dict)
    metadata: dict[str, CoreMetadata | str] = field(default_factory=dict)
    _caches: dict[ProjectName, _ProjectCache] = field(default_factory=dict)
    _targets: dict[str, Targets] = field(default_factory=dict)

    def _cache_of(self, name: ProjectName) -> _ProjectCache:
        found = self._caches.get(name)
        if found is None:
            found = self._caches[name] = _ProjectCache()
        return found

    def releases(self, name: ProjectName, target: Target) -> list[Release]:
        """Return the releases that a target can install, the newest first.

        :raises MissingData: if the page is not in memory.
        """
        if name not in self.pages:
            raise MissingData(pages=[name])
        cache = self._cache_of(name)
        found = cache.releases.get(target.name)
        if found is None:
            page = self.pages[name]
            found = [] if page is None else self._releases_of(cache, page, target)
            cache.releases[target.name] = found
        return found

    def _releases_of(
        self, cache: _ProjectCache, page: ProjectDetail, target: Target
    ) -> list[Release]:
        if cache.versions is None:
            cache.versions = _by_version(page)
        one = self._targets.get(target.name)
        if one is None:
            one = self._targets[target.name] = Targets([target])
        left_out = frozenset(
            file.filename
            for _, files in cache.versions
            for file in files
            if not one.taking(file.filename, page.name, file.requires_python)
        )
        found = cache.alike.get(left_out)
        if found is None:
            found = list(_releases(page.name, cache.versions, left_out))
            cache.alike[left_out] = found
        return found

    def satisfying(
        self, name: ProjectName, specifiers: frozenset[str], target: Target
    ) -> list[Release]:
        """Return the releases that satisfy all specifiers, the newest first.

        Pre-releases count by PEP 440. Yanked releases count only if a specifier names a version
        exactly and nothing else satisfies it.

        :raises MissingData: if the page is not in memory.
        """
        releases = self.releases(name, target)
        answers, key = self._cache_of(name).satisfying, (id(releases), specifiers)
        found = answers.get(key)
        if found is None:
            found = answers[key] = _satisfying(releases, specifiers)
        return found

    def needed(self, release: Release, extra: str, target: Target) -> ReleaseRequirements:
        """Return what a release needs with an extra, "" for none.

        :raises MissingData: if its core metadata is not in memory.
        """
        answers = self._cache_of(release.project).needed
        key = target.name, extra, release.version
        found = answers.get(key)
        if found is None:
            metadata = self.metadata.get(release.file.path)
            if metadata is None:
                raise MissingData(releases=[release])
            found = answers[key] = _needed_by(release, extra, metadata, target)
        return found

    def reduce(self, most: int, used: Iterable[ProjectName]) -> bool:
        """Forget the projects that were not used for longest; return whether there are any.

        ``used`` are those that were used last. At most ``most`` projects remain.
        """
        for name in used:
            if name in self.pages:
                self.pages[name] = self.pages.pop(name)
        leaving = list(self.pages)[: max(0, len(self.pages) - most)]
        for name in leaving:
            page = self.pages.pop(name)
            self._caches.pop(name, None)
            for file in () if page is None else page.files:
                self.metadata.pop(file.path, None)
        return bool(leaving)


def _by_version(page: ProjectDetail) -> list[tuple[Version, list[ReleaseFile]]]:
    """Return the files of a page by their versions, the newest first."""
    files: dict[Version, list[ReleaseFile]] = {}
    for file, text in zip(page.files, page.version_texts(), strict=True):
        version = parse_version(text)
        if version is not None:
            files.setdefault(version, []).append(file)
    return [(version, files[version]) for version in sorted(files, reverse=True)]


def _releases(
    name: ProjectName,
    versions: Iterable[tuple[Version, list[ReleaseFile]]],
    left_out: frozenset[str],
) -> Iterator[Release]:
    for version, files in versions:
        taken = [file for file in files if file.filename not in left_out]
        if taken:
            best = taken[0] if len(taken) == 1 else max(taken, key=_file_preference)
            is_yanked = all(file.yanked is not None for file in taken)
            yield Release(name, version, best, tuple(taken), is_yanked)


def _file_preference(file: ReleaseFile) -> tuple[bool, tuple[int, ...], str]:
    """Return what an installer prefers: fresh files, then wheels, then the most particular ones."""
    return file.yanked is None, preference(file.filename), file.filename


def _satisfying(releases: Iterable[Release], specifiers: Iterable[str]) -> list[Release]:
    whole = specifier_set(",".join(sorted(filter(None, specifiers))))
    if whole is None:
        return []
    by_version = {each.version: each for each in releases}
    found = list(whole.filter(v for v, each in by_version.items() if not each.is_yanked))
    if not found and any(map(is_pin, specifiers)):
        found = list(whole.filter(by_version))
    return [by_version[version] for version in found]


# ---------------------------------------------------------------- what a release needs


def asked_for(
    requirement: Requirement, *, undecided: bool = False
) -> Iterator[ResolverRequirement]:
    """Yield what a requirement asks for: the project, and each of its extras."""
    yield ResolverRequirement((requirement.name, ""), requirement, undecided)
    for extra in requirement.extras:
        yield ResolverRequirement((requirement.name, extra), requirement, undecided)


def _needed_by(
    release: Release, extra: str, metadata: CoreMetadata | str, target: Target
) -> ReleaseRequirements:
    asked, unknown = list[ResolverRequirement](), list[str]()
    if extra:
        exact = f"==={release.version}"
        name = release.project
        asked.append(ResolverRequirement((name, ""), Requirement(f"{name}{exact}", name, exact)))
    if isinstance(metadata, str):
        return ReleaseRequirements(tuple(asked), (metadata,))
    for text in metadata.requires:
        requirement = parse_requirement(text)
        if requirement is None:
            unknown.append(f"it has a requirement that is not one: {text[:_SHOWN]!a}")
            continue
        verdict = evaluate(requirement.marker, extra, target.variables)
        if verdict is Verdict.NO:
            continue
        if requirement.url:
            unknown.append(f"it needs a file from a URL: {text[:_SHOWN]!a}")
        elif not (extra and verdict is evaluate(requirement.marker, "", target.variables)):
            # otherwise the project without extras needs it too
            asked += asked_for(requirement, undecided=verdict is Verdict.UNDECIDED)
    return ReleaseRequirements(tuple(asked), tuple(unknown))
