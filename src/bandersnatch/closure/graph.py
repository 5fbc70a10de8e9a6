"""The graph of who needs whom: what is reachable, how deep, through whom alone, and why."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from bandersnatch.model.names import ProjectName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

Edges: TypeAlias = "Mapping[ProjectName, Collection[ProjectName]]"
"""The projects that each project needs."""

_TOP = ProjectName("")
"""Stands for the selection, which needs every root."""


def depths(roots: Iterable[ProjectName], edges: Edges) -> dict[ProjectName, int]:
    """Return the reachable projects, each with its distance from the nearest root, 0 for a root."""
    found = dict.fromkeys(roots, 0)
    queue = deque(found)
    while queue:
        name = queue.popleft()
        for needed in edges.get(name, ()):
            if needed not in found:
                found[needed] = found[name] + 1
                queue.append(needed)
    return found


def chain(
    name: ProjectName, roots: Collection[ProjectName], dependants: Edges
) -> tuple[ProjectName, ...]:
    """Return a shortest chain of projects from ``name`` to a root that needs it.

    ``dependants`` are those of each project. The chain is only ``name`` if no root needs it.
    """
    before: dict[ProjectName, ProjectName] = {name: name}
    queue = deque([name])
    while queue:
        each = queue.popleft()
        if each in roots:
            found = [each]
            while each != name:
                each = before[each]
                found.append(each)
            return tuple(reversed(found))
        for dependant in sorted(dependants.get(each, ())):
            if dependant not in before:
                before[dependant] = each
                queue.append(dependant)
    return (name,)


def dominators(roots: Collection[ProjectName], edges: Edges) -> dict[ProjectName, ProjectName]:
    """Return the immediate dominator of each reachable project: through it alone it is needed.

    That of a root, and of a project that several roots need on different ways, is "".
    (K. Cooper, T. Harvey, K. Kennedy: A Simple, Fast Dominance Algorithm, 2001.)
    """
    order = _postorder(roots, edges)
    number = {name: place for place, name in enumerate(order)}
    number[_TOP] = len(order)
    before: dict[ProjectName, list[ProjectName]] = {name: [] for name in order}
    for name in order:
        for needed in edges.get(name, ()):
            before[needed].append(name)
    for root in roots:
        before[root].append(_TOP)
    found = {_TOP: _TOP}
    while _improve(found, reversed(order), before, number):
        pass
    del found[_TOP]
    return found


def _improve(
    found: dict[ProjectName, ProjectName],
    names: Iterable[ProjectName],
    before: Mapping[ProjectName, list[ProjectName]],
    number: Mapping[ProjectName, int],
) -> bool:
    """Recompute each dominator from those of the dependants; return whether one has changed."""
    changed = False
    for name in names:
        nearest, *others = [each for each in before[name] if each in found]
        for each in others:
            nearest = _common(each, nearest, found, number)
        if found.get(name) != nearest:
            found[name], changed = nearest, True
    return changed


def _common(
    one: ProjectName,
    other: ProjectName,
    found: Mapping[ProjectName, ProjectName],
    number: Mapping[ProjectName, int],
) -> ProjectName:
    """Return the nearest common dominator of two projects."""
    while one != other:
        while number[one] < number[other]:
            one = found[one]
        while number[other] < number[one]:
            other = found[other]
    return one


def _postorder(roots: Collection[ProjectName], edges: Edges) -> list[ProjectName]:
    """Return the reachable projects, each after those that are first reached through it."""
    order: list[ProjectName] = []
    seen: set[ProjectName] = set()
    for root in sorted(roots):
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(sorted(edges.get(root, ()))))]
        while stack:
            name, rest = stack[-1]
            needed = next((each for each in rest if each not in seen), None)
            if needed is None:
                order.append(name)
                stack.pop()
            else:
                seen.add(needed)
                stack.append((needed, iter(sorted(edges.get(needed, ())))))
    return order


def branch_sizes(
    roots: Collection[ProjectName], edges: Edges, sizes: Mapping[ProjectName, int]
) -> dict[ProjectName, tuple[int, int]]:
    """Return what would leave with each project: how many projects, itself included, and bytes.

    A project leaves with another if it is needed through that one alone.
    """
    parents = dominators(roots, edges)
    totals = {name: [1, sizes.get(name, 0)] for name in parents}
    for name in _postorder(roots, edges):
        parent = parents[name]
        if parent != _TOP:
            totals[parent][0] += totals[name][0]
            totals[parent][1] += totals[name][1]
    return {name: (projects, size) for name, (projects, size) in totals.items()}
