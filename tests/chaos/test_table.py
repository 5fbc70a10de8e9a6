"""The fault table is complete, and its page states the outcomes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.chaos.cases import CHAPTERS, FAULTS, NOT_APPLICABLE, NOT_YET
from tests.chaos.figures import NOT_COUNTED, Figures
from tests.chaos.searches import GENERATORS, NOT_SEARCHED, search_of
from tests.chaos.table import Outcome, case_of, document

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reference" / "faults.md"


def claimed() -> set[int]:
    """Return the numbers of the cases that have a test."""
    found = set()
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(case_of(f"::{node.name}"))
    return {number for number in found if number is not None}


def test_every_case_has_a_test_or_a_reason() -> None:
    assert list(FAULTS) == [*range(1, 179), *range(180, 189), *range(190, 199), *range(200, 209)]
    assert FAULTS.keys() >= CHAPTERS.keys()
    assert claimed() | NOT_APPLICABLE.keys() | NOT_YET.keys() == FAULTS.keys()
    assert claimed() & (NOT_APPLICABLE.keys() | NOT_YET.keys()) == set()
    assert NOT_APPLICABLE.keys() & NOT_YET.keys() == set()
    assert all([*NOT_APPLICABLE.values(), *NOT_YET.values()])


def test_every_case_has_a_generator_or_a_reason() -> None:
    searched = {number for rows in GENERATORS.values() for number in rows}
    assert searched | NOT_SEARCHED.keys() == FAULTS.keys()
    assert searched & NOT_SEARCHED.keys() == set()
    assert all((HERE / f"{name}.py").is_file() for name in GENERATORS)
    named = re.findall(r"`((?:unit|compat)/\w+\.py)`", " ".join(NOT_SEARCHED.values()))
    assert all((HERE.parent / path).is_file() for path in named)


def test_the_fault_page_has_every_case() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for number, fault in FAULTS.items():
        assert f"| {number} | {' | '.join(fault)} | " in text
        search = re.escape(search_of(number))
        assert re.search(rf"^\| {number} \|.* \| {search} \|$", text, re.MULTILINE)


def test_a_judged_block_counts_once_and_as_a_violation_if_it_fails() -> None:
    figures = Figures()
    with figures.judging("G7"):
        pass
    with pytest.raises(AssertionError), figures.judging("G7"):
        raise AssertionError
    with pytest.raises(pytest.skip.Exception), figures.judging("G7"):
        pytest.skip("nothing could be judged here")

    assert (figures.observed["G7"], figures.violated["G7"]) == (2, 1)


def test_the_table_states_what_passed_failed_and_was_not_run() -> None:
    outcomes = {
        1: Outcome(passed=1),
        2: Outcome(passed=3, failed=1),
        3: Outcome(reasons=["no root here"]),
        4: Outcome(passed=2, reasons=["one part needs root"]),
    }
    figures = Figures()
    figures.count("G1", 2, of=10)
    figures.measure("G13", 1)
    other = Figures()
    other.count("G1", of=5)
    other.measure("G13", 0)
    figures.add(other.as_dict())

    lines = document(outcomes, figures).splitlines()

    assert f"| 1 | {' | '.join(FAULTS[1])} | passed (1 test) | {search_of(1)} |" in lines
    assert f"| 2 | {' | '.join(FAULTS[2])} | **failed** (1 of 4) | {search_of(2)} |" in lines
    assert f"| 3 | {' | '.join(FAULTS[3])} | not run: no root here | {search_of(3)} |" in lines
    assert (
        f"| 4 | {' | '.join(FAULTS[4])} | passed (2 tests); one part needs root | {search_of(4)} |"
        in lines
    )
    assert f"| G16 | {' | '.join(NOT_COUNTED['G16'])} |" in lines
    told = {line.split(" | ")[0]: line.split(" | ")[2:] for line in lines}
    assert told["| G1"] == ["15", "2", "0 |"]
    assert told["| G8"][:2] == ["0", "not counted"]
    assert told["| G13"] == ["2", "1", "0 |"]
