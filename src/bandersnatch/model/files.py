"""Release files, and the validation of their fields (PEP 691, 700, 714, 740)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
"""The endings of release file names, in lower case."""

COMPANION_ENDING = ".json"
"""The ending of files that describe the files of their version; none of them is a release file."""

VARIANTS_ENDING = "-variants.json"
"""The ending of the companion that lists the variants of a version's wheels (draft PEP 825)."""

MAX_REQUIRES_PYTHON_LENGTH = 1_000
MAX_REASON_LENGTH = 4_000

_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?(?:Z|\+00:00)", re.ASCII
)  # PEP 700 requires "Z"; the legacy documents of some indexes have the offset
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)


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

    Only listed characters are allowed, because the parsers of ``packaging`` accept path
    separators, NUL and newlines (docs/development/protocol.md, "Names, paths and URLs").

    :raises InvalidValue: if it is not.
    """
    if not isinstance(value, str):
        raise InvalidValue("file name", value, "is not text")
    if not _FILENAME.fullmatch(value):
        raise InvalidValue("file name", value, "is not letters, digits and . _ + ! -")
    if ".." in value:
        raise InvalidValue("file name", value, "contains ..")
    if value.endswith(".metadata"):
        raise InvalidValue("file name", value, "is that of another file's core metadata")
    if len(value) > MAX_FILENAME_LENGTH:
        raise InvalidValue("file name", value, f"is longer than {MAX_FILENAME_LENGTH} bytes")
    return value


def check_size(value: object) -> int:
    """Return ``value`` if it is a valid file size in bytes.

    :raises InvalidValue: if it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_FILE_SIZE:
        raise InvalidValue("size", value, f"is not a whole number from 0 to {MAX_FILE_SIZE}")
    return value


def parse_upload_time(value: object, *, now: datetime) -> datetime | None:
    """Return the upload time, or None if ``value`` is not a plausible one.

    A time before 1980 or more than one day after ``now`` is not plausible; filters by age would
    decide wrongly with it.
    """
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if _EARLIEST <= time <= now + timedelta(days=1) else None


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
