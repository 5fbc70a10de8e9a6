"""Tells a wrong URL of the index from an index that lacks some projects.

A wrong ``master`` answers 404 for every project, which would otherwise be the same as an index that
removed them all, or that never had one of the names of an allowlist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.errors import (
    InvalidPage,
    MissingProject,
    MissingResource,
    RefusedRequest,
    UnusableChangelog,
    UnusableIndex,
    UpstreamError,
    WrongIndexUrl,
)
from bandersnatch.model.content import Validators

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bandersnatch.config.schema import IndexSettings
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.model.names import ProjectName

SAMPLE = 3
"""How many projects are looked for at each URL that may be the right one."""

_SHOWN = 5
"""How many names a message shows."""

_MAX_ASKED = 10
"""How many projects ``check_index`` asks for, until one has a page."""

_UNAUTHORISED = 401


def is_wrong_url_sign(error: BaseException | None) -> bool:
    """Whether a server at a wrong URL may cause this error."""
    if isinstance(error, RefusedRequest):
        return error.status != _UNAUTHORISED
    return isinstance(error, MissingProject | MissingResource | InvalidPage | UnusableChangelog)


async def explain(error: UnusableIndex, index: PackageIndex, settings: IndexSettings) -> None:
    """Check whether an index cannot be used because its URL is wrong.

    :raises WrongIndexUrl: if so.
    """
    if not is_wrong_url_sign(error.__cause__) or await _has_index(index, ()):
        return
    why = str(error)
    if isinstance(error.__cause__, MissingResource):
        why += "; an index without a project list needs a configuration that names all projects"
    raise await _wrong_url(index, settings, why, ()) from error


async def require_index(
    index: PackageIndex, settings: IndexSettings, names: Sequence[ProjectName]
) -> None:
    """Check that there is an index, after none of ``names`` had a page.

    :raises WrongIndexUrl: if there is none.
    """
    sample = names[:SAMPLE]
    if not await _has_index(index, sample):
        why = f"there is neither a project list nor a page of {_shown(names)}"
        raise await _wrong_url(index, settings, why, sample)


async def require_any(
    index: PackageIndex, settings: IndexSettings, names: Sequence[ProjectName]
) -> None:
    """Refuse an index that has none of ``names``, which the mirror never had either.

    :raises WrongIndexUrl: always; it says whether there is an index at all.
    """
    await require_index(index, settings, names)
    why = f"the index has no page of {_shown(names)}"
    raise WrongIndexUrl(why, _option(settings), "or the names of the projects are")


async def check_index(
    index: PackageIndex, settings: IndexSettings, finite: Collection[ProjectName] | None
) -> list[str]:
    """Ask the index whether a mirror can be made from it, and return sentences about it.

    ``finite`` are the only projects that can be selected, None if any can.

    :raises UpstreamError: if it cannot be used.
    """
    lines = []
    if finite:
        names = sorted(finite)[:_MAX_ASKED]
        found, missing = await _first_page(index, names)
        if found is None:
            await require_any(index, settings, names)
        lines.append(f"it has a page of {found}")
        if missing:
            lines.append(f"it has no page of {_shown(missing)}")
    elif not await index.has_index(()):
        why = "there is no project list"
        raise await _wrong_url(index, settings, why, ())
    else:
        lines.append("it has a project list")
    return [*lines, await _changelog(index)]


async def _first_page(
    index: PackageIndex, names: Sequence[ProjectName]
) -> tuple[ProjectName | None, list[ProjectName]]:
    """Return the first project that has a page, and those before it that have none."""
    missing = []
    for name in names:
        try:
            await index.fetch_detail(name, Validators())
        except UpstreamError as error:
            if not is_wrong_url_sign(error):
                raise
            missing.append(name)
        else:
            return name, missing
    return None, missing


async def _changelog(index: PackageIndex) -> str:
    try:
        return f"it has a changelog, at serial {await index.last_serial()}"
    except UpstreamError as error:
        return f"it has no usable changelog: {error}"


async def _has_index(index: PackageIndex, names: Sequence[ProjectName]) -> bool:
    """Whether there is an index; one that cannot be asked now is not called wrong."""
    try:
        return await index.has_index(names)
    except UpstreamError:
        return True


async def _wrong_url(
    index: PackageIndex, settings: IndexSettings, why: str, names: Sequence[ProjectName]
) -> WrongIndexUrl:
    likely = await index.likely_option(names)
    root = "<index-url>" if settings.index_url else "<master>/simple"
    hint = f"try {likely}" if likely else f"the pages of projects must be at {root}/<name>/"
    return WrongIndexUrl(why, _option(settings), hint)


def _option(settings: IndexSettings) -> str:
    return "index-url" if settings.index_url else "master"


def _shown(names: Sequence[ProjectName]) -> str:
    """Return names as a message shows them: all of a few, else the first of them."""
    listed = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{listed} and {more} other projects" if more > 0 else listed
