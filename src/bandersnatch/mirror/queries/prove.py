"""Proves that the mirror alone can install what is asked for, in every target.

Only the mirror's own pages are read, and the core metadata that the catalogue remembers or that is
stored beside a file. No wheel is opened, nothing is built, and the index is not asked.
"""

from __future__ import annotations

import asyncio
from threading import Event
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.catalogue.records import CatalogueUpdate, Marker
from bandersnatch.closure.library import Library, MissingData
from bandersnatch.closure.markers import Verdict, evaluate
from bandersnatch.closure.needs import ProjectNeeds
from bandersnatch.closure.requirements import CoreMetadata, Requirement
from bandersnatch.closure.resolver import Resolution, resolve
from bandersnatch.closure.targets import Targets
from bandersnatch.filters.following import FollowingChain
from bandersnatch.mirror.page import read_own_page
from bandersnatch.mirror.proofs import ProofResult, RememberedProof
from bandersnatch.mirror.requirements import RequirementReader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from bandersnatch.closure.lockfile import LockEntry
    from bandersnatch.closure.resolver import Conflict
    from bandersnatch.closure.targets import Target
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_SHOWN = 8
"""Things of one kind that a line names."""

_SHOWN_CHARACTERS = 60

_SECONDS = 120.0
"""How long one search takes at most; nearly all take milliseconds."""

_MOST_PROJECTS = 1_500
"""Projects whose pages are kept from one question to the next."""


class Question(Struct, frozen=True):
    """Requirements that are to be installed together; ``label`` names them."""

    label: str
    requirements: tuple[Requirement, ...]


