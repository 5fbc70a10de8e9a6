"""The faults that are foreseen, each with what must happen: the matrix, its oracle, its table."""

import pytest

pytest.register_assert_rewrite("tests.chaos.case")
