"""What packages with filters have in common, whichever interface these were written for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from traceback import format_exception_only
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from bandersnatch.errors import BandersnatchError, InvalidRules, Problem
from bandersnatch.model.files import clean_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.metadata import EntryPoint

    from bandersnatch.filters.chain import PageFilter, ProjectFilter
    from bandersnatch.filters.options import FilterOptions


_LONGEST_REASON = 300


class EntryPoints(Protocol):
    """What ``importlib.metadata.entry_points`` is."""

    def __call__(self, *, group: str) -> Iterable[EntryPoint]:
        """Return the entry points of a group."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """An installed filter that is enabled; ``make`` raises ``InvalidRules`` if it cannot be made.

    ``distribution`` is the name and the version of the package, for people. ``note`` is what the
    operator should know about having enabled it, if anything. ``reads_anything`` is for those that
    may read any section of the configuration.
    """

    name: str
    distribution: str
    make: Callable[[FilterOptions], ProjectFilter | PageFilter]
    note: str = ""
    reads_anything: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What packages provide of the names that were asked for.

    A name may have several providers, of the same package. If a name has none, ``names`` are all
    that there are, to suggest from, and ``broken`` says which classes of the older interface
    could not be loaded: one of them may be what is wanted. Otherwise both may be empty.
    """

    providers: tuple[Provider, ...] = ()
    names: frozenset[str] = frozenset()
    broken: tuple[str, ...] = ()


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
