"""Names of notes in the catalogue that one command writes and another reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import CleanMarker, Marker
from bandersnatch.errors import CorruptState, ForeignLink, InvalidValue, MissingObject
from bandersnatch.events import Warned
from bandersnatch.layout import GENERATION, STATUS, TODO
from bandersnatch.model.names import project_name
from bandersnatch.model.serials import NO_SERIAL, Serial, parse_serial

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import Storage


GENERATION_NOW = 5
"""The layout of the tree; it has been the same since release 4."""


@dataclass(frozen=True, slots=True)
class Todo:
    """The cursor T, and the serial that each pending project is wanted at."""

    cursor: Serial
    pending: Mapping[ProjectName, Serial] = field(default_factory=dict)


def parse_todo(text: str) -> Todo:
    """Read the file of this or an earlier release; names may be in any spelling.

    :raises CorruptState: if any line is not what it should be.
    """
    lines = text.splitlines()
    if not lines:
        raise CorruptState(TODO, "it is empty")
    pending: dict[ProjectName, Serial] = {}
    try:
        cursor = parse_serial(lines[0].strip())
        for line in lines[1:]:
            if line.strip():
                name, _, serial = line.strip().rpartition(" ")
                pending[project_name(name)] = parse_serial(serial)
    except InvalidValue as error:
        raise CorruptState(TODO, str(error)) from error
    return Todo(cursor, pending)


def render_todo(todo: Todo) -> str:
    """Return the file's text: the cursor, then a name and a serial on each line."""
    if not todo.pending:
        return f"{todo.cursor}\n"
    return "\n".join(
        [
            str(todo.cursor),
            *(f"{name} {target_serial}" for name, target_serial in todo.pending.items()),
        ]
    )


def next_status(
    status: Serial, cursor: Serial, first_unreflected: Iterable[Serial | None]
) -> Serial:
    """Return S after a run that read changes up to ``cursor``.

    ``first_unreflected`` has, for each project that is pending, the first change of it that the
    tree does not show, or None where that is not known. S is just before the earliest of them,
    and stays where it was if one is not known; it never goes back. Taking each project's latest
    change instead would skip changes for good (protocol sheet, section 3.3).
    """
    firsts = list(first_unreflected)
    if None in firsts:
        return status
    reached = min((first - 1 for first in firsts if first is not None), default=cursor)
    return Serial(max(status, min(reached, cursor)))


@dataclass(frozen=True, slots=True)
class MirrorState:
    """What a run begins with. ``todo`` is None if there is none that can be used.

    ``clean_marker`` is what the catalogue says of both while the run is under way.
    """

    status: Serial
    todo: Todo | None
    notes: tuple[str, ...] = ()
    clean_marker: str = ""

    @property
    def cursor(self) -> Serial:
        """The serial up to which changes have been read."""
        return max(self.todo.cursor, self.status) if self.todo else self.status


