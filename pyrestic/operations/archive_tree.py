"""Converts source folders to tree blobs.

One thread walks (see archive_walk): it compares each file with the parent snapshot's node, and reuses the content list
of unchanged files without opening them. It collects small files for file_batches, or reads and saves them itself,
because handing a few kilobytes to another thread costs more than saving them; larger files go to a few reading threads.
A folder's tree is encoded once all of its files are saved and its subfolders have their trees. Folders are finished in
the order in which the walk leaves them, so children always come before their parent.
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from pyrestic.errors import LocalFileError, PyresticError
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
from pyrestic.operations.source_file import INLINE_BYTES, FileRead, SourceReader, UnfinishedRead
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository

_QUEUED_FILES = 64
_UNFINISHED_DIRECTORIES = 256


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
    ) -> None:
        self.tally = Tally()
        self._repository = repository
        self._saver = repository.saver
        self._options = options
        self._report = report
        self._progress = progress
        self._on_item = on_item
        self._ensure_wanted = ensure_wanted
        self._source = SourceReader(repository, options, report, progress, ensure_wanted)
        self._walk = SourceWalk(self._source, select, self._open_directory, self._take_file)
        self._small = FileBatches(self._source, self._saver, repository.engines)
        self._readers = ThreadPoolExecutor(max(1, options.read_concurrency), "read")
        self._slots = threading.BoundedSemaphore(_QUEUED_FILES)
        self._finished: deque[Directory] = deque()

    def archive(self, source: SourceTree, parent_tree: ID | None) -> ID:
        """Save everything below source, return the ID of the root tree; raise PyresticError."""
        root = Directory(b"/", Node(name="", type=DIRECTORY), None, self._old_nodes("/", parent_tree))
        root.children = self._walk.walk_sources(root, source)
        with self._workers():
            stack = [root]
            while stack:
                self._ensure_wanted()
                child = next(stack[-1].children, None)
                if child is not None:
                    stack.append(child)
                    continue
                self._finished.append(stack.pop())
                self._finish_ready(wait=not stack or len(self._finished) > _UNFINISHED_DIRECTORIES)
        return self._root_id(root)

    def archive_stream(
        self, path: list[bytes], node: Callable[[bytes, str], Node], read_into: ReadInto, parent_tree: ID | None
    ) -> ID:
        """Save a tree with one file whose content is a stream; raise OSError of the stream and PyresticError.

        `path` names the folders above it and the file; `node` makes a node of a name and a type.
        """
        *above, name = path
        root = directory = Directory(b"/", Node(name="", type=DIRECTORY), None, self._old_nodes("/", parent_tree))
        opened = [root]
        for folder in above:
            directory = self._open_directory(directory, folder, node(folder, DIRECTORY))
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

    # Folders

    def _open_directory(self, directory: Directory, name: bytes, node: Node) -> Directory:
        location = directory.child_location(name)
        previous = directory.old.pop(node.name, None)
        subtree = previous.subtree if previous is not None and previous.type == DIRECTORY else None
        old = self._old_nodes(os.fsdecode(location), parse_id(subtree) if subtree else None)
        directory.nodes.append(node)
        return Directory(location, node, previous, old, self._all_known(old.values()))

    def _old_nodes(self, location: str, tree: ID | None) -> dict[str, Node]:
        if tree is None:
            return {}
        try:
            return {node.name: node for node in self._repository.load_tree(tree)}
        except PyresticError as error:
            self._progress.error_count += 1
            self._report.error(location, error)
            return {}

    # Files

    def _take_file(
        self, directory: Directory, name: bytes, source: SourcePath, folder: int, status: os.stat_result
    ) -> None:
        self._ensure_wanted()
        started = time.monotonic()
        old = None
        if directory.old:
            node = self._source.node(source.path, name, status, folder=folder, entry=source.name)
            old = directory.old.pop(node.name, None)
            if old is not None and self._unchanged(node, old):
                if directory.old_is_known or self._all_known((old,)):
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
            self._slots.acquire()
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

    def _all_known(self, files: Iterable[Node]) -> bool:
        content = "".join(["".join(node.content) for node in files if node.content])
        return not content or self._saver.knows_all(BlobType.DATA, bytes.fromhex(content))

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
            self._finish_directory(self._finished.popleft())

    def _finish_directory(self, directory: Directory) -> None:
        if directory.waiting:
            for finished in self._small.finish():
                self._finish_small(finished)
        for place, name, old, reading, started in directory.files:
            unfinished = reading.result()
            if unfinished is not None:
                self._finish_file(directory, place, name, old, unfinished.finish(), started)
        directory.files.clear()
        data = encode_tree([node for node in directory.nodes if node is not None])
        if directory.location != b"/":
            directory.nodes.clear()
        saved = self._saver.save(BlobType.TREE, data)
        self.tally.add_blob(saved, len(data), is_tree=True)
        directory.node.subtree = saved.id.hex()
        directory.old.clear()
        if directory.location == b"/":
            return
        action = change(directory.previous, directory.node)
        self.tally.directories[action] += 1
        self._progress.directories_done += 1
        if self._on_item is not None:
            added = (0, 0) if saved.known else (len(data), saved.length)
            seconds = time.monotonic() - directory.started
            self._on_item(ItemDone(action, True, directory.location + b"/", seconds, 0, 0, *added))

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
