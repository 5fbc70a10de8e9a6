"""Checks the bucket of a mirror without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.errors import StorageError
from bandersnatch.storage.s3.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.config.schema import StorageSettings


def bucket_problem(
    settings: StorageSettings, environment: Mapping[str, str]
) -> StorageError | None:
    """Return what would end a run at its first request, if anything; blocks."""
    assert settings.bucket is not None, "the mirror is in a bucket"
    try:
        Bucket(settings.bucket, environment).check()
    except StorageError as error:
        return error
    return None
