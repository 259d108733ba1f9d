"""The way from the root of a snapshot to a folder.

A stack that keeps the location of each folder on the way takes memory by the square of the depth. Here one location is
kept, and the length of each above it.
"""

from collections.abc import Iterator


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
