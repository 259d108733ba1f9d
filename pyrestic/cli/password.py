"""The source of a password: a command, a file, the environment, the terminal, or standard input, in this order."""

import getpass
import sys

from pyrestic.cli.options import PasswordNames, Settings
from pyrestic.cli.terminal import Terminal
from pyrestic.errors import PyresticError, UsageError
from pyrestic.localfs.password import describe_other_writers, read_file, run_command
from pyrestic.nearest import join

TRIES = 3


class EmptyPasswordError(UsageError):
    """An empty password; an interactive user may try again."""


def on_terminal() -> bool:
    """Tell whether there is an interactive terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def is_given(settings: Settings) -> bool:
    """Tell whether flags or the environment name a password, without reading it."""
    named = settings.password_command or settings.password_file or settings.environment.get("RESTIC_PASSWORD")
    return settings.insecure_no_password or bool(named)


def warn_of_other_writers(settings: Settings, terminal: Terminal) -> None:
    """Warn on standard error, unless quiet, that other users may change the password file."""
    sentence = describe_other_writers(settings.password_file) if settings.password_file else ""
    if sentence and terminal.verbosity:
        terminal.complain(f"Warning: {sentence}")


def find_password(settings: Settings) -> str | None:
    """Return the password from flags or environment, None if it must be prompted for; raise UsageError.

    A command is run each time this is called.
    """
    password = _resolve(settings)
    if not settings.insecure_no_password:
        return password or None
    if password:
        raise UsageError(
            f"{settings.password_names.allow_empty} must not be specified together with providing a password via a cli"
            " option or environment variable"
        )
    return ""


def _resolve(settings: Settings) -> str:
    try:
        if settings.password_file and settings.password_command:
            raise UsageError("Password file and command are mutually exclusive options")
        if settings.password_command:
            return run_command(settings.password_command)
        if settings.password_file:
            return read_file(settings.password_file)
    except PyresticError as error:
        raise UsageError(f"Resolving password failed: {error}") from error
    return settings.environment.get("RESTIC_PASSWORD", "")


def describe_sources(names: PasswordNames, what: str) -> str:
    """Return a hint on how to give the password of `what`."""
    return f"The password of the {what} is given by {join(list(names.sources))}."


def ask(prompt: str, names: PasswordNames, what: str, file: str = "") -> str:
    """Return a password typed without echo, or one line of standard input if there is no terminal.

    Raises EmptyPasswordError, whose hint explains how to give the password of `what`, or names the file that is empty.
    """
    if on_terminal():
        try:
            password = getpass.getpass(prompt)
        except EOFError:
            password = ""
    else:
        if sys.stdout.isatty():
            sys.stdout.write("reading repository password from stdin\n")
            sys.stdout.flush()
        password = _read_line().removesuffix("\n").removesuffix("\r")
    if not password:
        raise empty_password(names, what, file)
    return password


def empty_password(names: PasswordNames, what: str, file: str = "") -> EmptyPasswordError:
    """Return the error for an empty password of `what`; `file` is the password file that was given, if any."""
    message = "an empty password is not allowed"
    if names.allow_empty:
        message += f" by default. Pass the flag `{names.allow_empty}` to disable this check"
    return EmptyPasswordError(message, hint=f"The file {file} is empty." if file else describe_sources(names, what))


def _read_line() -> str:
    """Return a line of standard input, "" if there is none."""
    try:
        return sys.stdin.readline() if sys.stdin is not None else ""
    except OSError:
        return ""


def ask_twice(prompt: str, again: str, names: PasswordNames, what: str, file: str = "") -> str:
    """Return a new password, typed twice; raise UsageError if the two differ."""
    password = ask(prompt, names, what, file)
    if on_terminal() and ask(again, names, what) != password:
        raise UsageError("passwords do not match")
    return password
