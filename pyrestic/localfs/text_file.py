"""User-written text files: lists of files, of patterns, passwords; with byte order marks and whitespace."""

import os
import re
import sys
from collections.abc import Iterable, Mapping

from pyrestic.errors import UsageError
from pyrestic.localfs.wildcards import glob

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Whitespace by Go's unicode.IsSpace; Python's strip would also remove U+001C to U+001F.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|(\{)|([*#$@!?\-0-9])|([A-Za-z0-9_]+))")


def read_text(path: str) -> bytes:
    """Return a file's content as UTF-8 without byte order mark; raise UsageError if it cannot be read."""
    return decode_text(_read(path))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} cannot be read: {reason}") from error


def decode_text(data: bytes) -> bytes:
    """Return text as UTF-8 without byte order mark; text without a mark is returned unchanged."""
    if data.startswith(_UTF8_MARK):
        return data[len(_UTF8_MARK) :]
    if data.startswith(_UTF16_MARKS):
        return data.decode("utf-16", "replace").encode("utf-8")
    return data


def split_lines(data: bytes) -> list[bytes]:
    """Return the lines of a text without their ends: a newline, or a carriage return and a newline."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix(b"\r") for line in lines]


def trim(line: bytes) -> bytes:
    """Return a line without surrounding whitespace."""
    text = line.decode("utf-8", "surrogateescape").strip(_SPACE)
    return text.encode("utf-8", "surrogateescape")


def useful_lines(data: bytes) -> list[bytes]:
    """Return the trimmed lines that are neither blank nor comments."""
    return [line for line in map(trim, split_lines(data)) if line and not line.startswith(b"#")]


def expand_variables(text: str, environment: Mapping[str, str]) -> str:
    """Replace `$NAME` and `${NAME}` with the environment's values, unknown ones with nothing, and `$$` with `$`."""

    def value(match: re.Match[str]) -> str:
        braced, _, special, plain = match.groups()
        name = braced or special or plain or ""
        return "$" if name == "$" else environment.get(name, "")

    return _VARIABLE.sub(value, text)


def read_patterns(paths: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """Return the patterns of some files, with variables expanded; raise UsageError if one cannot be read."""
    return [
        expand_variables(os.fsdecode(line), environment) for path in paths for line in useful_lines(read_text(path))
    ]


def read_sources(paths: Iterable[str]) -> tuple[list[bytes], list[str]]:
    """Return the files that match the wildcards in some lists, and the wildcards without a match.

    A list named `-` is standard input. Raises UsageError for an unreadable list and a malformed wildcard.
    """
    sources: list[bytes] = []
    without_match: list[str] = []
    for line in (line for path in paths for line in useful_lines(_read_list(path))):
        found = glob(line)
        sources += found
        if not found:
            without_match.append(os.fsdecode(line))
    return sources, without_match


def read_sources_verbatim(paths: Iterable[str]) -> list[bytes]:
    """Return the files in some lists, one per line, verbatim; raise UsageError."""
    return [line for path in paths for line in split_lines(_read_list(path)) if line]


def read_sources_raw(paths: Iterable[str]) -> list[bytes]:
    """Return the files in some lists, each terminated by a zero byte; raise UsageError."""
    return [name for path in paths for name in split_raw(_read_raw(path))]


def split_raw(data: bytes) -> list[bytes]:
    """Return the names in a list terminated by zero bytes; raise UsageError for an empty or unterminated name."""
    *names, rest = data.split(b"\0")
    if rest:
        raise UsageError("--files-from-raw: trailing zero byte missing")
    if b"" in names:
        raise UsageError("--files-from-raw: empty filename in listing")
    return names


def _read_list(path: str) -> bytes:
    return _read_input() if path == "-" else read_text(path)


def _read_raw(path: str) -> bytes:
    return _read_input() if path == "-" else _read(path)


def _read_input() -> bytes:
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise UsageError(f"standard input cannot be read: {error.strerror}") from error
