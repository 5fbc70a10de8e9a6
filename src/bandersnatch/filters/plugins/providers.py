"""What packages with filters have in common, for either interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from traceback import format_exception_only
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from bandersnatch.errors import BandersnatchError, InvalidRules, Problem
from bandersnatch.model.files import clean_reason

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from bandersnatch.filters.interface import Factory
    from bandersnatch.filters.options import FilterOptions

_MAX_ERROR_CHARACTERS = 300


class EntryPoints(Protocol):
    """The signature of ``importlib.metadata.entry_points``."""

    def __call__(self, *, group: str) -> Iterable[EntryPoint]:
        """Return the entry points of a group."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """An installed and enabled filter; ``make`` raises ``InvalidRules`` if it cannot be built.

    ``distribution`` is the name and the version of the package, for messages. ``note`` is a
    message to the operator, or "". ``reads_anything`` is whether the filter may read any section
    of the configuration.
    """

    name: str
    distribution: str
    make: Factory
    note: str = ""
    reads_anything: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What installed packages provide of the names that were looked for.

    A name may have several providers, of the same package. If a name has none, ``names`` are all
    names that exist, for suggestions, and ``broken`` are messages about classes of the older
    interface that could not be loaded and may have that name. Otherwise both may be empty.
    """

    providers: tuple[Provider, ...] = ()
    names: frozenset[str] = frozenset()
    broken: tuple[str, ...] = ()


def ambiguous(name: str, candidates: Iterable[str]) -> Provider:
    """Return a provider that cannot be built because several packages provide the name."""
    packages = " and ".join(sorted(candidates))
    return Provider(
        name, packages, partial(_refuse, f"{name!r} is provided by {packages}; uninstall one")
    )


def _refuse(message: str, _: FilterOptions) -> NoReturn:
    raise InvalidRules([Problem("plugins", "enabled", message)])


def unusable(name: str, distribution: str, error: BaseException) -> InvalidRules:
    """Return the error for a plugin that cannot be built because of ``error``."""
    message = f"the filter {name!r} of {distribution} cannot be built: {error_line(error)}"
    return InvalidRules([Problem("plugins", "enabled", message)])


def copy_json(value: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return a copy of a JSON value that may be changed; several times as fast as deepcopy."""
    if isinstance(value, Mapping):
        return {key: copy_json(inner) for key, inner in value.items()}
    return [copy_json(inner) for inner in value] if isinstance(value, list) else value


def distribution_of(entry_point: EntryPoint) -> str:
    """Return the name and version of the package that an entry point belongs to."""
    package = entry_point.dist
    return f"{package.name} {package.version}" if package else "an unknown package"


def described(entry_point: EntryPoint) -> str:
    """Return the package of an entry point and what the entry point names, for messages."""
    return f"{distribution_of(entry_point)} ({entry_point.value})"


def error_line(error: BaseException) -> str:
    """Return an exception as one line for the log; a foreign one with its type and place."""
    is_ours = isinstance(error, BandersnatchError)
    text = str(error) if is_ours else "".join(format_exception_only(error))
    return " ".join(clean_reason(text).split())[:_MAX_ERROR_CHARACTERS]
