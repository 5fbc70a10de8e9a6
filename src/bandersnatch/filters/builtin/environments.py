"""``target_environments``: keep what some declared environment can install."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from bandersnatch.errors import SHOWN_CHARACTERS, InvalidRules, Problem
from bandersnatch.filters.builtin.declared import declared
from bandersnatch.filters.builtin.platforms import nearest
from bandersnatch.filters.chain import PageFilter, Stage
from bandersnatch.model.filenames import FileKind, build_info, wheel_tag_text, wheel_tags
from bandersnatch.model.versions import parse_version, version_key

if TYPE_CHECKING:
    from bandersnatch.filters.options import FilterOptions, Origin
    from bandersnatch.model.environments import Environment
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.model.versions import VersionKey

_OWN_SECTION, _OPTION = "target_environments", "sdists"


class Sdists(Enum):
    """What becomes of source distributions."""

    KEEP = "keep"
    DROP = "drop"
    WHEN_NO_WHEEL = "when-no-wheel"


_SDIST_WORDS = {
    Sdists.KEEP: "keep every source distribution",
    Sdists.DROP: "drop every source distribution",
    Sdists.WHEN_NO_WHEEL: (
        "keep the source distributions of the versions that have no wheel for one of the "
        "environments, where a wheel for any of its Pythons and platforms counts"
    ),
}


@dataclass(frozen=True, slots=True)
class Targets:
    """The declared environments, and the policy for source distributions with its origin.

    Of a wheel the answer is the set of the environments that can install it, by their places.
    """

    environments: tuple[Environment, ...]
    sdists: Sdists
    origin: Origin

    def narrow(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with what one of the environments can install."""
        wheels = self._wheels(page)
        served = self._served(page, wheels) if self.sdists is Sdists.WHEN_NO_WHEEL else frozenset()
        drops = self.sdists is Sdists.DROP

        def wanted(file: ReleaseFile) -> bool:
            if file.filename in wheels:
                return bool(wheels[file.filename])
            if drops or build_info(file.filename, page.name).kind is not FileKind.SDIST:
                return False
            return not served or version_key(page.version_of(file)) not in served

        return page.keep(wanted)

    def _wheels(self, page: ProjectDetail) -> dict[str, frozenset[int]]:
        """Return who can install each wheel of a page, by its name.

        What pip takes for a wheel has a version by PEP 440.
        """
        answers: dict[tuple[str, str | None], frozenset[int]] = {}
        wheels = {}
        for file in page.files:
            part = wheel_tag_text(file.filename)
            if part is None or parse_version(page.version_of(file)) is None:
                continue
            asked = part, file.requires_python
            if asked not in answers:
                answers[asked] = self._installing(*asked)
            wheels[file.filename] = answers[asked]
        return wheels

    def _installing(self, part: str, requires_python: str | None) -> frozenset[int]:
        tags = wheel_tags(part)
        return frozenset(
            place
            for place, environment in enumerate(self.environments)
            if environment.installs(tags, requires_python)
        )

    def _served(
        self, page: ProjectDetail, wheels: dict[str, frozenset[int]]
    ) -> frozenset[VersionKey]:
        """Return the versions that every environment has a wheel of."""
        found: dict[VersionKey, frozenset[int]] = {}
        for file in page.files:
            places = wheels.get(file.filename)
            if places:
                key = version_key(page.version_of(file))
                found[key] = found.get(key, frozenset()) | places
        every = len(self.environments)
        return frozenset(key for key, places in found.items() if len(places) == every)

    def because(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return why a file is dropped."""
        if file is None:
            return ""
        part = wheel_tag_text(file.filename)
        if part is not None and parse_version(page.version_of(file)) is not None:
            return self._of_wheel(part, file.requires_python)
        kind = build_info(file.filename, page.name).kind
        if kind is FileKind.WHEEL:
            return "no environment can install it: its name is not that of a wheel"
        if kind is not FileKind.SDIST:
            return f"no environment can install it: it is {kind.value}, and pip takes none"
        if self.sdists is Sdists.DROP:
            return f"it is a source distribution, and sdists = {self.origin}"
        version = page.version_of(file)
        return f"every declared environment has a wheel of {version}, and sdists = {self.origin}"

    def _of_wheel(self, part: str, requires_python: str | None) -> str:
        if not self._installing(part, None):
            return f"no declared environment can install it: its tags are {part}"
        requires = (requires_python or "")[:SHOWN_CHARACTERS]
        return (
            f"no declared environment can install it: it requires Python {requires!r}, and its "
            f"tags are {part}"
        )

    @property
    def terms(self) -> str:
        """A text that changes whenever what is kept may, and not with names and order."""
        environments = sorted({each.terms for each in self.environments})
        return f"target_environments {self.sdists.value}: {'; '.join(environments)}"

    @property
    def words(self) -> tuple[str, ...]:
        """What it does, a sentence for each environment and one for source distributions."""
        return (
            *(f"keep the wheels that {e.name} can install: {e.terms}" for e in self.environments),
            _SDIST_WORDS[self.sdists],
            "drop what pip cannot install: eggs, installers, and other packages",
        )


def target_environments(options: FilterOptions) -> PageFilter:
    """Make the filter from ``[environments]`` and ``[target_environments] sdists``.

    :raises InvalidRules: with everything that is wrong with them.
    """
    problems: list[Problem] = []
    text = (options.text(_OWN_SECTION, _OPTION) or "").strip().lower()
    known = {each.value: each for each in Sdists}
    if text and text not in known:
        said = f"{text[:SHOWN_CHARACTERS]!r} is none of {', '.join(known)}{nearest(text, known)}"
        problems.append(Problem(_OWN_SECTION, _OPTION, said))
    environments: tuple[Environment, ...] = ()
    try:
        environments = declared(options)
    except InvalidRules as error:
        problems += error.problems
    if problems:
        raise InvalidRules(problems)
    targets = Targets(
        environments,
        known.get(text, Sdists.KEEP),
        options.origin(_OWN_SECTION, _OPTION),
    )
    return PageFilter(
        name="target_environments",
        stage=Stage.FILE,
        narrows=targets.narrow,
        terms=targets.terms,
        words=targets.words,
        because=targets.because,
    )
