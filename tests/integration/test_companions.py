"""Wheel variants and other companions, releases in quarantine, and unknown statuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran, Site

VARIANTS = "foo-1.0-variants.json"


def upload(index: Index, filename: str, content: str) -> str:
    """Publish a file of version 1.0 of foo, and return the path of it."""
    return index.upload("foo", "1.0", filename, content=content.encode()).path


def warnings(ran: Ran) -> list[str]:
    """Return the warnings of the log."""
    return [line for line in ran.log.splitlines() if " WARNING: " in line]


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_variants_are_mirrored_and_followed_when_they_change(
    index: Index, server: IndexServer, site: Site, method: str
) -> None:
    site.configure(api_method=method)
    index.release("foo", "1.0", metadata=False)
    wheel = "foo-1.0-py3-none-any-cu12.8.whl"
    upload(index, wheel, "wheel " * 50)
    first = upload(index, VARIANTS, '{"variants": {"cu12.8": {}}}')
    assert site.mirror().code == 0
    assert VARIANTS in site.filenames("foo")
    assert (site.web / first.lstrip("/")).read_text() == '{"variants": {"cu12.8": {}}}'
    second = upload(index, VARIANTS, '{"variants": {"cu12.8": {}, "null": {}}}')
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert warnings(ran) == []
    assert ran.failed == {}
    assert (site.web / second.lstrip("/")).read_text() == '{"variants": {"cu12.8": {}, "null": {}}}'
    assert not (site.web / first.lstrip("/")).exists()
    assert server.paths("file") == [second], "only what changed"
    assert site.page("foo")["versions"] == ["1.0"]
    site.check()


def test_variants_that_change_under_the_same_address_are_replaced(index: Index, site: Site) -> None:
    """Not every index has the digest of a file in its path."""
    index.release("foo", "1.0")
    file = index.upload("foo", "1.0", VARIANTS, content=b"{}", path=f"/packages/foo/1.0/{VARIANTS}")
    site.mirror()
    file.content = b'{"variants": {"null": {}}}'
    index._happens("foo", "new companion")

    ran = site.mirror()

    assert ran.code == 0
    assert ran.failed == {}
    (entry,) = (each for each in site.page("foo")["files"] if each["filename"] == VARIANTS)
    assert entry["hashes"] == {"sha256": file.sha256}
    site.check()


def test_another_companion_is_kept_as_it_is(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    path = upload(index, "foo-1.0-something.json", "{}")
    site.mirror()
    assert (site.web / path.lstrip("/")).read_text() == "{}"
    upload(index, "foo-1.0-something.json", "[]")

    ran = site.mirror()

    assert ran.code == 5
    assert ran.failed == {"foo": "ChangedFile"}
    assert (site.web / path.lstrip("/")).read_text() == "{}"


def test_a_lost_companion_does_not_count_as_a_loss(index: Index, site: Site) -> None:
    site.configure(max_file_removals=0)
    index.release("foo", "1.0")
    upload(index, VARIANTS, "{}")
    site.mirror()
    index.lose_files("foo", VARIANTS)

    assert site.mirror().code == 0

    assert VARIANTS not in site.filenames("foo")


# ---------------------------------------------------------------- statuses


def test_an_unknown_status_is_passed_on_with_one_warning(index: Index, site: Site) -> None:
    for name in ("foo", "bar", "baz"):
        index.release(name, "1.0")
        index.project(name).status = "sunset"
        index.project(name).reason = "it is <over>"

    ran = site.mirror()

    assert ran.code == 0
    (warning,) = warnings(ran)
    assert "has the project status 'sunset', which this release does not know" in warning
    for name in ("foo", "bar", "baz"):
        expected = {"status": "sunset", "reason": "it is <over>"}
        assert site.page(name)["project-status"] == expected
        assert len(site.filenames(name)) == 1
        html = site.text(f"web/simple/{name}/index.html")
        assert '<meta name="pypi:project-status" content="sunset">' in html
    assert "it is sunset: it is <over>" in site.ask("why", "foo").out
    assert json.loads(site.text("web/simple/foo/index.v1_json"))["meta"]["api-version"] == "1.4"
    assert warnings(site.mirror("--force-check")) == [], "the pages are the same"


def test_a_status_that_becomes_known_again_is_followed(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    index.project("foo").status = "sunset"
    site.mirror()
    index.project("foo").status = "active"
    index._happens("foo", "status")

    site.mirror()

    assert site.page("foo")["project-status"] == {"status": "active"}