class StateFiles:
    """Reads and writes the state files, each durably."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def load(self) -> MirrorState:
        """Read the state; what cannot be read counts as nothing known, and is told of.

        :raises CorruptState: if a newer release has changed the layout of the tree.
        """
        notes: list[str] = []
        if not await self._same_generation(notes):
            return MirrorState(NO_SERIAL, None, tuple(notes))
        status = NO_SERIAL
        text = await self._text(STATUS)
        if text is not None:
            try:
                status = parse_serial(text.strip())
            except InvalidValue as error:
                notes.append(f"{error}; every project is compared with the index again")
        todo = None
        text = await self._text(TODO)
        if text is not None:
            try:
                todo = parse_todo(text)
            except CorruptState as error:
                notes.append(f"{error}; changes are read again from serial {status}")
        return MirrorState(status, todo, tuple(notes))

    async def fingerprint(self) -> str:
        """Return what tells the two files from others; "" if there is no ``status``."""
        status, todo = await self._text(STATUS), await self._text(TODO)
        if status is None:
            return ""
        told = [None if text is None else text.split() for text in (status, todo)]
        return hashlib.sha256(repr(told).encode()).hexdigest()

    async def _same_generation(self, notes: list[str]) -> bool:
        text = await self._text(GENERATION)
        if text is None:
            return True
        try:
            generation = int(text)
        except ValueError:
            notes.append("generation is not a number; every project is looked at again")
            return False
        if generation > GENERATION_NOW:
            why = f"this tree has layout {generation}, made by a newer release; use that release"
            raise CorruptState(GENERATION, why)
        if generation < GENERATION_NOW:
            notes.append(f"the tree has the old layout {generation}; every project is looked at")
        return generation == GENERATION_NOW

    async def _text(self, key: StorageKey) -> str | None:
        try:
            return (await self._storage.read(key)).decode("utf-8", errors="replace")
        except ForeignLink:
            raise  # somebody wanted it elsewhere, and must be told that this does not work
        except MissingObject:
            return None

    async def begin(self) -> None:
        """Mark the tree as one of this layout."""
        await self._storage.write({GENERATION: str(GENERATION_NOW).encode()}, durable=True)

    async def save_todo(self, todo: Todo) -> None:
        """Write the cursor and what is pending."""
        await self._storage.write({TODO: render_todo(todo).encode()}, durable=True)

    async def save_status(self, status: Serial, *, finished: bool) -> None:
        """Write S; ``finished`` says that nothing is pending and ``todo`` may go.

        S is written first: a stop in between leaves a ``todo`` that says nothing new, and not
        a mirror that has forgotten how far it was.
        """
        await self._storage.write({STATUS: str(status).encode()}, durable=True)
        if finished:
            await self._storage.write({}, absent=[TODO], durable=True)


NOT_TRUSTED = frozenset({CleanMarker.UNTRUSTED, CleanMarker.FOREIGN})

_WHY: Mapping[str, str] = {
    CleanMarker.UNTRUSTED: (
        "status or todo was not as a run left it, and not every project was synced since"
    ),
    CleanMarker.FOREIGN: "status and todo are not known to be of this tree",
}


def marker_for(note: str, found: str) -> str:
    """Return what stands in the note while a run is under way that finds these.

    ``found`` is the fingerprint of the files, "" if there is no ``status``.
    """
    if note in NOT_TRUSTED:
        return note
    believed = note in {"", found} or (note == CleanMarker.DIRTY and found)
    return (CleanMarker.DIRTY if found else "") if believed else CleanMarker.UNTRUSTED


async def trusted_state(mirror: Mirror, files: StateFiles, state: MirrorState) -> MirrorState:
    """Return the state as far as it can be believed.

    Of one that cannot, only the names of what was pending are left.
    """
    note, found = await mirror.catalogue.marker(Marker.CLEAN), await files.fingerprint()
    clean_marker = marker_for(note, found)
    if clean_marker not in NOT_TRUSTED:
        return replace(state, clean_marker=clean_marker)
    missing = "status is not there any more"
    changed = "status or todo is not as the last run left it" if found else missing
    why = _WHY.get(note, changed)
    how = "compared with the index" if clean_marker == CleanMarker.FOREIGN else "looked at again"
    text = f"{why}; every project is {how}, and nothing that is right is downloaded"
    mirror.events(Warned(text))
    names = state.todo.pending if state.todo else ()
    todo = Todo(NO_SERIAL, dict.fromkeys(names, NO_SERIAL))
    return replace(state, status=NO_SERIAL, todo=todo, clean_marker=clean_marker)


async def final_marker(files: StateFiles, state: MirrorState, *, complete: bool) -> str:
    """Return the note for the end of a run; ``complete`` says that it looked at everything."""
    if state.clean_marker in NOT_TRUSTED and not complete:
        return state.clean_marker
    return await files.fingerprint()
