"""Chooses the versions of a needed project: the newest that each requirement allows."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from packaging.version import Version

    from bandersnatch.closure.needs import Dependency
    from bandersnatch.closure.targets import Targets
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

_CACHE_SIZE = 32_768


@lru_cache(maxsize=_CACHE_SIZE)
def specifier_set(text: str) -> SpecifierSet | None:
    """Return the parsed specifier, None for a text that is not one."""
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


@lru_cache(maxsize=_CACHE_SIZE)
def is_pin(specifier: str) -> bool:
    """Whether a specifier names one version exactly, so that a yanked one satisfies it."""
    parsed = specifier_set(specifier)
    return parsed is not None and any(
        each.operator == "===" or (each.operator == "==" and not each.version.endswith(".*"))
        for each in parsed
    )


def allowed(specifier: str, versions: Sequence[Version]) -> list[Version]:
    """Return the versions that a specifier allows, in their order.

    Pre-releases are allowed if the specifier names one, or if nothing else satisfies it (PEP 440).
    """
    if not specifier:
        finals = [each for each in versions if not each.is_prerelease]
        return finals or list(versions)
    parsed = specifier_set(specifier)
    return [] if parsed is None else list(parsed.filter(versions))


class Releases:
    """The versions of a page by the targets that can install them, the newest first."""

    def __init__(self, page: ProjectDetail, targets: Targets) -> None:
        self._masks: dict[Version, int] = {}
        self._fresh: dict[Version, int] = {}
        for file, text in zip(page.files, page.version_texts(), strict=True):
            version = parse_version(text)
            if version is None:
                continue
            mask = targets.taking(file.filename, page.name, file.requires_python)
            self._masks[version] = self._masks.get(version, 0) | mask
            if file.yanked is None:
                self._fresh[version] = self._fresh.get(version, 0) | mask
        self._newest_first = sorted(self._masks, reverse=True)

    def satisfying(self, specifier: str, target: int, count: int) -> list[Version]:
        """Return the newest versions that satisfy a specifier in a target, all for a count of 0.

        ``target`` is the number of the target with one bit. Yanked versions count only if the
        specifier names a version exactly, and then only if nothing else satisfies it.
        """
        fresh = [each for each in self._newest_first if self._fresh.get(each, 0) & target]
        found = allowed(specifier, fresh)
        if not found and is_pin(specifier):
            installable = [each for each in self._newest_first if self._masks[each] & target]
            found = allowed(specifier, installable)
        return found[:count] if count else found


def choose(
    page: ProjectDetail, dependencies: Iterable[Dependency], targets: Targets, count: int
) -> tuple[frozenset[Version], tuple[tuple[str, int], ...]]:
    """Return the versions that are needed, and the specifiers that nothing on the page satisfies.

    For each requirement and each target they are the newest ``count`` that satisfy it, all for a
    count of 0. The unsatisfied specifiers have the targets in which that is so. The result does not
    depend on the order of the requirements, and one more requirement never takes a version away.
    """
    releases = Releases(page, targets)
    chosen: set[Version] = set()
    unmet: dict[str, int] = {}
    for specifier, mask in _merged(dependencies).items():
        for bit in bits(mask):
            found = releases.satisfying(specifier, bit, count)
            chosen.update(found)
            if not found:
                unmet[specifier] = unmet.get(specifier, 0) | bit
    return frozenset(chosen), tuple(sorted(unmet.items()))


def _merged(dependencies: Iterable[Dependency]) -> Mapping[str, int]:
    """Return the targets of each specifier."""
    merged: dict[str, int] = {}
    for dependency in dependencies:
        merged[dependency.specifier] = merged.get(dependency.specifier, 0) | dependency.targets
    return merged


def bits(mask: int) -> Iterator[int]:
    """Yield each bit of a set of targets."""
    while mask:
        bit = mask & -mask
        yield bit
        mask ^= bit


def newest(files: Iterable[tuple[ReleaseFile, str]]) -> str:
    """Return the newest of the versions of some files, as its text."""
    texts = {text for _, text in files}
    versions = {parsed: text for text in texts if (parsed := parse_version(text)) is not None}
    return versions[max(versions)] if versions else max(texts, default="")
