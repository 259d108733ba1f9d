"""Operations on the files of an SFTP server, with many requests at once; paths are those of the server."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from typing_extensions import Buffer

from pyrestic.backend.sftp.connection import PendingRequest, SftpConnection
from pyrestic.backend.sftp.errors import FAILURE_ATTEMPTS, StatusError
from pyrestic.backend.sftp.packets import (
    OpenFlag,
    RemoteAttributes,
    RemoteSpace,
    ReplyFields,
    ReplyType,
    RequestLimits,
    RequestType,
    StatusCode,
    broken_protocol,
    bytes_field,
    mode_field,
    number_field,
    parse_limits,
    parse_names,
    parse_space,
    parse_status,
    read_fields,
    text_field,
    write_fields,
)
from pyrestic.backend.wrap.limit import TokenBucket
from pyrestic.errors import TransientError

_COMMON_BYTES = 32 * 1024
"""The longest content of a request that every server takes."""
_MAX_BYTES = 1 << 20
_IN_FLIGHT_BYTES = 4 << 20
"""Content that is on the way for one file: enough for 100 MB/s over a line of 40 ms."""
_FOLDERS_AT_ONCE = 32
"""Number of folders that are listed at once; servers limit the number of open handles."""
_MAX_NAMES = 10_000_000
"""The number of names in the folders that are listed together, as many as the longest list of a REST server has."""
_FSYNC, _RENAME, _STATVFS, _LIMITS = (f"{name}@openssh.com" for name in ("fsync", "posix-rename", "statvfs", "limits"))


class OpenFile:
    """A handle of the server. `is_closed` is set before the request to close it goes out.

    Servers give its number to the next file, so a second request would close a file of another thread.
    """

    __slots__ = ("handle", "is_closed")

    def __init__(self, handle: bytes) -> None:
        self.handle = handle
        self.is_closed = False


class RemoteFiles:
    """The files behind one connection. Raises StatusError for what the server refuses, BackendError for a lost line."""

    def __init__(self, connection: SftpConnection) -> None:
        self.connection = connection
        self.replaces = _RENAME in connection.extensions
        """Whether a file can be renamed over another one in one step."""
        self._syncs_folders: bool | None = None
        limits = self._query_limits()
        self._read_bytes = min(limits.read_bytes or _COMMON_BYTES, _MAX_BYTES)
        self._write_bytes = min(limits.write_bytes or _COMMON_BYTES, _MAX_BYTES)

    def open(self, path: str, flags: OpenFlag, mode: int | None = None) -> OpenFile:
        """Open a file."""
        return _handle_of(self._send_open(path, flags, mode))

    def close_soon(self, opened: OpenFile) -> None:
        """Close a file without waiting for the reply; nothing happens if that was requested before."""
        if not opened.is_closed:
            self._send_close(opened)

    def length(self, opened: OpenFile) -> int:
        """Return the length of an open file."""
        length = _attributes_of(self.connection.send(RequestType.FSTAT, bytes_field(opened.handle))).length
        if length is None:
            raise StatusError(StatusCode.OP_UNSUPPORTED, "the server does not report lengths")
        return length

    def read(self, opened: OpenFile, offset: int, room: memoryview, limit: TokenBucket | None) -> int:
        """Fill the buffer from an open file; return the number of bytes until its end."""
        step = self._read_bytes if limit is None else min(self._read_bytes, limit.piece_bytes)
        starts = range(0, len(room), step)
        waiting: deque[tuple[int, memoryview, PendingRequest]] = deque()
        at_once = max(_IN_FLIGHT_BYTES // step, 1)
        for start in starts:
            piece = room[start : start + step]
            if limit is not None:
                limit.take(len(piece))
            waiting.append((start, piece, self._send_read(opened, offset + start, piece)))
            if len(waiting) == at_once and (end := self._await_read(opened, offset, *waiting.popleft())) is not None:
                return end
        while waiting:
            if (end := self._await_read(opened, offset, *waiting.popleft())) is not None:
                return end
        return len(room)

    def write(self, opened: OpenFile, data: Buffer, limit: TokenBucket | None) -> None:
        """Write all of an open file."""
        view = memoryview(data).cast("B")
        step = self._write_bytes if limit is None else min(self._write_bytes, limit.piece_bytes)
        at_once = max(_IN_FLIGHT_BYTES // step, 1)
        waiting: deque[PendingRequest] = deque()
        for start in range(0, len(view), step):
            piece = view[start : start + step]
            if limit is not None:
                limit.take(len(piece))
            if len(waiting) == at_once:
                _succeeded(waiting.popleft())
            fields = (bytes_field(opened.handle), write_fields(start, len(piece)), piece)
            waiting.append(self.connection.send(RequestType.WRITE, *fields))
        for pending in waiting:
            _succeeded(pending)

    def finish(self, opened: OpenFile, mode: int) -> None:
        """Set the mode of a written file, make its content durable, and close it."""
        its = bytes_field(opened.handle)
        changed = self.connection.send(RequestType.FSETSTAT, its, mode_field(mode))
        synced = self._send_extended(_FSYNC, its)
        closed = self._send_close(opened)
        _tolerated(changed)
        if synced is not None:
            _succeeded(synced, tolerated=(StatusCode.OP_UNSUPPORTED,))
        _succeeded(closed)

    def rename(self, old: str, new: str) -> None:
        """Rename a file durably; if the server `replaces`, over an existing one."""
        names = (text_field(old), text_field(new))
        folder = self._open_folder(new.rpartition("/")[0])
        renamed = self._send_extended(_RENAME, *names) or self.connection.send(RequestType.RENAME, *names)
        if folder is not None:
            synced = self._send_extended(_FSYNC, bytes_field(folder.handle))
            closed = self._send_close(folder)
            _succeeded(renamed)
            if synced is not None:
                self._check_folder_sync(synced)
            closed.wait()
            return
        _succeeded(renamed)

    def attributes(self, path: str) -> RemoteAttributes:
        """Return the attributes of a file or folder; links are followed."""
        return _attributes_of(self.connection.send(RequestType.STAT, text_field(path)))

    def remove(self, path: str) -> None:
        """Remove a file."""
        _succeeded(self.connection.send(RequestType.REMOVE, text_field(path)))

    def remove_soon(self, path: str) -> None:
        """Remove a file without waiting for the reply."""
        self.connection.send(RequestType.REMOVE, text_field(path))

    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits of a file or folder."""
        _succeeded(self.connection.send(RequestType.SETSTAT, text_field(path), mode_field(mode)))

    def make_folders(self, paths: Sequence[str], mode: int) -> list[str]:
        """Create folders that are missing, whose parents must exist; return those that are still missing."""
        sent = [(path, self.connection.send(RequestType.MKDIR, text_field(path), mode_field(mode))) for path in paths]
        looked = []
        changed = []
        for path, pending in sent:
            try:
                _succeeded(pending)
            except StatusError:
                # SFTP does not say whether the reason is that it exists.
                looked.append((path, self.connection.send(RequestType.STAT, text_field(path))))
            else:
                # The server's umask may have taken bits away.
                changed.append(self.connection.send(RequestType.SETSTAT, text_field(path), mode_field(mode)))
        for pending in changed:
            _tolerated(pending)
        return [path for path, pending in looked if not _is_folder(pending)]

    def list_folders(self, paths: Iterable[str]) -> Iterator[tuple[str, str, RemoteAttributes]]:
        """Iterate path of the folder, name and attributes of all entries; a missing folder has none."""
        remaining = deque(paths)
        most = _MAX_NAMES
        while remaining:
            batch = [remaining.popleft() for _ in range(min(_FOLDERS_AT_ONCE, len(remaining)))]
            opened = [(path, self.connection.send(RequestType.OPENDIR, text_field(path))) for path in batch]
            handles: dict[str, OpenFile] = {}
            for path, pending in opened:
                try:
                    handles[path] = _handle_of(pending)
                except StatusError as error:
                    if error.code != StatusCode.NO_SUCH_FILE:
                        raise
            for entry in self._read_folders(handles):
                most -= 1
                if most < 0:
                    raise broken_protocol("the names in a folder do not end")
                yield entry

    def space(self, path: str) -> RemoteSpace | None:
        """Return the free space around a path, None if the server does not report it."""
        pending = self._send_extended(_STATVFS, text_field(path))
        if pending is None:
            return None
        try:
            return parse_space(_reply(pending, ReplyType.EXTENDED))
        except StatusError:
            return None

    def _read_folders(self, handles: dict[str, OpenFile]) -> Iterator[tuple[str, str, RemoteAttributes]]:
        known: dict[str, set[str]] = {path: set() for path in handles}
        while handles:
            sent = {
                path: self.connection.send(RequestType.READDIR, bytes_field(its.handle))
                for path, its in handles.items()
            }
            for path, pending in sent.items():
                try:
                    names = parse_names(_reply(pending, ReplyType.NAME))
                except StatusError as error:
                    if error.code != StatusCode.EOF:
                        raise
                    self.close_soon(handles.pop(path))
                    continue
                new = {name: attributes for name, attributes in names if name not in known[path]}
                if not new:
                    raise broken_protocol("a part of a folder has no new name")
                known[path].update(new)
                yield from ((path, name, attributes) for name, attributes in new.items())

    def _query_limits(self) -> RequestLimits:
        pending = self._send_extended(_LIMITS)
        if pending is None:
            return RequestLimits(0, 0)
        try:
            return parse_limits(_reply(pending, ReplyType.EXTENDED))
        except StatusError:
            return RequestLimits(0, 0)

    def _send_extended(self, name: str, *fields: bytes) -> PendingRequest | None:
        """Send a request of an extension; return None if the server has none of that name."""
        if name not in self.connection.extensions:
            return None
        return self.connection.send(RequestType.EXTENDED, text_field(name), *fields)

    def _send_open(self, path: str, flags: OpenFlag, mode: int | None = None) -> PendingRequest:
        return self.connection.send(RequestType.OPEN, text_field(path), number_field(flags), mode_field(mode))

    def _send_close(self, opened: OpenFile) -> PendingRequest:
        opened.is_closed = True
        return self.connection.send(RequestType.CLOSE, bytes_field(opened.handle))

    def _check_folder_sync(self, synced: PendingRequest) -> None:
        """Wait until a folder is on the disk; raise TransientError if that fails where it is possible.

        OpenSSH reports that the disk failed as FAILURE, as it does for some file systems that sync no folders. Those
        answer so from the first time on.
        """
        try:
            _succeeded(synced)
        except StatusError as error:
            failed = error.code == StatusCode.FAILURE
            if failed and self._syncs_folders:
                # A StatusError would count as a refusal to rename.
                raise TransientError("the server could not sync a folder", attempts=FAILURE_ATTEMPTS) from error
            if self._syncs_folders is None:
                self._syncs_folders = not failed
        else:
            self._syncs_folders = True

    def _open_folder(self, path: str) -> OpenFile | None:
        """Open a folder as a file, which OpenSSH allows: only so can a name be made durable."""
        if _FSYNC not in self.connection.extensions:
            return None
        try:
            return self.open(path or ".", OpenFlag.READ)
        except StatusError:
            return None

    def _send_read(self, opened: OpenFile, offset: int, room: memoryview) -> PendingRequest:
        fields = (bytes_field(opened.handle), read_fields(offset, len(room)))
        return self.connection.send(RequestType.READ, *fields, room=room)

    def _await_read(
        self, opened: OpenFile, offset: int, start: int, room: memoryview, pending: PendingRequest
    ) -> int | None:
        """Wait for a piece, and request the rest of one that is short; return where the file ends, if that is in it."""
        done = 0
        while True:
            try:
                _reply(pending, ReplyType.DATA)
            except StatusError as error:
                if error.code != StatusCode.EOF:
                    raise
                return start + done
            done += pending.length
            if done == len(room):
                return None
            if not pending.length:
                raise broken_protocol("a reply has no content")
            pending = self._send_read(opened, offset + start + done, room[done:])


