"""Reads source files of a backup one at a time: opens them safely, creates their nodes, passes on their content.

Errors of one file are reported, and the backup continues without it.
"""

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from typing import NamedTuple

from pyrestic.engine_types import BatchReader, FileRecords
from pyrestic.engines import READ_FLAGS
from pyrestic.errors import LocalFileError, PyresticError
from pyrestic.format.chunker import Chunker
from pyrestic.format.node import Node
from pyrestic.handle import BlobType
from pyrestic.localfs.batch_nodes import make_nodes
from pyrestic.localfs.metadata import attribute_target, node_from_stat, set_attributes
from pyrestic.localfs.source_folders import SourceFolder, SourceFolders, SourcePath
from pyrestic.operations.archive_file import ContentSavers, ReadInto, SavedContent
from pyrestic.operations.backup_options import ArchiveOptions
from pyrestic.operations.backup_progress import BackupProgress
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository

INLINE_BYTES = 64 << 10
"""Files up to this length are not given to a reading thread: the walking thread or a batch reads them."""


class FileRead(NamedTuple):
    """A file that was read and saved: its complete node, and how many blobs are new, with their bytes."""

    node: Node
    new_blobs: int = 0
    added: int = 0
    """Plaintext bytes of the new blobs."""
    packed: int = 0
    """Their stored bytes."""


class UnfinishedRead(NamedTuple):
    """A file that was read; its content may not be saved yet."""

    node: Node
    content: SavedContent

    def finish(self) -> FileRead:
        """Wait until the content is saved, and complete the node; raise errors of saving."""
        node, content = self
        blobs = content.saved()
        node.size = content.size
        node.content = [blob.id.hex() for blob in blobs]
        new = [(plain, blob.length) for blob, plain in zip(blobs, content.lengths, strict=True) if not blob.known]
        return FileRead(node, len(new), sum([plain for plain, _ in new]), sum([packed for _, packed in new]))


