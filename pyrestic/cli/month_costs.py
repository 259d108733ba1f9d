"""What the repositories of profiles cost this month, from this user's usage log."""

import time
from collections.abc import Mapping
from contextlib import suppress

from pyrestic.errors import PyresticError
from pyrestic.runner.overview import FindCost

_BILLED = "b2:"


def make_cost_finder(environment: Mapping[str, str]) -> FindCost:
    """Return a function that finds the cost of a location; without usage log or prices, it is unknown."""

    def find(location: str) -> float | None:
        if not location.startswith(_BILLED):
            return None
        # Other places cost nothing.
        from pyrestic.cli.billing import find_book, load_prices
        from pyrestic.operations.cost import month_price

        book = find_book(environment)
        with suppress(PyresticError):
            if book is not None:
                today = time.strftime("%Y-%m-%d", time.gmtime())
                return month_price(book.read(), location, today, load_prices(environment))
        return None

    return find
