"""Servers that do not keep to the protocol: every request ends with its reply or with an error.

The server here is a script, because no real one does this; tests/backend/sftp/test_session.py has the real one.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.sftp import remote_files
from pyrestic.backend.sftp.connection import SftpConnection
from pyrestic.backend.sftp.errors import StatusError
from pyrestic.backend.sftp.packets import (
    HEADER,
    LENGTH,
    ReplyType,
    RequestType,
    StatusCode,
    bytes_field,
    number_field,
    text_field,
)
from pyrestic.backend.sftp.remote_files import OpenFile, RemoteFiles
from pyrestic.errors import AccessError, BackendError, NoAnswerError, SilentError, TransientError

STALL_SECONDS = 0.4
VERSION = LENGTH.pack(5) + bytes([ReplyType.VERSION]) + LENGTH.pack(3)

Answer = Callable[[int, int, bytes], bytes | None]
"""Returns what the server sends for a request: type, ID, fields. None means nothing yet, b"" means to hang up."""


def packet(kind: int, number: int, body: bytes) -> bytes:
    return HEADER.pack(5 + len(body), kind, number) + body


def status(number: int, code: int) -> bytes:
    return packet(ReplyType.STATUS, number, number_field(code) + text_field("said so"))


def receive(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def serve(line: socket.socket, answer: Answer, greeting: bytes) -> None:
    """Answer requests until the client ends or the answer is to hang up."""
    try:
        with line:
            receive(line, 9)
            line.sendall(greeting)
            while True:
                length, kind, number = HEADER.unpack(receive(line, HEADER.size))
                reply = answer(kind, number, receive(line, length - 5))
                if reply == b"":
                    return
                line.sendall(reply or b"")
    except OSError:
        return


@contextmanager
def connected(
    answer: Answer, greeting: bytes = VERSION, stall_seconds: float = STALL_SECONDS
) -> Iterator[SftpConnection]:
    ours, its = socket.socketpair()
    thread = threading.Thread(target=serve, args=(its, answer, greeting))
    thread.start()
    try:
        connection = SftpConnection(ours, stall_seconds)
        yield connection
        connection.close()
    finally:
        ours.close()
        thread.join()


HOSTILE: dict[str, tuple[Answer, type[BackendError]]] = {
    "an ID that was not asked for": (lambda kind, number, body: status(number + 1, 0), TransientError),
    "a length of zero": (lambda kind, number, body: HEADER.pack(0, ReplyType.STATUS, number), TransientError),
    "a length of 4 GiB": (lambda kind, number, body: HEADER.pack(0xFFFFFFFF, ReplyType.STATUS, number), TransientError),
    "another type": (lambda kind, number, body: packet(ReplyType.NAME, number, number_field(0)), TransientError),
    "an unknown type": (lambda kind, number, body: packet(250, number, b"x"), TransientError),
    "a status without code": (lambda kind, number, body: packet(ReplyType.STATUS, number, b""), TransientError),
    "text": (lambda kind, number, body: b"Segmentation fault, and more text", TransientError),
    "the end": (lambda kind, number, body: b"", NoAnswerError),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_breaks_the_protocol_is_an_error_that_ends(name: str) -> None:
    answer, kind = HOSTILE[name]
    with connected(answer) as connection, pytest.raises(kind):
        RemoteFiles(connection).attributes("path")


@pytest.mark.parametrize("reply_bytes", [0, 3, 12])
def test_silence_and_half_a_reply_end_at_the_stall_limit(reply_bytes: int) -> None:
    begun, ended = threading.Event(), threading.Event()

    def answer(kind: int, number: int, body: bytes) -> bytes:
        if reply_bytes and not begun.is_set():
            begun.set()
            return status(number, 0)[:reply_bytes]
        ended.wait(30)
        return b""

    with connected(answer) as connection:
        files = RemoteFiles(connection)
        with ThreadPoolExecutor(3) as pool:
            for waiting in [pool.submit(files.attributes, "path") for _ in range(3)]:
                with pytest.raises(SilentError, match=r"did not answer for 0\.4 s"):
                    waiting.result()
        assert not connection.is_alive
        ended.set()


def test_a_server_that_stops_reading_ends_an_upload_at_the_stall_limit() -> None:
    ours, its = socket.socketpair()
    its.sendall(VERSION)
    connection = SftpConnection(ours, STALL_SECONDS)
    with pytest.raises(SilentError):
        RemoteFiles(connection).write(OpenFile(b"handle"), bytes(8 << 20), None)
    connection.close()
    its.close()


def test_waiting_is_no_silence_while_nothing_is_asked() -> None:
    with connected(lambda kind, number, body: status(number, 0)) as connection:
        time.sleep(1.5 * STALL_SECONDS)
        RemoteFiles(connection).remove("path")
        assert connection.is_alive


@pytest.mark.parametrize(
    "greeting",
    [b"Welcome to the server!\n", b"\0" * 80, LENGTH.pack(5) + bytes([ReplyType.STATUS]) + LENGTH.pack(3), b"\xff" * 9],
)
def test_a_server_of_another_kind_is_refused_and_what_it_said_is_shown(greeting: bytes) -> None:
    with pytest.raises(AccessError, match="does not speak SFTP") as caught, connected(lambda *_: b"", greeting):
        pass
    assert str(caught.value).isprintable()


def test_an_older_protocol_is_refused() -> None:
    greeting = LENGTH.pack(5) + bytes([ReplyType.VERSION]) + LENGTH.pack(2)
    with pytest.raises(AccessError, match="speaks version 2"), connected(lambda *_: b"", greeting):
        pass


def test_a_server_that_does_not_greet_is_given_up() -> None:
    ours, its = socket.socketpair()
    with ours, its, pytest.raises(SilentError):
        SftpConnection(ours, STALL_SECONDS)


def test_a_server_that_hangs_up_before_it_greets_is_told_apart() -> None:
    ours, its = socket.socketpair()
    its.close()
    with ours, pytest.raises(ConnectionError):
        SftpConnection(ours, STALL_SECONDS)


def test_an_interrupt_ends_what_waits_and_lets_later_requests_through() -> None:
    asked, told = threading.Event(), threading.Event()

    def answer(kind: int, number: int, body: bytes) -> bytes:
        asked.set()
        told.wait(30)
        return status(number, 0)

    with connected(answer) as connection, ThreadPoolExecutor(1) as pool:
        files = RemoteFiles(connection)
        waiting = pool.submit(files.remove, "path")
        asked.wait(30)
        connection.interrupt()
        with pytest.raises(TransientError, match="interrupted"):
            waiting.result()
        told.set()
        files.remove("another path")
        assert connection.is_alive


def test_content_that_is_longer_than_asked_for_never_leaves_the_buffer() -> None:
    def answer(kind: int, number: int, body: bytes) -> bytes:
        return packet(ReplyType.DATA, number, bytes_field(b"x" * 200))

    room = bytearray(100)
    with connected(answer) as connection, pytest.raises(TransientError, match="another length"):
        RemoteFiles(connection).read(OpenFile(b"handle"), 0, memoryview(room), None)
    assert room == bytes(100)


@given(st.lists(st.integers(0, 7), max_size=6), st.integers(0, 100), st.integers(0, 120))
def test_short_replies_give_the_same_content(lengths: list[int], length: int, offset: int) -> None:
    content = bytes(range(100))
    shorter = iter(lengths)

    def answer(kind: int, number: int, body: bytes) -> bytes:
        start = int.from_bytes(body[-12:-4])
        count = int.from_bytes(body[-4:])
        piece = content[start : start + min(count, next(shorter, 8) + 1)]
        return packet(ReplyType.DATA, number, bytes_field(piece)) if piece else status(number, 1)

    room = bytearray(length)
    with connected(answer, stall_seconds=30) as connection:
        done = RemoteFiles(connection).read(OpenFile(b"handle"), offset, memoryview(room), None)
    assert room[:done] == content[offset : offset + length]


@given(st.binary(max_size=60))
def test_any_bytes_in_place_of_a_reply_give_an_error_that_ends(reply: bytes) -> None:
    with connected(lambda kind, number, body: reply, stall_seconds=0.05) as connection:
        try:
            names = list(RemoteFiles(connection).list_folders(["folder"]))
        except (BackendError, StatusError):
            return
        assert names == []


def name_packet(number: int, *names: str) -> bytes:
    entries = [text_field(name) + text_field("long form") + number_field(0) for name in names]
    return packet(ReplyType.NAME, number, number_field(len(names)) + b"".join(entries))


def list_parts(parts: Callable[[int], bytes], most: int = 100) -> list[str]:
    """List a folder whose parts come from a function of the request's ID."""

    def answer(kind: int, number: int, body: bytes) -> bytes:
        if number > most:
            return b""
        return packet(ReplyType.HANDLE, number, bytes_field(b"h")) if kind == RequestType.OPENDIR else parts(number)

    with connected(answer, stall_seconds=30) as connection:
        return [name for _, name, _ in RemoteFiles(connection).list_folders(["folder"])]


