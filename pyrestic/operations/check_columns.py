"""Verifies a pack with compiled code: its hash, its header against the index, every blob in it.

Blobs stay columns, and calls that release the GIL do the work. The result only tells whether everything is intact:
check_pack then examines the blobs one by one to find the error.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pyrestic.engine_types import BatchCodec
from pyrestic.errors import BackendError, DamageError
from pyrestic.format.index_file import Columns
from pyrestic.format.pack import TRAILER_LENGTH, header_length
from pyrestic.format.pack_columns import encode_header
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID
from pyrestic.repository.direct_read import PIECE_BYTES
from pyrestic.repository.repository import Repository


def is_whole(repository: Repository, engine: BatchCodec, pack: ID, blobs: Columns, length: int) -> bool:
    """Tell whether a pack matches the index: of `length` bytes, with these blobs, which are sorted by offset.

    Also false if the pack cannot be read.
    """
    ends = np.cumsum(blobs.lengths, dtype=np.int64)
    starts = ends - blobs.lengths
    if not len(ends) or not np.array_equal(starts, blobs.offsets):
        return False
    running = engine.begin_hash()
    hasher = hashlib.sha256()
    try:
        for first, last, data in _pieces(repository, pack, ends, length):
            if first == last:
                tail = bytes(data)
                break
            part = blobs.take(slice(first, last))
            given = data, starts[first:last] - starts[first], part.lengths, part.plain_lengths, part.ids.data
            if running is None:
                hasher.update(data)
            if engine.verify_part(running, *given) if running is not None else engine.verify_all(*given):
                return False
        hasher.update(tail)
        found = running.finish(tail) if running is not None else hasher.digest()
        if found != pack or header_length(tail[-TRAILER_LENGTH:], length) != len(tail) - TRAILER_LENGTH:
            return False
        return repository.open_sealed(tail[:-TRAILER_LENGTH]) == encode_header(blobs)
    except (BackendError, DamageError):
        return False


def _pieces(
    repository: Repository, pack: ID, ends: NDArray[np.int64], length: int
) -> Iterator[tuple[int, int, memoryview]]:
    """Iterate the bytes of a pack with the range of blobs in them, and finally its tail.

    Each piece must be consumed before the next one.
    """
    near, count, start, first = repository.near, len(ends), 0, 0
    if near is None:
        data = memoryview(repository.backend.load(Handle(FileType.PACK, pack.hex()), 0, length))
        yield 0, count, data[: ends[-1]]
        yield count, count, data[ends[-1] :]
        return
    while first < count:
        last = max(first + 1, int(np.searchsorted(ends, start + PIECE_BYTES, "right")))
        end = int(ends[last - 1])
        yield first, last, near.read(pack, start, end - start)
        start, first = end, last
    yield count, count, near.read(pack, start, length - start)
