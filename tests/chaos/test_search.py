"""Generators that search for faults nobody has foreseen: one for each door of the program.

A seed gives one history. A run never ends with an internal error, ends in time, and keeps the rules
of the oracle; when the fault is over, two runs give the tree of a clean mirror. The regular tests
use a few seeds; the nightly ones ``ANSWER_SEEDS`` and ``WORD_SEEDS`` of the environment, from
``ANSWER_FROM`` and ``WORD_FROM`` on. A seed that found something has become a test with a name.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from bandersnatch.mirror.project import MOST_UNREAD
from tests.chaos.answers import KINDS, Answers
from tests.chaos.heard import Heard
from tests.chaos.lists import with_serial
from tests.chaos.words import LARGEST, Words
from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

    from tests.chaos.case import Case
    from tests.support.server import Answer

FEW = 10
"""Seeds of each generator in the regular tests; one takes about half a second."""


def many(kind: str) -> range:
    """Return the nightly seeds of a generator."""
    first = int(os.environ.get(f"{kind}_FROM", str(FEW)))
    return range(first, first + int(os.environ.get(f"{kind}_SEEDS", "300")))


NAMES = ("foo", "bar", "baz")
ENDS = frozenset({0, 3, 4, 5})
"""How a run may end whatever the index says."""

UNKNOWABLE = frozenset({"I23", "K5"})
"""The exit status cannot say what a wrong answer hides; an alarm ends a run before it begins."""


class Search:
    """A history of a case, drawn from a seed."""

    def __init__(self, case: Case, seed: int) -> None:
        self.case = case
        self.dice = random.Random(seed)
        self.versions = iter(range(1, 1000))
        self.log: list[str] = [f"seed {seed}"]
        self.method = self.dice.choice(("auto", "auto", "simple", "xmlrpc"))
        case.site.configure(
            api_method=self.method, timeout=1, max_removals=1000, max_file_removals=1000
        )
        case.index.serial = 5_000_000
        for name in ("anchor", *NAMES):
            self.release(name)

    def release(self, name: str) -> None:
        """Publish a version, some with core metadata or large."""
        size = 100_000 if self.dice.random() < 0.1 else 40
        version = f"{next(self.versions)}.0"
        self.case.index.release(name, version, size=size, metadata=self.dice.random() < 0.5)

    def change(self) -> None:
        """Make a random event on the index."""
        name, index = self.dice.choice(NAMES), self.case.index
        project = index.projects.get(name)
        what = self.dice.random()
        if project is None or what < 0.6:
            self.release(name)
        elif what < 0.8:
            index.yank(name, project.versions[0], "broken")
        else:
            index.remove_project(name)

    def note(self, *more: str) -> None:
        """Add to what a failure shows."""
        self.log += more
        self.case.about = "\n".join(self.log)

    def heal(
        self, *, hours: float = 0.2, is_claimed: bool = False, without: Collection[str] = UNKNOWABLE
    ) -> None:
        """Assert that two runs without a fault give the tree of a clean mirror.

        ``without`` is as for ``Case.endures``. ``is_claimed`` says that the index may have claimed
        a serial that it does not have yet.
        """
        case = self.case
        case.server.faults.clear()
        for _ in range(2):
            case.clock.advance(hours=hours)
            ran = case.endures(exits={0, 5} if is_claimed else {0}, without=without)
            if ran.code and "delete its status and todo files" in ran.log:
                for name in ("status", "todo"):
                    (case.site.root / name).unlink(missing_ok=True)
                case.endures(exits={0}, without={"K2", *without})
        clean = case.clean_mirror()
        assert case.site.tree() == clean.tree(), case.about
        if not is_claimed:
            assert case.site.todo() == [], case.about
            # A list has no serial of a removed project, which an earlier list had.
            most = case.index.serial if self.method == "simple" else clean.status
            assert clean.status <= case.site.status <= most, case.about


# ---------------------------------------------------------------- answers


def play_answers(case: Case, seed: int) -> None:
    """Play a history in which the server gives any answers."""
    search = Search(case, seed)
    dice, answers = search.dice, Answers(case.server, search.dice)
    answers.remember()
    case.mirror()
    for _ in range(dice.randint(1, 2)):
        for _ in range(dice.randint(1, 3)):
            search.change()
        answers.remember()
        for _ in range(dice.randint(1, 3)):
            kind, times = dice.choice(KINDS), dice.choice((None, 1, 2, 6))
            if kind == "file" and dice.random() < 0.5:
                case.fault("file", faults.cut(20), times=1)
            case.fault(kind, answers.act(slow=dice.random() < 0.1), times)
            search.note(f"{kind}, {times} times: {answers.log[-1]}")
        case.clock.advance(minutes=dice.choice((1, 11, 60 * 25)))
        ran = case.endures(exits=ENDS, without=UNKNOWABLE)
        search.note(f"run: {ran.code}")
        if dice.random() < 0.5:
            case.server.faults.clear()
    search.heal()


async def _break_json(request: web.Request, answer: Answer) -> None:
    if "json" in request.headers["Accept"]:
        answer.body = answer.body[:20]
        answer.headers["Content-Type"] = "application/octet-stream"
        answer.headers.popall("ETag", None)


def test_case_154_what_only_the_json_page_says_comes_with_the_next_run(case: Case) -> None:
    """HTML cannot say that a file has no core metadata; seed 10175."""
    case.mirrored("foo", "bar")
    case.index.release("foo", "2.0")
    case.fault("detail", _break_json)

    ran = case.mirror()

    assert "foo: " in ran.log
    assert "what its HTML page says is used until a later run can read the JSON page" in ran.log
    assert case.site.ask("status", "--offline").code == 0
    case.heals()


def test_case_154_a_json_page_that_can_never_be_read_is_given_up(case: Case) -> None:
    case.fault("detail", _break_json)
    case.mirrored("foo")
    for _ in range(MOST_UNREAD):
        assert case.asked("detail") == []
        case.mirror()
        assert len(case.asked("detail")) == 2
        case.server.forget()

    ran = case.mirror()

    assert case.asked("detail") == []
    assert "WARNING" not in ran.log


@pytest.mark.parametrize("seed", range(FEW))
def test_case_154_any_answers_do_no_harm(case: Case, seed: int) -> None:
    play_answers(case, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", many("ANSWER"))
def test_case_154_many_answers_do_no_harm(case: Case, seed: int) -> None:
    play_answers(case, seed)


# ---------------------------------------------------------------- the index's word


def play_words(case: Case, seed: int) -> None:
    """Play a history in which the index says anything about serials, events and times."""
    search = Search(case, seed)
    dice = search.dice
    case.server.now = case.clock.now if dice.random() < 0.7 else None
    case.server.has_etags = dice.random() < 0.7
    words, heard = Words(dice, list(NAMES)), Heard()
    case.oracle.is_hidden = heard.hides
    case.mirror()
    is_claimed = False
    for _ in range(dice.randint(1, 3)):
        for _ in range(dice.randint(0, 3)):
            search.change()
        for _ in range(dice.randint(1, 3)):
            kind, project, act = words.draw()
            case.fault(kind, act, dice.choice((None, 1)), project=project)
            search.note(words.log[-1])
        for name in NAMES:
            if dice.random() < 0.1:
                case.fault("detail", faults.status(500), project=name)
                search.note(f"{name} is broken")
        heard.listen(case.server)
        case.clock.advance(minutes=dice.choice((1, 11, 60 * 25)))
        is_claimed |= words.claims_too_much(self_only=search.method == "simple")
        case.oracle.highest = LARGEST if words.raises_pages or is_claimed else 0
        ran = case.endures(exits=ENDS, without=unknowable(words))
        search.note(f"run: {ran.code}")
        assert is_claimed or case.site.status <= case.index.serial, case.about
        case.server.faults.clear()
    heal_words(search, is_claimed=is_claimed)


def unknowable(words: Words) -> Collection[str]:
    """Return the rules that such words make impossible to keep."""
    if words.hides_changes:
        return {"I6", "I7", *UNKNOWABLE}
    return {"I6", *UNKNOWABLE} if words.raises_pages else UNKNOWABLE  # such a serial goes back


def heal_words(search: Search, *, is_claimed: bool) -> None:
    """Assert that two comparisons of everything give the tree of a clean mirror.

    A page whose serial was too high has it until the project's next event; without a changelog,
    until the index has passed it.
    """
    index = search.case.index
    index.serial += 200_000 if search.method == "simple" else 10
    for name in NAMES:
        search.release(name)
    search.heal(hours=25, is_claimed=is_claimed, without={"I6", "I7", *UNKNOWABLE})


@pytest.mark.parametrize(("listed", "stated"), [(0, 105), (102, None)])
def test_case_155_a_change_that_the_list_hides_comes_with_a_correct_list(
    case: Case, listed: int, stated: int | None
) -> None:
    """The list has less than the page, or what is shown, so that nothing says more; seed 20206."""
    case.site.configure(api_method="simple")
    heard = Heard()
    case.oracle.is_hidden = heard.hides
    case.mirrored("foo", "bar")
    case.index.release("bar", "2.0")
    case.index.release("foo", "2.0")
    case.index.release("bar", "3.0")
    assert (case.site.status, case.index.projects["foo"].serial) == (104, 106)
    case.fault("list", with_serial("foo", listed))
    if stated is not None:
        low = faults.document(lambda page: page["meta"].update({"_last-serial": stated}))
        case.fault("detail", low, project="foo")
    heard.listen(case.server)

    case.endures(exits={0}, without=UNKNOWABLE)

    assert case.site.status == case.index.serial
    assert heard.hides("foo", 106, stated or listed)
    case.heals()


def test_case_155_a_page_that_states_too_little_is_stale_by_a_correct_list(case: Case) -> None:
    case.site.configure(api_method="simple")
    heard = Heard()
    case.oracle.is_hidden = heard.hides
    case.mirrored("foo", "bar")
    case.index.release("foo", "2.0")
    case.index.release("bar", "2.0")
    low = faults.document(lambda page: page["meta"].update({"_last-serial": 104}))
    case.fault("detail", low, project="foo")
    heard.listen(case.server)

    case.mirror(exits=4)

    assert not heard.hides("foo", 105, 104)
    assert case.site.status < 105
    case.heals()


@pytest.mark.parametrize(
    ("heard", "shown", "is_hidden"),
    [
        (Heard(9, {"foo": 0}, {"foo": 5}), 5, True),
        (Heard(9, {"foo": 5}), 5, True),
        (Heard(6, {"foo": 5}), 5, False),  # the list claims no more than it has
        (Heard(9, {"foo": 0}, {"foo": 7}), 5, False),  # the page says more
        (Heard(9, {"foo": 7}, {"foo": 5}), 5, False),  # the list does
        (Heard(9, {"foo": 5}, {"foo": 5}, {"foo": 7}), 5, False),  # an event does
    ],
)
def test_case_155_a_change_is_hidden_if_nothing_says_more(
    heard: Heard, shown: int, *, is_hidden: bool
) -> None:
    assert heard.hides("foo", 7, shown) == is_hidden


@pytest.mark.parametrize("seed", range(FEW))
def test_case_155_any_words_of_the_index_lose_nothing(case: Case, seed: int) -> None:
    play_words(case, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", many("WORD"))
def test_case_155_many_words_of_the_index_lose_nothing(case: Case, seed: int) -> None:
    play_words(case, seed)
