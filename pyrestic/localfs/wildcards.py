"""Wildcards of one path component, and globbing, as in Go's path/filepath package.

`*` matches any bytes, `?` one character, `[a-z]` and `[^a-z]` one character of a class, a backslash escapes the next
one. Leading dots are not special. Go compares bytes, but `?` and classes decode UTF-8, where each invalid byte counts
as one U+FFFD; a `*` may stop in the middle of a character.
"""

import os
import re
import stat
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from pyrestic.errors import UsageError

_WILD = re.compile(rb"[*?\[\\]")
_MAX_DEPTH = 200
_WRONG = 0xFFFD

Test = Callable[[bytes], bool]


class _Class(NamedTuple):
    """`[...]`: inclusive ranges of code points."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool

    def holds(self, code: int) -> bool:
        return self.negated != any(low <= code <= high for low, high in self.ranges)


_ANY = _Class((), True)
_Token = int | _Class
"""A literal byte, or a set of characters."""


class _Piece(NamedTuple):
    """The part between two stars; `star` tells whether one precedes it."""

    star: bool
    tokens: tuple[_Token, ...]

    @property
    def literal(self) -> bytes | None:
        """The bytes that it matches, None if it has a class or a question mark."""
        plain = [token for token in self.tokens if isinstance(token, int)]
        return bytes(plain) if len(plain) == len(self.tokens) else None

    def end(self, name: bytes, start: int) -> int | None:
        """Return where a match beginning at start ends, None if there is none."""
        position = start
        for token in self.tokens:
            if position >= len(name):
                return None
            if isinstance(token, int):
                if name[position] != token:
                    return None
                position += 1
            else:
                code, width = _decode(name, position)
                if not token.holds(code):
                    return None
                position += width
        return position

    def expression(self) -> bytes:
        """Return a regular expression for ASCII names."""
        return b"".join(map(_expression, self.tokens))


def _decode(text: bytes, position: int) -> tuple[int, int]:
    """Return the code point at a position and its width in bytes; an invalid byte is U+FFFD of width 1."""
    first = text[position]
    if first < 0x80:
        return first, 1
    width = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    try:
        return ord(text[position : position + width].decode("utf-8")), width
    except (UnicodeDecodeError, TypeError):
        return _WRONG, 1


def _expression(token: _Token) -> bytes:
    if isinstance(token, int):
        return re.escape(bytes([token]))
    codes = [code for code in range(0x80) if token.holds(code)]
    return b"[" + b"".join(b"\\x%02x" % code for code in codes) + b"]" if codes else b"(?!)"


class _Parser:
    """Reads a pattern; raises ValueError for Go's ErrBadPattern."""

    def __init__(self, pattern: bytes) -> None:
        self._pattern = pattern
        self._position = 0

    def pieces(self) -> list[_Piece]:
        found: list[_Piece] = []
        star = False
        tokens: list[_Token] = []
        while self._position < len(self._pattern):
            byte = self._next()
            if byte != ord("*"):
                tokens.append(self._token(byte))
                continue
            if tokens:
                found.append(_Piece(star, tuple(tokens)))
                tokens = []
            star = True
        if tokens or star:
            found.append(_Piece(star, tuple(tokens)))
        return found

    def _token(self, byte: int) -> _Token:
        if byte == ord("?"):
            return _ANY
        if byte == ord("["):
            return self._class()
        return self._next() if byte == ord("\\") else byte

    def _class(self) -> _Class:
        negated = self._peek() == ord("^")
        self._position += negated
        ranges: list[tuple[int, int]] = []
        while not ranges or self._peek() != ord("]"):
            low = high = self._character()
            if self._peek() == ord("-"):
                self._position += 1
                high = self._character()
            ranges.append((low, high))
        self._position += 1
        return _Class(tuple(ranges), negated)

    def _character(self) -> int:
        """Read one character of a class."""
        if self._peek() in b"-]":
            raise ValueError
        if self._peek() == ord("\\"):
            self._position += 1
        if self._position >= len(self._pattern):
            raise ValueError
        code, width = _decode(self._pattern, self._position)
        if code == _WRONG and width == 1:
            raise ValueError
        self._position += width
        return code

    def _peek(self) -> int:
        if self._position >= len(self._pattern):
            raise ValueError
        return self._pattern[self._position]

    def _next(self) -> int:
        byte = self._peek()
        self._position += 1
        return byte


