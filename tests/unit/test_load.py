"""Loading a configuration: every option, every default, and all problems together."""

from __future__ import annotations

from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from bandersnatch.app import Configuration
from bandersnatch.app import load as load_file
from bandersnatch.config.catalogue import CatalogueSettings
from bandersnatch.config.hours import Hours
from bandersnatch.config.rates import RateSchedule
from bandersnatch.config.schema import (
    ApiMethod,
    Backend,
    CompareMethod,
    FreeSpace,
    Provenance,
    RejectionPattern,
    RemovedProjects,
    Settings,
    StorageSettings,
    mirror_options,
)
from bandersnatch.errors import ConfigError
from bandersnatch.layout import MirrorLayout, PageFormat
from bandersnatch.model.names import project_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Load = Callable[[str], Configuration]
    Refusal = Callable[[str], list[str]]

HTML = (PageFormat.HTML, PageFormat.V1_HTML)
JSON = (PageFormat.V1_JSON,)
PYPI = f"https://{urlsplit(PYPI_SIMPLE_ENDPOINT).hostname}"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads a text as a configuration that only its owner can read."""
    path = tmp_path / "mirror.conf"
    path.touch(mode=0o600)

    def load(text: str) -> Configuration:
        path.write_text(text, encoding="utf-8")
        return load_file(path)

    return load


@pytest.fixture
def refusal(load: Load, tmp_path: Path) -> Refusal:
    """Return a function that returns the problems of a text, without the file's name."""

    def refusal(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        lines = str(caught.value).splitlines()
        file = f"{tmp_path / 'mirror.conf'}: "
        assert all(line.startswith(file) for line in lines)
        return [line.removeprefix(file) for line in lines]

    return refusal


def mirror(**options: object) -> str:
    """Return a valid configuration with more options, whose names have no dashes."""
    return mirror_with({name: str(value) for name, value in options.items()})


def mirror_with(options: Mapping[str, str]) -> str:
    """Return a valid configuration with more options."""
    lines = {"directory": "/srv/pypi", **options}
    return "\n".join(["[mirror]", *(f"{name} = {text}" for name, text in lines.items()), ""])


# ---------------------------------------------------------------- every option

SWIFT = (
    "'swift' is not available since release 7; Swift's S3 layer is: set storage-backend = s3, "
    "with [s3] endpoint_url"
)
ACCEPTED: list[tuple[str, str, str, object]] = [
    ("directory", "./mirror", "storage.directory", "./mirror"),
    ("storage-backend", "filesystem", "storage.backend", Backend.FILESYSTEM),
    ("min-free-space", "0", "storage.keep_free", FreeSpace(size=0, share=None)),
    ("min-free-space", "50 GB", "storage.keep_free", FreeSpace(size=50 * 1024**3, share=None)),
    ("min-free-space", "2.5 %%", "storage.keep_free", FreeSpace(size=None, share=0.025)),
    ("master", "https://index.example.org/", "index.master", "https://index.example.org"),
    ("master", "", "index.master", ""),
    ("index-url", "https://example.org/whl/cpu/", "index.index_url", "https://example.org/whl/cpu"),
    ("index-url", "https://example.org", "index.api_method", ApiMethod.SIMPLE),
    ("index-url", "", "index.index_url", ""),
    ("file-hosts", "", "index.file_hosts", ()),
    (
        "file-hosts",
        "Files.example.org, 10.0.0.1\n  [::1]:8080 files.example.org",
        "index.file_hosts",
        ("files.example.org", "10.0.0.1", "[::1]:8080"),
    ),
    ("proxy", "http://proxy.example.org:3128", "index.proxy", "http://proxy.example.org:3128"),
    ("proxy", "", "index.proxy", ""),
    ("timeout", "2.5", "index.timeout", 2.5),
    ("global-timeout", "3600", "index.global_timeout", 3600.0),
    ("workers", "1", "index.workers", 1),
    ("workers", "10", "index.workers", 10),
    ("download-workers", "1", "index.download_workers", 1),
    ("download-workers", "100", "index.download_workers", 100),
    ("api-method", "auto", "index.api_method", ApiMethod.AUTO),
    ("api-method", "xmlrpc", "index.api_method", ApiMethod.XMLRPC),
    ("api-method", "SIMPLE", "index.api_method", ApiMethod.SIMPLE),
    ("user-agent-comment", "example.org", "index.user_agent_comment", "example.org"),
    ("release-files", "off", "files.release_files", False),
    ("core-metadata", "no", "files.core_metadata", False),
    ("accept-unhashed", "yes", "files.accept_unhashed", True),
    ("compare-method", "stat", "files.compare_method", CompareMethod.STAT),
    ("compare-method", "hash", "files.compare_method", CompareMethod.HASH),
    ("download-mirror", "https://example.com/", "files.download_mirror", "https://example.com"),
    ("download-mirror-no-fallback", "true", "files.download_mirror_no_fallback", True),
    ("hash-index", "true", "pages.hash_index", True),
    ("simple-format", "ALL", "pages.formats", HTML + JSON),
    ("simple-format", "html", "pages.formats", HTML),
    ("simple-format", "Json", "pages.formats", JSON),
    ("root_uri", "https://files.example.org/", "pages.root_uri", "https://files.example.org"),
    ("digest_name", "MD5", "pages.digest_name", "md5"),
    ("keep_index_versions", "5", "pages.keep_index_versions", 5),
    ("keep-index-versions", "5", "pages.keep_index_versions", 5),
    ("json", "true", "pages.legacy_json", True),
    ("provenance", "drop", "pages.provenance", Provenance.DROP),
    ("provenance", "link", "pages.provenance", Provenance.LINK),
    ("cleanup", "true", "pages.cleanup", True),
    ("stop-on-error", "true", "run.stop_on_error", True),
    ("reconcile-interval", "1 h", "run.reconcile_interval", timedelta(hours=1)),
    ("sweep-interval", "7 days", "run.sweep_interval", timedelta(days=7)),
    ("sweep-interval", "0", "run.sweep_interval", timedelta(0)),
    ("removed-projects", "keep", "run.removed_projects", RemovedProjects.KEEP),
    ("removed-projects", "delete", "run.removed_projects", RemovedProjects.DELETE),
    ("removal-grace", "3 days", "run.removal_grace", timedelta(days=3)),
    ("verifiers", "5", "run.verifiers", 5),
    ("max-removals", "0", "run.max_removals", 0),
    ("max-removals", "100000", "run.max_removals", 100_000),
    ("max-file-removals", "0", "run.max_file_removals", 0),
    ("ignore-rejected", "", "run.ignore_rejected", ()),
    (
        "ignore-rejected",
        "Foo_bar:a b.zip\n  # all\n  ba*:*  # known\n  *.html\n  C#.zip\n  a b:c.zip",
        "run.ignore_rejected",
        (
            RejectionPattern("foo-bar", "a b.zip"),
            RejectionPattern("ba*", "*"),
            RejectionPattern("*", "*.html"),
            RejectionPattern("*", "C#.zip"),
            RejectionPattern("*", "a b:c.zip"),
        ),
    ),
    ("diff-file", "/srv/diff", "diff.path", "/srv/diff"),
    ("diff-file", "", "diff.path", ""),
    ("diff-append-epoch", "true", "diff.append_epoch", True),
    ("log-config", "/etc/log.conf", "log_config", "/etc/log.conf"),
    ("log-config", "", "log_config", ""),
    ("max-rate", "20 MB/s", "index.max_rate", RateSchedule(20e6)),
    ("max-rate", "", "index.max_rate", RateSchedule()),
    (
        "max-rate",
        "20 MB/s; 08:00-18:00 5 MB/s",
        "index.max_rate",
        RateSchedule(20e6, ((Hours(480, 1080), 5e6),)),
    ),
    ("metrics-file", "/srv/m.prom", "metrics_file", "/srv/m.prom"),
    ("metrics-file", "", "metrics_file", ""),
    ("ca-file", "", "index.tls.ca_file", ""),
    ("client-cert", "", "index.tls.client_cert", ""),
    ("client-key", "", "index.tls.client_key", ""),
    ("netrc", "false", "index.netrc", False),
    ("must-exist", "true", "storage.must_exist", True),
    ("cluster", "false", "cluster.enabled", False),
    ("worker-timeout", "10", "cluster.worker_timeout", 10.0),
    ("worker-wait", "5", "cluster.worker_wait", 5.0),
    ("processes", "auto", "processes", None),
    ("processes", "Auto", "processes", None),
    ("processes", "1", "processes", 1),
    ("processes", "64", "processes", 64),
    ("catalogue", "", "catalogue", None),
    (
        "catalogue",
        "postgresql://db.example.org/mirrors?schema=pypi",
        "catalogue",
        CatalogueSettings("postgresql://db.example.org/mirrors", "pypi"),
    ),
]
WITHOUT_EFFECT = [
    ("storage-filesystem-manage-permissions", "false"),
    ("cleanup_todo", "true"),
    ("allow-non-https", "true"),
]
REFUSED = [
    ("directory", "", "'' is not a path"),
    ("storage-backend", "azure", "'azure' is not one of filesystem, s3"),
    ("cluster", "true", "catalogue is not set; workers need one in PostgreSQL"),
    ("worker-timeout", "3", "it is less than 4 seconds; workers tell more rarely"),
    ("worker-wait", "-1", "'-1' is not between 0 and 2592000 seconds"),
    ("processes", "0", "'0' is not from 1 to 64, and not auto"),
    ("processes", "65", "'65' is not from 1 to 64, and not auto"),
    ("processes", "all", "'all' is not a whole number, and not auto"),
    (
        "catalogue",
        "sqlite",
        (
            "'sqlite' is not the URL of a database in PostgreSQL, such as "
            "postgresql://bandersnatch@db.example.org/mirrors; without the option, the catalogue "
            "is a file of the mirror"
        ),
    ),
    (
        "storage-backend",
        "swift",
        SWIFT,
    ),
    ("storage-filesystem-manage-permissions", "0644", "'0644' is neither true nor false"),
    *[
        (
            "min-free-space",
            text.replace("%", "%%"),
            f"'{text}' is not a size like '50 GB' or a share like '5 %'",
        )
        for text in ("much", "-1 GB", "nan %", "100 %", "5 % 3", "")
    ],
    ("master", "index.example.org", "'index.example.org' is not a URL of https or http"),
    ("index-url", "/whl/cpu", "'/whl/cpu' is not a URL of https or http"),
    (
        "index-url",
        "https://example.org/whl/torch_stable.html",
        (
            "'https://example.org/...' is a single page; write the URL of the "
            "directory that has the projects' pages"
        ),
    ),
    (
        "index-url",
        "http://example.org/simple",
        "it is not https; set allow-non-https = true if that is intended",
    ),
    (
        "file-hosts",
        "https://files.example.org/packages",
        "'https://files.example.org/...' is not the name of a host; write files.example.org",
    ),
    *[
        (
            "file-hosts",
            text,
            f"'{text}' is not the name of a host, such as files.example.org",
        )
        for text in ("*.example.org", "example.org/x", "example.org:", "example.org:0", "::1")
    ],
    ("allow-non-https", "maybe", "'maybe' is neither true nor false"),
    ("proxy", "socks5://example.org", "'socks5://example.org' has no port"),
    ("timeout", "0", "'0' is not between 0 and 2592000 seconds"),
    ("global-timeout", "1 h", "'1 h' is not a number of seconds"),
    ("workers", "0", "'0' is not from 1 to 100"),
    ("workers", "11", "PyPI asks for at most 10"),
    ("download-workers", "101", "'101' is not from 1 to 100"),
    ("verifiers", "0", "'0' is not from 1 to 100"),
    ("api-method", "json", "'json' is not one of auto, xmlrpc, simple"),
    ("user-agent-comment", "(x)", "'(x)' is not plain ASCII without parentheses"),
    ("release-files", "some", "'some' is neither true nor false"),
    ("core-metadata", "2", "'2' is neither true nor false"),
    ("accept-unhashed", "md5", "'md5' is neither true nor false"),
    ("compare-method", "size", "'size' is not one of hash, stat"),
    ("download-mirror", "ftp://example.org", "'ftp://example.org' is not a URL of https or http"),
    ("download-mirror-no-fallback", "x", "'x' is neither true nor false"),
    ("hash-index", "x", "'x' is neither true nor false"),
    ("simple-format", "XML", "'XML' is not one of ALL, HTML, JSON"),
    ("root_uri", "/packages", "'/packages' is not a URL of https or http"),
    (
        "root_uri",
        "https://me@example.org",
        "'https://***@example.org' has a user name, and every page would show it",
    ),
    ("digest_name", "crc32", None),
    ("keep_index_versions", "-1", "'-1' is not 0 or more"),
    ("keep-index-versions", "x", "'x' is not a whole number"),
    ("json", "x", "'x' is neither true nor false"),
    ("provenance", "keep", "'keep' is not one of link, drop"),
    ("cleanup", "x", "'x' is neither true nor false"),
    ("stop-on-error", "x", "'x' is neither true nor false"),
    ("reconcile-interval", "daily", "'daily' is not a time span like '24 h' or '14 days'"),
    ("sweep-interval", "never", "'never' is not a time span like '24 h' or '14 days'"),
    ("sweep-interval", "30", "'30' has no unit; write one, such as '30 days'"),
    ("removed-projects", "hide", "'hide' is not one of delete, keep"),
    ("removal-grace", "-1 h", "'-1 h' is not a time span like '24 h' or '14 days'"),
    ("max-removals", "5 %%", "'5 %' is not a whole number"),
    ("max-file-removals", "2 %%", "'2 %' is not a whole number"),
    ("ignore-rejected", "*", "'*' would match every file; name projects or files"),
    ("ignore-rejected", "a.zip\n  *:?*", "'*:?*' would match every file; name projects or files"),
    ("ignore-rejected", "'foo:*'", "\"'foo:*'\" has quotes; write the pattern without them"),
    ("ignore-rejected", "foo:", "'foo:' has no file after the colon; write foo:* for all"),
    ("cleanup_todo", "x", "'x' is neither true nor false"),
    ("delete_missing_packages", "x", "'x' is neither true nor false"),
    ("delete-packages", "x", "'x' is neither true nor false"),
    ("diff-file", "~/diff", "'~/diff' begins with ~, which only a shell understands"),
    ("diff-append-epoch", "x", "'x' is neither true nor false"),
    ("ca-file", "~/ca", "'~/ca' begins with ~, which only a shell understands"),
    ("client-cert", "~/c", "'~/c' begins with ~, which only a shell understands"),
    ("client-key", "/etc/key", "client-cert is not set; it names the certificate of this key"),
    ("netrc", "~/.netrc", "'~/.netrc' is neither true nor false"),
    ("must-exist", "perhaps", "'perhaps' is neither true nor false"),
    ("log-config", "~/log", "'~/log' begins with ~, which only a shell understands"),
    ("max-rate", "fast", "'fast' is not a rate like '100 Mbit/s' or '12 MB/s'"),
    ("metrics-file", "~/m", "'~/m' begins with ~, which only a shell understands"),
]


@pytest.mark.parametrize(("option", "text", "field", "value"), ACCEPTED)
def test_an_option_of_the_mirror_section_is_read(
    load: Load, option: str, text: str, field: str, value: object
) -> None:
    settings = load(mirror_with({option: text})).settings

    assert attrgetter(field)(settings) == value


@pytest.mark.parametrize(("option", "text"), WITHOUT_EFFECT)
def test_an_option_without_effect_is_accepted(load: Load, option: str, text: str) -> None:
    assert load(mirror_with({option: text})).settings == load(mirror()).settings


@pytest.mark.parametrize(("option", "text", "message"), REFUSED)
def test_an_invalid_value_is_refused(
    refusal: Refusal, option: str, text: str, message: str | None
) -> None:
    [line] = refusal(mirror_with({option: text}))

    assert line.startswith(f"[mirror] {option}: ")
    if message is not None:
        assert line == f"[mirror] {option}: {message}"


@pytest.mark.parametrize(
    ("options", "option", "message"),
    [
        (
            {"master": "https://example.org"},
            "index-url",
            "master is set too; keep master for PyPI and its mirrors, else index-url",
        ),
        (
            {"api-method": "xmlrpc"},
            "api-method",
            "index-url is set, and such an index has no changelog",
        ),
        ({"json": "yes"}, "json", "index-url is set, and such an index has no legacy documents"),
        ({"workers": "11", "index-url": f"{PYPI}/simple"}, "workers", "PyPI asks for at most 10"),
    ],
)
def test_options_that_contradict_index_url_are_refused(
    refusal: Refusal, options: dict[str, str], option: str, message: str
) -> None:
    text = mirror_with({"index-url": "https://example.org/whl/cpu", **options})

    assert refusal(text) == [f"[mirror] {option}: {message}"]


def test_the_login_of_index_url_is_not_part_of_its_url(load: Load) -> None:
    index = load(mirror_with({"index-url": "https://me:secret@example.org/simple/"})).settings.index

    assert index.url == "https://example.org/simple"
    assert [(each.origin, each.user) for each in index.logins] == [("https://example.org", "me")]
    assert "secret" not in repr(index)


def test_every_option_is_tested() -> None:
    accepted = {option for option, *_ in [*ACCEPTED, *WITHOUT_EFFECT]}
    names = mirror_options()

    assert accepted | {"delete_missing_packages", "delete-packages"} == names
    assert {option for option, *_ in REFUSED} == names


def test_everything_but_the_directory_has_a_default(load: Load) -> None:
    settings = load("[mirror]\ndirectory = /srv/pypi\n").settings

    assert settings == Settings(StorageSettings("/srv/pypi"))
    assert settings.storage.backend is Backend.FILESYSTEM
    assert settings.index.master == ""
    assert settings.index.proxy == ""
    assert settings.index.timeout == 10
    assert settings.index.global_timeout == 1800
    assert settings.index.workers == 3
    assert settings.index.download_workers == 8
    assert settings.index.api_method is ApiMethod.AUTO
    assert settings.index.user_agent_comment == ""
    assert settings.files.release_files
    assert settings.files.core_metadata
    assert settings.files.compare_method is CompareMethod.HASH
    assert settings.files.download_mirror == ""
    assert not settings.files.download_mirror_no_fallback
    assert settings.pages.layout == MirrorLayout(hash_index=False, formats=HTML + JSON)
    assert settings.pages.formats == HTML + JSON
    assert settings.pages.root_uri == ""
    assert settings.pages.digest_name == "sha256"
    assert settings.pages.keep_index_versions == 0
    assert not settings.pages.legacy_json
    assert settings.pages.provenance is Provenance.LINK
    assert not settings.pages.cleanup
    assert not settings.run.stop_on_error
    assert settings.run.reconcile_interval == timedelta(hours=24)
    assert settings.run.removed_projects is RemovedProjects.DELETE
    assert settings.run.removal_grace == timedelta(days=14)
    assert settings.run.max_removals is None
    assert settings.diff.path == ""
    assert not settings.diff.append_epoch
    assert settings.log_config == ""
    assert settings.notes == ()


@pytest.mark.parametrize("count", ["1", "2"])
def test_workers_leave_nothing_to_processes(refusal: Refusal, count: str) -> None:
    options = {"cluster": "true", "catalogue": "postgresql://db.example.org/mirrors"}
    assert refusal(mirror(processes=count, **options)) == [
        "[mirror] processes: cluster is true; workers sync the projects: leave it out"
    ]


def test_a_bucket_is_synced_by_one_process(load: Load, refusal: Refusal) -> None:
    text = "[mirror]\ndirectory = /bucket/pypi\nstorage-backend = s3\nprocesses = "
    assert refusal(f"{text}2\n") == [
        "[mirror] processes: a mirror in a bucket is synced by one process; use cluster"
    ]
    assert load(f"{text}1\n").settings.processes == 1


def test_dependencies_are_followed_by_several_processes(load: Load) -> None:
    settings = load(f"{mirror(processes=2)}[closure]\nfollow = true\n").settings

    assert settings.closure.follow
    assert settings.processes == 2


def test_a_directory_is_required(refusal: Refusal) -> None:
    assert refusal("[mirror]\nworkers = 3\n") == [
        "[mirror] directory: it must say where the mirror is kept"
    ]


def test_a_mirror_section_is_required(refusal: Refusal) -> None:
    assert "[mirror]: the section is missing" in refusal("[plugins]\nenabled =\n")


# ---------------------------------------------------------------- options that go together


def test_an_http_index_needs_allow_non_https(load: Load, refusal: Refusal) -> None:
    text = mirror(master="http://index.example.org")

    assert refusal(text) == [
        "[mirror] master: it is not https; set allow-non-https = true if that is intended"
    ]
    assert refusal(f"{text}allow-non-https = false\n") == refusal(text)
    master = load(f"{text}allow-non-https = true\n").settings.index.master
    assert master == "http://index.example.org"


def test_an_upper_case_http_scheme_is_recognised(refusal: Refusal) -> None:
    assert len(refusal(mirror(master="HTTP://index.example.org"))) == 1


@pytest.mark.parametrize("master", ["", PYPI, f"{PYPI.upper()}/", f"{PYPI}:443"])
def test_pypi_is_limited_to_ten_workers(load: Load, refusal: Refusal, master: str) -> None:
    assert refusal(mirror(master=master, workers=11)) == [
        "[mirror] workers: PyPI asks for at most 10"
    ]
    assert load(mirror(master=master, workers=10)).settings.index.workers == 10


def test_another_index_is_not_limited_to_ten_workers(load: Load) -> None:
    text = mirror(master="https://index.example.org", workers=100)

    assert load(text).settings.index.workers == 100


def test_an_invalid_index_is_not_treated_as_pypi(refusal: Refusal) -> None:
    assert refusal(mirror(master="index.example.org", workers=50)) == [
        "[mirror] master: 'index.example.org' is not a URL of https or http"
    ]


def test_both_spellings_of_keep_index_versions_cannot_be_set(refusal: Refusal) -> None:
    text = mirror_with({"keep_index_versions": "3", "keep-index-versions": "3"})

    assert refusal(text) == ["[mirror] keep_index_versions: both spellings are set; keep one"]


@pytest.mark.parametrize(("text", "meaning"), [("true", "delete"), ("false", "keep")])
def test_delete_missing_packages_is_a_spelling_of_removed_projects(
    load: Load, text: str, meaning: str
) -> None:
    settings = load(mirror(delete_missing_packages=text)).settings

    assert settings.run.removed_projects is RemovedProjects(meaning)
    assert settings.notes == (
        f"[mirror] delete_missing_packages is read as removed-projects = {meaning}",
    )


@pytest.mark.parametrize(("text", "meaning"), [("true", "delete"), ("false", "keep")])
def test_delete_missing_packages_and_removed_projects_may_agree(
    load: Load, text: str, meaning: str
) -> None:
    options = {"delete_missing_packages": text, "removed-projects": meaning}
    settings = load(mirror_with(options)).settings

    assert settings.run.removed_projects is RemovedProjects(meaning)


@pytest.mark.parametrize(("text", "other"), [("true", "keep"), ("false", "delete")])
def test_delete_missing_packages_and_removed_projects_must_not_contradict(
    refusal: Refusal, text: str, other: str
) -> None:
    options = {"delete_missing_packages": text, "removed-projects": other}
    [message] = refusal(mirror_with(options))

    assert message.startswith("[mirror] delete_missing_packages: it means removed-projects = ")
    assert message.endswith(", and removed-projects says otherwise; keep that one")


def test_options_of_the_default_section_count_for_the_mirror(load: Load) -> None:
    text = "[DEFAULT]\nworkers = 5\nbase = /srv\n[mirror]\ndirectory = %(base)s/pypi\n"
    settings = load(text).settings

    assert settings.index.workers == 5
    assert settings.storage.directory == "/srv/pypi"


@pytest.mark.parametrize("option", ["master", "proxy", "download-mirror"])
def test_a_password_in_a_world_readable_file_is_refused(tmp_path: Path, option: str) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text(mirror_with({option: "https://user:secret@example.org:3128"}))
    path.chmod(0o644)

    with pytest.raises(ConfigError) as caught:
        load_file(path)

    assert str(caught.value) == (
        f"{path}: [mirror] {option}: it has a password, and every user can read the file; "
        f"run: chmod o= {path}"
    )
    for mode in (0o640, 0o600, 0o400):
        path.chmod(mode)
        assert load_file(path).settings.storage.directory == "/srv/pypi"


@pytest.mark.parametrize("option", ["master", "proxy", "download-mirror"])
def test_a_password_from_the_environment_is_not_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("PASSWORD", "secret")
    path = tmp_path / "mirror.conf"
    path.write_text(mirror_with({option: "https://user:${PASSWORD}@example.org:3128"}))
    path.chmod(0o644)

    assert "secret" in repr(load_file(path).settings.index.proxy) or option != "proxy"
    path.write_text(mirror_with({option: "https://user:x${PASSWORD}@example.org:3128"}))
    with pytest.raises(ConfigError, match="it has a password") as caught:
        load_file(path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["se/cret", "sec ret", "sec\nret", "#secret", '"secret"', "?se"])
def test_an_unusable_secret_from_the_environment_is_not_shown(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("PASSWORD", value)

    for option in ("master", "proxy", "download-mirror", "root_uri"):
        [line] = refusal(mirror_with({option: "https://user:${PASSWORD}@example.org:3128"}))
        assert value not in line
        assert "secret" not in line


def test_a_variable_that_is_not_set_is_the_only_problem_of_its_option(refusal: Refusal) -> None:
    text = "[mirror]\ndirectory = ${NOT_SET}\nmaster = ${NOT_SET}\nworkers = 50\n"

    assert refusal(
        f"{text}[plugins]\nenabled = allowlist_project\n[allowlist]\npackages=${{NO}}\n"
    ) == [
        "[mirror] directory: the environment variable NOT_SET is not set",
        "[mirror] master: the environment variable NOT_SET is not set",
        "[allowlist] packages: the environment variable NO is not set",
    ]


def test_a_user_name_without_a_password_may_be_world_readable(tmp_path: Path) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text(mirror(proxy="http://user@proxy.example.org:3128"))
    path.chmod(0o644)

    assert load_file(path).settings.index.proxy == "http://user@proxy.example.org:3128"


# ---------------------------------------------------------------- names


def test_an_unknown_option_is_refused_with_a_suggestion(refusal: Refusal) -> None:
    options = {"worker": "3", "JSON": "true", "keep-index-version": "1", "zzz": "1"}

    assert refusal(mirror_with(options)) == [
        "[mirror] worker: there is no such option; did you mean 'workers'?",
        "[mirror] JSON: there is no such option; did you mean 'json'?",
        "[mirror] keep-index-version: there is no such option; did you mean 'keep-index-versions'?",
        "[mirror] zzz: there is no such option",
    ]


def test_an_unknown_option_of_a_filter_is_refused(refusal: Refusal) -> None:
    text = f"{mirror()}[allowlist]\npackage = six\n[plugins]\nenable = allowlist_project\n"

    assert refusal(text) == [
        "[allowlist] package: there is no such option; did you mean 'packages'?",
        "[plugins] enable: there is no such option; did you mean 'enabled'?",
    ]


def test_an_unknown_section_is_refused_with_a_suggestion(refusal: Refusal) -> None:
    assert refusal(f"{mirror()}[alowlist]\npackages = x\n[nonsense]\n") == [
        "[alowlist]: there is no such section; did you mean 'allowlist'?",
        "[nonsense]: there is no such section",
    ]


def test_a_misspelt_mirror_section_is_recognised(refusal: Refusal) -> None:
    message = refusal("[mirrors]\ndirectory = /srv/pypi\n")

    assert "[mirrors]: there is no such section; did you mean 'mirror'?" in message


@pytest.mark.parametrize(
    "section",
    [
        "allowlist", "blocklist", "filter_regex", "filter_prerelease", "latest_release",
        "size_project_metadata", "versions_count_project_metadata", "regex_project_metadata",
        "regex_release_file_metadata", "version_range_release_file_metadata", "s3",
    ],
)  # fmt: skip
def test_the_section_of_a_disabled_filter_is_accepted(load: Load, section: str) -> None:
    settings = load(f"{mirror()}[{section}]\n").settings

    assert settings.notes == ()
    assert settings.filters.enabled == ()


def test_a_section_with_free_option_names_accepts_any(load: Load) -> None:
    text = f"{mirror()}[regex_project_metadata]\nany:info.classifiers = .*Python.*\n"

    assert "any:info.classifiers" in load(text).settings.filters.sections["regex_project_metadata"]


def test_the_section_of_swift_is_refused_with_the_way_on(refusal: Refusal) -> None:
    [message] = refusal(f"{mirror()}[swift]\nauth = x\n")

    assert message.startswith("[swift]: it is not read since release 7; Swift's S3 layer can be")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("http-client = auto\n", "[mirror] http-client has no effect any more: every request is"),
        ("cleanup-todo = true\n", "[mirror] cleanup-todo has no effect any more: a project that"),
        ("[statistics]\naccess-log-pattern = *.log\n", "[statistics] has no effect any more: "),
    ],
)
def test_a_retired_option_or_section_is_a_note(load: Load, text: str, note: str) -> None:
    [message] = load(f"{mirror()}{text}").settings.notes

    assert message.startswith(note)


