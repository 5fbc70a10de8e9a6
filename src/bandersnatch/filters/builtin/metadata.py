"""Filters by what the legacy JSON API tells of projects and files (contract, sections 5.3, 5.5)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from bandersnatch.errors import FilterFailure, InvalidRules, OptionError, Problem
from bandersnatch.filters.builtin.paths import (
    FILE_KEYS,
    PROJECT_KEYS,
    Demand,
    Path,
    Rule,
    parse_path,
    values_at,
)
from bandersnatch.filters.builtin.regex import expressions
from bandersnatch.filters.builtin.views import older_files, older_project
from bandersnatch.filters.chain import Needs, PageFilter, Stage
from bandersnatch.filters.options import FilterOptions, Line, read_each
from bandersnatch.model.versions import parse_version, version_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bandersnatch.filters.builtin.regex import Expression
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

    ReadRule = Callable[[FilterOptions, str, Path], Rule]

_SEARCH = "search"
_ANSWERS = {
    "1": True, "yes": True, "true": True, "on": True,
    "0": False, "no": False, "false": False, "off": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one section, all of which must be kept to.

    ``variant`` tells, in ``terms``, of what changes the meaning of all of them.
    """

    name: str
    listed: tuple[Rule, ...]
    variant: str = ""

    @property
    def reads(self) -> Needs:
        """What it takes to know the values of all paths."""
        reads = Needs.NOTHING
        for rule in self.listed:
            reads |= rule.path.reads
        return reads

    @property
    def terms(self) -> str:
        """A text that changes whenever an answer may, and not with the order of the options."""
        return f"{self.name}{self.variant} {sorted(rule.terms for rule in self.listed)}"

    def page_filter(self, stage: Stage, what: str) -> PageFilter:
        """Return the filter that keeps what is according to the rules."""
        of_files = stage is Stage.FILE
        return PageFilter(
            name=self.name,
            stage=stage,
            narrows=self.narrow_files if of_files else self.narrow_project,
            terms=self.terms,
            words=tuple(f"keep the {what} whose {rule.words}" for rule in self.listed),
            because=self.file_because if of_files else self.project_because,
            reads=self.reads,
        )

    def narrow_project(self, page: ProjectDetail) -> ProjectDetail | None:
        """Return the page if the project keeps to all rules.

        :raises FilterFailure: if a rule is about what only the document tells, and there is none.
        """
        return None if self.project_because(page) else page

    def project_because(self, page: ProjectDetail, _: ReleaseFile | None = None) -> str:
        """Return the rule that the project does not keep to, and where it is written."""
        self._check(page)
        told: object = {"info": {"name": page.name}, "last_serial": page.serial}
        if Needs.DOCUMENT not in self.reads:
            return self._failed(told, told)
        return self._failed(told, older_project(page) | {"info": _info(page)})

    def narrow_files(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with the files that keep to all rules.

        :raises FilterFailure: if a rule is about what only the document tells, and there is none.
        """
        failed = self._files_failed(page)
        return page.keep(lambda file: not failed[file.filename])

    def file_because(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the rule that a file does not keep to, and where it is written."""
        return "" if file is None else self._files_failed(page)[file.filename]

    def _files_failed(self, page: ProjectDetail) -> dict[str, str]:
        """Return the rule that each file does not keep to, or "", by file name."""
        self._check(page)
        told = older_files(replace(page, document=None))
        full = older_files(page) if Needs.DOCUMENT in self.reads else told
        name, info = {"name": page.name}, _info(page)
        texts = {version_key(text): text for text in sorted(page.versions)}
        failed = {}
        for file in page.files:
            version = page.version_of(file)
            release = texts.get(version_key(version), version)
            failed[file.filename] = self._failed(
                {"info": name, "release": release, "release_file": told[file.filename]},
                {"info": info, "release": release, "release_file": full[file.filename]},
            )
        return failed

    def _check(self, page: ProjectDetail) -> None:
        needy = (r.path.option for r in self.listed if Needs.DOCUMENT in r.path.reads)
        option = next(needy, None)
        if option is not None and page.document is None:
            raise FilterFailure(
                self.name,
                f"the index has no JSON document for {page.name}, "
                f"which [{self.name}] {option} reads",
            )

    def _failed(self, told: object, full: object) -> str:
        """Return the first rule that is not kept to, or "".

        What the page tells is taken from there also while the document is at hand: the answer
        to one rule must not depend on the others.
        """
        for rule in self.listed:
            data = full if Needs.DOCUMENT in rule.path.reads else told
            why = rule.failed(values_at(data, rule.path.keys))
            if why is not None:
                return f"[{self.name}] {rule.path.option}: {why}"
        return ""


def _info(page: ProjectDetail) -> object:
    return (page.document or {}).get("info")


def _read(
    options: FilterOptions, name: str, roots: Sequence[str], read: ReadRule, skip: str | None = None
) -> list[Rule]:
    """Read the section that has the filter's name, where each option but one is a path.

    :raises InvalidRules: with all that is wrong in it, or if it has no path.
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


def _regex_rules(options: FilterOptions, name: str, roots: Sequence[str]) -> Rules:
    problems: list[Problem] = []
    anywhere = _ANSWERS.get((options.text(name, _SEARCH) or "no").strip().lower())
    if anywhere is None:
        said = str(options.origin(name, _SEARCH))
        problems.append(Problem(name, _SEARCH, f"{said} is neither true nor false"))
    read = partial(_regex_rule, anywhere=bool(anywhere))
    listed: list[Rule] = []
    try:
        listed = _read(options, name, roots, read, _SEARCH)
    except InvalidRules as error:
        problems += error.problems
    if problems:
        raise InvalidRules(problems)
    return Rules(name, tuple(listed), " search" if anywhere else "")


def _regex_rule(options: FilterOptions, section: str, path: Path, *, anywhere: bool) -> Rule:
    is_name = path.keys == ("info", "name")
    flags = re.IGNORECASE if is_name else re.NOFLAG

    def passes(each: Expression) -> Callable[[str], bool]:
        if is_name:
            return partial(each.matches_name, anywhere=anywhere)
        match = each.compiled.search if anywhere else each.compiled.match
        return lambda value: match(value) is not None

    found = expressions(options, section, path.option, flags)
    demands = tuple(Demand(each.text, each.origin, passes(each)) for each in found)
    return Rule(path, demands, "matches", lambda _: True)


def _version_rule(options: FilterOptions, section: str, path: Path) -> Rule:
    lines = options.lines(section, path.option)
    if not lines:
        message = "it has no version; write one on each line, such as 3.12"
        raise InvalidRules([Problem(section, path.option, message)])
    demands = read_each(lines, section, path.option, _version_demand)
    return Rule(path, tuple(demands), "allows", lambda value: _specifiers(value) is not None)


def _version_demand(line: Line) -> Demand:
    if parse_version(line.text) is None:
        raise OptionError("it is no version; write one such as 3.12 (PEP 440)")
    return Demand(line.text, line.origin, lambda value: _allows(value, line.text))


@lru_cache(maxsize=4096)
def _specifiers(text: str) -> SpecifierSet | None:
    """Return the specifiers that a text is, or None if it is none by PEP 440."""
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


@lru_cache(maxsize=4096)
def _allows(text: str, version: str) -> bool:
    specifiers = _specifiers(text)
    return specifiers is not None and specifiers.contains(version, prereleases=True)


def regex_project_metadata(options: FilterOptions) -> PageFilter:
    """Make the filter from ``[regex_project_metadata]``.

    :raises InvalidRules: with everything that is wrong there.
    """
    rules = _regex_rules(options, "regex_project_metadata", PROJECT_KEYS)
    return rules.page_filter(Stage.METADATA, "projects")


def regex_release_file_metadata(options: FilterOptions) -> PageFilter:
    """Make the filter from ``[regex_release_file_metadata]``.

    :raises InvalidRules: with everything that is wrong there.
    """
    rules = _regex_rules(options, "regex_release_file_metadata", FILE_KEYS)
    return rules.page_filter(Stage.FILE, "files")


def version_range_project_metadata(options: FilterOptions) -> PageFilter:
    """Make the filter from ``[version_range_project_metadata]``.

    :raises InvalidRules: with everything that is wrong there.
    """
    name = "version_range_project_metadata"
    rules = Rules(name, tuple(_read(options, name, PROJECT_KEYS, _version_rule)))
    return rules.page_filter(Stage.METADATA, "projects")


def version_range_release_file_metadata(options: FilterOptions) -> PageFilter:
    """Make the filter from ``[version_range_release_file_metadata]``.

    :raises InvalidRules: with everything that is wrong there.
    """
    name = "version_range_release_file_metadata"
    rules = Rules(name, tuple(_read(options, name, FILE_KEYS, _version_rule)))
    return rules.page_filter(Stage.FILE, "files")
