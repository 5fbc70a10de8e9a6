"""Each mutant can still be made, and one of the tests that it names fails on it.

``python -m tests.chaos.mutants`` runs all other tests as well if those do not fail.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.edits import (
    FALSE,
    Edit,
    Find,
    Function,
    Stale,
    call,
    code,
    compared,
    comparison,
    delete,
    insert,
    put,
    statement,
    swap,
)
from tests.chaos.mutants import ROOT, Workshop
from tests.chaos.seeded import MUTANTS, Mutant

if TYPE_CHECKING:
    from tests.chaos.figures import Figures


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_its_function_and_nothing_else(mutant: Mutant) -> None:
    sound = (ROOT / mutant.path).read_text(encoding="utf-8")

    text = mutant.applied(sound)

    function = mutant.target.rpartition(":")[2].rpartition(".")[2]
    assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(sound))
    assert _without(function, text) == _without(function, sound)


def _without(name: str, text: str) -> str:
    """Return a module's syntax tree without the functions of one name."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            node.body = []
    return ast.dump(tree)


MODULE = """\
class Mirror:
    @property
    def sync(self):
        \'\'\'Sync.

        All of it.
        \'\'\'
        for name in self.names:
            if name > 3:
                self.fetch(name)
            self.publish(name)
        return f"done {self.count}"

def other(): pass
"""


def test_an_edit_keeps_the_rest_of_the_function_and_of_the_module() -> None:
    function = Function(MODULE, "Mirror.sync")

    swap(Find((ast.If,), frozenset({"fetch"})), statement("publish"))(function)

    publish = "            self.publish(name)\n"
    expected = MODULE.replace(publish, "").replace("            if", f"{publish}            if")
    assert ast.dump(ast.parse(function.edited())) == ast.dump(ast.parse(expected))


@pytest.mark.parametrize(
    ("qualname", "edit"),
    [
        ("Mirror.syncs", delete("fetch")),
        ("Mirrors.sync", delete("fetch")),
        ("Mirror.sync", delete("download")),
        ("Mirror.sync", delete("name", "self")),
        ("Mirror.sync", put(call("fetch"), code("gone(_)"))),
        ("Mirror.sync", insert("gone()", before=statement("fetch"))),
        ("Mirror.sync", swap(statement("fetch"), statement("publish"))),
        ("Mirror.sync", put(comparison(ast.Lt), FALSE)),
        ("Mirror.sync", put(comparison(ast.Gt), compared(ast.Gt))),
    ],
)
def test_an_edit_whose_symbols_are_gone_fails(qualname: str, edit: Edit) -> None:
    with pytest.raises(Stale):
        Mutant("stale", f"module:{qualname}", edit, ()).applied(MODULE)


def test_mutants_have_unique_names_and_existing_tests() -> None:
    names = [mutant.name for mutant in MUTANTS]
    tests = {test for mutant in MUTANTS for test in mutant.tests}

    assert len(names) == len(set(names))
    assert {test for test in tests if not Path(ROOT, "tests", test).is_file()} == set()


@pytest.mark.nightly
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_detected(mutant: Mutant, tmp_path: Path, figures: Figures) -> None:
    detected_by = Workshop(tmp_path, 1).test_for(mutant, everywhere=False)

    figures.count("G15", detected_by is None)
    assert detected_by is not None
