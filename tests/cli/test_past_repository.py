"""A repository of the past, `-o b2.as-of`, says nothing about the present: what this user remembers stays as it is."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pyrestic.repository.repository import Repository
from tests.cli.test_snapshot_watch import GONE
from tests.support.b2 import BUCKET, open_b2
from tests.support.cli import FAST, PASSWORD, Caller, Outcome
from tools.b2_server import B2Server


class OnB2:
    """Calls the program on a repository of the service, as it is or as it was."""

    def __init__(self, call: Caller, server: B2Server) -> None:
        self._call = call
        self._server = server
        self.books = call.folder / ".local/state/pyrestic"

    def __call__(self, *words: str, as_of: str = "", **environment: str) -> Outcome:
        options = ["-o", f"b2.endpoint={self._server.url}", *(["-o", f"b2.as-of={as_of}"] if as_of else [])]
        variables = {"RESTIC_REPOSITORY": f"b2:{BUCKET}:repository", **self._server.environment(), **environment}
        return self._call(*options, *words, **variables)

    def moment(self) -> str:
        """Return a time after all that was done so far, and before all that is still to be done."""
        milliseconds = self._server.store.now()
        while self._server.store.now() == milliseconds:
            pass
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()

    def remembered(self) -> dict[str, bytes]:
        """Return the notes of what was seen and verified."""
        return {path.parent.name: path.read_bytes() for path in self.books.glob("*/*.json")}


@pytest.fixture
def call(b2: B2Server, tmp_path: Path) -> OnB2:
    backend = open_b2(b2)
    Repository.create(
        backend, PASSWORD, hostname="host", username="user", created="2024-01-02T03:04:05Z", params=FAST
    ).close()
    backend.close()
    return OnB2(Caller(tmp_path), b2)


def backup(call: OnB2, folder: Path, text: str) -> None:
    (folder / "file").write_text(text)
    outcome = call("backup", "file")
    assert outcome.code == 0, outcome.err


@pytest.mark.slow
def test_snapshots_that_came_later_are_not_told_as_gone_nor_forgotten(call: OnB2, tmp_path: Path) -> None:
    backup(call, tmp_path, "one")
    before = call.moment()
    backup(call, tmp_path, "two")
    remembered = call.remembered()
    for words in (["snapshots"], ["ls", "latest"], ["restore", "latest", "--target", "back"], ["check"]):
        past = call(*words, as_of=before)
        assert past.code == 0, past.err
        assert GONE not in past.err
        assert call.remembered() == remembered, words
    assert len(call("--json", "snapshots", as_of=before).json) == 1
    assert GONE not in call("snapshots").err


def test_snapshots_that_are_seen_in_the_past_alone_are_not_missed_in_the_present(call: OnB2, tmp_path: Path) -> None:
    backup(call, tmp_path, "one")
    before = call.moment()
    call("forget", "latest", "--unsafe-allow-remove-all")
    backup(call, tmp_path, "two")
    remembered = call.remembered()
    assert call("snapshots", as_of=before).code == 0
    assert call.remembered() == remembered
    assert GONE not in call("snapshots").err


@pytest.mark.slow
def test_what_vanished_is_still_told_after_a_look_at_the_past(call: OnB2, b2: B2Server, tmp_path: Path) -> None:
    backup(call, tmp_path, "one")
    backup(call, tmp_path, "two")
    before = call.moment()
    # An intruder, whose notes are elsewhere and whose key can only hide files.
    key_id, key = b2.add_key(["listFiles", "readFiles", "writeFiles"], bucket=BUCKET)
    intruder = {"B2_ACCOUNT_ID": key_id, "B2_ACCOUNT_KEY": key, "XDG_STATE_HOME": str(tmp_path / "intruder")}
    assert call("forget", "latest", **intruder).code == 0
    past = call("snapshots", "--json", as_of=before)
    assert (len(past.json), GONE in past.err) == (2, False)
    assert GONE in call("snapshots").err
    assert GONE not in call("snapshots").err


@pytest.mark.slow
def test_what_is_verified_in_the_past_counts_nothing_in_the_present(call: OnB2, tmp_path: Path) -> None:
    backup(call, tmp_path, "one")
    before = call.moment()
    backup(call, tmp_path, "two")
    assert call("check", "--read-data").code == 0
    remembered = call.remembered()
    assert sorted(remembered) == ["proofs", "seen"]
    for words in (["check", "--read-data"], ["check", "--budget", "1G"], ["drill"]):
        past = call(*words, as_of=before)
        assert past.code == 0, past.err
        assert call.remembered() == remembered, words
