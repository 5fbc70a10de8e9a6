"""Filters by regular expressions over names and versions (contract, section 5.3)."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.builtin.ambiguity import check_time
from bandersnatch.filters.builtin.automaton import TOO_COMPLICATED
from bandersnatch.filters.chain import PageFilter, ProjectFilter, Stage
from bandersnatch.filters.options import FilterOptions, Line, Origin, read_each
from bandersnatch.model.versions import version_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.model.versions import VersionKey

SECTION = "filter_regex"

_SEPARATORS = "-_."
_MOST_SEPARATORS = 6


@dataclass(frozen=True, slots=True)
class Expression:
    """A regular expression, and where it is written.

    ``mixed`` is whether it may ask for more than one of the separators that a name can have.
    """

    compiled: re.Pattern[str]
    origin: Origin
    mixed: bool

    @property
    def text(self) -> str:
        """The expression as it is written."""
        return self.compiled.pattern

    def matches_name(self, name: str, *, anywhere: bool = False) -> bool:
        """Whether a normalised name matches at its start, in any spelling of its separators."""
        match = self.compiled.search if anywhere else self.compiled.match
        return any(map(match, _spellings(name, mixed=self.mixed)))


def expression(line: Line, flags: re.RegexFlag = re.NOFLAG) -> Expression:
    """Compile a regular expression.

    :raises OptionError: if it is none, or one that can take exponential time.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what may mean something else in a later Python
            compiled = re.compile(line.text, flags)
            check_time(compiled)
    except (re.error, OverflowError) as error:
        raise OptionError(f"it is no regular expression ({error})") from None
    except RecursionError:
        raise OptionError(TOO_COMPLICATED) from None
    if " #" in line.text and not compiled.flags & re.VERBOSE:
        raise OptionError(
            "' #' begins no comment within a pattern; put the comment on a line of its own, or "
            "write [#] for the character"
        )
    kinds = sum(separator in line.text for separator in _SEPARATORS)
    return Expression(compiled, line.origin, mixed=kinds > 1)


def expressions(
    options: FilterOptions, section: str, option: str, flags: re.RegexFlag = re.NOFLAG
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
    return read_each(lines, section, option, lambda line: expression(line, flags))


def in_terms(written: Iterable[str]) -> str:
    """Return texts as one that changes with each of them, and not with their order."""
    return repr(sorted(set(written)))


def _listed(found: Iterable[Expression]) -> str:
    return ", ".join(dict.fromkeys(each.text for each in found))


def _spellings(name: str, *, mixed: bool) -> list[str]:
    """Return a name with every separator, and if asked for with every mixture of them."""
    parts = name.split("-")
    if len(parts) == 1:
        return parts
    if not mixed or len(parts) > _MOST_SEPARATORS + 1:
        return [name, name.replace("-", "_"), name.replace("-", ".")]
    found = parts[:1]
    for part in parts[1:]:
        found = [beginning + separator + part for beginning in found for separator in _SEPARATORS]
    return found


@dataclass(frozen=True, slots=True)
class NameExpressions:
    """Drop the projects whose name matches; neither case nor separators matter in a name."""

    listed: tuple[Expression, ...]
    mixed: bool

    def which(self, name: ProjectName) -> Expression | None:
        """Return the first expression that a project's name matches."""
        plain = _spellings(name, mixed=False)
        mixed = _spellings(name, mixed=True) if self.mixed else plain
        for each in self.listed:
            if any(map(each.compiled.match, mixed if each.mixed else plain)):
                return each
        return None

    def keeps(self, name: ProjectName) -> bool:
        """Whether no expression matches."""
        return self.which(name) is None

    def because(self, name: ProjectName) -> str:
        """Return the expression that drops a project, and where it is written."""
        found = self.which(name)
        return "" if found is None else str(found.origin)


def regex_project(options: FilterOptions) -> ProjectFilter:
    """Make the filter from ``[filter_regex] packages``.

    :raises InvalidRules: if there is no pattern, or one that cannot be used.
    """
    listed = tuple(expressions(options, SECTION, "packages", re.IGNORECASE))
    rules = NameExpressions(listed, mixed=any(each.mixed for each in listed))
    return ProjectFilter(
        name="regex_project",
        keeps=rules.keeps,
        terms=f"regex_project {in_terms(each.text for each in rules.listed)}",
        words=(f"drop the projects whose name begins with a match of: {_listed(rules.listed)}",),
        because=rules.because,
    )


@dataclass(frozen=True, slots=True)
class VersionExpressions:
    """Drop the versions that match, as the index writes them or the name of one of their files."""

    listed: tuple[Expression, ...]

    def which(self, texts: Collection[str]) -> Expression | None:
        """Return the first expression that one of the texts matches at its start."""
        for each in self.listed:
            for text in texts:
                if each.compiled.match(text):
                    return each
        return None

    def narrow(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page without the versions that match."""
        written = dict.fromkeys((*page.versions, *page.version_texts()))
        gone = {version_key(text) for text in written if self.which((text,)) is not None}
        return page.keep_versions(lambda text: version_key(text) not in gone) if gone else page

    def because(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the expression that drops a file's version, and where it is written."""
        texts = () if file is None else _written(page)[version_key(page.version_of(file))]
        found = self.which(texts)
        return "" if found is None else str(found.origin)


def _written(page: ProjectDetail) -> dict[VersionKey, set[str]]:
    """Return all the texts that each version of a page is written as."""
    found: dict[VersionKey, set[str]] = {}
    for text in dict.fromkeys((*page.versions, *page.version_texts())):
        found.setdefault(version_key(text), set()).add(text)
    return found


def regex_release(options: FilterOptions) -> PageFilter:
    """Make the filter from ``[filter_regex] releases``.

    :raises InvalidRules: if there is no pattern, or one that cannot be used.
    """
    rules = VersionExpressions(tuple(expressions(options, SECTION, "releases")))
    return PageFilter(
        name="regex_release",
        stage=Stage.RELEASE,
        narrows=rules.narrow,
        terms=f"regex_release {in_terms(each.text for each in rules.listed)}",
        words=(f"drop the versions that begin with a match of: {_listed(rules.listed)}",),
        because=rules.because,
    )
