"""Regular expressions as automata: which character can follow which, and in how many ways.

The automaton is Glushkov's, made from the tree that the standard library itself matches by. Its
positions are the places of the pattern that match a character. That an iteration which matched
nothing is the last one is taken into account, since the library does so too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# The tree has no public reader, and a parser of our own would not read what the library reads.
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, TypeAlias

from bandersnatch.errors import OptionError

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator

Ways: TypeAlias = dict[int, int]
"""Positions, each with the number of ways to it: 1, or 2 for any more."""

TOO_COMPLICATED = "it is too complicated to be sure that it takes no exponential time; split it"

_MOST_WAYS = 2
_MOST_EDGES = 200_000
_MOST_COPIED = 16
_LATIN = "".join(map(chr, range(0x180)))
_FURTHER = "\u0663\u0664\u0966\uff11\u0416\u0436\u4e2d\u5b57\u2003\u2028\u2014\u20ac\U0001f600"
_LARGEST_CHARACTER = 0x10FFFF
_LETTERS = frozenset({_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN})
_REPEATS = frozenset({_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT})
_EMPTY = frozenset({_constants.AT, _constants.FAILURE})
_LOOKAROUNDS = frozenset({_constants.ASSERT, _constants.ASSERT_NOT})


@dataclass(frozen=True, slots=True)
class Letter:
    """A place of the pattern that matches one character."""

    operation: Any
    argument: Any
    flags: int

    @property
    def key(self) -> str:
        """What letters that match the same have in common."""
        return f"{self.operation} {self.argument} {self.flags}"

    def code_points(self) -> Iterator[int]:
        """Yield the characters that are named, with both ends of ranges."""
        inner = self.argument if self.operation is _constants.IN else [(None, self.argument)]
        for _, argument in inner:
            if isinstance(argument, int):
                yield argument
            elif isinstance(argument, tuple):
                yield from argument

    def among(self, sample: str) -> int:
        """Return which characters of a sample match, as bits."""
        state = _parser.State()
        state.flags = self.flags
        tree = _parser.SubPattern(state, [(self.operation, self.argument)])
        return sum(1 << found.start() for found in _compiler.compile(tree).finditer(sample))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the pattern: in how many ways it matches nothing, and where it begins and ends."""

    empty: int
    first: Ways
    last: Ways


_NOTHING = Part(1, {}, {})


