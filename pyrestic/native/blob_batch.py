"""Seals, opens or hashes a batch of blobs in one call of compiled code that releases the GIL.

The code (sources/blob_batch.py) calls the system's OpenSSL and zstd with contexts made once per thread. It seals and
opens exactly as Sealer, Compressor and decompress do, and leaves unusual blobs to them. It is used only after its
results agreed with theirs.
"""

import ctypes
import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

from pyrestic import libcrypto
from pyrestic.errors import DamageError
from pyrestic.format.compress import SMALL_BYTES, Compression, Compressor, compression_parameters, decompress
from pyrestic.format.crypto import OVERHEAD, MasterKey, Sealer, masked_r, random_nonces
from pyrestic.native import blob_layout as slots
from pyrestic.native import libzstd
from pyrestic.native.machinecode import function_at, map_code
from pyrestic.native.sha256 import PairCode, RunningHash

LONGEST_BYTES: Final = 16 << 20
"""Longer blobs are skipped, because they would need buffers for a frame and its content."""

_PARAMETERS: Final = 10

# Functions that compiled code calls, by slot.
_OPENSSL_FUNCTIONS: Final = {
    slots.CIPHER_INIT: "EVP_EncryptInit_ex2",
    slots.CIPHER_UPDATE: "EVP_EncryptUpdate",
    slots.MAC_INIT: "EVP_MAC_init",
    slots.MAC_UPDATE: "EVP_MAC_update",
    slots.MAC_FINAL: "EVP_MAC_final",
    slots.DIGEST_INIT: "EVP_DigestInit_ex2",
    slots.DIGEST_UPDATE: "EVP_DigestUpdate",
    slots.DIGEST_FINAL: "EVP_DigestFinal_ex",
}
_ZSTD_FUNCTIONS: Final = {
    slots.COMPRESS: "ZSTD_compress2",
    slots.DECOMPRESS: "ZSTD_decompressDCtx",
    slots.FRAME_LENGTH: "ZSTD_findFrameCompressedSize",
}

Numbers: TypeAlias = Sequence[int] | NDArray[Any]
_Table: TypeAlias = NDArray[np.int64]
"""Starts, lengths, plain lengths and results, one row each."""


class BlobCode(NamedTuple):
    """Verified compiled code, and the functions that it calls: engines are made from it."""

    run: Callable[..., int]
    crypto: libcrypto.Library
    zstd: ctypes.CDLL
    pair: PairCode | None
    """The code that hashes two messages at a time, if the processor supports it."""

    def make_engine(self, key: MasterKey, compression: Compression = Compression.AUTO) -> "BlobEngine":
        """Return an engine; raise OSError if the system's libraries lack a function."""
        return BlobEngine(self, key, compression)


