"""The real ssh and the real sshd: connections that are refused, lost, hung or interrupted, and what is stored."""

import os
import re
import secrets
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.backend.base import Backend
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.location import Access, open_backend, parse_location
from pyrestic.backend.sftp.backend import SftpBackend
from pyrestic.backend.wrap.limit import TokenBucket
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import AccessError, BackendError, NotFoundError, SilentError, TransientError, UnreachedError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.servers import find_tool
from tests.support.ssh import BARE, open_bare, sftp_server_command, shared_ssh_server
from tools.place_servers.place import free_port
from tools.place_servers.sftp import SshServer, make_key

pytestmark = pytest.mark.process


def handle_of(data: bytes, file_type: FileType = FileType.PACK) -> Handle:
    return Handle(file_type, hash_id(data).hex())


def open_place(server: SshServer, folder: Path, *more: str, stall_seconds: float = 30, **access: object) -> Backend:
    settings = HttpSettings(stall_seconds=stall_seconds)
    location = parse_location(f"sftp://127.0.0.1:{server.port}/{folder}")
    words = " ".join([f"-F {server.client_settings}", *more])
    return open_backend(location, {"sftp.args": words}, Access(dict(os.environ), settings, **access))  # type: ignore[arg-type]


def open_direct(folder: Path, command: str, **access: object) -> Backend:
    return open_backend(
        parse_location(f"sftp:host:{folder}"),
        {"sftp.command": command},
        Access(dict(os.environ), **access),  # type: ignore[arg-type]
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    """A server that the test may stop."""
    server = SshServer(tmp_path / "server", find_tool("openssh"))
    server.start()
    yield server
    server.kill()


def refused(backend: Backend) -> BackendError:
    """Return the error of a first request through the retries of every command."""
    with pytest.raises(BackendError) as caught:
        RetryBackend(backend).stat(Handle(FileType.CONFIG, ""))
    backend.close()
    return caught.value


def test_a_wrong_key_an_unknown_host_key_and_an_unknown_name_end_at_once_with_the_reason(tmp_path: Path) -> None:
    server = shared_ssh_server()
    make_key(tmp_path / "other")
    (tmp_path / "none").touch()
    said: list[str] = []
    cases = [
        (f"-o IdentityFile=none -i {tmp_path}/other -o IdentityAgent=none", "Permission denied"),
        (f"-o UserKnownHostsFile={tmp_path}/none", "Host key verification failed"),
        ("-o HostName=nowhere.invalid", "Could not resolve hostname nowhere.invalid"),
        ("-o NoSuchOption=yes", "exit code|NoSuchOption|onfiguration option"),
    ]
    (tmp_path / "settings").write_text(server.client_settings.read_text().replace("/key\n", "/none\n"))
    for words, reason in cases:
        if "other" in words:
            words = f"-F {tmp_path}/settings {words}"
        error = refused(open_place(server, tmp_path, words, note=said.append))
        assert type(error) is AccessError
        assert str(error).count("\n") == 0
        assert re.search(reason, str(error)), str(error)
    assert any(line.startswith("subprocess ssh: ") and "Permission denied" in line for line in said)


def test_a_server_that_accepts_and_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = parse_location(f"sftp://127.0.0.1:{listening.getsockname()[1]}/{tmp_path}")
        backend = open_backend(place, {}, Access(dict(os.environ), HttpSettings(stall_seconds=0.5)))
        error = refused(backend)
    assert type(error) is SilentError


def test_nobody_listening_counts_as_a_server_that_was_never_reached(tmp_path: Path) -> None:
    backend = open_backend(
        parse_location(f"sftp://127.0.0.1:{free_port()}/{tmp_path}"), {}, Access(dict(os.environ), HttpSettings())
    )
    with pytest.raises(UnreachedError, match="Connection refused"):
        backend.stat(Handle(FileType.CONFIG, ""))


def test_a_login_script_that_prints_is_named(tmp_path: Path) -> None:
    backend = open_direct(tmp_path, f"sh -c 'echo Welcome to the jungle; exec {sftp_server_command()}'")
    error = refused(backend)
    assert "it answered 'Welcome to the jungle'" in str(error)
    assert "login scripts" in error.hint


def test_a_program_that_is_missing_or_fails_is_named(tmp_path: Path) -> None:
    said: list[str] = []
    for command, reason in [
        ("no-such-program x", "there is no program 'no-such-program'"),
        ("sh -c 'echo first >&2; printf \"\\033[31mlast\\n\" >&2; exit 7'", "sh could not connect: .*last"),
        ("sh -c 'exit 7'", "exit code 7"),
    ]:
        with pytest.raises(AccessError, match=reason):
            open_direct(tmp_path, command, note=said.append).stat(Handle(FileType.CONFIG, ""))
    assert said == ["subprocess sh: first", "subprocess sh: \x1b[31mlast"]


def test_the_child_gets_no_secret_of_the_repository(tmp_path: Path) -> None:
    environment = {**os.environ, "RESTIC_PASSWORD": "pa55word", "OTHER": "stays"}
    (tmp_path / "show").write_text(f"#!/bin/sh\nenv > {tmp_path}/environment\n")
    backend = open_backend(
        parse_location(f"sftp:host:{tmp_path}"), {"sftp.command": f"sh {tmp_path}/show"}, Access(environment)
    )
    refused(backend)
    seen = (tmp_path / "environment").read_text()
    assert "OTHER=stays" in seen
    assert "pa55word" not in seen
    assert not [line for line in seen.splitlines() if line.startswith("RESTIC_")]


def test_a_lost_connection_is_made_again_and_the_work_goes_on(server: SshServer, tmp_path: Path) -> None:
    notes: list[str] = []
    inner = open_place(server, tmp_path / "repository")
    backend = RetryBackend(inner, on_retry=notes.append)
    backend.create()
    contents = [secrets.token_bytes(3_000_000) for _ in range(6)]
    for number, data in enumerate(contents):
        if number == 2:
            assert server.signal_sessions(signal.SIGKILL)
        if number == 4:
            server.kill()
            threading.Timer(1.0, server.start).start()
        backend.save(handle_of(data), data)
    assert [backend.load(handle_of(data)) for data in contents] == contents
    assert {info.length for info in backend.list(FileType.PACK)} == {3_000_000}
    backend.close()
    assert any("Connection refused" in note or "was lost" in note for note in notes)


def test_a_session_that_hangs_is_replaced(server: SshServer, tmp_path: Path) -> None:
    backend = open_place(server, tmp_path / "repository")
    backend.create()
    # Only this one: on a busy machine, the next one may take longer to begin.
    assert isinstance(backend, SftpBackend)
    backend._session.connection()._stall_seconds = 1
    server.signal_sessions(signal.SIGSTOP)
    with pytest.raises(SilentError):
        backend.save(handle_of(b"x"), b"x")
    server.signal_sessions(signal.SIGCONT)
    backend.save(handle_of(b"x"), b"x")
    assert backend.load(handle_of(b"x")) == b"x"
    backend.close()


def test_an_interrupt_ends_a_hanging_upload_and_the_lock_can_still_be_removed(
    server: SshServer, tmp_path: Path
) -> None:
    backend = RetryBackend(open_place(server, tmp_path / "repository"))
    backend.create()
    lock = handle_of(b"lock", FileType.LOCK)
    backend.save(lock, b"lock")
    server.signal_sessions(signal.SIGSTOP)
    failed: list[BaseException] = []

    def upload() -> None:
        try:
            backend.save(handle_of(b"x"), bytes(1000))
        except BackendError as error:
            failed.append(error)

    thread = threading.Thread(target=upload)
    thread.start()
    time.sleep(0.3)
    backend.stop_retrying()
    thread.join(30)
    assert isinstance(failed[0], TransientError)
    server.signal_sessions(signal.SIGCONT)
    backend.remove(lock)
    assert list(backend.list(FileType.LOCK)) == []
    backend.close()


def test_an_interrupt_ends_a_connection_that_is_being_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        backend = open_backend(
            parse_location(f"sftp://127.0.0.1:{listening.getsockname()[1]}/{tmp_path}"), {}, Access(dict(os.environ))
        )
        retrying = RetryBackend(backend)
        threading.Timer(0.5, retrying.stop_retrying).start()
        with pytest.raises(TransientError, match="interrupted"):
            retrying.stat(Handle(FileType.CONFIG, ""))
        retrying.close()


def test_files_are_private_and_read_only_and_those_of_a_shared_repository_are_for_the_group(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    backend = open_direct(folder, sftp_server_command())
    backend.create()
    backend.save(Handle(FileType.CONFIG, ""), b"config")
    backend.save(handle_of(b"x"), b"x")

    def modes() -> set[int]:
        return {stat.S_IMODE(path.stat().st_mode) for path in (*folder.rglob("*"), folder)}

    assert modes() == {0o400, 0o700}
    backend.close()
    (folder / "config").chmod(0o640)
    backend = open_direct(folder, sftp_server_command())
    backend.save(handle_of(b"y"), b"y")
    pack = folder / "data" / handle_of(b"y").name[:2] / handle_of(b"y").name
    assert stat.S_IMODE(pack.stat().st_mode) == 0o440
    backend.close()


def test_temporary_and_foreign_files_are_not_listed_and_missing_folders_are_made(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    backend = open_direct(folder, sftp_server_command())
    backend.create()
    data = b"content"
    prefix = handle_of(data).name[:2]
    (folder / "data" / prefix).rmdir()
    backend.save(handle_of(data), data)
    name = "0" * 64
    for path in (f"{name}-restic-temp-12", "README", f"{'1' * 64}"):
        (folder / "data" / "00" / path).write_bytes(b"x")
    (folder / "data" / "00" / name).mkdir()
    assert [info.name for info in backend.list(FileType.PACK)] == [handle_of(data).name]
    (folder / "snapshots").rmdir()
    assert list(backend.list(FileType.SNAPSHOT)) == []
    backend.close()
    folder.rename(tmp_path / "elsewhere")
    backend = open_direct(folder, sftp_server_command())
    with pytest.raises(BackendError, match="is not there"):
        backend.save(handle_of(data), data)
    assert not folder.exists()
    backend.close()


def test_what_the_server_forbids_ends_at_once(tmp_path: Path) -> None:
    backend = open_direct(tmp_path / "repository", sftp_server_command(without="mkdir"))
    with pytest.raises(AccessError, match="could not be created"):
        backend.create()
    backend.close()
    backend = open_direct(tmp_path / "repository", sftp_server_command(without="remove"))
    backend.create()
    backend.save(handle_of(b"x"), b"x")
    with pytest.raises(AccessError, match="ermission denied"):
        backend.remove(handle_of(b"x"))
    assert backend.load(handle_of(b"x")) == b"x"
    backend.close()


def test_a_server_without_extensions_replaces_a_file_by_another_and_keeps_an_equal_one(tmp_path: Path) -> None:
    backend = open_bare(tmp_path)
    backend.create()
    data = secrets.token_bytes(200_000)
    handle = handle_of(data)
    backend.save(handle, b"damaged")
    path = tmp_path / "r" / "data" / handle.name[:2] / handle.name
    backend.save(handle, data)
    assert path.read_bytes() == data
    before = path.stat().st_ino
    backend.save(handle, data)
    assert path.stat().st_ino == before
    assert [entry.name for entry in path.parent.iterdir()] == [handle.name]
    assert backend.load(handle, 70_000, 90_000) == data[70_000:160_000]
    backend.remove(handle)
    with pytest.raises(NotFoundError):
        backend.remove(handle)
    backend.close()


@pytest.mark.parametrize("without", ["", BARE])
def test_rates_are_limited_and_locks_pass(tmp_path: Path, without: str) -> None:
    waited = 0.0

    def sleep(seconds: float) -> None:
        nonlocal waited
        waited += seconds

    def bucket() -> TokenBucket:
        return TokenBucket(100_000, clock=lambda: 0.0, sleep=sleep)

    backend = open_direct(
        tmp_path / "repository", sftp_server_command(without=without), upload=bucket(), download=bucket()
    )
    backend.create()
    data = secrets.token_bytes(300_000)
    backend.save(Handle(FileType.LOCK, handle_of(data).name), data)
    assert waited == 0
    backend.save(handle_of(data), data)
    assert waited > 2.5
    waited = 0
    assert backend.load(handle_of(data)) == data
    assert waited > 2.5
    backend.close()


def test_a_full_disk_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "serve").write_text(f"mount -t tmpfs -o size=2m none {disk} && exec {sftp_server_command()}\n")
    backend = open_direct(disk / "repository", f"unshare --mount sh {tmp_path}/serve")
    backend.create()
    data = secrets.token_bytes(3 << 20)
    with pytest.raises(AccessError, match="no space left on the server") as caught:
        RetryBackend(backend).save(handle_of(data), data)
    assert "Free some space" in caught.value.hint
    small = secrets.token_bytes(1 << 20)
    backend.save(handle_of(small), small)
    assert [info.length for info in backend.list(FileType.PACK)] == [1 << 20]
    backend.close()
