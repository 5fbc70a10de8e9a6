"""Everything that the configuration can say: the settings and the options that set them."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from bandersnatch.config import readers
from bandersnatch.config.catalogue import CatalogueSettings, read_catalogue
from bandersnatch.config.rates import RateSchedule, rates
from bandersnatch.errors import OptionError, Problem
from bandersnatch.layout import ALL_FORMATS, MirrorLayout, PageFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    _Value = TypeVar("_Value")

_SPARE_CONNECTIONS = 2

# ---------------------------------------------------------------- settings


class ApiMethod(Enum):
    """How a run learns what changed on the index."""

    AUTO = "auto"
    XMLRPC = "xmlrpc"
    SIMPLE = "simple"


class CompareMethod(Enum):
    """How a stored file without a catalogue record is compared with the index."""

    HASH = "hash"
    STAT = "stat"


class RemovedProjects(Enum):
    """What happens to a project that the index no longer has."""

    DELETE = "delete"
    KEEP = "keep"


class Provenance(Enum):
    """What happens to the index's provenance URLs (PEP 740)."""

    LINK = "link"
    DROP = "drop"


class ListenAddress(Struct, frozen=True):
    """Where ``serve`` listens: a host and port, the path of a socket, or an open socket.

    ``host`` is "" for all addresses; ``descriptor`` is the number of the open socket, or -1.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    descriptor: int = -1

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        if self.descriptor >= 0:
            return f"fd:{self.descriptor}"
        host = f"[{self.host}]" if ":" in self.host else self.host or "*"
        return f"{host}:{self.port}"


class Login(Struct, frozen=True):
    """A user name and password, sent only to ``origin`` (scheme, host and port)."""

    origin: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(origin={self.origin!r}, user={self.user!r})"


class TlsSettings(Struct, frozen=True):
    """Paths of files in PEM format, "" for none.

    ``ca_file`` has certificates of authorities that are trusted in addition to the system's.
    ``client_cert`` identifies this client; its key is in ``client_key``, or in the same file.
    """

    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""

    @property
    def is_set(self) -> bool:
        """Whether there is any file."""
        return bool(self.ca_file or self.client_cert)


class IndexSettings(Struct, frozen=True):
    """How the index is reached.

    ``master`` has neither a trailing slash nor credentials, and is empty for PyPI; ``logins`` are
    the credentials from it and from ``download-mirror``. ``index_url`` is set instead of
    ``master`` for an index that has simple pages and nothing else; it has the same form.
    ``file_hosts`` are the only other hosts that files may be on, each with its port if one is
    stated; empty for any public host. ``timeout`` (to connect, and without a byte received) and
    ``global_timeout`` (one whole document) are in seconds. ``netrc`` is whether logins for
    configured hosts are also read from a netrc file. ``max_rate`` is for all downloads together.
    """

    master: str = ""
    proxy: str = ""
    timeout: float = 10.0
    global_timeout: float = 1800.0
    workers: int = 3
    download_workers: int = 8
    max_rate: RateSchedule = RateSchedule()
    api_method: ApiMethod = ApiMethod.AUTO
    user_agent_comment: str = ""
    logins: tuple[Login, ...] = ()
    index_url: str = ""
    file_hosts: tuple[str, ...] = ()
    tls: TlsSettings = TlsSettings()
    netrc: bool = False

    @property
    def url(self) -> str:
        """The URL of the index, as one of its two options states it."""
        return self.index_url or self.master

    @property
    def connections(self) -> int:
        """The maximum number of open connections."""
        return self.workers + self.download_workers + _SPARE_CONNECTIONS


class FileSettings(Struct, frozen=True):
    """Which files are downloaded, from where, and how existing ones are compared.

    ``accept_unhashed`` accepts files for which the index gives no digest.
    """

    release_files: bool = True
    core_metadata: bool = True
    accept_unhashed: bool = False
    compare_method: CompareMethod = CompareMethod.HASH
    download_mirror: str = ""
    download_mirror_no_fallback: bool = False


HTML_FORMATS = (PageFormat.HTML, PageFormat.V1_HTML)
JSON_FORMATS = (PageFormat.V1_JSON,)


class PageSettings(Struct, frozen=True):
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


class RejectionPattern(Struct, frozen=True):
    """Rejected files that the operator acknowledges, by project and name of the file.

    In both ``*`` stands for any characters and ``?`` for one; ``project`` is normalised.
    """

    project: str
    file: str


class RunSettings(Struct, frozen=True):
    """How runs of ``mirror`` and ``verify`` proceed.

    ``max_removals`` is None for the default: the larger of 5 and 0.5 % of the projects.
    ``max_file_removals`` is how many files the index may take off pages within 24 hours, None for
    the default of ``mirror.losses``. Within ``sweep_interval`` every page is asked for once, even
    if nothing says that it changed; with 0 that is never done.
    ``verifiers`` is how many projects ``verify`` reads concurrently.
    """

    stop_on_error: bool = False
    reconcile_interval: timedelta = timedelta(hours=24)
    sweep_interval: timedelta = timedelta(days=30)
    removed_projects: RemovedProjects = RemovedProjects.DELETE
    removal_grace: timedelta = timedelta(days=14)
    max_removals: int | None = None
    max_file_removals: int | None = None
    ignore_rejected: tuple[RejectionPattern, ...] = ()
    verifiers: int = 3


class FilteredAnswer(Enum):
    """What ``serve`` answers about a project that the project filters do not select."""

    MISSING = "missing"
    EMPTY = "empty"


class MetricsAccess(Enum):
    """Who may have the metrics of ``serve``."""

    LOOPBACK = "loopback"
    ALL = "all"


class ServeSettings(Struct, frozen=True):
    """How ``serve`` answers clients.

    ``tls_certificate`` and ``tls_key`` are paths of files in PEM format, "" for none; without a
    key it is in the file of the certificate. ``access_log`` is the path of the log of requests,
    "-" for the standard output, "" for none. ``trusted_proxies`` are networks of reverse proxies
    that name their clients. ``connections_per_address`` is 0 for no limit.
    """

    listen: tuple[ListenAddress, ...] = (ListenAddress("127.0.0.1", 8080),)
    tls_certificate: str = ""
    tls_key: str = ""
    processes: int = 1
    access_log: str = ""
    filtered: FilteredAnswer = FilteredAnswer.MISSING
    trusted_proxies: tuple[str, ...] = ()
    connections_per_address: int = 256
    metrics: MetricsAccess = MetricsAccess.LOOPBACK


class NeededVersions(Enum):
    """Which versions of a followed project are mirrored."""

    NEEDED = "needed"
    ALL = "all"


class FollowedExtras(Enum):
    """Which extras are followed."""

    ALL = "all"
    REQUESTED = "requested"
    NONE = "none"


class MissingDependencies(Enum):
    """What a dependency that the mirror cannot have means for the exit code."""

    FAIL = "fail"
    WARN = "warn"


class ClosureSettings(Struct, frozen=True):
    """Whether and how dependencies are followed.

    ``depth`` is the largest distance from a selected project, None for any; ``max_projects`` is how
    many projects the mirror may have with those that are followed.
    """

    follow: bool = False
    versions: NeededVersions = NeededVersions.NEEDED
    extras: FollowedExtras = FollowedExtras.REQUESTED
    build_requirements: bool = False
    depth: int | None = None
    max_projects: int = 5_000
    missing: MissingDependencies = MissingDependencies.FAIL


class DiffSettings(Struct, frozen=True):
    """Where the diff file, the list of changed paths, is written; no ``path`` for nowhere."""

    path: str = ""
    append_epoch: bool = False


class FreeSpace(Struct, frozen=True):
    """How much of a disk stays free: ``size`` bytes or ``share`` of it, the smaller of both."""

    size: int | None = 1024**3
    share: float | None = 0.01

    def __bool__(self) -> bool:
        return self.size != 0 and self.share != 0

    def of(self, whole: int) -> int:
        """Return how many bytes stay free on a disk of ``whole`` bytes."""
        share = whole if self.share is None else int(whole * self.share)
        return share if self.size is None else min(self.size, share)


_LEAST_WORKER_TIMEOUT = 4.0
_MOST_PROCESSES = 64


class Backend(Enum):
    """What a mirror is stored in."""

    FILESYSTEM = "filesystem"
    S3 = "s3"


class BucketSettings(Struct, frozen=True):
    """A bucket of an object store with the S3 protocol, and how it is reached.

    ``prefix`` is what all keys of the mirror begin with: "" or segments, each with a slash behind
    it. Without ``access_key_id`` the credentials are those of the environment; without
    ``endpoint`` the store is that of the region at Amazon. ``max_attempts`` is how often one
    request is sent at most, ``verify_concurrency`` how many objects are examined concurrently.
    ``encryption`` are settings of the client, and ``write_headers`` and ``headers`` the headers of
    requests that write and of all, as pairs. ``state_directory`` is a local directory.
    """

    bucket: str
    prefix: str
    state_directory: str
    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    endpoint: str = ""
    max_attempts: int = 10
    verify_concurrency: int = 50
    encryption: tuple[tuple[str, str], ...] = ()
    write_headers: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"BucketSettings(bucket={self.bucket!r}, prefix={self.prefix!r})"


class StorageSettings(Struct, frozen=True):
    """Where the mirror is, whether it must exist, and how much of its disk stays free.

    ``directory`` is a local path, or of a mirror in a ``bucket`` its name and the prefix.
    """

    directory: str
    backend: Backend = Backend.FILESYSTEM
    keep_free: FreeSpace = FreeSpace()
    must_exist: bool = False
    bucket: BucketSettings | None = None

    @property
    def state_directory(self) -> str:
        """The local directory of the catalogue, the lock and the journal."""
        return self.directory if self.bucket is None else self.bucket.state_directory


class ClusterSettings(Struct, frozen=True):
    """Whether other processes sync the projects of ``mirror``, and when such a worker is lost.

    ``worker_timeout`` is in seconds without a sign of life. A run that has no worker for
    ``worker_wait`` seconds ends.
    """

    enabled: bool = False
    worker_timeout: float = 30.0
    worker_wait: float = 60.0


class FilterSettings(Struct, frozen=True):
    """The names of the enabled filters, and the sections that filters may read."""

    enabled: tuple[str, ...] = ()
    sections: Mapping[str, Mapping[str, str]] = {}


class Settings(Struct, frozen=True):
    """The whole configuration, read once and handed down in pieces.

    ``metrics_file`` is the path of the file for the metrics of each run, "" for none.
    ``catalogue`` is None for a file in the state directory. ``processes`` sync the projects of a
    run; None leaves their number to the plan and the machine.
    ``notes`` are remarks for the operator about a file that can be used.
    """

    storage: StorageSettings
    index: IndexSettings = IndexSettings()
    files: FileSettings = FileSettings()
    pages: PageSettings = PageSettings()
    run: RunSettings = RunSettings()
    diff: DiffSettings = DiffSettings()
    filters: FilterSettings = FilterSettings()
    serve: ServeSettings = ServeSettings()
    closure: ClosureSettings = ClosureSettings()
    catalogue: CatalogueSettings | None = None
    cluster: ClusterSettings = ClusterSettings()
    processes: int | None = None
    log_config: str = ""
    metrics_file: str = ""
    notes: tuple[str, ...] = ()


# ---------------------------------------------------------------- options


class SectionOptions:
    """Reads the options of a section by name; collects their names and problems.

    ``refused`` are options that have a problem already: they are not read.
    """

    def __init__(
        self, texts: Mapping[str, str], refused: Collection[str] = (), section: str = "mirror"
    ) -> None:
        self._texts = texts
        self._refused = frozenset(refused)
        self._section = section
        self.names: set[str] = set()
        self.problems: list[Problem] = []

    def read(self, name: str, reader: Callable[[str], _Value], default: _Value) -> _Value:
        """Return the option's value; ``default`` if it is not set or cannot be read."""
        self.names.add(name)
        text = self._texts.get(name)
        if text is None or name in self._refused:
            return default
        try:
            return reader(text)
        except OptionError as error:
            self.refuse(name, str(error))
            return default

    def beginning_with(self, prefix: str) -> list[str]:
        """Return the names of all options that are set and begin with ``prefix``."""
        found = [name for name in self._texts if name.startswith(prefix)]
        self.names.update(found)
        return found

    def refuse(self, name: str, message: str) -> None:
        """Add a problem of an option."""
        self.problems.append(Problem(self._section, name, message))

    def is_set(self, name: str) -> bool:
        """Whether an option has a value other than the empty text."""
        return bool(self._texts.get(name, "").strip())

    def is_refused(self, name: str) -> bool:
        """Whether an option has a problem."""
        return name in self._refused or any(each.option == name for each in self.problems)


