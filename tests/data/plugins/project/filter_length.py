"""A project filter as packages for the older interface have it: no names above a length."""

from typing import Any

from bandersnatch.filter import FilterProjectPlugin


class LengthFilter(FilterProjectPlugin):
    """Keeps what is short, and what the allowlist names."""

    name = "length_project"
    deprecated_name = "length_package"
    longest = 0

    def initialize_plugin(self) -> None:
        """Read the section, and what the allowlist exempts."""
        self.longest = self.configuration.getint("length_project", "longest")
        try:
            lines = self.allowlist["packages"]
        except KeyError:
            lines = ""
        self.exempt = set(lines.split())

    def filter(self, metadata: dict[str, Any]) -> bool:
        """Whether the project is kept."""
        return not self.check_match(name=metadata["info"]["name"])

    def check_match(self, **kwargs: Any) -> bool:
        """Whether a name is too long."""
        name: str = kwargs["name"]
        return name not in self.exempt and len(name) > self.longest
