"""Filters by the metadata of projects and files, at dotted paths of the legacy JSON document.

The paths are those of the dictionaries that `views` makes: ``info.classifiers``,
``release_file.packagetype``. PyPI's documentation describes the document ("JSON API").
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from bandersnatch.config.readers import boolean
from bandersnatch.errors import FilterFailure, InvalidRules, OptionError, Problem
from bandersnatch.filters.builtin.regex import Expression, delimiter_notes, expressions
from bandersnatch.filters.builtin.views import legacy_files, legacy_project
from bandersnatch.filters.interface import Needs, PageFilter, Stage
from bandersnatch.filters.options import FilterOptions, Line, Origin, read_each, suggestion
from bandersnatch.model.versions import parse_version, version_key

if TYPE_CHECKING:
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

    ReadRule = Callable[[FilterOptions, str, "Path"], "Rule"]

_SEARCH = "search"


# ---------------------------------------------------------------- paths and rules


class Mode(Enum):
    """How many of the values at a path must match."""

    ANY = "any"
    ALL = "all"
    NONE = "none"


_NULLS = {"match-null": True, "not-null": False}
_TAGS = (*(mode.value for mode in Mode), *_NULLS)

_INFO = (
    "author", "author_email", "bugtrack_url", "classifiers", "description",
    "description_content_type", "docs_url", "download_url", "downloads", "dynamic", "home_page",
    "keywords", "license", "license_expression", "license_files", "maintainer",
    "maintainer_email", "name", "package_url", "platform", "project_url", "project_urls",
    "provides_extra", "release_url", "requires_dist", "requires_python", "summary", "version",
    "yanked", "yanked_reason",
)  # fmt: skip
_FILE = (
    "comment_text", "digests", "downloads", "filename", "has_sig", "md5_digest", "packagetype",
    "python_version", "requires_python", "size", "upload_time", "upload_time_iso_8601", "url",
    "yanked", "yanked_reason",
)  # fmt: skip
_INNER = {"info": _INFO, "release_file": _FILE}
"""The usual keys; an index may have others."""

PROJECT_KEYS = ("info", "releases", "last_serial", "urls", "vulnerabilities", "ownership")
FILE_KEYS = ("release_file", "info", "release")

_NEEDS = {
    ("release",): Needs.NOTHING,
    ("last_serial",): Needs.NOTHING,
    ("info", "name"): Needs.NOTHING,
    ("release_file", "filename"): Needs.NOTHING,
    ("release_file", "packagetype"): Needs.NOTHING,
    ("release_file", "python_version"): Needs.NOTHING,
    ("release_file", "requires_python"): Needs.NOTHING,
    ("release_file", "size"): Needs.SIZES,
    ("release_file", "upload_time"): Needs.TIMES,
    ("release_file", "upload_time_iso_8601"): Needs.TIMES,
    ("release_file", "url"): Needs.NOTHING,
    ("release_file", "yanked"): Needs.NOTHING,
    ("release_file", "yanked_reason"): Needs.NOTHING,
    ("release_file", "digests", "sha256"): Needs.NOTHING,
}
"""The paths that can be answered without the document, and what they need instead."""


@dataclass(frozen=True, slots=True)
class Path:
    """A dotted path, and how to judge the values there.

    ``keeps_null`` is whether a path without values counts as a match.
    """

    option: str
    keys: tuple[str, ...]
    mode: Mode = Mode.ANY
    keeps_null: bool = True

    @property
    def needs(self) -> Needs:
        """The data that the values come from."""
        return _NEEDS.get(self.keys, Needs.DOCUMENT)

    def __str__(self) -> str:
        return ".".join(self.keys)


def parse_path(option: str, roots: Sequence[str]) -> Path:
    """Read the name of an option: tags, each followed by ``:``, then a path.

    :raises OptionError: if a tag, or the beginning of the path, is unknown.
    """
    *tags, dotted = (part.strip() for part in option.split(":"))
    mode, keeps_null = Mode.ANY, True
    for tag in tags:
        if tag not in _TAGS:
            raise OptionError(f"{tag!r} is not a tag{_nearest(tag, _TAGS)}")
        if tag in _NULLS:
            keeps_null = _NULLS[tag]
        else:
            mode = Mode(tag)
    keys = tuple(dotted.split("."))
    if not all(keys):
        raise OptionError(
            "its path is empty, or has an empty part; write one like info.classifiers"
        )
    _check_keys(keys, roots)
    return Path(option, keys, mode, keeps_null)


def _check_keys(keys: tuple[str, ...], roots: Sequence[str]) -> None:
    """Refuse a path that leads nowhere: a path without values would count as a match.

    :raises OptionError: if it leads nowhere.
    """
    first, *rest = keys
    if first not in roots:
        raise OptionError(f"no path begins with {first!r} here{_nearest(first, roots)}")
    inner = _INNER.get(first, ())
    if inner and not rest:
        raise OptionError(
            f"{first!r} holds many values; name one of them, as in {first}.{inner[0]}"
        )
    if first in {"release", "last_serial"} and rest:
        raise OptionError(f"{first!r} is a single value; nothing is within it")
    if inner and rest[0] not in inner:
        meant = suggestion(rest[0], inner, cutoff=0.75)
        if meant:
            raise OptionError(f"{first} has no {rest[0]!r}{meant}")


def _nearest(word: str, words: Sequence[str]) -> str:
    return suggestion(word, words) or f"; there are {', '.join(words)}"


def values_at(data: object, keys: Iterable[str]) -> list[str]:
    """Return the values at a path as texts: the items of a list, or one value; null is left out.

    Values that are not texts are written as JSON.
    """
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    found: Iterable[object] = data if isinstance(data, list) else (data,)
    return [_text(value) for value in found if value is not None]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Demand:
    """One line of an option's value: a test of a value."""

    text: str
    origin: Origin
    passes: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """An option: a path, and the tests of its values.

    ``verb`` is the verb in `describe`. Values that are not ``valid`` are ignored.
    """

    path: Path
    demands: tuple[Demand, ...]
    verb: str
    valid: Callable[[str], bool]

    def failed(self, values: Iterable[str]) -> str | None:
        """Return why the values do not match, or None if they do."""
        known = list(filter(self.valid, values))
        if not known:
            return None if self.path.keeps_null else f"there is no usable value at {self.path}"
        passed = [any(map(demand.passes, known)) for demand in self.demands]
        if self.path.mode is Mode.ANY:
            return None if any(passed) else str(self.demands[0].origin)
        wrong = self.path.mode is Mode.NONE
        found = zip(self.demands, passed, strict=True)
        return next((str(demand.origin) for demand, right in found if right is wrong), None)

    def fingerprint(self) -> tuple[str, str, bool, list[str]]:
        """Return a value that changes whenever an answer may change."""
        texts = sorted({demand.text for demand in self.demands})
        return str(self.path), self.path.mode.value, self.path.keeps_null, texts

    def describe(self) -> str:
        """Return what the values must be, to follow "whose"."""
        count = {Mode.ANY: "one", Mode.ALL: "each", Mode.NONE: "none"}[self.path.mode]
        texts = ", ".join(dict.fromkeys(demand.text for demand in self.demands))
        null = "also" if self.path.keeps_null else "not"
        return f"{self.path} {self.verb} {count} of: {texts}; {null} those without it"


