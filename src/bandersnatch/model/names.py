"""Project names (PEP 503, name normalization specification)."""

from __future__ import annotations

import re
from typing import TypeAlias

from packaging.utils import NormalizedName, canonicalize_name

from bandersnatch.errors import InvalidValue

ProjectName: TypeAlias = NormalizedName
"""A normalised name, the only form that is compared, stored or used in paths."""

_NAME = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)
_NORMALIZED = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_MAX_LENGTH = 200


def project_name(text: object) -> ProjectName:
    """Return the normalised form of ``text``.

    :raises InvalidValue: if it is not a project name.
    """
    if not isinstance(text, str):
        raise InvalidValue("project name", text, "is not text")
    if len(text) > _MAX_LENGTH:
        raise InvalidValue("project name", text, f"is longer than {_MAX_LENGTH} characters")
    if _NORMALIZED.fullmatch(text):
        return NormalizedName(text)
    if not _NAME.fullmatch(text):
        raise InvalidValue("project name", text, "is not letters, digits and inner . _ -")
    return canonicalize_name(text)


def is_named_after(filename: str, name: ProjectName) -> bool:
    """Whether a file has a name as build tools give it to files of the project.

    The name of an sdist cannot be split with certainty (``a-b-1.tar.gz``), so it is only checked
    that the normalised file name starts with the project's name.
    """
    if filename.endswith(".whl"):
        return canonicalize_name(filename.partition("-")[0]) == name
    normalized = canonicalize_name(filename.replace(" ", "-")).lstrip("-")
    return normalized.startswith(f"{name}-")
