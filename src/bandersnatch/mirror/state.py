"""The state files ``status``, ``todo`` and ``generation``, and whether they can be trusted.

Their formats are those of earlier releases (docs/development/protocol.md, Compatibility).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import CleanMarker, Marker
from bandersnatch.errors import CorruptState, ForeignLink, InvalidValue, MissingObject
from bandersnatch.events import Warned
from bandersnatch.layout import GENERATION, STATUS, TODO, StorageKey
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.serials import NO_SERIAL, Serial, parse_serial

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.storage.port import Storage


GENERATION_NOW = 5
"""The version of the tree's layout; it has not changed since release 4."""

_LINES = 10_000
"""Lines of ``todo`` that are rendered at once."""


@dataclass(frozen=True, slots=True)
class Todo:
    """The cursor T, and the target serial of each pending project."""

    cursor: Serial
    pending: Mapping[ProjectName, Serial] = field(default_factory=dict)


def parse_todo(text: str) -> Todo:
    """Parse ``todo``, of this or an earlier release; names need not be normalised.

    :raises CorruptState: if a line is invalid.
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
    """Return the text of ``todo``: the cursor, then a name and a serial on each line."""
    if not todo.pending:
        return f"{todo.cursor}\n"
    lines = (f"{name} {target_serial}" for name, target_serial in todo.pending.items())
    parts = [str(todo.cursor)]
    while some := list(islice(lines, _LINES)):  # 700,000 strings would take 50 MB at once
        parts.append("\n".join(some))
    return "\n".join(parts)


def next_status(
    status: Serial, cursor: Serial, first_unreflected: Iterable[Serial | None]
) -> Serial:
    """Return S after a run that read changes up to ``cursor``.

    ``first_unreflected`` has, for each pending project, the first change of it that the tree does
    not reflect, None if unknown. S is the serial before the lowest of them, and stays where it
    was if one is unknown; it never decreases. With each project's last change instead, S could
    pass changes that no later run would read (docs/explanation/consistency.md).
    """
    firsts = list(first_unreflected)
    if None in firsts:
        return status
    reached = min((first - 1 for first in firsts if first is not None), default=cursor)
    return Serial(max(status, min(reached, cursor)))


@dataclass(frozen=True, slots=True)
class MirrorState:
    """What a run begins with.

    ``todo`` is None if there is no valid one. ``warnings`` are sentences about invalid files.
    ``clean_marker`` is what the catalogue stores during the run; see ``clean_marker_for``.
    ``is_restored`` says that tree and catalogue are of different moments.
    """

    status: Serial
    todo: Todo | None
    warnings: tuple[str, ...] = ()
    clean_marker: str = ""
    is_restored: bool = False

    @property
    def cursor(self) -> Serial:
        """The serial up to which events have been read."""
        return max(self.todo.cursor, self.status) if self.todo else self.status


class StateFiles:
    """Reads and writes the state files; every write is durable when it returns."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def load(self) -> MirrorState:
        """Read the state; an invalid file counts as missing, with a warning.

        :raises CorruptState: if a newer release has changed the layout of the tree.
        """
        warnings: list[str] = []
        if not await self._is_current_generation(warnings):
            return MirrorState(NO_SERIAL, None, tuple(warnings))
        status = NO_SERIAL
        text = await self._text(STATUS)
        if text is not None:
            try:
                status = parse_serial(text.strip())
            except InvalidValue as error:
                warnings.append(f"{error}; every project is compared with the index again")
        todo = None
        text = await self._text(TODO)
        if text is not None:
            try:
                todo = parse_todo(text)
            except CorruptState as error:
                warnings.append(f"{error}; changes are read again from serial {status}")
        return MirrorState(status, todo, tuple(warnings))

    async def digest(self) -> str:
        """Return a digest of ``status`` and ``todo``, "" if there is no ``status``."""
        status, todo = await self._text(STATUS), await self._text(TODO)
        if status is None:
            return ""
        words = [None if text is None else text.split() for text in (status, todo)]
        return hashlib.sha256(repr(words).encode()).hexdigest()

    async def _is_current_generation(self, warnings: list[str]) -> bool:
        text = await self._text(GENERATION)
        if text is None:
            return True
        try:
            generation = int(text)
        except ValueError:
            warnings.append("generation is not a number; every project is synced again")
            return False
        if generation > GENERATION_NOW:
            why = (
                f"this tree has layout {generation}, made by a newer release; use that release, "
                "or delete the file if no newer release was used"
            )
            raise CorruptState(GENERATION, why)
        if generation < GENERATION_NOW:
            warnings.append(
                f"the tree has the old layout {generation}; every project is synced again"
            )
        return generation == GENERATION_NOW

    async def _text(self, key: StorageKey) -> str | None:
        try:
            return (await self._storage.read(key)).decode("utf-8", errors="replace")
        except ForeignLink:
            raise  # the operator put a link there, which does not work
        except MissingObject:
            return None

    async def begin(self) -> None:
        """Write ``generation``."""
        await self._storage.write({GENERATION: str(GENERATION_NOW).encode()}, durable=True)

    async def save_todo(self, todo: Todo) -> None:
        """Write ``todo``."""
        await self._storage.write({TODO: render_todo(todo).encode()}, durable=True)

    async def save_status(self, status: Serial, *, finished: bool) -> None:
        """Write S; ``finished`` says that nothing is pending, so that ``todo`` is deleted.

        S is written first: an interruption in between leaves a ``todo`` that says nothing new,
        and not a mirror without a position.
        """
        await self._storage.write({STATUS: str(status).encode()}, durable=True)
        if finished:
            await self._storage.write({}, absent=[TODO], durable=True)

    async def forget_status(self, *, finished: bool) -> None:
        """Delete ``status``: the index proves no serial, so that the next run begins again.

        ``finished`` is as for ``save_status``.
        """
        await self._storage.write({}, absent=[STATUS, *([TODO] if finished else [])], durable=True)


