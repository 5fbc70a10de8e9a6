"""The list files that options name: requirement files, lock files, lists of names."""

from __future__ import annotations

import glob
import os

from bandersnatch.errors import OptionError

_LARGEST_FILE = 256 * 1024**2


class ListFiles:
    """Reads list files from the disk; relative paths are those of the current directory."""

    def read(self, path: str, /) -> bytes:
        """Return what is in a file.

        :raises OptionError: if it cannot be read, or is too large to be a list.
        """
        try:
            with open(path, "rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise OptionError(f"{path} cannot be read: {why}") from None
        if len(content) > _LARGEST_FILE:
            raise OptionError(f"{path} has more than {_LARGEST_FILE} bytes; is it the right one?")
        return content

    def find(self, directory: str, pattern: str, /) -> list[str]:
        """Return the paths of the files in a directory that a shell pattern names, sorted.

        ``**`` stands for any number of directories.

        :raises OptionError: if there are none.
        """
        names = glob.glob(pattern, root_dir=directory, recursive=True)
        paths = sorted(os.path.join(directory, name) for name in names)
        found = [path for path in paths if os.path.isfile(path)]
        if not found:
            raise OptionError(f"no file in {os.path.abspath(directory)} is named {pattern}")
        return found
