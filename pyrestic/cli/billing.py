"""The B2 usage of a command: printed with -v and in JSON, and added to this user's log."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping

from pyrestic.backend.metering import Ledger, Sums
from pyrestic.backend.private_folder import distrust
from pyrestic.cli.interrupts import ask_to_end_early, end_for
from pyrestic.cli.options import Settings
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import LocalFileError, PyresticError, UntrustedError, UsageError
from pyrestic.localfs.usage_log import CostBook
from pyrestic.localfs.user_folders import find_config_folder, find_state_folder
from pyrestic.operations.cost import Prices, day_price, format_dollars, full_price, make_prices, sum_places
from pyrestic.operations.month_budget import ENDING_DOLLARS, START, MonthBudget
from pyrestic.units import format_bytes

_RECORD_SECONDS = 60.0
_open_ledgers: list[Ledger] = []
"""Those of all open bills."""


def find_book(environment: Mapping[str, str]) -> CostBook | None:
    """Return the usage log of this user, None if there is no state folder."""
    folder = find_state_folder(environment)
    return CostBook(folder) if folder else None


def prices_path(environment: Mapping[str, str]) -> str:
    """Return the path of this user's price file, "" if there is no settings folder."""
    folder = find_config_folder(environment)
    return os.path.join(folder, "prices.json") if folder else ""


def load_prices(environment: Mapping[str, str]) -> Prices:
    """Return the prices, with this user's changes; raise PyresticError if the file is invalid."""
    path = prices_path(environment)
    if not path or distrust(os.path.dirname(path)) is not None:
        return Prices()
    try:
        with open(path, "rb") as file:
            values = json.loads(file.read(1 << 20))
    except (FileNotFoundError, NotADirectoryError):
        return Prices()
    except OSError as error:
        raise LocalFileError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not JSON") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path} must be a JSON object of prices")
    try:
        return make_prices(values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}", hint=error.hint) from None


def prices_or_default(environment: Mapping[str, str], terminal: Terminal) -> Prices:
    """Return the prices; if this user's file is invalid, report that and use the built-in ones."""
    try:
        return load_prices(environment)
    except PyresticError as error:
        terminal.note(f"the default prices are used: {error}", 0)
        return Prices()


def price_beyond(environment: Mapping[str, str], usage: Sums, prices: Prices) -> float:
    """Return today's cost of this usage, given the account's earlier usage from here today (0 if unknown)."""
    so_far = Sums()
    book = find_book(environment)
    if book is not None:
        with contextlib.suppress(LocalFileError):
            for sums in book.read().get(_today(), {}).values():
                so_far.add(sums)
    before = day_price(so_far, prices)
    so_far.add(usage)
    return day_price(so_far, prices) - before


def describe(sums: Sums, prices: Prices) -> dict[str, object]:
    """Return the usage as JSON."""
    return {
        "class_a": sums.class_a,
        "class_b": sums.class_b,
        "class_c": sums.class_c,
        "uploaded_bytes": sums.uploaded_bytes,
        "downloaded_bytes": sums.downloaded_bytes,
        "stored_bytes_added": sums.stored_bytes,
        "dollars": round(full_price(sums, prices), 9),
    }


def format_sums(sums: Sums, prices: Prices) -> str:
    """Return the line for -v."""
    change = f"{format_bytes(abs(sums.stored_bytes))} {'less' if sums.stored_bytes < 0 else 'more'} stored"
    return (
        f"B2: {sums.class_a} class A, {sums.class_b} class B and {sums.class_c} class C calls, "
        f"{format_bytes(sums.uploaded_bytes)} up, {format_bytes(sums.downloaded_bytes)} down, {change}; "
        f"{format_dollars(full_price(sums, prices))} where the free allowance is used up"
    )


class Bill:
    """The usage of one command for one billed backend."""

    def __init__(self, settings: Settings, terminal: Terminal, ledger: Ledger, location: str) -> None:
        self._settings = settings
        self._terminal = terminal
        self._location = location
        self._ledger = ledger
        self._prices = prices = prices_or_default(settings.environment, terminal)
        self._budget = self._make_budget()
        self._asked_early = False
        self._recorded = Sums()
        self._recording = threading.Lock()
        self._record_at = time.monotonic() + _RECORD_SECONDS
        terminal.more_summary = lambda: {"b2": describe(ledger.read(), prices)}
        _open_ledgers.append(ledger)

    def ensure_allowed(self, usage: Sums, what: str) -> None:
        """Raise BudgetError if the month's budget does not allow what a command is about to ask for."""
        if self._budget is not None:
            self._budget.ensure_allowed(usage, _usage_so_far(), what)

    @property
    def has_budget(self) -> bool:
        """Whether there is a budget for a month."""
        return self._budget is not None

    def allows(self, usage: Sums) -> bool:
        """Tell whether the month's budget allows what a command is about to ask for."""
        return self._budget is None or self._budget.allows(usage, _usage_so_far())

    def find_downloads(self) -> int | None:
        """Return how many bytes the month's budget allows to download, None if there is none."""
        return None if self._budget is None else self._budget.find_downloads(_usage_so_far())

    def _make_budget(self) -> MonthBudget | None:
        """Return the budget of --budget-month; raise BudgetError if it is used up, LocalFileError."""
        if self._settings.budget_month is None:
            return None
        book = find_book(self._settings.environment)
        if book is None:
            raise UsageError("--budget-month needs a folder for the usage log: HOME or XDG_STATE_HOME is not set")
        days = sum_places(book.read())
        budget = MonthBudget(self._settings.budget_month, self._prices, days, _today())
        budget.ensure_allowed(START, Sums(), "this command")
        self._ledger.watch = self._look
        return budget

    def _look(self) -> None:
        """End the command when the budget is used up: early, if it can, or else at once."""
        if time.monotonic() > self._record_at:
            # Other commands have the same budget, also after this one was killed.
            self._record()
        budget, usage = self._budget, _usage_so_far()
        if budget is None or budget.allows(usage):
            return
        if not self._asked_early:
            self._asked_early = True
            if ask_to_end_early():
                self._terminal.note("the month's budget is used up: storing what is complete", 0)
                return
        elif budget.allows(usage, more_dollars=ENDING_DOLLARS):
            return
        end_for(budget.make_error())

    def close(self) -> None:
        """Add the usage to the log, and print it with -v."""
        _open_ledgers.remove(self._ledger)
        self._record()
        self._terminal.note(format_sums(self._ledger.read(), self._prices), 2)

    def _record(self) -> None:
        """Add to the log what is not yet in it."""
        book = find_book(self._settings.environment)
        with self._recording:
            usage = self._ledger.read()
            new = usage.since(self._recorded)
            self._record_at = time.monotonic() + _RECORD_SECONDS
            if book is None or not usage.calls or new == Sums():
                return
            try:
                book.add(_today(), self._location, new)
            except UntrustedError:
                # Reported once for all state files, see session.
                pass
            except LocalFileError as error:
                self._terminal.note(f"could not record B2 usage: {error}", 2)
            else:
                self._recorded = usage


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _usage_so_far() -> Sums:
    """Return what this command has asked for: `copy` uses two repositories."""
    total = Sums()
    for ledger in list(_open_ledgers):
        total.add(ledger.read())
    return total
