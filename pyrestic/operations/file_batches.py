"""Reads the small files of a backup in batches, across folders, on separate threads.

Compiled code opens, reads and closes the files of a batch, hashes them, and compresses, seals and reads back the new
ones, in a few calls that release the GIL. The walking thread handles all unusual files, and all files while there is no
compiled code. The first complete batch triggers the search for it, which is repeated from time to time, because it may
be compiled meanwhile.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from pyrestic.engine_types import BatchReader, FileRecords
from pyrestic.engines import Engines
from pyrestic.errors import PyresticError
from pyrestic.format.node import Node
from pyrestic.handle import BlobType
from pyrestic.localfs.source_folders import SourceFolder, SourcePath
from pyrestic.operations.archive_directory import Directory
from pyrestic.operations.source_file import INLINE_BYTES, SourceReader
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


class _Outcome(NamedTuple):
    """The result of a batch: the reads, and the blobs of the files that are not empty."""

    records: FileRecords
    blobs: SavedBlobs


class SmallFiles:
    """Collects the files of one backup; for the walking thread.

    For each batch, `take` receives the files, their nodes, and the bytes stored for each, 0 for known ones. A node is
    None if the file was not read: `read_one` then receives it.
    """

    def __init__(
        self,
        source: SourceReader,
        saver: Saver,
        engines: Engines,
        take: Callable[[list[SmallFile], list[Node | None], list[int]], None],
        read_one: Callable[[SmallFile], None],
    ) -> None:
        self._source = source
        self._saver = saver
        self._engines = engines
        self._own = threading.local()
        self._take = take
        self._read_one = read_one
        self._files: list[SmallFile] = []
        self._bytes = 0
        self._tops: set[SourceFolder] = set()
        self._running: deque[tuple[list[SmallFile], Future[_Outcome | None]]] = deque()
        self._threads = ThreadPoolExecutor(_THREADS, "small")
        self._has_begun = False
        self._useless = False
        self._passed = 0

    def add(self, file: SmallFile, length: int) -> None:
        """Submit a file of about `length` bytes; raise PyresticError, also of earlier files."""
        if self._useless:
            self._read_one(file)
            self._passed += 1
            # The background compiler may be ready by now.
            self._useless = self._passed % _LOOK_AGAIN_FILES != 0
            return
        self._files.append(file)
        self._bytes += length
        self._tops.add(file.source.folder.top)
        if len(self._files) >= _FILES or self._bytes >= _BYTES or len(self._tops) >= _TOPS:
            self._submit()
            while self._running and (len(self._running) > _BATCHES or self._running[0][1].done()):
                self._finish_first()

    def finish(self) -> None:
        """Wait until all files are read and saved; raise PyresticError."""
        if self._has_begun and self._files:
            self._submit()
        while self._running:
            self._finish_first()
        self._read_each(self._take_files())

    def close(self) -> None:
        """End the thread, without the pending work."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _take_files(self) -> list[SmallFile]:
        files, self._files, self._bytes, self._tops = self._files, [], 0, set()
        return files

    def _submit(self) -> None:
        self._has_begun = True
        files = self._take_files()
        self._running.append((files, self._threads.submit(self._work, files)))

    def _work(self, files: list[SmallFile]) -> _Outcome | None:
        """Read and save the files of a batch; None if that is impossible here."""
        if self._source.stopped:
            raise PyresticError("interrupted")
        reader = self._find_own_reader() if self._saver.saves_many else None
        if reader is not None:
            records = self._source.read_many(reader, [file.source for file in files])
            wanted = [number for number, length in enumerate(records.lengths) if length > 0]
            starts = [records.starts[number] for number in wanted]
            lengths = [records.lengths[number] for number in wanted]
            blobs = self._saver.save_all(BlobType.DATA, reader.buffer, starts, lengths)
            if blobs is not None:
                return _Outcome(records, blobs)
        self._useless = True
        return None

    def _find_own_reader(self) -> BatchReader | None:
        """Return this thread's reader."""
        reader: BatchReader | None = getattr(self._own, "reader", None)
        if reader is None:
            maker = self._engines.reader
            if maker is not None:
                reader = self._own.reader = maker.make(_FILES, INLINE_BYTES, _BUFFER_BYTES)
        return reader

    def _finish_first(self) -> None:
        files, future = self._running.popleft()
        outcome = future.result()
        if outcome is None:
            self._read_each(files)
            return
        nodes = self._source.nodes([file.name for file in files], [file.source for file in files], outcome.records)
        blobs = zip(outcome.blobs.ids, outcome.blobs.lengths, strict=True)
        stored = [0] * len(files)
        for number, node in enumerate(nodes):
            if node is not None and node.size:
                identifier, stored[number] = next(blobs)
                node.content = [identifier.hex()]
        self._take(files, nodes, stored)
        self._read_each([file for file, node in zip(files, nodes, strict=True) if node is None])

    def _read_each(self, files: list[SmallFile]) -> None:
        for file in files:
            self._read_one(file)
