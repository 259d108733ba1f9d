"""Restores the contents of files: fetched by pack, written to all their locations when they arrive.

Files are processed in batches, so memory does not grow with the snapshot. Within a batch every blob is fetched once,
entire packs in few requests; the thread that decoded the only blob of a file creates, writes and closes the file and
sets its metadata in one step. Existing content is compared by hash, blob by blob, before it is kept.

Most files are new and have one blob: they need no individual plan, and small ones are written in batches.
"""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pyrestic.engine_types import Stamp
from pyrestic.errors import PyresticError
from pyrestic.format.node import Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, parse_id
from pyrestic.localfs.new_files import FileToWrite
from pyrestic.localfs.write import TargetWriter
from pyrestic.repository.batch_decoder import Batch, plain_length_of
from pyrestic.repository.bulk_lookup import find_places
from pyrestic.repository.loader import missing_blob, plan_places
from pyrestic.repository.repository import Repository

BATCH_FILES = 20_000
BATCH_BLOBS = 200_000


@dataclass(slots=True, eq=False)
class FilePlan:
    """A file to write: the offset of each blob, and the blobs that the existing file already has."""

    location: bytes
    node: Node
    blobs: list[BlobHandle]
    offsets: list[int]
    length: int
    present: set[int] = field(default_factory=set)
    """Numbers of the blobs that the existing file has at the right offset."""
    exists: bool = False
    """Whether a file exists; it may be longer or shorter."""
    whole: bool = False
    """Whether the existing file has the right content and length."""
    waiting: int = 0
    """Number of pending blobs."""
    made: bool = False
    failed: bool = False

    def lengths(self) -> list[int]:
        """Return the plaintext length of each blob."""
        return [end - start for start, end in zip(self.offsets, [*self.offsets[1:], self.length], strict=False)]


def make_plan(repository: Repository, location: bytes, node: Node) -> FilePlan:
    """Return the layout of a file; raise MissingBlobError if one of its blobs is missing from the index."""
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
    """Find the blobs that the existing file already has; `trust_times` accepts an equal mtime and length."""
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


class SingleBlobFile(NamedTuple):
    """A new file with at most one blob: its entire content, None if it is empty."""

    location: bytes
    node: Node
    blob: ID | None


@dataclass(slots=True)
class BatchResult:
    """What became of files."""

    done: list[FilePlan] = field(default_factory=list)
    """Planned files that are complete."""
    new: list[FileToWrite] = field(default_factory=list)
    """New files that are complete."""
    stamps: list[Stamp | None] = field(default_factory=list)
    """The stamps of these, as far as they are known."""
    failed: list[tuple[bytes, PyresticError]] = field(default_factory=list)
    """The locations of files that could not be restored, and why."""
    length: int = 0
    """How many bytes were written."""


class _Wanted:
    """The requests of a batch: blobs in the order of their first use, and their users."""

    def __init__(self, files: Iterable[FilePlan | SingleBlobFile]) -> None:
        self.blobs: dict[ID, None] = {}
        self.new: dict[ID, list[SingleBlobFile]] = {}
        self.parts: dict[ID, list[tuple[FilePlan, int]]] = {}
        """Files that receive their blobs individually, and the offset of this one."""
        self.empty: list[FileToWrite] = []
        self.complete: list[FilePlan] = []
        """Files that need no blob: they are empty, or their content exists and is only too long."""
        for file in files:
            if isinstance(file, FilePlan):
                self._add_parts(file)
            elif file.blob is None:
                self.empty.append(FileToWrite(file.location, file.node, 0, 0))
            else:
                self.blobs[file.blob] = None
                self.new.setdefault(file.blob, []).append(file)

    def _add_parts(self, file: FilePlan) -> None:
        for number, handle in enumerate(file.blobs):
            if number not in file.present:
                self.blobs[handle.id] = None
                self.parts.setdefault(handle.id, []).append((file, file.offsets[number]))
        file.waiting = len(file.blobs) - len(file.present)
        if not file.waiting:
            self.complete.append(file)


class FileCollector:
    """Collects files until they make a batch."""

    def __init__(self, repository: Repository, writer: TargetWriter, *, sparse: bool) -> None:
        self._repository = repository
        self._writer = writer
        self._sparse = sparse
        self._files: list[FilePlan | SingleBlobFile] = []
        self._blobs = 0

    @property
    def is_full(self) -> bool:
        """The batch is to be taken before memory grows."""
        return len(self._files) >= BATCH_FILES or self._blobs >= BATCH_BLOBS

    def add(self, file: FilePlan) -> None:
        """Take a file."""
        self._files.append(file)
        self._blobs += len(file.blobs)

    def add_new(self, location: bytes, node: Node) -> bool:
        """Take a file where nothing is yet, if no plan is needed; return whether that is so."""
        content = node.content
        if self._sparse or (content is not None and len(content) > 1):
            return False
        self._files.append(SingleBlobFile(location, node, parse_id(content[0]) if content else None))
        self._blobs += 1
        return True

    def take(self) -> "FileBatch":
        """Return the files that were added as a batch, and begin the next."""
        files, self._files, self._blobs = self._files, [], 0
        return FileBatch(self._repository, self._writer, files, sparse=self._sparse)


