"""``closure``: shows what the selected projects need, and why each project is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import add_projects, project_names
from bandersnatch.cli.text import counted, one_line, size

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Sequence

    from bandersnatch.cli.session import Session
    from bandersnatch.mirror.queries.closure import Branch, ClosureGraph
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.wheels import Environment


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``closure``."""
    add_projects(parser, "*", "only what these need (with --tree)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--tree", action="store_true", help="draw what each project needs")
    form.add_argument("--json", action="store_true", help="print the graph as JSON")
    form.add_argument("--dot", action="store_true", help="print the graph for Graphviz")


async def run(session: Session) -> int:
    """Run ``closure``.

    :raises UsageError: if the mirror does not follow dependencies.
    """
    from bandersnatch.errors import UsageError
    from bandersnatch.mirror.queries.closure import load_graph

    arguments = session.arguments
    names = project_names(arguments.projects)
    if names and (arguments.json or arguments.dot):
        raise UsageError("projects are named with --tree only; --json and --dot have the whole")
    graph = await session.query(load_graph)
    if graph is None:
        raise UsageError(
            "this mirror does not follow dependencies; set follow = true in [closure], and run "
            "mirror"
        )
    environments = session.configuration.environments
    return session.answer(_text(graph, arguments, names, environments))


def _text(
    graph: ClosureGraph,
    arguments: Namespace,
    names: list[ProjectName],
    environments: Sequence[Environment],
) -> str:
    if arguments.json:
        return json.dumps(graph.as_dict(), indent=2)
    if arguments.dot:
        return "\n".join(map(one_line, graph.dot()))
    if arguments.tree or names:
        return "\n".join(map(one_line, graph.tree(names)))
    return "\n".join(_summary(graph, environments))


def _open_ranges(environments: Sequence[Environment]) -> list[str]:
    from bandersnatch.closure.targets import NEWEST_SERIES, open_ranges

    names = ", ".join(open_ranges(environments))
    newest = ".".join(map(str, NEWEST_SERIES))
    return [f"  where {names} reach Python {newest}, the newest that is known"] if names else []


def _summary(graph: ClosureGraph, environments: Sequence[Environment]) -> list[str]:
    followed = graph.sizes.keys() - graph.roots
    numbers = f"{counted(len(graph.roots), 'project')} selected, {len(followed):,} followed"
    lines = [
        f"{numbers}, {size(sum(graph.sizes.values()))}",
        *(f"  for {each.name}" for each in graph.targets.targets),
        *_open_ranges(environments),
    ]
    if branches := graph.branches():
        lines += ["The costliest branches, with what only they need:", *branch_lines(branches)]
    return lines


def branch_lines(branches: Iterable[Branch]) -> list[str]:
    """Return a line for each branch."""
    return [
        f"  {size(each.size):>10}  {counted(each.projects, 'project')}: {each.chain}"
        for each in branches
    ]
