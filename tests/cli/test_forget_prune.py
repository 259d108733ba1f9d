"""forget and prune: what only our own program can show."""

import json
from pathlib import Path
from unittest import mock

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.errors import AccessError
from pyrestic.handle import FileType, Handle
from pyrestic.report import NullReporter
from pyrestic.repository.locks import Lock
from pyrestic.repository.repository import Repository
from tests.support.cli import PASSWORD, Caller
from tests.support.incomplete import without_hints


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    """A repository with three snapshots of a file that changes."""
    caller = Caller(tmp_path)
    caller.create()
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / "file").write_text(f"content {number}")
        assert caller("backup", source, "--time", f"2024-01-0{number + 1} 00:00:00").code == 0
    return caller


def snapshot_ids(call: Caller) -> list[str]:
    return [one["id"] for one in call("snapshots", "--json").json]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_snapshot_that_cannot_be_removed_is_told_and_gives_exit_code_3(call: Caller, flags: list[str]) -> None:
    stuck = snapshot_ids(call)[0]
    remove = LocalBackend.remove

    def fail_for_one(self: LocalBackend, handle: Handle) -> None:
        if handle.name == stuck:
            raise AccessError("read-only")
        remove(self, handle)

    with mock.patch.object(LocalBackend, "remove", fail_for_one):
        outcome = call("forget", "--keep-last", "1", "--prune", *flags)
    assert outcome.code == 3
    lines = outcome.err.splitlines()
    assert lines[0] == f"unable to remove snapshot/{stuck} from the repository: read-only"
    if flags:
        assert json.loads(lines[1]) == {
            "message_type": "exit_error",
            "code": 3,
            "message": "failed to remove one or more snapshots",
        }
        assert len(outcome.json[0]["remove"]) == 2
    else:
        assert lines[1:] == ["failed to remove one or more snapshots"]
        assert "running prune" not in outcome.out
    assert len(snapshot_ids(call)) == 2
    assert call("forget", "--keep-last", "1", "--prune").code == 0
    assert len(snapshot_ids(call)) == 1


def test_prune_tells_its_numbers_as_json(call: Caller) -> None:
    assert call("forget", "--keep-last", "1", "--json").code == 0
    planned = call("prune", "--dry-run", "--json", "--max-unused", "0").json
    done = call("prune", "--json", "--max-unused", "0").json
    assert planned == done | {"dry_run": True}
    assert list(done) == ["message_type", "dry_run", "blobs", "size", "packs"]
    assert done["message_type"] == "summary"
    assert done["blobs"]["unused"] == done["blobs"]["remove"] + done["blobs"]["repackrm"] > 0
    assert done["packs"]["remove"] > 0
    again = call("prune", "--json").json
    assert (again["blobs"]["unused"], again["packs"]["remove"]) == (0, 0)
    assert again["blobs"]["used"] == done["blobs"]["used"]


def test_without_a_cache_a_person_is_warned_and_json_stays_json(call: Caller) -> None:
    warning = "warning: running prune without a cache, this may be very slow!\n"
    assert call("prune", "-n", "--no-cache").out.startswith(warning)
    as_json = call("prune", "-n", "--no-cache", "--json")
    assert as_json.err == warning
    assert as_json.json["message_type"] == "summary"


def test_a_dry_run_takes_no_lock_on_request_and_changes_nothing(call: Caller) -> None:
    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in call.repository.rglob("*") if path.is_file()}

    before = state()
    locks = mock.Mock(side_effect=AssertionError("nothing is saved"))
    with mock.patch.object(LocalBackend, "save", locks):
        assert call("forget", "-n", "--no-lock", "--keep-last", "1", "--prune").code == 0
        assert call("prune", "-n", "--no-lock").code == 0
    assert state() == before


def test_deprecated_flags_are_taken_with_advice(call: Caller) -> None:
    outcome = call("prune", "-n", "--repack-small")
    assert outcome.code == 0
    assert outcome.err == (
        "Flag --repack-small has been deprecated, small files are automatically repacked."
        " Use --repack-smaller-than to specify a minimum size\n"
    )
    outcome = call("forget", "-n", "--keep-last", "1", "--hostname", "nobody")
    assert outcome.code == 0
    assert without_hints(outcome.err) == "Flag --hostname has been deprecated, use --host\n"
    assert "no snapshot matches the filter" in outcome.err


def test_a_locked_repository_is_left_alone(call: Caller) -> None:
    other = Repository.open(LocalBackend(str(call.repository)), PASSWORD)
    with Lock(other, NullReporter(), exclusive=False):
        for arguments in (["forget", "--keep-last", "1"], ["prune"], ["prune", "-n"], ["forget", "-n", "-l", "1"]):
            outcome = call(*arguments)
            assert outcome.code == 11
            assert "repository is already locked" in outcome.err
    assert len(snapshot_ids(call)) == 3
    assert {handle.name for handle in LocalBackend(str(call.repository)).list(FileType.LOCK)} == set()
