"""What coordinator and workers must have in common in their configurations."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bandersnatch.mirror.fingerprint import PolicyFingerprint

if TYPE_CHECKING:
    from bandersnatch.closure.state import ClosureState
    from bandersnatch.config.schema import Settings
    from bandersnatch.filters.chain import FilterChain

_OF_ONE_MACHINE = frozenset({"s3", "serve"})
"""Sections about how one machine reaches the storage, and what it serves."""

_DIGITS = 16


def fingerprint_of(
    settings: Settings, filters: FilterChain, closure: ClosureState | None = None
) -> str:
    """Return a text that differs between configurations whose workers would do different work.

    Paths on one machine, logins, proxies and certificates do not count. What is followed does not,
    either: each job has it. ``filters`` therefore select the roots alone.
    """
    index, names = settings.index, filters.finite_names
    sections = settings.filters.sections
    bucket = settings.storage.bucket
    parts = (
        PolicyFingerprint(settings, filters).general,
        (index.url, index.index_url, index.workers, index.download_workers, index.file_hosts),
        (index.timeout, index.global_timeout, repr(index.max_rate)),
        (repr(settings.files), repr(settings.pages), repr(settings.run)),
        bool(settings.diff.path),
        settings.filters.enabled,
        sorted((k, sorted(v.items())) for k, v in sections.items() if k not in _OF_ONE_MACHINE),
        None if names is None else sorted(names),
        None if bucket is None else (bucket.bucket, bucket.prefix),
        None if settings.catalogue is None else settings.catalogue.schema,
        repr(settings.closure),
        "" if closure is None else closure.fingerprint,
    )
    return hashlib.sha256(repr(parts).encode(errors="backslashreplace")).hexdigest()[:_DIGITS]
