"""Limits that let no more through than can be believed."""

from __future__ import annotations

from bandersnatch.errors.tree import BandersnatchError


class SafetyStop(BandersnatchError):
    """A limit refused something that could do damage."""


class ChangedFile(SafetyStop):
    """The index gives other bytes for a file name that is published already."""

    sentence = (
        "{filename} is published with sha256 {had} and the index now says "
        "{offered}; the published file stays; if the change is genuine, "
        "run with --accept-change {name}"
    )

    def __init__(self, name: str, filename: str, *, had: str, offered: str) -> None:
        super().__init__(name, filename, had, offered)
        self.name, self.filename, self.had, self.offered = name, filename, had, offered


class EmptiedProject(BandersnatchError):
    """A project lost all its files at once; it is published so when a second look agrees."""

    transient = True
    sentence = "{name} now has no files and had {had}; the next run looks again"

    def __init__(self, name: str, had: int) -> None:
        super().__init__(name, had)
        self.name, self.had = name, had


class TooManyRemovals(SafetyStop):
    """More projects are to be removed than one run may remove."""

    sentence = (
        "{what} and one run may remove {limit}; "
        "{kept}; if that is right, set max-removals = {count} for one run"
    )

    def __init__(self, count: int, limit: int, *, by_filters: int = 0) -> None:
        super().__init__(count, limit, by_filters)
        self.count, self.limit, self.by_filters = count, limit, by_filters

    @property
    def what(self) -> str:
        """What is to go, and why."""
        if not self.by_filters:
            return f"{self.count} projects are gone from the index"
        dropped = f"the filters want {self.by_filters} projects, or all their files, no more"
        gone = self.count - self.by_filters
        return f"{dropped}, {gone} are gone from the index," if gone else dropped

    @property
    def kept(self) -> str:
        """What that means: filters that want too little do not protect what is gone."""
        gone = self.count - self.by_filters
        return "only what is gone was removed" if 0 < gone <= self.limit else "nothing was removed"

    def __str__(self) -> str:
        return self.sentence.format(
            what=self.what, limit=self.limit, kept=self.kept, count=self.count
        )


class TooMuchUnowned(SafetyStop):
    """More files belong to no project than one run may move out of the served tree."""

    sentence = (
        "{count} files belong to no project and one run may move {limit} of them out of the tree; "
        "nothing was moved; if that is right, set max-removals = {count} for one run"
    )

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(count, limit)
        self.count, self.limit = count, limit


class IndexWentBack(SafetyStop):
    """The index is much older than what this mirror already reflects."""

    sentence = (
        "the index is at serial {got} and this mirror already at {had}; "
        "if the mirror follows another index now, delete its status and todo files"
    )

    def __init__(self, *, had: int, got: int) -> None:
        super().__init__(had, got)
        self.had, self.got = had, got
