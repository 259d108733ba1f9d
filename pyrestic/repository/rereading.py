"""Rereads data that looks damaged, bypassing every cache, before the damage counts.

A bit flip in transit or in a cache must cost neither a pack nor a file. So damage is confirmed by further reads, and
only data that is damaged in each of them is damaged in the repository.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from pyrestic.backend.base import Backend
from pyrestic.errors import DamageError
from pyrestic.handle import Handle

READS: Final = 3
"""Number of reads before a file counts as damaged."""

T = TypeVar("T")


def forget_copy(backend: Backend, handle: Handle) -> None:
    """Drop the cached copy of a file, if there is a cache, so that the next read goes to the repository."""
    forget: Callable[[Handle], None] | None = getattr(backend, "forget", None)
    if forget is not None:
        forget(handle)


def read_again(backend: Backend, handle: Handle, read: Callable[[], T]) -> T:
    """Return the result of `read`; raise its DamageError only after READS failures."""
    for _ in range(READS - 1):
        try:
            return read()
        except DamageError:
            forget_copy(backend, handle)
    return read()
