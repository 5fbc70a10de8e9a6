"""The promise of ``status`` under random histories, late caches, failures and kills.

For every serial S that ``status`` ever holds: whatever happened up to S is in the tree, and the
tree never names what is not there. When everything answers again, the tree is a clean one.
"""

from __future__ import annotations

from tests.support.machines import PROFILE, FollowingTheList, MirrorMachine

TestFollowingTheChangelog = MirrorMachine.TestCase
TestFollowingTheChangelog.settings = PROFILE
TestFollowingTheList = FollowingTheList.TestCase
TestFollowingTheList.settings = PROFILE
