"""A release filter as packages for the older interface have it: only versions with a wheel."""

from typing import Any

from bandersnatch.filter import FilterReleasePlugin


class WheelsFilter(FilterReleasePlugin):
    """Keeps the versions that have a wheel, and the current one."""

    name = "wheels_release"

    def filter(self, metadata: dict[str, Any]) -> bool:
        """Whether the version is kept."""
        version = metadata["version"]
        files = metadata["releases"].pop(version)
        if version == metadata["info"]["version"]:
            return True
        return any(file["packagetype"] == "bdist_wheel" for file in files)
