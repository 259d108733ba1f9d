"""What the kernel asks of the mounted repository, answered from a View. Reading only; errors become errno values."""

import contextlib
import ctypes
import errno
import hashlib
import itertools
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from pyrestic.errors import DamageError, NotFoundError, PyresticError, UnsupportedError
from pyrestic.format.gojson import parse_time
from pyrestic.format.node import DIRECTORY, FILE, SYMLINK, Node
from pyrestic.handle import BlobHandle, BlobType
from pyrestic.report import Reporter
from pyrestic.repository.repository import Repository
from pyrestic.vfs.blobcache import BlobCache
from pyrestic.vfs.reader import FileReader
from pyrestic.vfs.view import Entry, View

try:
    import mfusepy

    from pyrestic.mount.listing import ListingFuse
except ImportError as error:
    raise UnsupportedError("mount needs mfusepy", hint="Install it with: pip install 'pyrestic[mount]'") from error
except OSError as error:
    raise UnsupportedError("mount needs libfuse", hint="On Debian: apt-get install fuse3") from error

_BLOCK_BYTES = 512
_NO_DATA = getattr(errno, "ENODATA", errno.ENOENT)


@dataclass(frozen=True, slots=True)
class MountOptions:
    """How to mount. `default_permissions` lets the kernel check permissions where others are allowed."""

    owner_is_root: bool = False
    allow_other: bool = False
    default_permissions: bool = True


class Filesystem(mfusepy.Operations):  # type: ignore[misc]
    """Answers for one mount. Methods may be called by several threads."""

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
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the threads that read ahead."""
        self._cache.close()

    def init(self, path: str) -> None:  # noqa: ARG002 - the signature of FUSE
        """Note that the kernel has mounted it."""
        self.was_mounted = True
        self._on_ready()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:  # noqa: ARG002 - the signature of FUSE
        """Return the attributes of what is at a path."""
        with self._errno(path):
            entry = self._view.find(os.fsencode(path))
            return self._attributes(entry) | {"st_ino": _inode(path, entry.node)}

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, Any], int]]:  # noqa: ARG002 - as FUSE has it
        """Return the names in a folder with their attributes."""
        with self._errno(path):
            folder = self._view.find(os.fsencode(path))
            listing: list[tuple[str, dict[str, Any], int]] = [
                (name, {"st_mode": stat.S_IFDIR, "st_ino": _inode(f"{path}/{name}", None)}, 0) for name in (".", "..")
            ]
            base = path.rstrip("/")
            for raw, entry in self._view.children(folder):
                name = os.fsdecode(raw)
                number = _inode(f"{base}/{name}", entry.node)
                listing.append((name, self._attributes(entry) | {"st_ino": number}, 0))
            return listing

    def readlink(self, path: str) -> str:
        """Return what a symbolic link points to."""
        with self._errno(path):
            entry = self._view.find(os.fsencode(path))
            if entry.place is not None:
                return entry.place.link or _refuse(errno.EINVAL)
            if entry.node is None or entry.node.type != SYMLINK:
                _refuse(errno.EINVAL)
            return os.fsdecode(entry.node.raw_linktarget)

    def open(self, path: str, flags: int) -> int:
        """Return a number for reading a file."""
        if flags & (os.O_WRONLY | os.O_RDWR):
            _refuse(errno.EROFS)
        with self._errno(path):
            entry = self._view.find(os.fsencode(path))
            if entry.node is None or entry.node.type != FILE:
                _refuse(errno.EISDIR if entry.is_folder else errno.EINVAL)
            reader = FileReader(entry.node, self._index, self._cache)
            with self._lock:
                number = next(self._numbers)
                self._readers[number] = reader
            return number

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Return bytes of an open file."""
        with self._errno(path):
            return self._readers[fh].read(offset, size)

    def release(self, path: str, fh: int) -> int:  # noqa: ARG002 - the signature of FUSE
        """Forget an open file."""
        with self._lock:
            self._readers.pop(fh, None)
        return 0

    def statfs(self, path: str) -> dict[str, int]:  # noqa: ARG002 - the signature of FUSE
        """Return that there is no space, and that names are as long as usual."""
        return {"f_bsize": _BLOCK_BYTES, "f_namemax": 255}

    def listxattr(self, path: str) -> list[str]:
        """Return the names of extended attributes."""
        with self._errno(path):
            return [attribute.name for attribute in self._extended(path)]

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:  # noqa: ARG002 - the signature of FUSE
        """Return an extended attribute."""
        with self._errno(path):
            values = {attribute.name: attribute.value or b"" for attribute in self._extended(path)}
        return values[name] if name in values else _refuse(_NO_DATA)

    def _extended(self, path: str) -> list[Any]:
        node = self._view.find(os.fsencode(path)).node
        return [] if node is None else list(node.extended_attributes or ())

    def _attributes(self, entry: Entry) -> dict[str, Any]:
        owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}
        if self._options.owner_is_root:
            owner = {"st_uid": 0, "st_gid": 0}
        if entry.place is not None:
            if not entry.place.link:
                return {"st_mode": stat.S_IFDIR | 0o555, "st_nlink": 2, **owner}
            when = parse_time(entry.place.snapshot.snapshot.time) if entry.place.snapshot is not None else 0
            length = len(os.fsencode(entry.place.link))
            return {"st_mode": stat.S_IFLNK | 0o777, "st_nlink": 1, "st_size": length, **owner, **_times(when)}
        if entry.node is None:
            when = parse_time(entry.snapshot.snapshot.time) if entry.snapshot is not None else 0
            return {"st_mode": stat.S_IFDIR | 0o555, "st_nlink": 2, **owner, **_times(when)}
        return _node_attributes(entry.node, owner if self._options.owner_is_root else None)

    @contextlib.contextmanager
    def _errno(self, path: str) -> Iterator[None]:
        """Turn our errors into those of the kernel; what is wrong with the repository is also told."""
        try:
            yield
        except NotFoundError:
            _refuse(errno.ENOENT)
        except PyresticError as error:
            self._report.error(path, error)
            _refuse(errno.EIO if isinstance(error, DamageError) else errno.EREMOTEIO)


