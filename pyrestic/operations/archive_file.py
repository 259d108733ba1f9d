"""Converts the content of one file to blobs: read into reused buffers, chunk, submit for saving.

A file of up to the minimum chunk length is one blob and is saved by the thread that read it, without a queue. A longer
one is read into large buffers; the saver's workers save its chunks while reading continues, and a buffer is reused only
when all its chunks are stored. So memory is two buffers per reading thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyrestic.engines import Engines
from pyrestic.format.chunker import MAX_LENGTH, MIN_LENGTH, Chunker
from pyrestic.handle import BlobType
from pyrestic.repository.saver import SavedBlob, Saver

if TYPE_CHECKING:
    import numpy as np
else:
    from pyrestic import later_numpy as np

BUFFER_LENGTH = MAX_LENGTH + (2 << 20)
BUFFERS = 2

ReadInto = Callable[[memoryview], int]
"""Fills a buffer from its start and returns the bytes read, 0 at the end; raises OSError."""


@dataclass(slots=True)
class SavedContent:
    """A file's content during saving: blobs in order, some perhaps unfinished. `size` counts plaintext bytes."""

    size: int = 0
    blobs: list[Future[SavedBlob] | SavedBlob] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Plaintext bytes of each blob."""

    def done(self) -> bool:
        """Tell whether every blob is saved, or failed."""
        return all(isinstance(blob, SavedBlob) or blob.done() for blob in self.blobs)

    def saved(self) -> list[SavedBlob]:
        """Return the result of each blob; waits, and raises errors of saving."""
        return [blob if isinstance(blob, SavedBlob) else blob.result() for blob in self.blobs]


class _Buffer:
    """A large reused buffer and its chunks that are not saved yet."""

    def __init__(self) -> None:
        self.view = np.empty(BUFFER_LENGTH, dtype=np.uint8).data.cast("B")
        self.pending: list[Future[SavedBlob]] = []

    def wait(self) -> None:
        """Wait until the buffer is unused; the content raises errors again."""
        for future in self.pending:
            future.exception()
        self.pending.clear()


class ContentSaver:
    """Saves contents, one at a time; every thread has its own."""

    def __init__(self, saver: Saver, chunker: Chunker, engines: Engines, count_bytes: Callable[[int], None]) -> None:
        self._saver = saver
        self._chunker = chunker
        self._engines = engines
        self._count_bytes = count_bytes
        self._small = memoryview(bytearray(MIN_LENGTH + 1))
        self._large: list[_Buffer] = []

    def save(self, read_into: ReadInto) -> SavedContent:
        """Read to the end and return the content; raise OSError of the source and PyresticError of the repository."""
        content = SavedContent()
        small = self._small
        length = _fill(read_into, small)
        if length == len(small):
            self._save_large(read_into, content)
        elif length:
            self._count_bytes(length)
            content.size = length
            content.blobs.append(self._saver.save(BlobType.DATA, small[:length]))
            content.lengths.append(length)
        return content

    def _save_large(self, read_into: ReadInto, content: SavedContent) -> None:
        if not self._large:
            self._large = [_Buffer() for _ in range(BUFFERS)]
        current, other = self._large
        current.wait()
        length = len(self._small)
        current.view[:length] = self._small
        while True:
            length += _fill(read_into, current.view[length:])
            final = length < BUFFER_LENGTH
            end = self._submit(current, length, content, final=final)
            if final:
                return
            other.wait()
            other.view[: length - end] = current.view[end:length]
            length -= end
            current, other = other, current

    def _submit(self, buffer: _Buffer, length: int, content: SavedContent, *, final: bool) -> int:
        """Submit the final chunks and return the start of the undecided rest."""
        start = 0
        for end in self._chunker.cuts(buffer.view, length, final=final, engine=self._engines.chunker):
            future = self._saver.submit(BlobType.DATA, buffer.view[start:end])
            buffer.pending.append(future)
            content.blobs.append(future)
            content.lengths.append(end - start)
            content.size += end - start
            self._count_bytes(end - start)
            start = end
        return start


class ContentSavers(threading.local):
    """A ContentSaver for each thread."""

    def __init__(self, saver: Saver, chunker: Chunker, engines: Engines, count_bytes: Callable[[int], None]) -> None:
        self.own = ContentSaver(saver, chunker, engines, count_bytes)


def _fill(read_into: ReadInto, view: memoryview) -> int:
    """Read until the view is full or the source ends; return the bytes read."""
    length = 0
    while length < len(view):
        count = read_into(view[length:])
        if not count:
            break
        length += count
    return length
