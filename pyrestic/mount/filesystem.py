"""Answers the kernel's requests for the mounted repository from a View. Read-only; errors become errno values."""

import contextlib
import errno
import itertools
import os
import signal
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from pyrestic.errors import DamageError, NotFoundError, PyresticError, UnsupportedError
from pyrestic.format.node import FILE, SYMLINK, ExtendedAttribute
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.mount.arenas import limit_arenas
from pyrestic.mount.attributes import BLOCK_BYTES, inode_of, make_attributes
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.vfs.blob_cache import BlobCache
from pyrestic.vfs.reader import FileReader
from pyrestic.vfs.view import Entry, View

try:
    import mfusepy

    from pyrestic.mount.server import MountServer
except ImportError as error:
    raise UnsupportedError("mount needs mfusepy", hint="Install it with: pip install 'pyrestic[mount]'") from error
except OSError as error:
    raise UnsupportedError("mount needs libfuse", hint="On Debian: apt-get install fuse3") from error

_KEPT_SECONDS = 60
"""How long the kernel may cache a name and its attributes, as in restic's mount. It always looks up new names."""
_Names: TypeAlias = list[tuple[str, Entry | None]]
"""The entries of a listed folder; itself and its parent have no entry."""


@dataclass(frozen=True, slots=True)
class MountOptions:
    """Mount settings. `default_permissions` lets the kernel check permissions if other users are allowed."""

    owner_is_root: bool = False
    allow_other: bool = False
    default_permissions: bool = True


