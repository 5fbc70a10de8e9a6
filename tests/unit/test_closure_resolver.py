"""Resolutions end, whatever is asked for, and are the same with and without a search."""

from __future__ import annotations

import random
import tomllib
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import pytest
from packaging.pylock import Pylock
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from bandersnatch.closure.library import Library, MissingData
from bandersnatch.closure.lockfile import write_lock
from bandersnatch.closure.requirements import CoreMetadata, parse_requirement
from bandersnatch.closure.resolver import Resolution, resolve
from bandersnatch.closure.targets import ANY, targets_of
from bandersnatch.model.digests import Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.names import ProjectName
from bandersnatch.model.project import ProjectDetail
from bandersnatch.model.wheels import Environment, Linux, Pythons

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LINUX = Environment("l", (Pythons("==3.12"),), (Linux("x86_64", "glibc", (2, 28)),))

Projects: TypeAlias = "Mapping[str, Mapping[str, Sequence[str]]]"
"""What each version of each project needs."""


def library(projects: Projects) -> Library:
    """Return an index of projects, each with what its versions need."""
    found = Library()
    for name, versions in projects.items():
        files = []
        for version, requires in versions.items():
            filename = f"{name}-{version}-py3-none-any.whl"
            path = f"packages/{filename}"
            files.append(ReleaseFile(filename, f"https://x.example.org/{path}", path, Hashes(())))
            found.metadata[path] = CoreMetadata(tuple(requires))
        found.pages[ProjectName(name)] = ProjectDetail(ProjectName(name), tuple(files))
    return found


def answer(projects: Projects, *asked: str) -> Resolution:
    requirements = [found for each in asked if (found := parse_requirement(each)) is not None]
    (target,) = targets_of([LINUX])
    return resolve(requirements, library(projects), target)


def pins(found: Resolution) -> dict[str, str]:
    return {name: str(each.version) for name, each in found.pins.items()}


def test_the_newest_versions_are_chosen() -> None:
    found = answer({"a": {"1": ("b",), "2": ("b<2",)}, "b": {"1": (), "2": ()}}, "a")

    assert pins(found) == {"a": "2", "b": "1"}
    assert found.needs == {"a": ("b",), "b": ()}


def test_an_earlier_version_is_searched_for_where_the_newest_contradict() -> None:
    projects: Projects = {
        "a": {"1": ("b<2",)},
        "b": {"1": ("c",), "2": ()},
        "c": {"1": ()},
        "d": {"1": ()},
    }

    found = answer({**projects, "z": {"1": ("b", "a", "d")}}, "b", "z")

    assert pins(found) == {"a": "1", "b": "1", "c": "1", "d": "1", "z": "1"}


def test_a_chain_of_any_length_is_resolved() -> None:
    length = 3_000
    chain: Projects = {f"p{n}": {"1": (f"p{n + 1}",)} for n in range(length)}

    found = answer({**chain, f"p{length}": {"1": ()}}, "p0")

    assert len(found.pins) == length + 1


def test_what_a_rejected_version_needed_is_not_in_the_answer() -> None:
    projects: Projects = {
        "a": {"2": ("ring",), "1": ()},
        "ring": {"1": ("back",)},
        "back": {"1": ("ring",)},
        "b": {"1": ("c",)},
        "c": {"1": ("a<2",)},
    }

    assert pins(answer(projects, "a", "b")) == {"a": "1", "b": "1", "c": "1"}


def test_a_search_ends_when_its_time_is_over() -> None:
    many = {str(n): (f"x=={n}",) for n in range(9)}
    projects: Projects = {f"p{n}": many for n in range(9)} | {"x": {"99": ()}}
    steps = iter(range(1_000))
    (target,) = targets_of([LINUX])
    asked = [each for n in range(9) if (each := parse_requirement(f"p{n}")) is not None]

    found = resolve(asked, library(projects), target, lambda: next(steps) > 5)

    assert found.gave_up
    assert not found.pins


def test_everything_that_is_missing_is_wanted_at_once() -> None:
    requirement = parse_requirement("a")
    assert requirement is not None
    read = library({"a": {"1": ("b", "c", "d")}, "b": {"1": ("e",)}})
    del read.metadata["packages/b-1-py3-none-any.whl"]

    with pytest.raises(MissingData) as wanted:
        resolve([requirement], read, ANY)

    assert wanted.value.pages == ("c", "d")
    assert [each.project for each in wanted.value.releases] == ["b"]


def test_the_projects_that_were_not_used_for_longest_are_forgotten() -> None:
    read = library({"a": {"1": ()}, "b": {"1": ()}, "c": {"1": ()}})
    read.pages[ProjectName("absent")] = None

    assert not read.reduce(4, [])
    assert read.reduce(2, [ProjectName("a"), ProjectName("unknown")])

    assert list(read.pages) == ["absent", "a"]
    assert list(read.metadata) == ["packages/a-1-py3-none-any.whl"]


def test_a_specifier_that_is_not_one_is_satisfied_by_nothing() -> None:
    read = library({"a": {"1": ()}})

    assert read.satisfying(ProjectName("a"), frozenset(["nonsense"]), ANY) == []


def possible(projects: Projects, asked: Sequence[str]) -> bool:
    """Return whether any combination of versions satisfies everything, by trying all of them."""
    names = sorted(projects)
    for versions in product(*(projects[name] for name in names)):
        chosen = dict(zip(names, versions, strict=True))
        queue, seen, fits = list(asked), set[str](), True
        while queue and fits:
            text = queue.pop()
            name, specifier = text[0], SpecifierSet(text[1:])
            fits = name in chosen and specifier.contains(Version(chosen[name]))
            if fits and name not in seen:
                seen.add(name)
                queue += projects[name][chosen[name]]
        if fits:
            return True
    return False


@pytest.mark.parametrize("seed", range(150))
def test_a_question_has_an_answer_if_any_combination_of_versions_is_one(seed: int) -> None:
    dice = random.Random(seed)
    names = "abcde"[: dice.randint(2, 5)]

    def requirement() -> str:
        return dice.choice(names) + dice.choice(["", ">=2", "<2", "==1", "!=3", "<3", ">=4"])

    projects: Projects = {
        name: {
            version: tuple({requirement() for _ in range(dice.randint(0, 2))})
            for version in dice.sample(["1", "2", "3"], dice.randint(1, 3))
        }
        for name in names
    }
    asked = [requirement() for _ in range(2)]

    found = answer(projects, *asked)

    assert bool(found.conflicts) is not possible(projects, asked)
    if not found.conflicts:
        queue = list(asked)
        for name, version in pins(found).items():
            queue += projects[name][version]
        for text in queue:
            assert SpecifierSet(text[1:]).contains(Version(pins(found)[text[0]]))


def test_a_lock_file_without_packages_is_one() -> None:
    text = write_lock([answer({})], lambda file: file.url)

    lock = Pylock.from_dict(tomllib.loads(text))

    lock.validate()
    assert not lock.packages
