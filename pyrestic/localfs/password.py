"""A password, or another short secret, from a file or from what a command prints."""

import os
import re

from pyrestic.errors import UsageError

_SPACE = re.compile(r"\s")


def run_command(command: str) -> str:
    """Return what a command prints, without white space around it; raise UsageError. There is no shell."""
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
    """Return a password file's content, without byte order mark and white space around it; raise UsageError."""
    from pyrestic.localfs.textfile import read_text

    if not os.path.lexists(path):
        raise UsageError(f"{path} does not exist")
    return _trim(read_text(path))


def _trim(data: bytes) -> str:
    from pyrestic.localfs.textfile import trim

    return trim(data).decode("utf-8", "surrogateescape")


def split_command(text: str) -> list[str]:
    """Return the words of a command as restic splits it: at white space and backslashes, but not within quotes.

    There is no shell: quotes end a word, too, and a backslash only keeps a quote from being one. Raises UsageError.
    """
    words: list[str] = []
    word = quote = last = ""
    for character in text:
        if last != "\\" and character == (quote or character) and character in "\"'":
            quote = "" if quote else character
            ends = True
        else:
            last = character
            ends = not quote and (character == "\\" or _SPACE.match(character) is not None)
        if not ends:
            word += character
        elif word:
            words.append(word)
            word = ""
    if quote:
        raise UsageError(f"{'single' if quote == chr(39) else 'double'}-quoted string not terminated")
    words += [word] if word else []
    if not words:
        raise UsageError("command string is empty")
    return words
