"""Where in the configuration file each value stands, which its parser does not tell."""

from __future__ import annotations

import re

_SECTION = re.compile(r"\[(?P<name>.+)\]")
_COMMENTS = ("#", ";")


def line_numbers(text: str) -> dict[tuple[str, str], list[int]]:
    """Return the numbers, from 1, of the lines that each option's value stands on.

    They agree with the value's own lines one by one; comments have none, blank lines have.
    """
    found: dict[tuple[str, str], list[int]] = {}
    section, option, depth = "", "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        said = line.strip()
        if said.startswith(_COMMENTS):
            continue
        indent = len(line) - len(line.lstrip())
        if option and (not said or indent > depth):
            found[section, option].append(number)
            continue
        if not said:
            continue
        depth = indent
        heading = _SECTION.match(said)
        if heading:
            section, option = heading["name"], ""
        else:
            option = said.partition("=")[0].strip()
            found[section, option] = [number]
    return found