def _parse(pattern: bytes) -> list[_Piece]:
    try:
        return _Parser(pattern).pieces()
    except ValueError:
        raise UsageError(f"syntax error in pattern {os.fsdecode(pattern)!r}") from None


def _match_exactly(pieces: list[_Piece], name: bytes) -> bool:
    """Match as Go does: every piece matches at its first position, the last one must reach the end."""
    position = 0
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        if piece.star and not piece.tokens:
            return True
        for start in range(position, len(name) + 1) if piece.star else (position,):
            end = piece.end(name, start)
            if end is not None and (not last or end == len(name)):
                position = end
                break
        else:
            return False
    return position == len(name)


class ComponentKind(Enum):
    """The kind of a pattern of one component."""

    EQUAL = auto()
    STARTS = auto()
    ENDS = auto()
    CONTAINS = auto()
    OTHER = auto()


class Component(NamedTuple):
    """A compiled pattern of one path component; `literal` is compared with names, unless kind is OTHER."""

    kind: ComponentKind
    literal: bytes
    test: Test


def compile_component(pattern: bytes) -> Component:
    """Return a pattern in the form that is fastest to test; raise UsageError for a malformed one."""
    pieces = _parse(pattern)
    literals = [piece.literal for piece in pieces]
    match [(piece.star, literal) for piece, literal in zip(pieces, literals, strict=True)]:
        case []:
            return Component(ComponentKind.EQUAL, b"", b"".__eq__)
        case [(False, bytes(literal))]:
            return Component(ComponentKind.EQUAL, literal, literal.__eq__)
        case [(True, bytes(literal))]:
            return Component(ComponentKind.ENDS, literal, lambda name: name.endswith(literal))
        case [(False, bytes(literal)), (True, b"")]:
            return Component(ComponentKind.STARTS, literal, lambda name: name.startswith(literal))
        case [(True, bytes(literal)), (True, b"")]:
            return Component(ComponentKind.CONTAINS, literal, lambda name: literal in name)
    return Component(ComponentKind.OTHER, b"", _make_test(pieces, bytewise=None not in literals))


def _make_test(pieces: list[_Piece], *, bytewise: bool) -> Test:
    """Return a test by regular expression; names with wide characters use the slower matcher if these matter."""
    *others, last = pieces
    parts = [b"(?>.*?" + piece.expression() + b")" if piece.star else piece.expression() for piece in others]
    parts.append((b".*" if last.star else b"") + last.expression())
    fits = re.compile(b"".join(parts), re.DOTALL).fullmatch
    if bytewise:
        return lambda name: fits(name) is not None
    return lambda name: fits(name) is not None if name.isascii() else _match_exactly(pieces, name)


def glob(pattern: bytes) -> list[bytes]:
    """Return the existing paths that match, in Go's order; raise UsageError for a malformed pattern."""
    return _glob(pattern, 0)


def _glob(pattern: bytes, depth: int) -> list[bytes]:
    if depth > _MAX_DEPTH:
        raise UsageError(f"the pattern {os.fsdecode(pattern)[:80]!r} has too many parts")
    _parse(pattern)
    if not _WILD.search(pattern):
        return [pattern] if os.path.lexists(pattern) else []
    head, slash, last = pattern.rpartition(b"/")
    directory = head or slash or b"."
    directories = _glob(directory, depth + 1) if _WILD.search(directory) else [directory]
    fits = compile_component(last).test
    found: list[bytes] = []
    for parent in directories:
        prefix = parent if parent.endswith(b"/") else parent + b"/"
        names = filter(fits, _list(parent))
        found.extend(os.path.normpath(prefix + name) if parent != b"." else name for name in names)
    return found


def _list(directory: bytes) -> list[bytes]:
    """Return the sorted names in a folder, none if it cannot be read."""
    try:
        return sorted(os.listdir(directory)) if stat.S_ISDIR(os.stat(directory).st_mode) else []
    except (OSError, ValueError):
        return []