def read_mirror(options: SectionOptions, notes: list[str]) -> Settings:
    """Read all options of ``[mirror]``; appends remarks about retired ones to ``notes``."""
    options.read("cleanup_todo", readers.boolean, default=False)  # accepted, without effect
    files, login = _read_files(options)
    index, pages = _read_index(options, login), _read_pages(options)
    if index.index_url and pages.legacy_json:
        options.refuse("json", "index-url is set, and such an index has no legacy documents")
    return Settings(
        storage=_read_storage(options),
        index=index,
        files=files,
        pages=pages,
        run=_read_run(options, notes),
        diff=_read_diff(options),
        catalogue=options.read("catalogue", read_catalogue, None),
        cluster=_read_cluster(options),
        processes=options.read("processes", _processes, None),
        log_config=options.read("log-config", readers.optional_path, ""),
        metrics_file=options.read("metrics-file", readers.optional_path, ""),
    )


def _read_cluster(options: SectionOptions) -> ClusterSettings:
    """Read whether workers sync projects, for which they need a catalogue that all can reach."""
    default = ClusterSettings()
    settings = ClusterSettings(
        enabled=options.read("cluster", readers.boolean, default.enabled),
        worker_timeout=options.read("worker-timeout", readers.seconds, default.worker_timeout),
        worker_wait=options.read("worker-wait", readers.seconds, default.worker_wait),
    )
    if settings.enabled and not options.is_set("catalogue"):
        options.refuse("cluster", "catalogue is not set; workers need one in PostgreSQL")
    if settings.worker_timeout < _LEAST_WORKER_TIMEOUT:
        least = f"{_LEAST_WORKER_TIMEOUT:.0f} seconds"
        options.refuse("worker-timeout", f"it is less than {least}; workers tell more rarely")
    return settings


