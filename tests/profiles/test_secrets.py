"""Secrets: where they are read, and that no message contains one."""

import os
from pathlib import Path

import pytest

from pyrestic.errors import UsageError
from pyrestic.profiles.profile import Secret
from pyrestic.profiles.secrets import read_secret
from tests.support.users import ORDINARY

TEXT = "hunter2"


def read(secret: Secret, **environment: str) -> str:
    return read_secret(secret, "home", "password", environment)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"{TEXT}\r\n")
    file.chmod(0o600)
    return file


def test_a_file_of_ones_own(file: Path) -> None:
    assert read(Secret("file", str(file))) == TEXT


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_for_others_too_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(UsageError, match=f"profile home, password: others may read {file}") as caught:
        read(Secret("file", str(file)))
    assert TEXT not in str(caught.value) + caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to others")
def test_a_file_of_another_user_is_refused(file: Path) -> None:
    os.chown(file, ORDINARY, ORDINARY)
    with pytest.raises(UsageError, match="belongs to another user"):
        read(Secret("file", str(file)))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "contains nothing"), (b" \n", "contains nothing"), (b"a\0b", "zero byte"), (b"\xff", "is not UTF-8")],
)
def test_content_that_is_no_secret(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read(Secret("file", str(file)))


def test_what_is_no_file(file: Path, tmp_path: Path) -> None:
    for path, message in ((tmp_path, "is not a regular file|Is a directory"), (tmp_path / "x", "No such file")):
        with pytest.raises(UsageError, match=message):
            read(Secret("file", str(path)))
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(UsageError, match="is not a regular file"):
        read(Secret("file", str(file)))
    file.unlink()
    file.write_bytes(b"x" * 100_000)
    file.chmod(0o600)
    with pytest.raises(UsageError, match="too large"):
        read(Secret("file", str(file)))


def test_a_credential_of_systemd(file: Path) -> None:
    assert read(Secret("credential", "secret"), CREDENTIALS_DIRECTORY=str(file.parent)) == TEXT
    with pytest.raises(UsageError, match="there is no credential 'secret', as CREDENTIALS_DIRECTORY is not set"):
        read(Secret("credential", "secret"))


@pytest.mark.process
def test_the_output_of_a_command_without_a_shell() -> None:
    assert read(Secret("command", ("echo", f"{TEXT} $HOME"))) == f"{TEXT} $HOME"


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sh", "-c", f"echo {TEXT}; exit 3"), "the command 'sh' failed with exit code 3"),
        (("true",), "the command contains nothing"),
        (("/nowhere/x", TEXT), "the command '/nowhere/x' could not be started: No such file"),
    ],
)
def test_a_command_that_fails_is_named_without_its_arguments(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(Secret("command", words))
    assert TEXT not in str(caught.value) + caught.value.hint
