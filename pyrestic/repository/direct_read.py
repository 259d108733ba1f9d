"""Reading packs that are at hand piece by piece, into memory that is used again.

A pack fetched whole is 16 MiB of fresh memory, which costs page faults and is out of the processor's cache when its
blobs are opened. From a disk of this machine it is read in pieces as long as a few blobs instead.
"""

import mmap
import threading
from typing import Final

from pyrestic.backend.base import Backend, NearBackend, find_near
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID

PIECE_BYTES: Final = 2 << 20
"""A good length of pieces; a longer blob is a piece of its own."""


class Room(threading.local):
    """Memory that a thread uses again and again."""

    def __init__(self, least_bytes: int) -> None:
        self._memory = memoryview(b"")
        self._least_bytes = least_bytes

    def take(self, length: int) -> memoryview:
        """Return so many bytes of it; what was taken before is the same memory."""
        if length > len(self._memory):
            # Not from Python: what it had before would stay with it.
            self._memory = memoryview(mmap.mmap(-1, max(length, self._least_bytes), mmap.MAP_PRIVATE))
        return self._memory[:length]


class NearReader:
    """Reads from a backend whose files are at hand; for any thread."""

    def __init__(self, backend: NearBackend) -> None:
        self._backend = backend
        self._room = Room(PIECE_BYTES)

    def read(self, pack: ID, offset: int, length: int) -> memoryview:
        """Return bytes of a pack, in memory that this thread's next call uses again; raises as Backend.load does."""
        room = self._room.take(length)
        self._backend.load_into(Handle(FileType.PACK, pack.hex()), offset, room)
        return room


def find_near_reader(backend: Backend) -> NearReader | None:
    """Return a reader if the files of the backend are at hand."""
    near = find_near(backend)
    return None if near is None else NearReader(near)
