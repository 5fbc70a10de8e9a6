"""Which generator searches near each fault of the table, or why none does.

One example proves one example: a generator draws its neighbours from seeds. Where the variants of a
fault can be counted, the tests of its row have all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

GENERATORS: Mapping[str, Collection[int]] = {
    "answers": (
        *(1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 14, 15, 16, 17, 18, 20, 21, 24, 28, 31, 32),
        *(37, 39, 50, 51, 60, 72, 73, 74, 128, 129, 154, 156),
    ),
    "words": (8, 43, 44, 45, 46, 47, 48, 49, 50, 51, 153, 155, 157, 158, 159),
    "system_errors": (97, 100, 102, 103, 141, 151, 152),
    "damage": (85, 86, 90, 107, 108, 161, 162, 163, 164),
    "clocks": (93, 120, 165),
    "clients": (166,),
    "second_user": (88, 89, 90, 110, 142),
    "histories": (
        *(42, 52, 54, 55, 56, 57, 61, 63, 64, 65, 66, 67, 82, 131, 132, 136, 138, 143, 144, 145),
    ),
    "fuzzing": (
        *(30, 37, 38, 39, 40, 41, 58, 60, 62, 68, 69, 70, 71, 72, 75, 76, 77, 78, 79, 80, 81, 83),
        *(84, 85, 118),
    ),
    "test_kill_loop": (91, 104),
    "power": (105, 106),
    "scenarios": (52, 53, 54, 55, 56, 91, 105, 119, 126),
    "closure_seeds": (190, 191, 193, 194, 195, 196, 197, 198),
}
"""The rows that each generator reaches, by its module in ``tests/chaos/``."""

_ALL_VARIANTS = "the tests have every variant"
_PROPERTIES = "property tests: "

NOT_SEARCHED: Mapping[int, str] = {
    12: _ALL_VARIANTS,
    19: "one behaviour, without variants",
    22: _ALL_VARIANTS,
    23: f"{_PROPERTIES}`unit/test_addresses.py`",
    25: "one behaviour, without variants",
    26: _ALL_VARIANTS,
    27: _ALL_VARIANTS,
    29: "the tests have every document and encoding",
    33: _ALL_VARIANTS,
    34: "one behaviour, without variants",
    35: f"{_PROPERTIES}`unit/test_plan.py`",
    36: "one behaviour, without variants",
    59: "a size, not a set of variants",
    87: f"{_PROPERTIES}`unit/test_names.py`",
    92: _ALL_VARIANTS,
    94: _ALL_VARIANTS,
    95: _ALL_VARIANTS,
    96: "not applicable",
    98: _ALL_VARIANTS,
    99: "the tests raise it at every step",
    101: "the tests have every write",
    109: f"{_PROPERTIES}`unit/test_mounts.py`",
    111: _ALL_VARIANTS,
    112: "the tests refuse each operation",
    113: _ALL_VARIANTS,
    114: _ALL_VARIANTS,
    115: _ALL_VARIANTS,
    116: f"{_PROPERTIES}`unit/test_plan.py`",
    117: "the tests have every command",
    121: "recorded trees of earlier releases: `compat/test_adoption.py`",
    122: "not applicable",
    123: "the tests kill at every write",
    124: _ALL_VARIANTS,
    125: "one behaviour, without variants",
    127: _ALL_VARIANTS,
    130: _ALL_VARIANTS,
    133: _ALL_VARIANTS,
    134: _ALL_VARIANTS,
    135: _ALL_VARIANTS,
    137: _ALL_VARIANTS,
    139: "the suites run with these names hidden: `tox -e bare`",
    140: _ALL_VARIANTS,
    146: "the tests have every kind of document: `unit/test_heavy_documents.py`",
    147: _ALL_VARIANTS,
    148: _ALL_VARIANTS,
    149: f"{_PROPERTIES}`unit/test_mounts.py`",
    150: "one behaviour, without variants",
    160: "one behaviour, without variants",
    167: "the tests draw the requests from seeds: `tests/support/hostile.py`",
    168: _ALL_VARIANTS,
    169: "the tests fail from several requests on",
    170: "the tests lose every answer once",
    171: _ALL_VARIANTS,
    172: _ALL_VARIANTS,
    173: _ALL_VARIANTS,
    174: "the tests kill at random requests",
    175: "one behaviour, without variants",
    176: _ALL_VARIANTS,
    177: "the tests have several moments of a run",
    178: "the tests draw what is late from seeds: `tests/support/late_listing.py`",
    180: "the tests restart it at several requests",
    181: "the tests cut at several requests, and at random moments",
    182: "one behaviour, without variants",
    183: "the tests take it at several requests",
    184: "one behaviour, without variants",
    185: "one behaviour, without variants",
    186: _ALL_VARIANTS,
    187: _ALL_VARIANTS,
    188: "the tests kill at random requests",
    192: "a size, not a set of variants",
    200: "the tests kill at several requests",
    201: "the tests kill at several requests",
    202: "the tests stop it at several moments",
    203: "the tests restart it at several moments",
    204: "the tests cut once and all the time",
    205: "one behaviour, without variants",
    206: "one behaviour, without variants",
    207: "one behaviour, without variants",
    208: "the tests have a short and a long time",
}
"""Why no generator draws the neighbours of a row."""


def search_of(number: int) -> str:
    """Return what searches near a fault: names of generators, or why there is none."""
    found = [f"`{name}`" for name, rows in GENERATORS.items() if number in rows]
    return ", ".join(found) or f"none: {NOT_SEARCHED[number]}"
