"""Reads an INI file: its sections with all references resolved, and the lines of each value.

It also reads the list files that options name.
"""

from __future__ import annotations

import configparser
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.config.readers import mistake_in
from bandersnatch.errors import SHOWN_CHARACTERS, ConfigError, OptionError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_SECTION = re.compile(r"\[(?P<name>.+)\]")
_COMMENTS = ("#", ";")


def line_numbers(text: str) -> dict[tuple[str, str], list[int]]:
    """Return the numbers, from 1, of the lines of each option's value, by section and option.

    There is one number for each line of the value, blank lines included; comments have none.
    """
    found: dict[tuple[str, str], list[int]] = {}
    section, option, depth = "", "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        text_of_line = line.strip()
        if text_of_line.startswith(_COMMENTS):
            continue
        indent = len(line) - len(line.lstrip())
        if option and (not text_of_line or indent > depth):
            found[section, option].append(number)
            continue
        if not text_of_line:
            continue
        depth = indent
        heading = _SECTION.match(text_of_line)
        if heading:
            section, option = heading["name"], ""
        else:
            option = text_of_line.partition("=")[0].strip()
            found[section, option] = [number]
    return found


_MAX_LIST_FILE = 256 * 1024**2


class ListFiles:
    """Reads list files; paths are relative to the current directory."""

    def read(self, path: str, /) -> bytes:
        """Return the content of a file.

        :raises OptionError: if it cannot be read, or is larger than 256 MiB.
        """
        try:
            with Path(path).open("rb") as file:
                content = file.read(_MAX_LIST_FILE + 1)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            hint = "".join(f"; it {each}" for each in mistake_in(path))
            raise OptionError(f"{path} cannot be read: {why}{hint}") from None
        if len(content) > _MAX_LIST_FILE:
            raise OptionError(f"{path} has more than {_MAX_LIST_FILE} bytes; is it the right one?")
        return content

    def find(self, directory: str, pattern: str, /) -> list[str]:
        """Return the sorted paths of the files in a directory that match a shell pattern.

        ``**`` matches any number of directories.

        :raises OptionError: if no file matches.
        """
        try:
            found = sorted(str(path) for path in Path(directory).glob(pattern) if path.is_file())
        except (NotImplementedError, ValueError, OSError) as error:
            raise OptionError(f"{pattern} is not a usable pattern: {error}") from None
        if not found:
            mistakes = [*mistake_in(directory), *mistake_in(pattern)]
            hint = "".join(f"; it {each}" for each in dict.fromkeys(mistakes))
            raise OptionError(f"no file in {Path(directory).resolve()} is named {pattern}{hint}")
        return found


_BEFORE_NAME = re.compile(r"\s*")
_INVALID_LINE = re.compile(r"[^\s#;\[=][^=]*\Z")
_REFERENCE = re.compile(r"\{\{(.*?)\}\}")
_VARIABLE = re.compile(r"\$(?P<literal>\$?)\{(?P<name>[^}$]*)(?P<end>\}?)")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LONE_CARRIAGE_RETURN = re.compile(r"\r(?!\r*\n)")
_MAX_FILE = 16 * 1024**2
_MAX_PROBLEMS = 20
_MAX_DEPTH = 5
_SHARED = "DEFAULT"


class IniFile(Struct):
    """The sections of a file with all references resolved, and the problems found.

    ``shared`` are the options of ``[DEFAULT]``: every section can refer to them, and they count
    for ``[mirror]`` where it does not set them. ``numbers`` are the line numbers of each option's
    value. ``unexpanded`` are the values that refer to environment variables, as they are written.
    ``is_public`` is whether every user of the machine can read the file.
    """

    path: str
    sections: dict[str, dict[str, str]] = {}
    shared: frozenset[str] = frozenset()
    numbers: dict[tuple[str, str], list[int]] = {}
    problems: list[Problem] = []
    unexpanded: dict[tuple[str, str], str] = {}
    is_public: bool = False

    def refused(self, section: str) -> frozenset[str]:
        """Return the options of a section that have a problem: their values mean nothing."""
        return frozenset(each.option for each in self.problems if each.section == section)


