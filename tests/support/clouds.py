"""Real servers for swift:, gs: and azure:, which live as long as the tests run."""

import atexit
import functools
import itertools
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pyrestic.backend.http_settings import HttpSettings, read_proxies
from pyrestic.backend.location import Access, open_backend, parse_location
from pyrestic.backend.objects import ObjectBackend
from tests.support.servers import find_tool
from tools.place_servers.azure import AzureServer
from tools.place_servers.gs import GoogleServer
from tools.place_servers.swift import SwiftServer

CONTAINER = "a-container"
CLOUDS = ("swift", "gs", "azure")
Cloud = SwiftServer | GoogleServer | AzureServer

_numbers = itertools.count()


def make_cloud(kind: str, folder: Path) -> Cloud:
    """Return a server that is not started; its data is in the folder."""
    if kind == "swift":
        return SwiftServer(folder, find_tool("swift"))
    if kind == "gs":
        return GoogleServer(folder, find_tool("fake-gcs-server"))
    return AzureServer(folder, find_tool("azurite"))


@functools.cache
def shared_cloud(kind: str) -> Cloud:
    """Return the server of a kind; start it on the first call."""
    folder = Path(tempfile.mkdtemp(prefix=f"{kind}-"))
    server = make_cloud(kind, folder)
    server.start()

    def end() -> None:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return server


def open_cloud(
    server: Cloud,
    path: str,
    *,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    stall_seconds: float = 20.0,
) -> ObjectBackend:
    """Return our backend for CONTAINER/PREFIX on a server; `environment` takes the place of its variables."""
    its = server.environment if environment is None else environment
    ca_files = (str(server.ca_file),) if isinstance(server, AzureServer) else ()
    settings = HttpSettings(ca_files=ca_files, proxies=read_proxies(its), stall_seconds=stall_seconds)
    backend = open_backend(parse_location(server.location(path)), options or {}, Access(its, settings))
    assert isinstance(backend, ObjectBackend)
    return backend


def new_path() -> str:
    """Return CONTAINER/PREFIX of an empty place."""
    return f"{CONTAINER}/r{next(_numbers)}"


def open_shared_cloud(kind: str) -> ObjectBackend:
    """Return a backend on an empty place of the shared server of a kind."""
    return open_cloud(shared_cloud(kind), new_path())
