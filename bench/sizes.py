"""The sizes of the scenarios."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of projects, files and runs; ``large_size`` is in bytes.

    ``giants`` are the numbers of files of the largest projects, ``many`` the projects of a whole
    index, ``pages`` those of a first sync without files, compared in ``parts``. ``judged`` says
    whether the aims apply to these sizes.
    """

    projects: int = 5_000
    files: int = 20_000
    giants: tuple[int, ...] = (2_000, 1_000, 500)
    delayed: int = 1_000
    changed: int = 200
    many: int = 700_000
    changed_of_many: int = 10
    allowed: int = 50
    pages: int = 100_000
    parts: int = 7
    large: int = 40
    large_size: int = 50_000_000
    long: int = 5_000
    starts: int = 10
    judged: bool = True


NORMAL = Sizes()

FULL = replace(NORMAL, pages=700_000)

QUICK = Sizes(
    projects=50,
    files=200,
    giants=(50,),
    delayed=20,
    changed=10,
    many=2_000,
    changed_of_many=5,
    allowed=5,
    pages=700,
    large=4,
    large_size=2_000_000,
    long=100,
    starts=2,
    judged=False,
)
