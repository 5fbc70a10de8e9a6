"""Pages with a bad value, and their recovery."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.chaos.case import Case
    from tests.support.index import File


def spoil(
    case: Case, values: Iterable[object], where: Callable[[dict[str, Any], object], object]
) -> dict[str, File]:
    """Publish a release of one project for each value, and put the value into its page.

    Returns the new files by project; "bar" has a release as well, and a valid page.
    """
    spoilt = {f"p{number}": value for number, value in enumerate(values)}
    case.mirrored("bar", *spoilt)
    files = {name: case.index.release(name, "2.0")[0] for name in ("bar", *spoilt)}
    for name, value in spoilt.items():
        act = faults.document(partial(_put, where, value))
        case.fault("detail", act, project=name)
    return files


def _put(
    where: Callable[[dict[str, Any], object], object], value: object, page: dict[str, Any]
) -> None:
    where(page, value)


def heal(case: Case, files: Mapping[str, File]) -> None:
    """Change each project, so that its page is requested again, and assert recovery."""
    for name in files:
        case.index.yank(name, "2.0", "as good as any")
    case.heals()
