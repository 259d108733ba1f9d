"""Small files of a backup that have to be read: in batches, across folders, on threads of their own.

There compiled code opens, reads and closes the files of a batch, hashes them, and compresses, seals and reads back what
is new, in a few calls that leave Python to the walking thread. Left to the walking thread are files about which
anything is unusual, and all files while there is no such code. It is not looked for before a whole batch has come, and
then from time to time, as it may be compiled meanwhile.
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
"""After so many files it is looked again whether there is code by now."""
_BYTES = 1 << 20
_BUFFER_BYTES = _BYTES + INLINE_BYTES
_TOPS = 8
"""How many sources may have files in one batch: the folder that holds a source stays open while it is read."""
_THREADS = 2
_BATCHES = 4
"""So many batches may be on the way. Large ones, as each makes its thread wait for Python a few times."""


class SmallFile(NamedTuple):
    """A file to be read, its name in the snapshot, and its place among the folder's nodes.

    `started` is a monotonic time.
    """

    directory: Directory
    place: int
    name: bytes
    source: SourcePath
    old: Node | None
    started: float


class _Outcome(NamedTuple):
    """What became of a batch: what was read, and the blobs of those files that are not empty."""

    records: FileRecords
    blobs: SavedBlobs


class SmallFiles:
    """Collects the files of one backup; for the walking thread.

    Of each batch `take` is given the files, their nodes, and the bytes stored for each, 0 for those that were known. A
    node is None if nothing was read: `read_one` is given such a file.
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
        """Have a file of about `length` bytes read and saved; raise PyresticError, also of files before it."""
        if self._useless:
            self._read_one(file)
            self._passed += 1
            # What compiles beside this process may be ready by now.
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
        """End the thread, without what it has not begun."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _take_files(self) -> list[SmallFile]:
        files, self._files, self._bytes, self._tops = self._files, [], 0, set()
        return files

    def _submit(self) -> None:
        self._has_begun = True
        files = self._take_files()
        self._running.append((files, self._threads.submit(self._work, files)))

    def _work(self, files: list[SmallFile]) -> _Outcome | None:
        """Read and save the files of a batch; None if that is not possible here."""
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
        """Return what reads files in this thread."""
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
