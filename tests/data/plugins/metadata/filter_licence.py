"""A metadata filter as packages for the older interface have it: only some licences."""

from typing import Any

from bandersnatch.filter import FilterMetadataPlugin


class LicenceFilter(FilterMetadataPlugin):
    """Keeps the projects whose licence is listed."""

    name = "licence_project_metadata"
    initialised = False

    def initialize_plugin(self) -> None:
        """Read the section, at most once."""
        if not self.initialised:
            self.licences = self.configuration.get("licence", "licences").splitlines()
            self.initialised = True

    def filter(self, metadata: dict[str, Any]) -> bool:
        """Whether the project is kept."""
        return metadata["info"].get("license") in self.licences
