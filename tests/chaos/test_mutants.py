"""The list of mutants does not rot: each can still be made, and names tests that there are.

That they are noticed takes long: ``python -m tests.chaos.mutants`` says it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.chaos.mutants import ROOT
from tests.chaos.seeded import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_one_change_of_a_program_that_still_can_be_read(mutant: Mutant) -> None:
    sound = (ROOT / mutant.path).read_text(encoding="utf-8")

    text = mutant.applied(sound)

    assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(sound))


def test_mutants_have_names_of_their_own_and_tests_that_there_are() -> None:
    names = [mutant.name for mutant in MUTANTS]
    tests = {test for mutant in MUTANTS for test in mutant.tests}

    assert len(names) == len(set(names))
    assert {test for test in tests if not Path(ROOT, "tests", test).is_file()} == set()
