"""fake-gcs-server behind a gate that asks for an access token, as it asks for none itself."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.place_servers.gates import TokenGate
from tools.place_servers.place import Place
from tools.place_servers.ports import find_ports
from tools.place_servers.process import ServerProcess

TOKEN = "an-access-token"
PROJECT = "a-project"


class GoogleServer:
    """A server on ports of its own; `folder` has its data, `program` is fake-gcs-server.

    `find_front` returns the address that clients use for that of the gate, if there is something in front of it.
    """

    def __init__(self, folder: Path, program: Path, find_front: Callable[[str], str] = str) -> None:
        (port,) = find_ports(1)
        self.gate = TokenGate(port, {TOKEN})
        self.address = find_front(f"127.0.0.1:{self.gate.port}")
        self._port = port
        data = folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        words = {
            "host": "127.0.0.1",
            "port": port,
            "scheme": "http",
            "backend": "filesystem",
            "filesystem-root": data,
            "data": "",
            "public-host": self.address,
            "external-url": f"http://{self.address}",
            "log-level": "warn",
        }
        command = [str(program), *(word for name, value in words.items() for word in (f"-{name}", str(value)))]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GOMAXPROCS": "2"}
        self._process = ServerProcess(command, folder, self._answers, environment)

    @property
    def runs(self) -> bool:
        """Whether it was started and not ended."""
        return self._process.runs

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a client with a token."""
        return {"GOOGLE_ACCESS_TOKEN": TOKEN, "GOOGLE_PROJECT_ID": PROJECT, "STORAGE_EMULATOR_HOST": self.address}

    def location(self, path: str) -> str:
        """Return the location of a repository at BUCKET/PREFIX."""
        bucket, _, prefix = path.partition("/")
        return f"gs:{bucket}:/{prefix}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process.start()

    def kill(self) -> None:
        """End it without warning; `start` starts it again on the same ports."""
        self._process.stop(signal.SIGKILL)

    def close(self) -> None:
        """End it and its gate."""
        self.kill()
        self.gate.close()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def serve_gs(folder: Path, tools: Path) -> Iterator[Place]:
    """Serve a folder for a with block."""
    server = GoogleServer(folder, tools / "fake-gcs-server")
    server.start()
    try:
        yield Place(server.location("a-container/"), environment=server.environment)
    finally:
        server.close()
