"""The base classes of filters that were written for releases before 9.

`bandersnatch.filters.plugins.legacy` adapts them. The interface for new filters is
`bandersnatch.filters.interface`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from configparser import ConfigParser, SectionProxy


class Filter:
    """A filter; ``configuration`` is the whole file, and is set before ``__init__`` runs."""

    name: str = ""
    deprecated_name: str = ""
    configuration: ConfigParser

    def __init__(self) -> None:
        self.initialize_plugin()

    def initialize_plugin(self) -> None:
        """Read the configuration; called once, and only if the filter is enabled."""

    def filter(self, metadata: dict[str, Any]) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether to keep what ``metadata`` describes; unless overridden, False."""
        return False

    def check_match(self, **kwargs: Any) -> bool:  # noqa: ANN401, ARG002 - each class has its own
        """Return whether a rule of the filter matches."""
        return False

    def pinned_version_exists(self, metadata: dict[str, Any]) -> bool:  # noqa: ARG002 - as above
        """Return whether this filter alone decides on the releases of a project."""
        return False

    @property
    def allowlist(self) -> SectionProxy:
        """The section ``[allowlist]``.

        :raises KeyError: if the section does not exist.
        """
        return self.configuration["allowlist"]

    @property
    def blocklist(self) -> SectionProxy:
        """The section ``[blocklist]``.

        :raises KeyError: if the section does not exist.
        """
        return self.configuration["blocklist"]


class FilterProjectPlugin(Filter):
    """Gets ``{"info": {"name"}}`` before anything is fetched."""


class FilterMetadataPlugin(Filter):
    """Gets the project's legacy JSON document."""


class FilterReleasePlugin(Filter):
    """Gets ``{"info", "releases", "version"}``, once for each version."""


class FilterReleaseFilePlugin(Filter):
    """Gets ``{"info", "release", "release_file"}``, once for each file."""