# ---------------------------------------------------------------- the filters


class _RulesFilter(PageFilter):
    """A filter by the options of the section that has its name; every rule must be satisfied."""

    rules: tuple[Rule, ...]

    def _check_document(self, page: ProjectDetail) -> None:
        options = (r.path.option for r in self.rules if Needs.DOCUMENT in r.path.needs)
        option = next(options, None)
        if option is not None and page.document is None:
            raise FilterFailure(
                self.name,
                f"the index has no JSON document for {page.name}, "
                f"which [{self.name}] {option} reads",
            )

    def _failed(self, from_page: object, from_document: object) -> str:
        """Return the first rule that is not satisfied, or "".

        Values that the page has are taken from the page even if there is a document: the answer
        to one rule must not depend on the others.
        """
        for rule in self.rules:
            data = from_document if Needs.DOCUMENT in rule.path.needs else from_page
            why = rule.failed(values_at(data, rule.path.keys))
            if why is not None:
                return f"[{self.name}] {rule.path.option}: {why}"
        return ""


class _ProjectRules(_RulesFilter):
    """Keep the projects that satisfy all rules."""

    stage = Stage.METADATA

    def apply(self, page: ProjectDetail) -> ProjectDetail | None:
        """Return the page if the project satisfies all rules.

        :raises FilterFailure: if a rule needs the document, and the index has none.
        """
        return None if self.explain(page, None) else page

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the rule that the project does not satisfy, and where it is written."""
        del file
        self._check_document(page)
        from_page: object = {"info": {"name": page.name}, "last_serial": page.serial}
        if Needs.DOCUMENT not in self.needs:
            return self._failed(from_page, from_page)
        return self._failed(from_page, legacy_project(page) | {"info": _info(page)})

    def describe(self) -> tuple[str, ...]:
        """Return a sentence for each rule."""
        return tuple(f"keep the projects whose {rule.describe()}" for rule in self.rules)


class _FileRules(_RulesFilter):
    """Keep the files that satisfy all rules."""

    stage = Stage.FILE

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with the files that satisfy all rules.

        :raises FilterFailure: if a rule needs the document, and the index has none.
        """
        failed = self._failed_by_file(page)
        return page.keep(lambda file: not failed[file.filename])

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the rule that a file does not satisfy, and where it is written."""
        return "" if file is None else self._failed_by_file(page)[file.filename]

    def describe(self) -> tuple[str, ...]:
        """Return a sentence for each rule."""
        return tuple(f"keep the files whose {rule.describe()}" for rule in self.rules)

    def _failed_by_file(self, page: ProjectDetail) -> dict[str, str]:
        """Return the rule that each file does not satisfy, or "", by file name."""
        self._check_document(page)
        from_page = legacy_files(replace(page, document=None))
        full = legacy_files(page) if Needs.DOCUMENT in self.needs else from_page
        name, info = {"name": page.name}, _info(page)
        texts = {version_key(text): text for text in sorted(page.versions)}
        failed = {}
        for file in page.files:
            version = page.version_of(file)
            release = texts.get(version_key(version), version)
            failed[file.filename] = self._failed(
                {"info": name, "release": release, "release_file": from_page[file.filename]},
                {"info": info, "release": release, "release_file": full[file.filename]},
            )
        return failed


@dataclass(frozen=True)
class RegexProjectMetadata(_ProjectRules):
    """Keep the projects whose metadata match regular expressions."""

    name = "regex_project_metadata"

    rules: tuple[Rule, ...]
    anywhere: bool
    needs: Needs
    notes: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from its section.

        :raises InvalidRules: with every problem of the section.
        """
        rules, anywhere = _regex_rules(options, cls.name, PROJECT_KEYS)
        return cls(rules, anywhere, _needs(rules), _pattern_notes(rules, cls.name))

    def fingerprint(self) -> str:
        """Return the rules."""
        return f"{self.name}{' search' * self.anywhere} {_fingerprint(self.rules)}"


