"""The filters work on values, so that their tests need no mirror."""

from __future__ import annotations

import pytest
from example_filters import DevReleases, NamePrefix

from bandersnatch.filters.interface import (
    Factory,
    FilterOptions,
    Hashes,
    OptionError,
    ProjectDetail,
    ReleaseFile,
    project_name,
)

FACTORIES: list[Factory] = [NamePrefix.from_options, DevReleases.from_options]


def page(*versions: str) -> ProjectDetail:
    """Return the page of a project with a file of each version."""
    names = [f"spam-{version}.tar.gz" for version in versions]
    files = (
        ReleaseFile(name, f"https://example.org/{name}", f"packages/{name}", Hashes())
        for name in names
    )
    return ProjectDetail(project_name("spam"), tuple(files), versions)


def test_the_newest_development_releases_are_kept() -> None:
    """They are compared as versions: 10 is more than 9."""
    whole = page("1.0", "1.0.dev1", "2.0.dev9", "2.0.dev10", "2.0")
    assert DevReleases(1).apply(whole) == page("1.0", "2.0.dev10", "2.0")
    assert DevReleases(0).apply(whole) == page("1.0", "2.0")
    assert DevReleases(9).apply(whole) == whole


def test_projects_are_kept_by_their_names() -> None:
    """Prefixes are compared with normalised names."""
    options = FilterOptions({"name_prefix": {"prefixes": "\nAcme-\ndjango-"}})
    keeps = NamePrefix.from_options(options).apply
    names = map(project_name, ("acme-x", "django-y", "spam"))
    assert [keeps(name) for name in names] == [True, True, False]


@pytest.mark.parametrize("factory", FACTORIES)
def test_missing_options_are_refused(factory: Factory) -> None:
    """A filter that is enabled and not configured must not keep everything."""
    with pytest.raises(OptionError, match="; "):
        factory(FilterOptions())