# ---------------------------------------------------------------- the clean marker

NOT_TRUSTED = frozenset({CleanMarker.UNTRUSTED, CleanMarker.FOREIGN})

_WHY: Mapping[str, str] = {
    CleanMarker.UNTRUSTED: (
        "status, todo or the catalogue was not as a run left it, and not every project was "
        "synced since"
    ),
    CleanMarker.FOREIGN: "status and todo are not known to be of this tree",
}


def clean_marker_for(stored: str, digest: str) -> str:
    """Return the clean marker during a run that finds a stored marker and a digest.

    ``digest`` is that of the state files, "" if there is no ``status``. The files are trusted if
    the last run recorded the same digest, or none, or was interrupted while it trusted them.
    """
    if stored in NOT_TRUSTED:
        return stored
    is_trusted = stored in {"", digest} or (stored == CleanMarker.DIRTY and digest)
    return (CleanMarker.DIRTY if digest else "") if is_trusted else CleanMarker.UNTRUSTED


async def trusted_state(mirror: Mirror, files: StateFiles, state: MirrorState) -> MirrorState:
    """Return the state as far as it can be trusted.

    Of a state that cannot be trusted, only the names of the pending projects are used.
    """
    stored, digest = await mirror.catalogue.marker(Marker.CLEAN), await files.digest()
    marker = clean_marker_for(stored, digest)
    if marker not in NOT_TRUSTED:
        return replace(state, clean_marker=marker)
    missing = "status is not there any more"
    changed = "status or todo is not as the last run left it" if digest else missing
    why = _WHY.get(stored, changed)
    how = "compared with the index" if marker == CleanMarker.FOREIGN else "synced again"
    mirror.events(
        Warned(f"{why}; every project is {how}, and files that are right are not downloaded")
    )
    names = state.todo.pending if state.todo else ()
    todo = Todo(NO_SERIAL, dict.fromkeys(names, NO_SERIAL))
    return replace(state, status=NO_SERIAL, todo=todo, clean_marker=marker)


async def final_marker(files: StateFiles, state: MirrorState, *, complete: bool) -> str:
    """Return the clean marker after a run; ``complete`` says that it worked on every task."""
    if state.clean_marker in NOT_TRUSTED and not complete:
        return state.clean_marker
    return await files.digest()
