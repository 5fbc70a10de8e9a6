"""A release file filter as packages for the older interface have it: no large files."""

from typing import Any

from bandersnatch.filter import FilterReleaseFilePlugin


class SizeFilter(FilterReleaseFilePlugin):
    """Keeps files up to a size in bytes."""

    name = "size_release_file"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.largest = 0
        super().__init__(*args, **kwargs)

    def initialize_plugin(self) -> None:
        """Read the section."""
        self.largest = int(self.configuration["size_release_file"]["largest"])

    def filter(self, metadata: dict[str, Any]) -> bool:
        """Whether the file is kept."""
        file: dict[str, int] = metadata["release_file"]
        return file["size"] <= self.largest