def _processes(text: str) -> int | None:
    """Read a number of processes; None for ``auto``."""
    if text.strip().lower() == "auto":
        return None
    try:
        return readers.whole_number(1, _MOST_PROCESSES)(text)
    except OptionError as error:
        raise OptionError(f"{error}, and not auto") from None


def check_processes(settings: Settings, options: SectionOptions) -> None:
    """Refuse a number of processes if the projects are not synced by processes of this machine."""
    count = settings.processes
    if count is None:
        return
    if settings.cluster.enabled:
        options.refuse("processes", "cluster is true; workers sync the projects: leave it out")
    elif count > 1 and settings.storage.backend is not Backend.FILESYSTEM:
        options.refuse("processes", "a mirror in a bucket is synced by one process; use cluster")


def mirror_options() -> frozenset[str]:
    """Return the names of all options of ``[mirror]``, without the retired ones."""
    options = SectionOptions({})
    read_mirror(options, [])
    return frozenset(options.names)


def read_serve(options: SectionOptions) -> ServeSettings:
    """Read all options of ``[serve]``."""
    default = ServeSettings()
    settings = ServeSettings(
        listen=options.read("listen", listen_addresses, default.listen),
        tls_certificate=options.read("tls-certificate", readers.optional_path, ""),
        tls_key=options.read("tls-key", readers.optional_path, ""),
        processes=options.read("processes", readers.whole_number(1, 64), default.processes),
        access_log=options.read("access-log", readers.optional_path, ""),
        filtered=options.read("filtered", readers.choice(FilteredAnswer), default.filtered),
        trusted_proxies=options.read("trusted-proxies", readers.networks, ()),
        connections_per_address=options.read(
            "connections-per-address", readers.whole_number(0), default.connections_per_address
        ),
        metrics=options.read("metrics", readers.choice(MetricsAccess), default.metrics),
    )
    if settings.tls_key and not settings.tls_certificate:
        options.refuse(
            "tls-key", "tls-certificate is not set; it names the certificate of this key"
        )
    return settings


