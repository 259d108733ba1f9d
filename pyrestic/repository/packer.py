"""Packs being filled, in memory.

A pack is one reused buffer. A worker reserves space, then seals its blob directly into it while others do the same, so
no sealed byte is copied. Blobs are distributed at random over two open packs of each kind: the lengths of packs then
reveal less about the lengths of chunks (restic design document, "Threat Model"; chunking attacks on backups). The
fuller pack gets two of three blobs, so that one is short when the other is full: together they take a third less memory
than if they grew side by side. Nothing is written to disk before a pack is complete.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from pyrestic.format.chunker import MAX_LENGTH
from pyrestic.format.crypto import OVERHEAD
from pyrestic.format.index_file import Columns
from pyrestic.format.pack import COMPRESSED_ENTRY_LENGTH, MAX_ENTRIES, TRAILER_LENGTH
from pyrestic.format.pack_columns import offsets_of
from pyrestic.handle import BlobType
from pyrestic.ids import ID_LENGTH

if TYPE_CHECKING:
    import numpy as np
else:
    from pyrestic import later_numpy as np

OPEN_PACKS = 2
MOST_TOGETHER = 4096
"""Maximum number of blobs in one reservation."""
LONGEST_TOGETHER = 4 << 20
"""Maximum sealed bytes of one reservation: with their entries, no more than the longest blob."""

# A zstd frame of incompressible data is longer than the data by at most 1/256 and some bytes.
_ROOM_FOR_ONE_BLOB = MAX_LENGTH + (MAX_LENGTH >> 8) + 1024
_ROOM_FOR_HEADER = 1024
_FIRST_BYTES = 2 << 20
_PATIENCE_SECONDS = 0.1


class Run(NamedTuple):
    """Consecutive blobs in a pack, from `offset` on. A plain length of 0 means uncompressed."""

    offset: int
    ids: bytes
    lengths: Sequence[int]
    plain_lengths: Sequence[int]


@dataclass(slots=True, eq=False)
class OpenPack:
    """A pack that still accepts blobs; `length` bytes of its buffer are reserved."""

    type: BlobType
    buffer: memoryview
    length: int = 0
    runs: list[Run] = field(default_factory=list)
    filled: int = 0
    """The number of finished blobs."""
    reserved: int = 0
    """The number of reserved blobs, finished or not."""
    closed: bool = False

    @property
    def whole(self) -> bool:
        """Whether it accepts no more blobs and all reserved ones are finished."""
        return self.closed and self.filled == self.reserved

    def columns(self) -> Columns:
        """Return the blobs of a complete pack by their offsets."""
        runs = sorted(self.runs)
        ids = np.frombuffer(b"".join([run.ids for run in runs]), np.uint8).reshape(-1, ID_LENGTH)
        lengths, plain_lengths = (
            np.fromiter(chain.from_iterable(column), np.uint32, self.filled)
            for column in ([run.lengths for run in runs], [run.plain_lengths for run in runs])
        )
        types, pack_numbers = np.full(self.filled, self.type, np.uint8), np.zeros(self.filled, np.uint32)
        return Columns([], ids, types, pack_numbers, offsets_of(lengths), lengths, plain_lengths)


@dataclass(slots=True)
class Reservation:
    """A reserved part of a pack's buffer, for one blob or several consecutive ones."""

    pack: OpenPack
    offset: int
    view: memoryview


class BufferPool:
    """A limited number of pack buffers. `get` blocks while all are in use.

    Memory is taken page by page as a pack grows and returns to the system when the pack is stored: packs at all stages
    of growth take half as much as full ones. A caller that needs another buffer while a pack is being stored waits a
    moment first: on fast backends one is returned within it. `is_storing` tells whether a pack is being stored.
    """

    def __init__(self, count: int, pack_length: int, is_storing: Callable[[], bool] = bool) -> None:
        self._free: list[memoryview] = []
        self._left = count
        self._length = pack_length + _ROOM_FOR_ONE_BLOB + _ROOM_FOR_HEADER
        self._is_storing = is_storing
        self._changed = threading.Condition()
        self._broken = False

    def get(self, minimum_bytes: int) -> memoryview:
        """Return a buffer of at least minimum_bytes; wait for one if all are in use."""
        with self._changed:
            if self._is_storing():
                self._changed.wait_for(self._may_go_on, _PATIENCE_SECONDS)
            while not self._free and self._left <= 0 and not self._broken:
                self._changed.wait()
            if self._free:
                buffer = self._free.pop()
            else:
                self._left -= 1
                buffer = _new_buffer(self._length)
        return buffer if len(buffer) >= minimum_bytes else _new_buffer(minimum_bytes)

    def _may_go_on(self) -> bool:
        return bool(self._free) or self._broken

    def put(self, buffer: memoryview) -> None:
        """Return a buffer to the pool."""
        with self._changed:
            if len(buffer) == self._length:
                _give_back(buffer)
                self._free.append(buffer)
            else:
                self._left += 1
            self._changed.notify()

    def release_waiters(self) -> None:
        """Wake up all waiting threads: the run is ending with an error and nobody returns buffers."""
        with self._changed:
            self._broken = True
            self._changed.notify_all()


