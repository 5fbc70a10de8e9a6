"""The keys of everything that a mirror stores (docs/reference/layout.md); pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NewType

from bandersnatch.model.files import MAX_FILENAME_LENGTH, ReleaseFile, name_length
from bandersnatch.model.urls import quote_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bandersnatch.model.names import ProjectName

StorageKey = NewType("StorageKey", str)
"""A relative path with ``/`` between segments, made of validated values only."""

STATUS = StorageKey("status")
TODO = StorageKey("todo")
GENERATION = StorageKey("generation")
CLUSTER = StorageKey("cluster")
"""The name of the run whose workers write to this storage."""
LAST_MODIFIED = StorageKey("web/last-modified")
MARK = StorageKey("web/.mirror")
COPY = StorageKey(".copy")
"""In a copy of a mirror, until a command works on it: the name of that mirror, and its marks."""
WEB = StorageKey("web/")
SIMPLE = StorageKey("web/simple/")
PACKAGES = StorageKey("web/packages/")
TRASH = StorageKey("removed/")

SIDECAR_SUFFIX = ".metadata"


class PageFormat(Enum):
    """The formats of an index page, by the suffix that web servers select them by."""

    HTML = "html"
    V1_HTML = "v1_html"
    V1_JSON = "v1_json"

    @property
    def file_name(self) -> str:
        """The file name of a page of this format."""
        return f"index.{self.value}"

    @classmethod
    def of(cls, key: StorageKey) -> PageFormat:
        """Return the format of the page at ``key``."""
        return cls(key.rpartition(".")[2])


ALL_FORMATS = (PageFormat.HTML, PageFormat.V1_HTML, PageFormat.V1_JSON)


def release_file(file: ReleaseFile) -> StorageKey:
    """Return the key of a release file."""
    return StorageKey(WEB + file.path)


def sidecar(file: ReleaseFile) -> StorageKey | None:
    """Return the key of a file's core metadata; None if its file name would be too long."""
    if name_length(file.filename) + len(SIDECAR_SUFFIX) > MAX_FILENAME_LENGTH:
        return None
    return StorageKey(WEB + file.path + SIDECAR_SUFFIX)


def is_key(text: str) -> bool:
    """Whether a text that was read from state or from a file is a valid key."""
    return "\0" not in text and {"", ".", ".."}.isdisjoint(text.split("/"))


def trash(key: StorageKey) -> StorageKey:
    """Return the key in the trash of an object that leaves the served tree."""
    return StorageKey(TRASH + key.removeprefix(WEB))


def served(key: StorageKey) -> StorageKey:
    """Return the key in the served tree of an object in the trash."""
    return StorageKey(WEB + key.removeprefix(TRASH))


def is_version_of(version: StorageKey, page: StorageKey) -> bool:
    """Whether ``version`` is the key of a kept version of the page at the key ``page``."""
    home, _, name = page.rpartition("/")
    place, _, file = version.rpartition("/")
    return place == f"{home}/versions" and file.rpartition(".")[2] == name.rpartition(".")[2]


def legacy_documents(name: ProjectName) -> tuple[StorageKey, StorageKey]:
    """Return the two keys of a project's legacy JSON document."""
    return StorageKey(f"web/json/{name}"), StorageKey(f"web/pypi/{name}/json")


def unnormalised_pages(spelling: str) -> Iterator[dict[PageFormat, StorageKey]]:
    """Yield the keys of the pages that releases before 4.0 wrote under a name as it is displayed.

    There is one dictionary for each directory that the pages may be in.
    """
    for directory in (spelling, f"{spelling[0]}/{spelling}"):
        yield {form: StorageKey(f"{SIMPLE}{directory}/{form.file_name}") for form in ALL_FORMATS}


def file_url(file: ReleaseFile, root: str) -> str:
    """Return the URL of a file on its project's page; relative if ``root`` is empty.

    The relative URL is the same with ``hash-index``: clients request ``/simple/<name>/`` then, too.
    """
    return f"{root.rstrip('/') or '../..'}/{quote_path(file.path)}"


@dataclass(frozen=True, slots=True)
class MirrorLayout:
    """The keys of pages, which depend on options.

    ``hash_index`` puts project pages into a directory named after the first character of the
    project's name. ``formats`` are those that pages are published in.
    """

    hash_index: bool = False
    formats: tuple[PageFormat, ...] = ALL_FORMATS

    def project(self, name: ProjectName) -> StorageKey:
        """Return the prefix of all keys of the project's pages."""
        first = f"{name[0]}/" if self.hash_index else ""
        return StorageKey(f"{SIMPLE}{first}{name}/")

    def page(self, name: ProjectName, form: PageFormat) -> StorageKey:
        """Return the key of the project's page in one format."""
        return StorageKey(self.project(name) + form.file_name)

    def pages(self, name: ProjectName) -> dict[PageFormat, StorageKey]:
        """Return the keys of the project's pages in each format that is published."""
        return {form: self.page(name, form) for form in self.formats}

    def all_pages(self, name: ProjectName) -> tuple[StorageKey, ...]:
        """Return the keys that the project's pages have under any options, current ones first."""
        other = MirrorLayout(not self.hash_index, (*self.formats, *self._unused_formats))
        return (
            *self.pages(name).values(),
            *(self.page(name, form) for form in self._unused_formats),
            *other.pages(name).values(),
        )

    def unused_pages(self, name: ProjectName) -> tuple[StorageKey, ...]:
        """Return the keys that only other options would give to the project's pages."""
        return self.all_pages(name)[len(self.formats) :]

    def page_versions(self, name: ProjectName) -> StorageKey:
        """Return the prefix of the keys of the project's earlier pages, if any are kept."""
        return StorageKey(self.project(name) + "versions/")

    def all_page_versions(self, name: ProjectName) -> tuple[StorageKey, ...]:
        """Return the prefixes of the project's earlier pages under any options."""
        return tuple(MirrorLayout(hashed).page_versions(name) for hashed in (False, True))

    def root_page(self, form: PageFormat) -> StorageKey:
        """Return the key of the root page in one format."""
        return StorageKey(SIMPLE + form.file_name)

    def root_pages(self) -> dict[PageFormat, StorageKey]:
        """Return the keys of the root page in each format that is published."""
        return {form: self.root_page(form) for form in self.formats}

    def unused_root_pages(self) -> tuple[StorageKey, ...]:
        """Return the keys of the root page in each format that is not published."""
        return tuple(self.root_page(form) for form in self._unused_formats)

    @property
    def _unused_formats(self) -> tuple[PageFormat, ...]:
        return tuple(form for form in ALL_FORMATS if form not in self.formats)

    def page_owner(self, key: StorageKey) -> str | None:
        """Return the project directory that the page at ``key`` belongs to, as it is spelled.

        None for a root page, an earlier page that was kept, and any other object.
        """
        parts = key.removeprefix(SIMPLE).split("/")
        depth = 3 if self.hash_index else 2
        if len(parts) != depth or not key.startswith(SIMPLE):
            return None
        pages = {form.file_name for form in PageFormat}
        return parts[-2] if parts[-1] in pages else None
