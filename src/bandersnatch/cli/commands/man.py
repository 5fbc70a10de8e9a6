"""``man``: prints the manual page, made from the parser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bandersnatch import __version__
from bandersnatch.cli.arguments import DEFAULT_CONFIG
from bandersnatch.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable, Iterator

    from bandersnatch.cli.invocation import Invocation
    from bandersnatch.cli.syntax import Argument, Flag, Syntax, Value

_STATUSES = {
    ExitCode.OK: "everything selected reflects the index",
    ExitCode.BUG: "a bug; also: the configuration file did not exist, and an example was written",
    ExitCode.USAGE: "a mistake in the command line or in the configuration; nothing was touched",
    ExitCode.INDEX: "the index cannot be reached or used",
    ExitCode.PARTIAL: "at least one project failed and is named; everything else was done",
    ExitCode.SAFETY: "a limit refused something; everything else was done",
    ExitCode.LOCKED: "another command holds the lock of the mirror",
    ExitCode.STORAGE: "the storage failed: full, read-only, not permitted, not mounted",
    ExitCode.DAMAGE: "damage that is not repaired, or a limit of a check is exceeded",
    129: "stopped by SIGHUP; the next run continues from there",
    130: "stopped by SIGINT; the next run continues from there",
    143: "stopped by SIGTERM; the next run continues from there",
}

_FILES = {
    str(DEFAULT_CONFIG): "the configuration, unless -c names another file",
    "DIRECTORY/web": "what clients see: the directory that a web server serves",
    "DIRECTORY/status": "the serial of the index that the mirror reflects",
    "DIRECTORY/todo": "the serial up to which changes were read, and the projects to be done",
    "DIRECTORY/removed": "what was removed, for the grace time",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``man``, which has none."""


def run(invocation: Invocation) -> int:
    """Run ``man``."""
    from bandersnatch.cli.syntax import read_syntax

    return invocation.answer("\n".join(_page(read_syntax())))


def _page(syntax: Syntax) -> Iterator[str]:
    """Yield the lines of the page, in the macros of man(7); it has no date, to be reproducible."""
    yield f'.TH BANDERSNATCH 1 "" "bandersnatch {__version__}" "User Commands"'
    yield ".SH NAME"
    yield f"bandersnatch \\- {_first_lower(_text(syntax.help.rstrip('.')))}"
    yield ".SH SYNOPSIS"
    yield f"{_bold('bandersnatch')} [{_italic('OPTION')}]... {_italic('COMMAND')} [...]"
    yield ".SH DESCRIPTION"
    yield "bandersnatch follows the changes of a package index, downloads the release files of"
    yield "the projects that are selected, verifies them, and writes pages for pip, uv and other"
    yield "clients, which any web server can serve."
    yield ".SH OPTIONS"
    yield "These are accepted before and after the command."
    yield from _flags(syntax.flags)
    common = {each.spellings for each in syntax.flags}
    yield ".SH COMMANDS"
    for each in syntax.walk():
        if not each.commands:
            yield from _command(each, [f for f in each.flags if f.spellings not in common])
    yield ".SH EXIT STATUS"
    yield from _table((str(int(code)), text) for code, text in _STATUSES.items())
    yield ".SH FILES"
    yield from _table(_FILES.items())
    yield ".SH SEE ALSO"
    yield f"{_bold('bandersnatch')} {_italic('COMMAND')} {_bold('--help')}"


def _command(syntax: Syntax, own: list[Flag]) -> Iterator[str]:
    call = " ".join(syntax.words)
    values = [_argument(each) for each in syntax.arguments]
    options = [f"[{_italic('OPTION')}]..."] if own else []
    yield f".SS {_text(call)}"
    yield " ".join([_bold(call), *options, *values])
    yield ".PP"
    yield f"{_sentence(syntax.help)}"
    yield from _flags(own)
    yield from _table(
        (_value_name(each.value), each.help) for each in syntax.arguments if each.help
    )


def _flags(flags: Iterable[Flag]) -> Iterator[str]:
    for each in flags:
        value = f" {_italic(_value_name(each.value))}" if each.value else ""
        again = " May be repeated." if each.is_repeatable and "repeat" not in each.help else ""
        yield ".TP"
        yield ", ".join(f"{_bold(name)}{value}" for name in each.spellings)
        yield _sentence(each.help) + again


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in rows:
        yield ".TP"
        yield _bold(name)
        yield _sentence(text)


def _argument(argument: Argument) -> str:
    name = _italic(_value_name(argument.value))
    name = name if argument.is_required else f"[{name}]"
    return f"{name}..." if argument.is_repeatable else name


def _value_name(value: Value) -> str:
    return "|".join(value.choices) or value.name


def _sentence(text: str) -> str:
    """Return a text as a sentence that no macro is in."""
    return _text(text[:1].upper() + text[1:]).rstrip(".") + "."


def _first_lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _text(text: str) -> str:
    """Return a text with what roff would read as its own escaped."""
    escaped = re.sub(r"^[.']", r"\\&\g<0>", text.replace("\\", "\\e"))
    return escaped.replace("-", "\\-")


def _bold(text: str) -> str:
    return f"\\fB{_text(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_text(text)}\\fR"
