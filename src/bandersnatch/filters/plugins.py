"""The interface of filters that other packages provide, version 1.

A package names a *factory* in the entry-point group ``bandersnatch.filters.v1``. The entry
point's name is the filter's in ``[plugins] enabled``, and that of its section. All that an author
needs is here; it changes only together with the number in the group's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from traceback import format_exception_only
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias

from bandersnatch.errors import (
    SHOWN_CHARACTERS,
    BandersnatchError,
    FilterFailed,
    InvalidRules,
    Problem,
)
from bandersnatch.filters.chain import PageFilter, ProjectFilter, Reads, Stage
from bandersnatch.model.files import ReleaseFile, clean_reason
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.project import ProjectDetail

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from bandersnatch.filters.options import FilterOptions

__all__ = [
    "Factory",
    "PagePlugin",
    "ProjectDetail",
    "ProjectPlugin",
    "Reads",
    "ReleaseFile",
    "Stage",
]

GROUP = "bandersnatch.filters.v1"
_LONGEST_REASON = 300
_NO_STAGE = object()


class ProjectPlugin(Protocol):
    """A project filter: decides by a project's normalised name whether it is mirrored.

    ``terms`` is a text, not empty, that changes whenever the answers may. The optional attribute
    ``names``, a frozenset of names, is all that it keeps at most: only these are asked for then.
    """

    @property
    def terms(self) -> str:
        """What the answers depend on, besides the name."""
        ...

    def __call__(self, name: str, /) -> bool:
        """Whether the project is kept; what is no bool fails the project."""
        ...


class PagePlugin(Protocol):
    """A page filter: returns a page with fewer files or versions.

    The optional attribute ``reads`` is what it needs that not every index's page tells;
    ``page.document`` is None without ``Reads.DOCUMENT``.
    """

    @property
    def stage(self) -> Stage:
        """When it runs."""
        ...

    @property
    def terms(self) -> str:
        """What the answers depend on, besides the page; not empty."""
        ...

    def __call__(self, page: ProjectDetail, /) -> ProjectDetail | None:
        """Return what is left of the page, or None at ``Stage.METADATA`` to leave it all out."""
        ...


Factory: TypeAlias = Callable[[Mapping[str, str]], ProjectPlugin | PagePlugin]
"""What an entry point names: makes the filter of the options in its section, maybe none."""


class EntryPoints(Protocol):
    """What ``importlib.metadata.entry_points`` is."""

    def __call__(self, *, group: str) -> Iterable[EntryPoint]:
        """Return the entry points of a group."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """An installed filter that is enabled; ``make`` raises ``InvalidRules`` if it cannot be made.

    ``distribution`` is the name and the version of the package, for people. ``note`` is what the
    operator should know about having enabled it, if anything.
    """

    name: str
    distribution: str
    make: Callable[[FilterOptions], ProjectFilter | PageFilter]
    note: str = ""


class _Wrong(BandersnatchError):
    """What a plugin is or returned is not what it must be; the message says why."""


def v1_providers(names: Iterable[str], found: Iterable[EntryPoint]) -> tuple[Provider, ...]:
    """Return the providers of those names that entry points of this version's group have."""
    by_name: dict[str, dict[str, EntryPoint]] = {}
    for each in found:
        by_name.setdefault(each.name, {})[described(each)] = each
    return tuple(_provider(name, by_name[name]) for name in sorted(set(names) & by_name.keys()))


def _provider(name: str, candidates: Mapping[str, EntryPoint]) -> Provider:
    if len(candidates) > 1:
        return ambiguous(name, candidates)
    (entry_point,) = candidates.values()
    distribution = distribution_of(entry_point)
    return Provider(name, distribution, partial(_make, entry_point, distribution))


def ambiguous(name: str, candidates: Iterable[str]) -> Provider:
    """Return a provider that refuses: several packages provide the name, and nothing is guessed."""
    everyone = " and ".join(sorted(candidates))
    return Provider(
        name, everyone, partial(_refuse, f"{name!r} is provided by {everyone}; uninstall one")
    )


def _refuse(message: str, _: FilterOptions) -> NoReturn:
    raise InvalidRules([Problem("plugins", "enabled", message)])


def unusable(name: str, distribution: str, error: BaseException) -> InvalidRules:
    """Return what to raise for a plugin that cannot be made, because of ``error``."""
    message = f"the filter {name!r} of {distribution} cannot be made: {told(error)}"
    return InvalidRules([Problem("plugins", "enabled", message)])


def _make(
    entry_point: EntryPoint, distribution: str, options: FilterOptions
) -> ProjectFilter | PageFilter:
    name = entry_point.name
    section = MappingProxyType(dict(options.sections.get(name, {})))
    try:
        return _wrapped(name, distribution, entry_point.load()(section))
    except (Exception, SystemExit) as error:  # others wrote what runs here
        raise unusable(name, distribution, error) from error


