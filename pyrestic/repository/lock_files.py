"""The lock files of a repository: list, read, show and remove them, regardless of their owner."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from pyrestic.backend.base import Backend, FileInfo
from pyrestic.backend.fence import Fence
from pyrestic.errors import DamageError, NotFoundError
from pyrestic.format import lock as lock_format
from pyrestic.format.lock import LockFile
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID, parse_id, short
from pyrestic.report import NullReporter, Progress, Reporter
from pyrestic.repository.machine import STALE_SECONDS, Machine


class UnpackedStore(Protocol):
    """The part of a Repository that locks need."""

    fence: Fence
    """The fence that checks the lock before each write."""

    @property
    def backend(self) -> Backend:
        """The backend of the files."""

    def list_files(self, file_type: FileType) -> Iterator[FileInfo]:
        """Iterate files of a type with their lengths."""

    def load_unpacked(self, file_type: FileType, identifier: ID) -> bytes:
        """Return the verified plaintext of a file; raise DamageError or BackendError."""

    def save_unpacked(self, file_type: FileType, data: bytes, remember: Callable[[ID], object]) -> ID:
        """Store a file and return its ID, with which `remember` is called before anything is stored."""

    def remove(self, file_type: FileType, identifier: ID) -> None:
        """Remove a file; raise NotFoundError or BackendError."""


def list_lock_ids(store: UnpackedStore) -> Iterator[ID]:
    """Iterate the IDs of the locks. Empty files are skipped: some backends list a file before it has content."""
    return (parse_id(info.name) for info in store.list_files(FileType.LOCK) if info.length > 0)


def is_stored(store: UnpackedStore, identifier: ID) -> bool:
    """Tell whether a lock exists, readable or not; raise BackendError."""
    try:
        store.backend.stat(Handle(FileType.LOCK, identifier.hex()))
    except NotFoundError:
        return False
    return True


def load_lock(store: UnpackedStore, identifier: ID) -> LockFile:
    """Return a lock; raise DamageError or BackendError."""
    return lock_format.parse(store.load_unpacked(FileType.LOCK, identifier))


def remove_stale(
    store: UnpackedStore,
    *,
    report: Reporter | None = None,
    ensure_wanted: Callable[[], None] = lambda: None,
    machine: Machine | None = None,
    clock: Callable[[], float] = time.time,
) -> int:
    """Remove locks that are 30 minutes old or whose process on this machine seems dead; return the number.

    Locks that cannot be read are kept. Raises BackendError, and what `ensure_wanted` raises, which is called before
    each lock.
    """
    machine = machine or Machine()
    removed = 0
    for identifier in _each(list(list_lock_ids(store)), report, ensure_wanted):
        try:
            lock = load_lock(store, identifier)
        except (DamageError, NotFoundError):
            continue
        now = clock()
        if now - lock.time_ns / 1e9 > STALE_SECONDS or machine.seems_dead(lock, now):
            removed += _remove(store, identifier)
    return removed


def remove_all(
    store: UnpackedStore, *, report: Reporter | None = None, ensure_wanted: Callable[[], None] = lambda: None
) -> int:
    """Remove every lock, even if in use or unreadable; return the number. The rest is as in remove_stale."""
    every = [parse_id(info.name) for info in store.list_files(FileType.LOCK)]
    return sum(_remove(store, identifier) for identifier in _each(every, report, ensure_wanted))


def _each(locks: list[ID], report: Reporter | None, ensure_wanted: Callable[[], None]) -> Iterator[ID]:
    progress = Progress("locks examined", "locks", len(locks), only_on_terminal=True)
    with (report or NullReporter()).show(progress):
        for identifier in locks:
            ensure_wanted()
            yield identifier
            progress.done += 1


def format_duration(seconds: float) -> str:
    """Return a duration in whole seconds as Go writes it: 1h2m3s."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minute}m{second}s"
    return f"{minute}m{second}s" if minute else f"{second}s"


def _remove(store: UnpackedStore, identifier: ID) -> int:
    try:
        store.remove(FileType.LOCK, identifier)
    except NotFoundError:
        return 0
    return 1


def describe_lock(identifier: ID, lock: LockFile, now_seconds: float) -> tuple[str, ...]:
    """Return lines that name the holder of a lock and its age, in restic's words."""
    exclusively = "exclusively " if lock.exclusive else ""
    age = format_duration(now_seconds - lock.time_ns / 1e9)
    return (
        f"repository is already locked {exclusively}by PID {lock.pid} on {lock.hostname} by {lock.username} "
        f"(UID {lock.uid}, GID {lock.gid})",
        f"lock was created at {show_time(lock)} ({age} ago)",
        f"storage ID {short(identifier)}",
    )


def show_time(lock: LockFile) -> str:
    """Return the time of the last write of a lock, in the zone of its writer."""
    return lock.time[:19].replace("T", " ")
