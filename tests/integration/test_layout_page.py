"""The page of files and directories names everything that a mirror consists of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.site import Site

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "layout.md"


def test_the_page_names_every_file_of_a_mirror(index: Index, site: Site) -> None:
    """Names in angle brackets and ``aa/bb`` stand for anything, and so do ``*`` and ``...``."""
    site.configure(json=True, keep_index_versions=2, diff_file=site.home / "diff")
    index.upload("foo", "1.0", "foo-1.0-py3-none-any.whl", metadata=b"Metadata-Version: 2.1\n")
    index.release("bar", "1.0")
    site.mirror()
    index.remove_project("bar")
    site.clock.advance(hours=1)
    site.mirror()

    patterns = [pattern(text) for text in re.findall(r"`([^`\n]+)`", PAGE.read_text())]
    paths = [path.relative_to(site.root) for path in site.root.rglob("*") if path.is_file()]
    unknown = [
        str(path)
        for path in paths
        if not any(each.fullmatch(str(path)) for each in patterns)
        and path.parts[0] != "removed"  # "under the same paths as in web/"
    ]
    assert len(paths) > 15
    assert unknown == []


def pattern(text: str) -> re.Pattern[str]:
    """Return what a path of the page matches; one that ends in a slash has all below it."""
    escaped = re.escape(text).replace(r"aa/bb", "[0-9a-f]{2}/[0-9a-f]{2}")
    escaped = re.sub(r"<[^>]*>", "[^/]+", escaped).replace(r"\.\.\.", ".+").replace(r"\*", "[^/]+")
    inside = "web/packages/|web/simple/$|web/$"
    return re.compile(escaped + (".*" if text.endswith("/") and not re.match(inside, text) else ""))
