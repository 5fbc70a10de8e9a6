"""``why``: explains why a project, a version or a file is in the mirror, or is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import project_names
from bandersnatch.cli.text import one_line

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.cli.session import Session


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``why``."""
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("what", nargs="?", metavar="VERSION|FILE")


async def run(session: Session) -> int:
    """Run ``why``."""
    from bandersnatch.mirror.queries.why import why

    arguments = session.arguments
    (name,) = project_names([arguments.project])
    lines = await session.query(lambda mirror: why(mirror, name, arguments.what))
    return session.answer("\n".join(map(one_line, lines)))
