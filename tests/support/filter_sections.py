"""Sections of configuration files that select projects and files."""

from __future__ import annotations

WITHOUT_SDISTS = """
    [plugins]
    enabled = regex_release_file_metadata
    [regex_release_file_metadata]
    any:release_file.packagetype = bdist_wheel
"""


WITHOUT_OLD = """
    [plugins]
    enabled = latest_release
    [latest_release]
    keep = 1
"""


SMALL = """
    [plugins]
    enabled = size_project_metadata
    [size_project_metadata]
    max_package_size = 1000
"""


def allowing(*names: str) -> str:
    """Return the sections of an allowlist."""
    lines = "".join(f"\n        {name}" for name in names)
    return f"""
    [plugins]
    enabled = allowlist_project
    [allowlist]
    packages ={lines}
    """


YOUNG = """
    [plugins]
    enabled = release_age
    [release_age]
    min-age = 7 days
"""
