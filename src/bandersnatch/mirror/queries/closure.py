"""The graph of who needs whom, as the catalogue remembers it, and its drawings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import Standing
from bandersnatch.closure import needs as values
from bandersnatch.closure.graph import branch_sizes, chain, depths
from bandersnatch.filters.following import FollowingChain
from bandersnatch.mirror.closure_report import missing_text, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from bandersnatch.closure.needs import Dependency, Unmet
    from bandersnatch.closure.targets import Targets
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.names import ProjectName

BRANCHES = 10
"""How many of the costliest branches are named."""


@dataclass(frozen=True, slots=True)
class Branch:
    """What would leave if nothing needed a project any more: projects, itself included, and bytes.

    ``chain`` leads from the project to a selected one.
    """

    name: ProjectName
    projects: int
    size: int
    chain: str


@dataclass(frozen=True)
class ClosureGraph:
    """Who needs whom.

    ``roots`` are the published projects that are selected, or were synced by name.
    ``dependencies`` is what each project asks of others. ``sizes`` are those of the published
    projects, in bytes, and ``unmet`` is what the mirror lacks of a followed project.
    """

    roots: frozenset[ProjectName]
    dependencies: Mapping[ProjectName, Mapping[ProjectName, tuple[Dependency, ...]]]
    sizes: Mapping[ProjectName, int]
    unmet: Mapping[ProjectName, Unmet]
    targets: Targets

    @property
    def dependants(self) -> dict[ProjectName, set[ProjectName]]:
        """The projects that need each project."""
        found: dict[ProjectName, set[ProjectName]] = {}
        for name, dependencies in self.dependencies.items():
            for needed in dependencies:
                found.setdefault(needed, set()).add(name)
        return found

    def why(self, name: ProjectName) -> Iterator[str]:
        """Yield sentences that say who needs a project, up to one that is selected."""
        dependants = self.dependants
        names = chain(name, self.roots, dependants)
        for needed, dependant in pairwise(names):
            yield f"{needed} is wanted by {self._link(dependant, needed)}"
        if len(names) > 1:
            yield f"{names[-1]} is selected by the project filters, or was synced by name"
        others = sorted(dependants.get(name, set()) - set(names[1:2]))
        for other in others[:BRANCHES]:
            yield f"{name} is also wanted by {self._link(other, name)}"
        if len(others) > BRANCHES:
            yield f"and by {len(others) - BRANCHES} more projects"
        if name in self.unmet:
            asking = {each: self.dependencies[each][name] for each in dependants.get(name, ())}
            text, _ = missing_text(name, self.unmet[name], asking)
            if text:
                yield text

    def _link(self, dependant: ProjectName, needed: ProjectName) -> str:
        dependencies = self.dependencies[dependant][needed]
        if not dependencies:
            return dependant
        texts = dict.fromkeys(shown(dependency.text) for dependency in dependencies)
        return f"{dependant} {dependencies[0].version} ({', '.join(texts)})"

    def branches(self, most: int = BRANCHES) -> list[Branch]:
        """Return the costliest branches of what is followed, the largest first."""
        sizes = branch_sizes(self.roots, self.dependencies, self.sizes)
        followed = [name for name in sizes if name not in self.roots and sizes[name][1]]
        followed.sort(key=lambda name: (-sizes[name][1], name))
        dependants = self.dependants
        return [
            Branch(name, *sizes[name], " < ".join(chain(name, self.roots, dependants)))
            for name in followed[:most]
        ]

    # ------------------------------------------------------------ drawings

    def tree(self, names: Collection[ProjectName] = ()) -> Iterator[str]:
        """Yield the lines of a tree of what the roots need, or what ``names`` need.

        What a project needs is drawn at its first occurrence only.
        """
        seen: set[ProjectName] = set()
        stack = [(name, 0, "") for name in sorted(names or self.roots, reverse=True)]
        while stack:
            name, depth, text = stack.pop()
            needed = self.dependencies.get(name, {})
            is_repeated = name in seen and bool(needed)
            note = " (see above)" if is_repeated else self._note(name)
            yield f"{'  ' * depth}{text or name}{note}"
            if name not in seen:
                seen.add(name)
                stack += [
                    (each, depth + 1, self._drawn(needed[each])) for each in sorted(needed)[::-1]
                ]

    def _drawn(self, dependencies: tuple[Dependency, ...]) -> str:
        return " | ".join(dict.fromkeys(shown(dependency.text) for dependency in dependencies))

    def _note(self, name: ProjectName) -> str:
        unmet = self.unmet.get(name)
        if unmet is None or not unmet.shortage:
            return ""
        by = f" by {unmet.by}" if unmet.by else ""
        return f" [{unmet.shortage.value}{by}]"

    def as_dict(self) -> dict[str, object]:
        """Return the graph as the object that ``closure --json`` prints."""
        found = depths(self.roots, self.dependencies)
        names = sorted({*found, *self.dependencies, *self.unmet})
        return {
            "targets": [each.name for each in self.targets.targets],
            "roots": sorted(self.roots),
            "projects": {
                name: {
                    "depth": found.get(name),
                    "bytes": self.sizes.get(name),
                    "missing": self._note(name).strip(" []") or None,
                    "needs": {
                        needed: [
                            {
                                "requirement": dependency.text,
                                "version": dependency.version,
                                "targets": [t.name for t in self.targets.of(dependency.targets)],
                                "undecided": dependency.targets != dependency.sure,
                            }
                            for dependency in dependencies
                        ]
                        for needed, dependencies in sorted(self.dependencies.get(name, {}).items())
                    },
                }
                for name in names
            },
        }

    def dot(self) -> Iterator[str]:
        """Yield the lines of the graph in the DOT language of Graphviz."""
        yield "digraph closure {"
        for root in sorted(self.roots):
            yield f"  {_quoted(root)} [shape=box];"
        for name, dependencies in sorted(self.dependencies.items()):
            for needed, each in sorted(dependencies.items()):
                label = _quoted(self._drawn(each))
                yield f"  {_quoted(name)} -> {_quoted(needed)} [label={label}];"
        yield "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


async def load_graph(mirror: Mirror) -> ClosureGraph | None:
    """Return the graph, None if no dependencies are followed."""
    if mirror.closure is None or not isinstance(mirror.filters, FollowingChain):
        return None
    catalogue, selects = mirror.catalogue, mirror.filters.roots.may_select
    summaries = await catalogue.summaries(None)
    stored = await catalogue.dependencies(None)
    return ClosureGraph(
        roots=frozenset(
            name
            for name, each in summaries.items()
            if each.is_published and (each.standing is Standing.RETAINED or selects(name))
        ),
        dependencies={
            name: {
                needed: values.decode_dependencies(text) for needed, text in dependencies.items()
            }
            for name, dependencies in stored.items()
        },
        sizes={name: each.size for name, each in summaries.items() if each.is_published},
        unmet={
            name: values.Unmet.decoded(row.unmet)
            for name, row in (await catalogue.followed()).items()
            if row.unmet
        },
        targets=mirror.closure.targets,
    )