# ---------------------------------------------------------------- filters


def test_filters_are_named_one_per_line(load: Load) -> None:
    text = (
        f"{mirror()}[plugins]\nenabled =\n    # a comment\n    allowlist_project\n\n"
        "    allowlist_project\n[allowlist]\npackages =\n    Six\n    foo-bar>=1 # two\n"
    )
    configuration = load(text)

    assert configuration.settings.filters.enabled == ("allowlist_project",)
    assert configuration.filters.finite_names == frozenset(map(project_name, ["six", "foo-bar"]))


def test_without_filters_every_project_is_selected(load: Load) -> None:
    assert load(mirror()).filters.finite_names is None


def test_names_with_commas_between_are_refused(refusal: Refusal) -> None:
    text = f"{mirror()}[plugins]\nenabled = allowlist_project, blocklist_project\n"

    assert refusal(text) == ["[plugins] enabled: write one name on each line, without commas"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "alowlist_project",
            "there is no filter 'alowlist_project'; did you mean 'allowlist_project'?",
        ),
        ("whitelist_project", "there is no filter 'whitelist_project'; did you mean "),
        ("all", "'all' enables every filter that has a setting, and none has one"),
    ],
)
def test_an_unknown_filter_is_refused(refusal: Refusal, name: str, message: str) -> None:
    [line] = refusal(f"{mirror()}[plugins]\nenabled = {name}\n")

    assert line.startswith(f"[plugins] enabled: {message}")


