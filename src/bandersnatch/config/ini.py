"""The file format: INI with ``%`` and ``{{ }}`` references (contract, sections 2.1 and 2.4)."""

from __future__ import annotations

import re
from configparser import (
    BasicInterpolation,
    ConfigParser,
    DuplicateOptionError,
    DuplicateSectionError,
    InterpolationError,
    MissingSectionHeaderError,
    ParsingError,
)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bandersnatch.errors import ConfigError, Problem

if TYPE_CHECKING:
    from pathlib import Path

_REFERENCE = re.compile(r"\{\{(.*?)\}\}")
_LARGEST_FILE = 16 * 1024 * 1024


@dataclass(slots=True)
class IniFile:
    """The sections of a file with all references resolved, and what was wrong on the way."""

    path: str
    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_ini(path: Path) -> IniFile:
    """Read the file at ``path``.

    A duplicate or an unusable reference is one problem among others; the rest is still read.

    :raises FileNotFoundError: if there is no such file.
    :raises ConfigError: if it cannot be read as INI at all.
    """
    text = _text(path)
    file = IniFile(str(path))
    parser = _parse(text, file)
    for section in parser.sections():
        options = file.sections.setdefault(section, {})
        for option in parser.options(section):
            try:
                value = parser.get(section, option)
            except (InterpolationError, ValueError) as error:
                file.problems.append(
                    Problem(
                        section,
                        option,
                        f"% begins a reference like %(option)s, and a literal one is written %% "
                        f"({str(error).splitlines()[0]})",
                    )
                )
                continue
            if option not in parser.defaults() or value != parser.defaults()[option]:
                options[option] = value
    _resolve_references(file)
    return file


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _LARGEST_FILE else b""
    except FileNotFoundError:
        raise
    except OSError as error:
        message = f"the file cannot be read ({error.strerror})"
        raise ConfigError(str(path), [Problem("", "", message)]) from error
    if size > _LARGEST_FILE:
        raise ConfigError(str(path), [Problem("", "", f"the file has {size} bytes; too many")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = f"line {line} is not UTF-8; save the file in that encoding"
        raise ConfigError(str(path), [Problem("", "", message)]) from error


def _parse(text: str, file: IniFile) -> ConfigParser:
    try:
        strict = _parser(strict=True)
        strict.read_string(text)
    except DuplicateOptionError as error:
        message = f"it is set twice (again in line {error.lineno}); keep one"
        file.problems.append(Problem(error.section, error.option, message))
    except DuplicateSectionError as error:
        message = f"the section is there twice (again in line {error.lineno}); join the two"
        file.problems.append(Problem(error.section, "", message))
    except MissingSectionHeaderError as error:
        message = f"line {error.lineno} stands before the first [section]"
        raise ConfigError(file.path, [Problem("", "", message)]) from error
    except ParsingError as error:
        problems = [
            Problem("", "", f"line {number} is neither a section nor 'option = value': {line}")
            for number, line in error.errors
        ]
        raise ConfigError(file.path, problems) from error
    else:
        return strict
    lenient = _parser(strict=False)
    lenient.read_string(text)
    return lenient


def _parser(*, strict: bool) -> ConfigParser:
    parser = ConfigParser(
        strict=strict,
        delimiters=("=",),
        comment_prefixes=("#", ";"),
        interpolation=BasicInterpolation(),
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # option names keep their case
    return parser


def _resolve_references(file: IniFile) -> None:
    mirror = file.sections.get("mirror", {})
    for option, value in mirror.items():
        if "{{" not in value:
            continue
        try:
            mirror[option] = _REFERENCE.sub(lambda match: _referenced(match[1], file), value)
        except LookupError as error:
            file.problems.append(Problem("mirror", option, str(error.args[0])))


def _referenced(text: str, file: IniFile) -> str:
    """Return the value of ``SECTION_OPTION``; both may contain underscores, so try each split."""
    parts = text.split("_")
    for count in range(1, len(parts)):
        section = "_".join(parts[:count]).strip()
        option = "_".join(parts[count:]).strip()
        value = file.sections.get(section, {}).get(option)
        if value is not None and "{{" not in value:
            return value
    raise LookupError(
        f"{{{{{text}}}}} names no option that has a value, as in {{{{ mirror_directory }}}}"
    )
