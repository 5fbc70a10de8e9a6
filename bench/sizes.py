"""The sizes of the scenarios."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of projects, files and runs; ``large_size`` is in bytes.

    ``giants`` are the numbers of files of the largest projects, ``many`` the projects of a whole
    index that are not all synced, ``pages`` those of a first sync without files, compared in
    ``parts``. ``whole`` are those of a whole index that are, ``changed_of_whole`` those that change
    in a day, ``night`` the seconds that ``verify`` reads. ``typical`` is the number of files of
    PyPI's mean size. ``judged`` says whether the aims apply to these sizes.
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
    whole: int = 700_000
    changed_of_whole: int = 20_000
    night: int = 60
    typical: int = 1_000
    judged: bool = True


NORMAL = Sizes()

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
    whole=700,
    changed_of_whole=20,
    night=2,
    typical=10,
    judged=False,
)
