"""A synthetic index on disk, the same for the same seed: what nginx serves and what curl fetches.

Run ``python bench/generate.py DIRECTORY --projects 5000`` to make one by itself.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path

SERIAL = 1_000_000
"""The serial of the first project; each further one is one higher."""

UPLOADED = "2024-05-06T07:08:09.123456Z"


@dataclass(frozen=True, slots=True)
class Shape:
    """How large an index is; file sizes are in bytes."""

    projects: int = 5_000
    files: int = 20_000
    smallest: int = 5_000
    largest: int = 50_000
    seed: int = 20261121


@dataclass(frozen=True, slots=True)
class Generated:
    """What was made: the paths a mirror asks for, and how many bytes they hold."""

    paths: tuple[str, ...]
    size: int
    serial: int


def generate(directory: Path, shape: Shape) -> Generated:
    """Write the pages, files and sidecars of an index below ``directory``.

    One project in ten has ten files or more; half of the files are wheels and have a sidecar.
    """
    dice = random.Random(shape.seed)
    block = dice.randbytes(shape.largest + 65_536)
    counts = _file_counts(shape, dice)
    paths: list[str] = []
    total = 0
    listed = []
    for number, count in enumerate(counts):
        name = f"project-{number:06}"
        serial = SERIAL + number
        entries = []
        for version in range(count):
            size = dice.randint(shape.smallest, shape.largest)
            start = dice.randint(0, 65_535)
            content = f"{name} {version} ".encode() + block[start : start + size]
            entry, written = _write_file(directory, name, version, content, paths)
            entries.append(entry)
            total += written
        page = _page(name, serial, entries)
        total += _write_page(directory / "simple" / name, page)
        paths.append(f"/simple/{name}/")
        listed.append({"name": name, "_last-serial": serial})
    serial = SERIAL + len(counts) - 1
    root = {"meta": {"api-version": "1.4", "_last-serial": serial}, "projects": listed}
    _write_page(directory / "simple", json.dumps(root).encode())
    return Generated(tuple(paths), total, serial)


def _file_counts(shape: Shape, dice: random.Random) -> list[int]:
    """Return how many files each project has: most one to five, some ten to twenty."""
    counts = [
        dice.randint(10, 20) if dice.random() < 0.1 else dice.randint(1, 5)
        for _ in range(shape.projects)
    ]
    while sum(counts) > shape.files:
        chosen = dice.randrange(len(counts))
        counts[chosen] = max(1, counts[chosen] - 1)
        if all(count == 1 for count in counts):
            break
    while sum(counts) < shape.files:
        counts[dice.randrange(len(counts))] += 1
    return counts


def _write_file(
    directory: Path, name: str, version: int, content: bytes, paths: list[str]
) -> tuple[dict[str, object], int]:
    stem = f"{name.replace('-', '_')}-{version}.0"
    is_wheel = version % 2 == 0
    filename = f"{stem}-py3-none-any.whl" if is_wheel else f"{stem}.tar.gz"
    digest = hashlib.blake2b(content, digest_size=32).hexdigest()
    path = f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{filename}"
    target = directory / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    paths.append(path)
    written = len(content)
    metadata: object = False
    if is_wheel:
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}.0\n".encode() * 8
        target.with_name(f"{filename}.metadata").write_bytes(text)
        paths.append(f"{path}.metadata")
        metadata = {"sha256": hashlib.sha256(text).hexdigest()}
        written += len(text)
    entry = {
        "filename": filename,
        "url": f"../..{path}",
        "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
        "size": len(content),
        "upload-time": UPLOADED,
        "requires-python": ">=3.8",
        "yanked": False,
        "core-metadata": metadata,
    }
    return entry, written


def _page(name: str, serial: int, entries: list[dict[str, object]]) -> bytes:
    page = {
        "meta": {"api-version": "1.4", "_last-serial": serial},
        "name": name,
        "versions": sorted({f"{number}.0" for number in range(len(entries))}),
        "project-status": {"status": "active"},
        "files": entries,
    }
    return json.dumps(page).encode()


def _write_page(directory: Path, text: bytes) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "index.v1_json").write_bytes(text)
    (directory / "index.v1_json.gz").write_bytes(gzip.compress(text, 6, mtime=0))
    return len(text)


def main() -> None:
    """Make an index as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--projects", type=int, default=Shape().projects)
    parser.add_argument("--files", type=int, default=Shape().files)
    arguments = parser.parse_args()
    made = generate(arguments.directory, Shape(arguments.projects, arguments.files))
    print(f"{len(made.paths)} things to fetch, {made.size / 1e6:.0f} MB, serial {made.serial}")


if __name__ == "__main__":
    main()
