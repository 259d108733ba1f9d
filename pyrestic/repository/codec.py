"""Converts blobs between plaintext and sealed form, with contexts per thread.

It works blob by blob in any installation, and in batches with compiled code.
"""

import hashlib
import threading
from typing import TYPE_CHECKING

from typing_extensions import Buffer

from pyrestic.engines import Engines
from pyrestic.errors import DamageError, HashMismatchError
from pyrestic.format.compress import Compression, Compressor, Decompressor, decompress, decompress_pieces
from pyrestic.format.crypto import MasterKey, Sealer
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, hash_id

if TYPE_CHECKING:
    # Rarely needed.
    from pyrestic.engine_types import BatchCodec

_READ_WHOLE = 256 << 10


class _Contexts(threading.local):
    """Cipher, compressor and decompressor of one thread; none of them may be shared."""

    def __init__(self, key: MasterKey, compression: Compression) -> None:
        self.sealer = Sealer(key)
        self.compressor = Compressor(compression)
        self.decompressor = Decompressor()
        self.engine: BatchCodec | None = None
        self.has_no_engine = False


class BlobCodec:
    """Compresses, seals, opens and verifies blobs; thread-safe."""

    def __init__(
        self,
        key: MasterKey,
        version: int,
        compression: Compression,
        engines: Engines | None = None,
    ) -> None:
        self._contexts = _Contexts(key, compression)
        self._key = key
        self._compression = compression
        self._engines = engines or Engines.none()
        self._compress_trees = version >= 2
        self._compress_data = version >= 2 and compression is not Compression.OFF

    @property
    def engine(self) -> "BatchCodec | None":
        """The batch engine of the calling thread; None if there is none.

        It may become available later: check again before each large batch.
        """
        contexts = self._contexts
        if contexts.engine is None and not contexts.has_no_engine:
            maker = self._engines.blobs
            try:
                contexts.engine = maker.make_engine(self._key, self._compression) if maker is not None else None
            except OSError:
                contexts.has_no_engine = True
        return contexts.engine

    @property
    def decompressor(self) -> Decompressor:
        """The calling thread's decompressor, for data other than blobs."""
        return self._contexts.decompressor

    def compresses(self, blob_type: BlobType) -> bool:
        """Tell whether blobs of this type are compressed."""
        return self._compress_data if blob_type is BlobType.DATA else self._compress_trees

    def pack_payload(self, blob_type: BlobType, data: Buffer) -> tuple[Buffer, bool]:
        """Return the bytes to seal for a blob, and whether they are compressed (format version 2)."""
        if self.compresses(blob_type):
            return self._contexts.compressor.compress(data), True
        return data, False

    def seal_into(self, payload: Buffer, room: memoryview) -> None:
        """Seal payload into the buffer, which has exactly the right length."""
        self._contexts.sealer.seal_into(payload, room)

    def seal(self, data: Buffer) -> bytes:
        """Return data sealed."""
        return self._contexts.sealer.seal(data)

    def open(self, sealed: Buffer) -> bytes:
        """Return the plaintext of sealed bytes; raise UnauthenticError."""
        return self._contexts.sealer.open(sealed)

    def decode(self, blob_type: BlobType, identifier: ID, sealed: Buffer, plain_length: int | None) -> bytes:
        """Return the verified plaintext of a blob; raise DamageError (a wrong tag, a bad frame or another hash)."""
        try:
            data = self._contexts.sealer.open(sealed)
            if plain_length is not None:
                data = decompress(data, plain_length, self._contexts.decompressor)
        except DamageError as error:
            raise _in_blob(blob_type, identifier, error) from error
        if hash_id(data) != identifier:
            raise _other_hash(blob_type, identifier)
        return data

    def verify(self, blob_type: BlobType, identifier: ID, sealed: Buffer, plain_length: int | None) -> None:
        """Read back data that this codec sealed, or uncompressed data; raise DamageError as `decode` does.

        A long blob is verified in pieces, so that it needs no buffer and stays in the CPU cache.
        """
        if memoryview(sealed).nbytes <= _READ_WHOLE:
            self.decode(blob_type, identifier, sealed, plain_length)
            return
        digest = hashlib.sha256()
        try:
            pieces = self._contexts.sealer.open_pieces(sealed)
            if plain_length is not None:
                pieces = decompress_pieces(pieces, plain_length, self._contexts.decompressor)
            for piece in pieces:
                digest.update(piece)
        except DamageError as error:
            raise _in_blob(blob_type, identifier, error) from error
        if digest.digest() != identifier:
            raise _other_hash(blob_type, identifier)


def _in_blob(blob_type: BlobType, identifier: ID, error: DamageError) -> DamageError:
    return type(error)(f"blob {BlobHandle(blob_type, identifier)} is damaged: {error}")


def _other_hash(blob_type: BlobType, identifier: ID) -> HashMismatchError:
    return HashMismatchError(f"blob {BlobHandle(blob_type, identifier)} is damaged: its hash does not match")
