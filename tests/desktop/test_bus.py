"""The bus that is not there, does not answer, or is none: everything is unknown, and soon."""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrestic.desktop import bus as bus_module
from pyrestic.desktop.bus import find_session_bus, find_system_bus, open_bus
from pyrestic.desktop.keyring import delete_secret, read_secret, store_secret
from pyrestic.desktop.network import NetworkFacts, ask_network
from pyrestic.desktop.notify import show_notification
from pyrestic.desktop.sleep import hold_sleep_off, watch_sleep
from pyrestic.errors import DesktopError, NoServiceError

Talk = Callable[[socket.socket], None]


def authenticate(peer: socket.socket) -> None:
    received = b""
    while b"BEGIN" not in received:
        data = peer.recv(1000)
        if not data:
            return
        received += data
        if data.endswith(b"\r\n") and b"AUTH" in data:
            peer.sendall(b"OK 0123456789abcdef\r\n")
        if b"NEGOTIATE" in data:
            peer.sendall(b"AGREE_UNIX_FD\r\n")


def say_nothing(peer: socket.socket) -> None:
    peer.recv(1000)


def refuse(peer: socket.socket) -> None:
    peer.recv(1000)
    peer.sendall(b"REJECTED EXTERNAL\r\n")


def be_silent_once_greeted(peer: socket.socket) -> None:
    authenticate(peer)


def talk_nonsense(peer: socket.socket) -> None:
    authenticate(peer)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50)


def hang_up(peer: socket.socket) -> None:
    authenticate(peer)
    peer.shutdown(socket.SHUT_RDWR)


@pytest.fixture(params=[say_nothing, refuse, be_silent_once_greeted, talk_nonsense, hang_up])
def bad_bus(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A socket where something other than a bus listens."""
    monkeypatch.setattr(bus_module, "LIMIT_SECONDS", 0.05)
    talk: Talk = request.param
    path = os.path.relpath(tmp_path / "bus")  # A socket's path must be short.
    peers = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                peers.append(peer)
                try:
                    talk(peer)
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix:path={path}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for peer in peers:
        peer.close()


def check_that_nothing_is_known(address: str) -> None:
    assert ask_network(address) == NetworkFacts(None, None)
    with hold_sleep_off(address, "backup") as why_not:
        assert why_not
    with watch_sleep(address) as signals:
        assert signals.fileno() == -1
        assert signals.wait(0.0) is None
    for use in (
        lambda: show_notification(address, "title", "text"),
        lambda: read_secret(address, "home", "password"),
        lambda: store_secret(address, "home", "password", "a secret word"),
        lambda: delete_secret(address, "home", "password"),
    ):
        with pytest.raises(NoServiceError) as caught:
            use()
        assert "a secret word" not in str(caught.value)


def test_nothing_is_known_from_what_is_no_bus(bad_bus: str) -> None:
    check_that_nothing_is_known(bad_bus)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nonsense",
        "unix:path=/nonexistent/bus",
        "unixexec:path=/bin/true",
        "tcp:host=127.0.0.1,port=1",
        "unix:x",
        "a:",
    ],
)
def test_nothing_is_known_where_the_address_leads_to_no_bus(address: str) -> None:
    check_that_nothing_is_known(address)


@pytest.mark.parametrize("missing", ["jeepney.bus", "jeepney.io.blocking"])
def test_nothing_is_known_without_the_library(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, "secretstorage", None)
    check_that_nothing_is_known("unix:path=/nonexistent/bus")
    with pytest.raises(NoServiceError) as caught, open_bus("unix:path=/nonexistent/bus"):
        pass
    assert "desktop" in caught.value.hint


def test_a_missing_service_is_an_error_of_the_desktop() -> None:
    assert issubclass(NoServiceError, DesktopError)


def test_the_bus_of_a_user_is_found_where_no_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"/run/user/1000/bus"}
    monkeypatch.setattr(os.path, "exists", lambda path: path in there)
    named = {"DBUS_SESSION_BUS_ADDRESS": "unix:abstract=/tmp/dbus-1"}
    assert find_session_bus(named, 1000) == "unix:abstract=/tmp/dbus-1"
    assert find_session_bus({}, 1000) == "unix:path=/run/user/1000/bus"
    assert find_session_bus({}, 1001) == ""


def test_the_bus_of_the_system_has_one_usual_place() -> None:
    assert find_system_bus({}) == "unix:path=/run/dbus/system_bus_socket"
    assert find_system_bus({"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/elsewhere"}) == "unix:path=/elsewhere"
