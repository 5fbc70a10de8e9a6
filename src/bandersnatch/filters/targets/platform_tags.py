"""Platform tags as operators write them (PEP 425, 513, 571, 599, 600, 656, 730, 738)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bandersnatch.errors import OptionError
from bandersnatch.filters.options import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

LINUX_ARCHITECTURES = frozenset(
    {"x86_64", "i386", "i486", "i586", "i686", "aarch64", "aarch64_be"}
    | {"armv5tel", "armv6l", "armv7l", "armv8l", "ppc", "ppc64", "ppc64le", "s390", "s390x"}
    | {"riscv32", "riscv64", "loongarch64", "mips", "mipsel", "mips64", "mips64el"}
    | {"ia64", "alpha", "sparc64"}
)
"""Those of ``linux_*``, ``manylinux*`` and ``musllinux*`` tags."""

WINDOWS_ARCHITECTURES = frozenset({"amd64", "arm64", "arm32", "ia64"})
MACOS_FORMATS = frozenset(
    {"x86_64", "arm64", "universal2", "universal", "intel", "i386"}
    | {"ppc", "ppc64", "fat", "fat3", "fat32", "fat64"}
)

_FAMILIES = (
    (
        re.compile(r"(?:linux|manylinux(?:1|2010|2014|_\d+_\d+)|musllinux_\d+_\d+)_(\w+)"),
        LINUX_ARCHITECTURES,
    ),
    (re.compile(r"macosx_\d+_\d+_(\w+)"), MACOS_FORMATS),
    (re.compile(r"win_(\w+)"), WINDOWS_ARCHITECTURES),
)
_OTHER = re.compile(
    r"win32|(?:android|ios|pyodide|(?:py)?emscripten"
    r"|freebsd|openbsd|netbsd|dragonfly|cygwin|aix|sunos|solaris|hp_ux|haiku)_\d\w*"
)


def spelt(text: str) -> str:
    """Return a platform in the form of tags: in lower case, with ``_`` for ``-`` and ``.``."""
    return text.lower().replace("-", "_").replace(".", "_")


def is_platform_tag(tag: str) -> bool:
    """Whether a tag, as ``spelt`` gives it, is of a family of platforms that is known.

    :raises OptionError: if it is and has an architecture that nobody has.
    """
    for pattern, architectures in _FAMILIES:
        found = pattern.fullmatch(tag)
        if found is not None and found[1] not in architectures:
            raise OptionError(
                f"there is no platform {tag!r}{nearest(found[1], architectures)}; it would end "
                f"with one of {', '.join(sorted(architectures))}"
            )
        if found is not None:
            return True
    return _OTHER.fullmatch(tag) is not None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the question whether a known word was meant; the words here are short."""
    return suggestion(word, known, cutoff=0.5)
