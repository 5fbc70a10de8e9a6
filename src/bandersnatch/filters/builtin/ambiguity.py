"""Whether a regular expression can take exponential time.

The library tries one way to match after another. Their number can double with each character
just where some text leads from a place of the pattern back to that place in two ways (the
automaton is exponentially ambiguous); everywhere else it is bounded by a power of the length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.errors import OptionError
from bandersnatch.filters.builtin.automaton import TOO_COMPLICATED, automaton

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bandersnatch.filters.builtin.automaton import Ways

_MOST_STEPS = 1_000_000


def check_time(pattern: re.Pattern[str]) -> None:
    """Refuse a pattern unless its time is bounded.

    A bound by a power of the text's length is enough. When in doubt, the pattern is refused.

    :raises OptionError: if it can take exponential time, or is too large to tell.
    """
    made = automaton(pattern)
    for positions in _circles(made.follow):
        if _is_ambiguous(positions, made.follow, made.alphabets(positions)):
            raise OptionError(
                "it can take exponential time, since the same text fits a repeated part in more "
                "ways than one; write it so that there is one way, such as a+ for (a+)+"
            )


def _is_ambiguous(
    positions: Iterable[int], follow: Sequence[Ways], alphabets: Mapping[int, int]
) -> bool:
    """Whether one text leads in two ways through positions that all lead to each other.

    Two readers start at the same place with the same text, and part. If they can meet again,
    the place they started from can be reached by both: in a circle all places can.
    """
    steps = 0
    apart: set[tuple[int, int]] = set()
    waiting = [(position, position) for position in positions]
    while waiting:
        pair = waiting.pop()
        for one, other, ways in _steps(pair, follow, alphabets):
            steps += 1
            if steps > _MOST_STEPS:
                raise OptionError(TOO_COMPLICATED)
            if not alphabets[one] & alphabets[other]:
                continue
            if one == other:
                if pair[0] != pair[1] or ways > 1:
                    return True
            elif (one, other) not in apart:
                apart.add((one, other))
                waiting.append((one, other))
    return False


def _steps(
    pair: tuple[int, int], follow: Sequence[Ways], alphabets: Mapping[int, int]
) -> Iterator[tuple[int, int, int]]:
    """Yield where two readers can go within the circle, the smaller position first."""
    for one, ways in follow[pair[0]].items():
        if one in alphabets:
            for other in follow[pair[1]]:
                if other in alphabets:
                    yield (one, other, ways) if one <= other else (other, one, ways)


def _circles(follow: Sequence[Ways]) -> list[list[int]]:
    """Return the largest sets of positions that all lead to each other, by Kosaraju's way."""
    before: list[list[int]] = [[] for _ in follow]
    for position, after in enumerate(follow):
        for each in after:
            before[each].append(position)
    seen: set[int] = set()
    finished: list[int] = []
    for position in range(len(follow)):
        finished += _finished(position, follow, seen)
    seen.clear()
    found = [_finished(position, before, seen) for position in reversed(finished)]
    return [each for each in found if len(each) > 1 or (each and each[0] in follow[each[0]])]


def _finished(start: int, edges: Sequence[Iterable[int]], seen: set[int]) -> list[int]:
    """Return what can be reached and was not seen, each after all that it leads to."""
    done: list[int] = []
    if start in seen:
        return done
    seen.add(start)
    waiting = [(start, iter(edges[start]))]
    while waiting:
        position, rest = waiting[-1]
        following = next((each for each in rest if each not in seen), None)
        if following is None:
            done.append(position)
            waiting.pop()
        else:
            seen.add(following)
            waiting.append((following, iter(edges[following])))
    return done
