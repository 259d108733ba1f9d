"""Stores loaded blobs again, in the same repository or in another: small ones in batches."""

import threading
from collections.abc import Sequence
from itertools import groupby

from pyrestic.handle import BlobHandle
from pyrestic.repository.index import PackedBlob
from pyrestic.repository.saver import Saver


class Resaver:
    """Stores the blobs from Loader.load_many; thread-safe. `count` is the number of blobs."""

    def __init__(self, saver: Saver, *, duplicate: bool = False) -> None:
        """With `duplicate`, blobs are stored even if the repository has them."""
        self._saver = saver
        self._duplicate = duplicate
        self._counting = threading.Lock()
        self.count = 0

    def save(self, handle: BlobHandle, data: bytes | memoryview) -> None:
        """Store a blob."""
        self._saver.save(handle.type, data, handle.id, duplicate=self._duplicate)
        self._add(1)

    def save_all(self, data: memoryview, pieces: Sequence[tuple[PackedBlob, int, int]]) -> None:
        """Store blobs given by start and end in data."""
        for blob_type, group in groupby(pieces, lambda piece: piece[0].type):
            its = list(group)
            starts = [start for _, start, _ in its]
            lengths = [end - start for _, start, end in its]
            ids = b"".join([blob.id for blob, _, _ in its])
            if self._saver.save_all(blob_type, data, starts, lengths, ids, duplicate=self._duplicate) is not None:
                self._add(len(its))
                continue
            for blob, start, end in its:
                self.save(blob.handle, data[start:end])

    def _add(self, count: int) -> None:
        with self._counting:
            self.count += count
