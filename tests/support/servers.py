"""Real REST servers on loopback: Debian's rest-server and `rclone serve restic`."""

import atexit
import functools
import itertools
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.install_servers import SERVERS

ROOT = Path(__file__).resolve().parent.parent.parent
_ADDRESS = re.compile(rb"(?:start server on|restic REST API on|Serving restic).*?((?:127\.0\.0\.1|\[::1\]):\d+)")


def find_tool(name: str) -> Path:
    """Return a program of .tools; without it the test is skipped, in CI it fails."""
    path = Path(os.environ.get("PYRESTIC_TEST_TOOLS", ROOT / ".tools")) / name
    if not path.exists():
        installer = "install_servers.py" if name in SERVERS else "install_restic.py"
        message = f"{name} is not installed: run python3 tools/{installer} {name}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


@dataclass
class Server:
    """A server process; `address` is host:port, or "" if it listens on a socket."""

    process: "subprocess.Popen[bytes]"
    address: str

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def url(self, path: str) -> str:
        """Return the location of a repository as restic writes it."""
        return f"rest:http://{self.address}/{path}/"


def start_server(command: Sequence[str | Path], home: Path, socket: Path | None = None) -> Server:
    """Start a server and wait until it says where it listens."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)}
    process = subprocess.Popen(
        [str(word) for word in command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    if socket is not None:
        _wait_for(socket)
        threading.Thread(target=process.stdout.read, daemon=True).start()
        return Server(process, "")
    killer = threading.Timer(30, process.kill)
    killer.start()
    said = b""
    for line in process.stdout:
        said += line
        if match := _ADDRESS.search(line):
            killer.cancel()
            # What it says later must not fill the pipe.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return Server(process, match[1].decode())
    killer.cancel()
    process.wait(10)
    raise AssertionError(f"{command[0]} did not start: {said.decode(errors='replace')}")


def _wait_for(socket: Path) -> None:
    deadline = time.monotonic() + 30
    while not socket.exists():
        assert time.monotonic() < deadline, f"{socket} did not appear"
        time.sleep(0.01)


def start_rest_server(folder: Path, *flags: str, socket: Path | None = None) -> Server:
    """Start Debian's rest-server on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    listen = f"unix:{socket}" if socket else "127.0.0.1:0"
    command: list[str | Path] = [find_tool("rest-server"), "--path", folder, "--listen", listen, *flags]
    return start_server(command, folder, socket)


def start_rclone(folder: Path, *flags: str) -> Server:
    """Start `rclone serve restic` on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [
        find_tool("rclone"),
        "--config",
        "",
        "serve",
        "restic",
        "-v",
        "--addr",
        "127.0.0.1:0",
        *flags,
        folder,
    ]
    return start_server(command, folder)


_numbers = itertools.count()


@functools.cache
def _shared(kind: str) -> Server:
    folder = Path(tempfile.mkdtemp(prefix=f"{kind}-"))
    server = start_rest_server(folder, "--no-auth", "--no-verify-upload") if kind == "rest" else start_rclone(folder)
    atexit.register(server.stop)
    return server


def shared_location(kind: str) -> str:
    """Return a new location on a server of kind "rest" or "rclone" that lives as long as the tests run."""
    return _shared(kind).url(f"r{next(_numbers)}")
