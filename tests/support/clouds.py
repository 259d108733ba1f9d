"""Real servers for swift:, gs: and azure:, which live as long as the tests run."""

import atexit
import contextlib
import functools
import itertools
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pyrestic.backend.http_settings import HttpSettings, read_proxies
from pyrestic.backend.location import Access, open_backend, parse_location
from pyrestic.backend.objects import ObjectBackend
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.servers import find_tool
from tools.place_servers.azure import AzureServer
from tools.place_servers.gates import ConnectGate
from tools.place_servers.gs import GoogleServer
from tools.place_servers.place import Place
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


@contextlib.contextmanager
def faulty_cloud(kind: str, folder: Path) -> Iterator[tuple[FaultyProxy, Place, Callable[[], Place]]]:
    """Run a proxy in front of a server; yield it, a place behind it, and a function to the same place without it.

    After that function was called the proxy may lead nowhere.
    """
    with contextlib.ExitStack() as stack:
        if kind == "gs":
            # It knows the address that clients use.
            proxies: list[FaultyProxy] = []

            def find_front(address: str) -> str:
                proxies.append(stack.enter_context(faulty_proxy(address)))
                return proxies[0].address

            server: Cloud = GoogleServer(folder, find_tool("fake-gcs-server"), find_front)
            server.start()
            stack.callback(server.close)
            place = Place(server.location(f"{new_path()}/"), environment=server.environment)

            def restart() -> Place:
                server.close()
                again = GoogleServer(folder, find_tool("fake-gcs-server"))
                again.start()
                stack.callback(again.close)
                return replace(place, environment=again.environment)

            yield proxies[0], place, restart
            return
        server = shared_cloud(kind)
        location = server.location(f"{new_path()}/")
        if isinstance(server, AzureServer):
            own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            own.load_cert_chain(server.pair)
            far = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            far.check_hostname, far.verify_mode = False, ssl.CERT_NONE
            proxy = stack.enter_context(faulty_proxy(f"127.0.0.1:{server.port}", server_tls=own, target_tls=far))
            gate = ConnectGate(int(proxy.address.rpartition(":")[2]), server.gate.host)
            stack.callback(gate.close)
            environment = {**server.environment, "HTTPS_PROXY": gate.url}
            place = Place(location, environment=environment, ca_file=str(server.ca_file))
        else:
            assert isinstance(server, SwiftServer)
            proxy = stack.enter_context(faulty_proxy(server.address))
            environment = {**server.environment, "ST_AUTH": f"http://{proxy.address}/auth/v1.0"}
            place = Place(location, environment=environment)
        yield proxy, place, lambda: replace(place, environment=server.environment)


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
