"""The tests use the outer interfaces: the command line, a real server, real directories."""

import pytest

# Assertions in shared code say as much as those in test modules when they fail.
pytest.register_assert_rewrite("tests.support", "tests.chaos")
