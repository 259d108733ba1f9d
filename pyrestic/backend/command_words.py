"""Splits the text of a command into words, as restic does; there is no shell.

Quotes ' and " end the current word where they begin and where they end, so `a'b c'd` has three words. Outside quotes, a
backslash separates words, too; a quote right after one is an ordinary character.
"""

import os
import shutil
from collections.abc import Mapping, Sequence

from pyrestic.errors import AccessError, UsageError

_QUOTES = {"'": "single", '"': "double"}
_SPACES = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What Go's unicode.IsSpace calls a space; str.isspace has four control characters more."""


def split_command(text: str) -> list[str]:
    """Return the words of a command, one or more; raise UsageError."""
    words: list[str] = []
    quote = previous = ""
    start = -1
    for position, character in enumerate(text):
        if previous != "\\" and (character == quote or (not quote and character in _QUOTES)):
            quote = "" if quote else character
            separates = True
        else:
            # A quote that counts as one is not remembered.
            previous = character
            separates = not quote and (character == "\\" or character in _SPACES)
        if not separates:
            start = position if start < 0 else start
        elif start >= 0:
            words.append(text[start:position])
            start = -1
    if start >= 0:
        words.append(text[start:])
    if quote:
        raise UsageError(f"{_QUOTES[quote]}-quoted string not terminated")
    if not words:
        raise UsageError("command string is empty")
    return words


def split_option(text: str, option: str) -> list[str]:
    """Return the words of an option's value; raise UsageError that names the option."""
    try:
        return split_command(text)
    except UsageError as error:
        raise UsageError(f"option {option}: {error}") from None


def find_program(words: Sequence[str], environment: Mapping[str, str], option: str) -> list[str]:
    """Return the command with the path of its program; raise AccessError if there is none.

    A program of the current directory runs only if it is named by a path.
    """
    name = words[0]
    path = shutil.which(name, path=environment.get("PATH", os.defpath))
    if path is None or (os.sep not in name and not os.path.isabs(path)):
        raise AccessError(
            f"there is no program {name!r}", hint=f"Install it, or name another command with -o {option}=…"
        )
    return [path, *words[1:]]
