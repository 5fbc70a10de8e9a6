"""The reference pages name every flag, option, exit code and JSON key."""

from __future__ import annotations

import inspect
import logging
import re
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from bandersnatch import events
from bandersnatch.cli.arguments import add_global_flags
from bandersnatch.cli.commands import (
    COMMANDS,
    UNCONFIGURED,
    closure,
    config,
    copy,
    delete,
    load_command,
    mirror,
    plan,
    prove,
    restore,
    run,
    serve,
    status,
    sync,
    verify,
    webserver_config,
    why,
    work,
)
from bandersnatch.cli.exit_codes import ExitCode
from bandersnatch.config.retired import REFUSED_SECTIONS, RETIRED_OPTIONS, RETIRED_SECTIONS
from bandersnatch.config.s3 import s3_options
from bandersnatch.config.schema import (
    UNREAD_SECTIONS,
    closure_options,
    mirror_options,
    serve_options,
)
from bandersnatch.filters import interface
from bandersnatch.mirror.queries.estimate import Estimate
from bandersnatch.mirror.report import RunReport

if TYPE_CHECKING:
    from bandersnatch.cli.commands import Command

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
MODULES: list[Command] = [
    mirror,
    work,
    sync,
    verify,
    delete,
    restore,
    copy,
    plan,
    why,
    closure,
    prove,
    status,
    serve,
    webserver_config,
    run,
    config,
]
"""The type check compares each module with the protocol of commands."""


def section(heading: str) -> str:
    """Return a section of the page about the command line, without its heading."""
    text = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {heading}[^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return str(found)


def flags_of(parser: ArgumentParser) -> set[str]:
    """Return the long flags of a parser and of its subcommands."""
    strings = {each for action in parser._actions for each in action.option_strings}
    own = {each for each in strings if each.startswith("--")} - {"--help"}
    choices = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
    return own.union(*(flags_of(each) for found in choices for each in found.values()))


def keys_of(value: object) -> set[str]:
    """Return the keys of nested dictionaries."""
    if not isinstance(value, dict):
        return set()
    return set(value).union(*map(keys_of, value.values()))


def _global_flags() -> set[str]:
    parser = ArgumentParser(add_help=False)
    add_global_flags(parser, default=True)
    return flags_of(parser)


def test_the_table_of_commands_names_every_module() -> None:
    assert [load_command(name) for name in COMMANDS if name not in UNCONFIGURED] == MODULES


@pytest.mark.parametrize("name", COMMANDS)
def test_the_section_of_a_command_has_exactly_its_flags(name: str) -> None:
    parser = ArgumentParser()
    load_command(name).add_arguments(parser)
    rows = re.findall(r"^\| (`--[^|]*) \|", section(f"`bandersnatch {name}"), re.MULTILINE)

    own = flags_of(parser) - _global_flags()
    assert set(re.findall(r"--[a-z-]+", " ".join(rows))) == own


def test_the_page_has_the_flags_of_every_command() -> None:
    text = (REFERENCE / "command-line.md").read_text(encoding="utf-8").partition("\n## ")[0]

    assert set(re.findall(r"--[a-z-]+", text)) >= _global_flags()


def test_the_page_has_every_exit_code() -> None:
    rows = re.findall(r"^\| ([0-9, ]+) \|", section("Exit status"), re.MULTILINE)

    assert {int(code) for code in ", ".join(rows).split(", ")} == {*ExitCode, 129, 130, 143}


def test_the_page_has_every_key_of_the_report() -> None:
    report = RunReport("verify", datetime(2026, 11, 21, tzinfo=UTC)).as_dict()
    documented = set(re.findall(r"`([a-z_]+)`", section("Report")))

    assert keys_of(report) <= documented


def test_the_page_has_every_key_of_an_estimate() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", section("`bandersnatch plan")))

    assert keys_of(Estimate(files=[]).as_dict(bandwidth=1.0)) <= documented


def test_the_configuration_page_has_exactly_the_options_of_the_mirror_section() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8").partition("## `[serve]`")[0]
    rows = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))

    assert rows == mirror_options() - {"keep-index-versions"}
    assert "`keep-index-versions`" in text


def test_the_configuration_page_has_exactly_the_options_of_the_serve_section() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    part = text.partition("## `[serve]`")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE)) == serve_options()


def test_the_configuration_page_has_exactly_the_options_of_the_s3_section() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    part = text.partition("## `[s3]`")[2].partition("\n## ")[0]
    first = re.findall(r"^\| (`[^|]+`) \|", part, re.MULTILINE)
    names = {name for cell in first for name in re.findall(r"`([^`]+)`", cell)}
    parameters = {name for name in s3_options() if name.startswith("config_param_")}

    assert names == s3_options() - parameters | {"config_param_<Name>"}
    assert [n for n in parameters if f"`{n.removeprefix('config_param_')}`" not in part] == []


def test_the_configuration_page_has_exactly_the_options_of_the_closure_section() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    text = text.partition("## `[closure]`")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)) == closure_options()


def test_the_configuration_page_names_what_was_retired() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")

    assert [name for _, name in RETIRED_OPTIONS if f"`{name}`" not in text] == []
    sections = [*RETIRED_SECTIONS, *REFUSED_SECTIONS, *UNREAD_SECTIONS]
    assert [name for name in sections if f"`[{name}]`" not in text] == []


def test_the_page_has_every_event() -> None:
    """To mend it, copy the expected rows."""
    expected = []
    for event in get_args(events.Event):
        said = f"`{event.sentence}`" if hasattr(event, "sentence") else "made of its fields"
        text = " ".join((inspect.getdoc(event) or "").partition("\n\n")[0].split())
        level = logging.getLevelName(event.level)
        expected.append(f"| `{event.__name__}` | {level} | {said} | {text} |")
    page = (REFERENCE / "events.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| `.*", page, re.MULTILINE) == expected


def test_the_page_has_every_name_of_the_plugin_interface() -> None:
    page = (REFERENCE / "plugin-interface.md").read_text(encoding="utf-8")
    rows = " ".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)).replace("(text)", "")
    rows += " ".join(re.findall(r"^\| `ProjectName`.*", page, re.MULTILINE)).replace("(text)", "")

    assert {*re.findall(r"`(\w+)`", rows)} == set(interface.__all__)