@dataclass(slots=True)
class Automaton:
    """The positions, and for each those that can follow it.

    The insides of lookarounds are automata of their own beside that of the whole.
    """

    letters: list[Letter] = field(default_factory=list)
    follow: list[Ways] = field(default_factory=list)
    edges: int = 0

    def sequence(self, items: Iterable[tuple[Any, Any]], flags: int) -> Part:
        """Add what matches one item after another."""
        whole = _NOTHING
        for operation, argument in items:
            whole = self._then(whole, self._part(operation, argument, flags))
        return whole

    def _part(self, operation: Any, argument: Any, flags: int) -> Part:  # noqa: ANN401 - the tree is untyped
        if operation in _LETTERS:
            return self._letter(Letter(operation, argument, flags))
        if operation in _REPEATS:
            return self._repeat(argument, flags)
        if operation in _LOOKAROUNDS:
            self.sequence(argument[1], flags)
            return _NOTHING
        if operation in _EMPTY:
            return _NOTHING
        return self._group(operation, argument, flags)

    def _group(self, operation: Any, argument: Any, flags: int) -> Part:  # noqa: ANN401 - as above
        if operation is _constants.SUBPATTERN:
            _, added, removed, items = argument
            return self.sequence(items, (flags | added) & ~removed)
        if operation is _constants.ATOMIC_GROUP:
            return self.sequence(argument, flags)
        if operation is _constants.BRANCH:
            return _either(self.sequence(items, flags) for items in argument[1])
        if operation is _constants.GROUPREF_EXISTS:
            return _either(self.sequence(items or (), flags) for items in argument[1:])
        if operation is _constants.GROUPREF:
            return self._anything()
        raise OptionError(TOO_COMPLICATED)

    def _letter(self, letter: Letter) -> Part:
        position = len(self.letters)
        self.letters.append(letter)
        self.follow.append({})
        return Part(0, {position: 1}, {position: 1})

    def _anything(self) -> Part:
        """Add what a reference to a group may match: it is not known, so it may be any text."""
        one = self._letter(Letter(_constants.ANY, None, _constants.SRE_FLAG_DOTALL))
        return self._loop(one, 0)

    def _then(self, before: Part, after: Part) -> Part:
        self._connect(before.last, after.first)
        return Part(
            min(before.empty * after.empty, _MOST_WAYS),
            _sum(before.first, _times(after.first, before.empty)),
            _sum(after.last, _times(before.last, after.empty)),
        )

    def _repeat(self, repeat: tuple[int, int, Any], flags: int) -> Part:
        """Add a repetition. Unless a few copies will do, its limits count as none."""
        low, high, items = repeat
        if high == 0:
            return _NOTHING
        size = len(self.letters)
        part = self.sequence(items, flags)
        if high == 1:
            return part if low else _maybe(part)
        endless = high is _constants.MAXREPEAT
        copied = (len(self.letters) - size) * (low if endless else high)
        if part.empty or copied > _MOST_COPIED:
            return self._loop(part, low)
        rest = self._loop(part, 0) if endless else _NOTHING
        for _ in range(0 if endless else high - low):
            rest = _maybe(self._then(self.sequence(items, flags), rest))
        for _ in range(low):
            rest = self._then(self.sequence(items, flags), rest)
        return rest

    def _loop(self, part: Part, low: int) -> Part:
        """Let a part follow itself.

        Iterations that match nothing can stand before the others as long as there must be
        more, and one of them can stand after the last.
        """
        if not part.empty:
            self._connect(part.last, part.first)
            return Part(0 if low else 1, part.first, part.last)
        self._connect(part.last, _times(part.first, 2 if low > 1 else 1))
        first = _times(part.first, 2 if low else 1)
        return Part(_MOST_WAYS, first, _times(part.last, _MOST_WAYS))

    def _connect(self, last: Ways, first: Ways) -> None:
        self.edges += len(last) * len(first)
        if self.edges > _MOST_EDGES:
            raise OptionError(TOO_COMPLICATED)
        for position, ways in last.items():
            self.follow[position] = _sum(self.follow[position], _times(first, ways))

    def alphabets(self, positions: Iterable[int]) -> dict[int, int]:
        """Return, as bits, what each position matches of characters that stand for all others.

        These are the ends of all ranges with their neighbours, and some of each category.
        """
        wanted = set(positions)
        named = {
            point + step
            for position in wanted
            for point in self.letters[position].code_points()
            for step in (-1, 0, 1)
            if 0 <= point + step <= _LARGEST_CHARACTER
        }
        characters = set(_LATIN + _FURTHER) | set(map(chr, named))
        swapped = {each for character in characters for each in character.swapcase()}
        sample = "".join(sorted(characters | swapped))
        known: dict[str, int] = {}
        for letter in (self.letters[position] for position in wanted):
            if letter.key not in known:
                known[letter.key] = letter.among(sample)
        return {position: known[self.letters[position].key] for position in wanted}


def automaton(pattern: re.Pattern[str]) -> Automaton:
    """Return the automaton of a pattern.

    :raises OptionError: if it is too large, or has what this does not know.
    :raises RecursionError: if it is nested too deeply.
    """
    tree = _parser.parse(pattern.pattern, pattern.flags)
    made = Automaton()
    made.sequence(tree, tree.state.flags)
    return made


def _maybe(part: Part) -> Part:
    return Part(min(1 + part.empty, _MOST_WAYS), part.first, part.last)


def _either(parts: Iterable[Part]) -> Part:
    empty, first, last = 0, Ways(), Ways()
    for part in parts:
        empty = min(empty + part.empty, _MOST_WAYS)
        first, last = _sum(first, part.first), _sum(last, part.last)
    return Part(empty, first, last)


def _times(ways: Ways, count: int) -> Ways:
    if count <= 1:
        return ways if count else {}
    return dict.fromkeys(ways, _MOST_WAYS)


def _sum(one: Ways, other: Ways) -> Ways:
    if not one or not other:
        return one or other
    total = dict(one)
    for position, ways in other.items():
        total[position] = min(total.get(position, 0) + ways, _MOST_WAYS)
    return total