def serve_options() -> frozenset[str]:
    """Return the names of all options of ``[serve]``."""
    options = SectionOptions({})
    read_serve(options)
    return frozenset(options.names)


def _read_storage(options: SectionOptions) -> StorageSettings:
    """Read where the mirror is stored."""
    options.read("storage-filesystem-manage-permissions", readers.boolean, default=True)
    directory = options.read("directory", readers.path, "")
    if not directory and not options.is_refused("directory"):
        options.refuse("directory", "it must say where the mirror is kept")
    return StorageSettings(
        directory=directory,
        backend=options.read("storage-backend", _backend, Backend.FILESYSTEM),
        keep_free=options.read("min-free-space", _free_space, FreeSpace()),
        must_exist=options.read("must-exist", readers.boolean, default=False),
    )


def _read_index(options: SectionOptions, *logins: Login | None) -> IndexSettings:
    """Read how the index is reached; ``logins`` are those for other origins."""
    default = IndexSettings()
    master, login = split_login(options.read("master", readers.url("https", "http"), ""))
    index_url, other = split_login(options.read("index-url", readers.index_url, ""))
    non_https = options.read("allow-non-https", readers.boolean, default=False)
    for name, url in (("master", master), ("index-url", index_url)):
        if url.startswith("http:") and not non_https:
            options.refuse(name, "it is not https; set allow-non-https = true if that is intended")
    workers = readers.whole_number(1, 100)
    return IndexSettings(
        master=master,
        proxy=options.read("proxy", readers.proxy, default.proxy),
        timeout=options.read("timeout", readers.seconds, default.timeout),
        global_timeout=options.read("global-timeout", readers.seconds, default.global_timeout),
        workers=options.read("workers", workers, default.workers),
        download_workers=options.read("download-workers", workers, default.download_workers),
        max_rate=options.read("max-rate", rates, default.max_rate),
        api_method=_api_method(options, index_url),
        user_agent_comment=options.read("user-agent-comment", readers.header_text, ""),
        logins=tuple(each for each in (login, other, *logins) if each is not None),
        index_url=index_url,
        file_hosts=options.read("file-hosts", readers.hosts, default.file_hosts),
        tls=_read_tls(options),
        netrc=options.read("netrc", readers.boolean, default=default.netrc),
    )


