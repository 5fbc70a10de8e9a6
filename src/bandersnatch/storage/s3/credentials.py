"""Credentials of the shared file, which the client does not read by itself."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bandersnatch.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import S3Credential

_SECTION = re.compile(r"\s*\[\s*(?:profile\s+)?([^\]]+?)\s*\]")
_RENEWAL = timedelta(minutes=5)
"""After this time the file is read again: another program may have renewed what it has."""

_OF_ENVIRONMENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
"""Variables that name other credentials, which come first, as with Amazon's own tools."""


class SharedCredentials:
    """The credentials of one profile of the shared file; a provider for the client."""

    def __init__(self, path: str, profile: str, renewal: timedelta = _RENEWAL) -> None:
        self._path = path
        self._profile = profile
        self._renewal = renewal

    def __call__(self) -> S3Credential:
        """Read the file.

        :raises StorageError: if it has no credentials any more.
        """
        found = _profile(self._path, self._profile)
        if not {"aws_access_key_id", "aws_secret_access_key"} <= found.keys():
            raise StorageError(self._path, f"it has no credentials of the profile {self._profile}")
        return {
            "access_key_id": found["aws_access_key_id"],
            "secret_access_key": found["aws_secret_access_key"],
            "token": found.get("aws_session_token"),
            "expires_at": datetime.now(UTC) + self._renewal,
        }


def shared_credentials(environment: Mapping[str, str]) -> SharedCredentials | None:
    """Return the credentials of the shared file; None if others come first, or it has none."""
    if any(environment.get(name) for name in _OF_ENVIRONMENT):
        return None
    default = os.path.expanduser("~/.aws/credentials")
    path = environment.get("AWS_SHARED_CREDENTIALS_FILE") or default
    profile = environment.get("AWS_PROFILE") or "default"
    if "aws_access_key_id" not in _profile(path, profile):
        return None
    return SharedCredentials(path, profile)


def _profile(path: str, profile: str) -> dict[str, str]:
    """Return the options of a profile; nothing of a file that cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    is_ours = False
    for line in lines:
        if section := _SECTION.match(line):
            is_ours = section[1] == profile
        elif is_ours and "=" in line and not line.lstrip().startswith(("#", ";")):
            name, _, value = line.partition("=")
            found[name.strip().lower()] = value.strip()
    return found
