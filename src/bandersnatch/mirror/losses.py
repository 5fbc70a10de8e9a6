"""Counts the files that the index takes off pages, and limits them over 24 hours; pure.

The limit on removed projects does not see an index whose pages stay and lose most of their files.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bandersnatch.model.files import is_companion
from bandersnatch.model.versions import parse_version, version_key, version_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

WINDOW = 24 * 3600
"""Seconds over which losses are added up."""

MIN_LOSSES = 200
LOSABLE_PERCENT = 2
"""The default limit is the larger of a number and a share of the files."""

FEW_FILES = 50
NEVER_PERCENT = 40
"""From so many files on, the default limit stays below this share of them."""

_LINE = re.compile(r"([0-9]{1,12}) ([0-9]{1,12})", re.ASCII)


def loss_limit(files: int, configured: int | None) -> int:
    """Return how many files the index may take off pages within 24 hours.

    ``files`` is their number before the first of these losses. The default is the larger of 200
    and 2 %, and from 50 files on less than 40 %; a configured number counts as it is.
    """
    if configured is not None:
        return configured
    limit = max(MIN_LOSSES, files * LOSABLE_PERCENT // 100)
    return min(limit, (files * NEVER_PERCENT - 1) // 100) if files >= FEW_FILES else limit


class LossWindow(Struct, frozen=True):
    """The losses of the last 24 hours: for each time in seconds since 1970 a number of files."""

    entries: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, text: str, now: int) -> LossWindow:
        """Return the losses of a stored text that are less than 24 hours from ``now``.

        A line that is not two numbers is ignored, and so is a time in the future by more than
        that: a clock was wrong.
        """
        found = (_LINE.fullmatch(line) for line in text.splitlines())
        entries = ((int(each[1]), int(each[2])) for each in found if each)
        return cls(tuple((at, count) for at, count in entries if abs(now - at) < WINDOW))

    def render(self) -> str:
        """Return the text to store: a time and a number on each line."""
        return "\n".join(f"{at} {count}" for at, count in self.entries)

    @property
    def total(self) -> int:
        """The number of files."""
        return sum(count for _, count in self.entries)

    def added(self, at: int, count: int) -> LossWindow:
        """Return the losses with ``count`` more at the time ``at``."""
        counts = dict(self.entries)
        counts[at] = counts.get(at, 0) + count
        return LossWindow(tuple(counts.items()))


def within_limit(losses: Mapping[ProjectName, int], rest: int) -> dict[ProjectName, int]:
    """Return the losses, the smallest first, that together are at most ``rest`` files."""
    allowed: dict[ProjectName, int] = {}
    for name, count in sorted(losses.items(), key=lambda each: (each[1], each[0])):
        rest -= count
        if rest < 0:
            break
        allowed[name] = count
    return allowed


def count_losses(
    published: Iterable[ReleaseFile], page: ProjectDetail, quarantined: Collection[str]
) -> int:
    """Return how many published files the index's page lacks, as the limit counts them.

    Files of ``quarantined`` versions do not count, nor do files that the page replaces by as many
    newer ones, as nightly builds are, nor companions of versions. ``page`` is as the index has it:
    what the operator's own filters drop is no loss.
    """
    listed = {file.filename for file in page.files}
    published = [file for file in published if not is_companion(file.filename)]
    before = {file.filename for file in published}
    if before <= listed:
        return 0
    versions = set(map(version_key, quarantined))
    lost = [
        file
        for file in published
        if file.filename not in listed
        and version_key(version_text(file.filename, page.name)) not in versions
    ]
    new = [f for f in page.files if not (f.filename in before or is_companion(f.filename))]
    return len(lost) - _count_replaced(lost, new, page.name)


def _count_replaced(
    lost: Sequence[ReleaseFile], new: Sequence[ReleaseFile], name: ProjectName
) -> int:
    """Return how many of the lost files have a newer one each among the new ones.

    Upload times decide; without them on either side, versions do, of which an equal one is newer.
    """
    is_newer = operator.gt
    ages: list[list[Any]] = [[file.upload_time for file in files] for files in (lost, new)]
    if None in ages[0] or None in ages[1]:
        is_newer = operator.ge
        ages = [
            [parse_version(version_text(file.filename, name)) for file in files]
            for files in (lost, new)
        ]
    old, young = (sorted(age for age in each if age is not None) for each in ages)
    count = 0
    for age in young:
        if count < len(old) and is_newer(age, old[count]):
            count += 1
    return count
