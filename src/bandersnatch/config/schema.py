"""The options of ``[mirror]``: names, spellings, readers, and what was retired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bandersnatch.config import readers
from bandersnatch.config.settings import (
    HTML_FORMATS,
    JSON_FORMATS,
    ApiMethod,
    CompareMethod,
    HttpClient,
    Provenance,
    RemovedProjects,
)
from bandersnatch.errors import OptionError
from bandersnatch.layout import ALL_FORMATS, PageFormat

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its name, the group and field of ``Settings`` it fills, and its reader.

    An option with an empty group is read and checked, and used by ``read_settings`` itself.
    """

    name: str
    group: str
    field: str
    read: Callable[[str], Any]


def _formats(text: str) -> tuple[PageFormat, ...]:
    formats = {"all": ALL_FORMATS, "html": HTML_FORMATS, "json": JSON_FORMATS}
    try:
        return formats[text.strip().lower()]
    except KeyError:
        raise OptionError(f"{readers.shown(text)} is not one of ALL, HTML, JSON") from None


def _backend(text: str) -> str:
    if text.strip() != "filesystem":
        raise OptionError(f"{readers.shown(text)} is not available; this release has 'filesystem'")
    return "filesystem"


_KEPT = readers.whole_number(0)

MIRROR_OPTIONS = (
    Option("directory", "storage", "directory", readers.path),
    Option("storage-backend", "storage", "backend", _backend),
    Option("storage-filesystem-manage-permissions", "", "", readers.boolean),
    Option("min-free-space", "storage", "keep_free", readers.free_space),
    Option("master", "index", "master", readers.url("https", "http")),
    Option("allow-non-https", "", "", readers.boolean),
    Option("proxy", "index", "proxy", readers.proxy),
    Option("timeout", "index", "timeout", readers.seconds),
    Option("global-timeout", "index", "global_timeout", readers.seconds),
    Option("workers", "index", "workers", readers.whole_number(1, 100)),
    Option("download-workers", "index", "download_workers", readers.whole_number(1, 100)),
    Option("verifiers", "run", "verifiers", readers.whole_number(1, 100)),
    Option("api-method", "index", "api_method", readers.choice(ApiMethod)),
    Option("http-client", "index", "http_client", readers.choice(HttpClient)),
    Option("user-agent-comment", "index", "user_agent_comment", readers.header_text),
    Option("release-files", "files", "release_files", readers.boolean),
    Option("core-metadata", "files", "core_metadata", readers.boolean),
    Option("compare-method", "files", "compare_method", readers.choice(CompareMethod)),
    Option("download-mirror", "files", "download_mirror", readers.url("https", "http")),
    Option("download-mirror-no-fallback", "files", "download_mirror_no_fallback", readers.boolean),
    Option("hash-index", "pages", "hash_index", readers.boolean),
    Option("simple-format", "pages", "formats", _formats),
    Option("root_uri", "pages", "root_uri", readers.public_url),
    Option("digest_name", "pages", "digest_name", readers.digest_name),
    Option("keep_index_versions", "pages", "keep_index_versions", _KEPT),
    Option("keep-index-versions", "pages", "keep_index_versions", _KEPT),
    Option("json", "pages", "legacy_json", readers.boolean),
    Option("provenance", "pages", "provenance", readers.choice(Provenance)),
    Option("cleanup", "pages", "cleanup", readers.boolean),
    Option("stop-on-error", "run", "stop_on_error", readers.boolean),
    Option("reconcile-interval", "run", "reconcile_interval", readers.duration),
    Option("removed-projects", "run", "removed_projects", readers.choice(RemovedProjects)),
    Option("removal-grace", "run", "removal_grace", readers.duration),
    Option("max-removals", "run", "max_removals", readers.whole_number(0)),
    Option("cleanup_todo", "", "", readers.boolean),
    Option("delete_missing_packages", "", "", readers.boolean),
    Option("diff-file", "diff", "path", readers.optional_path),
    Option("diff-append-epoch", "diff", "append_epoch", readers.boolean),
    Option("log-config", "", "log_config", readers.optional_path),
)

RETIRED_OPTIONS = {
    ("mirror", "delete-packages"): "use removed-projects",
    ("mirror", "cleanup-todo"): "a project that is gone never stays in todo",
}
"""Options of earlier releases that no longer do anything, with what to do instead."""

RETIRED_SECTIONS = {
    "statistics": "read the web server's log with a tool of your choice",
    "whitelist": "use [allowlist]",
    "blacklist": "use [blocklist]",
    "swift": "use storage-backend = filesystem",
}

OTHER_SECTIONS = frozenset({"s3"})
"""Sections that belong to parts which are not enabled; their options are not looked at."""
