"""Path patterns of restic's --exclude and --include (restic's manual, "Excluding Files").

A pattern is a sequence of components. It matches a path if the sequence matches anywhere in it, or at the path's start
if the pattern begins with a slash; everything below a matching path matches too. `**` matches any number of components.
In a list, the last matching pattern decides, and a leading `!` negates it.

All patterns of a list are matched at once. A state is an integer in which every pattern owns a range of bits: bit i of
the range means that its first i components have been found in a row. A path's next component shifts the bits, masked by
the components that match its name. States of folders are cached, so a path costs one step.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pyrestic.errors import UsageError
from pyrestic.localfs.wildcards import ComponentKind, Test, compile_component

_KEPT_BYTES = 4 << 20
_ENTRY_BYTES = 256
"""Limit of the state cache in bytes of paths, with this overhead for each."""
_DOUBLE = b"**"


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A parsed pattern; `parts` are its components, `**` included, without the root."""

    parts: tuple[bytes, ...]
    absolute: bool
    negated: bool

    @property
    def doubles(self) -> int:
        return self.parts.count(_DOUBLE)


def _parse(pattern: bytes) -> _Pattern:
    negated = pattern.startswith(b"!")
    path = os.path.normpath(pattern[negated:])
    parts = path.lstrip(b"/").split(b"/")
    # An empty part means `**` in restic; it only comes from the pattern `/`.
    return _Pattern(tuple(part or _DOUBLE for part in parts), path.startswith(b"/"), negated)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def check_patterns(patterns: Iterable[str], origin: str) -> None:
    """Raise UsageError with the option of the patterns if one of them is malformed."""
    bad = [text for text in patterns if text and not _is_valid(_parse(_encode(text)))]
    if bad:
        raise UsageError(f"{origin}: invalid pattern(s) provided:", *bad)


def _is_valid(pattern: _Pattern) -> bool:
    try:
        for part in pattern.parts:
            compile_component(part)
    except UsageError:
        return False
    return True


class PatternList:
    """A compiled list of patterns; thread-safe. Paths are bytes; absolute ones begin with a slash."""

    def __init__(self, patterns: Iterable[str], *, ignore_case: bool = False) -> None:
        """Compile the patterns, ignoring empty ones; raise UsageError for a malformed one."""
        encoded = [_encode(text) for text in patterns if text]
        self._ignore_case = ignore_case
        parsed = [_parse(lower(pattern) if ignore_case else pattern) for pattern in encoded]
        self._automaton = _Automaton(parsed)
        self._counted = self._automaton.counted
        self._states: dict[bytes, int] = {}
        self._kept_bytes = 0

    def matches(self, path: bytes) -> bool:
        """Tell whether the list matches the path."""
        found = self._state(path) & self._automaton.accepting
        return found != 0 and not self._automaton.negated >> (found.bit_length() - 1) & 1

    def matches_or_below(self, path: bytes) -> tuple[bool, bool]:
        """Tell whether the list matches the path, and whether it may match anything below it."""
        automaton = self._automaton
        state = self._state(path)
        found = state & automaton.accepting
        matched = found != 0 and not automaton.negated >> (found.bit_length() - 1) & 1
        against = (found & automaton.negated).bit_length()
        below = (state & automaton.anchored | automaton.floating) >> against
        return matched, below != 0

    def _state(self, path: bytes) -> int:
        if self._ignore_case:
            path = lower(path)
        folder, slash, name = path.rpartition(b"/")
        before = self._states.get(folder) if slash else self._automaton.start_of_relative
        if before is None:
            before = self._enter(folder)
        state = self._automaton.step(before, name)
        for counted in self._counted:
            if state & counted.candidate and counted.matches(path):
                state |= counted.accept
        return state

    def _enter(self, folder: bytes) -> int:
        """Compute the state after a folder and cache it: one step from its parent's state, if that was cached."""
        automaton = self._automaton
        above, slash, name = folder.rpartition(b"/")
        state = self._states.get(above) if slash else None
        if state is not None:
            state = automaton.step(state, name)
        else:
            first, *rest = folder.split(b"/")
            state = automaton.step(automaton.start_of_relative, first) if first else automaton.start
            for name in rest:
                state = automaton.step(state, name)
        if self._kept_bytes >= _KEPT_BYTES:
            self._states.clear()
            self._kept_bytes = 0
        self._states[folder] = state
        self._kept_bytes += len(folder) + _ENTRY_BYTES
        return state


