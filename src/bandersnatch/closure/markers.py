"""Evaluates markers in an environment that does not decide every variable (PEP 508)."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName

from bandersnatch.closure.requirements import extra_name
from bandersnatch.errors import InvalidValue
from bandersnatch.model.pep508 import parse_marker
from bandersnatch.model.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterator

_CACHE_SIZE = 65_536
_FEW = 3
"""Values of a variable that are all tried."""

_EXTRA_VARIABLES = frozenset({"extra", "extras", "dependency_groups"})

Variables: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""The variables that are decided, each with its possible values, in the order of names.

A variable with several values, such as the patch level of a Python, decides a comparison if all
of them agree. One that is missing decides none.
"""

ANY_ENVIRONMENT: Variables = ()


class Verdict(Enum):
    """Whether a marker holds."""

    NO = 0
    UNDECIDED = 1
    YES = 2


@lru_cache(maxsize=_CACHE_SIZE)
def evaluate(marker: str, extra: str, variables: Variables) -> Verdict:
    """Return whether a marker holds for one extra, "" for none, where ``variables`` are decided.

    A text that is not a marker decides nothing.
    """
    if not marker:
        return Verdict.YES
    parsed = _marker(marker)
    if parsed is None:
        return Verdict.UNDECIDED
    return _evaluate(parsed._markers, extra, variables)  # noqa: SLF001 - packaging has no other access


@lru_cache(maxsize=_CACHE_SIZE)
def extras_of(marker: str) -> frozenset[str]:
    """Return the extras that a marker compares with, normalised."""
    parsed = _marker(marker) if "extra" in marker else None
    if parsed is None:
        return frozenset()
    return frozenset(_extras(parsed._markers))  # noqa: SLF001 - as above


@lru_cache(maxsize=_CACHE_SIZE)
def _marker(text: str) -> Marker | None:
    try:
        return parse_marker(text)
    except InvalidValue:
        return None


def _extras(parts: object) -> Iterator[str]:
    if isinstance(parts, list):
        for each in parts:
            yield from _extras(each)
    elif isinstance(parts, tuple):
        left, _, right = parts
        for one, other in ((left, right), (right, left)):
            if one.value in _EXTRA_VARIABLES:
                yield extra_name(other.value)


def _evaluate(parts: object, extra: str, variables: Variables) -> Verdict:
    """Evaluate a comparison, or a list of expressions with "and" and "or" between."""
    if isinstance(parts, tuple):
        left, operator, right = parts
        comparison = f"{left.serialize()} {operator.serialize()} {right.serialize()}"
        # A literal is serialized with quotes, a variable without.
        name, literal = left.value, right.value
        if left.serialize() != left.value:
            name, literal = literal, name
        values = (extra,) if name in _EXTRA_VARIABLES else dict(variables).get(name)
        if values is None:
            return Verdict.UNDECIDED
        if "in" not in operator.value:
            values = _deciding(values, literal)
        return _compare(comparison, name, values)
    assert isinstance(parts, list), "the parts of a marker are tuples, lists and operators"
    alternatives: list[list[Verdict]] = [[]]
    for each in parts:
        if each == "or":
            alternatives.append([])
        elif each != "and":
            alternatives[-1].append(_evaluate(each, extra, variables))
    every = [min(each, key=_rank) for each in alternatives]
    return max(every, key=_rank)


def _rank(verdict: Verdict) -> int:
    return verdict.value


def _deciding(values: tuple[str, ...], literal: str) -> tuple[str, ...]:
    """Return the values of which the answer of a comparison with a literal depends.

    They are versions in their order: a threshold is between the first and the last, and only the
    value that is equal to the literal can differ from both. A page may have very many comparisons.
    """
    if len(values) <= _FEW:
        return values
    version = parse_version(literal.removesuffix(".*"))
    equal = {literal}
    if version is not None:
        equal.add(f"{version.major}.{version.minor}.{version.micro}")
    return (values[0], *(each for each in values[1:-1] if each in equal), values[-1])


@lru_cache(maxsize=_CACHE_SIZE)
def _compare(comparison: str, name: str, values: tuple[str, ...]) -> Verdict:
    """Evaluate one comparison; it holds or not if it does for every possible value."""
    marker = Marker(comparison)
    answers = set()
    for value in values:
        try:
            answers.add(marker.evaluate({name: value}))
        except (UndefinedComparison, UndefinedEnvironmentName, ValueError):
            return Verdict.UNDECIDED
    if len(answers) > 1:
        return Verdict.UNDECIDED
    return Verdict.YES if answers.pop() else Verdict.NO
