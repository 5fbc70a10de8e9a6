"""The policy fingerprint: the options and page filters that a page is rendered under."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Self

from bandersnatch.model.names import ProjectName

if TYPE_CHECKING:
    from collections.abc import Collection

    from bandersnatch.config.schema import Settings
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.mirror.mirror import Mirror


class PolicyFingerprint:
    """Fingerprints of the options and page filters, one for each project.

    A page that was rendered under another fingerprint is rendered again. A rule that names one
    project changes no other project's fingerprint, and project filters change none: to select one
    project more changes no other project's page.
    """

    def __init__(self, settings: Settings, filters: FilterChain) -> None:
        pages, files = settings.pages, settings.files
        parts = (
            pages.hash_index,
            [form.value for form in pages.formats],
            pages.root_uri,
            pages.digest_name,
            pages.legacy_json,
            pages.provenance.value,
            files.release_files,
            files.core_metadata,
            *(["accept-unhashed"] if files.accept_unhashed else []),
        )
        self.options = _digest(repr(parts))
        """The fingerprint of the options alone."""
        self._filters = filters
        self._known: dict[str, str] = {}

    @classmethod
    def of(cls, mirror: Mirror) -> Self:
        """Return the fingerprint of a mirror's options and page filters."""
        return cls(mirror.settings, mirror.filters)

    @property
    def general(self) -> str:
        """The fingerprint for every project that no rule names."""
        return self(ProjectName(""))

    def special(self, names: Collection[ProjectName]) -> frozenset[ProjectName]:
        """Return the projects that a rule names, so that they have their own fingerprint."""
        general = self.general
        some = self._filters.with_own_rules(names)
        return frozenset(name for name in some if self(name) != general)

    def __call__(self, name: ProjectName, /) -> str:
        """Return the fingerprint for one project's pages."""
        text = self._filters.fingerprint_for(name)
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = _digest(f"{self.options}\n{text}")
        return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
