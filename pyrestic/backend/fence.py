"""A fence around a backend: while a lock is held, the lock is checked before each attempt to save or remove a file.

The fence is below caches and everything else that writes, at the point where requests are retried (wrap/retry.py). So
no command can forget it, and a request that is retried after hours of sleep is checked again. Lock files pass.
"""

from typing import Protocol, runtime_checkable

from pyrestic.errors import LockedError
from pyrestic.handle import FileType, Handle


class Keeper(Protocol):
    """Knows whether the lock is still held."""

    def permit(self, handle: Handle, *, removes: bool) -> None:
        """Raise LockedError if the file must not be saved or removed because the lock is lost."""


class Fence:
    """Open until a lock is first held, closed after it is released. `costly`: each request is billed."""

    def __init__(self, *, costly: bool = False) -> None:
        self.costly = costly
        self._keeper: Keeper | None = None
        self._closed = False

    def guard(self, keeper: Keeper) -> None:
        """Use this lock for all checks from now on."""
        self._keeper, self._closed = keeper, False

    def close(self) -> None:
        """Block everything until a lock is held again: this one was released."""
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
    """Optional attribute of a backend that checks a fence; check with find_fence."""

    fence: Fence


def find_fence(backend: object) -> Fence:
    """Return the fence of a backend; an in-memory backend, as in tests, may have none that it checks."""
    return backend.fence if isinstance(backend, Fenced) else Fence()