def _read_tls(options: SectionOptions) -> TlsSettings:
    """Read the files for TLS."""
    tls = TlsSettings(
        ca_file=options.read("ca-file", readers.optional_path, ""),
        client_cert=options.read("client-cert", readers.optional_path, ""),
        client_key=options.read("client-key", readers.optional_path, ""),
    )
    if tls.client_key and not tls.client_cert and not options.is_refused("client-cert"):
        options.refuse("client-key", "client-cert is not set; it names the certificate of this key")
    return tls


def _api_method(options: SectionOptions, index_url: str) -> ApiMethod:
    """Read how changes are found: an index that ``index-url`` names has pages only."""
    method = options.read("api-method", readers.choice(ApiMethod), ApiMethod.AUTO)
    if not index_url:
        return method
    if options.is_set("master"):
        why = "master is set too; keep master for PyPI and its mirrors, else index-url"
        options.refuse("index-url", why)
    if method is ApiMethod.XMLRPC:
        options.refuse("api-method", "index-url is set, and such an index has no changelog")
    return ApiMethod.SIMPLE


def _read_files(options: SectionOptions) -> tuple[FileSettings, Login | None]:
    """Read which files are downloaded, and the login for ``download-mirror``."""
    default = FileSettings()
    no_fallback = default.download_mirror_no_fallback
    origin, login = split_login(options.read("download-mirror", readers.url("https", "http"), ""))
    files = FileSettings(
        release_files=options.read("release-files", readers.boolean, default.release_files),
        core_metadata=options.read("core-metadata", readers.boolean, default.core_metadata),
        accept_unhashed=options.read("accept-unhashed", readers.boolean, default.accept_unhashed),
        compare_method=options.read(
            "compare-method", readers.choice(CompareMethod), default.compare_method
        ),
        download_mirror=origin,
        download_mirror_no_fallback=options.read(
            "download-mirror-no-fallback", readers.boolean, no_fallback
        ),
    )
    return files, login


