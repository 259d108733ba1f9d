"""The contents of files on their way back to disk: fetched by pack, written to all their places when they arrive.

Files are taken in batches, so memory does not grow with the snapshot. Within a batch every blob is fetched once, whole
packs in few requests; a file of one blob is made, written, given its metadata and closed in one go by the thread that
decoded the blob. Existing content is compared by hash, blob by blob, before it is kept.
"""

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pyrestic.errors import LocalFileError, PyresticError
from pyrestic.format.node import Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import parse_id
from pyrestic.localfs.write import TargetWriter
from pyrestic.repository.loader import missing_blob, plan
from pyrestic.repository.repository import Repository

BATCH_FILES = 20_000
BATCH_BLOBS = 200_000


@dataclass(slots=True, eq=False)
class FilePlan:
    """A file to write: where each blob goes, and which of them the existing file has already."""

    location: bytes
    node: Node
    blobs: list[BlobHandle]
    offsets: list[int]
    length: int
    present: set[int] = field(default_factory=set)
    """Numbers of the blobs that the existing file holds in the right place."""
    exists: bool = False
    """A file is there; it may be longer or shorter."""
    whole: bool = False
    """The existing file has the right content and length."""
    waiting: int = 0
    """Blobs still to come."""
    made: bool = False
    failed: bool = False

    def lengths(self) -> list[int]:
        """Return the plaintext length of each blob."""
        return [end - start for start, end in zip(self.offsets, [*self.offsets[1:], self.length], strict=False)]


def make_plan(repository: Repository, location: bytes, node: Node) -> FilePlan:
    """Return the layout of a file; raise MissingBlobError if the index does not know one of its blobs."""
    blobs = [BlobHandle(BlobType.DATA, parse_id(text)) for text in node.content or ()]
    offsets = []
    length = 0
    for handle in blobs:
        plain_length = repository.index.plain_length(handle)
        if plain_length is None:
            raise missing_blob(handle)
        offsets.append(length)
        length += plain_length
    return FilePlan(location, node, blobs, offsets, length)


def compare_existing(file: FilePlan, writer: TargetWriter, *, trust_times: bool) -> None:
    """Find out which blobs the file that is there holds already; `trust_times` believes an equal mtime and length."""
    descriptor = writer.open_to_read(file.location)
    if descriptor is None:
        return
    try:
        status = os.fstat(descriptor)
        file.exists = True
        if trust_times and status.st_size == file.length and status.st_mtime_ns == file.node.mtime_ns:
            file.whole = True
            return
        for number, (handle, start, length) in enumerate(zip(file.blobs, file.offsets, file.lengths(), strict=True)):
            if start + length > status.st_size:
                break
            data = os.pread(descriptor, length, start)
            if len(data) == length and hashlib.sha256(data).digest() == handle.id:
                file.present.add(number)
        file.whole = len(file.present) == len(file.blobs) and status.st_size == file.length
    except OSError:
        file.present.clear()
    finally:
        os.close(descriptor)


class FileRestorer:
    """Writes batches of files. `done` and `failed` are called by any thread."""

    def __init__(
        self,
        repository: Repository,
        writer: TargetWriter,
        *,
        sparse: bool,
        done: Callable[[FilePlan], None],
        failed: Callable[[bytes, PyresticError], None],
        count_bytes: Callable[[int], None],
    ) -> None:
        self._repository = repository
        self._writer = writer
        self._sparse = sparse
        self._done = done
        self._failed = failed
        self._count_bytes = count_bytes
        self._files: list[FilePlan] = []
        self._blobs = 0
        self._lock = threading.Lock()

    def add(self, file: FilePlan) -> None:
        """Take a file; a full batch is written at once. Raises BackendError if the repository cannot be reached."""
        self._files.append(file)
        self._blobs += len(file.blobs)
        if len(self._files) >= BATCH_FILES or self._blobs >= BATCH_BLOBS:
            self.flush()

    def flush(self) -> None:
        """Write the files that were added."""
        files, self._files, self._blobs = self._files, [], 0
        wanted: dict[BlobHandle, list[tuple[FilePlan, int]]] = {}
        for file in files:
            for number, handle in enumerate(file.blobs):
                if number not in file.present:
                    wanted.setdefault(handle, []).append((file, file.offsets[number]))
                    file.waiting += 1
            if not file.waiting:
                self._write_empty(file)

        def deliver(handle: BlobHandle, data: bytes) -> None:
            for file, offset in wanted[handle]:
                self._write(file, offset, data)

        def fail(handle: BlobHandle, error: PyresticError) -> None:
            for file, _ in wanted[handle]:
                self._fail(file, error)

        ranges = plan(self._repository.index, wanted, fail)
        self._repository.loader.load_many(ranges, deliver, fail)

    def _write_empty(self, file: FilePlan) -> None:
        """Make a file that needs no blob: it is empty, or its content is there and only too long."""
        try:
            if file.length == 0:
                self._writer.write_small_file(file.location, b"", file.node)
            else:
                self._writer.create_file(file.location, file.length)
                self._writer.restore_metadata(file.location, file.node)
        except LocalFileError as error:
            self._fail(file, error)
            return
        self._done(file)

    def _write(self, file: FilePlan, offset: int, data: bytes) -> None:
        if file.failed:
            return
        try:
            if len(data) == file.length and not self._sparse:
                self._writer.write_small_file(file.location, data, file.node)
                complete = True
            else:
                complete = self._write_part(file, offset, data)
        except LocalFileError as error:
            self._fail(file, error)
            return
        self._count_bytes(len(data))
        if complete:
            self._done(file)

    def _write_part(self, file: FilePlan, offset: int, data: bytes) -> bool:
        """Write a blob of a longer file; return whether it was the last one."""
        with self._lock:
            if not file.made:
                self._writer.create_file(file.location, file.length, sparse=self._sparse and not file.present)
                file.made = True
        self._writer.write_at(file.location, offset, data, sparse=self._sparse and not file.present)
        with self._lock:
            file.waiting -= 1
            complete = file.waiting == 0
        if complete:
            # The time of modification comes last: a file that was not finished never looks like one that was.
            self._writer.restore_metadata(file.location, file.node)
        return complete

    def _fail(self, file: FilePlan, error: PyresticError) -> None:
        with self._lock:
            if file.failed:
                return
            file.failed = True
        self._failed(file.location, error)
