"""What pyrestic itself writes below a home is no change of it: an hourly backup of a whole home can be skipped."""

from pathlib import Path

import pytest

import pyrestic
from tests.support.cli import PASSWORD, Caller


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    """A home that is backed up to a place outside; cache, notes and compiled code are where they are by default."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("Dear Jane")
    caller = Caller(home)
    caller.repository = tmp_path / "repository"
    caller.environment["RESTIC_REPOSITORY"] = str(caller.repository)
    del caller.environment["XDG_CACHE_HOME"]
    caller.create(name="../repository")
    # The run that makes them changes the folders above.
    for name in (".cache/restic", ".cache/pyrestic", ".local/state/pyrestic"):
        (home / name).mkdir(parents=True, mode=0o700)
    return caller


def snapshots(call: Caller) -> int:
    return len(list((call.repository / "snapshots").iterdir()))


@pytest.mark.parametrize(
    "line", ["snapshots", "check --budget 1M", "drill", "history letter", "forget --keep-last 9 --prune", "cost"]
)
def test_an_unchanged_home_is_skipped_whatever_ran_before(call: Caller, line: str) -> None:
    assert call("backup", call.folder).code == 0
    call(*line.split())
    for _ in range(2):
        outcome = call("backup", "--skip-if-unchanged", call.folder)
        assert (outcome.code, snapshots(call)) == (0, 1), outcome.out
    written = {path.relative_to(call.folder).as_posix() for path in call.folder.rglob("*") if path.is_file()}
    assert any(name.startswith(".local/state/pyrestic/") for name in written), "nothing was written: nothing is shown"
    listed = call("ls", "latest").out
    assert "/letter" in listed
    assert "/.local/state" in listed
    assert "state/pyrestic" not in listed
    (call.folder / "letter").write_text("Dear John")
    assert call("backup", "--skip-if-unchanged", call.folder).code == 0
    assert snapshots(call) == 2


def test_a_program_skips_it_as_well(call: Caller) -> None:
    for _ in range(2):
        assert call("backup", "--skip-if-unchanged", call.folder).code == 0
        with pyrestic.open_repository(call.repository, password=PASSWORD, environment=call.environment) as repository:
            assert repository.backup([call.folder], skip_if_unchanged=True).snapshot is None
    assert snapshots(call) == 1
