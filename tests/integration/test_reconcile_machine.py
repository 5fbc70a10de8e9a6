"""Filters that change at any moment, between kills, failures, late caches and limits.

When all is well again the tree is what a new mirror with the same filters would have, and what
was asked for by name; and until then nothing is named that is not there.
"""

from __future__ import annotations

from tests.support.filter_machine import ReconcilingByTheList, ReconcilingMachine
from tests.support.machines import PROFILE

TestReconcilingByTheChangelog = ReconcilingMachine.TestCase
TestReconcilingByTheChangelog.settings = PROFILE
TestReconcilingByTheList = ReconcilingByTheList.TestCase
TestReconcilingByTheList.settings = PROFILE
