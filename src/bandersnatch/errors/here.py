"""This side: the lock, the state, the storage, and the operator's wish to stop."""

from __future__ import annotations

from bandersnatch.errors.tree import BandersnatchError


class MirrorLocked(BandersnatchError):
    """Another command is at work on the same mirror."""

    sentence = "{path} is held by {holder}; wait for it to end"

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(path, holder)
        self.path, self.holder = path, holder


class CorruptState(BandersnatchError):
    """A state file says something that this release must not guess about."""

    sentence = "{key}: {why}"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key, self.why = key, why


class StorageError(BandersnatchError):
    """The storage did not do what was asked of it."""

    sentence = "storage failed at {key}: {why}"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key, self.why = key, why


class NotStored(StorageError):
    """There is nothing at a key."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "it does not exist")


class LeadsAway(NotStored):
    """There is a link at a key, and what it leads to is not stored here."""

    def __init__(self, key: str, where: str) -> None:
        StorageError.__init__(self, key, f"it is a link that leads {where}")


class UnstorableName(StorageError):
    """The storage cannot hold a file of this name (too long for it, usually)."""


class Obstructed(StorageError):
    """Something that somebody else put there is in one object's way; others have their places."""


class TooLittleRoom(StorageError):
    """A file would take room that is to stay free; what is there already has its room."""

    sentence = (
        "there is no room for {key}: it takes {size:,} bytes, {free:,} are free, and "
        "min-free-space keeps {floor:,} of them; make room, or lower min-free-space"
    )

    def __init__(self, key: str, size: int, *, free: int, floor: int) -> None:
        BandersnatchError.__init__(self, key, size, free, floor)
        self.key, self.why = key, "there is no room for it"
        self.size, self.free, self.floor = size, free, floor


class Impossible(BandersnatchError):
    """A command cannot do to one project what it was asked for; it does it to the others."""


class NotHere(Impossible):
    """Of a project that is to be deleted there is nothing."""

    sentence = "nothing of {name} is here"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class StillThere(Impossible):
    """What was to leave the served tree lies behind a link, which is not followed."""

    sentence = "{name} is not quite gone: a link leads to {key}; remove that link by hand"

    def __init__(self, name: str, key: str) -> None:
        super().__init__(name, key)
        self.name, self.key = name, key


class NotRestorable(Impossible):
    """A project that was removed cannot be brought back."""

    sentence = "{name} cannot be restored: {why}"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name, self.why = name, why


class Interrupted(BandersnatchError):
    """The operator asked the program to stop."""

    sentence = "interrupted by signal {signal}; the next run goes on from here"

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal
