"""Checks that a mirror has everything that an index has, from the tree alone."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from generate import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from generate import File, Index, Project


def check_complete(mirror: Path, index: Index, names: Iterable[str] | None = None) -> None:
    """Compare a mirror with an index: the list, each page, and the bytes of each file.

    ``names`` are the projects whose pages and files are checked, by default all.

    :raises RuntimeError: if anything is missing, superfluous or different.
    """
    check_state(mirror, index)
    web = mirror / "web"
    listed = json.loads((web / "simple" / PAGE).read_bytes())["projects"]
    _require({each["name"] for each in listed} == index.projects.keys(), "the list is different")
    if names is None:
        stored = {entry.name for entry in os.scandir(web / "simple") if entry.is_dir()}
        _require(stored == index.projects.keys(), "there are pages of other projects")
    for name in index.projects if names is None else names:
        check_project(web, index.projects[name])


def check_state(mirror: Path, index: Index) -> None:
    """Check that ``status`` is the serial of the index, and that nothing is pending."""
    status = (mirror / "status").read_text().strip()
    _require(status == str(index.serial), f"status is {status}, not {index.serial}")
    todo = mirror / "todo"
    left = todo.read_text().split("\n")[1:] if todo.exists() else []
    _require(not any(left), f"todo has {len(left)} lines")


def check_project(web: Path, project: Project) -> None:
    """Check one project's pages and files."""
    directory = web / "simple" / project.name
    _require((directory / "index.html").is_file(), f"{project.name} has no HTML page")
    page = json.loads((directory / PAGE).read_bytes())
    shown = {each["filename"]: bool(each["yanked"]) for each in page["files"]}
    wanted = {file.filename: file.yanked for file in project.files}
    _require(shown == wanted, f"the page of {project.name} has other files")
    for file in project.files:
        _check_file(web, file)


def _check_file(web: Path, file: File) -> None:
    path = web / file.path.lstrip("/")
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        sidecar = path.with_name(f"{path.name}.metadata").read_bytes() if file.sidecar else b""
    except FileNotFoundError as error:
        raise RuntimeError(f"the mirror lacks {error.filename}") from error
    _require(digest == file.sha256, f"{file.filename} has other content")
    _require(sidecar == file.sidecar, f"{file.filename} has other core metadata")


def _require(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - the condition is the subject
    if not condition:
        raise RuntimeError(f"the mirror is incomplete: {otherwise}")
