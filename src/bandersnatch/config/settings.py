"""What the configuration says, as frozen values (contract, section 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from bandersnatch.layout import ALL_FORMATS, MirrorLayout, PageFormat

if TYPE_CHECKING:
    from collections.abc import Mapping


_SPARE_CONNECTIONS = 2


class ApiMethod(Enum):
    """Where changes are learnt from."""

    AUTO = "auto"
    XMLRPC = "xmlrpc"
    SIMPLE = "simple"


class HttpClient(Enum):
    """Which library sends the requests for pages and files."""

    AUTO = "auto"
    """libcurl, unless it is not installed or a proxy is used."""
    AIOHTTP = "aiohttp"


class CompareMethod(Enum):
    """How a file that is there already is judged."""

    HASH = "hash"
    STAT = "stat"


class RemovedProjects(Enum):
    """What becomes of a project that the index no longer has."""

    DELETE = "delete"
    KEEP = "keep"


class Provenance(Enum):
    """What becomes of the index's provenance URLs (PEP 740)."""

    LINK = "link"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Login:
    """What is sent to one origin (scheme, host and port) and to no other."""

    origin: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How the index is asked.

    ``master`` has no trailing slash and no credentials, and is empty for PyPI; ``logins`` are
    the credentials that stood in it and in ``download-mirror``. ``timeout`` (connecting, and
    silence) and ``global_timeout`` (one whole document) are in seconds.
    """

    master: str = ""
    proxy: str = ""
    timeout: float = 10.0
    global_timeout: float = 1800.0
    workers: int = 3
    download_workers: int = 8
    api_method: ApiMethod = ApiMethod.AUTO
    user_agent_comment: str = ""
    http_client: HttpClient = HttpClient.AUTO
    logins: tuple[Login, ...] = ()

    @property
    def connections(self) -> int:
        """How many connections there may be at once."""
        return self.workers + self.download_workers + _SPARE_CONNECTIONS


@dataclass(frozen=True, slots=True)
class FileSettings:
    """Which files are had, from where, and how those that are there are judged."""

    release_files: bool = True
    core_metadata: bool = True
    compare_method: CompareMethod = CompareMethod.HASH
    download_mirror: str = ""
    download_mirror_no_fallback: bool = False


HTML_FORMATS = (PageFormat.HTML, PageFormat.V1_HTML)
JSON_FORMATS = (PageFormat.V1_JSON,)


@dataclass(frozen=True, slots=True)
class PageSettings:
    """What the published pages look like."""

    hash_index: bool = False
    formats: tuple[PageFormat, ...] = ALL_FORMATS
    root_uri: str = ""
    digest_name: str = "sha256"
    keep_index_versions: int = 0
    legacy_json: bool = False
    provenance: Provenance = Provenance.LINK
    cleanup: bool = False

    @property
    def layout(self) -> MirrorLayout:
        """The keys of the pages under these options."""
        return MirrorLayout(self.hash_index, self.formats)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a run goes about its work.

    ``max_removals`` is None for the default: the larger of 5 and 0.5 % of the projects.
    ``verifiers`` is how many projects ``verify`` reads side by side.
    """

    stop_on_error: bool = False
    reconcile_interval: timedelta = timedelta(hours=24)
    removed_projects: RemovedProjects = RemovedProjects.DELETE
    removal_grace: timedelta = timedelta(days=14)
    max_removals: int | None = None
    verifiers: int = 3


@dataclass(frozen=True, slots=True)
class DiffSettings:
    """Where the list of what changed goes; ``path`` is empty for nowhere."""

    path: str = ""
    append_epoch: bool = False


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """How much of a disk is to stay free: so many bytes or a share of all, the smaller of both."""

    size: int | None = 1024**3
    share: float | None = 0.01

    def __bool__(self) -> bool:
        return self.size != 0 and self.share != 0

    def of(self, whole: int) -> int:
        """Return the bytes that are to stay free of so many."""
        share = whole if self.share is None else int(whole * self.share)
        return share if self.size is None else min(self.size, share)


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where the mirror is, and how much of its disk it leaves to others."""

    directory: str
    backend: str = "filesystem"
    keep_free: FreeSpace = FreeSpace()


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """The enabled filters' names, and all sections that filters may read."""

    enabled: tuple[str, ...] = ()
    sections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, read once and handed down in pieces."""

    storage: StorageSettings
    index: IndexSettings = IndexSettings()
    files: FileSettings = FileSettings()
    pages: PageSettings = PageSettings()
    run: RunSettings = RunSettings()
    diff: DiffSettings = DiffSettings()
    filters: FilterSettings = FilterSettings()
    log_config: str = ""
    notes: tuple[str, ...] = ()
    """What the operator should be told about the file, though it can be used."""