class Proof(Struct, frozen=True):
    """The answer to one question in one target.

    ``lines`` say what is wrong, or what is not known, and what to do about it. ``resolution`` is
    None for a lock file.
    """

    label: str
    target: Target
    result: ProofResult
    lines: tuple[str, ...] = ()
    resolution: Resolution | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the proof as an object of ``prove --json``."""
        pins = self.resolution.pins if self.resolution is not None else {}
        return {
            "question": self.label,
            "target": self.target.name,
            "result": self.result.value,
            "reasons": list(self.lines),
            "pins": {name: str(each.version) for name, each in pins.items()},
        }


class Prover:
    """Answers questions about a mirror; what it has read is kept for the next question."""

    def __init__(
        self,
        mirror: Mirror,
        targets: Sequence[Target],
        *,
        seconds: float = _SECONDS,
        most: int = _MOST_PROJECTS,
    ) -> None:
        """Assign the mirror.

        A search is given up after so many ``seconds``. Of at most ``most`` projects the pages are
        kept from one question to the next.
        """
        self._mirror = mirror
        self._now = mirror.clock.now()
        self._targets = Targets(targets)
        self._seconds = seconds
        self._most = most
        self._library = Library()
        self._read_of: dict[ProjectName, int] = {}
        self._reader = RequirementReader(
            mirror.storage,
            mirror.index,
            self._targets,
            workers=1,
            builds=False,
            may_ask=False,
            opens_wheels=False,
        )

    async def prove(self, question: Question) -> list[Proof]:
        """Return the answers for all targets."""
        proofs = [await self._prove(question, each) for each in self._targets.targets]
        used = {
            name: None
            for proof in proofs
            for name in (proof.resolution.needs if proof.resolution is not None else ())
        }
        if self._library.reduce(self._most, used):
            self._read_of.clear()
        return proofs

    async def _prove(self, question: Question, target: Target) -> Proof:
        left = self._seconds
        while True:
            began = self._mirror.clock.monotonic()
            try:
                found = await self._resolve(question, target, began + left)
            except MissingData as missing:
                left -= self._mirror.clock.monotonic() - began
                await self._read(missing, target)
            else:
                return self._proof(question, target, found)

    async def _resolve(self, question: Question, target: Target, end: float) -> Resolution:
        """Resolve in a thread, which ends when the time is over or the task is cancelled."""
        is_cancelled, monotonic = Event(), self._mirror.clock.monotonic

        def is_over() -> bool:
            return is_cancelled.is_set() or monotonic() > end

        try:
            return await asyncio.to_thread(
                resolve, question.requirements, self._library, target, is_over
            )
        finally:
            is_cancelled.set()

    # ------------------------------------------------------------ reading

    async def _read(self, missing: MissingData, target: Target) -> None:
        """Read what is missing, and of releases twice as many of their projects each time."""
        await self._load_pages([n for n in missing.pages if n not in self._library.pages])
        for release in missing.releases:
            name = release.project
            count = self._read_of[name] = 2 * self._read_of.get(name, 0) or 1
            releases = self._library.releases(name, target)
            first = releases.index(release)
            for each in releases[first : first + count]:
                await self._load_metadata(each.file, name)

    async def _load_pages(self, names: Collection[ProjectName]) -> None:
        """Read pages, and what the catalogue remembers of their files."""
        if not names:
            return
        pages, catalogue = self._mirror.settings.pages.layout, self._mirror.catalogue
        summaries, rows = await catalogue.summaries(names), await catalogue.requirements(names)
        for name in names:
            page = None
            if name not in summaries or summaries[name].is_published:
                page = await read_own_page(self._mirror.storage, pages, name, self._now)
            self._library.pages[name] = page
            if page is not None and name in rows:
                self._library.metadata |= _recorded_metadata(
                    page, ProjectNeeds.decoded(rows[name].needs)
                )

    async def _load_metadata(self, file: ReleaseFile, name: ProjectName) -> None:
        if file.path not in self._library.metadata:
            found = await self._reader.metadata_of(file, name)
            self._library.metadata[file.path] = found

    # ------------------------------------------------------------ words

    def _proof(self, question: Question, target: Target, found: Resolution) -> Proof:
        lines: list[str] = []
        result = ProofResult.PASSED
        if found.gave_up:
            result, lines = (
                ProofResult.UNPROVED,
                [f"the search was given up: no answer was found in {self._seconds:.0f} s"],
            )
        elif found.conflicts:
            result, lines = ProofResult.FAILED, list(self._conflict(found.conflicts, target))
        elif found.unknown or found.undecided:
            result = ProofResult.UNPROVED
            lines = [f"{filename}: {why}" for filename, why in found.unknown[:_SHOWN]]
            lines += [
                f"the target does not decide whether this holds: {each}"
                for each in found.undecided[:_SHOWN]
            ]
        return Proof(question.label, target, result, tuple(lines), found)

    def _conflict(self, conflicts: Sequence[Conflict], target: Target) -> Iterable[str]:
        """Yield the chain of a conflict, and what to add."""
        for name in dict.fromkeys(each.requirement.name for each in conflicts):
            asking = [each for each in conflicts if each.requirement.name == name]
            wanted = " and ".join(
                f"{each.requirement.text!r} (wanted by {each.by or 'the question'})"
                for each in asking
            )
            page = self._library.pages.get(name)
            releases = self._library.releases(name, target)
            versions = ", ".join(str(each.version) for each in releases[:_SHOWN])
            specifiers = ",".join(filter(None, (each.requirement.specifier for each in asking)))
            if page is None:
                yield f"{wanted}: the mirror does not have {name}"
                yield f"add {name} to the allowlist, or set follow = true in [closure]"
            elif not releases:
                yield f"{wanted}: no file of {name} can be installed in {target.name}"
                yield f"add a release of {name} with a file for it, or change [environments]"
            elif len(asking) == 1 or not _can_agree(asking):
                yield f"{wanted}: the mirror has {name} {versions}"
                yield f"add a version of {name} that satisfies {specifiers or 'it'}"
            else:
                yield f"{wanted} cannot be satisfied together: the mirror has {name} {versions}"
                yield (
                    f"add a version of {name} that satisfies {specifiers}, or other versions of "
                    f"{', '.join(sorted({each.by for each in asking if each.by})) or name}"
                )

    # ------------------------------------------------------------ lock files

    async def prove_lock(self, label: str, entries: Sequence[LockEntry]) -> list[Proof]:
        """Return for each target whether the mirror has a file of each entry, by its digest."""
        names = dict.fromkeys(entry.name for entry in entries)
        await self._load_pages([name for name in names if name not in self._library.pages])
        return [self._prove_lock_in(each, label, entries) for each in self._targets.targets]

    def _prove_lock_in(self, target: Target, label: str, entries: Sequence[LockEntry]) -> Proof:
        wanted = [
            each
            for each in entries
            if evaluate(each.marker, "", target.variables) is not Verdict.NO
        ]
        missing = [line for each in wanted for line in self._missing(each, target)]
        unknown = [f"{_shown(each)}: {each.unknown}" for each in wanted if each.unknown]
        result = ProofResult.PASSED
        if missing or unknown:
            result = ProofResult.FAILED if missing else ProofResult.UNPROVED
        return Proof(label, target, result, (*missing, *unknown))

    def _missing(self, entry: LockEntry, target: Target) -> Iterable[str]:
        """Yield what the mirror lacks of an entry; nothing if no file of it is for the target."""
        one = Targets([target])
        usable = [
            each
            for each in entry.files
            if not each.filename or one.taking(each.filename, entry.name, None)
        ]
        page = self._library.pages[entry.name]
        if entry.unknown or not usable:
            return
        if page is None:
            yield f"{_shown(entry)}: the mirror does not have the project"
            return
        stored = {digest for file in page.files for digest in file.hashes}
        if not any(each.digest in stored for each in usable):
            names = ", ".join(each.filename or str(each.digest) for each in usable[:_SHOWN])
            yield f"{_shown(entry)}: the mirror has none of {names}"


def _shown(entry: LockEntry) -> str:
    """Return the name and the version of an entry, which may be any text."""
    return f"{entry.name} {entry.version[:_SHOWN_CHARACTERS]}".rstrip()


def _recorded_metadata(page: ProjectDetail, needs: ProjectNeeds) -> dict[str, CoreMetadata | str]:
    """Return what the catalogue remembers of the files of a page, by their paths."""
    paths = {file.filename: file.path for file in page.files}
    found: dict[str, CoreMetadata | str] = {
        paths[filename]: why for filename, why in needs.unknown if filename in paths
    }
    for each in needs.lists:
        if not each.is_build:
            stated = CoreMetadata(each.requires, each.extras)
            found |= {paths[name]: stated for name, _ in each.files if name in paths}
    return found


def _can_agree(asking: Sequence[Conflict]) -> bool:
    return len({each.requirement.specifier for each in asking}) > 1


# ---------------------------------------------------------------- what is asked


async def whole_selection(mirror: Mirror) -> list[Question]:
    """Return a question for each project that is selected by name, or that is published.

    Projects that were synced by name, and those that others need, are not selected.
    """
    chain = mirror.filters.roots if isinstance(mirror.filters, FollowingChain) else mirror.filters
    names: Iterable[ProjectName] | None = chain.finite_names
    if names is None:
        summaries = await mirror.catalogue.summaries(None)
        names = [n for n, each in summaries.items() if each.is_published and chain.may_select(n)]
    questions = []
    for name in sorted(names):
        extras = sorted({extra for each in chain.projects for extra in each.extras(name)})
        text = f"{name}[{','.join(extras)}]" if extras else name
        questions.append(Question(text, (Requirement(text, name, extras=tuple(extras)),)))
    return questions


def combine(questions: Sequence[Question], label: str) -> Question:
    """Return one question for several: that all are installed in one environment."""
    return Question(label, tuple(each for found in questions for each in found.requirements))


# ---------------------------------------------------------------- what is remembered


def summarize(proofs: Sequence[Proof], now: datetime) -> RememberedProof:
    """Return the number of answers of each kind."""
    count = dict.fromkeys(ProofResult, 0)
    for proof in proofs:
        count[proof.result] += 1
    return RememberedProof(
        int(now.timestamp()),
        count[ProofResult.PASSED],
        count[ProofResult.FAILED],
        count[ProofResult.UNPROVED],
    )


async def remember(mirror: Mirror, proof: RememberedProof) -> None:
    """Store the result of a proof of the whole selection, for ``status``."""
    await mirror.catalogue.commit(CatalogueUpdate(markers={Marker.PROOF: proof.as_text()}))