class FileBatch:
    """Files that are written together: every blob is fetched once."""

    def __init__(
        self, repository: Repository, writer: TargetWriter, files: Sequence[FilePlan | SingleBlobFile], *, sparse: bool
    ) -> None:
        self._repository = repository
        self._writer = writer
        self._sparse = sparse
        self._lock = threading.Lock()
        self._wanted = _Wanted(files)
        blobs = list(self._wanted.blobs)
        places = find_places(repository.index, BlobType.DATA, blobs)
        self._missing = [blob for blob, place in zip(blobs, places, strict=True) if place is None]
        self._places = [place for place in places if place is not None]
        new = [(len(self._wanted.new.get(place.id, ())), plain_length_of(place)) for place in self._places]
        self.new_count = len(self._wanted.empty) + sum(count for count, _ in new)
        """How many new files will be written."""
        self.new_length = sum(count * length for count, length in new)
        """How many bytes they have."""

    def write(self) -> Iterator[BatchResult]:
        """Write the files, and iterate what became of them; raise BackendError if the repository cannot be reached."""
        self._writer.expect_small_files(self.new_count)
        written = BatchResult()
        for blob in self._missing:
            handle = BlobHandle(BlobType.DATA, blob)
            self._lose(handle, missing_blob(handle), written)
        for file in self._wanted.complete:
            self._write_complete(file, written)
        self._write_new(self._wanted.empty, memoryview(b""), written)
        yield written
        yield from self._repository.loader.load_many(plan_places(self._places), self._write_blobs)

    def _write_blobs(self, batch: Batch) -> BatchResult:
        """Write loaded blobs to all their places; thread-safe."""
        written, wanted = BatchResult(), self._wanted
        for handle, error in batch.failed:
            self._lose(handle, error, written)
        new: list[FileToWrite] = []
        for blob, start, end in batch.blobs:
            for file in wanted.new.get(blob.id, ()):
                new.append(FileToWrite(file.location, file.node, start, end - start))
            if blob.id in wanted.parts:
                for part, offset in wanted.parts[blob.id]:
                    self._write(part, offset, batch.data[start:end], written)
        self._write_new(new, batch.data, written)
        return written

    def _write_new(self, files: list[FileToWrite], data: memoryview, written: BatchResult) -> None:
        if not files:
            return
        outcomes = self._writer.write_small_files(files, data)
        stamps = [one for one in outcomes if not isinstance(one, PyresticError)]
        if len(stamps) < len(outcomes):
            both = list(zip(files, outcomes, strict=True))
            written.failed += [(file.location, one) for file, one in both if isinstance(one, PyresticError)]
            files = [file for file, one in both if not isinstance(one, PyresticError)]
        written.new += files
        written.stamps += stamps
        written.length += sum([file.length for file in files])

    def _write_complete(self, file: FilePlan, written: BatchResult) -> None:
        """Make a file that needs no blob."""
        try:
            if file.length == 0:
                self._writer.write_small_file(file.location, b"", file.node)
            else:
                self._writer.create_file(file.location, file.length)
                self._writer.restore_metadata(file.location, file.node)
        except PyresticError as error:
            self._fail(file, error, written)
            return
        written.done.append(file)

    def _write(self, file: FilePlan, offset: int, data: memoryview, written: BatchResult) -> None:
        if file.failed:
            return
        try:
            if len(data) == file.length and not self._sparse:
                self._writer.write_small_file(file.location, data, file.node)
                complete = True
            else:
                complete = self._write_part(file, offset, data)
        except PyresticError as error:
            self._fail(file, error, written)
            return
        written.length += len(data)
        if complete:
            written.done.append(file)

    def _write_part(self, file: FilePlan, offset: int, data: memoryview) -> bool:
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
            # The modification time comes last: a partly written file never looks like a finished one.
            self._writer.restore_metadata(file.location, file.node)
        return complete

    def _lose(self, handle: BlobHandle, error: PyresticError, written: BatchResult) -> None:
        """Note the files that want a blob as failed."""
        written.failed += [(file.location, error) for file in self._wanted.new.get(handle.id, ())]
        for part, _ in self._wanted.parts.get(handle.id, ()):
            self._fail(part, error, written)

    def _fail(self, file: FilePlan, error: PyresticError, written: BatchResult) -> None:
        with self._lock:
            if file.failed:
                return
            file.failed = True
        written.failed.append((file.location, error))
