"""Reads the small files of a backup in batches, across folders, on separate threads.

Compiled code opens, reads and closes the files of a batch, hashes them, and compresses, seals and reads back the new
ones, in a few calls that release the GIL. The walking thread handles all unusual files, and all files while there is no
compiled code. The first complete batch triggers the search for it, which is repeated from time to time, because it may
be compiled meanwhile.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from pyrestic.engine_types import BatchReader, FileRecords
from pyrestic.engines import Engines
from pyrestic.errors import EndedEarlyError
from pyrestic.format.node import Node
from pyrestic.handle import BlobType
from pyrestic.localfs.source_folders import SourceFolder, SourcePath
from pyrestic.operations.archive_directory import Directory
from pyrestic.operations.source_file import INLINE_BYTES, FileRead, SourceReader
from pyrestic.repository.saver import SavedBlobs, Saver

_FILES = 512
_LOOK_AGAIN_FILES = 2000
"""Number of files after which the search for compiled code is repeated."""
_BYTES = 1 << 20
_BUFFER_BYTES = _BYTES + INLINE_BYTES
_TOPS = 8
"""Number of sources with files in one batch: the folder of a source stays open while it is read."""
_THREADS = 2
_BATCHES = 4
"""Number of pending batches. They are large, because each makes its thread wait for the GIL a few times."""


class SmallFile(NamedTuple):
    """A file to read, its name in the snapshot, and its position among the folder's nodes.

    `started` is a monotonic time.
    """

    directory: Directory
    place: int
    name: bytes
    source: SourcePath
    old: Node | None
    started: float


class Finished(NamedTuple):
    """Files and their outcomes: None for a file that could not be read, which was reported."""

    files: list[SmallFile]
    reads: list[FileRead | None]


class FileBatches:
    """Collects the small files of one backup, and returns each of them once it is finished; for the walking thread."""

    def __init__(self, source: SourceReader, saver: Saver, engines: Engines) -> None:
        self._alone = _OneByOne(source)
        self._compiled = _Compiled(source, saver, engines) if engines.may_read_batches else None
        self._files: list[SmallFile] = []
        self._bytes = 0
        self._tops: set[SourceFolder] = set()
        self._running: deque[tuple[list[SmallFile], Future[_Records | None]]] = deque()
        self._has_begun = False
        self._passed = 0

    def add(self, file: SmallFile, length: int) -> Iterable[Finished]:
        """Take a file of about `length` bytes, and iterate what is finished; raise PyresticError of any file."""
        compiled = self._compiled
        if compiled is None or compiled.useless:
            self._passed += 1
            if compiled is not None:
                # The background compiler may be ready by now.
                compiled.useless = self._passed % _LOOK_AGAIN_FILES != 0
            return (Finished([file], self._alone.read_batch([file])),)
        self._files.append(file)
        self._bytes += length
        self._tops.add(file.source.folder.top)
        if len(self._files) < _FILES and self._bytes < _BYTES and len(self._tops) < _TOPS:
            return ()
        self._submit(compiled)
        return self._finish_some(compiled)

    def finish(self) -> Iterator[Finished]:
        """Iterate all other files as they are read and saved; raise PyresticError."""
        compiled = self._compiled
        if compiled is None:
            return
        if self._has_begun and self._files:
            self._submit(compiled)
        while self._running:
            yield self._finish_first(compiled)
        files = self._take_files()
        yield Finished(files, self._alone.read_batch(files))

    def finish_read(self) -> Iterator[Finished]:
        """Iterate all other files when the backup ends early, but for batches that wait; raise PyresticError."""
        while self._running and self._compiled is not None:
            try:
                finished = self._finish_first(self._compiled)
            except EndedEarlyError:
                continue
            yield finished
        files = self._take_files()
        # They are fewer than a batch. One that has grown is large, and drops the rest.
        with contextlib.suppress(EndedEarlyError):
            yield Finished(files, self._alone.read_batch(files))

    def close(self) -> None:
        """End the threads, without the pending work."""
        if self._compiled is not None:
            self._compiled.threads.shutdown(wait=True, cancel_futures=True)

    def _take_files(self) -> list[SmallFile]:
        files, self._files, self._bytes, self._tops = self._files, [], 0, set()
        return files

    def _submit(self, compiled: "_Compiled") -> None:
        self._has_begun = True
        files = self._take_files()
        self._running.append((files, compiled.threads.submit(compiled.read, files)))

    def _finish_some(self, compiled: "_Compiled") -> Iterator[Finished]:
        """Iterate batches that are done, and others if too many are pending."""
        while self._running and (len(self._running) > _BATCHES or self._running[0][1].done()):
            yield self._finish_first(compiled)

    def _finish_first(self, compiled: "_Compiled") -> Finished:
        files, future = self._running.popleft()
        reads = compiled.read_batch(files, future.result())
        left = [file for file, read in zip(files, reads, strict=True) if read is None]
        if left:
            rest = iter(self._alone.read_batch(left))
            reads = [next(rest) if read is None else read for read in reads]
        return Finished(files, reads)


class _OneByOne:
    """Reads files one after the other, on the calling thread."""

    def __init__(self, source: SourceReader) -> None:
        self._source = source

    def read_batch(self, files: list[SmallFile]) -> list[FileRead | None]:
        """Read and save files; None for one that could not be read, which is reported. Raises PyresticError."""
        reads = [self._source.read(file.name, file.source) for file in files]
        return [None if read is None else read.finish() for read in reads]


class _Records(NamedTuple):
    """What compiled code did with a batch: the reads, and the blobs of the files that are not empty."""

    files: FileRecords
    blobs: SavedBlobs


class _Compiled:
    """Reads batches with compiled code; `useless` once that was not available.

    `read` runs on `threads` and holds the GIL for moments; the rest of the work is left to the walking thread, so that
    the two do not wait for each other.
    """

    def __init__(self, source: SourceReader, saver: Saver, engines: Engines) -> None:
        self._source = source
        self._saver = saver
        self._engines = engines
        self._own = threading.local()
        self.threads = ThreadPoolExecutor(_THREADS, "small")
        self.useless = False

    def read(self, files: list[SmallFile]) -> _Records | None:
        """Read and save the files of a batch; None if that is impossible here."""
        self._source.ensure_wanted()
        reader = self._find_own_reader() if self._saver.saves_many else None
        if reader is not None:
            records = self._source.read_many(reader, [file.source for file in files])
            wanted = [number for number, length in enumerate(records.lengths) if length > 0]
            starts = [records.starts[number] for number in wanted]
            lengths = [records.lengths[number] for number in wanted]
            blobs = self._saver.save_all(BlobType.DATA, reader.buffer, starts, lengths)
            if blobs is not None:
                return _Records(records, blobs)
        self.useless = True
        return None

    def read_batch(self, files: list[SmallFile], records: _Records | None) -> list[FileRead | None]:
        """Return the outcome for each file of a batch; None for one that must be read alone."""
        if records is None:
            return [None] * len(files)
        nodes = self._source.nodes([file.name for file in files], [file.source for file in files], records.files)
        blobs = zip(records.blobs.ids, records.blobs.lengths, strict=True)
        reads: list[FileRead | None] = []
        for node in nodes:
            if node is None:
                reads.append(None)
                continue
            packed = 0
            if node.size:
                identifier, packed = next(blobs)
                node.content = [identifier.hex()]
            reads.append(FileRead(node, 1, node.size, packed) if packed else FileRead(node))
        return reads

    def _find_own_reader(self) -> BatchReader | None:
        """Return this thread's reader."""
        reader: BatchReader | None = getattr(self._own, "reader", None)
        if reader is None:
            maker = self._engines.reader
            if maker is not None:
                reader = self._own.reader = maker.make(_FILES, INLINE_BYTES, _BUFFER_BYTES)
        return reader
