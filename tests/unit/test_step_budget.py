"""The steps that a document may take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidPage
from bandersnatch.simple.limits import BYTES_PER_STEP, STEPS, STEPS_PER_ENTRY, StepBudget

WHERE = "https://example.org/simple/foo/"


@given(st.integers(0, 10**6), st.integers(0, 20), st.integers(1, 3))
def test_bytes_and_entries_justify_steps(size: int, entries: int, parts: int) -> None:
    budget = StepBudget(size, WHERE)
    for _ in range(entries):
        budget.add_entry()
    allowed = STEPS + size // BYTES_PER_STEP + entries * STEPS_PER_ENTRY
    for _ in range(parts):
        budget.spend(allowed // parts)
    budget.spend(allowed % parts)
    with pytest.raises(InvalidPage, match="too heavy"):
        budget.spend(1)