@pytest.mark.parametrize("names", [[], ["a"]])
def test_a_folder_that_does_not_end_is_an_error(names: list[str]) -> None:
    with pytest.raises(TransientError, match="no new name"):
        list_parts(lambda number: name_packet(number, *names))


def test_a_folder_with_ever_new_names_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_files, "_MAX_NAMES", 50)
    with pytest.raises(TransientError, match="do not end"):
        list_parts(lambda number: name_packet(number, str(number)))


def test_a_name_that_comes_twice_is_listed_once() -> None:
    parts = {1: ["a", "b", "a"], 2: ["b", "c"]}
    names = list_parts(lambda number: name_packet(number, *parts[number]) if number in parts else status(number, 1))
    assert names == ["a", "b", "c"]


def rename_each(*codes: int) -> list[bool]:
    """Rename files while the server answers the sync of each folder with these codes; return which succeeded."""
    remaining = iter(codes)

    def answer(kind: int, number: int, body: bytes) -> bytes:
        if kind == RequestType.OPEN:
            return packet(ReplyType.HANDLE, number, bytes_field(b"h"))
        return status(number, next(remaining) if kind == RequestType.EXTENDED else StatusCode.OK)

    body = bytes([ReplyType.VERSION]) + LENGTH.pack(3) + text_field("fsync@openssh.com") + text_field("1")
    succeeded = []
    with connected(answer, LENGTH.pack(len(body)) + body, 30) as connection:
        files = RemoteFiles(connection)
        for _ in codes:
            try:
                files.rename("folder/old", "folder/new")
                succeeded.append(True)
            except TransientError:
                succeeded.append(False)
    return succeeded


