"""The list files that options name: requirement files, lock files, lists of names."""

from __future__ import annotations

from pathlib import Path

from bandersnatch.errors import OptionError

_LARGEST_FILE = 256 * 1024**2


class ListFiles:
    """Reads list files from the disk; relative paths are those of the current directory."""

    def read(self, path: str, /) -> bytes:
        """Return what is in a file.

        :raises OptionError: if it cannot be read, or is too large to be a list.
        """
        try:
            with Path(path).open("rb") as file:
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
        try:
            found = sorted(str(path) for path in Path(directory).glob(pattern) if path.is_file())
        except (NotImplementedError, ValueError, OSError) as error:
            raise OptionError(f"{pattern} cannot be looked for: {error}") from None
        if not found:
            raise OptionError(f"no file in {Path(directory).resolve()} is named {pattern}")
        return found
