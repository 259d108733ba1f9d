"""The way from the root of a snapshot to a folder.

A stack that keeps the location of each folder on the way takes memory by the square of the depth. Here one location is
kept, and the length of each above it.
"""

from collections.abc import Iterator
from typing import Final

from pyrestic.errors import FormatError

MOST_FOLDERS: Final = 2048
"""So many folders may lie one in the other where the location of each is kept, or is a path of the system: as many as
fit into the longest path of a system call."""
_SHOWN_BYTES: Final = 80


def check_depth(location: bytes, done: str) -> None:
    """Raise FormatError for a folder that lies too deep to be `done`."""
    if location.count(b"/") > MOST_FOLDERS:
        shown = location[:_SHOWN_BYTES].decode("utf-8", "replace")
        raise FormatError(f"a folder lies more than {MOST_FOLDERS} folders deep and is not {done}: {shown}...")


class Trail:
    """The location of a folder, and of those above it."""

    def __init__(self) -> None:
        """Begin at the root."""
        self._prefix = b"/"
        self._ends = [1]

    @property
    def location(self) -> bytes:
        """The folder."""
        return self._prefix[:-1] or b"/"

    def join(self, name: bytes) -> bytes:
        """Return the location of something in the folder."""
        return self._prefix + name

    def enter(self, name: bytes) -> None:
        """Go into a folder."""
        self._prefix += name + b"/"
        self._ends.append(len(self._prefix))

    def leave(self) -> None:
        """Go back to the folder above, if there is one."""
        self._ends.pop()
        self._prefix = self._prefix[: self._ends[-1]] if self._ends else b"/"

    def prefixes(self) -> Iterator[bytes]:
        """Iterate the folder and those above it, each as what names in it follow."""
        return (self._prefix[:end] for end in reversed(self._ends))
