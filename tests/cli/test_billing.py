"""The usage log while a command with a budget runs."""

from pathlib import Path

import pytest

from pyrestic.backend.metering import CallClass, Ledger
from pyrestic.cli import billing
from pyrestic.cli.options import make_settings
from pyrestic.cli.terminal import Terminal


def test_a_command_with_a_budget_records_its_usage_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is killed has spent it, too."""
    monkeypatch.setattr(billing, "_RECORD_SECONDS", -1.0)
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    settings = make_settings({"budget_month": 5.0}, environment)
    ledger = Ledger()
    bill = billing.Bill(settings, Terminal(settings), ledger, "b2:bucket:")
    book = billing.find_book(environment)
    assert book is not None

    def logged() -> list[tuple[int, int]]:
        return [(one.class_b, one.stored_bytes) for places in book.read().values() for one in places.values()]

    ledger.moved(stored=1000)
    ledger.call("b2_download_file_by_name", CallClass.B)
    assert logged() == [(1, 1000)]
    ledger.call("b2_download_file_by_name", CallClass.B)
    assert logged() == [(2, 1000)]
    ledger.moved(stored=-300)
    bill.close()
    assert logged() == [(2, 700)]
