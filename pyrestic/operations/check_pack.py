"""One pack, read whole and verified: its hash, its header against the index, every blob in it."""

from collections.abc import Callable

from pyrestic.errors import BackendError, DamageError, PyresticError
from pyrestic.format.crypto import OVERHEAD
from pyrestic.format.pack import TRAILER_LENGTH, HeaderEntry, entry_length
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID, hash_id
from pyrestic.repository.packheader import parse_pack_tail
from pyrestic.repository.repository import Repository


def expected_length(entries: list[HeaderEntry]) -> int:
    """Return how long a pack with these blobs is, in bytes."""
    header = sum(entry_length(entry.plain_length) for entry in entries)
    return sum(entry.length for entry in entries) + header + OVERHEAD + TRAILER_LENGTH


def fetch_pack(repository: Repository, pack: ID, entries: list[HeaderEntry]) -> bytes | DamageError:
    """Return a pack as long as the index says it is, or what is wrong with its length; raise BackendError."""
    try:
        return repository.backend.load(Handle(FileType.PACK, pack.hex()), 0, expected_length(entries))
    except DamageError as error:
        return error


def check_pack(
    repository: Repository, pack: ID, entries: list[HeaderEntry], fetched: bytes | DamageError | None = None
) -> list[str]:
    """Return what is wrong with a pack that the index says holds these blobs; raise BackendError if it is not there.

    `fetched` is what fetch_pack returned. What goes wrong once is tried a second time, past the cache: it may have
    happened on the way.
    """
    faults = _check(repository, pack, entries, fetch_pack(repository, pack, entries) if fetched is None else fetched)
    if not faults:
        return []
    forget: Callable[[Handle], None] | None = getattr(repository.backend, "forget", None)
    if forget is not None:
        forget(Handle(FileType.PACK, pack.hex()))
    again = _check(repository, pack, entries, fetch_pack(repository, pack, entries))
    return again or [f"check successful on second attempt, original error: {faults[0]}"]


def _check(repository: Repository, pack: ID, entries: list[HeaderEntry], data: bytes | DamageError) -> list[str]:
    faults = []
    end = 0
    for entry in entries:
        if entry.offset != end:
            faults.append("index for pack contains gaps / overlapping blobs")
            break
        end = entry.offset + entry.length
    if isinstance(data, DamageError):
        return [*faults, f"partial download error: {data}"]
    faults += _check_blobs(repository, memoryview(data), entries)
    actual = hash_id(data)
    if actual != pack:
        return [*faults, f"unexpected pack id {actual.hex()}"]
    return faults + _check_header(repository, pack, data, entries)


def _check_blobs(repository: Repository, data: memoryview, entries: list[HeaderEntry]) -> list[str]:
    faults = []
    decode = repository.codec.decode
    for kind, identifier, offset, length, plain_length in entries:
        try:
            decode(kind, identifier, data[offset : offset + length], plain_length)
        except DamageError as error:
            faults.append(f"blob {identifier.hex()}: {error}")
    return faults


def _check_header(repository: Repository, pack: ID, data: bytes, entries: list[HeaderEntry]) -> list[str]:
    try:
        stored = parse_pack_tail(repository, pack, len(data), data)
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
