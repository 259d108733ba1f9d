"""Saves blobs: hash, look up, compress, seal into a pack, store complete packs, record them in index files.

Threads: callers may save from any number of threads; `submit` offers one worker per processor, and the backend
determines the number of concurrent uploads. The pool of pack buffers bounds the memory: when uploads are slower than
sealing, `save` waits. Packs are written first, then the index that lists them; snapshots follow after `flush`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from typing_extensions import Buffer

from pyrestic.backend.base import Backend, save_tree_pack
from pyrestic.errors import DamageError, PyresticError
from pyrestic.format.chunker import MIN_LENGTH
from pyrestic.format.crypto import OVERHEAD
from pyrestic.format.index_file import Columns, PackRows
from pyrestic.format.pack import encode_trailer
from pyrestic.format.pack_columns import encode_header, is_header_of
from pyrestic.handle import BlobType, FileType, Handle
from pyrestic.ids import ID, hash_id, split_ids
from pyrestic.repository.codec import BlobCodec
from pyrestic.repository.index import Index
from pyrestic.repository.packer import LONGEST_TOGETHER, MOST_TOGETHER, OPEN_PACKS, BufferPool, OpenPack, Packer

if TYPE_CHECKING:
    import numpy as np
else:
    from pyrestic import later_numpy as np

if TYPE_CHECKING:
    from pyrestic.engine_types import BatchCodec

INDEX_BLOBS = 50_000
INDEX_AGE_SECONDS = 600.0

_SEALING_SECONDS = 0.02
"""How long a blob takes to be sealed, roughly."""

_LONGEST_PLAIN = LONGEST_TOGETHER * 3 // 4
"""This number of bytes of short blobs is sealed together; sealed, they hardly ever exceed LONGEST_TOGETHER."""

_ZERO_CHUNK = bytes(MIN_LENGTH)
_ZERO_CHUNK_ID = hash_id(_ZERO_CHUNK)


class SavedBlob(NamedTuple):
    """Result of a save: the ID, whether the repository had the blob already, and the stored bytes added."""

    id: ID
    known: bool
    length: int


class SavedBlobs(NamedTuple):
    """Result of a batch save: the IDs, and the stored bytes added for each, 0 if the repository had it already."""

    ids: list[ID]
    lengths: list[int]


class _Output(threading.local):
    """A thread's buffer for sealing blobs that are saved together."""

    def __init__(self) -> None:
        self.view = memoryview(b"")

    def of_length(self, length: int) -> memoryview:
        """Return at least this number of bytes; their previous content is lost."""
        if len(self.view) < length:
            self.view = memoryview(bytearray(length))
        return self.view


def _is_zero_chunk(data: Buffer) -> bool:
    """Tell whether data is the chunk of a hole in a sparse file: comparing takes a tenth of hashing."""
    return memoryview(data).nbytes == MIN_LENGTH and data == _ZERO_CHUNK