class _Automaton:
    """The meaning of a state's bits. `anchored` are all bits of absolute patterns that match a path,
    `floating` the accepting bits of relative ones, which may always match further down."""

    def __init__(self, patterns: Sequence[_Pattern]) -> None:
        self.start = self.start_of_relative = 0
        self.accepting = self.negated = self.anchored = self.floating = 0
        self.counted: list[_Counted] = []
        self._stay = 0
        self._names = _Names()
        self._width = 0
        for pattern in patterns:
            self._add(pattern)
        self._names.seal()

    def step(self, state: int, name: bytes) -> int:
        """Return the state after one more component."""
        return state << 1 & self._names.fitting(name) | state & self._stay

    def _add(self, pattern: _Pattern) -> None:
        first = 1 << self._width
        self.start |= first
        if not pattern.absolute:
            self.start_of_relative |= first
            self._stay |= first
        accept = self._add_parts(pattern)
        if pattern.doubles > 1:
            self.counted.append(_Counted(pattern, accept))
            accept <<= 1
            self._width += 1
        self._stay |= accept
        self.accepting |= accept
        if pattern.negated:
            self.negated |= accept
        elif pattern.absolute:
            self.anchored |= (accept << 1) - first
        else:
            self.floating |= accept

    def _add_parts(self, pattern: _Pattern) -> int:
        """Assign each component its bit, up to the first `**` if there are several; return the last bit."""
        bit = 1 << self._width
        for part in pattern.parts:
            if part != _DOUBLE:
                bit <<= 1
                self._width += 1
                self._names.add(part, bit)
                continue
            self._stay |= bit
            if pattern.doubles > 1:
                break
        self._width += 1
        return bit


class _Names:
    """Finds the components of all patterns that match a name, as a mask of their bits."""

    def __init__(self) -> None:
        self._bits: dict[bytes, int] = {}
        self._equal: dict[bytes, int] = {}
        self._starts: dict[bytes, int] = {}
        self._ends: dict[bytes, int] = {}
        self._tests: list[tuple[Test, int]] = []
        self._all_starts: tuple[bytes, ...] = ()
        self._all_ends: tuple[bytes, ...] = ()
        self._always = 0

    def add(self, part: bytes, bit: int) -> None:
        self._bits[part] = self._bits.get(part, 0) | bit

    def seal(self) -> None:
        """Sort the components by how they are tested."""
        for part, bits in self._bits.items():
            kind, literal, test = compile_component(part)
            if kind is ComponentKind.EQUAL:
                self._equal[literal] = self._equal.get(literal, 0) | bits
            elif kind is ComponentKind.STARTS:
                self._starts[literal] = bits
            elif kind is ComponentKind.ENDS and literal:
                self._ends[literal] = bits
            elif kind is ComponentKind.ENDS:
                self._always |= bits
            else:
                self._tests.append((test, bits))
        self._all_starts = tuple(self._starts)
        self._all_ends = tuple(self._ends)

    def fitting(self, name: bytes) -> int:
        mask = self._equal.get(name, 0) | self._always
        if self._all_ends and name.endswith(self._all_ends):
            for end, bits in self._ends.items():
                if name.endswith(end):
                    mask |= bits
        if self._all_starts and name.startswith(self._all_starts):
            for start, bits in self._starts.items():
                if name.startswith(start):
                    mask |= bits
        for test, bits in self._tests:
            if test(name):
                mask |= bits
        return mask


class _Counted:
    """A pattern with several `**`, which no automaton matches as restic does.

    Restic replaces one `**` after the other with stars and gives up as soon as the pattern, with each remaining `**`
    counted as one component, is longer than the path. So `/a/**/b/**` does not match `/a/b`.
    """

    def __init__(self, pattern: _Pattern, candidate: int) -> None:
        self.candidate = candidate
        """The state's bit for the parts before the first `**`."""
        self.accept = candidate << 1
        self._absolute = pattern.absolute
        self._tests = [None if part == _DOUBLE else compile_component(part).test for part in pattern.parts]
        self._doubles = pattern.doubles

    def matches(self, path: bytes) -> bool:
        names = path.split(b"/")
        rooted = names[0] == b""
        if self._absolute:
            return rooted and self._fits(names, 1, 0)
        return any(self._fits(names, start, start) for start in range(int(rooted), len(names)))

    def _fits(self, names: list[bytes], start: int, before: int) -> bool:
        """Match a sequence from `start` on, backward. `spare` counts the components that later parts leave over."""
        ends = {(end, before + len(names) - end) for end in range(start, len(names) + 1)}
        left = self._doubles
        for test in reversed(self._tests):
            if test is not None:
                ends = {(end - 1, spare) for end, spare in ends if end > start and test(names[end - 1])}
                continue
            left -= 1
            needed = self._doubles - left if left else 0
            ends = {
                (end - taken, min(spare + taken, self._doubles))
                for end, spare in ends
                for taken in range(end - start + 1)
                if spare + taken >= needed
            }
        return any(end == start for end, _ in ends)


def lower(text: bytes) -> bytes:
    """Return text in lower case like Go's strings.ToLower: character by character, invalid bytes as U+FFFD."""
    if text.isascii():
        return text.lower()
    return "".join(map(_lower_character, text.decode("utf-8", "surrogateescape"))).encode("utf-8")


@lru_cache(maxsize=4096)
def _lower_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return "\ufffd"
    small = character.lower()
    return small if len(small) == 1 else small[0]
