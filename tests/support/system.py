"""What tests need of the system that they run on."""

from __future__ import annotations

import pytest

from tests.support import hiding

needs_links = pytest.mark.skipif(hiding.is_on(), reason="links are refused")
"""For tests of links that the program makes."""

needs_descriptors = pytest.mark.skipif(hiding.is_on(), reason="directory descriptors are hidden")
"""For tests of what only directory descriptors can guarantee."""

needs_posix = pytest.mark.skipif(hiding.is_on(), reason="POSIX is hidden")
"""For tests of signals, modes, ``/proc`` and system calls that only POSIX systems have."""