class SourceReader:
    """Reads files for one backup; thread-safe. `stopped` ends reading at the next piece."""

    def __init__(
        self,
        repository: Repository,
        options: ArchiveOptions,
        report: Reporter,
        progress: BackupProgress,
        ensure_wanted: Callable[[], None],
    ) -> None:
        chunker = Chunker(repository.config.chunker_polynomial)
        self.savers = ContentSavers(repository.saver, chunker, repository.engines, progress.add_bytes)
        self.folders = SourceFolders()
        self.stopped = False
        self._saver = repository.saver
        self._with_atime = options.with_atime
        self._device_ids_for_links_alone = options.device_ids_for_links_alone
        self._report = report
        self._progress = progress
        self._ensure_wanted = ensure_wanted

    def node(
        self,
        path: bytes,
        name: bytes,
        status: os.stat_result,
        *,
        folder: int,
        entry: bytes | None = None,
        is_source: bool = True,
        descriptor: int | None = None,
    ) -> Node:
        """Return the node; unreadable metadata is reported and omitted. Raises OSError for a link.

        For folders above the sources, missing permission to list attributes is no error. The rest is as in
        node_from_stat.
        """
        node = node_from_stat(
            path,
            name,
            status,
            folder=folder,
            entry=entry,
            with_atime=self._with_atime,
            report=self._metadata_error,
            ignore_denied_attributes=not is_source,
            descriptor=descriptor,
        )
        if self._device_ids_for_links_alone and (node.links == 1 or stat.S_ISDIR(status.st_mode)):
            node.device_id = 0
        return node

    def error(self, path: bytes, verb: str, error: OSError | LocalFileError) -> None:
        """Report an error of a file; `verb` names the failed operation."""
        self._progress.error_count += 1
        name = os.fsdecode(path)
        if isinstance(error, OSError):
            error = LocalFileError(f"{verb} {name}: {(error.strerror or str(error)).lower()}")
        self._report.error(name, error)

    def _metadata_error(self, path: bytes, error: LocalFileError) -> None:
        self.error(path, "", error)

    def read(self, name: bytes, source: SourcePath) -> UnfinishedRead | None:
        """Read a file; errors of the file are reported and return None, errors of the repository are raised."""
        me = threading.get_ident()
        path = source.path
        self._progress.current_files[me] = path
        try:
            with self.folders.opened(source.folder) as folder:
                descriptor = _open(folder, source.name)

            def read_into(view: memoryview) -> int:
                return os.readv(descriptor, [view])

            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise LocalFileError(f"{os.fsdecode(path)} changed its type while being opened")
                node = self.node(path, name, status, folder=-1, descriptor=descriptor)
                if status.st_size <= INLINE_BYTES:
                    content = self._read_small(descriptor, status.st_size)
                    if content is not None:
                        return UnfinishedRead(node, content)
                return UnfinishedRead(node, self.savers.own.save(lambda view: self.read_wanted(read_into, view)))
            finally:
                os.close(descriptor)
        except OSError as error:
            self.error(path, "read", error)
        except LocalFileError as error:
            self.error(path, "", error)
        finally:
            self._progress.current_files.pop(me, None)
        return None

    def read_many(self, reader: BatchReader, sources: list[SourcePath]) -> FileRecords:
        """Read a batch of small files, each as `read` does; unusual ones must be read by it."""
        me = threading.get_ident()
        self._progress.current_files[me] = sources[0].path
        try:
            with contextlib.ExitStack() as stack:
                opened: dict[SourceFolder, int] = {}
                for source in sources:
                    top = source.folder.top
                    if top not in opened:
                        opened[top] = -1
                        with contextlib.suppress(OSError):
                            opened[top] = stack.enter_context(self.folders.opened(top))
                folders = [opened[source.folder.top] for source in sources]
                return reader.read(folders, [source.folder.below_top(source.path) for source in sources])
        finally:
            self._progress.current_files.pop(me, None)

    def nodes(self, names: list[bytes], sources: list[SourcePath], records: FileRecords) -> list[Node | None]:
        """Return the nodes of files that were read and saved in a batch, without content; None for unread files."""

        def add_attributes(number: int, node: Node) -> None:
            folder, entry, path = sources[number]
            try:
                with self.folders.opened(folder) as descriptor:
                    set_attributes(node, path, attribute_target(descriptor, entry), self._metadata_error)
            except OSError as error:
                self.error(path, "listxattr", error)

        self._progress.add_bytes(sum(length for length in records.lengths if length > 0))
        return make_nodes(
            names,
            records,
            with_atime=self._with_atime,
            device_ids_for_links_alone=self._device_ids_for_links_alone,
            add_attributes=add_attributes,
        )

    def _read_small(self, descriptor: int, size: int) -> SavedContent | None:
        """Save a file that fits into one read; None if it grew since, or if there may be more."""
        data = os.read(descriptor, size + 1)
        if len(data) != size:
            os.lseek(descriptor, 0, os.SEEK_SET)
            return None
        self._progress.add_bytes(len(data))
        return SavedContent(len(data), [self._saver.save(BlobType.DATA, data)], [len(data)]) if data else SavedContent()

    def read_wanted(self, read_into: ReadInto, view: memoryview) -> int:
        """Read a piece, unless the backup has to end; then raise PyresticError."""
        self.ensure_wanted()
        return read_into(view)

    def ensure_wanted(self) -> None:
        """Raise PyresticError if the backup has to end."""
        if self.stopped:
            raise PyresticError("interrupted")
        self._ensure_wanted()


def _open(folder: int, name: bytes) -> int:
    """Open a file for reading, without updating its access time if permitted."""
    try:
        return os.open(name, READ_FLAGS | os.O_NOATIME, dir_fd=folder)
    except PermissionError:
        return os.open(name, READ_FLAGS, dir_fd=folder)