@dataclass(frozen=True)
class RegexReleaseFileMetadata(_FileRules):
    """Keep the files whose metadata match regular expressions."""

    name = "regex_release_file_metadata"

    rules: tuple[Rule, ...]
    anywhere: bool
    needs: Needs
    notes: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from its section.

        :raises InvalidRules: with every problem of the section.
        """
        rules, anywhere = _regex_rules(options, cls.name, FILE_KEYS)
        return cls(rules, anywhere, _needs(rules), _pattern_notes(rules, cls.name))

    def fingerprint(self) -> str:
        """Return the rules."""
        return f"{self.name}{' search' * self.anywhere} {_fingerprint(self.rules)}"


@dataclass(frozen=True)
class VersionRangeProjectMetadata(_ProjectRules):
    """Keep the projects with metadata that are specifiers which allow certain versions."""

    name = "version_range_project_metadata"

    rules: tuple[Rule, ...]
    needs: Needs

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from its section.

        :raises InvalidRules: with every problem of the section.
        """
        rules = tuple(_read(options, cls.name, PROJECT_KEYS, _version_rule))
        return cls(rules, _needs(rules))

    def fingerprint(self) -> str:
        """Return the rules."""
        return f"{self.name} {_fingerprint(self.rules)}"


@dataclass(frozen=True)
class VersionRangeReleaseFileMetadata(_FileRules):
    """Keep the files with metadata that are specifiers which allow certain versions."""

    name = "version_range_release_file_metadata"

    rules: tuple[Rule, ...]
    needs: Needs

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from its section.

        :raises InvalidRules: with every problem of the section.
        """
        rules = tuple(_read(options, cls.name, FILE_KEYS, _version_rule))
        return cls(rules, _needs(rules))

    def fingerprint(self) -> str:
        """Return the rules."""
        return f"{self.name} {_fingerprint(self.rules)}"


def _needs(rules: Iterable[Rule]) -> Needs:
    needs = Needs.NOTHING
    for rule in rules:
        needs |= rule.path.needs
    return needs


def _fingerprint(rules: Iterable[Rule]) -> str:
    return str(sorted(rule.fingerprint() for rule in rules))


# ---------------------------------------------------------------- reading the options


def _info(page: ProjectDetail) -> object:
    return (page.document or {}).get("info")


def _read(
    options: FilterOptions, name: str, roots: Sequence[str], read: ReadRule, skip: str | None = None
) -> list[Rule]:
    """Read the section that has the filter's name, where each option but one is a path.

    :raises InvalidRules: with every problem of the section, or if it has no path.
    """
    rules, problems = [], []
    for option in options.sections.get(name, {}):
        if option != skip:
            try:
                rules.append(read(options, name, parse_path(option, roots)))
            except OptionError as error:
                problems.append(Problem(name, option, str(error)))
            except InvalidRules as error:
                problems += error.problems
    if not rules and not problems:
        example = "info.classifiers" if roots is PROJECT_KEYS else "release_file.packagetype"
        problems.append(
            Problem(name, "", f"the filter is enabled and no path is set, such as {example}")
        )
    if problems:
        raise InvalidRules(problems)
    return rules


def _regex_rules(
    options: FilterOptions, name: str, roots: Sequence[str]
) -> tuple[tuple[Rule, ...], bool]:
    """Return the rules of a section, and whether a match may begin anywhere in a value."""
    problems: list[Problem] = []
    anywhere = False
    try:
        anywhere = boolean(options.text(name, _SEARCH) or "no")
    except OptionError:
        origin = options.origin(name, _SEARCH)
        problems.append(Problem(name, _SEARCH, f"{origin} is neither true nor false"))
    read = partial(_regex_rule, anywhere=anywhere)
    listed: list[Rule] = []
    try:
        listed = _read(options, name, roots, read, _SEARCH)
    except InvalidRules as error:
        problems += error.problems
    if problems:
        raise InvalidRules(problems)
    return tuple(listed), anywhere


def _regex_rule(options: FilterOptions, section: str, path: Path, *, anywhere: bool) -> Rule:
    is_name = path.keys == ("info", "name")
    flags = re.IGNORECASE if is_name else re.NOFLAG

    def passes(each: Expression) -> Callable[[str], bool]:
        if is_name:
            return partial(each.matches_name, anywhere=anywhere)
        return partial(each.matches, anywhere=anywhere)

    found = expressions(options, section, path.option, section, flags)
    demands = tuple(Demand(each.text, each.origin, passes(each)) for each in found)
    return Rule(path, demands, "matches", lambda _: True)


def _pattern_notes(rules: Iterable[Rule], section: str) -> tuple[str, ...]:
    """Return the notes about patterns in quotes or slashes."""
    return tuple(
        note
        for rule in rules
        for note in delimiter_notes(
            (each.origin for each in rule.demands), section, rule.path.option, both_ends=True
        )
    )


def _version_rule(options: FilterOptions, section: str, path: Path) -> Rule:
    lines = options.lines(section, path.option)
    if not lines:
        message = "it has no version; write one on each line, such as 3.12"
        raise InvalidRules([Problem(section, path.option, message)])
    demands = read_each(lines, section, path.option, _version_demand)
    return Rule(path, tuple(demands), "allows", lambda value: _specifiers(value) is not None)


def _version_demand(line: Line) -> Demand:
    if parse_version(line.text) is None:
        raise OptionError("it is not a version; write one such as 3.12 (PEP 440)")
    return Demand(line.text, line.origin, lambda value: _allows(value, line.text))


@lru_cache(maxsize=4096)
def _specifiers(text: str) -> SpecifierSet | None:
    """Return a text's specifiers, or None if it is not a specifier by PEP 440."""
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


@lru_cache(maxsize=4096)
def _allows(text: str, version: str) -> bool:
    specifiers = _specifiers(text)
    return specifiers is not None and specifiers.contains(version, prereleases=True)
