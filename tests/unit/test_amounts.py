"""Amounts that flags give."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.config.readers import Allowance, allowance, days, percent, rate
from bandersnatch.errors import UsageError


@pytest.mark.parametrize(
    ("text", "bytes_a_second"),
    [
        ("100 Mbit/s", 12_500_000),
        ("100mbit", 12_500_000),
        ("100 Mbps", 12_500_000),
        ("100 MBps", 100_000_000),
        ("5/s", 5),
        ("12 MB/s", 12_000_000),
        ("1.5G", 1.5e9),
        ("800", 800),
        ("8 bit/s", 1),
        ("2 Tb", 2e12),
    ],
)
def test_a_rate_is_read(text: str, bytes_a_second: float) -> None:
    assert rate(text, "--rate") == bytes_a_second


@pytest.mark.parametrize("text", ["", "fast", "-5", "0", "1.2.3 MB/s", "5 apples", "."])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--rate"):
        rate(text, "--rate")


@pytest.mark.parametrize(("text", "share"), [("5", 5), ("2.5", 2.5), ("100%", 100), (" 1 ", 1)])
def test_a_share_is_read(text: str, share: float) -> None:
    assert percent(text, "--sample") == share


@pytest.mark.parametrize("text", ["", "0", "-1", "101", "half", "nan"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--sample .* is not a share"):
        percent(text, "--sample")


@pytest.mark.parametrize(("text", "seconds"), [("30", 2_592_000), ("0", 0), ("0.5", 43_200)])
def test_days_are_read(text: str, seconds: int) -> None:
    assert days(text, "--max-age") == seconds


@pytest.mark.parametrize("text", ["", "-1", "a month", "nan", "inf", "1e9"])
def test_what_is_no_number_of_days_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--max-age .* is not a number of days"):
        days(text, "--max-age")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2 h", Allowance(seconds=7200)),
        ("90 min", Allowance(seconds=5400)),
        ("50 GB", Allowance(size=50_000_000_000)),
        ("1 MiB", Allowance(size=1_048_576)),
    ],
)
def test_a_time_or_a_size_is_read(text: str, read: Allowance) -> None:
    assert allowance(text, "--budget") == read


@pytest.mark.parametrize("text", ["", "5", "1.5", "a lot", "-2 h", "5 apples"])
def test_what_could_be_both_or_is_neither_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--budget .* is not a time like"):
        allowance(text, "--budget")


@given(st.text(max_size=12))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    with suppress(UsageError):
        assert rate(text, "--rate") > 0
    with suppress(UsageError):
        assert 0 < percent(text, "--sample") <= 100
    with suppress(UsageError):
        assert days(text, "--max-age") >= 0
    with suppress(UsageError):
        assert allowance(text, "--budget") != Allowance()
