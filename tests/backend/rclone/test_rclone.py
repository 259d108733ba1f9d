"""The real rclone, in both ways: it fails to start, is killed, hangs, is interrupted, and ends with its client."""

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pyrestic.backend.location import Access, open_backend, parse_location
from pyrestic.backend.rclone import launchers
from pyrestic.backend.rclone.socket_server import SocketLauncher
from pyrestic.backend.wrap.limit import TokenBucket
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import AccessError, BackendError, SilentError, TransientError, UsageError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.private_bus import wait_until
from tests.support.servers import find_tool
from tools.place_servers.rclone import find_rclone, kill_rclone
from tools.place_servers.sftp import SshServer

pytestmark = pytest.mark.process
CONFIG = Handle(FileType.CONFIG, "")
WAYS = {"socket": {}, "pipes": {"rclone.args": f"{launchers.ARGUMENTS} --cache-objects"}}
both_ways = pytest.mark.parametrize("way", WAYS)


def open_rclone(remote: object, options: Mapping[str, str], **access: object) -> Any:
    environment = {**os.environ, "RCLONE_CONFIG": ""}
    return open_backend(
        parse_location(f"rclone:{remote}"),
        {"rclone.program": str(find_tool("rclone")), **options},
        Access(environment, **access),  # type: ignore[arg-type]
    )


def handle_of(data: bytes) -> Handle:
    return Handle(FileType.PACK, hash_id(data).hex())


@both_ways
def test_rclone_that_is_killed_is_started_again_and_the_work_goes_on(tmp_path: Path, way: str) -> None:
    backend = RetryBackend(open_rclone(tmp_path / "remote", WAYS[way]))
    backend.create()
    contents = [secrets.token_bytes(3_000_000) for _ in range(3)]
    backend.save(handle_of(contents[0]), contents[0])
    for data in contents:
        kill_rclone(str(tmp_path))
        backend.save(handle_of(data), data)
    assert [backend.load(handle_of(data)) for data in contents] == contents
    backend.close()
    assert find_rclone(str(tmp_path)) == []


@both_ways
def test_an_unknown_remote_is_reported_with_the_exit_status_and_the_last_line(tmp_path: Path, way: str) -> None:
    said: list[str] = []
    backend = RetryBackend(open_rclone("nowhere:path", WAYS[way], note=said.append))
    with pytest.raises(AccessError, match=r"rclone ended with exit status 1: Failed to create file system.*nowhere"):
        backend.stat(CONFIG)
    backend.close()
    assert any(line.startswith("rclone: ") and "nowhere" in line for line in said)


@both_ways
def test_a_remote_that_fails_each_request_ends_within_seconds(tmp_path: Path, way: str) -> None:
    # The remote answers, but only root could use it, and not even root can write below a file.
    (tmp_path / "file").touch()
    waits: list[float] = []
    backend = RetryBackend(open_rclone(f"{tmp_path}/file/below", WAYS[way]), sleep=waits.append)
    with pytest.raises(BackendError):
        backend.save(handle_of(b"x"), b"x")
    backend.close()
    assert len(waits) < 5


@both_ways
def test_a_program_that_never_answers_is_given_up(tmp_path: Path, way: str) -> None:
    (tmp_path / "rclone").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "rclone").chmod(0o755)
    options = {**WAYS[way], "rclone.program": str(tmp_path / "rclone"), "rclone.timeout": "500ms"}
    backend = open_rclone(tmp_path, options)
    with pytest.raises(SilentError, match=r"rclone did not answer (within|for) 0\.5 s"):
        RetryBackend(backend).stat(CONFIG)
    backend.close()


@both_ways
def test_a_server_that_hangs_is_given_up_and_replaced(tmp_path: Path, way: str) -> None:
    backend = open_rclone(tmp_path / "remote", WAYS[way])
    backend.create()
    # Only this one: on a busy machine, the next one may take longer to begin.
    client = backend._running.get().backend._client
    (client if way == "pipes" else client._watchdog).__dict__.update(stall_seconds=1.0, _stall_seconds=1.0)
    (process,) = find_rclone(str(tmp_path))
    os.kill(process, signal.SIGSTOP)
    with pytest.raises(SilentError):
        backend.stat(CONFIG)
    backend.save(CONFIG, b"x")
    assert backend.load(CONFIG) == b"x"
    backend.close()


@both_ways
def test_an_interrupt_ends_requests_and_the_start(tmp_path: Path, way: str) -> None:
    backend = RetryBackend(open_rclone(tmp_path / "remote", WAYS[way]))
    backend.create()
    (process,) = find_rclone(str(tmp_path))
    os.kill(process, signal.SIGSTOP)
    threading.Timer(0.3, backend.stop_retrying).start()
    with pytest.raises(TransientError, match="interrupted"):
        backend.stat(CONFIG)
    os.kill(process, signal.SIGCONT)
    backend.close()
    (tmp_path / "rclone").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "rclone").chmod(0o755)
    backend = RetryBackend(open_rclone(tmp_path, {**WAYS[way], "rclone.program": str(tmp_path / "rclone")}))
    threading.Timer(0.3, backend.stop_retrying).start()
    with pytest.raises(TransientError, match="interrupted"):
        backend.stat(CONFIG)
    backend.close()


