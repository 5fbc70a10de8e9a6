"""Finds the programs of other packages that tests run.

Without one a test is skipped by name, or fails if the environment has ``REQUIRE_SERVICES=1``, as
where `.ci/run` has installed them all.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

_ADMINISTRATION = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Directories that the path of a user without privileges may lack."""


def missing(text: str) -> NoReturn:
    """Skip the test, or let it fail where everything must be installed."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(text)
    pytest.skip(text)


def require_program(name: str, source: str = "") -> str:
    """Return the path of a program.

    ``source`` says how it is installed, if not as the package of Debian that has its name.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_ADMINISTRATION])
    found = shutil.which(name, path=path)
    if found is None:
        missing(f"{name} is not installed: {source or f'apt-get install {name}'}")
    return found