class BlobEngine:
    """Seals, opens and hashes with one key; not thread-safe.

    `data` and `out` are any contiguous buffers. Blobs are in data at `starts` with `lengths`; `ids` has the
    concatenated SHA-256 of their plaintexts. Numbers may be lists or arrays.
    """

    def __init__(self, code: BlobCode, key: MasterKey, compression: Compression) -> None:
        self._run = code.run
        self._table = (ctypes.c_int64 * (slots.TABLE_BYTES // 8))()
        self._address = ctypes.addressof(self._table)
        crypto, zstd = code.crypto, code.zstd
        for slot, name in _OPENSSL_FUNCTIONS.items():
            self._set(slot, _address(getattr(crypto.freeing, name)))
        for slot, name in _ZSTD_FUNCTIONS.items():
            self._set(slot, _address(getattr(zstd, name)))
        self._set(slots.COUNTER, libcrypto.new_counter(crypto, self, key.encrypt))
        self._set(slots.ONE_TIME, libcrypto.new_one_time(crypto, self, key.mac_k))
        self._set(slots.MAC, libcrypto.new_poly1305(crypto, self))
        self._set(slots.DIGEST, libcrypto.new_digest(crypto, self))
        self._set(slots.DIGEST_KIND, crypto.sha256)
        small, large = compression_parameters(compression)
        self._set(slots.COMPRESS_SMALL, libzstd.new_compressor(zstd, self, small))
        self._set(slots.COMPRESS_LARGE, libzstd.new_compressor(zstd, self, large))
        self._set(slots.DECOMPRESSOR, libzstd.new_decompressor(zstd, self))
        self._set(slots.SMALL_BYTES, SMALL_BYTES)
        self._pair = code.pair
        if code.pair is not None:
            self._set(slots.HASH_PAIR, code.pair.function)
            self._set(slots.HASH_CONSTANTS, code.pair.constants)
        ctypes.memmove(self._address + slots.MAC_KEY, masked_r(key), slots.TAG_BYTES)
        self._make_room(slots.PIECE_BYTES)

    def hash_all(self, data: Buffer, starts: Numbers, lengths: Numbers) -> bytes | None:
        """Return the concatenated SHA-256 of the blobs; None if one of them is not inside data."""
        out = bytearray(slots.ID_BYTES * len(starts))
        numbers = _numbers(starts, lengths, None)
        made = self._call(slots.HASH, data, numbers, b"", out)
        return bytes(out) if made == len(out) else None

    def verify_all(
        self, data: Buffer, starts: Numbers, lengths: Numbers, plain_lengths: Numbers, ids: Buffer
    ) -> list[int]:
        """Return which of many sealed blobs are not known to be intact: `decode` reports the error of each.

        The others have the correct tag, frame, length and hash. A plain length is 0 if a blob is not compressed.
        """
        return self._open(slots.OPEN, data, _numbers(starts, lengths, plain_lengths), ids, bytearray())

    @property
    def hashes_pairs(self) -> bool:
        """Whether this processor hashes two messages at a time faster than one after the other."""
        return self._pair is not None

    def begin_hash(self) -> RunningHash | None:
        """Return the hash of a pack for the parts of `verify_part`, None if it does not hash pairs."""
        return RunningHash(self._pair) if self._pair is not None else None

    def verify_part(
        self,
        running: RunningHash,
        data: Buffer,
        starts: Numbers,
        lengths: Numbers,
        plain_lengths: Numbers,
        ids: Buffer,
    ) -> list[int]:
        """Return the result of `verify_all` for the blobs in the next part of a pack, which is also added to `running`.

        That takes little more time than hashing only the sealed bytes or the plaintexts.
        """
        return self._open(slots.CHECK_PART, data, _numbers(starts, lengths, plain_lengths), ids, running.memory)

    def decode_all(
        self,
        data: Buffer,
        starts: Numbers,
        lengths: Numbers,
        plain_lengths: Numbers,
        ids: Buffer,
        out: Buffer,
    ) -> list[int]:
        """Write the concatenated plaintexts of sealed blobs to out; return as `verify_all` does.

        For a damaged blob, its part of out is undefined. Raises ValueError if out is too short.
        """
        numbers = _numbers(starts, lengths, plain_lengths)
        sizes = np.where(numbers[2] > 0, numbers[2], numbers[1] - OVERHEAD)
        if sizes.min(initial=1) <= 0 or int(sizes.sum()) > memoryview(out).nbytes:
            raise ValueError("there is too little room for the plaintexts of these blobs")
        return self._open(slots.OPEN_AND_KEEP, data, numbers, ids, out)

    def encode_all(
        self,
        data: Buffer,
        starts: Numbers,
        lengths: Numbers,
        ids: Buffer,
        out: Buffer,
        *,
        compress: bool,
        verify: bool,
    ) -> list[int] | None:
        """Seal blobs into out, one after the other, and return the sealed lengths; None if anything is unusual.

        `out` must have the length from `room_for`. With `verify`, each blob is read back: opened, decompressed, its
        hash compared.
        """
        numbers = _numbers(starts, lengths, None)
        _check_ids(ids, len(starts))
        given = random_nonces(len(starts)) + bytes(ids)
        work = slots.SEAL_AND_VERIFY if verify else slots.SEAL
        made = self._call(work, data, numbers, given, out, compress=compress)
        return numbers[3].tolist() if made >= 0 else None

    @staticmethod
    def room_for(lengths: Sequence[int]) -> int:
        """Return the maximum length of the result of `encode_all` for blobs of these lengths."""
        return sum(length + (length >> 8) + 64 + OVERHEAD for length in lengths)

    def _open(self, work: int, data: Buffer, numbers: _Table, ids: Buffer, out: Buffer) -> list[int]:
        _check_ids(ids, numbers.shape[1])
        self._call(work, data, numbers, ids, out)
        return np.flatnonzero(numbers[3] != 1).tolist()

    def _call(
        self,
        work: int,
        data: Buffer,
        numbers: _Table,
        ids: Buffer,
        out: Buffer,
        *,
        compress: bool = False,
    ) -> int:
        count = numbers.shape[1]
        if count == 0 and work != slots.CHECK_PART:
            return 0
        if memoryview(out).readonly:
            raise ValueError("what is to be written to is read only")
        if work != slots.HASH:
            self._make_room(_room(work, numbers))
        return self._run(
            self._address,
            work,
            compress,
            count,
            *_place(data),
            numbers.ctypes.data,
            _place(ids)[0],
            *_place(out),
        )

    def _make_room(self, length: int) -> None:
        """Allocate buffers for a frame and a plaintext of `length` bytes; a frame is slightly longer."""
        length += (length >> 8) + 64
        if length <= self._get(slots.ROOM):
            return
        self._memory = [ctypes.create_string_buffer(length) for _ in range(2)]
        for slot, memory in zip((slots.FRAME, slots.PLAIN), self._memory, strict=True):
            self._set(slot, ctypes.addressof(memory))
        self._set(slots.ROOM, length)

    def _get(self, slot: int) -> int:
        return self._table[slot // 8]

    def _set(self, slot: int, value: int) -> None:
        self._table[slot // 8] = value


def _room(work: int, numbers: _Table) -> int:
    """Return the required length of the buffers for frames and plaintexts that are not written to out."""
    sizes = numbers[1:3]
    if work == slots.CHECK_PART:
        # Uncompressed data is processed in pieces.
        sizes = sizes[:, numbers[2] > 0]
    return max(slots.PIECE_BYTES, min(int(sizes.max(initial=0)), LONGEST_BYTES))


def _numbers(starts: Numbers, lengths: Numbers, plain_lengths: Numbers | None) -> _Table:
    numbers = np.zeros((4, len(starts)), np.int64)
    numbers[0], numbers[1] = starts, lengths
    if plain_lengths is not None:
        numbers[2] = plain_lengths
    return numbers


def _check_ids(ids: Buffer, count: int) -> None:
    if memoryview(ids).nbytes != slots.ID_BYTES * count:
        raise ValueError(f"there must be {count} IDs")


def _place(data: Buffer) -> tuple[int, int]:
    """Return address and length of a buffer."""
    view = memoryview(data).cast("B")
    return libcrypto.address_of(view), len(view)


def _address(function: Any) -> int:  # noqa: ANN401 - ctypes has no type for it
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def load_code(code: bytes, pair: PairCode | None = None) -> BlobCode | None:
    """Return stored machine code, ready for use; None if it cannot be used here or gives wrong results.

    `pair` is the code that it may use for hashes.
    """
    crypto, zstd = libcrypto.find_library(), libzstd.find_library()
    address = map_code(code) if crypto is not None and zstd is not None else None
    if crypto is None or zstd is None or address is None:
        return None
    found = BlobCode(function_at(address, _PARAMETERS), crypto, zstd, pair)
    return found if agrees(found) else None


def agrees(code: BlobCode) -> bool:
    """Tell whether compiled code and the other engines open each other's sealed blobs, and detect the same damage."""
    key = MasterKey(bytes(range(32)), bytes(range(100, 116)), bytes(range(200, 216)))
    plains = [bytes(range(200)) * 3, b"text " * 1000, hashlib.shake_128(b"").digest(9000), b"."]
    lengths = list(map(len, plains))
    starts = list(itertools.accumulate(lengths, initial=0))[:-1]
    data, ids = b"".join(plains), b"".join(hashlib.sha256(plain).digest() for plain in plains)
    try:
        engine = code.make_engine(key)
        return engine.hash_all(data, starts, lengths) == ids and all(
            _agrees_on(engine, Sealer(key), plains, starts, ids, compress) for compress in (True, False)
        )
    except (OSError, DamageError, ValueError, RuntimeError):
        return False


def _agrees_on(
    engine: BlobEngine, sealer: Sealer, plains: list[bytes], starts: list[int], ids: bytes, compress: bool
) -> bool:
    lengths = list(map(len, plains))
    plain_lengths = lengths if compress else [0] * len(plains)
    out = bytearray(engine.room_for(lengths))
    made = engine.encode_all(b"".join(plains), starts, lengths, ids, out, compress=compress, verify=True)
    if made is None:
        return False
    ends = list(itertools.accumulate(made))
    sealed = [bytes(out[end - length : end]) for end, length in zip(ends, made, strict=True)]
    opened = map(sealer.open, sealed)
    if (list(map(decompress, opened, lengths)) if compress else list(opened)) != plains:
        return False
    payload: Callable[[bytes], bytes] = Compressor().compress if compress else bytes
    theirs = [sealer.seal(payload(plain)) for plain in plains]
    sizes = list(map(len, theirs))
    begins = list(itertools.accumulate(sizes, initial=0))[:-1]
    found = bytearray(sum(lengths))
    joined = bytearray(b"".join(theirs))
    whole = not engine.decode_all(joined, begins, sizes, plain_lengths, ids, found) and bytes(found) == b"".join(plains)
    joined[begins[1] + 20] ^= 1
    return whole and engine.verify_all(joined, begins, sizes, plain_lengths, ids) == [1]
