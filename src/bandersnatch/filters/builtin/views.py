"""The dictionaries of the legacy JSON API (see PyPI's documentation), built from a page.

Values that a page has are taken from the page, because they are validated, and because answers
must not depend on whether another filter needs the document. The document adds what a page lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC
from typing import TYPE_CHECKING, Any

from bandersnatch.model.digests import parse_hashes
from bandersnatch.model.filenames import FileKind, build_info, wheel_tag_text
from bandersnatch.model.versions import VersionKey, parse_version, version_key

if TYPE_CHECKING:
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

    Json = dict[str, Any]

_NOT_IN_PAGES = ("packagetype", "python_version")
"""The keys that follow from the file's name, unless the document has them."""


def legacy_project(page: ProjectDetail) -> Json:
    """Return ``{"info", "last_serial", "releases", "urls"}``, and other keys of the document.

    ``releases`` has the page's versions, each with a list, which may be empty, of its files.
    """
    releases = _releases(page)
    info = _info(page, releases)
    document: Json = dict(page.document or {})
    current = version_key(str(info["version"]))
    urls = next((files for text, files in releases.items() if version_key(text) == current), [])
    serial = document.get("last_serial") if page.serial is None else int(page.serial)
    return document | {
        "info": info,
        "last_serial": serial,
        "releases": releases,
        "urls": list(urls),
    }


def legacy_file(page: ProjectDetail, file: ReleaseFile) -> Json:
    """Return the dictionary of one file; `legacy_files` is faster for many."""
    return _file(file, page.name, _entries(page.document).get(file.filename))


def legacy_files(page: ProjectDetail) -> dict[str, Json]:
    """Return the dictionary of each file, by file name."""
    entries = _entries(page.document)
    return {
        file.filename: _file(file, page.name, entries.get(file.filename)) for file in page.files
    }


def _releases(page: ProjectDetail) -> dict[str, list[Json]]:
    """Return the files by version, in the index's spelling if it lists the version."""
    files = legacy_files(page)
    texts: dict[VersionKey, str] = {}
    for text in (*page.versions, *_mapping(page, "releases")):
        texts.setdefault(version_key(text), text)
    found: dict[str, list[Json]] = {text: [] for text in page.versions}
    for key, members in page.releases().items():
        found[texts.get(key, str(key))] = [files[file.filename] for file in members]
    return found


def _info(page: ProjectDetail, releases: Mapping[str, Sequence[Json]]) -> Json:
    """Return the document's ``info``, with the values that the page has as defaults."""
    version = max(releases, key=lambda text: _rank(text, releases[text]), default="")
    files = releases.get(version, ())
    from_page = {
        "name": page.name,
        "version": version,
        "requires_python": next(filter(None, (f["requires_python"] for f in files)), None),
        "yanked": _is_yanked(files),
        "yanked_reason": next(filter(None, (f["yanked_reason"] for f in files)), None),
    }
    return from_page | deepcopy(dict(_mapping(page, "info")))


def _rank(text: str, files: Sequence[Json]) -> tuple[bool, bool, bool, Any, str]:
    """Return a sort key whose maximum is the newest version, if any text is a version."""
    version = parse_version(text)
    final = version is not None and not version.is_prerelease
    return version is not None, not _is_yanked(files), final, version or text, text


def _is_yanked(files: Sequence[Json]) -> bool:
    return bool(files) and all(file["yanked"] for file in files)


def _file(file: ReleaseFile, name: ProjectName, entry: Mapping[str, Any] | None) -> Json:
    time = file.upload_time and file.upload_time.astimezone(UTC).replace(tzinfo=None)
    digests = {digest.algorithm: digest.value for digest in file.hashes}
    kind, python = _kind(file.filename, name)
    from_page: Json = {
        "filename": file.filename,
        "packagetype": kind,
        "python_version": python,
        "requires_python": file.requires_python,
        "size": file.size,
        "upload_time": time and time.isoformat(timespec="seconds"),
        "upload_time_iso_8601": time and time.isoformat(timespec="microseconds") + "Z",
        "url": file.url,
        "yanked": file.yanked is not None,
        "yanked_reason": file.yanked or None,
        "digests": digests,
    }
    if entry is None or _is_another_file(entry, file):
        return from_page
    known = {key: value for key, value in from_page.items() if _is_from_page(key, value)}
    return from_page | dict(entry) | known | {"digests": {**_digests(entry), **digests}}


_KINDS = {
    FileKind.WHEEL: "bdist_wheel",
    FileKind.SDIST: "sdist",
    FileKind.EGG: "bdist_egg",
    FileKind.WININST: "bdist_wininst",
    FileKind.MSI: "bdist_msi",
    FileKind.RPM: "bdist_rpm",
    FileKind.DMG: "bdist_dmg",
    FileKind.DUMB: "bdist_dumb",
    FileKind.DEB: "bdist_dumb",
    FileKind.OTHER: "sdist",
}


def _kind(filename: str, name: ProjectName) -> tuple[str, str]:
    """Return ``packagetype`` and ``python_version`` of a file."""
    build = build_info(filename, name)
    if build.kind is FileKind.WHEEL:
        return _KINDS[build.kind], (wheel_tag_text(filename) or "").partition("-")[0]
    if _KINDS[build.kind] == "sdist":
        return "sdist", "source"
    return _KINDS[build.kind], build.python or "any"


def _is_from_page(key: str, value: object) -> bool:
    """Return whether the page's value counts; a file that is not yanked has no reason."""
    return key == "yanked_reason" or (value is not None and key not in _NOT_IN_PAGES)


def _is_another_file(entry: Mapping[str, Any], file: ReleaseFile) -> bool:
    """Return whether the document's entry is about another file of the same name."""
    digest = _digests(entry).get("sha256")
    if file.sha256 is None:
        return parse_hashes(_digests(entry)).agrees_with(file.hashes) is False
    return digest is not None and str(digest).lower() != file.sha256.value


def _digests(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    digests = entry.get("digests")
    return digests if isinstance(digests, Mapping) else {}


def _entries(document: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """Return the document's valid entries of files, by file name."""
    releases = (document or {}).get("releases")
    found: dict[str, Mapping[str, Any]] = {}
    for files in releases.values() if isinstance(releases, Mapping) else ():
        for entry in files if isinstance(files, list) else ():
            if isinstance(entry, Mapping) and isinstance(entry.get("filename"), str):
                found.setdefault(entry["filename"], entry)
    return found


def _mapping(page: ProjectDetail, key: str) -> Mapping[str, Any]:
    part = (page.document or {}).get(key)
    return part if isinstance(part, Mapping) else {}
