"""What a command reads before its lock is certain."""

from collections.abc import Callable
from typing import Generic, TypeVar

from pyrestic.repository.repository import Repository

T = TypeVar("T")


class Look(Generic[T]):
    """Something that a command reads of a repository as soon as it may, while the lock is still being waited for.

    It may be read again, if the lock was not to be had at first: `found` is what the last time gave.
    """

    def __init__(self, read: Callable[[Repository], T]) -> None:
        self._read = read
        self._found: list[T] = []

    def __call__(self, repository: Repository) -> None:
        """Read it."""
        self._found = [self._read(repository)]

    @property
    def found(self) -> T:
        """What was read."""
        return self._found[0]
