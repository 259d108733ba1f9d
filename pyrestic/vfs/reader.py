"""Random access to the content of a stored file."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from pyrestic.errors import FormatError, MissingBlobError
from pyrestic.format.node import Node
from pyrestic.handle import BlobType
from pyrestic.ids import ID, parse_id
from pyrestic.repository.index import Index
from pyrestic.vfs.blob_cache import BlobCache

_AHEAD_BYTES = 8 << 20


class FileReader:
    """Reads any part of a file; blobs come from a shared cache, with read-ahead.

    Raises MissingBlobError if a blob is missing from the index, FormatError without a content list.
    """

    def __init__(self, node: Node, index: Index, cache: BlobCache) -> None:
        if node.content is None:
            raise FormatError(f"the file {node.name!r} has no content list")
        self._cache = cache
        self._blobs: list[ID] = [parse_id(text) for text in node.content]
        lengths = []
        for identifier in self._blobs:
            length = index.plain_length((BlobType.DATA, identifier))
            if length is None:
                raise MissingBlobError(f"blob {identifier.hex()} of the file {node.name!r} is in no index")
            lengths.append(length)
        self._ends = list(accumulate(lengths))
        self._next_blob = 0

    @property
    def length(self) -> int:
        """The length of the content in bytes, which is more reliable than the node's size."""
        return self._ends[-1] if self._ends else 0

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes from offset, fewer at the end; raise DamageError or BackendError."""
        return b"".join(self._pieces(offset, length))

    def read_into(self, offset: int, memory: memoryview) -> int:
        """Fill the buffer with bytes from offset and return their number; raise as `read` does."""
        done = 0
        for piece in self._pieces(offset, len(memory)):
            memory[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def _pieces(self, offset: int, length: int) -> Iterator[memoryview]:
        end = min(offset + length, self.length)
        if offset < 0 or end <= offset:
            return
        number = bisect_right(self._ends, offset)
        self._fetch_ahead(number)
        while offset < end:
            start = self._ends[number - 1] if number else 0
            blob = self._cache.get(self._blobs[number])
            if len(blob) != self._ends[number] - start:
                raise FormatError("a blob is shorter or longer than the index says")
            piece = memoryview(blob)[offset - start : end - start]
            yield piece
            offset += len(piece)
            number += 1

    def _fetch_ahead(self, number: int) -> None:
        """Prefetch the blobs after `number` in sequential reads: if it or the previous one was read last."""
        follows = number in (self._next_blob, self._next_blob + 1)
        self._next_blob = number
        if not follows:
            return
        begin = self._ends[number]
        last = bisect_right(self._ends, begin + _AHEAD_BYTES)
        self._cache.prefetch(self._blobs[number + 1 : max(last, number + 2)])
