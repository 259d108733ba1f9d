"""Walks the sources of a backup: lists folders, examines their entries, and passes files on.

Everything is opened relative to its open folder, and no link is followed. So replacing a folder by a link during the
walk has no effect.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator

from pyrestic.format.node import Node
from pyrestic.localfs.descriptors import OpenDescriptor
from pyrestic.localfs.scan import SourceTree
from pyrestic.localfs.select import BackupSelector
from pyrestic.localfs.source_folders import PATH_MAX, SourceFolder, SourcePath, open_named
from pyrestic.operations.archive_directory import Directory
from pyrestic.operations.source_file import SourceReader

OpenDirectory = Callable[[Directory, bytes, Node], Directory]
"""Takes a folder, the name and the node of a subfolder; returns that subfolder, to be filled."""
TakeFile = Callable[[Directory, bytes, SourcePath, int, os.stat_result], None]
"""Takes a folder and a regular file in it: its name, location, open folder and stat result."""


class SourceWalk:
    """Walks the sources of one backup; single-threaded."""

    def __init__(
        self, source: SourceReader, select: BackupSelector, open_directory: OpenDirectory, take_file: TakeFile
    ) -> None:
        self._source = source
        self._folders = source.folders
        self._by_path = select.by_path if select.looks_at_paths else None
        self._by_status = select.by_status if select.looks_at_status else None
        self._open_directory = open_directory
        self._take_file = take_file

    def walk_sources(self, directory: Directory, source: SourceTree) -> Iterator[Directory]:
        """Walk a folder above the named sources: only the paths to them are archived."""
        for name in sorted(source.children):
            child = source.children[name]
            if child.is_leaf:
                found = self._named(directory, name, child)
            else:
                found = self._virtual_directory(directory, name, child)
            if found is not None:
                yield found

    def _virtual_directory(self, directory: Directory, name: bytes, source: SourceTree) -> Directory | None:
        try:
            with open_named(source.path) as folder:
                status = os.fstat(folder)
                node = self._source.node(source.path, name, status, folder=folder, entry=b".", is_source=False)
        except OSError as error:
            self._source.error(source.path, "stat", error)
            return None
        opened = self._open_directory(directory, name, node)
        opened.source = source
        opened.children = self.walk_sources(opened, source)
        return opened

    def _named(self, directory: Directory, name: bytes, source: SourceTree) -> Directory | None:
        """Archive a source, or the entries of one without a name of its own."""
        try:
            place = self._folders.locate(source.path)
            with self._folders.opened(place.folder) as folder:
                return self._entry(directory, name, place, folder, explicit=source.explicit)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._source.error(source.path, "lstat", error)
            return None

    def _walk(self, directory: Directory, folder: SourceFolder, path: bytes, names: list[bytes]) -> Iterator[Directory]:
        """Archive the entries of a folder on disk; yields its subfolders for the caller to walk."""
        prefix = path if path.endswith(b"/") else path + b"/"
        used: OpenDescriptor | None = None
        try:
            used = self._folders.acquire(folder)
            for name in names:
                place = SourcePath(folder, name, prefix + name)
                found = self._entry(directory, name, place, used.descriptor, explicit=False)
                if found is not None:
                    # Do not keep it open: there may be any number of ancestors.
                    self._folders.release(used)
                    used = None
                    yield found
                    used = self._folders.acquire(folder)
            self._folders.leave(folder, used.descriptor)
        except OSError as error:
            self._source.error(path, "open", error)
        finally:
            if used is not None:
                self._folders.release(used)

    def _entry(
        self, directory: Directory, name: bytes, place: SourcePath, folder: int, *, explicit: bool
    ) -> Directory | None:
        """Archive one entry; returns an opened folder. A named source cannot be excluded.

        `folder` is its open folder.
        """
        path = place.path
        if self._by_path is not None and not explicit and not self._by_path(path):
            return None
        try:
            if len(path) >= PATH_MAX:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            status = os.stat(place.name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            # It has vanished since the folder was listed.
            return None
        except OSError as error:
            self._source.error(path, "lstat", error)
            return None
        if self._by_status is not None and not explicit and not self._by_status(path, status):
            return None
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            self._take_file(directory, name, place, folder, status)
        elif kind == stat.S_IFDIR:
            return self._directory(directory, name, place, folder, status, explicit=explicit)
        elif kind != stat.S_IFSOCK:
            try:
                directory.nodes.append(self._source.node(path, name, status, folder=folder, entry=place.name))
            except OSError as error:
                self._source.error(path, "readlink", error)
        return None

    def _directory(
        self,
        directory: Directory,
        name: bytes,
        place: SourcePath,
        above: int,
        listed: os.stat_result,
        *,
        explicit: bool,
    ) -> Directory | None:
        path = place.path
        try:
            folder, used = self._folders.open_below(place.folder, above, place.name)
        except OSError as error:
            self._source.error(path, "open", error)
            return None
        try:
            status = os.fstat(used.descriptor)
            is_other = (status.st_dev, status.st_ino) != (listed.st_dev, listed.st_ino)
            if is_other and self._by_status is not None and not explicit and not self._by_status(path, status):
                return None
            names = sorted(map(os.fsencode, os.listdir(used.descriptor)))
            node = self._source.node(path, name, status, folder=above, descriptor=used.descriptor)
        except OSError as error:
            self._source.error(path, "open", error)
            return None
        finally:
            self._folders.release(used)
        opened = self._open_directory(directory, name, node)
        opened.children = self._walk(opened, folder, path, names)
        return opened
