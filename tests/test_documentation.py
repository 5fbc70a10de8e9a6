"""Links and citations: each one leads to something that exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = sorted(
    path
    for top in ("src", "tests", "bench", "docs")
    for pattern in ("*.py", "*.md")
    for path in (ROOT / top).rglob(pattern)
    if path != Path(__file__) and "data" not in path.parts
)

LINK = re.compile(r"\[[^\]\[]*(?:\[[^\]]*\])?[^\]\[]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
UNPUBLISHED = re.compile(
    r"protocol sheet|design sheet|contract, (?:sections?|[CD]\d)|contract \d+\.\d"
    r"|\(design, section|design(?: rule|\.md,? §)|protocol\.md,? §|needs\.md"
    rf"|\.\./shared|shared/[\w-]+\.md|{re.escape(str(ROOT))}",
)
"""Citations of documents that are neither public nor in the repository."""
CITATION = re.compile(r'(docs/[\w/-]+\.md)(?:,\s*"([^"]+)")?')


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    result = set()
    for heading in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        result.add(f"{slug}-{count}" if count else slug)
    return frozenset(result)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_and_anchor_exists(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        where, _, anchor = unquote(link).partition("#")
        target = (page.parent / where).resolve() if where else page
        assert target.exists(), f"{link} does not exist"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert not anchor or anchor in anchors(target), f"{link} has no such heading"


def test_every_page_is_linked_from_another_page() -> None:
    linked = {
        (page.parent / unquote(link.partition("#")[0])).resolve()
        for page in PAGES
        for link in LINK.findall(page.read_text(encoding="utf-8"))
    }
    roots = {ROOT / "README.md"}
    assert [page for page in PAGES if not {page, page.parent} & (linked | roots)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_citations_lead_to_something_public_or_in_the_repository(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert UNPUBLISHED.findall(text) == []
    if path.suffix != ".py":
        return
    joined = re.sub(r"\s*\n\s*(?:# )?", " ", text)
    for page, heading in CITATION.findall(joined):
        target = ROOT / page
        assert target.exists() or "example" in page, f"it cites {page}, which does not exist"
        assert not heading or f"# {heading}\n" in target.read_text(encoding="utf-8"), heading