def _read_pages(options: SectionOptions) -> PageSettings:
    """Read what the published pages look like."""
    default = PageSettings()
    versions = [
        options.read(name, readers.whole_number(0), None)
        for name in ("keep_index_versions", "keep-index-versions")
    ]
    if None not in versions:
        options.refuse("keep_index_versions", "both spellings are set; keep one")
    return PageSettings(
        hash_index=options.read("hash-index", readers.boolean, default.hash_index),
        formats=options.read("simple-format", _formats, default.formats),
        root_uri=options.read("root_uri", readers.public_url, default.root_uri),
        digest_name=options.read("digest_name", readers.digest_name, default.digest_name),
        keep_index_versions=next(filter(None, versions), default.keep_index_versions),
        legacy_json=options.read("json", readers.boolean, default.legacy_json),
        provenance=options.read("provenance", readers.choice(Provenance), default.provenance),
        cleanup=options.read("cleanup", readers.boolean, default.cleanup),
    )


def _read_run(options: SectionOptions, notes: list[str]) -> RunSettings:
    """Read how runs proceed; appends a remark about a retired spelling to ``notes``."""
    default = RunSettings()
    return RunSettings(
        stop_on_error=options.read("stop-on-error", readers.boolean, default.stop_on_error),
        reconcile_interval=options.read(
            "reconcile-interval", readers.duration, default.reconcile_interval
        ),
        sweep_interval=options.read(
            "sweep-interval", readers.duration_with_unit, default.sweep_interval
        ),
        removed_projects=_removed_projects(options, notes),
        removal_grace=options.read("removal-grace", readers.duration, default.removal_grace),
        max_removals=options.read("max-removals", readers.whole_number(0), default.max_removals),
        max_file_removals=options.read(
            "max-file-removals", readers.whole_number(0), default.max_file_removals
        ),
        ignore_rejected=options.read(
            "ignore-rejected", _rejection_patterns, default.ignore_rejected
        ),
        verifiers=options.read("verifiers", readers.whole_number(1, 100), default.verifiers),
    )


def _removed_projects(options: SectionOptions, notes: list[str]) -> RemovedProjects:
    """Read ``removed-projects`` and its earlier spellings, which must agree with it."""
    new = "removed-projects"
    chosen = options.read(new, readers.choice(RemovedProjects), None)
    for old in ("delete_missing_packages", "delete-packages"):
        is_deleting = options.read(old, readers.boolean, None)
        if is_deleting is None:
            continue
        meant = RemovedProjects.DELETE if is_deleting else RemovedProjects.KEEP
        meaning = f"{new} = {meant.value}"
        if chosen in {None, meant}:
            notes.append(f"[mirror] {old} is read as {meaning}")
        else:
            options.refuse(old, f"it means {meaning}, and {new} says otherwise; keep that one")
        chosen = chosen or meant
    return chosen or RemovedProjects.DELETE


