"""Filters by regular expressions over names and versions.

Patterns have the syntax and the meaning of the standard library's `re`, and are matched by the
library `regex` with a time limit: nothing else bounds the time that a pattern can take. A pattern
that means another thing to `regex` is refused or translated.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import regex

from bandersnatch.errors import FilterFailure, InvalidRules, OptionError, Problem
from bandersnatch.filters.interface import PageFilter, ProjectFilter, Stage
from bandersnatch.filters.options import FilterOptions, Line, Origin, read_each
from bandersnatch.model.versions import VersionKey, version_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_SECTION = "filter_regex"

_SEPARATORS = "-_."
_MAX_MIXED_SEPARATORS = 6

# ---------------------------------------------------------------- patterns

TIME_LIMIT = 1.0
"""Seconds of processor time that one match may take."""

_MAX_CHEAP_TEXT = 200
_MAX_CHEAP_REPEATS = 3
_MAX_CHEAP_BRANCHES = 4

_MAX_COPIES = 10_000
"""`regex` keeps a copy of a repeated part for each of its least number of repeats."""

_TOKEN = re.compile(
    r"""(?P<escape>\\N\{[^}]*\} | \\.)
    | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])
    | (?P<comment>\(\?\#[^)]*\))
    | \(\?(?P<flags>[aiLmsux]*(?:-[imsx]+)?)[:)]
    | (?P<quantifier>[*+?]|\{(?:(?P<least>\d+)(?:,\d*)?|,\d+)\})
    | (?P<brace>\{)
    | .""",
    re.DOTALL | re.VERBOSE,
)
_SET_ITEM = re.compile(r"\\.|.", re.DOTALL)
_SET_OPERATORS = ("[:", "--", "&&", "||", "~~")
_VERBOSE_SPACE = re.compile(r"[^\S \t\n\r\v\f]")
_GROUP_FLAGS = re.compile(r"\(\?[aiLmsu]*x")
_DOTLESS_AND_DOTTED = str.maketrans("\u0130\u0131", "ii")
"""The letters that are an "i" to `re` if case does not matter, and to `regex` only partly."""


@dataclass(frozen=True)
class Expression:
    """A regular expression, where it is written, and the filter that it belongs to.

    It means what it means to `re`, with one exception: if case does not matter, a reference to a
    group also matches letters outside of ASCII that have the same lower case, such as an old "s".
    """

    compiled: re.Pattern[str]
    origin: Origin
    filter_name: str

    @property
    def text(self) -> str:
        """The expression as it is written."""
        return self.compiled.pattern

    @cached_property
    def is_mixed(self) -> bool:
        """Whether it has more than one kind of the separators that a name can have."""
        return sum(separator in self.text for separator in _SEPARATORS) > 1

    def matches(self, text: str, *, anywhere: bool = False) -> bool:
        """Return whether a text matches at its start, or anywhere.

        :raises FilterFailure: if that takes more than the time limit.
        """
        pattern = self._ascii_pattern
        if not (text.isascii() and text.isprintable()):
            pattern = self._unicode_pattern
            if self.compiled.flags & re.IGNORECASE:
                text = text.translate(_DOTLESS_AND_DOTTED)
        match = pattern.search if anywhere else pattern.match
        try:
            if self._is_cheap and len(text) <= _MAX_CHEAP_TEXT:
                return match(text) is not None  # the limit costs more than such a match
            return match(text, timeout=TIME_LIMIT) is not None
        except (TimeoutError, MemoryError):
            raise FilterFailure(
                self.filter_name,
                f"{self.origin} takes more than {TIME_LIMIT:g} second for a text of {len(text)} "
                "characters; write it so that a repeated part matches the same text in one way "
                "only, such as a+ for (a|aa)+",
            ) from None

    def matches_name(self, name: str, *, anywhere: bool = False) -> bool:
        """Return whether a normalised name matches, with any of its separators replaced.

        :raises FilterFailure: if that takes more than the time limit.
        """
        spellings = _spellings(name, mixed=self.is_mixed)
        return any(self.matches(each, anywhere=anywhere) for each in spellings)

    @cached_property
    def _ascii_pattern(self) -> regex.Pattern[str]:
        return _compiled(_translate(self.text, re.ASCII), self.compiled.flags)

    @cached_property
    def _unicode_pattern(self) -> regex.Pattern[str]:
        """The pattern for texts that are not printable ASCII."""
        return _compiled(_translate(self.text, self.compiled.flags), self.compiled.flags)

    @cached_property
    def _is_cheap(self) -> bool:
        """Whether a match in a short text takes little time, so that it needs no limit.

        Without a repeated group, the number of ways to match is at most the length of the text
        to the power of the number of repeats, times 2 to the power of the number of branches.
        """
        repeats, branches, previous = 0, 0, ""
        for token in _TOKEN.finditer(self.text):
            if token["quantifier"]:
                if previous == ")":
                    return False
                repeats += 1
            branches += token[0] == "|"
            previous = token[0]
        return repeats <= _MAX_CHEAP_REPEATS and branches <= _MAX_CHEAP_BRANCHES


def expression(line: Line, filter_name: str, flags: re.RegexFlag = re.NOFLAG) -> Expression:
    """Compile a regular expression.

    :raises OptionError: if it is not a regular expression, or `regex` understands another thing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a later Python may understand otherwise
            compiled = re.compile(line.text, flags)
        _check_syntax(line.text)
        _compiled(_translate(line.text, compiled.flags), compiled.flags)
    except (re.error, regex.error, OverflowError) as error:
        raise OptionError(f"it is not a regular expression ({error})") from None
    except RecursionError:
        raise OptionError("it is too deeply nested; split it") from None
    if " #" in line.text and not compiled.flags & re.VERBOSE:
        raise OptionError(
            "' #' begins no comment within a pattern; put the comment on a line of its own, or "
            "write [#] for the character"
        )
    return Expression(compiled, line.origin, filter_name)


def _compiled(text: str, flags: int) -> regex.Pattern[str]:
    same = regex.VERSION0
    for flag in ("ASCII", "IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE"):
        if flags & re.RegexFlag[flag]:
            same |= getattr(regex, flag)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return regex.compile(text, same)


def _check_syntax(text: str) -> None:
    """Refuse syntax that has a meaning to `regex` only, and patterns that it cannot store.

    :raises OptionError: if there is any.
    """
    copies = 1
    for token in _TOKEN.finditer(text):
        copies *= max(1, int(token["least"] or 1))
        if copies > _MAX_COPIES:
            raise OptionError(f"its counts of repeats multiply to more than {_MAX_COPIES:,}")
        if token["brace"]:
            raise OptionError("a '{' that begins no count of repeats must be written as [{]")
        if token["set"] and any(each in token["set"] for each in _SET_OPERATORS):
            raise OptionError(
                f"{token['set']} looks like a POSIX class or an operation of sets, which do not "
                "exist; write a backslash before each of the two characters"
            )
        if token["flags"] and set(token["flags"]) & set("auL") and token.start():
            raise OptionError(f"{token[0]} sets a, u or L for a part; write (?a) at the beginning")
    if _GROUP_FLAGS.search(text) and _VERBOSE_SPACE.search(text):
        raise OptionError("a pattern with the flag x may have no spaces but those of ASCII")


def _translate(text: str, flags: int) -> str:
    r"""Return a pattern that means to `regex` in any text what ``text`` means to `re`.

    To `re`, ``\w`` is what `str.isalnum` says and ``_``, and ``\s`` what `str.isspace` says.
    """
    classes = _ASCII_CLASSES if flags & re.ASCII else _UNICODE_CLASSES
    return "".join(
        _translate_set(token[0], classes) if token["set"] else _translate_escape(token[0], classes)
        for token in _TOKEN.finditer(text)
    )


_UNICODE_CLASSES = {r"\w": r"\p{L}\p{N}_", r"\s": r"\s\x1c-\x1f", r"\d": r"\d"}
_ASCII_CLASSES = {r"\w": "a-zA-Z0-9_", r"\s": r"\x20\t-\r", r"\d": "0-9"}
_NOT_EMPTY = "" if re.search(r"\B", "") else r"(?!\A\Z)"
"""Before Python 3.14 ``\\B`` does not match an empty text."""


def _translate_escape(escape: str, classes: Mapping[str, str]) -> str:
    word = classes[r"\w"]
    if escape == r"\b":
        return f"(?:(?<=[{word}])(?![{word}])|(?<![{word}])(?=[{word}]))"
    if escape == r"\B":
        return f"(?:(?<=[{word}])(?=[{word}])|(?<![{word}])(?![{word}]){_NOT_EMPTY})"
    if escape in classes:
        return f"[{classes[escape]}]"
    negated = escape.lower() in classes and escape.startswith("\\")
    return f"[^{classes[escape.lower()]}]" if negated else escape


def _translate_set(text: str, classes: Mapping[str, str]) -> str:
    is_negated = text.startswith("[^")
    inside, others = "", []
    for item in _SET_ITEM.findall(text[1 + is_negated : -1]):
        if item in {r"\W", r"\S", r"\D"}:
            others.append(_translate_escape(item, classes))  # a set cannot contain a negated set
        else:
            inside += classes.get(item, item)
    if not others:
        return f"[{'^' * is_negated}{inside}]"
    if inside:
        others.append(f"[\\{inside}]" if inside.startswith("^") else f"[{inside}]")
    either = "|".join(others)
    return f"(?:(?!{either})(?s:.))" if is_negated else f"(?:{either})"


def expressions(
    options: FilterOptions,
    section: str,
    option: str,
    filter_name: str,
    flags: re.RegexFlag = re.NOFLAG,
) -> list[Expression]:
    """Return the regular expressions of an option, one a line.

    :raises InvalidRules: with every line that cannot be used, or if there is none.
    """
    texts = [text.strip() for text in (options.text(section, option) or "").split("\n")]
    lines = [
        Line(text, options.origin(section, option, index))
        for index, text in enumerate(texts)
        if text and not text.startswith("#")
    ]
    if not lines:
        raise InvalidRules([Problem(section, option, "it has no pattern; write one on each line")])
    return read_each(lines, section, option, lambda line: expression(line, filter_name, flags))


_DELIMITERS = "\"'/`"


def delimiter_notes(
    origins: Iterable[Origin], section: str, option: str, *, both_ends: bool = False
) -> tuple[str, ...]:
    """Return a note for each pattern in quotes or slashes, which are characters of the pattern.

    A name or a version has none of them, so that one at either end is enough; ``both_ends`` is for
    texts that can contain them.
    """
    return tuple(
        f"[{section}] {option}: {origin}: the quotes or slashes are part of the pattern, "
        f"{'which hardly matches anything' if both_ends else 'so nothing matches it'}; "
        "write the pattern without them"
        for origin in origins
        if _is_delimited(origin.text, both_ends=both_ends)
    )


def _is_delimited(text: str, *, both_ends: bool) -> bool:
    first, last = text[:1], text.rstrip("gimsux")[-1:] if text.startswith("/") else text[-1:]
    if both_ends:
        return len(text) > 1 and first in _DELIMITERS and first == last
    return first in _DELIMITERS or last in _DELIMITERS


def _fingerprint(found: Iterable[Expression]) -> str:
    """Return a text that changes with each expression, and not with their order."""
    return repr(sorted({each.text for each in found}))


def _shown(found: Iterable[Expression]) -> str:
    return ", ".join(dict.fromkeys(each.text for each in found))


def _spellings(name: str, *, mixed: bool) -> list[str]:
    """Return a name with each separator throughout, and if asked for with every mixture."""
    parts = name.split("-")
    if len(parts) == 1:
        return parts
    if not mixed or len(parts) > _MAX_MIXED_SEPARATORS + 1:
        return [name, name.replace("-", "_"), name.replace("-", ".")]
    found = parts[:1]
    for part in parts[1:]:
        found = [beginning + separator + part for beginning in found for separator in _SEPARATORS]
    return found


# ---------------------------------------------------------------- the filters


@dataclass(frozen=True)
class RegexProject(ProjectFilter):
    """Drop the projects whose name matches at its start, in any case and with any separators."""

    name = "regex_project"

    patterns: tuple[Expression, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[filter_regex] packages``.

        :raises InvalidRules: if there is no pattern, or one that cannot be used.
        """
        found = tuple(expressions(options, _SECTION, "packages", cls.name, re.IGNORECASE))
        notes = delimiter_notes((each.origin for each in found), _SECTION, "packages")
        return cls(found, notes)

    def apply(self, name: ProjectName) -> bool:
        """Return whether no pattern matches.

        :raises FilterFailure: if a pattern takes more than the time limit.
        """
        return self._match(name) is None

    def explain(self, name: ProjectName) -> str:
        """Return the first pattern that matches, and where it is written."""
        found = self._match(name)
        return "" if found is None else str(found.origin)

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        return (f"drop the projects whose name begins with a match of: {_shown(self.patterns)}",)

    def fingerprint(self) -> str:
        """Return the patterns."""
        return f"{self.name} {_fingerprint(self.patterns)}"

    def _match(self, name: ProjectName) -> Expression | None:
        plain = _spellings(name, mixed=False)
        for each in self.patterns:
            for spelling in _spellings(name, mixed=True) if each.is_mixed else plain:
                if each.matches(spelling):
                    return each
        return None


@dataclass(frozen=True)
class RegexRelease(PageFilter):
    """Drop the versions that match at their start, as the index or a file name writes them."""

    name = "regex_release"
    stage = Stage.RELEASE

    patterns: tuple[Expression, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from ``[filter_regex] releases``.

        :raises InvalidRules: if there is no pattern, or one that cannot be used.
        """
        found = tuple(expressions(options, _SECTION, "releases", cls.name))
        notes = delimiter_notes((each.origin for each in found), _SECTION, "releases")
        return cls(found, notes)

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page without the versions that match.

        :raises FilterFailure: if a pattern takes more than the time limit.
        """
        texts = dict.fromkeys((*page.versions, *page.version_texts()))
        dropped = {version_key(text) for text in texts if self._match((text,)) is not None}
        if not dropped:
            return page
        return page.keep_versions(lambda text: version_key(text) not in dropped)

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the first pattern that matches a file's version, and where it is written."""
        texts = () if file is None else _version_texts(page)[version_key(page.version_of(file))]
        found = self._match(texts)
        return "" if found is None else str(found.origin)

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        return (f"drop the versions that begin with a match of: {_shown(self.patterns)}",)

    def fingerprint(self) -> str:
        """Return the patterns."""
        return f"{self.name} {_fingerprint(self.patterns)}"

    def _match(self, texts: Collection[str]) -> Expression | None:
        for each in self.patterns:
            if any(map(each.matches, texts)):
                return each
        return None


def _version_texts(page: ProjectDetail) -> dict[VersionKey, set[str]]:
    """Return all spellings of each version of a page."""
    found: dict[VersionKey, set[str]] = {}
    for text in dict.fromkeys((*page.versions, *page.version_texts())):
        found.setdefault(version_key(text), set()).add(text)
    return found
