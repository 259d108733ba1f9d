"""Money: prices, free allowances, forecasts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.metering import Sums
from pyrestic.errors import UsageError
from pyrestic.operations.cost import (
    GB,
    Prices,
    day_price,
    full_price,
    make_forecast,
    make_prices,
    month_price,
    storage_price,
)

PRICES = Prices()


def test_the_free_allowance_of_a_day_costs_nothing_and_what_is_beyond_does() -> None:
    assert day_price(Sums(class_a=10**9, class_b=2500, class_c=2500, downloaded_bytes=GB), PRICES) == 0
    assert day_price(Sums(class_b=12_500), PRICES) == pytest.approx(0.004)
    assert day_price(Sums(class_c=3500), PRICES) == pytest.approx(0.004)
    assert day_price(Sums(downloaded_bytes=11 * GB), PRICES) == pytest.approx(0.10)
    assert full_price(Sums(class_b=10_000, class_c=1000, downloaded_bytes=GB), PRICES) == pytest.approx(0.018)


def test_the_first_gigabytes_of_storage_are_free() -> None:
    assert storage_price(10 * GB, PRICES) == 0
    assert storage_price(110 * GB, PRICES) == pytest.approx(0.6)
    assert storage_price(110 * GB, make_prices({"storage_per_gb_month": 0.005, "storage_free_gb": 0})) == 0.55


@pytest.mark.parametrize(
    "values", [{"x": 1}, {"download_per_gb": "1"}, {"download_per_gb": -1}, {"class_b_per_10000": True}]
)
def test_prices_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        make_prices(values)


def test_a_place_bears_its_part_of_the_account() -> None:
    places = {
        "2026-10-31": {"one": Sums(class_c=10_000, stored_bytes=60 * GB)},
        "2026-11-01": {"one": Sums(class_c=3000), "two": Sums(class_c=1000, stored_bytes=50 * GB)},
        "2026-11-02": {"free": Sums(class_a=5)},
    }
    day = day_price(Sums(class_c=4000), PRICES)
    one = month_price(places, "one", "2026-11-02", PRICES)
    two = month_price(places, "two", "2026-11-02", PRICES)
    assert one == pytest.approx(day * 3 / 4 + storage_price(110 * GB, PRICES) * 6 / 11)
    assert two == pytest.approx(day / 4 + storage_price(110 * GB, PRICES) * 5 / 11)
    assert month_price(places, "free", "2026-11-02", PRICES) == 0
    assert month_price(places, "other", "2026-11-02", PRICES) is None


def test_a_forecast_goes_on_as_the_days_did() -> None:
    days = {f"2026-11-{day:02}": Sums(class_c=3500, stored_bytes=GB) for day in range(1, 11)}
    forecast = make_forecast(days, "2026-11-10", 110 * GB, PRICES)
    assert forecast.calls == pytest.approx(0.004 * 30.4)
    assert forecast.storage == pytest.approx(0.6)
    assert forecast.growth_bytes == pytest.approx(0.9 * 30.4 * GB, rel=1e-6)
    assert forecast.storage_in_a_year == pytest.approx((100 + 12 * 0.9 * 30.4) * 0.006, rel=1e-6)


def test_without_a_past_nothing_grows() -> None:
    forecast = make_forecast({}, "2026-11-01", 0, PRICES)
    assert (forecast.calls, forecast.storage, forecast.growth_bytes) == (0, 0, 0)
    first = make_forecast({"2026-11-01": Sums(stored_bytes=50 * GB)}, "2026-11-01", 50 * GB, PRICES)
    assert first.growth_bytes == 0


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**13))
def test_more_never_costs_less(b: int, c: int, downloaded: int) -> None:
    less = day_price(Sums(class_b=b, class_c=c, downloaded_bytes=downloaded), PRICES)
    more = day_price(Sums(class_b=b + 1, class_c=c + 1, downloaded_bytes=downloaded + 1), PRICES)
    assert 0 <= less <= more <= full_price(Sums(class_b=b + 1, class_c=c + 1, downloaded_bytes=downloaded + 1), PRICES)
