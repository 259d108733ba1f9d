"""One line in the crontab of this user; all other lines stay as they are."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from pyrestic.errors import UsageError

_MARK = "# pyrestic"
_EVERY_TEN_MINUTES = "*/10 * * * *"
_OWN = re.compile(rf"{re.escape(_EVERY_TEN_MINUTES)} \S.* run --due\b.* >/dev/null {_MARK}")
_CHANGED = re.compile(rf"^(?!\s*#).*\srun --due\b.*{_MARK}\s*$")
"""A line as a person may have changed it."""


def make_line(words: Sequence[str], variables: Mapping[str, str]) -> str:
    """Return the line of a crontab that runs the command in `words`; raise UsageError for a line break in it."""
    setters = ["env", *(f"{name}={value}" for name, value in variables.items())] if variables else []
    # In a crontab, % ends a command.
    command = shlex.join([*setters, *words]).replace("%", r"\%")
    if "\n" in command:
        raise UsageError("a crontab cannot contain a path with a line break")
    # Results are in the runner's log; only errors are worth a mail.
    return f"{_EVERY_TEN_MINUTES} {command} >/dev/null {_MARK}"


def find_own(text: str) -> list[str]:
    """Return the lines that this program wrote, also those that a person changed."""
    return [line for line in text.split("\n") if _CHANGED.match(line)]


def with_line(text: str, line: str) -> str:
    """Return a crontab with this line in place of an earlier one, or at its end; one that a person changed suffices."""
    lines = text.split("\n")
    own = [number for number, one in enumerate(lines) if _OWN.fullmatch(one)]
    if own:
        lines[own[0]] = line
        return "\n".join(one for number, one in enumerate(lines) if number not in own[1:])
    if find_own(text):
        return text
    end = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{end}{line}\n"


def without_line(text: str) -> str:
    """Return a crontab without this program's lines; those that a person changed stay."""
    return "\n".join(one for one in text.split("\n") if not _OWN.fullmatch(one))


def is_available() -> bool:
    """Tell whether there is a program that changes crontabs."""
    return shutil.which("crontab") is not None


def read_crontab() -> str:
    """Return the crontab of this user, "" if there is none; raise UsageError."""
    process = _start("-l")
    output, errors = process.communicate()
    if process.returncode == 0:
        return output.decode("utf-8", "surrogateescape")
    said = errors.decode("utf-8", "replace").strip()
    if "no crontab for" in said:
        return ""
    raise UsageError(f"crontab -l failed: {said or f'exit code {process.returncode}'}")


def write_crontab(text: str) -> None:
    """Replace the crontab of this user, remove it if the text is empty; raise UsageError."""
    process = _start("-" if text else "-r")
    _, errors = process.communicate(text.encode("utf-8", "surrogateescape"))
    if process.returncode != 0:
        said = errors.decode("utf-8", "replace").strip()
        raise UsageError(f"the crontab was not changed: {said or f'exit code {process.returncode}'}")


def _start(word: str) -> "subprocess.Popen[bytes]":
    program = shutil.which("crontab")
    if program is None:
        raise UsageError("there is no program crontab")
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen([program, word], stdin=pipe, stdout=pipe, stderr=pipe)  # noqa: S603 - one of the system
    except OSError as error:
        raise UsageError(f"crontab could not be started: {error.strerror}") from error
