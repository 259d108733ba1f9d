"""The header at the end of a stored pack, which lists its blobs (restic design document, "Pack Format")."""

from pyrestic.errors import BackendError, DamageError, FormatError
from pyrestic.format.pack import (
    FIRST_READ_LENGTH,
    MIN_PACK_LENGTH,
    TRAILER_LENGTH,
    HeaderEntry,
    encode_header,
    header_length,
    parse_header,
)
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID, short
from pyrestic.repository.repository import Repository
from pyrestic.repository.rereading import read_again


def load_header(repository: Repository, pack: ID, pack_length: int) -> list[HeaderEntry]:
    """Return the blobs of a stored pack of pack_length bytes; raise NotFoundError or BackendError.

    Raises DamageError only if the header is damaged in each of several reads that bypass every cache, and the pack has
    that length: one that is listed with another length looks damaged and is not.
    """
    handle = Handle(FileType.PACK, pack.hex())
    try:
        return _load_header(repository, pack, handle, pack_length)
    except DamageError:
        actual = repository.backend.stat(handle).length
        if actual == pack_length:
            raise
        raise BackendError(
            f"pack {short(pack)} has {actual} bytes, but was listed with {pack_length}", hint="Try again later."
        ) from None


def _load_header(repository: Repository, pack: ID, handle: Handle, pack_length: int) -> list[HeaderEntry]:
    if pack_length < MIN_PACK_LENGTH:
        raise FormatError(f"pack {short(pack)} is only {pack_length} bytes long")
    first = min(FIRST_READ_LENGTH, pack_length)

    def read() -> list[HeaderEntry]:
        tail = repository.backend.load(handle, pack_length - first, first)
        return parse_pack_tail(repository, pack, pack_length, tail)

    return read_again(repository.backend, handle, read)


def parse_pack_tail(
    repository: Repository, pack: ID, pack_length: int, tail: bytes, expected: list[HeaderEntry] | None = None
) -> list[HeaderEntry]:
    """Return the blobs of a pack from its last bytes; the rest of a long header is loaded.

    A header that lists the `expected` blobs, without gaps from the start of the pack, is recognized by its bytes.
    """
    handle = Handle(FileType.PACK, pack.hex())
    try:
        length = header_length(tail[-TRAILER_LENGTH:], pack_length)
        needed = length + TRAILER_LENGTH
        if needed > len(tail):
            tail = repository.backend.load(handle, pack_length - needed, needed)
        sealed = tail[len(tail) - needed : len(tail) - TRAILER_LENGTH]
        plain = repository.open_sealed(sealed)
        data_length = pack_length - needed
        if expected and plain == encode_header(expected):
            last = expected[-1]
            if last.offset + last.length == data_length:
                return expected
        return parse_header(plain, data_length)
    except DamageError as error:
        raise type(error)(f"the header of pack {short(pack)} is damaged: {error}") from error
