"""The content of index files: as columns, or as values if they are small.

Importing numpy, which columns need, takes longer than reading the values of some thousand blobs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from pyrestic.errors import DamageError, FormatError
from pyrestic.format import index_file

if TYPE_CHECKING:
    from pyrestic.backend.base import FileInfo
    from pyrestic.format.index_file import Columns, IndexPack
    from pyrestic.ids import ID

T = TypeVar("T")
_SMALL_BYTES: Final = 256 << 10
"""Stored bytes of the index files of some 6,000 blobs."""
_FEW_FILES: Final = 200


class IndexValues(NamedTuple):
    """An index file as values."""

    id: ID
    packs: list[IndexPack]

    @property
    def blob_count(self) -> int:
        """The number of its blobs."""
        return sum(len(pack.blobs) for pack in self.packs)


def is_small(files: Sequence[FileInfo]) -> bool:
    """Tell whether these index files are better read as values."""
    return len(files) <= _FEW_FILES and sum(file.length for file in files) <= _SMALL_BYTES


def read_columns(identifier: ID, data: bytes, version: int) -> Columns:
    """Return an index file of a repository of a version as columns; raise FormatError."""
    columns = _parse(identifier, data, index_file.parse_columns)
    if version < 2 and columns.plain_lengths.any():
        raise _too_new(identifier)
    return columns


def read_values(identifier: ID, data: bytes, version: int) -> IndexValues:
    """Return the same as values; raise FormatError."""
    packs = _parse(identifier, data, index_file.parse)
    if version < 2 and any(blob.plain_length for pack in packs for blob in pack.blobs):
        raise _too_new(identifier)
    return IndexValues(identifier, packs)


def _parse(identifier: ID, data: bytes, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(data)
    except DamageError as error:
        raise FormatError(f"index file {identifier.hex()} is damaged: {error}") from error


def _too_new(identifier: ID) -> FormatError:
    return FormatError(f"index file {identifier.hex()} names compressed blobs, which version 1 does not have")