def read_ini(path: Path, environment: Mapping[str, str] | None = None) -> IniFile:
    """Read the file at ``path``; ``environment`` has the variables that ``${NAME}`` refers to.

    Duplicates and invalid references become problems; everything else is still read.

    :raises FileNotFoundError: if the file does not exist.
    :raises ConfigError: if it is not an INI file.
    """
    file = IniFile(str(path))
    text = _text(path, file)
    parser = _parse(text, file)
    shared = dict(parser.items(_SHARED, raw=True)) if parser.has_section(_SHARED) else {}
    file.shared = frozenset(shared)
    for section in parser.sections():
        if section != _SHARED:
            file.sections[section] = _values(parser, section, shared, file.problems)
    numbers = line_numbers(text)
    for section, options in file.sections.items():
        for option, value in options.items():
            # Blank lines after a value do not belong to it.
            known = numbers.get((section, option), [])
            file.numbers[section, option] = known[: value.count("\n") + 1]
    _resolve_references(file)
    _expand_variables(file, environment or {})
    return file


def _text(path: Path, file: IniFile) -> str:
    """Return the file's text; it may be a pipe, and is read up to a limit."""
    try:
        with path.open("rb") as opened:
            content = opened.read(_MAX_FILE + 1)
        # Where there are no users with numbers, modes do not say who may read a file.
        has_modes = hasattr(os, "getuid")
        file.is_public = has_modes and bool(path.stat().st_mode & stat.S_IROTH)
    except FileNotFoundError:
        raise
    except OSError as error:
        message = f"the file cannot be read ({error.strerror})"
        raise ConfigError(file.path, [Problem("", "", message)]) from error
    if len(content) > _MAX_FILE:
        message = f"the file has more than {_MAX_FILE} bytes; is it the right one?"
        raise ConfigError(file.path, [Problem("", "", message)])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = f"line {line} is not UTF-8; save the file in that encoding"
        raise ConfigError(file.path, [Problem("", "", message)]) from error
    if lone := _LONE_CARRIAGE_RETURN.search(text):
        line = text.count("\n", 0, lone.start()) + 1
        message = (
            f"line {line} has a carriage return (CR) without a line feed; save the file with the "
            "line ends of Unix (LF) or Windows (CRLF)"
        )
        raise ConfigError(file.path, [Problem("", "", message)])
    return text


def _parse(text: str, file: IniFile) -> configparser.ConfigParser:
    """Return a parser that has read the text, and record every duplicate as a problem.

    The strict parser stops at the first duplicate, so this one is renamed and the text parsed
    again. The values are those of the unchanged text.
    """
    lines = text.split("\n")
    # The parser takes quadratic time for invalid lines.
    invalid = [(number, line) for number, line in enumerate(lines, 1) if _INVALID_LINE.match(line)]
    if len(invalid) > _MAX_PROBLEMS:
        raise ConfigError(file.path, _invalid_lines(invalid))
    for _ in range(_MAX_PROBLEMS):
        strict = _parser(strict=True)
        try:
            _read(strict, "\n".join(lines), file)
        except configparser.DuplicateOptionError as error:
            number = error.lineno or 0
            message = f"it is set twice (again in line {number}); keep one"
            file.problems.append(Problem(error.section, error.option, message))
            lines[number - 1] = _BEFORE_NAME.sub(rf"\g<0>{number} ", lines[number - 1], count=1)
        except configparser.DuplicateSectionError as error:
            number = error.lineno or 0
            message = f"the section exists twice (again in line {number}); join the two"
            file.problems.append(Problem(error.section, "", message))
            lines[number - 1] = lines[number - 1].replace("[", f"[{number} ", 1)
        else:
            break
    lenient = _parser(strict=False)
    _read(lenient, text, file)
    return lenient


def _read(parser: configparser.ConfigParser, text: str, file: IniFile) -> None:
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError as error:
        message = f"line {error.lineno} is before the first [section]"
        raise ConfigError(file.path, [*file.problems, Problem("", "", message)]) from error
    except configparser.ParsingError as error:
        raise ConfigError(file.path, [*file.problems, *_invalid_lines(error.errors)]) from error


