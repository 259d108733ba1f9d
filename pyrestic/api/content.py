"""Shared by the snapshots of an opened repository: folders, blobs, and their index."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pyrestic.errors import PyresticError, UsageError
from pyrestic.format.node import Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.ids import ID
from pyrestic.report import Reporter
from pyrestic.repository.anew import begin_anew
from pyrestic.repository.repository import Repository
from pyrestic.vfs.blob_cache import BlobCache
from pyrestic.vfs.namespace import NamespaceEntry
from pyrestic.vfs.reader import FileReader
from pyrestic.vfs.stream import ContentStream
from pyrestic.vfs.view import View


class Covered(NamedTuple):
    """A repository whose index covers a snapshot, and its folders; `renew` changes neither."""

    repository: Repository
    view: View


class Content:
    """Methods may be called by several threads. The index is read when it is first needed, and again for snapshots
    that were found later: another program may have made them meanwhile.
    """

    def __init__(self, repository: Repository, report: Reporter, environment: Mapping[str, str]) -> None:
        self.repository = repository
        self.report = report
        self.environment = environment
        self.view = View(repository, NamespaceEntry)
        self._mutex = threading.Lock()
        self._found: set[ID] = set()
        self._covered: set[ID] = set()
        self._closed = False
        self._blobs: BlobCache | None = None
        """Made with the first stream, because it refers back to this."""

    def note_found(self, snapshot: ID) -> None:
        """Record that a program received this snapshot."""
        with self._mutex:
            self._found.add(snapshot)

    def cover(self, snapshot: ID) -> Covered:
        """Return a repository whose index covers a snapshot; raise DamageError or BackendError."""
        with self._mutex:
            self._refuse_closed()
            if snapshot not in self._covered:
                found = set(self._found)
                self._load_index()
                self._covered |= found
            return Covered(self.repository, self.view)

    def load_index(self) -> Repository:
        """Return the repository after reading its index, or new index files; raise DamageError or BackendError."""
        with self._mutex:
            self._refuse_closed()
            self._load_index()
            return self.repository

    def renew(self) -> None:
        """Drop the index, because packs may have been removed; it is read again on the next use."""
        with self._mutex:
            before = self.repository
            self.repository = begin_anew(before, before.backend)
            self.view = View(self.repository, NamespaceEntry)
            self._covered.clear()
        before.end_saving()

    @contextlib.contextmanager
    def extended_by(self, writing: Repository) -> Iterator[None]:
        """Let an operation that shares the index add to it in a with block; if it fails, the index is read again."""
        try:
            yield
        except BaseException:
            # What was added may not be stored.
            self.renew()
            raise
        with self._mutex:
            if self.repository.index is writing.index:
                self.repository.index_files = writing.index_files

    def open(self, node: Node, covered: Covered) -> ContentStream:
        """Return a stream of a file's content; raise DamageError."""
        return ContentStream(FileReader(node, covered.repository.index, self._read_ahead()))

    def check_open(self) -> None:
        """Raise UsageError if the repository was closed."""
        with self._mutex:
            self._refuse_closed()

    @contextlib.contextmanager
    def unless_closed(self) -> Iterator[None]:
        """Turn the internal errors of a with block into UsageError if another thread closed the repository."""
        try:
            yield
        except PyresticError:
            raise
        except Exception as error:
            self._raise_closed(error)
            raise

    def close(self) -> None:
        """End the read-ahead threads; nothing can be read any more."""
        with self._mutex:
            closed, self._closed = self._closed, True
        if not closed and self._blobs is not None:
            self._blobs.close()

    def _read_ahead(self) -> BlobCache:
        with self._mutex:
            self._refuse_closed()
            if self._blobs is None:
                self._blobs = BlobCache(self._load_blob, max(2, self.repository.backend.connections))
            return self._blobs

    def _load_blob(self, identifier: ID) -> bytes:
        with self._mutex:
            self._refuse_closed()
            if not self.repository.index_files:
                # The repository was renewed after the stream was opened.
                self._load_index()
            repository = self.repository
        return repository.load_blob(BlobHandle(BlobType.DATA, identifier))

    def _load_index(self) -> None:
        if self.repository.index_files:
            self.repository.load_new_index()
        else:
            self.repository.load_index(self.report)

    def _refuse_closed(self) -> None:
        self._raise_closed(None)

    def _raise_closed(self, cause: Exception | None) -> None:
        if self._closed:
            raise UsageError("the repository was closed") from cause
