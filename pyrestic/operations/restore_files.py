"""Restores the contents of files: fetched by pack, written to all their locations when they arrive.

Files are processed in batches, so memory does not grow with the snapshot. Within a batch every blob is fetched once,
entire packs in few requests; the thread that decoded the only blob of a file creates, writes and closes the file and
sets its metadata in one step. Existing content is compared by hash, blob by blob, before it is kept.

Most files are new and have one blob: they need no individual plan, and small ones are written in batches.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pyrestic.engine_types import Stamp
from pyrestic.errors import PyresticError
from pyrestic.format.node import Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID, parse_id
from pyrestic.localfs.new_files import SmallFile
from pyrestic.localfs.write import TargetWriter
from pyrestic.repository.batch_decoder import plain_length_of
from pyrestic.repository.bulk_lookup import find_places
from pyrestic.repository.loader import Fail, PackRange, missing_blob, plan_places
from pyrestic.repository.repository import Repository

if TYPE_CHECKING:
    # This imports numpy, which is imported while a lock waits.
    from pyrestic.repository.index import PackedBlob
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


class NewFile(NamedTuple):
    """A new file with at most one blob: its entire content, None if it is empty."""

    location: bytes
    node: Node
    blob: ID | None


NewFilesDone = Callable[[list[SmallFile], list[Stamp | None]], None]
"""Takes finished files, and their stamps as far as these are known."""


class _Wanted:
    """The requests of a batch: blobs in the order of their first use, and their users."""

    def __init__(self, files: Iterable[FilePlan | NewFile]) -> None:
        self.blobs: dict[ID, None] = {}
        self.new: dict[ID, list[NewFile]] = {}
        self.parts: dict[ID, list[tuple[FilePlan, int]]] = {}
        """Files that receive their blobs individually, and the offset of this one."""
        self.empty: list[SmallFile] = []
        self.complete: list[FilePlan] = []
        """Files that need no blob: they are empty, or their content exists and is only too long."""
        for file in files:
            if isinstance(file, FilePlan):
                self._add_parts(file)
            elif file.blob is None:
                self.empty.append(SmallFile(file.location, file.node, 0, 0))
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


class FileRestorer:
    """Writes batches of files. `done`, `new_done` and `failed` must be thread-safe.

    `planned` receives the number of new files to be written, and their bytes.
    """

    def __init__(
        self,
        repository: Repository,
        writer: TargetWriter,
        *,
        sparse: bool,
        planned: Callable[[int, int], None],
        done: Callable[[FilePlan], None],
        new_done: NewFilesDone,
        failed: Callable[[bytes, PyresticError], None],
        count_bytes: Callable[[int], None],
    ) -> None:
        self._repository = repository
        self._writer = writer
        self._sparse = sparse
        self._planned = planned
        self._done = done
        self._new_done = new_done
        self._failed = failed
        self._count_bytes = count_bytes
        self._files: list[FilePlan | NewFile] = []
        self._blobs = 0
        self._lock = threading.Lock()

    def add(self, file: FilePlan) -> None:
        """Add a file; a full batch is written at once. Raises BackendError if the repository is unreachable."""
        self._take(file, len(file.blobs))

    def add_new(self, location: bytes, node: Node) -> bool:
        """Add a new file, as `add` does, if it needs no plan; return whether it was added."""
        content = node.content
        if self._sparse or (content is not None and len(content) > 1):
            return False
        self._take(NewFile(location, node, parse_id(content[0]) if content else None), 1)
        return True

    def _take(self, file: FilePlan | NewFile, blobs: int) -> None:
        self._files.append(file)
        self._blobs += blobs
        if len(self._files) >= BATCH_FILES or self._blobs >= BATCH_BLOBS:
            self.flush()

    def flush(self) -> None:
        """Write the added files."""
        wanted = _Wanted(self._files)
        self._files, self._blobs = [], 0

        def fail(handle: BlobHandle, error: PyresticError) -> None:
            for file in wanted.new.get(handle.id, ()):
                self._failed(file.location, error)
            for part, _ in wanted.parts.get(handle.id, ()):
                self._fail(part, error)

        def missing(blob: ID) -> None:
            handle = BlobHandle(BlobType.DATA, blob)
            fail(handle, missing_blob(handle))

        places = find_places(self._repository.index, BlobType.DATA, list(wanted.blobs), missing)
        self._tell_planned(wanted, places)
        for file in wanted.complete:
            self._write_complete(file)
        self._write_new(wanted.empty, memoryview(b""))
        self._load(wanted, plan_places(places), fail)

    def _tell_planned(self, wanted: _Wanted, places: "list[PackedBlob]") -> None:
        count = len(wanted.empty)
        length = 0
        for place in places:
            files = len(wanted.new.get(place.id, ()))
            count += files
            length += files * plain_length_of(place)
        self._writer.expect_small_files(count)
        self._planned(count, length)

    def _load(self, wanted: _Wanted, ranges: list[PackRange], fail: Fail) -> None:
        def write_parts(blob: ID, data: bytes | memoryview) -> None:
            for file, offset in wanted.parts.get(blob, ()):
                self._write(file, offset, data)

        def deliver(handle: BlobHandle, data: bytes) -> None:
            write_parts(handle.id, data)
            files = [SmallFile(file.location, file.node, 0, len(data)) for file in wanted.new.get(handle.id, ())]
            self._write_new(files, memoryview(data))

        def deliver_many(data: memoryview, pieces: "Sequence[tuple[PackedBlob, int, int]]") -> None:
            new: list[SmallFile] = []
            for blob, start, end in pieces:
                for file in wanted.new.get(blob.id, ()):
                    new.append(SmallFile(file.location, file.node, start, end - start))
                if blob.id in wanted.parts:
                    write_parts(blob.id, data[start:end])
            self._write_new(new, data)

        self._repository.loader.load_many(ranges, deliver, fail, deliver_many)

    def _write_new(self, files: list[SmallFile], data: memoryview) -> None:
        if not files:
            return
        outcomes = self._writer.write_small_files(files, data)
        stamps = [one for one in outcomes if not isinstance(one, PyresticError)]
        if len(stamps) < len(outcomes):
            for file, outcome in zip(files, outcomes, strict=True):
                if isinstance(outcome, PyresticError):
                    self._failed(file.location, outcome)
            files = [file for file, one in zip(files, outcomes, strict=True) if not isinstance(one, PyresticError)]
        self._count_bytes(sum(file.length for file in files))
        self._new_done(files, stamps)

    def _write_complete(self, file: FilePlan) -> None:
        """Create a file that needs no blob."""
        try:
            if file.length == 0:
                self._writer.write_small_file(file.location, b"", file.node)
            else:
                self._writer.create_file(file.location, file.length)
                self._writer.restore_metadata(file.location, file.node)
        except PyresticError as error:
            self._fail(file, error)
            return
        self._done(file)

    def _write(self, file: FilePlan, offset: int, data: bytes | memoryview) -> None:
        if file.failed:
            return
        try:
            if len(data) == file.length and not self._sparse:
                self._writer.write_small_file(file.location, data, file.node)
                complete = True
            else:
                complete = self._write_part(file, offset, data)
        except PyresticError as error:
            self._fail(file, error)
            return
        self._count_bytes(len(data))
        if complete:
            self._done(file)

    def _write_part(self, file: FilePlan, offset: int, data: bytes | memoryview) -> bool:
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

    def _fail(self, file: FilePlan, error: PyresticError) -> None:
        with self._lock:
            if file.failed:
                return
            file.failed = True
        self._failed(file.location, error)
