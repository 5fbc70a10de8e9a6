"""Releases with requirements, and configurations that follow them."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.index import File, Index

LINUX = "python 3.12; linux x86_64 glibc 2.28"
WINDOWS = "python 3.12; windows amd64"


def metadata(
    name: str, version: str, requires: Iterable[str] = (), *, extras: Iterable[str] = ()
) -> bytes:
    """Return core metadata."""
    lines = ["Metadata-Version: 2.2", f"Name: {name}", f"Version: {version}"]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {each}" for each in requires]
    return "\n".join([*lines, "", ""]).encode()


def release(
    index: Index,
    name: str,
    version: str,
    *requires: str,
    extras: Iterable[str] = (),
    tags: str = "py3-none-any",
    **attributes: Any,
) -> File:
    """Publish a version with one wheel that has these requirements."""
    filename = f"{canonicalize_name(name).replace('-', '_')}-{version}-{tags}.whl"
    text = metadata(name, version, requires, extras=extras)
    return index.upload(name, version, filename, metadata=text, **attributes)


def configuration(
    *allowed: str,
    environments: Iterable[str] = (),
    keep: int | None = 1,
    filters: str = "",
    sections: str = "",
    **options: object,
) -> str:
    """Return the sections of a mirror of some projects that follows their dependencies."""
    lines = ["[plugins]", "enabled =", "    allowlist_project"]
    lines += [] if keep is None else ["    latest_release"]
    lines += [f"    {each}" for each in filters.split()]
    lines += ["[allowlist]", "packages =", *(f"    {each}" for each in allowed)]
    lines += [] if keep is None else ["[latest_release]", f"keep = {keep}"]
    lines += ["[closure]", "follow = true"]
    lines += [f"{name.replace('_', '-')} = {value}" for name, value in options.items()]
    declared = list(environments)
    if declared:
        lines += ["[environments]", *(f"e{n} = {each}" for n, each in enumerate(declared))]
    return "\n".join([*lines, *sections.splitlines()])


def wheel(name: str, version: str, text: bytes) -> bytes:
    """Return a wheel that can be installed and has this core metadata."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    members = {
        f"{info}/METADATA": text,
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in members)
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, each in members.items():
            archive.writestr(zipfile.ZipInfo(path), each)
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), f"{record}{info}/RECORD,,\n")
    return content.getvalue()
