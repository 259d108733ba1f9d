"""Azurite, the vendor's emulator, behind a proxy for the public host name of an account, with a certificate for it."""

import base64
import datetime as dt
import hashlib
import hmac
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from tools.b2_service.front import make_certificates
from tools.place_servers.gates import ConnectGate
from tools.place_servers.place import Place
from tools.place_servers.ports import find_ports
from tools.place_servers.process import ServerProcess

ACCOUNT = "acct"
KEY = base64.b64encode(b"the key of the account, 32 bytes").decode()
HOST = f"{ACCOUNT}.blob.core.windows.net"
_SAS_VERSION = "2020-12-06"


class AzureServer:
    """A server on a port of its own; `folder` has its data, `azurite` the folder with node and its modules."""

    def __init__(self, folder: Path, azurite: Path) -> None:
        (self.port,) = find_ports(1)
        self.gate = ConnectGate(self.port, HOST)
        self.ca_file, self.pair = make_certificates(folder / "certificates", HOST)
        (folder / "data").mkdir(parents=True)
        program = azurite / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        words = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", str(folder / "data")]
        words += [
            "--cert",
            str(self.pair),
            "--key",
            str(self.pair),
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
        ]
        words += ["--oauth", "basic"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
        self._process = ServerProcess([str(azurite / "node"), str(program), *words], folder, self._answers, environment)

    @property
    def runs(self) -> bool:
        """Whether it was started and not ended."""
        return self._process.runs

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a client with the key."""
        return {"AZURE_ACCOUNT_KEY": KEY, **self.way}

    @property
    def way(self) -> dict[str, str]:
        """The variables that lead to the account, without credentials."""
        return {"AZURE_ACCOUNT_NAME": ACCOUNT, "HTTPS_PROXY": self.gate.url}

    def location(self, path: str) -> str:
        """Return the location of a repository at CONTAINER/PREFIX."""
        container, _, prefix = path.partition("/")
        return f"azure:{container}:/{prefix}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process.start()

    def kill(self) -> None:
        """End it; `start` starts it again on the same port. It gets a warning, without which it loses blobs."""
        self._process.stop(signal.SIGTERM)

    def close(self) -> None:
        """End it and its gate."""
        self.kill()
        self.gate.close()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def serve_azure(folder: Path, tools: Path) -> Iterator[Place]:
    """Serve a folder for a with block."""
    server = AzureServer(folder, tools / "azurite")
    server.start()
    try:
        yield Place(server.location("a-container/"), environment=server.environment, ca_file=str(server.ca_file))
    finally:
        server.close()


def make_account_sas(*, permissions: str = "racwdl", types: str = "co", hours: float = 1.0) -> str:
    """Return a shared access signature for the blobs of the account, as the vendor's portal makes it.

    `types` are s, c and o for service, containers and objects.
    """
    expiry = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    signed = "\n".join([ACCOUNT, permissions, "b", types, "", expiry, "", "https", _SAS_VERSION, "", ""])
    signature = hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)
    query = {"sv": _SAS_VERSION, "ss": "b", "srt": types, "sp": permissions, "se": expiry, "spr": "https"}
    return urlencode({**query, "sig": base64.b64encode(signature).decode()})
