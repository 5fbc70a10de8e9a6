"""What a run knows of the closure: the projects that it follows, and what is asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bandersnatch.closure import needs
from bandersnatch.closure.choice import choose
from bandersnatch.closure.targets import Targets, targets_of
from bandersnatch.config.schema import NeededVersions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    from packaging.version import Version

    from bandersnatch.closure.needs import Dependency
    from bandersnatch.config.schema import ClosureSettings
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.model.wheels import Environment

    Asked: TypeAlias = tuple[str, str | None]
    """The digest of what is asked of a followed project, and what that is; None if not loaded."""


class Followed(Protocol):
    """What is remembered of a followed project."""

    @property
    def digest(self) -> str:
        """The digest of what is asked of it, "" if it is kept out of the mirror."""
        ...


class ClosureState:
    """The projects that others need, with a digest of what is asked of each.

    ``dependencies`` is what is asked of the projects that are about to be synced, and ``unmet``
    what the page of such a project does not satisfy: specifiers, with the targets in which that is
    so.
    """

    def __init__(self, settings: ClosureSettings, environments: Iterable[Environment]) -> None:
        self.settings = settings
        self.environments = tuple(environments)
        self.targets = Targets(targets_of(self.environments))
        self.digests: dict[ProjectName, str] = {}
        self.dependencies: dict[ProjectName, tuple[Dependency, ...]] = {}
        self.unmet: dict[ProjectName, tuple[tuple[str, int], ...]] = {}
        self._loaded: Mapping[ProjectName, Followed] | None = None

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever dependencies have to be judged again."""
        settings = self.settings
        return f"{settings.extras.value} {settings.build_requirements} {self.targets.fingerprint()}"

    @property
    def restricts_versions(self) -> bool:
        """Whether only the versions that are needed are kept of a followed project."""
        return self.settings.versions is NeededVersions.NEEDED

    def load(self, rows: Mapping[ProjectName, Followed]) -> None:
        """Replace the followed projects."""
        if rows is not self._loaded:
            self.digests = {name: row.digest for name, row in rows.items() if row.digest}
            self._loaded = rows

    def asked_of(self, names: Iterable[ProjectName]) -> dict[ProjectName, Asked]:
        """Return what is asked of those of some projects that are followed, as a plain value."""
        found: dict[ProjectName, Asked] = {}
        for name in names:
            if name in self.digests:
                asked = self.dependencies.get(name)
                text = None if asked is None else needs.encode_dependencies(asked)
                found[name] = self.digests[name], text
        return found

    def ask(self, names: Iterable[ProjectName], found: Mapping[ProjectName, Asked]) -> None:
        """Replace what is asked of some projects with what ``asked_of`` has found elsewhere."""
        for name in names:
            self.digests.pop(name, None)
            self.dependencies.pop(name, None)
            self.unmet.pop(name, None)
            if name not in found:
                continue
            self.digests[name], text = found[name]
            if text is not None:
                self.dependencies[name] = needs.decode_dependencies(text)

    def follows(self, name: ProjectName) -> bool:
        """Whether another project needs this one."""
        return name in self.digests

    @property
    def names(self) -> frozenset[ProjectName]:
        """The followed projects."""
        return frozenset(self.digests)

    def digest(self, name: ProjectName) -> str:
        """Return a text that changes whenever other versions of a project may be needed."""
        return self.digests.get(name, "") if self.restricts_versions else ""

    def choose(self, page: ProjectDetail, count: int) -> frozenset[Version] | None:
        """Return the versions of a page that are needed; None if that is not known, or all are.

        ``count`` is how many versions are kept for each requirement, 0 for all.
        """
        dependencies = self.dependencies.get(page.name)
        if dependencies is None:
            return None
        chosen, self.unmet[page.name] = choose(page, dependencies, self.targets, count)
        return chosen if self.restricts_versions else None
