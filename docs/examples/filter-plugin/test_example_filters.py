"""A filter is a function of values: no mirror is needed to test it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from example_filters import dev_releases, name_prefix

from bandersnatch.model.digests import Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectDetail

if TYPE_CHECKING:
    from bandersnatch.filters.interface import Factory

FACTORIES: list[Factory] = [name_prefix, dev_releases]


def page(*versions: str) -> ProjectDetail:
    """Return the page of a project with a file of each version."""
    names = [f"spam-{version}.tar.gz" for version in versions]
    files = (
        ReleaseFile(name, f"https://example.org/{name}", f"packages/{name}", Hashes())
        for name in names
    )
    return ProjectDetail(project_name("spam"), tuple(files), versions)


def test_the_newest_development_releases_stay() -> None:
    """The newest by their numbers: 10 is more than 9."""
    whole = page("1.0", "1.0.dev1", "2.0.dev9", "2.0.dev10", "2.0")
    assert dev_releases({"keep": "1"})(whole) == page("1.0", "2.0.dev10", "2.0")
    assert dev_releases({"keep": "0"})(whole) == page("1.0", "2.0")
    assert dev_releases({"keep": "9"})(whole) == whole


def test_projects_are_kept_by_their_names() -> None:
    """Prefixes are compared with normalised names."""
    keeps = name_prefix({"prefixes": "\nAcme-\ndjango-"})
    assert [keeps(name) for name in ("acme-x", "django-y", "spam")] == [True, True, False]


@pytest.mark.parametrize("factory", FACTORIES)
def test_nothing_to_go_by_is_refused(factory: Factory) -> None:
    """A filter that is enabled and not set up must not keep everything."""
    with pytest.raises(ValueError, match="; "):
        factory({})
