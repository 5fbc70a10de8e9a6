"""Guards around filters of other packages: what they return is checked, what they raise is caught.

The interface is `bandersnatch.filters.interface`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from bandersnatch.errors import SHOWN_CHARACTERS, BandersnatchError, FilterFailure
from bandersnatch.filters.interface import Filter, Needs, PageFilter, ProjectFilter, Stage
from bandersnatch.filters.plugins import providers
from bandersnatch.model.files import ReleaseFile, clean_reason
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.project import ProjectDetail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from importlib.metadata import EntryPoint

    from bandersnatch.filters.options import FilterOptions

    _Result = TypeVar("_Result")

GROUP = "bandersnatch.filters.v1"

_MAX_FINGERPRINT = 64
_MAX_TEXT = 300


class _InvalidPluginError(BandersnatchError):
    """A plugin, or what it returned, does not conform to the interface; the message says why."""


def v1_providers(
    names: Iterable[str], found: Iterable[EntryPoint]
) -> tuple[providers.Provider, ...]:
    """Return the providers of the names among the entry points of this version's group."""
    by_name: dict[str, dict[str, EntryPoint]] = {}
    for each in found:
        by_name.setdefault(each.name, {})[providers.described(each)] = each
    return tuple(_provider(name, by_name[name]) for name in sorted(set(names) & by_name.keys()))


def _provider(name: str, candidates: Mapping[str, EntryPoint]) -> providers.Provider:
    if len(candidates) > 1:
        return providers.ambiguous(name, candidates)
    (entry_point,) = candidates.values()
    distribution = providers.distribution_of(entry_point)
    return providers.Provider(name, distribution, partial(_build, entry_point, distribution))


def _build(
    entry_point: EntryPoint, distribution: str, options: FilterOptions
) -> ProjectFilter | PageFilter:
    name = entry_point.name
    own = replace(options, sections={name: dict(options.sections.get(name, {}))})
    try:
        loaded = entry_point.load()
        if isinstance(loaded, type) and issubclass(loaded, Filter):
            _check_name(name, loaded)  # its options would be those of another section
            loaded = loaded.from_options
        return _guarded(name, distribution, loaded(own))
    except (Exception, SystemExit) as error:  # foreign code runs here
        raise providers.unusable(name, distribution, error) from error


def _check_name(name: str, plugin: object) -> None:
    own = getattr(plugin, "name", None)
    if own != name:
        raise _InvalidPluginError(f"its name is {_shown(own)} and must be that of its entry point")


def _guarded(name: str, distribution: str, plugin: object) -> ProjectFilter | PageFilter:
    """Return the guard of a plugin.

    :raises _InvalidPluginError: if the plugin does not conform to the interface.
    """
    if not isinstance(plugin, ProjectFilter | PageFilter):
        raise _InvalidPluginError(
            f"its factory returned {_shown(plugin)}, which is not a ProjectFilter or a PageFilter"
        )
    _check_name(name, plugin)
    fingerprint = f"{name} {_fingerprint(plugin.fingerprint())}"
    sentences = _texts("sentences of describe()", plugin.describe())
    sentences = sentences or (f"drop what {name} of {distribution} does not keep",)
    guard = _Guard(name, distribution, fingerprint, sentences)
    notes = _texts("notes", plugin.notes)
    if isinstance(plugin, ProjectFilter):
        return GuardedProjectFilter(name, plugin, guard, notes, _names(plugin.names))
    stage: object = getattr(plugin, "stage", None)
    if not isinstance(stage, Stage):
        raise _InvalidPluginError(f"its stage is {_shown(stage)} and must be a Stage")
    needs: object = plugin.needs
    if not isinstance(needs, Needs):
        raise _InvalidPluginError(f"its needs are {_shown(needs)} and must be Needs")
    prefetch = _boolean(plugin.prefetch)
    return GuardedPageFilter(name, stage, plugin, guard, notes, needs, prefetch)


