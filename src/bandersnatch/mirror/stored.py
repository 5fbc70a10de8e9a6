"""Pages and documents of this tree, read back: they are no more trusted than those of the index."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from bandersnatch.layout import PageFormat
from bandersnatch.simple.entries import Context
from bandersnatch.simple.parse import parse_detail

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_HERE = "http://mirror.invalid/simple/"
"""What relative URLs of stored pages are resolved against."""


_TWO_SLASHES = re.compile(rb"(?<!:)//packages/")
"""What earlier releases wrote into pages where ``root_uri`` ends with a slash."""


def stored_context(name: ProjectName, now: datetime) -> Context:
    """Return what a stored page of a project is read in."""
    return Context(name, f"{_HERE}{name}/", now)


async def parse_stored(
    text: bytes, name: ProjectName, form: PageFormat, now: datetime
) -> ProjectDetail:
    """Return what a project's stored page says.

    :raises UpstreamError: if it is no such page.
    """
    context = stored_context(name, now)
    text = _TWO_SLASHES.sub(b"/packages/", text)
    if form is PageFormat.V1_JSON:
        return parse_detail(text, context)
    from bandersnatch.simple.parse_html import (  # noqa: PLC0415 - slow to import
        parse_detail_html,
    )

    return await asyncio.to_thread(parse_detail_html, text, context, charset="utf-8")
