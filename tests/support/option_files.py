"""The files that options name, as a mapping."""

from __future__ import annotations

from fnmatch import fnmatchcase
from posixpath import normpath
from typing import TYPE_CHECKING

from bandersnatch.errors import OptionError
from bandersnatch.filters.options import FilterOptions

if TYPE_CHECKING:
    from collections.abc import Mapping


class OptionFiles:
    """Files by their paths; a text is one in UTF-8."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self.files = files

    def read(self, path: str, /) -> bytes:
        """Return what is in a file."""
        content = self.files.get(normpath(path))
        if content is None:
            raise OptionError(f"{path} does not exist")
        return content if isinstance(content, bytes) else content.encode()

    def find(self, directory: str, pattern: str, /) -> list[str]:
        """Return the paths that a pattern names, part by part as the shell does."""
        wanted = pattern if directory == "." else f"{directory.rstrip('/')}/{pattern}"
        found = [path for path in sorted(self.files) if _is_named(path, wanted)]
        if not found:
            raise OptionError(f"no file in {directory} is named {pattern}")
        return found


def _is_named(path: str, pattern: str) -> bool:
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def make_options(
    files: Mapping[str, str | bytes] | None = None, **sections: Mapping[str, str]
) -> FilterOptions:
    """Return options of these sections, and with files that they may name."""
    return FilterOptions(sections=sections, files=OptionFiles(files or {}))
