"""What check counts as an error of the snapshots that were asked for."""

import json

import pytest

from tests.support.cli import Caller, Outcome


@pytest.fixture
def filled(made: Caller) -> Caller:
    """A repository with a snapshot of one host."""
    (made.folder / "file").write_text("x")
    assert made("backup", "-q", "--host", "laptop", made.folder / "file").code == 0
    return made


def result(outcome: Outcome) -> tuple[int, int, list[str]]:
    """Return the exit code, the number of errors, and the messages told before the last one."""
    told = [json.loads(line)["message"] for line in outcome.err.splitlines() if '"exit_error"' not in line]
    return outcome.code, outcome.json["num_errors"], [line for line in told if "must be repaired" not in line]


def test_a_snapshot_that_is_not_there_is_an_error(filled: Caller) -> None:
    name = filled("snapshots", "--json").json[0]["id"]
    why = 'Ignoring "nothing": no matching ID found for prefix "nothing"'
    assert result(filled("check", "--json", "nothing", name)) == (1, 1, [why])


def test_a_filter_that_nothing_needs_is_an_error(filled: Caller) -> None:
    name = filled("snapshots", "--json").json[0]["id"]
    why = 'Ignoring "filters": explicit snapshot ids are given'
    assert result(filled("check", "--json", "--host", "laptop", name)) == (1, 1, [why])


def test_a_hint_is_no_error(filled: Caller) -> None:
    hint = "no snapshot matches the filter. Did you mean laptop?"
    assert result(filled("check", "--json", "--host", "laptp")) == (0, 0, [hint])
