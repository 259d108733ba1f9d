"""Writes files below one target folder, for restores.

Nothing is ever written through a symbolic link or outside the target: every folder on the path is opened from its
parent without following links, and anything at the path of a folder or file is removed. A few folders and files stay
open for reuse, so any restore needs few descriptors.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pyrestic.engine_types import BatchWriter
from pyrestic.engines import CREATE_FLAGS, WRITE_FLAGS, Engines
from pyrestic.errors import LocalFileError, PyresticError
from pyrestic.format import node as nodes
from pyrestic.format.node import Node
from pyrestic.localfs.descriptors import DescriptorCache, OpenDescriptor
from pyrestic.localfs.move_new import move_new
from pyrestic.localfs.new_files import FileToWrite, Outcome, make_new
from pyrestic.localfs.remove import remove_tree
from pyrestic.localfs.restore_metadata import MetadataRestorer
from pyrestic.localfs.target_files import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    make_node,
    make_private_folders,
    set_length,
    take_over,
    write_all,
    write_sparse,
)

_FOLDER_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KEPT_ON_THE_WAY = 6
_WORTH_COMPILING = 500
"""For fewer files than this, compiled code is neither loaded nor compiled."""


class TargetWriter:
    """Writes below a target folder. Locations are bytes and begin with a slash; `/` is the target itself.

    Thread-safe; methods raise LocalFileError with the path of the file. New files and folders are private until their
    metadata is restored. `replace_folders` allows to remove a folder with its content if the snapshot has something
    else. `engines` may provide the writer of many new files. `open_root` opens the target instead of its path, and is
    told whether to create it.
    """

    def __init__(
        self,
        root: bytes,
        metadata: MetadataRestorer | None = None,
        *,
        replace_folders: bool = False,
        open_files: int = 16,
        open_folders: int = 12,
        engines: Engines | None = None,
        open_root: Callable[[bool], int] | None = None,
    ) -> None:
        self.root = os.path.abspath(root)
        self.metadata = metadata or MetadataRestorer()
        self._replace_folders = replace_folders
        self._files: DescriptorCache[bytes] = DescriptorCache(open_files)
        self._folders: DescriptorCache[bytes] = DescriptorCache(open_folders)
        self._engines = engines or Engines.none()
        self._open_root = open_root
        self._many: BatchWriter | None = None
        self._root_descriptor = -1

    def open(self, *, create: bool = True) -> None:
        """Open the target. If it is missing, it is created with its parents, or, without `create`, counts as empty.

        Links on the path to it are the user's choice.
        """
        if self._open_root is not None:
            self._root_descriptor = self._open_root(create)
            return
        try:
            if create:
                make_private_folders(self.root)
            there = create or os.path.lexists(self.root)
            # Nothing exists below anything but a folder.
            path, kind = (self.root, os.O_DIRECTORY) if there else (os.devnull, 0)
            self._root_descriptor = os.open(path, os.O_PATH | kind | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise self._failure(b"", "made or opened", error) from error

    def close(self) -> None:
        """Close all that is open."""
        self._files.close()
        self._folders.close()
        if self._root_descriptor >= 0:
            os.close(self._root_descriptor)
            self._root_descriptor = -1

    def path(self, location: bytes) -> bytes:
        """Return the path of a location on disk."""
        return self.root.rstrip(b"/") + location if location != b"/" else self.root

    # Inspection

    def status(self, location: bytes) -> os.stat_result | None:
        """Return the stat of an entry, without following links; None if it is missing."""
        try:
            if location == b"/":
                return os.fstat(self._root_descriptor)
            with self._parent(location) as (folder, name):
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise self._failure(location, "looked at", error) from error

    def names(self, location: bytes) -> list[bytes]:
        """Return the sorted names in a folder, none if there is no folder."""
        try:
            with self._folder(_key(location)) as folder:
                descriptor = os.open(b".", _LIST_FLAGS, dir_fd=folder)
                try:
                    return sorted(map(os.fsencode, os.listdir(descriptor)))
                finally:
                    os.close(descriptor)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, ValueError) as error:
            raise self._failure(location, "listed", error) from error

    def open_to_read(self, location: bytes) -> int | None:
        """Return a descriptor of an existing regular file, for the caller to close; None if it is missing."""
        try:
            with self._parent(location) as (folder, name):
                descriptor = os.open(name, _READ_FLAGS, dir_fd=folder)
        except (OSError, ValueError):
            return None
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        return None

    # Folders

    def make_directory(self, location: bytes) -> None:
        """Create a folder and its missing parents; other objects at their paths are removed."""
        try:
            self._folders.release(self._folders.acquire(_key(location), self._make_folders))
        except (OSError, ValueError) as error:
            raise self._failure(location, "made", error) from error

    def _make_folders(self, key: bytes) -> int:
        return self._descend(key, make=True)

    def _open_folder(self, key: bytes) -> int:
        return self._descend(key, make=False)

    def _descend(self, key: bytes, *, make: bool) -> int:
        """Open a folder step by step, from its nearest open ancestor."""
        above, base = key, None
        while above and base is None:
            above = above.rpartition(b"/")[0]
            base = self._folders.find(above)
        current = os.dup(self._root_descriptor if base is None else base.descriptor)
        if base is not None:
            self._folders.release(base)
        names = key[len(above) + 1 :].split(b"/") if key else []
        for number, name in enumerate(names):
            _check_name(name)
            below = -1
            try:
                below = self._enter(current, name, make=make)
            finally:
                os.close(current)
            current = below
            rest = names[number + 1 : number + _KEPT_ON_THE_WAY + 2]
            if 0 < len(rest) <= _KEPT_ON_THE_WAY:
                # A walk that leaves one folder after the other needs the parents next.
                way = key[: len(key) - sum(map(len, rest)) - len(rest)]
                self._folders.release(self._folders.add(way, OpenDescriptor(os.dup(current))))
        return current

    def _enter(self, folder: int, name: bytes, *, make: bool) -> int:
        if not make:
            return os.open(name, _FOLDER_FLAGS, dir_fd=folder)
        try:
            os.mkdir(name, PRIVATE_FOLDER, dir_fd=folder)
        except FileExistsError:
            try:
                return os.open(name, _FOLDER_FLAGS, dir_fd=folder)
            except NotADirectoryError:
                os.unlink(name, dir_fd=folder)
                os.mkdir(name, PRIVATE_FOLDER, dir_fd=folder)
        return os.open(name, _FOLDER_FLAGS, dir_fd=folder)

    # Files

    def write_small_file(self, location: bytes, data: bytes | memoryview, node: Node | None = None) -> None:
        """Write a complete file and, if node is given, restore its metadata, in one step."""
        key, _, name = location.rpartition(b"/")
        try:
            _check_name(name)
            # Not self._parent: a context manager costs as much as a system call, which matters here.
            folder = self._folders.acquire(key, self._open_folder)
            try:
                descriptor, is_new = self._create(folder.descriptor, name, location)
                try:
                    write_all(descriptor, data, 0)
                    if not is_new:
                        os.ftruncate(descriptor, len(data))
                    if node is not None:
                        self.metadata.apply_to_open(descriptor, node)
                finally:
                    os.close(descriptor)
            finally:
                self._folders.release(folder)
        except (OSError, ValueError) as error:
            raise self._failure(location, "written", error) from error

    def expect_small_files(self, count: int) -> None:
        """Prepare for this number of small files; no other thread may write."""
        if count >= _WORTH_COMPILING and self._many is None:
            self._many = self._engines.writer

    def write_small_files(self, files: Sequence[FileToWrite], data: memoryview) -> list[Outcome]:
        """Write complete files with their metadata; return each result, with errors as values."""
        outcomes: list[Outcome] = [None] * len(files)
        if self._many is not None:
            outcomes[:] = make_new(files, data, self._many, self.metadata, self._folders, self._open_folder)
        for number, file in enumerate(files):
            if outcomes[number] is None:
                try:
                    content = data[file.start : file.start + file.length]
                    self.write_small_file(file.location, content, file.node)
                except PyresticError as error:
                    outcomes[number] = error
        return outcomes

    def create_file(self, location: bytes, length: int, *, sparse: bool = False) -> None:
        """Create or reuse a file and set its length in bytes; its content may then be written in any order.

        The previous content of a file is kept up to the length, unless it becomes sparse. Call it once for each file,
        before write_at.
        """
        try:
            with self._parent(location) as (folder, name):
                self._files.forget(location)
                descriptor, is_new = self._create(folder, name, location)
                used = self._files.add(location, OpenDescriptor(descriptor))
                try:
                    set_length(used.descriptor, length, is_new=is_new, sparse=sparse)
                finally:
                    self._files.release(used)
        except (OSError, ValueError) as error:
            raise self._failure(location, "made", error) from error

    def write_at(self, location: bytes, offset: int, data: bytes | memoryview, *, sparse: bool = False) -> None:
        """Write a part of a file from create_file; a sparse file keeps holes for blocks of zeros."""
        try:
            used = self._files.acquire(location, self._open_file)
            try:
                with used.writing:
                    if sparse:
                        write_sparse(used.descriptor, data, offset)
                    else:
                        write_all(used.descriptor, data, offset)
            finally:
                self._files.release(used)
        except (OSError, ValueError) as error:
            raise self._failure(location, "written", error) from error

    def close_file(self, location: bytes) -> None:
        """Close a complete file."""
        self._files.forget(location)

    def _open_file(self, location: bytes) -> int:
        with self._parent(location) as (folder, name):
            return os.open(name, WRITE_FLAGS, dir_fd=folder)

    def _create(self, folder: int, name: bytes, location: bytes) -> tuple[int, bool]:
        """Return a descriptor for writing, and whether the file is new."""
        try:
            return os.open(name, CREATE_FLAGS, PRIVATE_FILE, dir_fd=folder), True
        except FileExistsError:
            descriptor = take_over(folder, name)
        if descriptor is not None:
            return descriptor, False
        self._clear(folder, name, location)
        return os.open(name, CREATE_FLAGS, PRIVATE_FILE, dir_fd=folder), True

    def _clear(self, folder: int, name: bytes, location: bytes) -> None:
        """Remove the entry at the path."""
        try:
            os.unlink(name, dir_fd=folder)
            self._files.forget(location)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            self._folders.forget_tree(location)
            if self._replace_folders:
                remove_tree(folder, name)
            else:
                os.rmdir(name, dir_fd=folder)

    # Other objects

    def create_node(self, location: bytes, node: Node) -> None:
        """Create a symbolic link, device or pipe with its metadata, replacing any entry; sockets are skipped."""
        if node.type == nodes.SOCKET:
            return
        try:
            with self._parent(location) as (folder, name):
                self._clear(folder, name, location)
                make_node(folder, name, node)
                self.metadata.apply(folder, name, node)
        except (OSError, ValueError, OverflowError) as error:
            raise self._failure(location, "made", error) from error

    def link(self, location: bytes, existing: bytes) -> None:
        """Create a hard link to another location, replacing any entry."""
        try:
            with self._parent(location) as (folder, name), self._parent(existing) as (other_folder, other_name):
                self._clear(folder, name, location)
                os.link(other_name, name, src_dir_fd=other_folder, dst_dir_fd=folder, follow_symlinks=False)
        except (OSError, ValueError) as error:
            raise self._failure(location, f"linked to {os.fsdecode(existing)}", error) from error

    def remove(self, location: bytes, told: Callable[[bytes], None] | None = None, *, dry_run: bool = False) -> None:
        """Remove an entry with everything below it, reporting the location of each removed entry, children first."""
        above = location.rpartition(b"/")[0] + b"/"
        try:
            with self._parent(location) as (folder, name):
                self._files.forget(location)
                self._folders.forget_tree(location)
                tell = None if told is None else lambda path: told(above + path)
                remove_tree(folder, name, tell, dry_run=dry_run)
        except (OSError, ValueError) as error:
            raise self._failure(location, "removed", error) from error

    def adopt(self, location: bytes, other: "TargetWriter") -> bool:
        """Move an entry from the same location of another target; return False if something is there already."""
        try:
            with self._parent(location) as (folder, name), other._parent(location) as (its_folder, its_name):
                return move_new(its_folder, its_name, folder, name)
        except (OSError, ValueError) as error:
            raise self._failure(location, "moved to its place", error) from error

    def restore_metadata(self, location: bytes, node: Node) -> None:
        """Apply the node's metadata to an existing entry; an open file is closed."""
        self._files.forget(location)
        try:
            with self._parent(location) as (folder, name):
                self.metadata.apply(folder, name, node)
        except (OSError, ValueError) as error:
            raise self._failure(location, "given its metadata", error) from error

    # Internals

    @contextmanager
    def _folder(self, key: bytes) -> Iterator[int]:
        used = self._folders.acquire(key, self._open_folder)
        try:
            yield used.descriptor
        finally:
            self._folders.release(used)

    @contextmanager
    def _parent(self, location: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the open folder of a location, and its name there."""
        key, _, name = location.rpartition(b"/")
        _check_name(name)
        used = self._folders.acquire(key, self._open_folder)
        try:
            yield used.descriptor, name
        finally:
            self._folders.release(used)

    def _failure(self, location: bytes, verb: str, error: Exception) -> LocalFileError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        hint = "Free some space and restore again." if getattr(error, "errno", None) in _FULL else ""
        return LocalFileError(
            f"{os.fsdecode(self.path(location))} could not be {verb}: {reason[:1].lower() + reason[1:]}", hint=hint
        )


_FULL = (errno.ENOSPC, errno.EDQUOT)


def _key(location: bytes) -> bytes:
    return b"" if location == b"/" else location


def _check_name(name: bytes) -> None:
    if name in (b"", b".", b".."):
        raise OSError(errno.EINVAL, "a name in the snapshot would lead out of the target")
