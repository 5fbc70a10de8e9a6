"""Hides names from the program; see ``sitecustomize`` in this directory."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.hiding.sitecustomize import VARIABLE, is_on

__all__ = ["environment", "is_on"]


def environment() -> dict[str, str]:
    """Return the environment variables that hide the names from a new process."""
    path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {VARIABLE: "1", "PYTHONPATH": os.pathsep.join(filter(None, path))}
