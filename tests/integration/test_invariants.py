"""The promise of ``status`` under random histories, lagging caches, failures and kills.

For every serial S that ``status`` ever holds, the tree reflects every event up to S, and no page
names a file that does not exist. When the index works again, the tree is that of a clean run.
"""

from __future__ import annotations

from tests.support.machines import PROFILE, FollowingTheList, MirrorMachine

TestFollowingTheChangelog = MirrorMachine.TestCase
TestFollowingTheChangelog.settings = PROFILE
TestFollowingTheList = FollowingTheList.TestCase
TestFollowingTheList.settings = PROFILE
