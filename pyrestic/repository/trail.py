"""The path from the root of a snapshot to a folder.

A stack with the location of each folder on the path takes memory quadratic in the depth. This keeps one location, and
the length of each location above it.
"""

from collections.abc import Iterator
from typing import Final

from pyrestic.errors import FormatError

MOST_FOLDERS: Final = 2048
"""Depth limit of folders if the location of each is kept, or is a path of the system: the longest path of a system call
allows no more."""
_SHOWN_BYTES: Final = 80


def check_depth(location: bytes, done: str) -> None:
    """Raise FormatError for a folder that is too deep to be `done`."""
    if location.count(b"/") > MOST_FOLDERS:
        shown = location[:_SHOWN_BYTES].decode("utf-8", "replace")
        raise FormatError(f"a folder lies more than {MOST_FOLDERS} folders deep and is not {done}: {shown}...")


class Trail:
    """The location of a folder and of its ancestors."""

    def __init__(self) -> None:
        """Start at the root."""
        self._prefix = b"/"
        self._ends = [1]

    @property
    def location(self) -> bytes:
        """The folder."""
        return self._prefix[:-1] or b"/"

    def join(self, name: bytes) -> bytes:
        """Return the location of an entry of the folder."""
        return self._prefix + name

    def enter(self, name: bytes) -> None:
        """Enter a subfolder."""
        self._prefix += name + b"/"
        self._ends.append(len(self._prefix))

    def leave(self) -> None:
        """Go back to the parent folder, if there is one."""
        self._ends.pop()
        self._prefix = self._prefix[: self._ends[-1]] if self._ends else b"/"

    def prefixes(self) -> Iterator[bytes]:
        """Iterate the folder and its ancestors, each as the prefix of names in it."""
        return (self._prefix[:end] for end in reversed(self._ends))