def _reply(pending: PendingRequest, kind: ReplyType) -> bytes:
    """Return the body of a reply of this type; raise StatusError, FormatError."""
    pending.wait()
    if pending.kind == kind:
        return pending.body
    if pending.kind != ReplyType.STATUS:
        raise broken_protocol("a reply has another type")
    code, message = parse_status(pending.body)
    raise StatusError(code, message)


def _succeeded(pending: PendingRequest, tolerated: Sequence[StatusCode] = ()) -> None:
    """Wait for a request that has no result; raise StatusError unless it succeeded."""
    try:
        _reply(pending, ReplyType.STATUS)
    except StatusError as error:
        if error.code not in tolerated:
            raise
    else:
        code, message = parse_status(pending.body)
        if code not in (StatusCode.OK, *tolerated):
            raise StatusError(code, message)


def _tolerated(pending: PendingRequest) -> None:
    """Wait for a request that may fail: file systems without modes exist."""
    try:
        _succeeded(pending)
    except StatusError:
        pass


def _is_folder(pending: PendingRequest) -> bool:
    try:
        return _attributes_of(pending).is_folder
    except StatusError:
        return False


def _handle_of(pending: PendingRequest) -> OpenFile:
    return OpenFile(ReplyFields(_reply(pending, ReplyType.HANDLE)).string())


def _attributes_of(pending: PendingRequest) -> RemoteAttributes:
    return ReplyFields(_reply(pending, ReplyType.ATTRIBUTES)).attributes()
