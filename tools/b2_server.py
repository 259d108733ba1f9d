"""A B2 service on loopback, for tests and trials; it keeps everything in one folder.

    python3 tools/b2_server.py FOLDER            # prints how pyrestic and the real restic get there; Ctrl-C ends it

It speaks the native API that pyrestic, restic, rclone and b2sdk use, as strictly as the real one, and can be told to
fail in many ways (tools/b2_service/faults.py). Nothing leaves this machine.
"""

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.b2_service.access import Access
from tools.b2_service.counters import Counters
from tools.b2_service.faults import Faults
from tools.b2_service.front import Front
from tools.b2_service.server import Server
from tools.b2_service.service import Service
from tools.b2_service.store import ALL_CAPABILITIES, Store


class B2Server:
    """A running service; use it in a with block. `clock` returns seconds since 1970, for the times of uploads."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        proxy_port: int = 0,
        with_control: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.faults = Faults()
        self.store = Store(folder, clock)
        self.service = Service(self.store, self.faults, Access(self.store, self.faults))
        self._server = Server(port, self.service, with_control=with_control)
        self.url = self.service.url
        self._proxy_port = proxy_port
        self._front: Front | None = None
        master = next((key for key in self.store.all_keys() if key.name == "master"), None)
        master = master or self.store.add_key("master", ALL_CAPABILITIES)
        self.master_id, self.master_key = master.id, master.secret
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True, name="b2-server"
        )
        self._thread.start()

    def __enter__(self) -> "B2Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the service; the folder stays."""
        self._server.stopped.set()
        if self._front is not None:
            self._front.stop()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.store.close()

    @property
    def counters(self) -> Counters:
        """What was asked for so far."""
        return self._server.counters

    @property
    def front(self) -> Front:
        """The proxy for the real restic, started when it is first wanted."""
        if self._front is None:
            self._front = Front(self._proxy_port, self._server, self._folder / "certificates")
        return self._front

    def add_key(self, capabilities: Iterable[str], *, bucket: str | None = None, prefix: str = "") -> tuple[str, str]:
        """Return ID and secret of a new key, limited to a bucket (by name) and a prefix if given."""
        ids = [found.id for found in self.store.buckets() if found.name == bucket]
        key = self.store.add_key("key", tuple(capabilities), tuple(ids) if bucket else None, prefix)
        return key.id, key.secret

    def environment(self) -> dict[str, str]:
        """Return the variables by which pyrestic and the real restic get in with the master key."""
        return {"B2_ACCOUNT_ID": self.master_id, "B2_ACCOUNT_KEY": self.master_key}

    def real_restic_environment(self) -> dict[str, str]:
        """Return the variables by which the real restic, which knows the public host alone, is led here."""
        front = self.front
        return {**self.environment(), "HTTPS_PROXY": front.url, "RESTIC_CACERT": str(front.ca_file)}


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A B2 service on loopback.")
    parser.add_argument("folder", type=Path, help="where everything is kept")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--proxy-port", type=int, default=0)
    parser.add_argument("--control", action="store_true", help="let faults be set and counters read under /_control/")
    arguments = parser.parse_args()
    # Who starts it in the background of a script has it ignore Ctrl-C otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        B2Server(
            arguments.folder, port=arguments.port, proxy_port=arguments.proxy_port, with_control=arguments.control
        ) as server,
    ):
        print(f"B2 on {server.url}, kept in {arguments.folder}. For pyrestic, with -o b2.endpoint={server.url}:")
        for name, value in server.environment().items():
            print(f"export {name}={value}")
        print("and for the real restic (0.14 wants --cacert FILE instead of the last one):")
        for name, value in server.real_restic_environment().items():
            if name not in server.environment():
                print(f"export {name}={value}")
        sys.stdout.flush()
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
