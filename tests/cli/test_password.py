"""Where a password comes from."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pyrestic.localfs.metadata import group_name, user_name
from pyrestic.localfs.password import describe_other_writers
from tests.support.cli import PASSWORD, Caller

WRONG = "Fatal: wrong password or no key found\n"


def test_the_environment_names_the_password_as_it_stands(made: Caller) -> None:
    assert made("list", "keys").code == 0
    outcome = made("list", "keys", RESTIC_PASSWORD=PASSWORD + " ")
    assert (outcome.code, outcome.err) == (12, WRONG)


def test_a_file_is_read_without_mark_and_white_space(made: Caller, tmp_path: Path) -> None:
    file = tmp_path / "password"
    for data in (
        PASSWORD.encode() + b"\n",
        b"\xef\xbb\xbf  " + PASSWORD.encode() + b"\r\n\n",
        ("\ufeff" + PASSWORD).encode("utf-16-le"),
        ("\ufeff" + PASSWORD + "\n").encode("utf-16-be"),
    ):
        file.write_bytes(data)
        assert made("list", "keys", "-p", file, RESTIC_PASSWORD="other").code == 0
        assert made("list", "keys", RESTIC_PASSWORD=None, RESTIC_PASSWORD_FILE=str(file)).code == 0


def test_a_line_break_within_a_file_belongs_to_the_password(call: Caller, tmp_path: Path) -> None:
    call.create(password="one\ntwo")
    file = tmp_path / "password"
    file.write_bytes(b"one\ntwo\n")
    assert call("list", "keys", "-p", file).code == 0


@pytest.mark.process
def test_a_password_of_any_bytes_is_the_same_from_everywhere(call: Caller, tmp_path: Path) -> None:
    raw = b"p\xff\xfe w\xc3\xb6rd"
    call.create(password=raw.decode("utf-8", "surrogateescape"))
    file = tmp_path / "password"
    file.write_bytes(raw)
    assert call("list", "keys", "-p", file).code == 0
    assert call("list", "keys", "--password-command", f"cat {file}").code == 0
    assert call("list", "keys", RESTIC_PASSWORD=os.fsdecode(raw)).code == 0


@pytest.mark.process
def test_a_command_prints_the_password_without_a_shell(made: Caller) -> None:
    assert made("list", "keys", "--password-command", f"echo '{PASSWORD}'", RESTIC_PASSWORD="other").code == 0
    assert made("list", "keys", "--password-command", f"echo '{PASSWORD}' $HOME").code == 12
    assert (
        made("list", "keys", RESTIC_PASSWORD=None, RESTIC_PASSWORD_COMMAND=f"printf ' %s \\n' '{PASSWORD}'").code == 0
    )


@pytest.mark.process
def test_a_command_is_run_once(made: Caller, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\necho run >> '{tmp_path}/runs'\necho '{PASSWORD}'\n")
    script.chmod(0o700)
    (tmp_path / "source").mkdir()
    assert made("backup", tmp_path / "source", "--password-command", str(script)).code == 0
    assert (tmp_path / "runs").read_text() == "run\n"


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "/nonexistent"], "Resolving password failed: /nonexistent does not exist"),
        (["-p", "x", "--password-command", "y"], "Password file and command are mutually exclusive options"),
        (["--password-command", "/nonexistent"], "could not be started: No such file or directory"),
        (["--password-command", "false"], "Resolving password failed: exit status 1"),
        (["--password-command", "'abc"], "single-quoted string not terminated"),
        (["--insecure-no-password"], "--insecure-no-password must not be specified together with providing a password"),
    ],
)
def test_a_source_that_fails_is_named(made: Caller, arguments: list[str], message: str) -> None:
    outcome = made("list", "keys", *arguments)
    assert outcome.code == 1
    assert message in outcome.err


def test_without_terminal_the_first_line_of_standard_input_is_the_password(made: Caller) -> None:
    assert made("list", "keys", RESTIC_PASSWORD=None, stdin=PASSWORD + "\nmore\n").code == 0
    assert made("list", "keys", RESTIC_PASSWORD=None, stdin=PASSWORD).code == 0
    assert made("list", "keys", RESTIC_PASSWORD=None, stdin="wrong\n" + PASSWORD + "\n").code == 12
    assert "an empty password is not allowed" in made("list", "keys", RESTIC_PASSWORD=None, stdin="").err


def test_an_empty_password_has_to_be_asked_for(call: Caller) -> None:
    assert call("init", RESTIC_PASSWORD=None).code == 1
    assert not call.repository.exists()
    assert call("init", "--insecure-no-password", RESTIC_PASSWORD=None).code == 0
    assert call("list", "keys", "--insecure-no-password", RESTIC_PASSWORD=None).code == 0
    assert call("list", "keys", RESTIC_PASSWORD=None, stdin="\n").code == 1


EMPTY = "Fatal: an empty password is not allowed"
PASS_THE_FLAG = " by default. Pass the flag `{}` to disable this check"


@pytest.mark.parametrize(
    ("arguments", "environment", "first", "sources"),
    [
        (
            ["copy", "--from-repo", "{other}"],
            {},
            PASS_THE_FLAG.format("--from-insecure-no-password"),
            "source repository is given by --from-password-file, --from-password-command or RESTIC_FROM_PASSWORD",
        ),
        (
            ["init", "--copy-chunker-params", "--repo", "{new}", "--from-repo", "{other}"],
            {},
            PASS_THE_FLAG.format("--from-insecure-no-password"),
            "source repository is given by --from-password-file, --from-password-command or RESTIC_FROM_PASSWORD",
        ),
        (
            ["copy"],
            {"RESTIC_REPOSITORY2": "{other}"},
            "",
            "destination repository is given by --password-file2, --password-command2 or RESTIC_PASSWORD2",
        ),
        (
            ["copy", "--from-repo", "{other}"],
            {"RESTIC_FROM_PASSWORD": PASSWORD, "RESTIC_PASSWORD": None},
            PASS_THE_FLAG.format("--insecure-no-password"),
            "repository is given by --password-file, --password-command or RESTIC_PASSWORD",
        ),
        (
            ["init", "--repo", "{new}"],
            {"RESTIC_PASSWORD": None},
            PASS_THE_FLAG.format("--insecure-no-password"),
            "new repository is given by --password-file, --password-command or RESTIC_PASSWORD",
        ),
        (
            ["key", "add"],
            {},
            PASS_THE_FLAG.format("--new-insecure-no-password"),
            "new key is given by --new-password-file",
        ),
    ],
)
def test_a_missing_password_is_told_by_the_names_of_what_gives_it(
    made: Caller, arguments: list[str], environment: dict[str, str | None], first: str, sources: str
) -> None:
    names = {"other": made.create(name="other"), "new": made.folder / "new"}
    filled: dict[str, Any] = {name: value and value.format(**names) for name, value in environment.items()}
    outcome = made(*(word.format(**names) for word in arguments), **filled)
    assert (outcome.code, outcome.err.splitlines()) == (1, [EMPTY + first, f"The password of the {sources}."])


def test_of_two_repositories_it_is_told_whose_password_is_wrong(made: Caller) -> None:
    other = made.create(name="other", password="another")
    outcome = made("copy", "--from-repo", other, RESTIC_FROM_PASSWORD="wrong")
    sources = "--from-password-file, --from-password-command or RESTIC_FROM_PASSWORD"
    assert (outcome.code, outcome.err) == (12, f"{WRONG}The password of the source repository is given by {sources}.\n")
    outcome = made("copy", "--from-repo", other, RESTIC_FROM_PASSWORD="another", RESTIC_PASSWORD="wrong")
    assert (outcome.code, outcome.err) == (12, WRONG)


def test_a_second_password_beside_an_empty_one_is_told_by_its_flag(made: Caller) -> None:
    other = made.create(name="other")
    outcome = made("copy", "--from-repo", other, "--from-insecure-no-password", RESTIC_FROM_PASSWORD="x")
    assert outcome.code == 1
    assert outcome.err.startswith("Fatal: --from-insecure-no-password must not be specified together with providing")


def test_no_password_is_asked_for_where_there_is_no_repository(call: Caller) -> None:
    outcome = call("list", "keys", RESTIC_PASSWORD=None, stdin="x\n")
    assert outcome.code == 10
    assert f"Is there a repository at the following location?\n{call.repository}" in outcome.err


def test_no_password_shows_in_any_message(made: Caller) -> None:
    secret = "correct-horse"
    for arguments in (["list", "keys"], ["list", "keys", "--json"], ["snapshots", "-vv"], ["init"]):
        outcome = made(*arguments, RESTIC_PASSWORD=secret)
        assert outcome.code != 0
        assert secret not in outcome.out + outcome.err


def type_into(call: Caller, arguments: list[str], answers: list[str]) -> tuple[int, str]:
    """Run the program at a terminal of its own, and type an answer at each colon; return its code and the screen."""
    environment = {**call.environment, "PYTHONPATH": os.environ["PYTHONPATH"]}
    environment.pop("RESTIC_PASSWORD")
    main_end, program_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pyrestic", *arguments],
        stdin=program_end,
        stdout=program_end,
        stderr=program_end,
        env=environment,
        start_new_session=True,
    )
    os.close(program_end)
    screen = b""
    asked = 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([main_end], [], [], 0.2)[0]:
            continue
        try:
            data = os.read(main_end, 4096)
        except OSError:
            break
        if not data:
            break
        screen += data
        if screen.count(b"repository: ") + screen.count(b"again: ") > asked:
            # The program switches the echo off just before it asks.
            os.write(main_end, answers[asked].encode() + b"\n")
            asked += 1
    code = process.wait(30)
    os.close(main_end)
    return code, screen.decode("utf-8", "replace")


@pytest.mark.process
def test_a_person_has_three_tries(made: Caller) -> None:
    code, screen = type_into(made, ["list", "keys"], ["wrong", "", PASSWORD])
    assert code == 0
    assert screen.count("Try again") == 2
    assert PASSWORD not in screen
    assert "opened (version 2, compression level auto)" in screen


@pytest.mark.process
def test_a_person_has_no_fourth_try(made: Caller) -> None:
    code, screen = type_into(made, ["list", "keys"], ["wrong", "wrong", "wrong"])
    assert code == 12
    assert screen.count("enter password for repository: ") == 3


@pytest.mark.process
def test_a_new_password_is_asked_for_twice(call: Caller) -> None:
    code, screen = type_into(call, ["init"], ["one", "two"])
    assert (code, "passwords do not match" in screen) == (1, True)
    code, screen = type_into(call, ["init"], ["one", "one"])
    assert (code, "created restic repository" in screen) == (0, True)
    assert call("list", "keys", RESTIC_PASSWORD="one").code == 0


def test_a_password_file_that_others_may_change_is_warned_of(made: Caller, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    file = folder / "password"
    file.write_text(PASSWORD)
    for mode, folder_mode, warning in (
        (0o600, 0o700, ""),
        (0o644, 0o755, ""),
        (0o666, 0o700, "others may write to the password file"),
        (0o600, 0o777, "others may replace the password file"),
        (0o600, 0o1777, ""),
    ):
        file.chmod(mode)
        folder.chmod(folder_mode)
        outcome = made("list", "keys", "--password-file", file, RESTIC_PASSWORD=None)
        assert outcome.code == 0
        assert outcome.err.count("Warning: ") == bool(warning)
        assert warning in outcome.err
        assert made("list", "keys", "-q", "--password-file", file, RESTIC_PASSWORD=None).err == ""


def test_the_own_group_of_a_user_is_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.touch()
    file.chmod(0o660)
    status = file.stat()
    is_own = group_name(status.st_gid) == user_name(status.st_uid) != ""
    assert (describe_other_writers(str(file)) == "") == is_own
    assert describe_other_writers(str(tmp_path / "missing")) == describe_other_writers("/dev/null") == ""
