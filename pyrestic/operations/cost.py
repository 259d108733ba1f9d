"""The costs of a B2 account: prices, free allowances, costs of calls and of storage.

The built-in prices may be out of date; users can override them (docs/b2.md). All amounts are in US dollars, a GB has
10**9 bytes, and days are in UTC, as the service counts them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date

from pyrestic.backend.metering import Sums
from pyrestic.errors import UsageError

GB = 10**9


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices and free allowances of an account."""

    storage_per_gb_month: float = 0.006
    storage_free_gb: float = 10.0
    class_b_per_10000: float = 0.004
    class_b_free_per_day: int = 2500
    class_c_per_1000: float = 0.004
    class_c_free_per_day: int = 2500
    download_per_gb: float = 0.01
    download_free_gb_per_day: float = 1.0


def format_dollars(amount: float) -> str:
    """Return an amount with enough decimals."""
    return f"${amount:.2f}" if amount >= 0.01 or amount == 0 else f"${amount:.6f}"


def sum_places(places: Mapping[str, Mapping[str, Sums]]) -> dict[str, Sums]:
    """Return the totals of each day over all locations: free allowances apply per account."""
    days: dict[str, Sums] = {}
    for day, sums_of in sorted(places.items()):
        days[day] = Sums()
        for sums in sums_of.values():
            days[day].add(sums)
    return days


def make_prices(values: Mapping[str, object]) -> Prices:
    """Return the prices with some of them replaced; raise UsageError for an unknown or invalid one."""
    known = {field.name: field.type for field in fields(Prices)}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"there is no price {name!r}", hint=f"Known are: {', '.join(known)}.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise UsageError(f"the price {name} must be a number of zero or more")
    return Prices(**values)  # type: ignore[arg-type]


def full_price(usage: Sums, prices: Prices) -> float:
    """Return the cost of calls and downloads without any free allowance; storage not included."""
    return (
        usage.class_b / 10_000 * prices.class_b_per_10000
        + usage.class_c / 1000 * prices.class_c_per_1000
        + usage.downloaded_bytes / GB * prices.download_per_gb
    )


def day_price(sums: Sums, prices: Prices) -> float:
    """Return the cost of one day's calls and downloads beyond the free allowance of that day."""
    return full_price(
        Sums(
            class_b=max(0, sums.class_b - prices.class_b_free_per_day),
            class_c=max(0, sums.class_c - prices.class_c_free_per_day),
            downloaded_bytes=max(0, sums.downloaded_bytes - int(prices.download_free_gb_per_day * GB)),
        ),
        prices,
    )


def storage_price(stored_bytes: int, prices: Prices) -> float:
    """Return the monthly cost of this number of stored bytes."""
    return max(0.0, stored_bytes / GB - prices.storage_free_gb) * prices.storage_per_gb_month


def month_price(places: Mapping[str, Mapping[str, Sums]], place: str, today: str, prices: Prices) -> float | None:
    """Return a location's part of what this month costs so far, with a month of its storage; None if it was not used.

    `places` has the usage of the account, by day and location. Free allowances are shared by use.
    """
    stored = {name: 0 for sums_of in places.values() for name in sums_of}
    calls = 0.0
    for day, sums_of in places.items():
        for name, sums in sums_of.items():
            stored[name] += sums.stored_bytes
        if day[:7] == today[:7] and place in sums_of:
            total = Sums()
            for sums in sums_of.values():
                total.add(sums)
            whole = full_price(total, prices)
            calls += day_price(total, prices) * full_price(sums_of[place], prices) / whole if whole else 0.0
    if place not in stored:
        return None
    everything = sum(max(0, length) for length in stored.values())
    share = max(0, stored[place]) / everything if everything else 0.0
    return calls + storage_price(everything, prices) * share


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast of a month if usage continues."""

    calls: float
    """Calls and downloads of the full month, extrapolated from the days so far."""
    storage: float
    """A month of the current storage."""
    growth_bytes: int
    """Bytes added per month, from the additions on the known days."""
    storage_in_a_year: float
    """A month of storage in a year from now, at that growth."""


def make_forecast(days: Mapping[str, Sums], today: str, stored_bytes: int, prices: Prices) -> Forecast:
    """Forecast from the daily totals of the account ("2026-11-23" and so on), today's date and the stored bytes."""
    month = [price for day, price in _day_prices(days, prices) if day[:7] == today[:7]]
    days_passed = int(today[8:])
    calls = sum(month) / days_passed * 30.4 if days_passed else 0.0
    recent = sorted(day for day in days if day <= today)[-30:]
    span = _days_between(recent[0], today) + 1 if recent else 1
    # Days without usage add nothing, but they count; a first backup alone is no trend.
    added = sum(days[day].stored_bytes for day in recent[1:])
    growth = int(added / span * 30.4) if len(recent) > 1 else 0
    return Forecast(
        calls,
        storage_price(stored_bytes, prices),
        growth,
        storage_price(max(0, stored_bytes + 12 * growth), prices),
    )


def _day_prices(days: Mapping[str, Sums], prices: Prices) -> list[tuple[str, float]]:
    return [(day, day_price(sums, prices)) for day, sums in sorted(days.items())]


def _days_between(first: str, last: str) -> int:
    return (date.fromisoformat(last) - date.fromisoformat(first)).days
