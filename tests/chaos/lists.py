"""Answers with a changed list of projects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web import Request

    from tests.support import faults
    from tests.support.server import Answer


def listing(change: Callable[[dict[str, Any]], object]) -> faults.Act:
    """Answer with a changed list, without the validators of the original."""

    async def act(_: Request, answer: Answer) -> None:
        if answer.status == 200:
            page = json.loads(answer.body)
            change(page)
            answer.body = json.dumps(page).encode()
            answer.headers.popall("ETag", None)

    return act


def with_serial(name: str, serial: object) -> faults.Act:
    """Answer with a list that gives a project another serial."""

    def change(page: dict[str, Any]) -> None:
        next(each for each in page["projects"] if each["name"] == name)["_last-serial"] = serial

    return listing(change)
