"""A run reads no files of a project whose page alone changed (G18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.workloads import Trials, Workload

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.figures import Figures
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


def another_page(index: Index, site: Site) -> None:
    """Change the pages of two projects, and none of their files."""
    index.release("Alpha", "1.0", sdist=True, size=300_000)
    index.release("beta", "1.0", size=200_000)
    index.release("beta", "2.0")
    assert site.mirror().code == 0
    index.yank("Alpha", "1.0", "broken")
    index.yank("beta", "1.0", "broken")


def test_no_file_is_read_if_only_the_page_of_a_project_changed(
    tmp_path: Path, server: IndexServer, figures: Figures
) -> None:
    trials = Trials(tmp_path, server, Workload("another page", another_page))
    site = trials.copy()

    watched = trials.watch(site, reading=True)

    assert (watched.code, watched.log) == (0, "")
    assert trials.shown(site) == trials.after
    touched = {(call.name, path) for call in watched.calls for path in call.paths}
    assert ("read", "catalogue.sqlite") in touched, "reading is seen"
    assert any(name == "rename" and "simple/beta" in path for name, path in touched)
    read = {path for name, path in touched if name in {"read", "open"}}
    files = [site.root / path for path in read if path.startswith("web/packages/")]
    figures.measure("G18", sum(file.stat().st_size for file in files))
    assert files == []
