"""init, key and unlock."""

import json
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.handle import FileType
from tests.support.cli import PASSWORD, Caller

OPEN = {"RESTIC_FROM_PASSWORD": PASSWORD, "RESTIC_PASSWORD2": PASSWORD}


def config(call: Caller, place: Path) -> dict[str, object]:
    document: dict[str, object] = call("cat", "config", "-r", place).json
    return document


def test_init_makes_a_repository_and_says_so(call: Caller) -> None:
    outcome = call("init")
    identifier = str(config(call, call.repository)["id"])
    assert outcome.out == (
        f"created restic repository {identifier[:10]} at {call.repository}\n\n"
        "Please note that knowledge of your password is required to access\n"
        "the repository. Losing your password means that your data is\nirrecoverably lost.\n"
    )
    assert len(list((call.repository / "data").iterdir())) == 256


def test_init_tells_a_program_in_json(call: Caller) -> None:
    message = call("init", "--json").json
    assert message == {
        "message_type": "initialized",
        "id": config(call, call.repository)["id"],
        "repository": str(call.repository),
    }


def test_init_is_quiet_when_asked(call: Caller) -> None:
    assert call("init", "-q").out == ""
    assert config(call, call.repository)["version"] == 2


@pytest.mark.parametrize(("text", "version"), [("1", 1), ("2", 2), ("stable", 2), ("latest", 2), ("", 2)])
def test_init_makes_the_version_asked_for(call: Caller, text: str, version: int) -> None:
    assert call("init", "--repository-version", text).code == 0
    assert config(call, call.repository)["version"] == version


@pytest.mark.parametrize(
    ("text", "message"), [("3", "only repository versions between 1 and 2"), ("x", "invalid repository version")]
)
def test_init_refuses_other_versions(call: Caller, text: str, message: str) -> None:
    outcome = call("init", "--repository-version", text)
    assert (outcome.code, message in outcome.err) == (1, True)
    assert not call.repository.exists()


def test_init_never_touches_a_repository_that_is_there(made: Caller) -> None:
    before = config(made, made.repository)
    outcome = made("init")
    assert outcome.code == 1
    assert outcome.err == f"Fatal: create repository at {made.repository} failed: config file already exists\n"
    assert config(made, made.repository) == before


def test_init_takes_a_lost_config_for_a_repository(made: Caller) -> None:
    (made.repository / "config").unlink()
    (made.repository / "index" / ("ab" * 32)).write_bytes(b"something")
    outcome = made("init")
    assert (outcome.code, "repository already contains keys" in outcome.err) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--from-repo", "--repo2"])
def test_init_copies_the_polynomial_of_another_repository(made: Caller, tmp_path: Path, flag: str) -> None:
    place = tmp_path / "second"
    outcome = made("init", "-r", place, "--copy-chunker-params", flag, made.repository, **OPEN)
    assert outcome.code == 0
    assert " with chunker parameters copied from secondary repository\n" in outcome.out
    ours, theirs = config(made, place), config(made, made.repository)
    assert ours["chunker_polynomial"] == theirs["chunker_polynomial"]
    assert ours["id"] != theirs["id"]


def test_the_other_repository_may_be_named_by_variables(made: Caller, tmp_path: Path) -> None:
    variables = {"RESTIC_FROM_REPOSITORY": str(made.repository), **OPEN}
    assert made("init", "-r", tmp_path / "second", "--copy-chunker-params", **variables).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from-repo", "x"], "Secondary repository must only be specified when copying the chunker parameters"),
        (["--copy-chunker-params"], "Please specify a source repository location"),
        (["--copy-chunker-params", "--from-repo", "x", "--repo2", "x"], "Option groups repo2 and from-repo are"),
        (
            ["--copy-chunker-params", "--from-repo", "x", "--from-repository-file", "y"],
            "Options --from-repo and --from-repository-file are mutually exclusive",
        ),
        (
            ["--copy-chunker-params", "--repo2", "x", "--repository-file2", "y"],
            "Options --repo2 and --repository-file2 are mutually exclusive",
        ),
    ],
)
def test_init_refuses_what_is_unclear(call: Caller, arguments: list[str], message: str) -> None:
    outcome = call("init", *arguments, **OPEN)
    assert (outcome.code, message in outcome.err) == (1, True)
    assert not call.repository.exists()


