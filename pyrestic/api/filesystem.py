"""The snapshots of a repository as a read-only fsspec file system: restic://SNAPSHOT/path/in/it.

pandas, Dask, Arrow and other libraries open such addresses directly, with the arguments of ResticFileSystem as
`storage_options`.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, NoReturn

from fsspec import AbstractFileSystem

from pyrestic.api.entry import Entry
from pyrestic.api.opening import open_repository
from pyrestic.api.repository import OpenRepository
from pyrestic.api.snapshot import OpenSnapshot
from pyrestic.errors import NotFoundError, UsageError
from pyrestic.format.node import DIRECTORY, FILE, SYMLINK
from pyrestic.vfs.stream import ContentStream

_KINDS = {DIRECTORY: "directory", FILE: "file", SYMLINK: "link"}

Info = dict[str, Any]
"""fsspec's description of a path: name, size in bytes, type, and further fields."""


class ResticFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A repository whose top folder contains the snapshots, by the first eight digits of their IDs.

    Paths may begin with any snapshot name, including `latest`: the latest of `host`, with all of `tags` and `paths`. A
    name refers to the same snapshot until `invalidate_cache` is called. A snapshot that cannot be read is an error
    unless `skip_damaged` ignores it; one that is named by its ID still works. The other arguments are those of
    open_repository; the repository is opened on first use, and not locked unless `lock` is set.
    """

    protocol = "restic"

    def __init__(
        self,
        repository: str = "",
        *,
        password: str | None = None,
        password_file: str | None = None,
        password_command: str | None = None,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        cache_dir: str | None = None,
        cacert: Sequence[str] = (),
        lock: bool = False,
        host: str = "",
        tags: Sequence[str] = (),
        paths: Sequence[str] = (),
        skip_damaged: bool = False,
        **storage_options: Any,  # noqa: ANN401 - fsspec's
    ) -> None:
        super().__init__(**storage_options)
        self._location = repository
        self._access: dict[str, Any] = {
            "password": password,
            "password_file": password_file,
            "password_command": password_command,
            "environment": environment,
            "options": options,
            "cache_dir": cache_dir,
            "cacert": cacert,
            "lock": lock,
        }
        self._filter: dict[str, Any] = {"host": host, "tags": tags, "paths": paths, "skip_damaged": skip_damaged}
        self._mutex = threading.RLock()
        self._opened: OpenRepository | None = None
        self._snapshots: dict[str, OpenSnapshot] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:  # noqa: ANN401 - fsspec's: a path or a list of them
        if not isinstance(path, str | os.PathLike | list):
            raise TypeError(f"a path must be str, not {type(path).__name__}")
        return super()._strip_protocol(path)

    @property
    def fsid(self) -> str:
        """Return an equal instance for the same repository."""
        return f"restic_{self._repository().id}"

    def __enter__(self) -> "ResticFileSystem":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the repository; the next use opens it again."""
        with self._mutex:
            opened, self._opened = self._opened, None
            self._snapshots.clear()
        if opened is not None:
            opened.close()

    def invalidate_cache(self, path: str | None = None) -> None:
        """List the snapshots again on the next use."""
        with self._mutex:
            self._snapshots.clear()
        super().invalidate_cache(path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: ANN401 - fsspec's
        """Return the content of a folder, or the one file at a path: names, or with `detail` descriptions."""
        name, location = self._split(path)
        with _as_os_errors(path):
            if not name:
                found = [_snapshot_info(snapshot.short_id, snapshot) for snapshot in self._list_snapshots()]
            else:
                snapshot = self._snapshot(name)
                entry = snapshot.entry(location)
                entries = snapshot.entries(location) if entry.is_folder else [entry]
                found = [_info(name, each) for each in entries]
        return found if detail else [info["name"] for info in found]

    def info(self, path: str, **_: Any) -> Info:  # noqa: ANN401 - fsspec's
        """Return the description of a path; raise FileNotFoundError."""
        name, location = self._split(path)
        if not name:
            return {"name": "", "size": 0, "type": "directory"}
        with _as_os_errors(path):
            snapshot = self._snapshot(name)
            return _info(name, snapshot.entry(location)) if location else _snapshot_info(name, snapshot)

    def created(self, path: str) -> datetime:
        """Return the modification time of a file: the only time that all files have."""
        return self.modified(path)

    def modified(self, path: str) -> datetime:
        """Return the modification time of a file, or the time of a snapshot, in UTC."""
        name, location = self._split(path)
        with _as_os_errors(path):
            snapshot = self._snapshot(name)
            return snapshot.entry(location).mtime if location else snapshot.time

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:  # noqa: ANN401, ARG002 - fsspec's
        """Refuse: the file system is read-only."""
        _refuse(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: ARG002 - fsspec's
        """Refuse: the file system is read-only."""
        _refuse(path)

    def rmdir(self, path: str) -> None:
        """Refuse: the file system is read-only."""
        _refuse(path)

    def rm_file(self, path: str) -> None:
        """Refuse: the file system is read-only."""
        _refuse(path)

    _rm = rm_file

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:  # noqa: ANN401, ARG002 - fsspec's
        """Refuse: the file system is read-only."""
        _refuse(path2)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> ContentStream:  # noqa: ANN401 - fsspec's
        """Return the content of a file as a seekable stream; raise OSError."""
        if mode != "rb":
            _refuse(path)
        name, location = self._split(path)
        with _as_os_errors(path):
            if not name or self._snapshot(name).entry(location).is_folder:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            return self._snapshot(name).open(location)

    def _split(self, path: str) -> tuple[str, str]:
        """Return the name of the snapshot and the location in it, both "" for the top folder."""
        name, _, location = self._strip_protocol(path).lstrip("/").partition("/")
        return name, location.strip("/")

    def _repository(self) -> OpenRepository:
        with self._mutex:
            if self._opened is None:
                if not self._location:
                    raise UsageError("storage_options lacks the location of the repository")
                self._opened = open_repository(self._location, **self._access)
            return self._opened

    def _snapshot(self, name: str) -> OpenSnapshot:
        with self._mutex:
            if name not in self._snapshots:
                try:
                    self._snapshots[name] = self._repository().snapshot(name, **self._filter)
                except UsageError as error:
                    if self._opened is None:
                        raise
                    raise NotFoundError(str(error)) from error
            return self._snapshots[name]

    def _list_snapshots(self) -> list[OpenSnapshot]:
        with self._mutex:
            found = self._repository().snapshots(**self._filter)
            self._snapshots |= {snapshot.short_id: snapshot for snapshot in found}
            return found


def _snapshot_info(name: str, snapshot: OpenSnapshot) -> Info:
    return {"name": name, "size": 0, "type": "directory", "mtime": snapshot.time.timestamp(), "id": snapshot.id}


def _info(name: str, entry: Entry) -> Info:
    info = {
        "name": name + entry.path.rstrip("/"),
        "size": entry.size,
        "type": _KINDS.get(entry.type, "other"),
        "mtime": entry.mtime_ns / 1e9,
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "islink": entry.type == SYMLINK,
    }
    if entry.type == SYMLINK:
        info["destination"] = entry.link_target
    return info


def _refuse(path: str) -> NoReturn:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


@contextlib.contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    """Raise the error of a path in the form that fsspec's users expect."""
    try:
        yield
    except NotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, str(error), path) from error