def _wrapped(name: str, distribution: str, plugin: Any) -> ProjectFilter | PageFilter:  # noqa: ANN401 - anything until looked at
    """Return the filter that asks a plugin.

    :raises _Wrong: if it is neither kind.
    """
    if not callable(plugin):
        raise _Wrong(f"its factory returned {_shown(plugin)}, which is no filter")
    terms = getattr(plugin, "terms", None)
    if not isinstance(terms, str) or not terms.strip():
        raise _Wrong("it has no terms, a text that changes whenever its decisions may")
    terms = f"{name} {terms}"
    words = (f"leave out what {name} of {distribution} does not keep",)
    stage = getattr(plugin, "stage", _NO_STAGE)
    if stage is _NO_STAGE:
        project = _AskedOfNames(name, plugin)
        names = _names(getattr(plugin, "names", None))
        return ProjectFilter(
            name, project.keeps, terms, names, words, partial(reason, distribution)
        )
    if not isinstance(stage, Stage):
        raise _Wrong(f"its stage is {_shown(stage)} and must be a Stage")
    reads = getattr(plugin, "reads", Reads.NOTHING)
    if not isinstance(reads, Reads):
        raise _Wrong(f"its reads are {_shown(reads)} and must be Reads")
    page = _AskedOfPages(name, plugin, stage, reads)
    return PageFilter(
        name, stage, page.narrow, terms, words, partial(reason, distribution), reads=reads
    )


def _names(given: object) -> frozenset[ProjectName] | None:
    if given is None:
        return None
    if not isinstance(given, frozenset | set):
        raise _Wrong(f"its names are {_shown(given)} and must be a frozenset of texts, or None")
    return frozenset(map(project_name, given))


@dataclass(frozen=True, slots=True)
class _AskedOfNames:
    """A project filter that asks a plugin; what is no answer fails the project."""

    name: str
    plugin: Callable[[str], object]

    def keeps(self, name: ProjectName) -> bool:
        try:
            return _answer(self.plugin(name))
        except (Exception, SystemExit) as error:  # others wrote what runs here
            raise FilterFailed(self.name, told(error)) from error


def _answer(given: object) -> bool:
    if not isinstance(given, bool):
        raise _Wrong(f"it returned {_shown(given)}, which is neither True nor False")
    return given


@dataclass(frozen=True, slots=True)
class _AskedOfPages:
    """A page filter that asks a plugin; what is no narrower page fails the project."""

    name: str
    plugin: Callable[[ProjectDetail], object]
    stage: Stage
    reads: Reads

    def narrow(self, page: ProjectDetail) -> ProjectDetail | None:
        try:
            return self._checked(page, self.plugin(self._own(page)))
        except (Exception, SystemExit) as error:  # others wrote what runs here
            raise FilterFailed(self.name, told(error)) from error

    def _own(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page to hand out: the answer may not depend on what other filters read."""
        wanted = Reads.DOCUMENT in self.reads and page.document is not None
        return replace(page, document=fresh(page.document) if wanted else None)

    def _checked(self, page: ProjectDetail, left: object) -> ProjectDetail | None:
        if left is None and self.stage is Stage.METADATA:
            return None
        if not isinstance(left, ProjectDetail):
            raise _Wrong(f"it returned {_shown(left)}, which is no page")
        if left.name != page.name:
            raise _Wrong(f"it returned the page of {_shown(left.name)}")
        return _narrowed(page, left)


def _narrowed(page: ProjectDetail, left: ProjectDetail) -> ProjectDetail:
    """Return a page with the files and versions that are left, and nothing else of ``left``.

    :raises _Wrong: if there is anything that the page did not have.
    """
    had = set(page.files)
    for file in left.files:
        if file not in had:
            raise _Wrong(f"it added or changed a file: {_shown(file)}")
    kept, versions = {file.filename for file in left.files}, set(left.versions)
    if len(kept) != len(left.files):
        raise _Wrong("it named a file twice")
    if not versions <= set(page.versions):
        raise _Wrong(f"it added versions: {_shown(sorted(versions - set(page.versions)))}")
    if replace(left, files=page.files, versions=page.versions) != page:
        raise _Wrong("it changed more of the page than its files and versions")
    narrowed = page.keep(lambda file: file.filename in kept)
    return replace(narrowed, versions=tuple(text for text in page.versions if text in versions))


def fresh(value: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return a copy of a JSON value that may be changed; several times as fast as deepcopy."""
    if isinstance(value, Mapping):
        return {key: fresh(inner) for key, inner in value.items()}
    return [fresh(inner) for inner in value] if isinstance(value, list) else value


def reason(distribution: str, *_: object) -> str:
    """Return why a plugin drops what it drops; it does not say more."""
    return f"{distribution} does not keep it"


def distribution_of(entry_point: EntryPoint) -> str:
    """Return the name and version of the package that an entry point is of."""
    package = entry_point.dist
    return f"{package.name} {package.version}" if package else "an unknown package"


def described(entry_point: EntryPoint) -> str:
    """Return the package of an entry point and what the entry point names, for people."""
    return f"{distribution_of(entry_point)} ({entry_point.value})"


def told(error: BaseException) -> str:
    """Return an exception of others in one line that can be logged, with its type and place."""
    ours = isinstance(error, BandersnatchError)
    text = str(error) if ours else "".join(format_exception_only(error))
    return " ".join(clean_reason(text).split())[:_LONGEST_REASON]


def _shown(value: object) -> str:
    return clean_reason(repr(value))[:SHOWN_CHARACTERS]
