"""A budget for a month: what counts as spent, what is free, and how much may still be downloaded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.metering import Sums
from pyrestic.cli.arguments import parse_amount
from pyrestic.errors import BudgetError, UsageError
from pyrestic.operations.cost import GB, Prices
from pyrestic.operations.month_budget import START, MonthBudget

TODAY = "2026-11-30"
PRICES = Prices()
FREE_CALLS = Sums(class_b=2500, class_c=2500)
STORED = Sums(stored_bytes=10 * GB)
usages = st.builds(
    Sums,
    class_b=st.integers(0, 100_000),
    class_c=st.integers(0, 100_000),
    downloaded_bytes=st.integers(0, 100 * GB),
    stored_bytes=st.integers(-GB, 500 * GB),
)


def budget(dollars: float, **days: Sums) -> MonthBudget:
    """Return a budget with the usage of days such as d2026_11_29."""
    return MonthBudget(dollars, PRICES, {day[1:].replace("_", "-"): sums for day, sums in days.items()}, TODAY)


@pytest.mark.parametrize(("text", "dollars"), [("2", 2), ("2 USD", 2), ("$2.50", 2.5), ("0.05USD", 0.05), ("0", 0)])
def test_amounts_are_in_dollars(text: str, dollars: float) -> None:
    assert parse_amount(text) == dollars


@pytest.mark.parametrize("text", ["", "two", "2 EUR", "-1", "1e3", "nan", "2,50 USD"])
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not an amount in US dollars"):
        parse_amount(text)


def test_calls_of_this_month_and_a_month_of_storage_are_spent() -> None:
    calls = Sums(class_c=2500 + 1000)
    found = budget(2, d2026_10_31=calls, d2026_11_01=calls, d2026_11_29=calls)
    assert found.spent == pytest.approx(2 * 0.004)
    assert budget(2, d2026_10_31=Sums(stored_bytes=110 * GB)).spent == pytest.approx(100 * 0.006)
    assert budget(2, d2026_10_31=STORED).spent == 0


def test_what_is_free_is_allowed_even_if_nothing_is_left() -> None:
    empty = budget(0, d2026_11_29=Sums(class_c=100_000))
    assert empty.spent > empty.dollars
    assert empty.allows(FREE_CALLS)
    assert empty.allows(Sums(downloaded_bytes=GB))
    assert not empty.allows(Sums(class_b=2501))
    assert not empty.allows(FREE_CALLS, Sums(class_c=1))
    used_today = budget(0, d2026_11_30=FREE_CALLS)
    assert not used_today.allows(START)
    with pytest.raises(BudgetError, match=r"this command would cost \$0\.000034 beyond today's free allowance"):
        used_today.ensure_allowed(START, Sums(), "this command")
    assert BudgetError.exit_code == 75


def test_storing_more_costs_a_month_of_storage() -> None:
    full = budget(0.006, d2026_10_01=STORED)
    assert full.allows(Sums(stored_bytes=GB))
    assert not full.allows(Sums(stored_bytes=GB + 10**6))
    assert full.allows(Sums(stored_bytes=2 * GB), more_dollars=0.01)


@given(st.floats(0, 10), usages, usages, usages)
def test_what_may_be_downloaded_is_allowed_and_a_little_more_is_not(
    dollars: float, before: Sums, today: Sums, so_far: Sums
) -> None:
    found = budget(dollars, d2026_11_01=before, d2026_11_30=today)
    if not found.allows(so_far):
        assert found.find_downloads(so_far) == 0
        return
    count = found.find_downloads(so_far)
    assert found.allows(Sums(class_b=count >> 20, downloaded_bytes=count), so_far)
    if count < 1 << 44:
        assert not found.allows(Sums(class_b=(count >> 20) + 1, downloaded_bytes=count + (1 << 20)), so_far)


@given(st.floats(0, 10), usages, st.lists(usages, max_size=4))
def test_the_bill_is_never_above_the_budget_while_each_usage_is_allowed(
    dollars: float, before: Sums, steps: list[Sums]
) -> None:
    found = budget(dollars, d2026_11_01=before)
    so_far = Sums()
    for step in steps:
        if found.allows(so_far, step):
            so_far.add(step)
    assert found.cost_of(so_far) <= max(0, dollars - found.spent) + 1e-12
