"""A synthetic index on disk, the same for a seed, which nginx serves.

``change`` moves an ``Index`` to its next state: releases, yanks, removals and new projects, with
their events in the changelog. The index knows what a mirror of its state must have.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SERIAL = 1_000_000
"""The serial of the first project; each further one is one higher."""

MADE = 1_700_000_000
"""Modification time of a page with serial 0; each page has another time and so another ETag."""

PAGE = "index.v1_json"

_WORDS = ("acme", "django", "flask", "lib", "my", "py", "pytest", "tiny")
_SLACK = 65_536


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of an index; file sizes are in bytes.

    ``giants`` are the numbers of files of the first projects; the others share the rest.
    """

    projects: int
    files: int
    smallest: int = 5_000
    largest: int = 50_000
    giants: tuple[int, ...] = ()
    seed: int = 20261121


@dataclass(frozen=True, slots=True)
class File:
    """A release file; ``sidecar`` is its core metadata, b"" if it has none."""

    filename: str
    version: str
    path: str
    size: int
    sha256: str
    uploaded: str
    sidecar: bytes = b""
    yanked: bool = False

    @property
    def paths(self) -> list[str]:
        """The paths that a mirror requests for the file."""
        return [self.path, f"{self.path}.metadata"] if self.sidecar else [self.path]


@dataclass(slots=True)
class Project:
    """A project and its files."""

    name: str
    serial: int
    files: tuple[File, ...] = ()


@dataclass
class Index:
    """An index in a directory; nginx generates pages if they are ``made_up``."""

    directory: Path
    dice: random.Random
    made_up: bool = False
    serial: int = SERIAL
    projects: dict[str, Project] = field(default_factory=dict)
    renewed: set[str] = field(default_factory=set)
    """The projects whose serial does not follow from their number."""
    events: list[list[object]] = field(default_factory=list)

    def paths(self) -> list[str]:
        """Return the paths that a mirror requests, except the list."""
        return [path for project in self.projects.values() for path in _paths(project)]

    def write_root(self) -> None:
        """Write the list of all projects."""
        listed = [{"name": p.name, "_last-serial": p.serial} for p in self.projects.values()]
        meta = {"api-version": "1.4", "_last-serial": self.serial}
        _write_page(self.directory / "simple", self.serial, {"meta": meta, "projects": listed})

    def write_project(self, project: Project) -> None:
        """Write a project's page."""
        page = {
            "meta": {"api-version": "1.4", "_last-serial": project.serial},
            "name": project.name,
            "versions": sorted({file.version for file in project.files}),
            "project-status": {"status": "active"},
            "files": [_entry(file) for file in project.files],
        }
        _write_page(self.directory / "simple" / project.name, project.serial, page)

    def happens(self, name: str, action: str, version: str | None = None) -> None:
        """Add an event to the changelog."""
        self.serial += 1
        self.renewed.add(name)
        self.events.append([name, version, MADE + self.serial, action, self.serial])
        if name in self.projects:
            self.projects[name].serial = self.serial


def generate(directory: Path, shape: Shape) -> Index:
    """Write the pages, files and sidecars of an index below ``directory``.

    One project in ten has ten files or more; half of the files are wheels and have a sidecar.
    """
    dice = random.Random(shape.seed)
    index = Index(directory, dice, serial=SERIAL + shape.projects - 1)
    writer = FileWriter(directory, shape, dice)
    for number, count in enumerate(_file_counts(shape, dice)):
        name = project_name(number)
        files = tuple(writer.write(name, version) for version in range(count))
        index.projects[name] = Project(name, SERIAL + number, files)
        index.write_project(index.projects[name])
    index.write_root()
    return index


def listed(directory: Path, count: int) -> Index:
    """Write the list of projects without files; nginx generates their pages."""
    index = Index(directory, random.Random(count), made_up=True, serial=SERIAL + count - 1)
    for number in range(count):
        name = project_name(number)
        index.projects[name] = Project(name, SERIAL + number)
    index.write_root()
    return index


def first_of(index: Index, directory: Path, count: int) -> Index:
    """Write the list of the first projects by name only."""
    part = Index(directory, random.Random(count), made_up=True, serial=index.serial)
    part.projects = {name: index.projects[name] for name in sorted(index.projects)[:count]}
    part.write_root()
    return part


def project_name(number: int) -> str:
    """Return a project's name, from which its first serial follows."""
    return f"{_WORDS[number * 7919 % len(_WORDS)]}-{number:06}"


