"""Converts source folders to tree blobs.

One thread walks (see archive_walk): it compares each file with the parent snapshot's node, and reuses the content list
of unchanged files without opening them. It collects small files for file_batches, or reads and saves them itself,
because handing a few kilobytes to another thread costs more than saving them; larger files go to a few reading threads.
A folder's tree is encoded once all of its files are saved and its subfolders have their trees. Folders are finished in
the order in which the walk leaves them, so children always come before their parent.

`ensure_wanted` may raise EndedEarlyError, on any thread: then no file is begun, those being read are dropped, and the
tree is merged of what is finished and the parent's tree (see partial_tree), as it is for checkpoints.
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from pyrestic.errors import EndedEarlyError, LocalFileError, PyresticError
from pyrestic.format.node import DIRECTORY, FILE, Node, same_time
from pyrestic.format.tree import encode_tree
from pyrestic.handle import BlobType
from pyrestic.ids import ID, parse_id
from pyrestic.localfs.scan import SourceTree
from pyrestic.localfs.select import BackupSelector
from pyrestic.localfs.source_folders import SourcePath
from pyrestic.operations.archive_directory import STRETCH, Directory, PendingFile
from pyrestic.operations.archive_file import ReadInto
from pyrestic.operations.archive_walk import SourceWalk
from pyrestic.operations.backup_options import ArchiveOptions
from pyrestic.operations.backup_progress import BackupProgress, ItemDone, Tally, change
from pyrestic.operations.file_batches import FileBatches, Finished, SmallFile
from pyrestic.operations.old_nodes import OldNodes
from pyrestic.operations.partial_tree import MOST_REWRITTEN, PartialTree
from pyrestic.operations.source_file import INLINE_BYTES, FileRead, SourceReader, UnfinishedRead
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository

_QUEUED_FILES = 64
_UNFINISHED_DIRECTORIES = 256


T = TypeVar("T")


class Checkpoints(Protocol):
    """What stores the state of an archive from time to time."""

    def seconds_left(self) -> float | None:
        """Return the seconds until the next checkpoint, None if there is none."""

    def take(self, tree: ID | None) -> None:
        """Store a merged tree, None if nothing is finished; raise PyresticError."""


class TreeArchiver:
    """Saves source folders as trees; used once. `ensure_wanted` raises to end it, on any thread."""

    def __init__(
        self,
        repository: Repository,
        select: BackupSelector,
        options: ArchiveOptions,
        report: Reporter,
        progress: BackupProgress,
        on_item: Callable[[ItemDone], None] | None = None,
        ensure_wanted: Callable[[], None] = lambda: None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.tally = Tally()
        self.merged: ID | None = None
        self._repository = repository
        self._saver = repository.saver
        self._options = options
        self._report = report
        self._progress = progress
        self._on_item = on_item
        self._ensure_wanted = ensure_wanted
        self._checkpoints = checkpoints
        self._source = SourceReader(repository, options, report, progress, ensure_wanted)
        self._old = OldNodes(repository, report, progress)
        self._walk = SourceWalk(self._source, select, self._old.open, self._take_file)
        self._small = FileBatches(self._source, self._saver, repository.engines)
        self._readers = ThreadPoolExecutor(max(1, options.read_concurrency), "read")
        self._slots = threading.BoundedSemaphore(_QUEUED_FILES)
        self._stack: list[Directory] = []
        """The folders that the walk is in, the root first."""
        self._finished: deque[Directory] = deque()
        """The folders that the walk has left, and whose files may not be saved yet."""

    @property
    def lost_some(self) -> bool:
        """Whether names of the parent are gone from finished folders."""
        return self._old.lost_some

    def archive(self, source: SourceTree, parent_tree: ID | None, complete_tree: ID | None = None) -> ID:
        """Save everything below source, return the ID of the root tree; raise PyresticError.

        `complete_tree` is the last complete one if that of the parent is not. Raises EndedEarlyError if it ended early;
        then there is a `merged` tree, unless nothing was finished.
        """
        root = self._old.open_root(parent_tree, complete_tree, source)
        root.children = self._walk.walk_sources(root, source)
        early: EndedEarlyError | None = None
        with self._workers():
            try:
                self._walk_from(root)
            except EndedEarlyError as error:
                self._finish_complete()
                if root.node.subtree is None:
                    early, self.merged = error, self._merge()
        if early is not None:
            raise early
        return self._root_id(root)

    def _walk_from(self, root: Directory) -> None:
        stack = self._stack
        stack.append(root)
        while stack:
            self._step()
            child = next(stack[-1].children, None)
            if child is not None:
                stack.append(child)
                continue
            self._finished.append(stack.pop())
            self._finish_ready(wait=not stack or len(self._finished) > _UNFINISHED_DIRECTORIES)

    def archive_stream(
        self, path: list[bytes], node: Callable[[bytes, str], Node], read_into: ReadInto, parent_tree: ID | None
    ) -> ID:
        """Save a tree with one file whose content is a stream; raise OSError of the stream and PyresticError.

        `path` names the folders above it and the file; `node` makes a node of a name and a type.
        """
        *above, name = path
        root = directory = self._old.open_root(parent_tree)
        opened = [root]
        for folder in above:
            directory = self._old.open(directory, folder, node(folder, DIRECTORY))
            opened.append(directory)
        with self._workers():
            content = self._source.savers.own.save(lambda view: self._source.read_wanted(read_into, view))
            if content.size:
                read = UnfinishedRead(node(name, FILE), content).finish()
                directory.nodes.append(None)
                self._finish_file(directory, 0, name, directory.old.get(read.node.name), read, directory.started)
            else:
                location = directory.child_location(name)
                self._source.error(location, "", LocalFileError("no data was read, so the file is left out"))
            for directory in reversed(opened):
                self._finish_directory(directory)
        assert root.node.subtree is not None  # noqa: S101 - set when it was finished
        return parse_id(root.node.subtree)

    @contextlib.contextmanager
    def _workers(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._source.stopped = True
            with contextlib.suppress(PyresticError):
                # Report the first error; storing the index may fail for the same reason.
                self._saver.abort()
            raise
        finally:
            self._small.close()
            self._readers.shutdown(wait=True, cancel_futures=True)
            self._source.folders.close()

    def _root_id(self, root: Directory) -> ID:
        if not any(root.nodes) or root.node.subtree is None:
            raise PyresticError("nothing could be saved, so there is no snapshot")
        return parse_id(root.node.subtree)

    # Ending early, and checkpoints

    def _step(self) -> None:
        """Raise if the archive has to end; store a checkpoint if it is time."""
        self._ensure_wanted()
        if self._checkpoints is not None and self._seconds_left() == 0:
            for finished in self._small.finish():
                self._finish_small(finished)
            self._checkpoints.take(self._merge(most_rewritten=MOST_REWRITTEN))

    def _seconds_left(self) -> float | None:
        return self._checkpoints.seconds_left() if self._checkpoints is not None else None

    def _wait(self, future: Future[T]) -> T:
        """Return the result of a future; checkpoints are stored meanwhile."""
        while True:
            try:
                return future.result(self._seconds_left())
            except TimeoutError:
                if future.done():
                    return future.result()
                self._step()

    def _finish_complete(self) -> None:
        """Take what is read when the archive ends early, and finish the folders that are complete now."""
        self._readers.shutdown(wait=True, cancel_futures=True)
        for finished in self._small.finish_read():
            self._finish_small(finished)
        for directory in (*self._finished, *self._stack):
            for pending in list(directory.files):
                with contextlib.suppress(EndedEarlyError, CancelledError):
                    self._finish_pending(directory, pending)
                    directory.files.remove(pending)
        left = [directory for directory in self._finished if not self._finish_if_complete(directory)]
        self._finished = deque(left)

    def _finish_if_complete(self, directory: Directory) -> bool:
        folders = [node for node in directory.nodes if isinstance(node, Node) and node.type == DIRECTORY]
        if directory.files or directory.waiting or not all(node.subtree for node in folders):
            return False
        self._finish_directory(directory)
        return True

    def _merge(self, *, most_rewritten: int | None = None) -> ID | None:
        tree = PartialTree(lambda subtree: self._repository.load_tree(parse_id(subtree)), self._save_tree)
        root = tree.merge((*self._finished, *reversed(self._stack)), most_rewritten=most_rewritten)
        return parse_id(root) if root is not None else None

    def _save_tree(self, data: bytes) -> str:
        saved = self._saver.save(BlobType.TREE, data)
        self.tally.add_blob(saved, len(data), is_tree=True)
        return saved.id.hex()

    # Files

    def _take_file(
        self, directory: Directory, name: bytes, source: SourcePath, folder: int, status: os.stat_result
    ) -> None:
        self._step()
        started = time.monotonic()
        old = None
        if directory.old or directory.older:
            node = self._source.node(source.path, name, status, folder=folder, entry=source.name)
            old, is_known = self._old.take(directory, node)
            if old is not None and self._unchanged(node, old):
                if is_known or self._old.knows_all((old,)):
                    node.content = old.content
                    directory.nodes.append(node)
                    if len(directory.nodes) % STRETCH == 0:
                        directory.encode_some(len(directory.nodes) - STRETCH, len(directory.nodes))
                    self._progress.add_bytes(status.st_size)
                    self._file_done(directory, name, "unchanged", status.st_size, started)
                    return
                self._source.error(
                    source.path,
                    "",
                    LocalFileError("parts of it are not in the repository's index; storing the file again"),
                )
        place = len(directory.nodes)
        directory.nodes.append(None)
        if status.st_size <= INLINE_BYTES:
            directory.waiting += 1
            for finished in self._small.add(SmallFile(directory, place, name, source, old, started), status.st_size):
                self._finish_small(finished)
        else:
            while not self._slots.acquire(timeout=self._seconds_left()):
                self._step()
            read = self._readers.submit(self._read_in_thread, name, source)
            directory.files.append(PendingFile(place, name, old, read, started))

    def _unchanged(self, node: Node, old: Node) -> bool:
        """Compare type, size, mtime, ctime and inode; the texts of stored times differ if the zone did."""
        options = self._options
        return (
            old.type == FILE
            and node.size == old.size
            and (node.mtime == old.mtime or same_time(node.mtime, old.mtime))
            and (
                node.ctime == old.ctime
                or options.ignore_ctime
                or options.ignore_inode
                or same_time(node.ctime, old.ctime)
            )
            and (options.ignore_inode or node.inode == old.inode)
        )

    def _read_in_thread(self, name: bytes, source: SourcePath) -> UnfinishedRead | None:
        try:
            return self._source.read(name, source)
        finally:
            self._slots.release()

    # Finishing

    def _finish_ready(self, *, wait: bool) -> None:
        """Finish folders from the front of the queue, as far as possible without waiting, or all of them."""
        while self._finished:
            if not wait and not self._finished[0].is_complete():
                return
            self._finish_directory(self._finished[0])
            self._finished.popleft()

    def _finish_directory(self, directory: Directory) -> None:
        if directory.waiting:
            for finished in self._small.finish():
                self._finish_small(finished)
        while directory.files:
            self._finish_pending(directory, directory.files[0])
            directory.files.popleft()
        data = encode_tree([node for node in directory.nodes if node is not None])
        self._old.close(directory)
        if directory.location != b"/":
            directory.nodes.clear()
        saved = self._saver.save(BlobType.TREE, data)
        self.tally.add_blob(saved, len(data), is_tree=True)
        directory.node.subtree = saved.id.hex()
        if directory.location == b"/":
            return
        action = change(directory.previous, directory.node)
        self.tally.directories[action] += 1
        self._progress.directories_done += 1
        if self._on_item is not None:
            added = (0, 0) if saved.known else (len(data), saved.length)
            seconds = time.monotonic() - directory.started
            self._on_item(ItemDone(action, True, directory.location + b"/", seconds, 0, 0, *added))

    def _finish_pending(self, directory: Directory, pending: PendingFile) -> None:
        place, name, old, reading, started = pending
        unfinished = self._wait(reading)
        if unfinished is not None:
            self._finish_file(directory, place, name, old, unfinished.finish(), started)

    def _finish_file(
        self, directory: Directory, place: int, name: bytes, old: Node | None, read: FileRead, started: float
    ) -> None:
        node, new_blobs, added, packed = read
        directory.nodes[place] = node
        self.tally.add_blobs(new_blobs, added, packed)
        self._file_done(directory, name, change(old, node), node.size, started, added, packed)

    def _finish_small(self, finished: Finished) -> None:
        """Record files that were read and saved, or could not be read."""
        blobs = all_added = all_packed = 0
        stretches: dict[Directory, tuple[int, int]] = {}
        for (directory, place, name, _, old, started), read in zip(*finished, strict=True):
            directory.waiting -= 1
            if read is None:
                continue
            node, new_blobs, added, packed = read
            directory.nodes[place] = node
            stretches[directory] = (stretches[directory][0] if directory in stretches else place, place + 1)
            blobs += new_blobs
            all_added += added
            all_packed += packed
            action = "new" if old is None else change(old, node)
            self._file_done(directory, name, action, node.size, started, added, packed)
        self.tally.add_blobs(blobs, all_added, all_packed)
        for directory, (start, end) in stretches.items():
            directory.encode_some(start, end)

    def _file_done(
        self,
        directory: Directory,
        name: bytes,
        action: str,
        size: int,
        started: float,
        added: int = 0,
        packed: int = 0,
    ) -> None:
        self.tally.files[action] += 1
        self.tally.total_bytes += size
        self._progress.files_done += 1
        if self._on_item is not None:
            location = directory.child_location(name)
            self._on_item(ItemDone(action, False, location, time.monotonic() - started, added, packed, 0, 0))
