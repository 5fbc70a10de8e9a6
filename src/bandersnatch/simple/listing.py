"""A list of projects, made of pairs of a name and a serial wherever they were read."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidPage, InvalidValue
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectList, Rejection
from bandersnatch.model.serials import Serial, parse_serial

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bandersnatch.model.names import ProjectName

BAD_ENTRIES_ALLOWED = 0.01
"""The share of a listing's entries that may be bad before the listing as a whole is."""
_ODDITIES_TOLD = 20


def project_list(
    pairs: Iterable[tuple[object, object]],
    *,
    where: str,
    serial: Serial | None,
    notes: Iterable[str] = (),
) -> ProjectList:
    """Return the list made of pairs of a name and a serial (None: not told), each judged.

    A project whose serial alone is bad is listed as one of which none is told: it exists, and
    whoever leaves it out would claim to have everything without it.

    :raises InvalidPage: if more than 1 % of the pairs, and more than one, are bad.
    """
    serials: dict[ProjectName, Serial | None] = {}
    displays: dict[ProjectName, str] = {}
    rejected: list[Rejection] = []
    twins: dict[ProjectName, None] = {}
    count = bad = 0
    for shown, told in pairs:
        count += 1
        name: ProjectName | None
        try:
            name = project_name(shown)
            own = None if told is None else parse_serial(told)
        except InvalidValue as error:
            name, own = _name_alone(shown), None
            bad += 1
            if bad <= _ODDITIES_TOLD:
                reason = f"{name}: {error}" if name else str(error)
                rejected.append(Rejection(ascii(shown)[:200], reason))
            if name is None:
                continue
        if name in serials:
            twins[name] = None
        before = serials.setdefault(name, own)
        if own is not None and (before is None or own > before):
            serials[name] = own
        if shown != name:
            displays[name] = str(shown)
    if bad > max(1, count * BAD_ENTRIES_ALLOWED):
        first = rejected[0].reason
        raise InvalidPage(where, f"{bad} of its {count} entries are bad: {first}")
    notes = (*notes, *map(_twin, islice(twins, _ODDITIES_TOLD)))
    return ProjectList(serials, displays, serial, tuple(rejected), bad, notes)


def _name_alone(shown: object) -> ProjectName | None:
    try:
        return project_name(shown)
    except InvalidValue:
        return None


def _twin(name: ProjectName) -> str:
    return f"the list has {name} more than once; its highest serial counts"