CLIENT = """
import os, sys, time
from pyrestic.backend.location import *
options = {"rclone.program": sys.argv[1]} | ({"rclone.args": sys.argv[3]} if sys.argv[3:] else {})
backend = open_backend(parse_location("rclone:" + sys.argv[2]), options, Access({**os.environ, "RCLONE_CONFIG": ""}))
backend.create()
print("ready", flush=True)
time.sleep(600)
"""


@both_ways
def test_rclone_ends_when_its_client_is_killed(tmp_path: Path, way: str) -> None:
    words = [sys.executable, "-c", CLIENT, str(find_tool("rclone")), str(tmp_path / "remote"), *WAYS[way].values()]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        assert len(find_rclone(str(tmp_path))) == 1
        client.kill()
    wait_until(lambda: find_rclone(str(tmp_path)) == [], "the end of rclone")


@both_ways
def test_rates_are_limited(tmp_path: Path, way: str) -> None:
    waited = 0.0

    def sleep(seconds: float) -> None:
        nonlocal waited
        waited += seconds

    def bucket() -> TokenBucket:
        return TokenBucket(100_000, clock=lambda: 0.0, sleep=sleep)

    backend = open_rclone(tmp_path / "remote", WAYS[way], upload=bucket(), download=bucket())
    backend.create()
    data = secrets.token_bytes(300_000)
    backend.save(handle_of(data), data)
    assert waited > 2.5
    waited = 0
    assert backend.load(handle_of(data)) == data
    assert waited > 2.5
    backend.close()


def test_the_socket_is_in_a_folder_of_its_own_that_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    backend = open_rclone(tmp_path / "remote", {})
    backend.create()
    (folder,) = tmp_path.glob("pyrestic-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    backend.close()
    assert list(tmp_path.glob("pyrestic-*")) == []
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    backend = open_rclone(tmp_path / "remote", {})
    backend.create()
    assert list(deep.iterdir()) == []
    backend.close()


def test_an_rclone_that_knows_no_sockets_serves_on_its_pipes(tmp_path: Path) -> None:
    """Debian 12 has such a one; here a script speaks as it does."""
    script = tmp_path / "rclone"
    fails = 'echo "Failed to restic: listen tcp: address tcp////x: unknown port" >&2; exit 1'
    script.write_text(f'#!/bin/sh\ncase "$*" in *--addr*) {fails};; esac\nexec {find_tool("rclone")} "$@"\n')
    script.chmod(0o755)
    backend = open_rclone(tmp_path / "remote", {"rclone.program": str(script)})
    backend.create()
    backend.save(CONFIG, b"x")
    assert backend.load(CONFIG) == b"x"
    backend.close()


def launcher(program: str, arguments: str) -> Any:
    return launchers.find_launcher("remote:path", program, arguments, 5, Access(), 60)


def test_only_the_plain_program_is_started_as_a_server_on_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = type(launcher("", ""))
    assert type(launcher("/opt/bin/rclone", launchers.ARGUMENTS)) is plain
    for program, arguments in [("ssh host rclone", ""), ("", "serve restic --stdio"), ("/opt/bin/wrapper", "")]:
        found = launcher(program, arguments)
        assert not isinstance(found, plain | SocketLauncher)
        assert found._words[-1] == "remote:path"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert type(launcher("", "")) is plain
    with pytest.raises(UsageError, match="need the package h2") as caught:
        launcher("ssh host rclone", "")
    assert "pyrestic[rclone]" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"rclone.timeout": "5"}, r"rclone\.timeout.*missing unit"),
        ({"rclone.program": "'rclone"}, r"rclone\.program.*not terminated"),
        ({"rclone.args": '"'}, r"rclone\.args.*not terminated"),
        ({"rclone.connections": "0"}, r"rclone\.connections"),
        ({"rclone.argz": "x"}, r"rclone\.argz is not known"),
    ],
)
def test_options_are_checked_before_anything_starts(options: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        open_backend(parse_location("rclone:remote:path"), options)


def test_an_rclone_behind_a_forced_command_of_ssh_only_adds(tmp_path: Path) -> None:
    server = SshServer(tmp_path / "server", find_tool("openssh"))
    keys = tmp_path / "server" / "key.pub"
    command = f"RCLONE_CONFIG= {find_tool('rclone')} serve restic --stdio --append-only {tmp_path}/remote"
    keys.write_text(f'restrict,command="{command}" {keys.read_text()}')
    server.start()
    try:
        program = f"ssh -F {server.client_settings} -p {server.port} 127.0.0.1 rclone"
        backend = open_rclone("any", {"rclone.program": program})
        backend.create()
        backend.save(handle_of(b"x"), b"x")
        assert backend.load(handle_of(b"x")) == b"x"
        with pytest.raises(AccessError, match="the server refuses it"):
            backend.remove(handle_of(b"x"))
        backend.close()
    finally:
        server.kill()
