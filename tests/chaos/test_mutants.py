"""The list of mutants does not rot: each can still be made, and the tests that it names notice it.

``python -m tests.chaos.mutants`` asks all other tests besides, if those do not.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.mutants import ROOT, Workshop
from tests.chaos.seeded import MUTANTS, Mutant

if TYPE_CHECKING:
    from tests.chaos.figures import Figures


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


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_does_not_live(mutant: Mutant, tmp_path: Path, figures: Figures) -> None:
    noticed_at = Workshop(tmp_path, 1).try_out(mutant, everywhere=False)

    figures.count("G15", noticed_at is None)
    assert noticed_at is not None