def test_init_says_where_it_could_not_be(call: Caller, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = call("init", "-r", tmp_path / "file")
    assert outcome.code == 1
    assert f"create repository at {tmp_path}/file failed" in outcome.err


def test_the_place_may_be_told_by_a_file(made: Caller, tmp_path: Path) -> None:
    file = tmp_path / "place"
    file.write_text(f"{made.repository}\n")
    assert made("list", "keys", "--repository-file", file, RESTIC_REPOSITORY=None).code == 0
    assert made("list", "keys", RESTIC_REPOSITORY=None, RESTIC_REPOSITORY_FILE=str(file)).code == 0
    outcome = made("list", "keys", "--repository-file", tmp_path / "none", RESTIC_REPOSITORY=None)
    assert (outcome.code, "does not exist" in outcome.err) == (1, True)


def new_password(folder: Path, text: str) -> Path:
    file = folder / "new"
    file.write_text(text)
    return file


def test_a_key_is_added_listed_and_removed(made: Caller, tmp_path: Path) -> None:
    file = new_password(tmp_path, "second\n")
    added = made("key", "add", "--new-password-file", file, "--user", "me", "--host", "there")
    identifier = added.out.removeprefix("saved new key with ID ").strip()
    assert len(identifier) == 64
    lines = made("key", "list", RESTIC_PASSWORD="second").out.splitlines()
    assert lines[0].split() == ["ID", "User", "Host", "Created"]
    assert f"*{identifier[:8]}  me    there" in "\n".join(lines)
    assert made("key", "remove", identifier[:10]).out == f"removed key {identifier}\n"
    assert made("list", "keys", RESTIC_PASSWORD="second").code == 12


def test_the_new_key_is_told_with_json_too_and_not_with_quiet(made: Caller, tmp_path: Path) -> None:
    file = new_password(tmp_path, "second")
    assert made("key", "add", "--json", "--new-password-file", file).out.startswith("saved new key with ID ")
    assert made("key", "add", "--quiet", "--new-password-file", file).out == ""
    assert made("key", "passwd", "--json", "--new-password-file", file).out.startswith("saved new key as ")


def test_keys_are_listed_in_json(made: Caller) -> None:
    (key,) = made("key", "list", "--json").json
    assert list(key) == ["current", "id", "userName", "hostName", "created"]
    assert (key["current"], key["userName"], key["hostName"]) == (True, "user", "host")


def test_the_key_in_use_stays(made: Caller) -> None:
    (key,) = made("key", "list", "--json").json
    outcome = made("key", "remove", key["id"])
    assert (outcome.code, "refusing to remove key currently used" in outcome.err) == (1, True)
    assert len(made("key", "list", "--json").json) == 1


def test_a_changed_password_replaces_the_old_one(made: Caller, tmp_path: Path) -> None:
    outcome = made("key", "passwd", "--new-password-file", new_password(tmp_path, "second"))
    assert outcome.out.startswith("saved new key as ")
    assert made("list", "keys").code == 12
    assert len(made("list", "keys", RESTIC_PASSWORD="second").out.splitlines()) == 1


def test_a_new_password_may_be_empty_only_on_purpose(made: Caller, tmp_path: Path) -> None:
    empty = new_password(tmp_path, "\n")
    assert made("key", "add", "--new-password-file", empty).err.splitlines() == [
        "Fatal: an empty password is not allowed by default. Pass the flag `--new-insecure-no-password` to disable this"
        " check",
        f"The file {empty} is empty.",
    ]
    outcome = made("snapshots", "--password-file", empty, RESTIC_PASSWORD=None)
    assert (outcome.code, outcome.err.splitlines()[-1]) == (1, f"The file {empty} is empty.")
    assert made("key", "add", "--new-insecure-no-password", "--new-password-file", empty).code == 1
    assert made("key", "add", stdin="").code == 1
    assert made("key", "add", "--new-insecure-no-password").code == 0
    assert made("list", "keys", "--insecure-no-password", RESTIC_PASSWORD=None).code == 0


def test_an_unknown_or_unclear_key_is_not_removed(made: Caller) -> None:
    assert 'no matching ID found for prefix ""' in made("key", "remove", "").err
    assert 'no matching ID found for prefix "zz"' in made("key", "remove", "zz").err
    assert made("key", "remove").code == 1
    assert made("key", "remove", "a", "b").code == 1
    assert made("key", "add", "--new-insecure-no-password").code == 0
    assert 'multiple IDs with prefix "" found' in made("key", "remove", "").err


def leave_lock(call: Caller, *, hostname: str, exclusive: bool = False, time: str = "") -> str:
    """Store a lock as another program would."""
    import time as clock

    from pyrestic.format.gojson import format_time
    from pyrestic.repository.repository import Repository

    repository = Repository.open(LocalBackend(str(call.repository)), PASSWORD)
    when = time or format_time(clock.time_ns(), 0)
    document = {"time": when, "exclusive": exclusive, "hostname": hostname, "username": "x", "pid": 1}
    identifier = repository.save_unpacked(FileType.LOCK, json.dumps(document).encode())
    repository.close()
    return identifier.hex()


def test_unlock_removes_old_locks_only_unless_told(made: Caller) -> None:
    old = leave_lock(made, hostname="elsewhere", time="2020-01-01T00:00:00Z")
    fresh = leave_lock(made, hostname="elsewhere")
    assert set(made("list", "locks").out.split()) == {old, fresh}
    assert made("unlock").out == "successfully removed 1 locks\n"
    assert made("list", "locks").out == fresh + "\n"
    assert made("unlock", "--remove-all", "--json").out == ""
    assert made("list", "locks").out == made("unlock").out == ""


def test_a_foreign_lock_keeps_exclusive_commands_out(made: Caller) -> None:
    (key,) = made("key", "list", "--json").json
    leave_lock(made, hostname="elsewhere")
    outcome = made("key", "remove", key["id"])
    assert outcome.code == 11
    assert "repository is already locked by PID 1 on elsewhere" in outcome.err
    assert made("snapshots").code == 0
    assert json.loads(made("key", "remove", key["id"], "--json").err)["code"] == 11


def test_an_exclusive_lock_keeps_readers_out_unless_they_insist(made: Caller) -> None:
    leave_lock(made, hostname="elsewhere", exclusive=True)
    assert made("snapshots").code == 11
    assert made("snapshots", "--no-lock").code == 0
    assert made("list", "locks").code == 0
    assert made("key", "add", "--new-insecure-no-password", "--no-lock").code == 11


def test_no_command_leaves_its_lock(made: Caller) -> None:
    for arguments in (["snapshots"], ["list", "keys"], ["cat", "config"], ["key", "list"], ["ls", "nothing"]):
        made(*arguments)
        assert list((made.repository / "locks").iterdir()) == []