def test_a_folder_that_is_not_synced_is_an_error_unless_the_server_never_could() -> None:
    ok, failure, unsupported, bad = StatusCode.OK, StatusCode.FAILURE, StatusCode.OP_UNSUPPORTED, StatusCode.BAD_MESSAGE
    assert rename_each(ok, failure, ok, failure) == [True, False, True, False]
    assert rename_each(failure, failure, failure) == [True] * 3
    assert rename_each(failure, ok, failure) == [True, True, False]
    assert rename_each(unsupported, unsupported) == rename_each(bad, bad) == [True] * 2


def test_whatever_ends_the_thread_that_reads_ends_the_requests() -> None:
    def answer(kind: int, number: int, body: bytes) -> bytes:
        return packet(ReplyType.DATA, number, bytes_field(b"x"))

    with connected(answer) as connection, pytest.raises(NoAnswerError, match="could not be read"):
        # Nothing can be written into these bytes.
        RemoteFiles(connection).read(OpenFile(b"handle"), 0, memoryview(b"x"), None)


def test_many_threads_share_one_connection() -> None:
    def answer(kind: int, number: int, body: bytes) -> bytes:
        assert kind == RequestType.STAT
        length = int(body[4:]).to_bytes(8)
        return packet(ReplyType.ATTRIBUTES, number, number_field(1) + length)

    with connected(answer) as connection, ThreadPoolExecutor(8) as pool:
        files = RemoteFiles(connection)
        found = pool.map(lambda number: files.attributes(str(number)).length, range(500))
        assert list(found) == list(range(500))
