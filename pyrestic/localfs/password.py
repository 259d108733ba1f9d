"""A password or another short secret, from a file or the output of a command."""

import os
import stat

from pyrestic.backend.command_words import split_command
from pyrestic.errors import UsageError


def run_command(command: str) -> str:
    """Return the output of a command without surrounding whitespace; raise UsageError. There is no shell."""
    import subprocess

    words = split_command(command)
    try:
        output = subprocess.check_output(words)  # noqa: S603 - the user's own command
    except subprocess.CalledProcessError as error:
        raise UsageError(f"exit status {error.returncode}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"the command {words[0]!r} could not be started: {reason}") from error
    return _trim(output)


def read_file(path: str) -> str:
    """Return a password file's content, without byte order mark and surrounding whitespace; raise UsageError."""
    from pyrestic.localfs.text_file import read_text

    if not os.path.lexists(path):
        raise UsageError(f"{path} does not exist")
    return _trim(read_text(path))


def describe_other_writers(path: str) -> str:
    """Return a warning if users other than its owner and root may change a password file, "" if not or unknown.

    A group with the name of the file's owner counts as the owner.
    """
    try:
        target = os.path.realpath(path)
        status = os.stat(target)
        folder = os.stat(os.path.dirname(target))
    except (OSError, ValueError):
        return ""
    if not stat.S_ISREG(status.st_mode):
        return ""
    if _others_write(status):
        return f"others may write to the password file {path}; chmod 600 prevents that"
    if _others_write(folder) and not folder.st_mode & stat.S_ISVTX:
        return f"others may replace the password file {path}, since they may write to its folder"
    return ""


def _others_write(status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWGRP:
        from pyrestic.localfs.metadata import group_name, user_name

        owner = user_name(status.st_uid)
        if not owner or owner != group_name(status.st_gid):
            return True
    return bool(status.st_mode & stat.S_IWOTH)


def _trim(data: bytes) -> str:
    from pyrestic.localfs.text_file import trim

    return trim(data).decode("utf-8", "surrogateescape")
