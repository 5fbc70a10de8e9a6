"""Resolves requirements exactly for one target, over pages and core metadata in memory.

`resolvelib` searches; this module says what the candidates are and what they need. The rules are
those of installers: the newest version first, pre-releases by PEP 440, a yanked version only where
it is pinned. Nothing is fetched here: what is not in memory is named by `Wanted`, and the caller
fetches it and asks again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct
from packaging.specifiers import SpecifierSet
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, Resolver
from resolvelib.resolvers import ResolutionTooDeep

from bandersnatch.closure.choice import is_pin, specifier_set
from bandersnatch.closure.markers import Verdict, judge
from bandersnatch.closure.requirements import CoreMetadata, Requirement, parse_requirement
from bandersnatch.closure.targets import Target, Targets, preference
from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from packaging.version import Version
    from resolvelib.structs import RequirementInformation

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

MAX_ROUNDS = 200_000
"""Steps of one resolution; real ones take a few for each project."""

Identifier: TypeAlias = "tuple[ProjectName, str]"
"""A project, and an extra of it or ""."""


class Wanted(Exception):
    """A page, or core metadata of files of a project, that is needed and not in memory."""

    def __init__(
        self,
        project: ProjectName,
        *,
        pages: Iterable[ProjectName] = (),
        files: Iterable[ReleaseFile] = (),
    ) -> None:
        super().__init__()
        self.project, self.pages, self.files = project, tuple(pages), tuple(files)


class Release(Struct, frozen=True, eq=False):
    """A version that a target can install, with the file that an installer takes of it.

    ``is_yanked`` is whether all its files are yanked; ``files`` are all that the target can take.
    """

    project: ProjectName
    version: Version
    file: ReleaseFile
    files: tuple[ReleaseFile, ...]
    is_yanked: bool


@dataclass
class Library:
    """What was read of the mirror: pages, and what files state; None and texts for what is not.

    ``metadata`` has the core metadata of files by their paths, or why it is not known.
    """

    pages: dict[ProjectName, ProjectDetail | None] = field(default_factory=dict)
    metadata: dict[str, CoreMetadata | str] = field(default_factory=dict)
    _releases: dict[tuple[ProjectName, str], list[Release]] = field(default_factory=dict)

    def releases(self, name: ProjectName, target: Target) -> list[Release]:
        """Return the releases that a target can install, the newest first.

        :raises Wanted: if the page is not in memory.
        """
        if name not in self.pages:
            raise Wanted(name, pages=[name])
        key = name, target.name
        if key not in self._releases:
            page = self.pages[name]
            self._releases[key] = [] if page is None else _releases_of(page, target)
        return self._releases[key]


def _releases_of(page: ProjectDetail, target: Target) -> list[Release]:
    targets = Targets([target])
    files: dict[Version, list[ReleaseFile]] = {}
    for file, text in zip(page.files, page.version_texts(), strict=True):
        version = parse_version(text)
        if version is not None and targets.taking(file.filename, page.name, file.requires_python):
            files.setdefault(version, []).append(file)
    return [
        Release(
            page.name,
            version,
            max(files[version], key=_file_preference),
            tuple(files[version]),
            all(file.yanked is not None for file in files[version]),
        )
        for version in sorted(files, reverse=True)
    ]


class Asked(Struct, frozen=True):
    """A requirement on one project with one extra or none, and whether a marker leaves it open."""

    identifier: Identifier
    requirement: Requirement
    undecided: bool = False


class Candidate(Struct, frozen=True):
    """A version of a project with one extra or none."""

    identifier: Identifier
    release: Release


class Conflict(Struct, frozen=True):
    """A requirement that takes part in a conflict, and who states it, "" for the question."""

    requirement: Requirement
    by: str


class Resolution(Struct, frozen=True):
    """The answer to one question in one target.

    ``pins`` are the chosen releases by project, empty if there is a conflict. ``conflicts`` are the
    requirements that contradict each other or that nothing satisfies. ``unknown`` are the chosen
    files whose requirements are not known, each with the reason. ``undecided`` are the requirements
    whose markers the target does not decide. ``needs`` are the chosen projects that each needs.
    """

    target: Target
    pins: dict[ProjectName, Release]
    conflicts: tuple[Conflict, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()
    undecided: tuple[str, ...] = ()
    needs: dict[ProjectName, tuple[ProjectName, ...]] = {}
    gave_up: bool = False


class _Provider(AbstractProvider[Asked, Candidate, Identifier]):
    def __init__(self, library: Library, target: Target, *, undecided: bool) -> None:
        self._library = library
        self._target = target
        self._undecided = undecided
        self._dependencies: dict[tuple[Identifier, Version], list[Asked]] = {}

    # ------------------------------------------------------------ what resolvelib asks

    def identify(self, requirement_or_candidate: Asked | Candidate) -> Identifier:
        return requirement_or_candidate.identifier

    def get_preference(
        self,
        identifier: Identifier,
        resolutions: Mapping[Identifier, Candidate],
        candidates: Mapping[Identifier, Iterator[Candidate]],
        information: Mapping[Identifier, Iterator[RequirementInformation[Asked, Candidate]]],
        backtrack_causes: Sequence[RequirementInformation[Asked, Candidate]],
    ) -> tuple[bool, bool, bool, str, str]:
        """Return what is resolved first: causes of a conflict, pins, restricted projects."""
        del resolutions, candidates
        asked = [each.requirement.requirement for each in information[identifier]]
        is_cause = any(
            identifier[0] == each.requirement.identifier[0]
            or (each.parent is not None and identifier[0] == each.parent.identifier[0])
            for each in backtrack_causes
        )
        is_pinned = any(is_pin(each.specifier) for each in asked)
        is_free = not any(each.specifier for each in asked)
        return not is_cause, not is_pinned, is_free, *identifier

    def find_matches(
        self,
        identifier: Identifier,
        requirements: Mapping[Identifier, Iterator[Asked]],
        incompatibilities: Mapping[Identifier, Iterator[Candidate]],
    ) -> list[Candidate]:
        """Return the releases that satisfy all requirements, the newest first."""
        name = identifier[0]
        texts = {each.requirement.specifier for each in requirements[identifier]}
        excluded = {each.release.version for each in incompatibilities[identifier]}
        # What is asked of the project with other extras counts too: there is one version of it.
        for other, asked in requirements.items():
            if other[0] == name and other != identifier:
                texts |= {each.requirement.specifier for each in asked}
        return [
            Candidate(identifier, each)
            for each in self._satisfying(name, texts)
            if each.version not in excluded
        ]

    def is_satisfied_by(self, requirement: Asked, candidate: Candidate) -> bool:
        parsed = specifier_set(requirement.requirement.specifier)
        # Whether pre-releases are allowed was decided when the candidates were found.
        return parsed is not None and parsed.contains(candidate.release.version, prereleases=True)

    def get_dependencies(self, candidate: Candidate) -> list[Asked]:
        key = candidate.identifier, candidate.release.version
        if key not in self._dependencies:
            self._dependencies[key] = list(self._needed_by(candidate))
        return self._dependencies[key]

    # ------------------------------------------------------------ what is in memory

    def _satisfying(self, name: ProjectName, texts: Iterable[str]) -> list[Release]:
        whole = SpecifierSet()
        pinned = False
        for text in texts:
            parsed = specifier_set(text)
            if parsed is None:
                return []
            whole &= parsed
            pinned = pinned or is_pin(text)
        releases = self._library.releases(name, self._target)
        fresh = {each.version: each for each in releases if not each.is_yanked}
        found = list(whole.filter(fresh))
        if found or not pinned:
            return [fresh[version] for version in found]
        by_version = {each.version: each for each in releases}
        return [by_version[version] for version in whole.filter(by_version)]

    def metadata(self, release: Release) -> CoreMetadata | str:
        """Return what the file of a release states, or why that is not known.

        :raises Wanted: if it is not in memory.
        """
        found = self._library.metadata.get(release.file.path)
        if found is None:
            raise Wanted(release.project, files=[release.file])
        return found

    def _needed_by(self, candidate: Candidate) -> Iterator[Asked]:
        (name, extra), release = candidate.identifier, candidate.release
        if extra:
            exact = f"==={release.version}"
            text = f"{name}{exact}"
            yield Asked((name, ""), Requirement(text, name, exact))
        metadata = self.metadata(release)
        if isinstance(metadata, str):
            return
        for text in metadata.requires:
            requirement = parse_requirement(text)
            if requirement is None or requirement.url:
                continue
            verdict = judge(requirement.marker, extra, self._target.variables)
            if extra and verdict is judge(requirement.marker, "", self._target.variables):
                continue  # the project without extras needs it too
            if verdict is Verdict.YES or (verdict is Verdict.UNDECIDED and self._undecided):
                yield from asked_for(requirement, undecided=verdict is Verdict.UNDECIDED)

    def unknown(self, chosen: Iterable[Candidate]) -> Iterator[tuple[str, str]]:
        """Yield the chosen files whose requirements are not known, or not of the index, and why."""
        for each in chosen:
            file, metadata = each.release.file, self.metadata(each.release)
            if isinstance(metadata, str):
                yield file.filename, metadata
                continue
            for text in metadata.requires:
                requirement = parse_requirement(text)
                if requirement is None:
                    yield file.filename, f"it has a requirement that is not one: {text[:100]!a}"
                elif requirement.url and self._holds(requirement, each.identifier[1]):
                    yield file.filename, f"it needs a file from a URL: {text[:100]!a}"

    def _holds(self, requirement: Requirement, extra: str) -> bool:
        return judge(requirement.marker, extra, self._target.variables) is not Verdict.NO


def _file_preference(file: ReleaseFile) -> tuple[bool, tuple[int, ...], str]:
    """Return what an installer prefers: fresh files, then wheels, then the most particular ones."""
    return file.yanked is None, preference(file.filename), file.filename


def asked_for(requirement: Requirement, *, undecided: bool = False) -> Iterator[Asked]:
    """Yield what a requirement asks for: the project, and each of its extras."""
    yield Asked((requirement.name, ""), requirement, undecided)
    for extra in requirement.extras:
        yield Asked((requirement.name, extra), requirement, undecided)


def resolve(requirements: Sequence[Requirement], library: Library, target: Target) -> Resolution:
    """Return the answer for some requirements in one target.

    Requirements whose markers the target does not decide are included. If that is impossible, they
    are left out, and the answer says that they are undecided.

    :raises Wanted: if a page or core metadata is not in memory.
    """
    whole = _resolve(requirements, library, target, undecided=True)
    if not whole.conflicts or not any(_is_undecided(each, target) for each in whole.conflicts):
        return whole
    without = _resolve(requirements, library, target, undecided=False)
    if without.conflicts:
        return without
    texts = tuple(dict.fromkeys(each.requirement.text for each in whole.conflicts))
    return Resolution(
        target, without.pins, unknown=without.unknown, undecided=texts, needs=without.needs
    )


def _is_undecided(conflict: Conflict, target: Target) -> bool:
    marker = conflict.requirement.marker
    return judge(marker, "", target.variables) is Verdict.UNDECIDED


def _resolve(
    requirements: Sequence[Requirement], library: Library, target: Target, *, undecided: bool
) -> Resolution:
    provider = _Provider(library, target, undecided=undecided)
    asked: list[Asked] = []
    for each in requirements:
        verdict = judge(each.marker, "", target.variables)
        if verdict is Verdict.YES or (verdict is Verdict.UNDECIDED and undecided):
            asked += asked_for(each, undecided=verdict is Verdict.UNDECIDED)
    resolver: Resolver[Asked, Candidate, Identifier] = Resolver(provider, BaseReporter())
    try:
        result = resolver.resolve(asked, max_rounds=MAX_ROUNDS)
    except ResolutionImpossible as error:
        return Resolution(target, {}, conflicts=_conflicts(error.causes))
    except ResolutionTooDeep:
        return Resolution(target, {}, gave_up=True)
    pins = {name: each.release for (name, _), each in sorted(result.mapping.items())}
    needs: dict[ProjectName, set[ProjectName]] = {name: set() for name in pins}
    for parent in result.mapping.values():
        for needed in provider.get_dependencies(parent):
            needs[parent.identifier[0]].add(needed.identifier[0])
    unknown = dict(provider.unknown(result.mapping.values()))
    ordered = {name: tuple(sorted(found - {name})) for name, found in needs.items()}
    return Resolution(target, pins, unknown=tuple(sorted(unknown.items())), needs=ordered)


def _conflicts(
    causes: Iterable[RequirementInformation[Asked, Candidate]],
) -> tuple[Conflict, ...]:
    found = {}
    for each in causes:
        by = ""
        if each.parent is not None:
            name, extra = each.parent.identifier
            shown = f"{name}[{extra}]" if extra else name
            by = f"{shown} {each.parent.release.version}"
        conflict = Conflict(each.requirement.requirement, by)
        found[conflict.requirement.text, by] = conflict
    return tuple(found[key] for key in sorted(found))
