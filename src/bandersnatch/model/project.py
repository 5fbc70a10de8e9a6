"""A project's detail page and the list of projects (PEP 691, PEP 700, PEP 792)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import compress
from typing import TYPE_CHECKING, Any, Self

from bandersnatch.errors import InvalidValue
from bandersnatch.model.versions import VersionKey, version_key, version_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial

MAX_FILES = 200_000
"""A page with more files is refused."""

_MAX_ENTRY_LENGTH = 300
"""Characters of a rejected entry's name that are kept; a valid name has fewer."""

_STATUS = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)
_VERSION = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,127}", re.ASCII)


class ProjectStatus(Enum):
    """The known status markers of PEP 792; a page without one is active."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    QUARANTINED = "quarantined"
    DEPRECATED = "deprecated"


@dataclass(frozen=True, slots=True)
class UnknownStatus:
    """A status marker of a later specification; it is passed on and counts as active."""

    value: str


def project_status(text: str) -> ProjectStatus | UnknownStatus:
    """Return the status marker that ``text`` stands for.

    :raises InvalidValue: if it cannot be one.
    """
    try:
        return ProjectStatus(text)
    except ValueError:
        if _STATUS.fullmatch(text):
            return UnknownStatus(text)
        raise InvalidValue("project status", text, "is not a word of lower-case letters") from None


@dataclass(frozen=True, slots=True)
class Rejection:
    """An entry of a document that was left out, and why.

    ``entry`` is the name of the file or project as ``shown_entry`` returns it.
    """

    entry: str
    reason: str

    @classmethod
    def of(cls, value: object, reason: str) -> Self:
        """Return the rejection of the entry that has this name, which need not be valid."""
        return cls(shown_entry(value), reason)


def shown_entry(value: object) -> str:
    """Return the name of an entry as text that is safe to show: printable, and not too long.

    Other characters are escaped as in a literal of Python.
    """
    if not isinstance(value, str):
        return ascii(value)[:_MAX_ENTRY_LENGTH]
    return (value if value.isprintable() else ascii(value)[1:-1])[:_MAX_ENTRY_LENGTH]


@dataclass(frozen=True, slots=True)
class ProjectDetail:
    """The contents of one project's page.

    ``files`` are sorted by name, and names are unique. ``versions`` can contain versions without
    files, and is empty if the index does not list versions. ``serial`` is None if the index has no
    serials. ``rejected`` are the files left out of ``files``: their entries are invalid, or they
    cannot be published. ``document`` is the decoded legacy
    document, present only while filters need it. ``_texts`` caches ``version_texts``.
    """

    name: ProjectName
    files: tuple[ReleaseFile, ...] = ()
    versions: tuple[str, ...] = ()
    serial: Serial | None = None
    status: ProjectStatus | UnknownStatus = ProjectStatus.ACTIVE
    status_reason: str = ""
    rejected: tuple[Rejection, ...] = ()
    document: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    _texts: tuple[str, ...] | None = field(default=None, init=False, compare=False, repr=False)

    def reject(self, rejections: Iterable[Rejection]) -> ProjectDetail:
        """Return the page without files that cannot be published for other reasons than its own."""
        added = tuple(rejections)
        names = {each.entry for each in added}
        files = (file for file in self.files if shown_entry(file.filename) not in names)
        return replace(self, files=tuple(files), rejected=(*self.rejected, *added))

    def keep(self, wanted: Callable[[ReleaseFile], bool]) -> ProjectDetail:
        """Return the page with only the files for which ``wanted`` returns True."""
        return replace(self, files=tuple(file for file in self.files if wanted(file)))

    def keep_versions(self, wanted: Callable[[str], bool]) -> ProjectDetail:
        """Return the page with only the versions for which ``wanted`` returns True.

        ``wanted`` is called once for each version text.
        """
        texts = self.version_texts()
        answers = {text: wanted(text) for text in dict.fromkeys((*texts, *self.versions))}
        if all(answers.values()):
            return self
        kept = list(map(answers.__getitem__, texts))
        page = replace(
            self,
            files=tuple(compress(self.files, kept)),
            versions=tuple(filter(answers.__getitem__, self.versions)),
        )
        object.__setattr__(page, "_texts", tuple(compress(texts, kept)))
        return page

    def version_texts(self) -> tuple[str, ...]:
        """Return the version in each file's name, in the order of the files."""
        texts = self._texts
        if texts is None:
            texts = tuple(version_text(file.filename, self.name) for file in self.files)
            object.__setattr__(self, "_texts", texts)
        return texts

    def version_of(self, file: ReleaseFile) -> str:
        """Return the version in the name of a file of this page."""
        return version_text(file.filename, self.name)

    def releases(self) -> dict[VersionKey, list[ReleaseFile]]:
        """Return the files by version, in the order of the page."""
        found: dict[VersionKey, list[ReleaseFile]] = {}
        by_text: dict[str, list[ReleaseFile]] = {}
        for file, text in zip(self.files, self.version_texts(), strict=True):
            files = by_text.get(text)
            if files is None:  # hashing a version is slow, hashing a text is not
                files = by_text[text] = found.setdefault(version_key(text), [])
            files.append(file)
        return found

    def without_files(self) -> ProjectDetail:
        """Return the page without files, as quarantine requires (PEP 792)."""
        return replace(self, files=(), versions=(), rejected=())


@dataclass(frozen=True, slots=True)
class ProjectList:
    """The projects of an index, each with its serial, or None if the index states none.

    ``display_names`` has the display names that differ from the normalised ones. ``serial`` is that
    of the list. ``rejected`` are the first of ``rejected_count`` invalid entries; one with a valid
    name is still listed, without a serial. ``notes`` are sentences about harmless irregularities.
    ``directories`` has the directories of projects in the list of a plain directory, where their
    names are not the normalised ones.
    """

    serials: Mapping[ProjectName, Serial | None]
    display_names: Mapping[ProjectName, str] = field(default_factory=dict)
    serial: Serial | None = None
    rejected: tuple[Rejection, ...] = ()
    rejected_count: int = 0
    notes: tuple[str, ...] = ()
    directories: Mapping[ProjectName, str] = field(default_factory=dict)


def is_version(text: object) -> bool:
    """Whether ``text`` may be listed as a version: short printable ASCII, PEP 440 or not."""
    return isinstance(text, str) and _VERSION.fullmatch(text) is not None
