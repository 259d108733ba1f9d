"""Reads and verifies one pack: its hash, its header against the index, every blob in it.

A local pack is read in pieces, its header first; a remote one in one request.
"""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyrestic.errors import BackendError, DamageError, PyresticError
from pyrestic.format.crypto import OVERHEAD
from pyrestic.format.pack import (
    COMPRESSED_ENTRY_LENGTH,
    ENTRY_LENGTH,
    TRAILER_LENGTH,
    HeaderEntry,
    entry_length,
)
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID
from pyrestic.repository.direct_read import PIECE_BYTES, NearReader
from pyrestic.repository.pack_header import parse_pack_tail
from pyrestic.repository.repository import Repository
from pyrestic.repository.rereading import forget_copy

if TYPE_CHECKING:
    # This imports numpy, which is imported while a lock waits.
    from pyrestic.repository.index import PackTotals


def expected_length(entries: list[HeaderEntry]) -> int:
    """Return the length of a pack with these blobs, in bytes."""
    header = sum(entry_length(entry.plain_length) for entry in entries)
    return sum(entry.length for entry in entries) + header + OVERHEAD + TRAILER_LENGTH


def expected_total(totals: "PackTotals") -> int:
    """Return the length of a pack with these totals of its blobs, in bytes."""
    header = totals.blobs * ENTRY_LENGTH + totals.compressed * (COMPRESSED_ENTRY_LENGTH - ENTRY_LENGTH)
    return totals.length + header + OVERHEAD + TRAILER_LENGTH


def fetch_pack(repository: Repository, pack: ID, entries: list[HeaderEntry]) -> bytes | DamageError:
    """Return a pack of the length in the index, or the error of its length; raise BackendError."""
    try:
        return repository.backend.load(Handle(FileType.PACK, pack.hex()), 0, expected_length(entries))
    except DamageError as error:
        return error


def check_pack(
    repository: Repository, pack: ID, entries: list[HeaderEntry], fetched: bytes | DamageError | None = None
) -> list[str]:
    """Return the errors of a pack with these blobs in the index; raise BackendError if it is missing.

    `fetched` is the result of fetch_pack. Errors are confirmed by another read that bypasses the cache: the damage may
    have happened in transit.
    """
    faults = again = _check(repository, pack, entries, fetched)
    if not faults:
        return []
    for attempt in ("second", "third"):
        forget_copy(repository.backend, Handle(FileType.PACK, pack.hex()))
        again = _check(repository, pack, entries)
        if not again:
            return [f"check successful on {attempt} attempt, original error: {faults[0]}"]
    return again


def _check(
    repository: Repository, pack: ID, entries: list[HeaderEntry], fetched: bytes | DamageError | None = None
) -> list[str]:
    faults = []
    length = expected_length(entries)
    end = 0
    for entry in entries:
        if entry.offset != end:
            faults.append("index for pack contains gaps / overlapping blobs")
            break
        end = entry.offset + entry.length
    if fetched is None and (faults or repository.near is None):
        fetched = fetch_pack(repository, pack, entries)
    if isinstance(fetched, DamageError):
        return [*faults, f"partial download error: {fetched}"]
    hasher = hashlib.sha256()
    try:
        if fetched is not None:
            tail = fetched
            _check_blobs(repository, memoryview(fetched), 0, entries, faults)
        else:
            assert repository.near is not None  # noqa: S101 - else it was fetched
            tail = bytes(repository.near.read(pack, end, length - end))
            for offset, data, part in _pieces(repository.near, pack, entries):
                hasher.update(data)
                _check_blobs(repository, data, offset, part, faults)
    except DamageError as error:
        return [*faults, f"partial download error: {error}"]
    hasher.update(tail)
    if hasher.digest() != pack:
        return [*faults, f"unexpected pack id {hasher.hexdigest()}"]
    # Without faults the blobs lie without gaps.
    return faults + _check_header(repository, pack, length, tail, entries, in_order=not faults)


def _pieces(
    near: NearReader, pack: ID, entries: list[HeaderEntry]
) -> Iterator[tuple[int, memoryview, list[HeaderEntry]]]:
    """Iterate offsets and bytes of the pieces of a pack without gaps, with the blobs in each."""
    start = first = 0
    for number, entry in enumerate(entries):
        end = entry.offset + entry.length
        is_last = number + 1 == len(entries)
        if is_last or end + entries[number + 1].length - start > PIECE_BYTES:
            yield start, near.read(pack, start, end - start), entries[first : number + 1]
            start, first = end, number + 1


def _check_blobs(
    repository: Repository, data: memoryview, start: int, entries: list[HeaderEntry], faults: list[str]
) -> None:
    """Add the errors of blobs, given the bytes of their pack from `start` on."""
    codec = repository.codec
    for kind, identifier, offset, length, plain_length in entries:
        offset -= start
        # Uncompressed blobs can be verified without a buffer for the entire blob.
        look = codec.decode if plain_length is not None else codec.verify
        try:
            look(kind, identifier, data[offset : offset + length], plain_length)
        except DamageError as error:
            faults.append(f"blob {identifier.hex()}: {error}")


def _check_header(
    repository: Repository, pack: ID, length: int, tail: bytes, entries: list[HeaderEntry], *, in_order: bool
) -> list[str]:
    try:
        stored = parse_pack_tail(repository, pack, length, tail, entries if in_order else None)
    except (PyresticError, BackendError) as error:
        return [str(error)]
    if stored == entries:
        return []
    known = set(entries)
    return [
        f"blob {entry.id.hex()} is not contained in index or position is incorrect"
        for entry in stored
        if entry not in known
    ] or ["the index names blobs that the pack does not hold"]