class Packer:
    """The open packs of one type of blob."""

    def __init__(self, blob_type: BlobType, pack_length: int, pool: BufferPool) -> None:
        self._type = blob_type
        self._pack_length = pack_length
        self._pool = pool
        self._open: list[OpenPack | None] = [None] * OPEN_PACKS
        self._lock = threading.Lock()
        self._dice = b""

    def reserve(self, length: int, count: int = 1) -> Reservation:
        """Reserve `length` sealed bytes in one of the open packs; may wait for a buffer.

        `count` blobs go there, several only if they are short: at most MOST_TOGETHER, of LONGEST_TOGETHER in total.
        """
        spare: memoryview | None = None
        while True:
            with self._lock:
                room = self._reserve(length, count, spare)
            if room is not None:
                if spare is not None and room.pack.buffer is not spare:
                    self._pool.put(spare)
                return room
            # Wait outside the lock: the buffer may have to pass through `commit` first.
            spare = self._pool.get(length + _ROOM_FOR_HEADER)

    def _reserve(self, length: int, count: int, spare: memoryview | None) -> Reservation | None:
        alone = count == 1 and length >= min(self._pack_length, _ROOM_FOR_ONE_BLOB)
        slot = self._roll()
        # A blob that fills a pack gets its own: it is fetched and repacked without other blobs.
        pack = None if alone else self._open[slot]
        if pack is None:
            if spare is None:
                return None
            pack = OpenPack(self._type, spare, closed=alone)
            if not alone:
                self._open[slot] = pack
        offset = pack.length
        pack.length += length
        pack.reserved += count
        full = pack.reserved >= MAX_ENTRIES - MOST_TOGETHER
        if full or pack.length + _header_length(pack.reserved) >= self._pack_length:
            pack.closed = True
            self._open = [None if other is pack else other for other in self._open]
        return Reservation(pack, offset, pack.buffer[offset : offset + length])

    def commit(
        self, room: Reservation, ids: bytes, lengths: Sequence[int], plain_lengths: Sequence[int]
    ) -> OpenPack | None:
        """Mark the reserved part as filled; return the pack if it is complete now and must be stored.

        The blobs are in order; plain lengths are 0 if uncompressed.
        """
        room.view.release()
        with self._lock:
            room.pack.runs.append(Run(room.offset, ids, lengths, plain_lengths))
            room.pack.filled += len(lengths)
            return room.pack if room.pack.whole else None

    def close(self) -> list[OpenPack]:
        """Close the open packs, merge them if they fit into one, and return them.

        A pack with a pending reservation is returned by the `commit` that completes it.
        """
        with self._lock:
            packs = [pack for pack in self._open if pack is not None]
            self._open = [None] * OPEN_PACKS
            for pack in packs:
                pack.closed = True
            packs = [pack for pack in packs if pack.whole]
        joined: list[OpenPack] = []
        for pack in packs:
            last = joined[-1] if joined else None
            if last and last.length + pack.length + _header_length(last.reserved + pack.reserved) < self._pack_length:
                _append(last, pack)
                self._pool.put(pack.buffer)
            else:
                joined.append(pack)
        return joined

    def _roll(self) -> int:
        if not self._dice:
            self._dice = os.urandom(512)
        value, self._dice = self._dice[0], self._dice[1:]
        first, second = (pack.length if pack is not None else 0 for pack in self._open)
        if first == second:
            return value % OPEN_PACKS
        return int((second > first) == (value % 3 > 0))


def _header_length(entries: int) -> int:
    return entries * COMPRESSED_ENTRY_LENGTH + OVERHEAD + TRAILER_LENGTH


def _append(pack: OpenPack, other: OpenPack) -> None:
    start = pack.length
    pack.buffer[start : start + other.length] = other.buffer[: other.length]
    pack.runs += [run._replace(offset=run.offset + start) for run in other.runs]
    pack.filled += other.filled
    pack.length += other.length
    pack.reserved += other.reserved


def _new_buffer(length: int) -> memoryview:
    # Private: freed shared memory would stay with the kernel.
    memory = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            # Large pages need fewer page faults; not every kernel has them. Many packs are shorter than one.
            memory.madvise(mmap.MADV_HUGEPAGE, _FIRST_BYTES)
    return memoryview(memory)


def _give_back(buffer: memoryview) -> None:
    if isinstance(buffer.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        buffer.obj.madvise(mmap.MADV_DONTNEED)
