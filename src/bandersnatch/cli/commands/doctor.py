"""``doctor``: asks a served mirror or index as pip and uv do, and says what is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import flag_value, project_names
from bandersnatch.cli.exit_codes import ExitCode
from bandersnatch.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from bandersnatch.cli.invocation import Invocation
    from bandersnatch.doctor.findings import Diagnosis, Finding


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``doctor``."""
    parser.add_argument("url", metavar="URL", help="the mirror, or the index URL of clients")
    parser.add_argument(
        "project", metavar="PROJECT", nargs="?", help="examine its page and files (default: any)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(invocation: Invocation) -> int:
    """Run ``doctor``."""
    from bandersnatch.config import readers

    arguments = invocation.arguments
    url = flag_value("URL", arguments.url, readers.url("https", "http"))
    if not url:
        raise UsageError("URL is empty; give that of a mirror or index")
    names = project_names([arguments.project] if arguments.project is not None else [])
    return invocation.run(_examine(invocation, url, *names))


async def _examine(invocation: Invocation, url: str, *names: str) -> int:
    """Print what is found, and return the exit code."""
    from bandersnatch.app import open_requests
    from bandersnatch.cli.stdio import print_text
    from bandersnatch.doctor.doctor import examine
    from bandersnatch.model.names import project_name

    async def work() -> Diagnosis:
        async with open_requests(url) as (requests, address):
            name = project_name(names[0]) if names else None
            return await examine(requests, invocation.clock, address, name)

    found = await invocation.signals.interruptible(work())
    if invocation.arguments.json:
        text = json.dumps(found.as_dict(), indent=2)
    else:
        text = "\n".join(_lines(found))
    if failure := print_text(text):
        invocation.logger.error("the output could not be written: %s", failure)
        return ExitCode.STORAGE
    return ExitCode.DAMAGE if found.faults else ExitCode.OK


def _lines(found: Diagnosis) -> Iterator[str]:
    from bandersnatch.cli.text import counted, one_line
    from bandersnatch.doctor.remedies import server_kind

    yield f"Index:    {one_line(found.url)}" + (
        f" ({one_line(found.server)})" if found.server else ""
    )
    if found.project:
        yield f"Project:  {found.project}"
    yield f"Checked:  {', '.join(found.done)}; {counted(found.requests, 'request')}"
    yield f"Result:   {counted(found.faults, 'fault')}, {counted(found.advice, 'suggestion')}"
    for each in found.findings:
        yield ""
        yield from _finding_lines(each, server_kind(found.server) if found.server else "nginx")


def _finding_lines(finding: Finding, kind: str) -> Iterator[str]:
    """Yield a finding, its remedy, and the lines for a kind of server, "" for any other."""
    from bandersnatch.cli.text import one_line

    yield f"{finding.severity}: {finding.check}: {one_line(finding.sentence)}"
    yield f"  remedy: {finding.remedy.advice}"
    if lines := finding.remedy.lines.get(kind):
        yield f"  {kind}:"
        yield from (f"    {line}" for line in lines)