def _fingerprint(given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise _InvalidPluginError(
            "it has no fingerprint, a text that changes whenever its answers may"
        )
    # The texts are joined for every project.
    return given if len(given) <= _MAX_FINGERPRINT else sha256(given.encode()).hexdigest()


def _texts(what: str, given: object) -> tuple[str, ...]:
    if not isinstance(given, tuple) or not all(isinstance(each, str) for each in given):
        raise _InvalidPluginError(f"its {what} are {_shown(given)} and must be a tuple of texts")
    return tuple(clean_reason(each)[:_MAX_TEXT] for each in given)


def _names(given: object) -> frozenset[ProjectName] | None:
    if given is None:
        return None
    if not isinstance(given, frozenset | set):
        message = f"its names are {_shown(given)} and must be a frozenset of texts, or None"
        raise _InvalidPluginError(message)
    return frozenset(map(project_name, given))


def _boolean(given: object) -> bool:
    if not isinstance(given, bool):
        raise _InvalidPluginError(f"it returned {_shown(given)}, which is neither True nor False")
    return given


@dataclass(frozen=True)
class _Guard:
    """What the guards of both kinds do; ``fingerprint`` and ``sentences`` are checked already."""

    name: str
    distribution: str
    fingerprint: str
    sentences: tuple[str, ...]

    def call(self, question: Callable[[], _Result]) -> _Result:
        """Return the answer of a plugin.

        :raises FilterFailure: whatever the plugin raises.
        """
        try:
            return question()
        except (Exception, SystemExit) as error:  # foreign code runs here
            raise FilterFailure(self.name, providers.error_line(error)) from error

    def explain(self, question: Callable[[], object]) -> str:
        """Return why a plugin drops something; the package, if the plugin does not say why."""
        try:
            reason = clean_reason(str(question()))[:_MAX_TEXT]
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code runs here
            reason = f"it cannot say why: {providers.error_line(error)}"
        return reason or f"{self.distribution} does not keep it"


@dataclass(frozen=True)
class GuardedProjectFilter(ProjectFilter):
    """A project filter of another package."""

    name: str
    plugin: ProjectFilter
    guard: _Guard
    notes: tuple[str, ...]
    names: frozenset[ProjectName] | None

    def apply(self, name: ProjectName) -> bool:
        """Return the plugin's answer.

        :raises FilterFailure: if it raises, or does not return a bool.
        """
        return self.guard.call(lambda: _boolean(self.plugin.apply(name)))

    def explain(self, name: ProjectName) -> str:
        """Return the plugin's reason."""
        return self.guard.explain(lambda: self.plugin.explain(name))

    def describe(self) -> tuple[str, ...]:
        """Return the plugin's sentences."""
        return self.guard.sentences

    def fingerprint(self) -> str:
        """Return the plugin's fingerprint, with its name."""
        return self.guard.fingerprint


@dataclass(frozen=True)
class GuardedPageFilter(PageFilter):
    """A page filter of another package."""

    name: str
    stage: Stage
    plugin: PageFilter
    guard: _Guard
    notes: tuple[str, ...]
    needs: Needs
    prefetch: bool

    def apply(self, page: ProjectDetail) -> ProjectDetail | None:
        """Return what the plugin keeps of the page.

        :raises FilterFailure: if it raises, or returns anything but a part of the page.
        """
        return self.guard.call(lambda: self._checked(page, self.plugin.apply(self._copy(page))))

    def apply_later(self, page: ProjectDetail) -> ProjectDetail | None:
        """Return what the plugin will keep of the page.

        :raises FilterFailure: if it raises, or returns anything but a part of the page.
        """
        plugin = self.plugin
        return self.guard.call(lambda: self._checked(page, plugin.apply_later(self._copy(page))))

    def next_change(self, page: ProjectDetail) -> int | None:
        """Return when the plugin will keep more of the page.

        :raises FilterFailure: if it raises, or returns anything but a whole number or None.
        """
        return self.guard.call(lambda: _time(self.plugin.next_change(self._copy(page))))

    def is_exclusive(self, name: ProjectName) -> bool:
        """Return the plugin's answer.

        :raises FilterFailure: if it raises, or does not return a bool.
        """
        return self.guard.call(lambda: _boolean(self.plugin.is_exclusive(name)))

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the plugin's reason."""
        return self.guard.explain(lambda: self.plugin.explain(self._copy(page), file))

    def describe(self) -> tuple[str, ...]:
        """Return the plugin's sentences."""
        return self.guard.sentences

    def fingerprint(self) -> str:
        """Return the plugin's fingerprint, with its name."""
        return self.guard.fingerprint

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return the plugin's fingerprint for a project, or the general one if that fails."""
        try:
            own = self.plugin.fingerprint_for(name)
            return f"{self.name} {_fingerprint(own)}" if own != "" else ""
        except (Exception, SystemExit):  # noqa: BLE001 - foreign code runs here
            return self.fingerprint()

    @property
    def has_project_rules(self) -> bool:
        """Whether the plugin has rules about single projects."""
        return self.plugin.has_project_rules

    @property
    def changes_with_time(self) -> bool:
        """Whether the plugin may keep more of a page at a later time."""
        return self.plugin.changes_with_time

    def _copy(self, page: ProjectDetail) -> ProjectDetail:
        """Return a page for the plugin: its answers may not depend on other filters' needs."""
        has_document = Needs.DOCUMENT in self.needs and page.document is not None
        return replace(page, document=providers.copy_json(page.document) if has_document else None)

    def _checked(self, page: ProjectDetail, left: object) -> ProjectDetail | None:
        if left is None and self.stage is Stage.METADATA:
            return None
        if not isinstance(left, ProjectDetail):
            raise _InvalidPluginError(f"it returned {_shown(left)}, which is not a page")
        if left.name != page.name:
            raise _InvalidPluginError(f"it returned the page of {_shown(left.name)}")
        return _narrowed(page, left)


def _time(given: object) -> int | None:
    if given is not None and (not isinstance(given, int) or isinstance(given, bool)):
        message = f"it returned {_shown(given)}, which is not a time in whole seconds"
        raise _InvalidPluginError(message)
    return given


def _narrowed(page: ProjectDetail, left: ProjectDetail) -> ProjectDetail:
    """Return a page with the files and versions in ``left``, and everything else of its own.

    :raises _InvalidPluginError: if ``left`` has anything that the page does not have.
    """
    files = set(page.files)
    for file in left.files:
        if file not in files:
            raise _InvalidPluginError(f"it added or changed a file: {_shown(file)}")
    kept, versions = {file.filename for file in left.files}, set(left.versions)
    if len(kept) != len(left.files):
        raise _InvalidPluginError("it returned a file twice")
    if not versions <= set(page.versions):
        added = sorted(versions - set(page.versions))
        raise _InvalidPluginError(f"it added versions: {_shown(added)}")
    if replace(left, files=page.files, versions=page.versions) != page:
        raise _InvalidPluginError("it changed more of the page than its files and versions")
    narrowed = page.keep(lambda file: file.filename in kept)
    return replace(narrowed, versions=tuple(text for text in page.versions if text in versions))


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever a plugin returned
    return clean_reason(repr(value))[:SHOWN_CHARACTERS]
