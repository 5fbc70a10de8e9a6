"""What serials, order and times of the index prove."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from bandersnatch.errors import IndexRollback
from bandersnatch.mirror.ledger import (
    MAX_LAG,
    PROOF_BY_EXPIRY,
    Age,
    Freshness,
    Ledger,
    Statement,
    believed,
    ceiling_above,
    is_wrong,
    judge,
    reach,
    settle,
)
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectList
from bandersnatch.model.serials import NO_SERIAL, Change, Serial

if TYPE_CHECKING:
    from random import Random

NOW = 2_000_000_000
HUGE = Serial(2**53 - 1)

serials = st.integers(1, 10**7).map(Serial) | st.sampled_from([Serial(1), HUGE])
names = st.sampled_from("abcdef").map(project_name)


def event(serial: int, name: str = "foo") -> Change:
    """Return an event."""
    return Change(project_name(name), name, Serial(serial), "new release", NOW)


def listing(own: int | None, **entries: int | None) -> ProjectList:
    """Return a project list with its own serial and those of its entries."""
    return ProjectList(
        {project_name(name): None if n is None else Serial(n) for name, n in entries.items()},
        serial=None if own is None else Serial(own),
    )


def said(**values: Any) -> Statement:
    """Return a statement of an index; the last of its events is the last one."""
    statement = Statement(**values)
    last = max((each.serial for each in statement.events), default=NO_SERIAL)
    return structs.replace(statement, last=max(statement.last, last))


events = st.lists(st.builds(event, serials, names), max_size=6).map(tuple)
listings = st.none() | st.builds(
    ProjectList,
    st.dictionaries(names, st.none() | serials, max_size=5),
    serial=st.none() | serials,
)
statements = st.builds(
    said,
    before=st.just(NO_SERIAL) | serials,
    head=st.none() | serials,
    events=events,
    listing=listings,
)


def settled(statement: Statement) -> Ledger:
    """Return the ledger, or skip a statement that raises an alarm."""
    try:
        return settle(statement)
    except IndexRollback:
        assume(condition=False)
        raise


# ---------------------------------------------------------------- T


@pytest.mark.parametrize(
    ("statement", "cursor"),
    [
        (said(before=100, head=110, events=(event(108), event(110))), 110),
        (said(before=100, head=HUGE, events=(event(108),)), 108),
        (said(before=100, head=HUGE), 100),
        (said(before=100, head=110, events=(event(108),), last=110), 110),
        (said(before=100, head=110), 100),
        (said(before=100, head=90), 100),
        (said(head=110, events=(event(110),), listing=listing(90, a=90)), 110),
        (said(head=110, listing=listing(90, a=90)), 90),
        (said(head=110), None),
        (said(listing=listing(90, a=90, b=80)), 90),
        (said(listing=listing(90, a=89, b=80)), 89),
        (said(listing=listing(HUGE, a=89, b=80)), 89),
        (said(listing=listing(90, a=90, b=HUGE)), 90),
        (said(listing=listing(90, a=80, b=HUGE)), 80),
        (said(listing=listing(None, a=89, b=80)), 89),
        (said(listing=listing(90, a=None)), None),
        (said(listing=listing(None)), None),
        (said(before=100, listing=listing(120, a=120)), 120),
        (said(before=100, listing=listing(90, a=90)), 100),
        (said(), None),
    ],
    ids=str,
)
def test_where_t_comes_from(statement: Statement, cursor: int | None) -> None:
    assert settle(statement).cursor == cursor


@given(statements)
def test_t_is_proved_by_an_event_or_a_list_and_never_goes_back(statement: Statement) -> None:
    cursor = settled(statement).cursor

    proofs: set[Serial | None] = {statement.before, statement.last}
    if statement.listing is not None:
        proofs |= {statement.listing.serial, *statement.listing.serials.values()}
    assert cursor in proofs - {NO_SERIAL, None} if cursor is not None else not statement.before
    assert (cursor or NO_SERIAL) >= statement.before


@given(statements, st.none() | serials)
def test_no_head_raises_t(statement: Statement, head: Serial | None) -> None:
    assume(statement.head is not None and head is not None)
    other = settled(structs.replace(statement, head=head))

    assert settled(statement).cursor == other.cursor


@given(statements, st.randoms())
def test_the_order_of_events_does_not_matter(statement: Statement, random: Random) -> None:
    shuffled = [*statement.events, *statement.events]
    random.shuffle(shuffled)
    other = structs.replace(statement, events=tuple(shuffled))

    ledger = settled(statement)
    assert [each.serial for each in ledger.events] == sorted(each.serial for each in ledger.events)
    assert set(settled(other).events) == set(ledger.events)
    assert settled(other).cursor == ledger.cursor


def test_a_head_ahead_of_its_events_is_reported() -> None:
    (warning,) = settle(said(before=100, head=110, events=(event(108),))).warnings
    assert warning == (
        "the index is at serial 110 and its events end at 108; the next run reads the others"
    )
    assert settle(said(before=100, head=108, events=(event(108),))).warnings == ()


# ---------------------------------------------------------------- an index that is behind


@pytest.mark.parametrize("by_list", [True, False])
@pytest.mark.parametrize("lag", [1, MAX_LAG, MAX_LAG + 1, 10**7])
def test_an_index_that_is_behind_gives_a_warning_or_an_alarm(lag: int, *, by_list: bool) -> None:
    before, now = Serial(10**8), Serial(10**8 - lag)
    word: dict[str, Any] = {"listing": listing(now, a=now)} if by_list else {"head": now}
    if lag > MAX_LAG:
        with pytest.raises(IndexRollback):
            settle(said(before=before, **word))
        return
    ledger = settle(said(before=before, **word))
    assert ledger.cursor == before
    assert ledger.warnings == (f"the index is at serial {now}, behind this mirror at {before}",)


def test_one_low_serial_of_a_list_with_higher_entries_is_no_alarm() -> None:
    ledger = settle(said(before=10**7, listing=listing(5, a=10**7)))
    assert ledger.cursor == 10**7


# ---------------------------------------------------------------- which serials are believed


@given(statements)
def test_everything_up_to_t_is_believed_and_nothing_far_above_all_proofs(
    statement: Statement,
) -> None:
    ledger = settled(statement)
    reached = None if statement.listing is None else reach(statement.listing)
    proofs = [each for each in (ledger.cursor, reached) if each is not None]
    if not proofs and statement.head is None:
        assert ledger.ceiling is None
        return
    assert ledger.ceiling is not None
    newest = max(proofs, default=statement.head or NO_SERIAL)
    assert newest + MAX_LAG <= ledger.ceiling <= newest + 2 * MAX_LAG
    assert believed(newest, ledger.ceiling) == newest
    assert believed(Serial(ledger.ceiling + 1), ledger.ceiling) is None
    if ledger.listing is not None:
        assert all((own or 0) <= ledger.ceiling for own in ledger.listing.serials.values())


def test_without_a_proof_no_serial_is_believed() -> None:
    assert settle(said(listing=listing(None, a=None))).ceiling is None
    assert believed(Serial(5), None) is None
    assert ceiling_above(NO_SERIAL) is None
    assert ceiling_above(Serial(7)) == 7 + MAX_LAG


def test_an_entry_far_above_the_list_is_listed_without_a_serial() -> None:
    ledger = settle(said(before=100, head=110, last=110, listing=listing(110, a=110, b=HUGE)))
    assert ledger.listing == replace(listing(110, a=110, b=None))
    (warning,) = ledger.warnings
    assert warning.startswith(f"the list has b at serial {HUGE}")


@pytest.mark.parametrize(
    ("recorded", "target", "cursor", "newest", "wrong"),
    [
        (100, 0, 90, 100, False),
        (101, 0, 90, 100, True),
        (95, 90, 90, 100, False),
        (95, 90, 100, 100, True),
        (95, 95, 100, 100, False),
        (95, 96, 100, 100, False),
        (95, 0, 100, 100, False),
        (95, 90, 100, None, False),
        (HUGE, 0, None, None, False),
    ],
)
def test_a_recorded_serial_is_wrong_if_no_event_has_it(
    recorded: int, target: int, cursor: int | None, newest: int | None, *, wrong: bool
) -> None:
    known = None if cursor is None else Serial(cursor)
    newest_known = None if newest is None else Serial(newest)
    found = is_wrong(Serial(recorded), Serial(target), cursor=known, newest=newest_known)
    assert found is wrong


@given(statements)
def test_the_newest_serial_is_not_behind_t(statement: Statement) -> None:
    ledger = settled(statement)
    assert ledger.newest is None or ledger.newest >= (ledger.cursor or NO_SERIAL)
    assert (ledger.newest is None) == (statement.head is None or statement.head < statement.before)


# ---------------------------------------------------------------- freshness

LONG, SHORT = PROOF_BY_EXPIRY + 1, PROOF_BY_EXPIRY


@pytest.mark.parametrize(
    ("serial", "age", "differs", "expected"),
    [
        (9, Age(), False, Freshness.CURRENT),
        (10, Age(LONG, LONG), False, Freshness.CURRENT),
        (8, Age(SHORT, LONG), True, Freshness.LONG_AGO),
        (8, Age(LONG, SHORT), True, Freshness.STALE),
        (8, Age(LONG, LONG), False, Freshness.EXPIRED),
        (8, Age(LONG, None), False, Freshness.EXPIRED),
        (8, Age(None, LONG), False, Freshness.EXPIRED),
        (8, Age(None, None), False, Freshness.STALE),
        (None, Age(SHORT, SHORT), True, Freshness.UNPROVEN),
        (None, Age(SHORT, SHORT), False, Freshness.STALE),
        (None, Age(SHORT, LONG), False, Freshness.LONG_AGO),
        (None, Age(LONG, LONG), True, Freshness.EXPIRED),
    ],
)
def test_a_page_is_judged(
    serial: int | None, age: Age, expected: Freshness, *, differs: bool
) -> None:
    page = None if serial is None else Serial(serial)
    assert judge(Serial(9), page, age, differs=differs) is expected
    assert judge(NO_SERIAL, page, age, differs=differs) is Freshness.CURRENT


clocks = st.integers(0, 2**70)


@given(clocks, st.none() | clocks, clocks, st.none() | st.floats(-(10**9), 10**9))
def test_one_wrong_clock_never_expires_a_change(
    noticed_at: int, happened_at: int | None, now: int, offset: float | None
) -> None:
    age = Age.of(noticed_at, happened_at, now=now, index_offset=offset)

    assert min(age.seen or 0, age.stated or 0) >= 0
    if age.is_expired:
        assert not noticed_at or now - noticed_at > PROOF_BY_EXPIRY
        if happened_at is not None and offset is not None:
            assert int(now + offset) - happened_at > PROOF_BY_EXPIRY
    assert not Age.of(now, 0, now=now, index_offset=0.0).is_expired, "only just seen"
    assert not Age.of(now + 5, 0, now=now, index_offset=0.0).is_expired, "seen in the future"