class IndexWriter:
    """Collects stored packs and saves an index file after enough blobs or time."""

    def __init__(self, save: Callable[[list[PackRows]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._save = save
        self._clock = clock
        self._lock = threading.Lock()
        self._packs: list[PackRows] = []
        self._blobs = 0
        self._since = clock()

    def add(self, pack: PackRows) -> None:
        """Record a stored pack; saves an index file at 50,000 blobs or ten minutes."""
        with self._lock:
            if not self._packs:
                self._since = self._clock()
            self._packs.append(pack)
            self._blobs += len(pack.blobs.ids)
            if self._blobs < INDEX_BLOBS and self._clock() - self._since < INDEX_AGE_SECONDS:
                return
            packs = self._take()
        self._save(packs)

    def flush(self) -> None:
        """Save an index file of the rest."""
        with self._lock:
            packs = self._take()
        if packs:
            self._save(packs)

    def _take(self) -> list[PackRows]:
        packs, self._packs, self._blobs = self._packs, [], 0
        return packs


class Saver:
    """Saves blobs into packs of one repository until `flush` or `abort`."""

    def __init__(
        self,
        *,
        backend: Backend,
        codec: BlobCodec,
        index: Index,
        index_writer: IndexWriter,
        pack_length: int,
        verify: bool,
    ) -> None:
        self._backend = backend
        self._codec = codec
        self._index = index
        self._index_writer = index_writer
        self._verify = verify
        self._pending: dict[BlobType, dict[ID, object]] = {blob_type: {} for blob_type in BlobType}
        self._running: set[Future[None]] = set()
        self._pool = BufferPool(OPEN_PACKS + 1 + backend.connections, pack_length, lambda: bool(self._running))
        self._packers = {kind: Packer(kind, pack_length, self._pool) for kind in BlobType}
        self._workers = ThreadPoolExecutor(os.cpu_count() or 1, "save")
        self._uploads = ThreadPoolExecutor(backend.connections, "upload")
        self._output = _Output()
        self._failure: BaseException | None = None

    def save(
        self, blob_type: BlobType, data: Buffer, identifier: ID | None = None, *, duplicate: bool = False
    ) -> SavedBlob:
        """Store a blob unless the repository has it (or `duplicate` is set); raise PyresticError.

        `identifier` is its SHA-256 if known. The caller may reuse data as soon as this returns.
        """
        if self._failure is not None:
            self._raise_failure()
        if identifier is None:
            identifier = _ZERO_CHUNK_ID if _is_zero_chunk(data) else hash_id(data)
        if not self._claim(blob_type, identifier) and not duplicate:
            return SavedBlob(identifier, True, 0)
        return SavedBlob(identifier, False, self._store_blob(blob_type, identifier, data))

    def save_all(
        self,
        blob_type: BlobType,
        data: memoryview,
        starts: Sequence[int],
        lengths: Sequence[int],
        ids: bytes = b"",
        *,
        duplicate: bool = False,
    ) -> SavedBlobs | None:
        """Store the new blobs among many short ones, or all; raise PyresticError.

        They are in data; `ids` has their concatenated SHA-256 if known. A few calls that release the GIL do the work,
        and new blobs go next to each other into a pack. Returns None without an engine: then save them one by one.
        """
        if self._failure is not None:
            self._raise_failure()
        engine = self._codec.engine
        found = ids or engine.hash_all(data, starts, lengths) if engine is not None else None
        if engine is None or found is None:
            return None
        each = split_ids(found)
        new = [number for number, one in enumerate(each) if self._claim(blob_type, one) or duplicate]
        stored = [0] * len(each)
        try:
            blobs = [(each[number], starts[number], lengths[number]) for number in new]
            for number, length in zip(new, self._store_all(engine, blob_type, data, blobs), strict=True):
                stored[number] = length
        except BaseException as error:
            self._fail(error)
            raise
        return SavedBlobs(each, stored)

    @property
    def saves_many(self) -> bool:
        """Whether there is an engine for `save_all` by now."""
        return self._codec.engine is not None

    def knows(self, blob_type: BlobType, identifier: ID) -> bool:
        """Tell whether the blob is stored or about to be."""
        return identifier in self._pending[blob_type] or self._index.has((blob_type, identifier))

    def knows_all(self, blob_type: BlobType, identifiers: bytes) -> bool:
        """Tell whether all of these blobs are stored or about to be, given as concatenated IDs."""
        if self._index.has_all(blob_type, identifiers):
            return True
        return all(self.knows(blob_type, identifier) for identifier in split_ids(identifiers))

    def submit(self, blob_type: BlobType, data: Buffer) -> Future[SavedBlob]:
        """Do `save` on a worker; data must not change until the future is done."""
        return self._workers.submit(self.save, blob_type, data)

    def flush(self) -> None:
        """Store the open packs and save the index; no save may be running. Raises PyresticError."""
        for packer in self._packers.values():
            for pack in packer.close():
                self._upload(pack)
        self._wait_for_uploads()
        self._index_writer.flush()

    def flush_saved(self) -> None:
        """Store what was saved so far and its index, while other threads go on saving. Raises PyresticError."""
        waiting = [(pending, list(pending)) for pending in self._pending.values()]
        while any(blob in pending for pending, blobs in waiting for blob in blobs):
            for packer in self._packers.values():
                for pack in packer.close():
                    self._upload(pack)
            self._wait_for_uploads()
            waiting = [(pending, [blob for blob in blobs if blob in pending]) for pending, blobs in waiting]
            if any(blobs for _, blobs in waiting):
                # Another thread is sealing one of these blobs.
                time.sleep(_SEALING_SECONDS)
        if self._failure is not None:
            self._raise_failure()
        self._index_writer.flush()

    def abort(self) -> None:
        """Abort: drop unsaved data, let running uploads end, and try to save the index of the rest."""
        self._fail(PyresticError("saving was interrupted"))
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._uploads.shutdown(wait=True, cancel_futures=True)
        with contextlib.suppress(PyresticError):
            # Report what ended the run, not that the backend did not respond to this either.
            self._index_writer.flush()

    def close(self) -> None:
        """End the threads; call flush before."""
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._uploads.shutdown(wait=True, cancel_futures=True)

    def _claim(self, blob_type: BlobType, identifier: ID) -> bool:
        """Make this caller the one that stores the blob; False if it is stored or another caller does."""
        pending, token = self._pending[blob_type], object()
        # Pending first, index second, and `_store_pack` fills the index before it clears pending: a blob that moves
        # from one to the other is always visible in one of them.
        if pending.setdefault(identifier, token) is not token:
            return False
        if self._index.has((blob_type, identifier)):
            del pending[identifier]
            return False
        return True

    def _store_blob(self, blob_type: BlobType, identifier: ID, data: Buffer) -> int:
        codec = self._codec
        payload, compressed = codec.pack_payload(blob_type, data)
        plain_length = memoryview(data).nbytes if compressed else None
        length = memoryview(payload).nbytes + OVERHEAD
        packer = self._packers[blob_type]
        room = packer.reserve(length)
        if self._failure is not None:
            self._raise_failure()
        try:
            codec.seal_into(payload, room.view)
            if self._verify:
                self._read_back(blob_type, identifier, room.view, plain_length)
        except BaseException as error:
            self._fail(error)
            raise
        pack = packer.commit(room, identifier, (length,), (plain_length or 0,))
        if pack is not None:
            self._upload(pack)
        return length

    def _store_all(
        self, engine: BatchCodec, blob_type: BlobType, data: memoryview, blobs: list[tuple[ID, int, int]]
    ) -> list[int]:
        """Store blobs given by ID, start and length; return their stored lengths."""
        stored: list[int] = []
        begin = total = 0
        for end, (_, _, length) in enumerate(blobs):
            if total + length > _LONGEST_PLAIN or end - begin == MOST_TOGETHER:
                stored += self._store_part(engine, blob_type, data, blobs[begin:end])
                begin, total = end, 0
            total += length
        return stored + self._store_part(engine, blob_type, data, blobs[begin:])

    def _store_part(
        self, engine: BatchCodec, blob_type: BlobType, data: memoryview, blobs: list[tuple[ID, int, int]]
    ) -> list[int]:
        """Store blobs like _store_all, next to each other; a pack accepts them together."""
        if not blobs:
            return []
        ids, starts, lengths = map(list, zip(*blobs, strict=True))
        compress = self._codec.compresses(blob_type)
        output = self._output.of_length(engine.room_for(lengths))
        joined = b"".join(ids)
        sealed = engine.encode_all(data, starts, lengths, joined, output, compress=compress, verify=self._verify)
        if sealed is None or sum(sealed) > LONGEST_TOGETHER:
            return [self._store_blob(blob_type, one, data[start : start + length]) for one, start, length in blobs]
        total = sum(sealed)
        packer = self._packers[blob_type]
        room = packer.reserve(total, len(blobs))
        if self._failure is not None:
            self._raise_failure()
        room.view[:] = output[:total]
        plain_lengths = array("I", lengths if compress else bytes(4 * len(lengths)))
        pack = packer.commit(room, joined, array("I", sealed), plain_lengths)
        if pack is not None:
            self._upload(pack)
        return sealed

    def _read_back(self, blob_type: BlobType, identifier: ID, sealed: memoryview, plain_length: int | None) -> None:
        try:
            self._codec.verify(blob_type, identifier, sealed, plain_length)
        except DamageError as error:
            raise PyresticError(
                f"a blob could not be read back before it was stored: {error}",
                hint="The memory or processor of this machine may be faulty; no wrong data was stored.",
            ) from error

    def _upload(self, pack: OpenPack) -> None:
        future = self._uploads.submit(self._store_pack, pack)
        self._running.add(future)
        future.add_done_callback(self._running.discard)

    def _store_pack(self, pack: OpenPack) -> None:
        try:
            if self._failure is not None:
                return
            blobs = pack.columns()
            end = self._write_header(pack, blobs)
            data = pack.buffer[:end]
            identifier = hashlib.sha256(data).digest()
            self._save_pack(pack.type, Handle(FileType.PACK, identifier.hex()), data)
            self._index.add_rows(identifier, blobs)
            self._pool.put(pack.buffer)
            self._index_writer.add(PackRows(identifier, blobs))
            # Last: `flush_saved` relies on an index file for every blob that is no longer pending.
            pending = self._pending[pack.type]
            for blob in split_ids(blobs.ids.tobytes()):
                pending.pop(blob, None)
        except BaseException as error:
            self._fail(error)
            raise

    def _save_pack(self, blob_type: BlobType, handle: Handle, data: memoryview) -> None:
        if blob_type is BlobType.TREE:
            save_tree_pack(self._backend, handle, data)
        else:
            self._backend.save(handle, data)

    def _write_header(self, pack: OpenPack, blobs: Columns) -> int:
        """Seal the header after the blobs and return the length of the pack (design document, "Pack Format")."""
        header = encode_header(blobs)
        sealed_length = len(header) + OVERHEAD
        end = pack.length + sealed_length
        self._codec.seal_into(header, pack.buffer[pack.length : end])
        trailer = encode_trailer(sealed_length)
        pack.buffer[end : end + len(trailer)] = trailer
        in_all = int(blobs.lengths.sum(dtype=np.int64))
        if in_all != pack.length or not is_header_of(self._codec.open(pack.buffer[pack.length : end]), blobs):
            raise PyresticError("a pack header could not be read back before it was stored")
        return end + len(trailer)

    def _wait_for_uploads(self) -> None:
        for future in list(self._running):
            try:
                future.result()
            except Exception as error:
                self._fail(error)
        if self._failure is not None:
            self._raise_failure()

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._pool.release_waiters()

    def _raise_failure(self) -> None:
        if isinstance(self._failure, PyresticError):
            raise self._failure
        reason = str(self._failure) or type(self._failure).__name__
        raise PyresticError(f"saving stopped: {reason}") from self._failure