def _invalid_lines(lines: Sequence[tuple[int, str]]) -> list[Problem]:
    """Return the problems of numbered lines that are neither sections nor options."""
    what = "neither a section nor 'option = value'"
    if len(lines) > _MAX_PROBLEMS:
        message = f"{len(lines)} lines are {what}, first line {lines[0][0]}; is it the right file?"
        return [Problem("", "", message)]
    return [
        Problem("", "", f"line {number} is {what}: {line[:SHOWN_CHARACTERS]}")
        for number, line in lines
    ]


def _values(
    parser: configparser.ConfigParser,
    section: str,
    shared: Mapping[str, str],
    problems: list[Problem],
) -> dict[str, str]:
    """Return the values of a section with all ``%`` references resolved."""
    own = parser.options(section)
    others = {option: text for option, text in shared.items() if option not in own}
    values = {}
    for option in [*own, *(others if section == "mirror" else ())]:
        try:
            values[option] = parser.get(section, option, vars=others)
        except configparser.InterpolationMissingOptionError as error:
            why = f"%({error.reference})s does not name an option"
        except configparser.InterpolationDepthError:
            why = "its % references are circular"
        except configparser.InterpolationError:
            why = "% begins a reference like %(option)s"
        else:
            continue
        # The parser's own message would repeat the value, which may have a password.
        problems.append(Problem(section, option, f"{why}; a literal % is written %%"))
    return values


def _parser(*, strict: bool) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(
        strict=strict,
        default_section="",
        delimiters=("=",),
        comment_prefixes=("#", ";"),
        interpolation=configparser.BasicInterpolation(),
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # option names keep their case
    return parser


def _resolve_references(file: IniFile) -> None:
    mirror = file.sections.get("mirror", {})
    for option, value in mirror.items():
        try:
            mirror[option] = _replaced(value, file, _MAX_DEPTH)
        except LookupError as error:
            file.problems.append(Problem("mirror", option, str(error.args[0])))


def _replaced(value: str, file: IniFile, depth: int) -> str:
    """Return a value with each ``{{ SECTION_OPTION }}`` replaced, nested up to ``depth``."""
    if "{{" not in value:
        return value
    if not depth:
        raise LookupError("its {{ }} references are circular")
    text = _REFERENCE.sub(
        lambda match: _replaced(_referenced(match[1], file), file, depth - 1), value
    )
    if "{{" in text:
        raise LookupError("a {{ has no }} after it; a reference is like {{ mirror_directory }}")
    return text


def _referenced(text: str, file: IniFile) -> str:
    """Return the value of ``SECTION_OPTION``; both may contain underscores, so try each split."""
    parts = text.split("_")
    for count in range(1, len(parts)):
        section = "_".join(parts[:count]).strip()
        option = "_".join(parts[count:]).strip()
        value = file.sections.get(section, {}).get(option)
        if value is not None:
            return value
    raise LookupError(
        f"{{{{{text[:SHOWN_CHARACTERS]}}}}} does not name an option with a value, as in "
        "{{ mirror_directory }}"
    )


def _expand_variables(file: IniFile, environment: Mapping[str, str]) -> None:
    """Replace each ``${NAME}`` of every section, after all other references.

    What a variable contains is text: no reference in it is resolved.
    """
    for section, options in file.sections.items():
        for option, value in options.items():
            if "${" not in value:
                continue
            file.unexpanded[section, option] = value
            try:
                options[option] = expand_variables(value, environment)
            except LookupError as error:
                file.problems.append(Problem(section, option, str(error.args[0])))


def expand_variables(text: str, environment: Mapping[str, str]) -> str:
    """Return a text with each ``${NAME}`` replaced; ``$${`` stands for a literal ``${``.

    :raises LookupError: with a sentence, if a variable is not set, is empty, or has no valid name.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        if match["literal"]:
            return match[0][1:]
        if not match["end"]:
            raise LookupError("a ${ has no } after it; a literal ${ is written $${")
        if not _VARIABLE_NAME.fullmatch(name):
            shown = f"${{{name[:SHOWN_CHARACTERS]}}}"
            raise LookupError(
                f"{shown} does not name an environment variable; a literal ${{ is written $${{"
            )
        value = environment.get(name, "")
        if not value.strip():
            what = "is empty" if name in environment else "is not set"
            raise LookupError(f"the environment variable {name} {what}")
        return value

    return _VARIABLE.sub(replaced, text)
