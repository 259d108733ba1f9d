"""A budget for B2 in a month: what is left of it, and what a command may still ask for.

Spent are the calls and downloads of this month beyond each day's free allowance, and a month of storage for all that
this user stored: both from the usage log, for all repositories. What is free today costs nothing, so it is allowed even
if the budget is used up. A run that lasts beyond midnight UTC gets no new allowance.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pyrestic.backend.metering import Sums
from pyrestic.errors import BudgetError
from pyrestic.operations.cost import Prices, day_price, format_dollars, storage_price

START: Final = Sums(class_b=5, class_c=8)
"""What a command asks for at least; see the table in docs/b2.md."""
ENDING_DOLLARS: Final = 0.01
"""What storing a partial snapshot may cost beyond the budget."""


class MonthBudget:
    """A budget in dollars, and the usage of each day ("2026-11-23") so far; `today` is a day in UTC."""

    def __init__(self, dollars: float, prices: Prices, days: Mapping[str, Sums], today: str) -> None:
        self.dollars = dollars
        self._prices = prices
        self._today = days.get(today, Sums())
        self._stored = sum(sums.stored_bytes for sums in days.values())
        calls = sum(day_price(sums, prices) for day, sums in days.items() if day[:7] == today[:7])
        self.spent = calls + self._storage(0)

    def cost_of(self, usage: Sums) -> float:
        """Return what more usage costs today, with a month of storage for what it adds."""
        after = replace(self._today)
        after.add(usage)
        calls = day_price(after, self._prices) - day_price(self._today, self._prices)
        return calls + self._storage(usage.stored_bytes) - self._storage(0)

    def allows(self, *usages: Sums, more_dollars: float = 0.0) -> bool:
        """Tell whether these usages together are free, or within the budget and a little more."""
        total = Sums()
        for usage in usages:
            total.add(usage)
        return self.cost_of(total) <= max(0.0, self.dollars - self.spent) + more_dollars

    def ensure_allowed(self, usage: Sums, so_far: Sums, what: str) -> None:
        """Raise BudgetError if what a command is about to ask for, after its usage so far, exceeds the budget."""
        if not self.allows(usage, so_far):
            cost = format_dollars(self.cost_of(usage))
            raise BudgetError(f"{what} would cost {cost} beyond today's free allowance: {self._describe()}")

    def make_error(self) -> BudgetError:
        """Return the error of a command that was ended."""
        return BudgetError(f"the command was ended: {self._describe()}")

    def _describe(self) -> str:
        spent, budget = format_dollars(self.spent), format_dollars(self.dollars)
        return f"{spent} of this month's budget of {budget} were spent before"

    def find_downloads(self, so_far: Sums) -> int:
        """Return how many bytes may be downloaded, to the nearest MiB below."""
        least, most = 0, 1 << 24
        while least < most:
            middle = (least + most + 1) // 2
            if self.allows(Sums(class_b=middle, downloaded_bytes=middle << 20), so_far):
                least = middle
            else:
                most = middle - 1
        return least << 20

    def _storage(self, more_bytes: int) -> float:
        return storage_price(max(0, self._stored + more_bytes), self._prices)
