"""Saves at the same time on a server that gives the number of a closed handle to the next file, as OpenSSH does.

The server here is a script, so that the requests of two threads meet in the worst order.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from pyrestic.backend.scheme_options import Access
from pyrestic.backend.sftp.backend import SftpBackend
from pyrestic.backend.sftp.connection import SftpConnection
from pyrestic.backend.sftp.packets import (
    LENGTH,
    ReplyFields,
    ReplyType,
    RequestType,
    StatusCode,
    bytes_field,
    number_field,
    text_field,
)
from pyrestic.backend.sftp.session import SftpSession
from pyrestic.errors import BackendError, TransientError
from pyrestic.handle import FileType, Handle
from tests.backend.sftp.test_connection import connected, packet, status

RENAME = "posix-rename@openssh.com"


class OneSession:
    """A session with one connection, which is there already."""

    def __init__(self, connection: SftpConnection) -> None:
        self._connection = connection

    def connection(self) -> SftpConnection:
        return self._connection


def backend_on(connection: SftpConnection) -> SftpBackend:
    return SftpBackend(cast(SftpSession, OneSession(connection)), "place", 5, Access())


def greeting(*extensions: str) -> bytes:
    body = bytes([ReplyType.VERSION]) + LENGTH.pack(3)
    body += b"".join(text_field(name) + text_field("1") for name in extensions)
    return LENGTH.pack(len(body)) + body


class ReusingServer:
    """Files in memory. The lowest free number is the next handle. Renames to `refused` fail, but only when asked to.

    Nothing is written to other files before the failed save has tidied up.
    """

    def __init__(self, refused: Handle) -> None:
        self.files: dict[str, bytearray] = {}
        self.renaming = threading.Event()
        self.unknown_handles = 0
        self._refused = refused.name
        self._open: dict[bytes, str] = {}
        self._held_rename: int | None = None
        self._held: list[tuple[int, int, bytes]] = []
        self._is_tidy = False

    def answer(self, kind: int, number: int, body: bytes) -> bytes | None:
        fields = ReplyFields(body)
        if kind == RequestType.OPEN:
            path = fields.text()
            handle = next(its for its in (bytes([number]) for number in range(256)) if its not in self._open)
            self._open[handle] = path
            self.files[path] = bytearray()
            return packet(ReplyType.HANDLE, number, bytes_field(handle)) + self._refuse_held_rename()
        if kind == RequestType.EXTENDED:
            assert fields.text() == RENAME
            old, new = fields.text(), fields.text()
            if new.endswith(self._refused):
                self._held_rename = number
                self.renaming.set()
                return None
            self.files[new] = self.files.pop(old)
            return status(number, StatusCode.OK)
        if kind == RequestType.REMOVE:
            self.files.pop(fields.text(), None)
            self._is_tidy = True
            held, self._held = self._held, []
            return status(number, StatusCode.OK) + b"".join(self._use_handle(*request) for request in held)
        if kind == RequestType.STAT:
            return status(number, StatusCode.NO_SUCH_FILE)
        if self.renaming.is_set() and not self._is_tidy and kind != RequestType.CLOSE:
            self._held.append((kind, number, body))
            return None
        return self._use_handle(kind, number, body)

    def _refuse_held_rename(self) -> bytes:
        number, self._held_rename = self._held_rename, None
        return b"" if number is None else status(number, StatusCode.FAILURE)

    def _use_handle(self, kind: int, number: int, body: bytes) -> bytes:
        fields = ReplyFields(body)
        handle = fields.string()
        if handle not in self._open:
            self.unknown_handles += 1
            return status(number, StatusCode.FAILURE)
        if kind == RequestType.CLOSE:
            del self._open[handle]
        if kind == RequestType.WRITE:
            start = fields.long()
            data = fields.string()
            self.files[self._open[handle]][start : start + len(data)] = data
        return status(number, StatusCode.OK)


def test_a_failed_save_closes_no_file_of_another_thread() -> None:
    bad, good = Handle(FileType.PACK, "ab" * 32), Handle(FileType.PACK, "cd" * 32)
    server = ReusingServer(bad)
    data = bytes(range(256)) * 400
    with connected(server.answer, greeting(RENAME), 30) as connection, ThreadPoolExecutor(2) as pool:
        backend = backend_on(connection)
        failing = pool.submit(backend.save, bad, b"bad")
        server.renaming.wait(30)
        saving = pool.submit(backend.save, good, data)
        with pytest.raises(TransientError, match="said so"):
            failing.result()
        saving.result()
    assert server.files == {f"place/data/cd/{good.name}": data}
    assert server.unknown_handles == 0


def test_a_file_that_is_longer_than_any_is_not_loaded() -> None:
    def answer(kind: int, number: int, body: bytes) -> bytes:
        if kind == RequestType.OPEN:
            return packet(ReplyType.HANDLE, number, bytes_field(b"h"))
        if kind == RequestType.FSTAT:
            return packet(ReplyType.ATTRIBUTES, number, number_field(1) + (1 << 62).to_bytes(8))
        return status(number, StatusCode.OK)

    with connected(answer) as connection, pytest.raises(BackendError, match=f"has {1 << 62} bytes"):
        backend_on(connection).load(Handle(FileType.PACK, "ab" * 32))
