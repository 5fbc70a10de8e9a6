"""Proves that the mirror alone can install what is asked for, in every target.

Only the mirror's own pages are read, and the core metadata that the catalogue remembers or that is
stored beside a file. No wheel is opened, nothing is built, and the index is not asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.catalogue.records import CatalogueUpdate, Marker
from bandersnatch.closure.choice import allowed
from bandersnatch.closure.markers import Verdict, judge
from bandersnatch.closure.needs import ProjectNeeds
from bandersnatch.closure.requirements import CoreMetadata, Requirement, parse_requirement
from bandersnatch.closure.resolver import Library, Resolution, Wanted, resolve
from bandersnatch.closure.targets import Targets
from bandersnatch.filters.following import FollowingChain
from bandersnatch.mirror.page import read_own_page
from bandersnatch.mirror.proofs import RememberedProof, Verdicts
from bandersnatch.mirror.requirements import RequirementReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from bandersnatch.closure.lock import LockEntry
    from bandersnatch.closure.resolver import Conflict, Release
    from bandersnatch.closure.targets import Target
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_SHOWN = 8


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
    verdict: Verdicts
    lines: tuple[str, ...] = ()
    resolution: Resolution | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the proof as an object of ``prove --json``."""
        pins = self.resolution.pins if self.resolution is not None else {}
        return {
            "question": self.label,
            "target": self.target.name,
            "result": self.verdict.value,
            "reasons": list(self.lines),
            "pins": {name: str(each.version) for name, each in pins.items()},
        }


class Prover:
    """Answers questions about a mirror; what it has read is kept for the next question."""

    def __init__(self, mirror: Mirror, targets: Sequence[Target]) -> None:
        self._mirror = mirror
        self._now = mirror.clock.now()
        self._targets = Targets(targets)
        self._library = Library()
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
        return [await self._prove(question, each) for each in self._targets.targets]

    async def _prove(self, question: Question, target: Target) -> Proof:
        await self._prefetch(question.requirements, target)
        while True:
            try:
                found = await asyncio.to_thread(
                    resolve, question.requirements, self._library, target
                )
            except Wanted as wanted:
                for name in wanted.pages:
                    await self._load_page(name)
                for file in wanted.files:
                    await self._load_metadata(file, wanted.project)
            else:
                return self._judged(question, target, found)

    # ------------------------------------------------------------ reading

    async def _load_page(self, name: ProjectName) -> None:
        pages = self._mirror.settings.pages.layout
        record = await self._mirror.catalogue.project(name)
        page = None
        if record is None or record.is_published:
            page = await read_own_page(self._mirror.storage, pages, name, self._now)
        self._library.pages[name] = page
        row = (await self._mirror.catalogue.requirements([name])).get(name)
        if page is not None and row is not None:
            self._library.metadata |= _remembered(page, ProjectNeeds.decoded(row.needs))

    async def _load_metadata(self, file: ReleaseFile, name: ProjectName) -> None:
        if file.path not in self._library.metadata:
            found = await self._reader.metadata_of(file, name)
            self._library.metadata[file.path] = found

    async def _prefetch(self, requirements: Iterable[Requirement], target: Target) -> None:
        """Read what the newest versions need, so that the search is seldom interrupted."""
        queue = deque(requirements)
        seen: set[tuple[str, str, tuple[str, ...]]] = set()
        while queue:
            asked = queue.popleft()
            key = asked.name, asked.specifier, asked.extras
            if key in seen:
                continue
            seen.add(key)
            if asked.name not in self._library.pages:
                await self._load_page(asked.name)
            release = self._newest(asked, target)
            if release is None:
                continue
            await self._load_metadata(release.file, asked.name)
            metadata = self._library.metadata[release.file.path]
            if isinstance(metadata, CoreMetadata):
                queue += _needed(metadata, asked.extras, target)

    def _newest(self, asked: Requirement, target: Target) -> Release | None:
        releases = self._library.releases(asked.name, target)
        by_version = {each.version: each for each in releases if not each.is_yanked}
        found = allowed(asked.specifier, list(by_version))
        return by_version[found[0]] if found else None

    # ------------------------------------------------------------ words

    def _judged(self, question: Question, target: Target, found: Resolution) -> Proof:
        lines: list[str] = []
        verdict = Verdicts.PASSED
        if found.gave_up:
            verdict, lines = (
                Verdicts.UNPROVED,
                ["the search was given up, because it took too long"],
            )
        elif found.conflicts:
            verdict, lines = Verdicts.FAILED, list(self._conflict(found.conflicts, target))
        elif found.unknown or found.undecided:
            verdict = Verdicts.UNPROVED
            lines = [f"{filename}: {why}" for filename, why in found.unknown[:_SHOWN]]
            lines += [
                f"the target does not decide whether this holds: {each}"
                for each in found.undecided[:_SHOWN]
            ]
        return Proof(question.label, target, verdict, tuple(lines), found)

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
        for entry in entries:
            if entry.name not in self._library.pages:
                await self._load_page(entry.name)
        return [self._locked(label, entries, each) for each in self._targets.targets]

    def _locked(self, label: str, entries: Sequence[LockEntry], target: Target) -> Proof:
        lines = [
            line
            for entry in entries
            if judge(entry.marker, "", target.variables) is not Verdict.NO
            for line in self._missing(entry, target)
        ]
        verdict = Verdicts.FAILED if lines else Verdicts.PASSED
        return Proof(label, target, verdict, tuple(lines))

    def _missing(self, entry: LockEntry, target: Target) -> Iterable[str]:
        one = Targets([target])
        usable = [
            each
            for each in entry.files
            if not each.filename or one.taking(each.filename, entry.name, None)
        ]
        page = self._library.pages[entry.name]
        if not usable:
            return
        if page is None:
            yield f"{entry.name} {entry.version}: the mirror does not have the project"
            return
        stored = {digest for file in page.files for digest in file.hashes}
        if not any(each.digest in stored for each in usable):
            names = ", ".join(each.filename or str(each.digest) for each in usable[:_SHOWN])
            yield f"{entry.name} {entry.version}: the mirror has none of {names}"


def _remembered(page: ProjectDetail, needs: ProjectNeeds) -> dict[str, CoreMetadata | str]:
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


def _needed(metadata: CoreMetadata, extras: Sequence[str], target: Target) -> Iterable[Requirement]:
    """Yield what a file needs without extras, and with some."""
    for text in metadata.requires:
        requirement = parse_requirement(text)
        if requirement is None or requirement.url:
            continue
        if any(
            judge(requirement.marker, extra, target.variables) is not Verdict.NO
            for extra in ("", *extras)
        ):
            yield requirement


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


def together(questions: Sequence[Question], label: str) -> Question:
    """Return one question for several: that all are installed in one environment."""
    return Question(label, tuple(each for found in questions for each in found.requirements))


# ---------------------------------------------------------------- what is remembered


def summed(proofs: Sequence[Proof], now: datetime) -> RememberedProof:
    """Return the number of answers of each kind."""
    count = dict.fromkeys(Verdicts, 0)
    for proof in proofs:
        count[proof.verdict] += 1
    return RememberedProof(
        int(now.timestamp()),
        count[Verdicts.PASSED],
        count[Verdicts.FAILED],
        count[Verdicts.UNPROVED],
    )


async def remember(mirror: Mirror, proof: RememberedProof) -> None:
    """Store the result of a proof of the whole selection, for ``status``."""
    await mirror.catalogue.commit(CatalogueUpdate(markers={Marker.PROOF: proof.as_text()}))
