"""Network, sleep and notifications, with the services of python-dbusmock on a bus of our own."""

import gc
import os
from pathlib import Path

import pytest

from pyrestic.desktop.bus import Service
from pyrestic.desktop.network import NetworkFacts, ask_network
from pyrestic.desktop.notify import show_notification
from pyrestic.desktop.sleep import hold_sleep_off, watch_sleep
from pyrestic.errors import NoServiceError
from tests.support.private_bus import PrivateBus, running_bus

pytestmark = pytest.mark.process

NETWORK = ("org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager")
LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1")
NOTICES = ("org.freedesktop.Notifications", "/org/freedesktop/Notifications")
CONNECTED, INFRASTRUCTURE = 100, 2


@pytest.fixture(scope="module")
def network(bus: PrivateBus) -> PrivateBus:
    bus.mock("networkmanager", NETWORK[0])
    return bus


@pytest.fixture(scope="module")
def logind(bus: PrivateBus) -> PrivateBus:
    bus.mock("logind", LOGIND[0])
    return bus


@pytest.fixture(scope="module")
def desktop(bus: PrivateBus) -> PrivateBus:
    bus.mock("notification_daemon", NOTICES[0])
    return bus


def test_only_yes_and_a_guessed_yes_are_metered(network: PrivateBus) -> None:
    assert ask_network(network.address).is_metered is None
    network.control(*NETWORK, "AddProperty", "ssv", NETWORK[0], "Metered", ("u", 0))
    found = []
    for value in range(5):
        network.control(*NETWORK, "UpdateProperties", "sa{sv}", NETWORK[0], {"Metered": ("u", value)})
        found.append(ask_network(network.address).is_metered)
    assert found == [None, True, False, True, False]


def test_active_connections_are_known_by_name(network: PrivateBus) -> None:
    assert ask_network(network.address).connections == frozenset()

    def add(method: str, signature: str, *arguments: object) -> str:
        (path,) = network.control(*NETWORK, method, signature, *arguments)
        return str(path)

    device = add("AddWiFiDevice", "ssi", "wlan0", "wlan0", CONNECTED)
    radio = (INFRASTRUCTURE, 2425, 5400, 82, 0)
    point = add("AddAccessPoint", "ssssuuuyu", device, "ap", "Café", "00:23:f8:7e:12:bb", *radio)
    connection = add("AddWiFiConnection", "ssss", device, "one", "Café", "")
    add("AddActiveConnection", "assssu", [device], connection, point, "active", 2)
    assert ask_network(network.address).connections == frozenset({"Café"})


def test_nothing_is_known_of_a_network_without_networkmanager(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus:
        assert ask_network(bus.address) == NetworkFacts(None, None)


def inhibitors(bus: PrivateBus) -> list[tuple[str, ...]]:
    (found,) = bus.call(Service(*LOGIND, f"{LOGIND[0]}.Manager"), "ListInhibitors")
    return [tuple(one[:4]) for one in found]


def test_sleep_is_held_off_as_long_as_the_block_lasts(logind: PrivateBus) -> None:
    with hold_sleep_off(logind.address, "backup of home") as why_not:
        assert why_not == ""
        assert inhibitors(logind) == [("sleep:idle", "pyrestic", "backup of home", "block")]
    # Whoever holds the other end sees the descriptor close.
    while inhibitors(logind):
        pass


def test_no_program_that_is_started_meanwhile_inherits_the_lock(logind: PrivateBus) -> None:
    def descriptors() -> set[int]:
        return {int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}

    # What an earlier test left to the collector would close in between, and its number be taken again.
    gc.collect()
    before = descriptors()
    with hold_sleep_off(logind.address, "backup of home"):
        (lock,) = descriptors() - before
        assert not os.get_inheritable(lock)
    assert descriptors() == before


def test_the_block_runs_where_nothing_can_hold_sleep_off(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus, hold_sleep_off(bus.address, "backup of home") as why_not:
        assert "org.freedesktop.login1" in why_not
    with hold_sleep_off("", "backup of home") as why_not:
        assert why_not == "there is no message bus"


def test_sleep_and_waking_up_are_noticed_in_their_order(logind: PrivateBus) -> None:
    with watch_sleep(logind.address) as signals:
        assert signals.fileno() >= 0
        assert signals.wait(0.0) is None
        for begins in (True, False):
            logind.control(
                *LOGIND, "EmitSignal", "sssav", f"{LOGIND[0]}.Manager", "PrepareForSleep", "b", [("b", begins)]
            )
        assert signals.wait(20) is True
        assert signals.wait(20) is False
        assert signals.wait(0.0) is None


def test_a_bus_that_ends_gives_no_signal_and_no_error(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus:
        bus.mock("logind", LOGIND[0])
        with watch_sleep(bus.address) as signals:
            bus.end()
            assert signals.wait(0.01) is None
            assert signals.fileno() == -1
            assert signals.wait(0.01) is None


def test_a_notification_is_shown_and_its_text_is_no_markup(desktop: PrivateBus) -> None:
    first = show_notification(desktop.address, "home: backup failed", "<b>a & b</b>", stays=True)
    second = show_notification(desktop.address, "home: all well again", "snapshot 1f3c")
    assert second > first
    calls = desktop.calls(*NOTICES, "Notify")
    assert [call[:5] for call in calls] == [
        ["pyrestic", 0, "", "home: backup failed", "&lt;b&gt;a &amp; b&lt;/b&gt;"],
        ["pyrestic", 0, "", "home: all well again", "snapshot 1f3c"],
    ]
    assert [call[6]["urgency"] for call in calls] == [("y", 2), ("y", 1)]


def test_a_desktop_without_markup_gets_the_text_as_it_is(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus:
        bus.mock("notification_daemon", NOTICES[0], capabilities="body")
        show_notification(bus.address, "title", "a & b")
        (call,) = bus.calls(*NOTICES, "Notify")
        assert call[4] == "a & b"


def test_a_bus_without_a_desktop_shows_nothing(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus, pytest.raises(NoServiceError):
        show_notification(bus.address, "title", "text")
