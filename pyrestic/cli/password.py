"""Where a password comes from: a command, a file, the environment, the terminal, or standard input, in this order."""

import getpass
import os
import shlex
import subprocess
import sys

from pyrestic.cli.options import Settings
from pyrestic.errors import LocalFileError, UsageError

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
TRIES = 3


def on_terminal() -> bool:
    """Tell whether a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def find_password(settings: Settings) -> str | None:
    """Return the password that flags or environment name, None if a person has to be asked; raise UsageError."""
    environment_password = settings.environment.get("RESTIC_PASSWORD", "")
    if settings.password_file and settings.password_command:
        raise UsageError("Password file and command are mutually exclusive options")
    if settings.insecure_no_password:
        if settings.password_file or settings.password_command or environment_password:
            raise UsageError(
                "--insecure-no-password must not be specified together with providing a password via a cli"
                " option or environment variable"
            )
        return ""
    if settings.password_command:
        password = run_command(settings.password_command)
    elif settings.password_file:
        password = read_file(settings.password_file)
    elif environment_password:
        return environment_password
    else:
        return None
    if not password:
        refuse_empty()
    return password


def refuse_empty() -> None:
    """Raise UsageError: an empty password has to be asked for by its own flag."""
    raise UsageError(
        "an empty password is not allowed by default",
        hint="Pass --insecure-no-password to use a repository without one.",
    )


def ask(prompt: str) -> str:
    """Return what a person types, unseen, or one line of standard input where there is no terminal."""
    password = getpass.getpass(prompt) if on_terminal() else sys.stdin.readline().rstrip("\r\n")
    if not password:
        refuse_empty()
    return password


def ask_twice(prompt: str, again: str) -> str:
    """Return a new password that a person typed twice; raise UsageError if the two differ."""
    password = ask(prompt)
    if on_terminal() and ask(again) != password:
        raise UsageError("passwords do not match")
    return password


def run_command(command: str) -> str:
    """Return what a command prints, without white space around it. It is split like a shell does, without a shell."""
    try:
        words = shlex.split(command)
        done = subprocess.run(words, stdout=subprocess.PIPE, check=False)  # noqa: S603 - the user's own command
    except (OSError, ValueError, IndexError) as error:
        raise UsageError(f"the password command could not be started: {error}") from error
    if done.returncode != 0:
        raise UsageError(f"the password command failed with exit code {done.returncode}")
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def read_file(path: str) -> str:
    """Return the content of a password file, without a byte order mark and white space around it."""
    try:
        with open(os.path.expanduser(path) if path.startswith("~/") else path, "rb") as file:
            data = file.read(1 << 20)
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist") from error
    except OSError as error:
        raise LocalFileError(f"the password file {path} cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict").strip()
