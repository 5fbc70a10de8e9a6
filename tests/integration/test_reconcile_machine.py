"""Filters that change at any moment, between kills, failures, lagging caches and limits.

When the index works again, the tree is that of a new mirror with the same filters, plus the
projects that were synced by name; until then no page names a file that does not exist.
"""

from __future__ import annotations

from tests.support.filter_machine import ReconcilingByTheList, ReconcilingMachine
from tests.support.machines import PROFILE

TestReconcilingByTheChangelog = ReconcilingMachine.TestCase
TestReconcilingByTheChangelog.settings = PROFILE
TestReconcilingByTheList = ReconcilingByTheList.TestCase
TestReconcilingByTheList.settings = PROFILE
