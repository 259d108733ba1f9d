"""OpenStack Swift with one account, by which clients sign in with version 1 (tempauth)."""

import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.place_servers.place import Place
from tools.place_servers.ports import find_ports
from tools.place_servers.process import ServerProcess

USER = "user"
KEY = "a-key"
_PROGRAM = Path(__file__).with_name("swift_process.py")


class SwiftServer:
    """A server on ports of its own; `folder` has its data, `packages` is the folder with Swift itself."""

    def __init__(self, folder: Path, packages: Path, *, token_seconds: int = 86400) -> None:
        self.ports = find_ports(4)
        arguments = [*map(str, self.ports), USER, KEY, str(token_seconds)]
        # Without its own folder on the path, where this module has the name of the package.
        command = [sys.executable, "-P", str(_PROGRAM), str(folder), *arguments]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages), "HOME": str(folder)}
        self._process = ServerProcess(command, folder, self._answers, environment)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def runs(self) -> bool:
        """Whether it was started and not ended."""
        return self._process.runs

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a client signs in."""
        return {"ST_AUTH": f"http://{self.address}/auth/v1.0", "ST_USER": f"test:{USER}", "ST_KEY": KEY}

    def location(self, path: str) -> str:
        """Return the location of a repository at CONTAINER/PREFIX."""
        container, _, prefix = path.partition("/")
        return f"swift:{container}:/{prefix}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process.start()

    def kill(self) -> None:
        """End it without warning; `start` starts it again on the same ports."""
        self._process.stop(signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        self.kill()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/healthcheck", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def serve_swift(folder: Path, tools: Path) -> Iterator[Place]:
    """Serve a folder for a with block."""
    server = SwiftServer(folder, tools / "swift")
    server.start()
    try:
        yield Place(server.location("a-container/"), environment=server.environment)
    finally:
        server.close()
