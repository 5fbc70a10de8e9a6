"""The pages for people in a real browser: by keyboard, at two widths, in both colour schemes.

``SCREENSHOTS=DIRECTORY`` keeps pictures. axe-core, the accessibility checker, is the file that
``AXE_CORE`` names, or that of ``npm install axe-core`` in the repository.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandersnatch.catalogue.records import CatalogueUpdate, Exclusion, Marker
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from tests.support import browser as browsers
from tests.support.programs import missing
from tests.support.records import make_record, make_unfinished
from tests.support.serving import serve_configuration, serving, write_tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.browser import Page

ROOT = Path(__file__).parents[2]
AXE = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
PAGES = ["/", "/-/search?q=o", "/-/project/foo/", "/-/largest", "/-/failures", "/-/project/no/"]
SIZES = {"phone": (360, 740), "desktop": (1280, 800)}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    root = tmp_path / "mirror"
    write_tree(root, catalogue=False)
    record = make_record("foo", "1.0.tar.gz", "1.0-py3-none-any.whl", "2.0.tar.gz")
    exclusions = (Exclusion("latest_release", 12, "0.9"),)
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    update = CatalogueUpdate(
        records=[type(record)(**{**fields, "exclusions": exclusions}), make_record("zope")],
        deferred=[make_unfinished("bar")],
        markers={Marker.LAST_RUN: "1700000000"},
    )
    async with SqliteCatalogue(str(root)) as catalogue:
        await catalogue.commit(update)
    async with serving(serve_configuration(root)) as client:
        yield f"http://127.0.0.1:{client.port}"


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with browsers.browser(tmp_path / "profile") as found:
        yield found


@pytest.fixture
def axe() -> str:
    """Return the source of the checker."""
    if not AXE.exists():
        missing("axe-core is not installed: npm install --no-save axe-core")
    return AXE.read_text(encoding="utf-8")


async def test_an_accessibility_checker_finds_nothing(address: str, page: Page, axe: str) -> None:
    for width, height in SIZES.values():
        for dark in (False, True):
            await page.show_as(width, height, dark=dark)
            for path in PAGES:
                await page.open(address + path)
                await page.value(f"{axe}; 1")
                found = await page.value(
                    "axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))"
                )
                assert found == [], (path, width, dark)


async def test_pages_fit_a_phone_and_break_no_rule(
    address: str, page: Page, tmp_path: Path
) -> None:
    pictures = Path(os.environ.get("SCREENSHOTS", tmp_path))
    for name, (width, height) in SIZES.items():
        for dark in (False, True):
            await page.show_as(width, height, dark=dark)
            for number, path in enumerate(PAGES):
                await page.open(address + path)
                assert await page.value("document.documentElement.scrollWidth") <= width, path
                scheme = "dark" if dark else "light"
                await page.screenshot(pictures / f"{number}-{name}-{scheme}.png")
    refused = [text for text in page.messages if "Content Security Policy" in text]
    assert refused == []


async def test_everything_works_by_keyboard_alone(address: str, page: Page) -> None:
    await page.open(f"{address}/")
    await page.press("Tab")
    assert await page.value("document.activeElement.textContent") == "Skip to the content"
    await page.press("Enter")
    assert await page.value("document.activeElement.id") == "content"
    await page.open(f"{address}/")
    for _ in range(10):
        await page.press("Tab")
        if await page.value("document.activeElement.id") == "q":
            break
    assert await page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.type("fo")
    await page.press("Enter")
    await page.loaded()
    assert "/-/search?q=fo" in await page.value("location.href")
    for _ in range(20):
        await page.press("Tab")
        if await page.value("document.activeElement.textContent") == "foo":
            break
    await page.press("Enter")
    await page.loaded()
    assert (await page.value("location.pathname")) == "/-/project/foo/"
    assert await page.value("document.querySelector('h1').textContent") == "Foo"


async def test_a_page_for_installers_runs_nothing(address: str, page: Page) -> None:
    await page.open(f"{address}/simple/foo/")

    await page.value("document.body.innerHTML = '<img src=x onerror=\"window.ran = 1\">'; 1")

    assert await page.value("window.ran") is None
