"""SeaweedFS with its S3 gateway: a production server that checks signatures, with one key."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.place_servers.place import Place
from tools.place_servers.ports import find_ports

READY_SECONDS = 60.0
KEY_ID = "a-key"
SECRET = "its-secret"
_GRPC = 10_000
"""The server adds this to each port for a second one."""


class SeaweedServer:
    """A server on a port of its own; `folder` has its data, `weed` is its program."""

    def __init__(self, folder: Path, weed: Path) -> None:
        self._folder = folder
        self._weed = weed
        self._ports = find_ports(4, also=_GRPC)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port of the S3 gateway."""
        return f"127.0.0.1:{self._ports[3]}"

    @property
    def runs(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    @property
    def environment(self) -> dict[str, str]:
        """The variables with the key of a client."""
        return {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}

    def location(self, path: str) -> str:
        """Return the location of a repository at BUCKET/PREFIX."""
        return f"s3:http://{self.address}/{path}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        keys = self._folder / "keys.json"
        credentials = [{"accessKey": KEY_ID, "secretKey": SECRET}]
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        keys.write_text(json.dumps({"identities": [{"name": "t", "credentials": credentials, "actions": actions}]}))
        master, volume, filer, s3 = self._ports
        words: dict[str, object] = {
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": data,
            "master.port": master,
            "master.volumeSizeLimitMB": 128,
            "volume.port": volume,
            "volume.max": 100,
            "filer.port": filer,
            "s3.port": s3,
            "s3.config": keys,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
        }
        command = [str(self._weed), "server", "-filer", "-s3", *(f"-{name}={value}" for name, value in words.items())]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "GOMAXPROCS": "2"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End it without warning; `start` starts it again on the same ports."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.address}/", timeout=2).close()
        except urllib.error.HTTPError as error:
            # It lists no buckets for someone without a key.
            return error.code == 403
        except OSError:
            return False
        return True


@contextmanager
def serve_s3(folder: Path, tools: Path) -> Iterator[Place]:
    """Serve a folder for a with block."""
    server = SeaweedServer(folder, tools / "weed")
    server.start()
    try:
        yield Place(server.location("bucket/"), environment=server.environment)
    finally:
        server.kill()
