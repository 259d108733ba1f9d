"""A fence around a place: while a lock is held on it, the lock is asked before each attempt to save or remove a file.

It stands where requests are repeated (wrap/retry.py), below caches and everything else that writes, so that no command
can forget it, and a request that is repeated after hours of sleep is asked about again. Lock files pass.
"""

from typing import Protocol, runtime_checkable

from pyrestic.errors import LockedError
from pyrestic.handle import FileType, Handle


class Keeper(Protocol):
    """Who knows whether the lock is still held."""

    def permit(self, handle: Handle, *, removes: bool) -> None:
        """Raise LockedError if the file must not be saved, or removed, as the lock is lost."""


class Fence:
    """Open until a lock is first held, closed when it is not held any more. `costly`: each request is charged."""

    def __init__(self, *, costly: bool = False) -> None:
        self.costly = costly
        self._keeper: Keeper | None = None
        self._closed = False

    def guard(self, keeper: Keeper) -> None:
        """Let this lock decide from now on."""
        self._keeper, self._closed = keeper, False

    def close(self) -> None:
        """Let nothing pass until a lock is held again: this one was released."""
        self._keeper, self._closed = None, True

    def check(self, handle: Handle, *, removes: bool) -> None:
        """Raise LockedError if the file must not be saved, or removed."""
        if handle.type is FileType.LOCK:
            return
        keeper = self._keeper
        if keeper is not None:
            keeper.permit(handle, removes=removes)
        elif self._closed:
            raise LockedError(f"{handle} was not written: the lock has been released", hint="Run the command again.")


@runtime_checkable
class Fenced(Protocol):
    """What a backend offers that asks a fence; ask with find_fence."""

    fence: Fence


def find_fence(backend: object) -> Fence:
    """Return the fence of a backend; a backend in memory, as tests have it, may have none that it asks."""
    return backend.fence if isinstance(backend, Fenced) else Fence()
