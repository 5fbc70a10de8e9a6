"""The interface of filters that other packages provide, version 1.

A package names a *factory* in the entry-point group ``bandersnatch.filters.v1``. The entry
point's name is the filter's in ``[plugins] enabled``, and that of its section. All that an author
needs is here; it changes only together with the number in the group's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from bandersnatch.filters.chain import Needs, Stage
from bandersnatch.model.digests import Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectDetail
from bandersnatch.model.versions import parse_version

__all__ = [
    "Factory",
    "Hashes",
    "Needs",
    "PagePlugin",
    "ProjectDetail",
    "ProjectPlugin",
    "ReleaseFile",
    "Stage",
    "parse_version",
    "project_name",
]


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
    ``page.document`` is None without ``Needs.DOCUMENT``.
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
