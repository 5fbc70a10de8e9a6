"""Resolves requirements exactly for one target, over pages and core metadata in memory.

The rules are those of installers: the newest version first, pre-releases by PEP 440, a yanked
version only where it is pinned. First the newest release of each project is chosen that the
requirements allow which are known by then. Where these choices do not contradict each other, as is
nearly always so, they are the answer; otherwise `resolvelib` searches.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible
from resolvelib.resolvers import Resolution as Search
from resolvelib.resolvers import ResolutionTooDeep

from bandersnatch.closure.choice import is_pin, specifier_set
from bandersnatch.closure.library import (
    Identifier,
    MissingData,
    Release,
    ResolverRequirement,
    asked_for,
)
from bandersnatch.closure.markers import Verdict, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from resolvelib.structs import RequirementInformation

    from bandersnatch.closure.library import Library
    from bandersnatch.closure.requirements import Requirement
    from bandersnatch.closure.targets import Target
    from bandersnatch.model.names import ProjectName

MAX_ROUNDS = 200_000
"""Steps of one search; real ones take a few for each project."""


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
    ``gave_up`` is whether the search was ended before it found an answer.
    """

    target: Target
    pins: dict[ProjectName, Release]
    conflicts: tuple[Conflict, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()
    undecided: tuple[str, ...] = ()
    needs: dict[ProjectName, tuple[ProjectName, ...]] = {}
    gave_up: bool = False


def _never() -> bool:
    return False


def resolve(
    requirements: Sequence[Requirement],
    library: Library,
    target: Target,
    is_over: Callable[[], bool] = _never,
) -> Resolution:
    """Return the answer for some requirements in one target.

    Requirements whose markers the target does not decide are included. If that is impossible, they
    are left out, and the answer says that they are undecided. The search is given up as soon as
    ``is_over`` returns True.

    :raises MissingData: if pages or core metadata are not in memory.
    """
    question = _Question(library, target, is_over)
    whole = question.answer(requirements, undecided=True)
    if not whole.conflicts or not any(_is_undecided(each, target) for each in whole.conflicts):
        return whole
    without = question.answer(requirements, undecided=False)
    if without.conflicts or without.gave_up:
        return without
    texts = tuple(dict.fromkeys(each.requirement.text for each in whole.conflicts))
    return Resolution(
        target, without.pins, unknown=without.unknown, undecided=texts, needs=without.needs
    )


def _is_undecided(conflict: Conflict, target: Target) -> bool:
    marker = conflict.requirement.marker
    return evaluate(marker, "", target.variables) is Verdict.UNDECIDED


class _Question(Struct, frozen=True):
    """What is resolved with: what was read, for which target, and until when."""

    library: Library
    target: Target
    is_over: Callable[[], bool]

    def answer(self, requirements: Iterable[Requirement], *, undecided: bool) -> Resolution:
        """Return the answer with or without the requirements that the target does not decide."""
        asked: list[ResolverRequirement] = []
        for each in requirements:
            verdict = evaluate(each.marker, "", self.target.variables)
            if verdict is Verdict.YES or (verdict is Verdict.UNDECIDED and undecided):
                asked += asked_for(each, undecided=verdict is Verdict.UNDECIDED)
        chosen = _newest(asked, self, undecided=undecided)
        if chosen is not None:
            return self._found(asked, chosen, undecided=undecided)
        provider = _Provider(self, undecided=undecided)
        search: Search[ResolverRequirement, Candidate, Identifier] = Search(
            provider, _Watch(self.is_over)
        )
        try:
            state = search.resolve(asked, max_rounds=MAX_ROUNDS)
        except ResolutionImpossible as error:
            return Resolution(self.target, {}, conflicts=_conflicts(error.causes))
        except (ResolutionTooDeep, _GivenUp):
            return Resolution(self.target, {}, gave_up=True)
        found = {identifier: each.release for identifier, each in state.mapping.items()}
        return self._found(asked, found, undecided=undecided)

    def needed(
        self, identifier: Identifier, release: Release, *, undecided: bool
    ) -> Sequence[ResolverRequirement]:
        """Return what a release needs with an extra or without one.

        :raises MissingData: if its core metadata is not in memory.
        """
        asked = self.library.needed(release, identifier[1], self.target).asked
        return asked if undecided else [each for each in asked if not each.undecided]

    def _found(
        self,
        asked: Iterable[ResolverRequirement],
        chosen: Mapping[Identifier, Release],
        *,
        undecided: bool,
    ) -> Resolution:
        """Return the answer with the chosen releases that are still needed."""
        needs: dict[ProjectName, set[ProjectName]] = {}
        unknown: dict[str, str] = {}
        queue = deque(dict.fromkeys(each.identifier for each in asked))
        seen = set(queue)
        while queue:
            identifier = queue.popleft()
            name, release = identifier[0], chosen[identifier]
            found = needs.setdefault(name, set())
            for why in self.library.needed(release, identifier[1], self.target).unknown:
                unknown.setdefault(release.file.filename, why)
            for each in self.needed(identifier, release, undecided=undecided):
                found.add(each.identifier[0])
                if each.identifier not in seen:
                    seen.add(each.identifier)
                    queue.append(each.identifier)
        return Resolution(
            self.target,
            {name: chosen[name, ""] for name in sorted(needs)},
            unknown=tuple(sorted(unknown.items())),
            needs={name: tuple(sorted(found - {name})) for name, found in needs.items()},
        )


# ---------------------------------------------------------------- without a search


def _newest(
    asked: Iterable[ResolverRequirement], question: _Question, *, undecided: bool
) -> dict[Identifier, Release] | None:
    """Return the newest release of everything that is needed, None if they contradict each other.

    :raises MissingData: with everything that is not in memory and that what is in memory needs.
    """
    choice = _Choice(question, asked)
    pages: dict[ProjectName, None] = {}
    releases: list[Release] = []
    is_satisfied = True
    while (identifier := choice.take()) is not None:
        try:
            release = choice.pin(identifier[0])
            if release is None:
                is_satisfied = False
                continue
            choice.add(question.needed(identifier, release, undecided=undecided))
            choice.found[identifier] = release
        except MissingData as missing:
            pages |= dict.fromkeys(missing.pages)
            releases += missing.releases
    if pages or releases:
        raise MissingData(pages=pages, releases=releases)
    return choice.found if is_satisfied and choice.is_consistent() else None


class _Choice:
    """The releases that are chosen one after the other; none is taken back."""

    def __init__(self, question: _Question, asked: Iterable[ResolverRequirement]) -> None:
        self.found: dict[Identifier, Release] = {}
        self._question = question
        self._specifiers: dict[ProjectName, set[str]] = {}
        self._pins: dict[ProjectName, Release] = {}
        self._restricted: deque[Identifier] = deque()
        self._free: deque[Identifier] = deque()
        self._seen: set[Identifier] = set()
        self.add(asked)

    def add(self, asked: Iterable[ResolverRequirement]) -> None:
        """Add requirements."""
        for each in asked:
            name, specifier = each.identifier[0], each.requirement.specifier
            self._specifiers.setdefault(name, set()).add(specifier)
            if each.identifier not in self._seen:
                self._seen.add(each.identifier)
                (self._restricted if specifier else self._free).append(each.identifier)

    def take(self) -> Identifier | None:
        """Return what is chosen next, None at the end: projects with a specifier come first."""
        if self._restricted:
            return self._restricted.popleft()
        return self._free.popleft() if self._free else None

    def pin(self, name: ProjectName) -> Release | None:
        """Return the release of a project, None if nothing satisfies what is known by now.

        :raises MissingData: if its page is not in memory.
        """
        if name not in self._pins:
            found = self._satisfying(name)
            if not found:
                return None
            self._pins[name] = found[0]
        return self._pins[name]

    def is_consistent(self) -> bool:
        """Whether each release is the first that satisfies all that is asked of its project."""
        return all(self._satisfying(name)[:1] == [each] for name, each in self._pins.items())

    def _satisfying(self, name: ProjectName) -> list[Release]:
        library, target = self._question.library, self._question.target
        return library.satisfying(name, frozenset(self._specifiers[name]), target)


# ---------------------------------------------------------------- with a search


class _GivenUp(Exception):
    """The search takes too long, or its caller has ended."""


class _Watch(BaseReporter["ResolverRequirement", "Candidate", "Identifier"]):
    """Ends the search; one round may try very many releases, so each step counts."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over = is_over

    def starting_round(self, index: int) -> None:
        del index
        self._check()

    def adding_requirement(
        self, requirement: ResolverRequirement, parent: Candidate | None
    ) -> None:
        del requirement, parent
        self._check()

    def _check(self) -> None:
        if self._is_over():
            raise _GivenUp


class _Provider(AbstractProvider["ResolverRequirement", "Candidate", "Identifier"]):
    """Says what the candidates are and what they need."""

    def __init__(self, question: _Question, *, undecided: bool) -> None:
        self._question = question
        self._undecided = undecided
        self._extras: dict[ProjectName, set[str]] = {}

    def identify(self, requirement_or_candidate: ResolverRequirement | Candidate) -> Identifier:
        return requirement_or_candidate.identifier

    def get_preference(
        self,
        identifier: Identifier,
        resolutions: Mapping[Identifier, Candidate],
        candidates: Mapping[Identifier, Iterator[Candidate]],
        information: Mapping[
            Identifier, Iterator[RequirementInformation[ResolverRequirement, Candidate]]
        ],
        backtrack_causes: Sequence[RequirementInformation[ResolverRequirement, Candidate]],
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
        requirements: Mapping[Identifier, Iterator[ResolverRequirement]],
        incompatibilities: Mapping[Identifier, Iterator[Candidate]],
    ) -> list[Candidate]:
        """Return the releases that satisfy all requirements, the newest first."""
        name = identifier[0]
        excluded = {each.release.version for each in incompatibilities[identifier]}
        # What is asked of the project with other extras counts too: there is one version of it.
        extras = self._extras.setdefault(name, set())
        extras.add(identifier[1])
        specifiers = frozenset(
            each.requirement.specifier
            for extra in extras
            if extra == identifier[1] or (name, extra) in requirements
            for each in requirements[name, extra]
        )
        library, target = self._question.library, self._question.target
        return [
            Candidate(identifier, each)
            for each in library.satisfying(name, specifiers, target)
            if each.version not in excluded
        ]

    def is_satisfied_by(self, requirement: ResolverRequirement, candidate: Candidate) -> bool:
        parsed = specifier_set(requirement.requirement.specifier)
        # Whether pre-releases are allowed was decided when the candidates were found.
        return parsed is not None and parsed.contains(candidate.release.version, prereleases=True)

    def get_dependencies(self, candidate: Candidate) -> Sequence[ResolverRequirement]:
        return self._question.needed(
            candidate.identifier, candidate.release, undecided=self._undecided
        )


def _conflicts(
    causes: Iterable[RequirementInformation[ResolverRequirement, Candidate]],
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