class Filesystem(mfusepy.Operations):  # type: ignore[misc]
    """The operations of one mount, for the MountServer. Thread-safe."""

    use_ns = True

    def __init__(
        self,
        view: View,
        repository: Repository,
        report: Reporter,
        options: MountOptions,
        on_ready: Callable[[], None],
    ) -> None:
        self._view = view
        self._index = repository.index
        self._report = report
        self._options = options
        self._on_ready = on_ready
        self.was_mounted = False
        threads = max(2, repository.backend.connections)
        self._cache = BlobCache(lambda identifier: repository.load_blob(BlobHandle(BlobType.DATA, identifier)), threads)
        self._readers: dict[int, FileReader] = {}
        self._listings: dict[int, _Names] = {}
        # Each operation on these is atomic, so they need no lock.
        self._numbers = itertools.count(1)

    def close(self) -> None:
        """End the read-ahead threads."""
        self._cache.close()

    def init(self, path: str) -> None:  # noqa: ARG002 - the signature of FUSE
        """Record that the kernel has mounted it."""
        self.was_mounted = True
        self._on_ready()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:  # noqa: ARG002 - the signature of FUSE
        """Return the attributes of the entry at a path."""
        with self._errno(path):
            entry = self._view.find(os.fsencode(path))
            return make_attributes(path, entry, owner_is_root=self._options.owner_is_root)

    def opendir(self, path: str) -> int:  # noqa: ARG002 - the signature of FUSE
        """Return a handle for listing a folder."""
        number = next(self._numbers)
        self._listings[number] = []
        return number

    def readdir_with_offset(self, path: str, offset: int, fh: int) -> Iterator[tuple[str, dict[str, Any], int]]:
        """Iterate names in a folder with their attributes and the next offset.

        Offset 0 returns the current entries; other offsets continue the earlier listing.
        """
        with self._errno(path):
            if offset == 0:
                self._listings[fh] = self._list(path)
            names = self._listings[fh]
            base = path.rstrip("/")
            for number in range(offset, len(names)):
                name, entry = names[number]
                below = f"{base}/{name}"
                if entry is None:
                    attributes: dict[str, Any] = {"st_mode": stat.S_IFDIR, "st_ino": inode_of(below, None)}
                else:
                    attributes = make_attributes(below, entry, owner_is_root=self._options.owner_is_root)
                yield name, attributes, number + 1

    def releasedir(self, path: str, fh: int) -> int:  # noqa: ARG002 - the signature of FUSE
        """Close a folder."""
        self._listings.pop(fh, None)
        return 0

    def _list(self, path: str) -> _Names:
        children = self._view.children(self._view.find(os.fsencode(path)))
        return [(".", None), ("..", None), *((os.fsdecode(name), entry) for name, entry in children)]

    def readlink(self, path: str) -> str:
        """Return the target of a symbolic link."""
        with self._errno(path):
            entry = self._view.find(os.fsencode(path))
            if entry.place is not None:
                return entry.place.link or _refuse(errno.EINVAL)
            if entry.node is None or entry.node.type != SYMLINK:
                _refuse(errno.EINVAL)
            return os.fsdecode(entry.node.raw_linktarget)

    def open(self, path: str, flags: int) -> int:
        """Return a handle for reading a file."""
        if flags & (os.O_WRONLY | os.O_RDWR):
            _refuse(errno.EROFS)
        with self._errno(path):
            entry = self._view.find(os.fsencode(path))
            if entry.node is None or entry.node.type != FILE:
                _refuse(errno.EISDIR if entry.is_folder else errno.EINVAL)
            number = next(self._numbers)
            self._readers[number] = FileReader(entry.node, self._index, self._cache)
            return number

    def read(self, path: str, memory: memoryview, offset: int, fh: int) -> int:
        """Fill the buffer with bytes of an open file and return their number."""
        with self._errno(path):
            return self._readers[fh].read_into(offset, memory)

    def release(self, path: str, fh: int) -> int:  # noqa: ARG002 - the signature of FUSE
        """Close a file."""
        self._readers.pop(fh, None)
        return 0

    def statfs(self, path: str) -> dict[str, int]:  # noqa: ARG002 - the signature of FUSE
        """Return that there is no free space and the usual limit of names."""
        return {"f_bsize": BLOCK_BYTES, "f_namemax": 255}

    def listxattr(self, path: str) -> list[str]:
        """Return the names of extended attributes."""
        with self._errno(path):
            return [attribute.name for attribute in self._extended(os.fsencode(path))]

    def getxattr(self, path: bytes, name: bytes) -> bytes | None:
        """Return an extended attribute, None if there is none."""
        with self._errno(path):
            for attribute in self._extended(path):
                if os.fsencode(attribute.name) == name:
                    return attribute.value or b""
        return None

    def _extended(self, path: bytes) -> Sequence[ExtendedAttribute]:
        node = self._view.find(path).node
        return () if node is None else node.extended_attributes or ()

    @contextlib.contextmanager
    def _errno(self, path: str | bytes) -> Iterator[None]:
        """Turn our errors into errno values; damage of the repository is also reported."""
        try:
            yield
        except NotFoundError:
            _refuse(errno.ENOENT)
        except PyresticError as error:
            self._report.error(os.fsdecode(path), error)
            _refuse(errno.EIO if isinstance(error, DamageError) else errno.EREMOTEIO)


def _refuse(number: int) -> NoReturn:
    raise mfusepy.FuseOSError(number)


def serve(filesystem: Filesystem, folder: str, name: str, options: MountOptions) -> None:
    """Mount on a folder and serve until it is unmounted or a signal comes; raise PyresticError on failure.

    Meanwhile libfuse handles SIGINT, SIGTERM and SIGHUP: it unmounts and returns.
    """
    flags: dict[str, Any] = {"fsname": name, "subtype": "pyrestic", "ro": True, "foreground": True, "use_ino": True}
    flags |= {"entry_timeout": _KEPT_SECONDS, "attr_timeout": _KEPT_SECONDS}
    if options.allow_other:
        flags["allow_other"] = True
        flags["default_permissions"] = options.default_permissions
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    limit_arenas()
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        MountServer(filesystem, folder, **flags)
    except RuntimeError as error:
        if filesystem.was_mounted:
            # libfuse reports the end by a signal this way.
            return
        raise PyresticError(f"mounting at {folder} failed (libfuse says {error})") from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        filesystem.close()
