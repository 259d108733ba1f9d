"""Serves one kind of place on loopback by a real server, until Ctrl-C, and prints how to use it.

    python3 tools/places.py sftp             # below a folder that is removed at the end
    python3 tools/places.py sftp FOLDER      # below this one, which stays
    python3 tools/places.py rclone
    python3 tools/places.py s3

The programs are those of tools/install_restic.py and tools/install_servers.py in `.tools/`; what is missing is
fetched first.
"""

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import install_restic, install_servers  # noqa: E402 - the checkout need not be installed
from tools.place_servers.azure import serve_azure  # noqa: E402 - as above
from tools.place_servers.gs import serve_gs  # noqa: E402 - as above
from tools.place_servers.place import Place  # noqa: E402 - as above
from tools.place_servers.rclone import serve_rclone  # noqa: E402 - as above
from tools.place_servers.s3 import serve_s3  # noqa: E402 - as above
from tools.place_servers.sftp import serve_sftp  # noqa: E402 - as above
from tools.place_servers.swift import serve_swift  # noqa: E402 - as above

Serve = Callable[[Path, Path], AbstractContextManager[Place]]
"""Serves a folder for a with block; the second path has the tools."""

PLACES: dict[str, tuple[tuple[str, ...], Serve]] = {
    "azure": (("azurite",), serve_azure),
    "gs": (("fake-gcs-server",), serve_gs),
    "rclone": (("rclone",), serve_rclone),
    "s3": (("weed",), serve_s3),
    "sftp": (("openssh",), serve_sftp),
    "swift": (("swift",), serve_swift),
}
"""The tools that each kind of place needs, and what serves it."""


def main() -> int:
    """Serve what the arguments name."""
    name, *more = sys.argv[1:] or [""]
    if name not in PLACES or len(more) > 1:
        print(f"usage: places.py {'|'.join(PLACES)} [FOLDER]", file=sys.stderr)
        return 2
    tools, serve = PLACES[name]
    try:
        install_restic.install(tuple(tool for each in tools for tool in install_restic.OTHERS.get(each, ())))
        for each in install_servers.SERVERS.keys() & tools:
            install_servers.install_server(each)
    except install_restic.InstallError as error:
        print(error, file=sys.stderr)
        return 1
    with _folder(more) as folder, serve(folder, install_restic.TOOLS) as place:
        print(place.show(), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


@contextmanager
def _folder(named: list[str]) -> Iterator[Path]:
    if named:
        Path(named[0]).mkdir(parents=True, exist_ok=True)
        yield Path(named[0]).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="place-") as made:
        yield Path(made)


if __name__ == "__main__":
    sys.exit(main())
