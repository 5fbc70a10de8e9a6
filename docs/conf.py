"""Sphinx: the documentation as a site, made of the pages as they are in the repository.

The source directory is that of the repository, so that links between its pages work on both.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from pygments.lexers import ApacheConfLexer
from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _PROJECT["name"]
author = _PROJECT["authors"][0]["name"]
project_copyright = author
(release,) = re.findall(
    r'^__version__ = "(.+)"$', (ROOT / "src/bandersnatch/__init__.py").read_text(), re.MULTILINE
)
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md"]
exclude_patterns = [".*", "bench", "build", "dist", "src", "tests"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!bandersnatch\.filters\.interface\.).*")]

myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "furo"
html_title = f"bandersnatch {release}"
html_show_sourcelink = False
html_show_copyright = False

_CONTENTS = """

```{toctree}
:hidden:

docs/tutorial
```

```{toctree}
:hidden:
:glob:
:caption: How to

docs/how-to/*
docs/examples/filter-plugin/README
```

```{toctree}
:hidden:
:glob:
:caption: Reference

docs/reference/*
docs/glossary
CHANGELOG
```

```{toctree}
:hidden:
:glob:
:caption: Explanation

docs/explanation/*
```

```{toctree}
:hidden:
:glob:
:caption: Development

CONTRIBUTING
docs/development/*
docs/development/decisions/index
```
"""
_DECISIONS = """

```{toctree}
:hidden:
:glob:

0*
```
"""
_TREES = {root_doc: _CONTENTS, "docs/development/decisions/index": _DECISIONS}
"""The tables of contents, by page; in the repository the pages are read without them."""

_REPOSITORY_LINK = re.compile(r"\[([^\]]+)\]\(((?![a-z]+:|#)[^)\s#]+)\)")


def _prepare(app: Sphinx, name: str, source: list[str]) -> None:
    """Add the contents to a page, and unlink directories and files that are not pages."""
    page = Path(app.srcdir) / f"{name}.md"

    def link(found: re.Match[str]) -> str:
        target = page.parent / found[2]
        is_page = target.suffix in {".md", ".png", ".svg"} and target.is_file()
        return found[0] if is_page else found[1]

    source[0] = _REPOSITORY_LINK.sub(link, source[0]) + _TREES.get(name, "")


def setup(app: Sphinx) -> None:
    """Connect what is above, and the languages of blocks that Pygments knows by other names."""
    app.connect("source-read", _prepare)
    app.add_lexer("apache", ApacheConfLexer)
    app.add_lexer("cron", TextLexer)
    app.add_lexer("caddy", TextLexer)
    app.add_lexer("mermaid", TextLexer)
