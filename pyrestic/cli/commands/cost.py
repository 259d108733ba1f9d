"""pyrestic cost: B2 usage so far, its cost, and a forecast."""

import time
from dataclasses import asdict

from pyrestic.backend.b2.backend import B2Backend
from pyrestic.backend.b2.doctor import Held, count_held
from pyrestic.backend.metering import Sums
from pyrestic.cli.billing import describe, find_book, load_prices, prices_path
from pyrestic.cli.command import App, define
from pyrestic.cli.flag_fields import Flags, parsed, switch
from pyrestic.cli.flags import NATURAL
from pyrestic.cli.session import opened_place
from pyrestic.cli.table import format_table
from pyrestic.errors import LocalFileError, UntrustedError
from pyrestic.localfs.usage_log import Days
from pyrestic.operations.cost import (
    Forecast,
    Prices,
    day_price,
    format_dollars,
    make_forecast,
    storage_price,
    sum_places,
)
from pyrestic.units import format_bytes


class CostFlags(Flags):
    """The flags of cost."""

    months: int = parsed("--months", type=NATURAL, default=12, help="number of months to show (default 12)")
    offline: bool = switch("--offline", help="do not query the service for the stored size")


@define("cost", "Show B2 API calls per month, their cost, and a forecast.", CostFlags, prints=True)
def command(app: App, flags: CostFlags) -> None:
    """Print months, and a forecast if the location is in B2."""
    prices = _load_prices(app)
    places = _read_book(app)
    days = sum_places(places)
    held = None if flags.offline or not app.settings.repo + app.settings.repository_file else _count(app)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    forecast = None if held is None else make_forecast(days, today, held.file_bytes + held.hidden_bytes, prices)
    shown = _by_month(days)
    shown = dict(list(shown.items())[-flags.months :]) if flags.months else {}
    if app.settings.json:
        app.terminal.print_json(_document(places, shown, held, forecast, prices))
        return
    _print(app, shown, held, forecast, prices)


def _load_prices(app: App) -> Prices:
    """Return this user's prices, the built-in ones if the file cannot be read; raise UsageError if it is invalid."""
    try:
        return load_prices(app.settings.environment)
    except LocalFileError as error:
        app.terminal.note(f"the default prices are used: {error}", 0)
        return Prices()


def _read_book(app: App) -> Days:
    """Return the usage so far, empty if it cannot be read."""
    book = find_book(app.settings.environment)
    try:
        return book.read() if book is not None else {}
    except LocalFileError as error:
        level = 2 if isinstance(error, UntrustedError) else 0
        app.terminal.note(f"the record of earlier B2 calls is not used: {error}", level)
        return {}


def _count(app: App) -> Held | None:
    """Return the stored bytes at the location, None if it is not in B2."""
    with opened_place(app.settings, app.terminal) as place:
        backend = place.backend
        if not isinstance(backend, B2Backend):
            return None
        return place.retry.run("listing the bucket", lambda: count_held(backend))


def _by_month(days: dict[str, Sums]) -> dict[str, dict[str, Sums]]:
    months: dict[str, dict[str, Sums]] = {}
    for day, sums in days.items():
        months.setdefault(day[:7], {})[day] = sums
    return months


def _total(days: dict[str, Sums]) -> Sums:
    total = Sums()
    for sums in days.values():
        total.add(sums)
    return total


def _price(days: dict[str, Sums], prices: Prices) -> float:
    return sum(day_price(sums, prices) for sums in days.values())


def _document(
    places: Days, months: dict[str, dict[str, Sums]], held: Held | None, forecast: Forecast | None, prices: Prices
) -> dict[str, object]:
    totals: dict[str, Sums] = {}
    for sums_of in places.values():
        for location, sums in sums_of.items():
            totals.setdefault(location, Sums()).add(sums)
    return {
        "message_type": "cost",
        "months": [
            {"month": month, **describe(_total(days), prices), "dollars_beyond_allowance": _price(days, prices)}
            for month, days in months.items()
        ],
        "repositories": [{"location": location, **describe(sums, prices)} for location, sums in totals.items()],
        "stored": None if held is None else held._asdict(),
        "forecast": None if forecast is None else asdict(forecast),
        "prices": asdict(prices),
    }


def _print(
    app: App, months: dict[str, dict[str, Sums]], held: Held | None, forecast: Forecast | None, prices: Prices
) -> None:
    rows = []
    for month, days in months.items():
        total = _total(days)
        rows.append(
            [
                month,
                str(total.class_a),
                str(total.class_b),
                str(total.class_c),
                format_bytes(total.uploaded_bytes),
                format_bytes(total.downloaded_bytes),
                format_dollars(_price(days, prices)),
            ]
        )
    if rows:
        heads = ["Month", "Class A", "Class B", "Class C", "Uploaded", "Downloaded", "Calls and downloads"]
        for line in format_table(heads, rows):
            app.terminal.print(line)
    else:
        app.terminal.print("This machine has not used B2 yet.")
    if held is not None and forecast is not None:
        app.terminal.print(
            f"stored now: {format_bytes(held.file_bytes)} in {held.files} files, and "
            f"{format_bytes(held.hidden_bytes)} in {held.hidden} hidden or replaced ones"
        )
        app.terminal.print(
            f"forecast:   {format_dollars(forecast.storage)} a month for storage and "
            f"{format_dollars(forecast.calls)} for calls and downloads; at {format_bytes(forecast.growth_bytes)} "
            f"more a month {format_dollars(forecast.storage_in_a_year)} for storage in a year"
        )
    app.terminal.print(
        f"Beyond the free allowance; prices are those of {prices_path(app.settings.environment)} or the built-in ones. "
        f"100 GB cost {format_dollars(storage_price(100 * 10**9, prices))} a month."
    )