@pytest.mark.parametrize("section", ["", "[allowlist]\n", "[allowlist]\npackages =\n    # none\n"])
def test_an_empty_allowlist_is_refused(refusal: Refusal, section: str) -> None:
    [line] = refusal(f"{mirror()}[plugins]\nenabled = allowlist_project\n{section}")

    assert line.startswith("[allowlist] packages: allowlist_project is enabled and the list is ")


def test_an_invalid_line_of_a_list_is_refused(refusal: Refusal) -> None:
    text = (
        f"{mirror()}[plugins]\nenabled = allowlist_project\n[allowlist]\npackages =\n  six\n  a b\n"
    )

    [line] = refusal(text)
    number = text.splitlines().index("  a b") + 1
    assert line.startswith("[allowlist] packages: 'a b' in ")
    assert line.endswith(
        f"mirror.conf, line {number}: it is not a project's name or a requirement; "
        "write one a line, like foo>=1"
    )


# ---------------------------------------------------------------- all at once


def test_every_problem_is_reported_in_one_error(refusal: Refusal) -> None:
    message = refusal(
        "[mirror]\nworkers = many\nworker = 3\nmaster = http://index.example.org\n"
        "proxy = nonsense\ndiff-file = {{ nowhere_at all }}\nroot_uri = 50%\ntimeout = 1\n"
        "timeout = 2\n[mirro]\n[plugins]\nenabled =\n    allowlist_project\n    nonsense\n"
        "[allowlist]\npackage = six\n"
    )

    assert sorted(line.partition(":")[0] for line in message) == [
        "[allowlist] package",
        "[allowlist] packages",
        "[mirro]",
        "[mirror] diff-file",
        "[mirror] directory",
        "[mirror] master",
        "[mirror] proxy",
        "[mirror] root_uri",
        "[mirror] timeout",
        "[mirror] worker",
        "[mirror] workers",
        "[plugins] enabled",
    ]


def test_a_note_does_not_hide_a_problem(refusal: Refusal) -> None:
    assert len(refusal(f"{mirror(workers='x')}delete-packages = true\n[statistics]\n")) == 1
