"""Half-sent requests and slow readers: they end, and visitors who were let in do not notice them."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.backend.local import LocalBackend
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import SnapshotFilter
from pyrestic.web.access import ServerSecrets
from pyrestic.web.addresses import short_id
from pyrestic.web.app import make_app
from pyrestic.web.connections import Limits
from pyrestic.web.guard import RequestGuard
from pyrestic.web.jobs import Restores, TargetRules
from pyrestic.web.render import Renderer
from pyrestic.web.server import make_server, open_socket
from pyrestic.web.site import Site
from tests.support.cli import Caller
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program, find_pyrestic
from tests.support.webserver import WebServer, serving
from tests.web.test_safety import newest

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Wait: "
QUICK = Limits(strangers=20, stranger_seconds=1.5, request_seconds=1.0, stall_seconds=1.0)


class Running:
    """A server in a thread of this process, and the cookie that lets in; it shows a site or answers by itself."""

    def __init__(self, limits: Limits, site: Site | None = None) -> None:
        listener = open_socket("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        access = ServerSecrets(self.port)
        renderer = Renderer({"title": "", "repository_id": ""})
        self.ended = threading.Event()
        app = RequestGuard(self.answer, access, renderer, NullReporter())
        if site is not None:
            app = make_app(site, access, Restores(site.repository, TargetRules(), NullReporter()))
        self.server = make_server(app, access, limits)
        self.cookie = f"{access.cookie_name}={access.trade(access.token)}"
        self._thread = threading.Thread(target=lambda: self.server.run(sockets=[listener]), daemon=True)
        self._thread.start()

    async def answer(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """Answer with far more than buffers hold at /much, with a word elsewhere."""
        if scope["type"] == "lifespan":
            for said in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{said}.complete"})
            return
        while scope["method"] == "POST" and (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for _ in range(200 if scope["path"] == "/much" else 0):
                await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
            await send({"type": "http.response.body", "body": b"a word"})
        finally:
            self.ended.set()

    def connect(self, *pieces: bytes) -> socket.socket:
        """Return a new connection on which something was sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        for piece in pieces:
            connection.sendall(piece)
        return connection

    def request(self, path: str, *more: str, method: str = "GET") -> bytes:
        """Return a request with the cookie."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Cookie: {self.cookie}", *more]
        return "\r\n".join([*lines, "", ""]).encode()

    def stop(self) -> None:
        """End the server."""
        self.server.should_exit = True
        self._thread.join(30)


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running(QUICK)
    yield made
    made.stop()


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the connection ends."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            data += piece
    return data


def drip(connection: socket.socket) -> float:
    """Send a byte now and then until that fails, and return after how many seconds it did."""
    started = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - started < 30:
            connection.sendall(b"x")
            time.sleep(0.1)
    return time.monotonic() - started


@pytest.mark.parametrize("sent", [b"", b"G", HALF, b"\x16\x03\x01"])
def test_half_a_request_of_a_stranger_ends(running: Running, sent: bytes) -> None:
    connection = running.connect(sent)
    assert b"200 OK" not in read_all(connection)
    assert drip(running.connect(HALF)) < 20


def test_half_a_request_of_a_visitor_ends_in_its_head_and_in_its_body(running: Running) -> None:
    own = f"Origin: http://127.0.0.1:{running.port}"
    for half in (
        running.request("/")[:-2] + b"X-Wait: ",
        running.request("/", "Content-Length: 60000", own, method="POST"),
        # A request that is answered before, on the same connection.
        running.request("/") + HALF,
    ):
        assert drip(running.connect(half)) < 20


def test_an_answer_that_nobody_reads_ends_and_holds_nothing(running: Running) -> None:
    connection = running.connect(running.request("/much"))
    assert connection.recv(10) == b"HTTP/1.1 2"
    assert running.ended.wait(30)
    assert len(read_all(connection)) < 100 << 20


def test_an_answer_that_is_read_slowly_but_steadily_is_sent(running: Running) -> None:
    connection = running.connect(running.request("/much", "Connection: close"))
    length = 0
    for _ in range(15):
        length += len(connection.recv(1 << 20, socket.MSG_WAITALL))
        time.sleep(0.2)
    while piece := connection.recv(1 << 20):
        length += len(piece)
    assert length > 200 << 20


def test_too_many_strangers_make_room_for_the_next_one_and_never_a_visitor(running: Running) -> None:
    visitor = running.connect(running.request("/"))
    assert visitor.recv(10) == b"HTTP/1.1 2"
    strangers = [running.connect(HALF) for _ in range(60)]
    visitor.sendall(running.request("/"))
    fresh = running.connect(running.request("/", "Connection: close"))
    assert b"a word" in read_all(fresh)
    visitor.sendall(running.request("/", "Connection: close"))
    assert read_all(visitor).count(b"200 OK") >= 2
    assert read_all(strangers[0]) == b""
    for connection in strangers:
        connection.close()


@pytest.mark.process
def test_archives_that_nobody_reads_end_with_their_threads_and_leave_room_for_others(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "large").write_bytes(bytes(range(256)) * 64_000)
    call("backup", "source")
    repository = Repository.open(LocalBackend(str(call.repository)), call.environment["RESTIC_PASSWORD"])
    repository.load_index(NullReporter())
    site = Site(repository, SnapshotFilter(), NullReporter(), title="")
    (stored,) = site.catalog.snapshots()
    running = Running(QUICK, site)
    try:
        target = f"/archive/{short_id(stored)}/source?as=tar"
        stuck = [running.connect(running.request(target)) for _ in range(3)]
        for connection in stuck:
            assert connection.recv(10) == b"HTTP/1.1 2"
        assert b"503 " in running.connect(running.request(target)).recv(20)
        deadline = time.monotonic() + 30
        while any(thread.name == "archive" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        whole = running.connect(running.request(target, "Connection: close"))
        assert len(read_all(whole)) > 16_384_000
        for connection in stuck:
            assert len(read_all(connection)) < 16_384_000
    finally:
        running.stop()
        site.close()
        repository.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    folder = tmp_path_factory.mktemp("served")
    repository = make_quick_repository(folder / "repository")
    program: Program = find_pyrestic(folder)
    (folder / "file").write_bytes(bytes(range(256)) * 100)
    program.run("backup", folder / "file", repository=repository)
    with serving(program, repository) as server:
        server.enter()
        yield server


@pytest.mark.process
def test_five_hundred_half_open_connections_keep_no_visitor_out(served: WebServer) -> None:
    held = []
    try:
        for number in range(500):
            connection = socket.create_connection(("127.0.0.1", served.port), timeout=30)
            with contextlib.suppress(OSError):
                connection.sendall(HALF if number % 2 else b"")
            held.append(connection)
        for _ in range(10):
            started = time.monotonic()
            assert served.request("/").status == 200
            assert time.monotonic() - started < 10
        place = newest(served)
        assert served.request(f"/files/{place}?stay=1").status == 200
        stranger = served.request("/", headers={"Cookie": ""})
        assert stranger.status == 403
    finally:
        for connection in held:
            connection.close()
    assert served.request("/").status == 200