class FileWriter:
    """Generates files from parts of one random block."""

    def __init__(self, directory: Path, shape: Shape, dice: random.Random) -> None:
        self._directory = directory
        self._shape = shape
        self._dice = dice
        self._block = dice.randbytes(shape.largest + _SLACK)

    def write(self, name: str, version: int) -> File:
        """Write a file, and its sidecar if it is a wheel."""
        dice = self._dice
        size = dice.randint(self._shape.smallest, self._shape.largest)
        start = dice.randrange(_SLACK)
        content = f"{name} {version} ".encode() + self._block[start : start + size]
        stem = f"{name.replace('-', '_')}-{version}.0"
        is_wheel = version % 2 == 0
        filename = f"{stem}-py3-none-any.whl" if is_wheel else f"{stem}.tar.gz"
        digest = hashlib.blake2b(content, digest_size=32).hexdigest()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}.0\n".encode() * 8
        file = File(
            filename,
            f"{version}.0",
            f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{filename}",
            len(content),
            hashlib.sha256(content).hexdigest(),
            f"2024-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}T07:08:09.123456Z",
            text if is_wheel else b"",
        )
        target = self._directory / file.path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if is_wheel:
            target.with_name(f"{filename}.metadata").write_bytes(text)
        return file


def change(index: Index, count: int) -> list[str]:
    """Change ``count`` projects, and return the paths to request.

    Six in ten have a release, two a yank, one loses a file; one in a hundred is removed and as
    many are new. With generated pages each change is a release.
    """
    dice = index.dice
    writer = FileWriter(index.directory, Shape(0, 0), dice)
    chosen = dice.sample(list(index.projects), count)
    before = {path for name in chosen for path in _paths(index.projects[name])}
    leaving = 0 if index.made_up else max(1, count // 100)
    for name in chosen[:leaving]:
        _leave(index, name)
    new = [project_name(SERIAL - 1 - len(index.events) - each) for each in range(leaving)]
    for name in new:
        index.projects[name] = Project(name, 0)
        _release(index, name, writer)
    for name in chosen[2 * leaving :]:
        kind = dice.random()
        if index.made_up or kind < 0.7 or len(index.projects[name].files) < 2:
            _release(index, name, writer)
        elif kind < 0.9:
            _yank(index, name)
        else:
            _lose(index, name)
    changed = [*new, *chosen[2 * leaving :]]
    for name in changed:
        index.write_project(index.projects[name])
    index.write_root()
    files = {path for name in changed for path in _paths(index.projects[name])} - before
    return sorted({*files, *(f"/simple/{name}/" for name in changed)})


def _release(index: Index, name: str, writer: FileWriter) -> None:
    project = index.projects[name]
    file = writer.write(name, 100_000 + index.serial)
    project.files = (*project.files, file)
    index.happens(name, f"add py3 file {file.filename}", file.version)


def _yank(index: Index, name: str) -> None:
    project = index.projects[name]
    project.files = (replace(project.files[0], yanked=True), *project.files[1:])
    index.happens(name, "yank release", project.files[0].version)


def _lose(index: Index, name: str) -> None:
    project = index.projects[name]
    lost, project.files = project.files[0], project.files[1:]
    index.happens(name, f"remove file {lost.filename}", lost.version)


def _leave(index: Index, name: str) -> None:
    del index.projects[name]
    for path in (index.directory / "simple" / name).iterdir():
        path.unlink()
    index.happens(name, "remove project")


def _paths(project: Project) -> Iterable[str]:
    yield f"/simple/{project.name}/"
    for file in project.files:
        yield from file.paths


def _file_counts(shape: Shape, dice: random.Random) -> list[int]:
    """Return the number of files of each project: mostly one to five, some ten to twenty."""
    few = shape.projects - len(shape.giants)
    left = shape.files - sum(shape.giants)
    counts = [
        dice.randint(10, 20) if dice.random() < 0.1 else dice.randint(1, 5) for _ in range(few)
    ]
    while sum(counts) > max(left, few):
        chosen = dice.randrange(few)
        counts[chosen] = max(1, counts[chosen] - 1)
    while few and sum(counts) < left:
        counts[dice.randrange(few)] += 1
    return [*shape.giants, *counts]


def _entry(file: File) -> dict[str, object]:
    metadata: object = False
    if file.sidecar:
        metadata = {"sha256": hashlib.sha256(file.sidecar).hexdigest()}
    return {
        "filename": file.filename,
        "url": f"../..{file.path}",
        "hashes": {"sha256": file.sha256},
        "size": file.size,
        "upload-time": file.uploaded,
        "requires-python": ">=3.8",
        "yanked": file.yanked,
        "core-metadata": metadata,
        "data-dist-info-metadata": metadata,
        "provenance": None,
    }


def _write_page(directory: Path, serial: int, page: object) -> None:
    """Replace a page and its compressed form atomically."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(page).encode()
    for name, body in ((f"{PAGE}.gz", gzip.compress(text, 6, mtime=0)), (PAGE, text)):
        new = directory / f"{name}.new"
        new.write_bytes(body)
        os.utime(new, (MADE + serial, MADE + serial))
        new.replace(directory / name)
