"""Release files, and the validation of their fields (PEP 691, 700, 714, 740)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

from bandersnatch.errors import InvalidValue
from bandersnatch.model.digests import Digest, Hashes

MAX_FILE_SIZE = 2 * 1024**3
"""Bytes; PyPI's own limit is 1 GiB."""

MAX_FILENAME_LENGTH = 255
"""Bytes; the limit of common file systems."""

FILE_ENDINGS = (
    ".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.z", ".tar",
    ".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg",
)  # fmt: skip
"""The endings of release file names, in lower case. A browser runs or shows none of them."""

COMPANION_ENDING = ".json"
"""The ending of files that describe the files of their version; none of them is a release file."""

VARIANTS_ENDING = "-variants.json"
"""The ending of the companion that lists the variants of a version's wheels (draft PEP 825)."""

MAX_REQUIRES_PYTHON_LENGTH = 1_000
MAX_REASON_LENGTH = 4_000

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]*", re.ASCII)
_SEPARATOR = re.compile(r"[/\\]")
_UNREADABLE = re.compile(
    "["
    r"\x00-\x1f\x7f-\x9f\u2028\u2029"  # control characters and line separators
    r"\ud800-\udfff\ufdd0-\ufdef"  # surrogates and noncharacters
    + "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(0x11))
    # format characters, among them those that change the direction of text
    + r"\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\ufeff\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001345f"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    # other characters that are not shown (Default_Ignorable_Code_Point)
    r"\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0"
    "]"
)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?(?:Z|\+00:00)", re.ASCII
)  # PEP 700 requires "Z"; the legacy documents of some indexes have the offset
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """One file of a project, as listed by its detail page.

    ``url`` is absolute. ``path`` is relative to the served root and computed here, never copied
    (``packages/aa/bb/.../name``). ``hashes`` are the digests that are known: on a page those that
    it gives, of any algorithm and maybe none; of a stored file those of its content. ``size`` is
    in bytes, None if the index does not state it. ``upload_time`` is in UTC.

    ``core_metadata`` (PEP 714) has the hashes of the sidecar ``<url>.metadata``: empty if it exists
    and its hash is unknown, False if it does not exist, None if the index does not say.
    ``yanked`` (PEP 592) is the reason, which may be "", or None for a file that is not yanked.
    ``provenance`` (PEP 740) is an absolute https URL.
    """

    filename: str
    url: str
    path: str
    hashes: Hashes
    size: int | None = None
    upload_time: datetime | None = None
    requires_python: str | None = None
    yanked: str | None = None
    core_metadata: Hashes | bool | None = None
    provenance: str | None = None

    @property
    def sha256(self) -> Digest | None:
        """The sha256 digest of the content, or None if it is not known."""
        return self.hashes.sha256

    @property
    def digest(self) -> Digest | None:
        """The digest that the content is verified with; None if there is none."""
        return self.hashes.strongest

    @property
    def sidecar(self) -> Digest | None:
        """The digest of the core metadata, or None if it does not exist or cannot be verified."""
        return self.core_metadata.strongest if isinstance(self.core_metadata, Hashes) else None

    @property
    def modified(self) -> int | None:
        """The modification time of the stored file: the upload time in nanoseconds since 1970."""
        if self.upload_time is None:
            return None
        since = self.upload_time - _EPOCH
        return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_companion(filename: str) -> bool:
    """Whether a file describes the files of its version, and is no release file itself."""
    return filename.endswith(COMPANION_ENDING)


def is_mutable(filename: str) -> bool:
    """Whether an index may change the content of a file of this name.

    It adds to the variants of a version while wheels are uploaded (draft PEP 825).
    """
    return filename.endswith(VARIANTS_ENDING)


def check_filename(value: object) -> str:
    """Return ``value`` if it is a valid name of a release file.

    It is one segment of a path that people can read, has a known ending, and web servers treat it
    as any other file. Everything else is allowed, because such files exist on PyPI
    (docs/development/protocol.md, "Names, paths and URLs").

    :raises InvalidValue: if it is not.
    """
    if not isinstance(value, str):
        raise InvalidValue("file name", value, "is not text")
    if not _PLAIN_NAME.fullmatch(value):
        _check_characters(value)
    if not value.lower().endswith((*FILE_ENDINGS, COMPANION_ENDING)):
        raise InvalidValue("file name", value, "has none of the endings of release files")
    if name_length(value) > MAX_FILENAME_LENGTH:
        raise InvalidValue("file name", value, f"is longer than {MAX_FILENAME_LENGTH} bytes")
    return value


def _check_characters(name: str) -> None:
    """Refuse characters that mislead people, programs or file systems.

    :raises InvalidValue: if there are any.
    """
    if name.startswith("."):
        raise InvalidValue("file name", name, "begins with a dot")
    if _SEPARATOR.search(name):
        raise InvalidValue("file name", name, "has a slash or a backslash")
    if found := _UNREADABLE.search(name):
        code = f"U+{ord(found[0]):04X}"
        raise InvalidValue("file name", name, f"has the control or invisible character {code}")
    if "%" in name and _SEPARATOR.search(unquote(unquote(name))):
        raise InvalidValue("file name", name, "has an escaped slash or backslash")


def name_length(name: str) -> int:
    """Return the length of a file's name in bytes, as file systems count it."""
    return len(name) if name.isascii() else len(name.encode())


def check_size(value: object) -> int:
    """Return ``value`` if it is a valid file size in bytes.

    :raises InvalidValue: if it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_FILE_SIZE:
        raise InvalidValue("size", value, f"is not a whole number from 0 to {MAX_FILE_SIZE}")
    return value


def parse_upload_time(value: object) -> datetime | None:
    """Return the upload time that the index states, or None if ``value`` is no time.

    A time after the time of this machine is kept too: its clock may be behind, and the page would
    lose the time for good. Filters by age take it for a time that has not come yet. Times before
    1980 are placeholders; times from 2200 on are beyond what file systems store.
    """
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if _EARLIEST <= time < _LATEST else None


def format_upload_time(time: datetime) -> str:
    """Return the form of PEP 700 with microseconds, as PyPI does."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def clean_text(value: object, *, longest: int) -> str | None:
    """Return the text with spaces for control characters, or None if too long or not a text."""
    if not isinstance(value, str) or len(value) > longest:
        return None
    return _CONTROLS.sub(" ", value)


def clean_reason(value: object) -> str:
    """Return a yank or status reason, cut to its limit; "" unless ``value`` is a text."""
    if not isinstance(value, str):
        return ""
    return _CONTROLS.sub(" ", value)[:MAX_REASON_LENGTH]
