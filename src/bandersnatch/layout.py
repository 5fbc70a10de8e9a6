"""Where each thing has its place in a mirror; pure (contract, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NewType

from bandersnatch.model.files import LONGEST_FILENAME
from bandersnatch.model.urls import quote_path

if TYPE_CHECKING:
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName

StorageKey = NewType("StorageKey", str)
"""A relative path with ``/`` between segments, made of checked values only."""

STATUS = StorageKey("status")
TODO = StorageKey("todo")
GENERATION = StorageKey("generation")
LAST_MODIFIED = StorageKey("web/last-modified")
WEB = StorageKey("web/")
SIMPLE = StorageKey("web/simple/")
PACKAGES = StorageKey("web/packages/")
REMOVED = StorageKey("removed/")

SIDECAR_SUFFIX = ".metadata"


class PageFormat(Enum):
    """The representations of an index page, by the suffix that web servers select them by."""

    HTML = "html"
    V1_HTML = "v1_html"
    V1_JSON = "v1_json"

    @property
    def file_name(self) -> str:
        """Return the name of a page of this format."""
        return f"index.{self.value}"


def release_file(file: ReleaseFile) -> StorageKey:
    """Return where the file lies."""
    return StorageKey(WEB + file.path)


def sidecar(file: ReleaseFile) -> StorageKey | None:
    """Return where the file's core metadata lies; None if no storage could hold its name."""
    if len(file.filename) + len(SIDECAR_SUFFIX) > LONGEST_FILENAME:
        return None
    return StorageKey(WEB + file.path + SIDECAR_SUFFIX)


def is_key(text: str) -> bool:
    """Whether anything can be stored there: a text that was read from somewhere may be any."""
    return "\0" not in text and {"", ".", ".."}.isdisjoint(text.split("/"))


def removed(key: StorageKey) -> StorageKey:
    """Return where something lies for the grace time after it left the served tree."""
    return StorageKey(REMOVED + key.removeprefix(WEB))


def served(key: StorageKey) -> StorageKey:
    """Return where something that waits in ``removed/`` was in the served tree."""
    return StorageKey(WEB + key.removeprefix(REMOVED))


def legacy_documents(name: ProjectName) -> tuple[StorageKey, StorageKey]:
    """Return the two places where a project's legacy JSON lies."""
    return StorageKey(f"web/json/{name}"), StorageKey(f"web/pypi/{name}/json")


def file_url(file: ReleaseFile, root: str) -> str:
    """Return the URL that a project's page gives for a file, relative when ``root`` is empty.

    The relative form is the same with ``hash-index``: clients see ``/simple/<name>/`` then too.
    """
    return f"{root.rstrip('/') or '../..'}/{quote_path(file.path)}"


@dataclass(frozen=True, slots=True)
class MirrorLayout:
    """The places that depend on options.

    ``hash_index`` puts project pages under a directory of the name's first character.
    """

    hash_index: bool = False

    def project(self, name: ProjectName) -> StorageKey:
        """Return the prefix of everything that belongs to the project's pages."""
        first = f"{name[0]}/" if self.hash_index else ""
        return StorageKey(f"{SIMPLE}{first}{name}/")

    def page(self, name: ProjectName, form: PageFormat) -> StorageKey:
        """Return where a project's page of this format lies."""
        return StorageKey(self.project(name) + form.file_name)

    def kept_pages(self, name: ProjectName) -> StorageKey:
        """Return the prefix of a project's kept earlier pages."""
        return StorageKey(self.project(name) + "versions/")

    def root(self, form: PageFormat) -> StorageKey:
        """Return where the root page of this format lies."""
        return StorageKey(SIMPLE + form.file_name)

    def page_owner(self, key: StorageKey) -> str | None:
        """Return the project directory that the page at ``key`` belongs to, as it is spelled.

        None for a root page, a kept earlier page, and what is no page at all.
        """
        parts = key.removeprefix(SIMPLE).split("/")
        depth = 3 if self.hash_index else 2
        if len(parts) != depth or not key.startswith(SIMPLE):
            return None
        pages = {form.file_name for form in PageFormat}
        return parts[-2] if parts[-1] in pages else None