def _node_attributes(node: Node, owner: dict[str, int] | None) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "st_mode": node.st_mode,
        "st_nlink": 2 if node.type == DIRECTORY else max(1, node.links),
        "st_size": node.size,
        "st_blocks": -(-node.size // _BLOCK_BYTES),
        "st_rdev": node.device,
        "st_uid": node.uid,
        "st_gid": node.gid,
        "st_atime": node.atime_ns,
        "st_mtime": node.mtime_ns,
        "st_ctime": node.ctime_ns,
    }
    if node.type == SYMLINK:
        attributes["st_size"] = len(node.raw_linktarget)
    return attributes | (owner or {})


def _inode(path: str, node: Node | None) -> int:
    """Return a number that stays the same, and is the same for the names of one file."""
    if node is not None and node.type != DIRECTORY and node.links > 1:
        text = f"{node.device_id} {node.inode}".encode()
    else:
        text = os.fsencode(path)
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) | 1


def _times(when: int) -> dict[str, int]:
    return {"st_atime": when, "st_mtime": when, "st_ctime": when}


def _refuse(number: int) -> NoReturn:
    raise mfusepy.FuseOSError(number)


def serve(filesystem: Filesystem, folder: str, name: str, options: MountOptions) -> None:
    """Mount on a folder and answer until it is unmounted or a signal comes; raise PyresticError if it cannot be.

    While it lasts, SIGINT, SIGTERM and SIGHUP belong to libfuse, which unmounts and returns.
    """
    flags: dict[str, Any] = {"fsname": name, "subtype": "pyrestic", "ro": True, "foreground": True, "use_ino": True}
    if options.allow_other:
        flags["allow_other"] = True
        flags["default_permissions"] = options.default_permissions
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    _quieten()
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        ListingFuse(filesystem, folder, **flags)
    except RuntimeError as error:
        if filesystem.was_mounted:
            # That is how libfuse says that a signal ended it.
            return
        raise PyresticError(f"mounting at {folder} failed (libfuse says {error})") from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        filesystem.close()


def _quieten() -> None:
    """Keep libfuse 3.12 and later from complaining of a value that it has chosen itself."""
    set_log = getattr(mfusepy._libfuse, "fuse_set_log_func", None)
    if set_log is not None:
        set_log(_LOG)


def _log(level: int, text: bytes, values: int) -> None:  # noqa: ARG001 - the signature of libfuse
    if b"max threads" not in text:
        ctypes.CDLL(None).vdprintf(2, ctypes.c_char_p(text), ctypes.c_void_p(values))


# Kept for as long as the module: libfuse calls it from C.
_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(_log)
