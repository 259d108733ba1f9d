"""Reads local packs in pieces into a reused buffer.

A pack that is read at once needs 16 MiB of new memory, which costs page faults and is out of the CPU cache when its
blobs are opened. From a local disk it is read in pieces of a few blobs instead.
"""

import mmap
import threading
from typing import Final

from pyrestic.backend.base import Backend, NearBackend, find_near
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID

PIECE_BYTES: Final = 2 << 20
"""Recommended length of pieces; a longer blob is a piece of its own."""


class ReusedBuffer(threading.local):
    """A buffer that a thread reuses."""

    def __init__(self, least_bytes: int) -> None:
        self._memory = memoryview(b"")
        self._least_bytes = least_bytes

    def take(self, length: int) -> memoryview:
        """Return this number of bytes of the buffer; earlier results share the same memory."""
        if length > len(self._memory):
            # Not from Python's allocator, which would keep the previous memory.
            self._memory = memoryview(mmap.mmap(-1, max(length, self._least_bytes), mmap.MAP_PRIVATE))
        return self._memory[:length]


class NearReader:
    """Reads from a backend with local files; thread-safe."""

    def __init__(self, backend: NearBackend) -> None:
        self._backend = backend
        self._room = ReusedBuffer(PIECE_BYTES)

    def read(self, pack: ID, offset: int, length: int) -> memoryview:
        """Return bytes of a pack, in a buffer that this thread's next call reuses; raises as Backend.load does."""
        room = self._room.take(length)
        self._backend.load_into(Handle(FileType.PACK, pack.hex()), offset, room)
        return room


def find_near_reader(backend: Backend) -> NearReader | None:
    """Return a reader if the backend's files are local."""
    near = find_near(backend)
    return None if near is None else NearReader(near)