def _read_diff(options: SectionOptions) -> DiffSettings:
    """Read where the diff file is written."""
    return DiffSettings(
        path=options.read("diff-file", readers.optional_path, ""),
        append_epoch=options.read("diff-append-epoch", readers.boolean, default=False),
    )


def read_closure(options: SectionOptions, files: FileSettings) -> ClosureSettings:
    """Read all options of ``[closure]``; ``files`` are the settings that following depends on."""
    default = ClosureSettings()
    settings = ClosureSettings(
        follow=options.read("follow", readers.boolean, default.follow),
        versions=options.read("versions", readers.choice(NeededVersions), default.versions),
        extras=options.read("extras", readers.choice(FollowedExtras), default.extras),
        build_requirements=options.read(
            "build-requirements", readers.boolean, default.build_requirements
        ),
        depth=options.read("depth", readers.whole_number(1), default.depth),
        max_projects=options.read("max-projects", readers.whole_number(1), default.max_projects),
        missing=options.read(
            "missing-dependencies", readers.choice(MissingDependencies), default.missing
        ),
    )
    if settings.follow and not files.release_files:
        options.refuse("follow", "release-files is false; dependencies are read from stored files")
    if settings.follow and not files.core_metadata:
        options.refuse("follow", "core-metadata is false; dependencies are read from core metadata")
    return settings


def closure_options() -> frozenset[str]:
    """Return the names of all options of ``[closure]``."""
    options = SectionOptions({}, section="closure")
    read_closure(options, FileSettings())
    return frozenset(options.names)


UNREAD_SECTIONS = frozenset({"s3"})
"""Sections that are accepted unread, unless what they configure is enabled."""


# ---------------------------------------------------------------- readers of single options


def listen_addresses(text: str) -> tuple[ListenAddress, ...]:
    """Read where to listen, an address a line: ``127.0.0.1:8080``, ``[::]:80``, ``unix:PATH``."""
    found = tuple(
        dict.fromkeys(ListenAddress(*each) for each in map(_address, readers.lines(text)))
    )
    if not found:
        raise OptionError("no address is given; write one such as 127.0.0.1:8080")
    return found


def _address(line: str) -> tuple[str, int, str, int]:
    kind, _, rest = line.partition(":")
    if kind == "unix":
        return "", 0, readers.path(rest), -1
    if kind == "fd":
        return "", 0, "", readers.whole_number(0, 65_535)(rest)
    return *readers.host_and_port(line), "", -1


def split_login(url: str) -> tuple[str, Login | None]:
    """Return a URL without its user name and password, and these as a login, if it has any.

    Everything else that is made of the URL is logged and published.
    """
    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    host = parts.netloc.rpartition("@")[2]
    login = Login(
        f"{parts.scheme}://{host}", unquote(parts.username), unquote(parts.password or "")
    )
    return parts._replace(netloc=host).geturl(), login


def _formats(text: str) -> tuple[PageFormat, ...]:
    formats = {"all": ALL_FORMATS, "html": HTML_FORMATS, "json": JSON_FORMATS}
    try:
        return formats[text.strip().lower()]
    except KeyError:
        raise readers.refusal(text, "is not one of ALL, HTML, JSON") from None


def _rejection_patterns(text: str) -> tuple[RejectionPattern, ...]:
    """Read a pattern a line: of files, or of projects, a colon, and of their files."""
    return tuple(RejectionPattern(*readers.project_and_file(line)) for line in readers.lines(text))


def _backend(text: str) -> Backend:
    value = text.strip().lower()
    if value == "swift":
        raise OptionError(
            "'swift' is not available since release 7; Swift's S3 layer is: set "
            "storage-backend = s3, with [s3] endpoint_url"
        )
    if value not in {each.value for each in Backend}:
        raise readers.refusal(text, "is not one of filesystem, s3")
    return Backend(value)


def _free_space(text: str) -> FreeSpace:
    size, share = readers.size_or_share(text)
    return FreeSpace(size=size, share=share)
