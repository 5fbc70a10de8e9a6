"""A second user of the tree beside a run, and named tests of what that has found.

The regular tests use a few seeds; the nightly ones ``USER_SEEDS`` of the environment, from
``USER_FROM`` on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.chaos.second_user import SecondUser

if TYPE_CHECKING:
    from tests.chaos.case import Case

FEW = 6
FIRST = int(os.environ.get("USER_FROM", str(FEW)))
SEEDS = int(os.environ.get("USER_SEEDS", "300"))


@pytest.mark.parametrize("seed", range(FEW))
def test_case_142_a_second_user_beside_a_run_does_no_harm(case: Case, seed: int) -> None:
    SecondUser(case, seed).play()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_case_142_many_second_users_beside_a_run_do_no_harm(case: Case, seed: int) -> None:
    SecondUser(case, seed).play()
