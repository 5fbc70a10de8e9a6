"""Tests of all foreseen faults: the fault table, its cases, and the oracle that judges them."""

import pytest

pytest.register_assert_rewrite("tests.chaos.case")
