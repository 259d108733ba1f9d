"""What killed programs leave behind: half written files, a key without a config, a copy of a pack."""

import os
import shutil
import time
from functools import partial
from pathlib import Path

import pytest

from pyrestic.backend.leftovers import OLD_SECONDS, list_leftovers
from pyrestic.repository import locks
from pyrestic.repository.held_lock import LockTiming
from tests.support.cli import PASSWORD, Caller
from tests.support.damage import find_file, flip

NAME = "ab" * 32


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    caller = Caller(tmp_path)
    caller.create()
    (tmp_path / "file").write_text("text")
    assert caller("backup", "file").code == 0
    return caller


def leave(repository: Path, name: str, *, age_seconds: float) -> Path:
    """Leave a half written file of this age."""
    path = repository / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"half")
    then = time.time() - age_seconds
    os.utime(path, (then, then))
    return path


NAMES = (
    f"data/ab/{NAME}-tmp-1234567",
    f"data/ab/{NAME}-restic-temp-0123456789abcdef",
    f"index/{NAME}.rest-server-temp991",
    f"snapshots/{NAME}-tmp-5",
    f"keys/{NAME}-tmp-5",
    f"locks/{NAME}-tmp-5",
    "config-tmp-77",
)
OTHERS = ("data/notes-tmp-1", f"{NAME}-tmp-x", f"data/{NAME}-tmp-", f"index/{NAME}.bak", "readme")


@pytest.mark.parametrize("command", ["check", "unlock", "prune --dry-run"])
def test_commands_name_what_was_left_and_leave_it_there(call: Caller, command: str) -> None:
    left = [leave(call.repository, name, age_seconds=2 * OLD_SECONDS) for name in NAMES]
    others = [leave(call.repository, name, age_seconds=2 * OLD_SECONDS) for name in OTHERS]
    outcome = call(*command.split())
    assert outcome.code == 0, outcome.err
    for path in left:
        assert outcome.err.count(f"an interrupted run left {path} ") == 1
    assert all(path.exists() for path in left + others)
    assert not any(str(path) + " " in outcome.err for path in others)
    assert "left" not in call("--quiet", *command.split()).err


def test_prune_removes_what_is_older_than_a_day(call: Caller) -> None:
    old = [leave(call.repository, name, age_seconds=OLD_SECONDS + 60) for name in NAMES]
    others = [leave(call.repository, name, age_seconds=2 * OLD_SECONDS) for name in OTHERS]
    young = leave(call.repository, f"data/cd/{'cd' * 32}-tmp-1", age_seconds=OLD_SECONDS - 600)
    future = leave(call.repository, f"data/cd/{'cd' * 32}-tmp-2", age_seconds=-OLD_SECONDS)
    outcome = call("prune")
    assert outcome.code == 0, outcome.err
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in [*others, young, future])
    assert f"{young} " in outcome.err
    assert call("check").code == 0


def test_a_link_of_such_a_name_is_left_alone(call: Caller, tmp_path: Path) -> None:
    link = call.repository / f"index/{NAME}-tmp-1"
    link.symlink_to(tmp_path / "file")
    assert list_leftovers(str(call.repository)) == []


def test_init_goes_on_where_it_was_killed_before_the_config(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    (call.repository / "config").unlink()
    key = find_file(call.repository, "key").name
    refused = call("init", RESTIC_PASSWORD="another")
    assert refused.code == 1
    assert "repository already contains keys" in refused.err
    assert "interrupted init" in refused.err
    assert call("init").code == 0
    assert [path.name for path in (call.repository / "keys").iterdir()] == [key]
    assert call("snapshots").code == 0


@pytest.mark.parametrize("kind", ["snapshots", "index", "data"])
def test_init_never_makes_a_config_where_something_is_stored(call: Caller, kind: str) -> None:
    (call.repository / "config").unlink()
    for folder in {"snapshots", "index", "data"} - {kind}:
        shutil.rmtree(call.repository / folder)
        (call.repository / folder).mkdir()
    outcome = call("init")
    assert outcome.code == 1
    assert "put back a copy" in outcome.err
    assert not (call.repository / "config").exists()


def test_repair_packs_goes_on_after_a_kill(call: Caller, tmp_path: Path) -> None:
    pack = find_file(call.repository, "data pack")
    content = pack.read_bytes()
    flip(pack)
    (tmp_path / f"pack-{pack.name}").write_bytes(content[:10])
    damaged = pack.read_bytes()
    outcome = call("--no-cache", "repair", "packs", pack.name)
    assert outcome.code in (0, 3), outcome.err
    assert (tmp_path / f"pack-{pack.name}").read_bytes() == content[:10]
    assert (tmp_path / f"pack-{pack.name}.2").read_bytes() == damaged
    # As if it had been killed before the packs were removed.
    pack.write_bytes(damaged)
    assert call("--no-cache", "repair", "packs", pack.name).code in (0, 3)
    assert sorted(path.name for path in tmp_path.glob("pack-*")) == [f"pack-{pack.name}", f"pack-{pack.name}.2"]
    gone = call("--no-cache", "repair", "packs", pack.name)
    assert gone.code == 1
    assert "neither stored nor named" in gone.err


@pytest.mark.parametrize("kind", ["data pack", "tree pack", "index", "snapshot", "key", "second key", "lock"])
def test_check_counts_every_file_that_fails_its_hash(
    call: Caller, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LockTiming", partial(LockTiming, unreadable_retry=0.01))
    new = tmp_path / "new"
    new.write_text("new")
    assert call("key", "add", "--new-password-file", new).code == 0
    flags = ["--json", "check", "--read-data"]
    if kind == "lock":
        (call.repository / "locks" / NAME).write_bytes(b"1" * 100)
        flags.insert(0, "--no-lock")
    else:
        keys = sorted((call.repository / "keys").iterdir())
        flip(keys[1] if kind == "second key" else find_file(call.repository, kind))
    outcome = call(*flags)
    # 12 where it is the key of this password: which of the two is the first is chance.
    codes = (1, 12) if "key" in kind else (1,)
    assert outcome.code in codes
    assert outcome.out.count('"message_type":"summary"') == 1
    assert '"num_errors":0' not in outcome.out
    assert call(*flags[1:] if kind == "lock" else flags, RESTIC_PASSWORD=PASSWORD).code in codes


@pytest.mark.parametrize("variable", ["HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"])
def test_a_strange_home_is_no_error_for_cost(tmp_path: Path, variable: str) -> None:
    call = Caller(tmp_path)
    (tmp_path / "strange").write_text("no folder")
    outcome = call("cost", "--offline", **{variable: str(tmp_path / "strange")})
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
