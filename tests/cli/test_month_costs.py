"""What the repositories of profiles cost this month."""

import time
from pathlib import Path

import pytest

from pyrestic.backend.metering import Sums
from pyrestic.cli.month_costs import make_cost_finder
from pyrestic.localfs.usage_log import CostBook

PLACE = "b2:bucket:home"


def test_the_usage_log_of_this_user_is_used(tmp_path: Path) -> None:
    find = make_cost_finder({"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)})
    assert find(PLACE) is None
    today = time.strftime("%Y-%m-%d", time.gmtime())
    CostBook(str(tmp_path / "pyrestic")).add(today, PLACE, Sums(class_c=12_500))
    assert find(PLACE) == pytest.approx(0.04)
    assert find("b2:bucket:other") is None
    assert find("/mnt/disk") is None


def test_without_a_readable_log_the_cost_is_unknown(tmp_path: Path) -> None:
    assert make_cost_finder({})(PLACE) is None
    (tmp_path / "pyrestic").write_text("no folder")
    assert make_cost_finder({"XDG_STATE_HOME": str(tmp_path)})(PLACE) is None
