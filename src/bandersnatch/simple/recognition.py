"""Tells the pages of an index from any other document, by their beginnings; pure."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidPage
from bandersnatch.simple.html_page import has_release_file, parse_list_html

if TYPE_CHECKING:
    from bandersnatch.model.names import ProjectName

_JSON_LIST = re.compile(rb'\{.*?"projects"\s*:\s*\[', re.DOTALL)
_JSON_DETAIL = re.compile(rb'\{.*?"files"\s*:\s*\[', re.DOTALL)
_FEW = 20
"""The entries of a directory that has an index in a subdirectory, at most."""


def is_root_page(beginning: bytes, where: str) -> bool:
    """Whether a document is the root page of an index, as far as its first bytes tell.

    A short list of directories with ``simple`` among them is what is above a root page.
    """
    text = _text(beginning)
    if text.startswith(b"{"):
        return _JSON_LIST.match(text) is not None
    try:
        listing = parse_list_html(_whole_tags(text), where, charset=None)
    except InvalidPage:
        return False
    return "simple" not in listing.serials or len(listing.serials) > _FEW


def is_project_page(beginning: bytes, where: str, name: ProjectName) -> bool:
    """Whether a document is the page of a project, as far as its first bytes tell."""
    text = _text(beginning)
    if text.startswith(b"{"):
        return _JSON_DETAIL.match(text) is not None
    try:
        return has_release_file(_whole_tags(text), where, name)
    except InvalidPage:
        return False


def _text(beginning: bytes) -> bytes:
    return beginning.removeprefix(BOM_UTF8).lstrip()


def _whole_tags(text: bytes) -> bytes:
    """Return a text up to its last complete tag."""
    return text[: text.rfind(b">") + 1]
