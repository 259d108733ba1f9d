"""Reading again what looks damaged, past every cache, before the damage counts.

A byte that flips on the way, or in a cache, must cost neither a pack nor a file. So whoever finds damage reads again,
and only what is damaged each time is damaged in the repository.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from pyrestic.backend.base import Backend
from pyrestic.errors import DamageError
from pyrestic.handle import Handle

READS: Final = 3
"""How often a file is read in all before it counts as damaged."""

T = TypeVar("T")


def forget_copy(backend: Backend, handle: Handle) -> None:
    """Drop what the cache has of a file, if there is a cache, so that the next read asks the repository itself."""
    forget: Callable[[Handle], None] | None = getattr(backend, "forget", None)
    if forget is not None:
        forget(handle)


def read_again(backend: Backend, handle: Handle, read: Callable[[], T]) -> T:
    """Return what `read` returns; raise its DamageError only if it raises one READS times."""
    for _ in range(READS - 1):
        try:
            return read()
        except DamageError:
            forget_copy(backend, handle)
    return read()
