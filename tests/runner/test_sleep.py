"""A machine that goes to sleep while a task runs, with a logind that is a mock."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pyrestic.desktop.bus import Service
from tests.support.private_bus import PrivateBus, running_bus
from tests.support.profiles import make_profile, make_task
from tests.support.runner_world import World, hang

pytestmark = pytest.mark.process
LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1")
MANAGER = Service(*LOGIND, f"{LOGIND[0]}.Manager")
REMOTE = "rest:https://backup.example/"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Story:
    """What happens to the machine while a backup runs; `seen` is what was noticed meanwhile."""

    def __init__(self, world: World, bus: PrivateBus) -> None:
        self.world = world
        self.bus = bus
        self.seen: list[str] = []

    def behave(self, arguments: Sequence[str]) -> int:
        (self.world.folder / "pid").write_text(str(os.getpid()))
        return hang(arguments)

    def state(self) -> str:
        """Return the state of the process that runs the backup."""
        pid = (self.world.folder / "pid").read_text()
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    def announce(self, begins: bool) -> None:
        values = [("b", begins)]
        self.bus.control(*LOGIND, "EmitSignal", "sssav", MANAGER.interface, "PrepareForSleep", "b", values)

    def inhibitors(self) -> list[str]:
        (found,) = self.bus.call(MANAGER, "ListInhibitors")
        return [why for _, _, why, *_ in found]

    def tell(self) -> None:
        world = self.world
        wait_until(lambda: self.inhibitors() == ["backup of home"])
        self.announce(True)
        wait_until(lambda: self.state() == "T")
        # The connection takes a while to return.
        world.set_online(False)
        self.announce(False)
        time.sleep(0.3)
        self.seen.append(f"offline: {self.state()}")
        world.set_online(True)
        wait_until(lambda: self.state() != "T")
        self.seen.append(f"awake, holds off sleep: {self.inhibitors()}")
        world.set_battery("Discharging")


def test_a_backup_stops_for_sleep_and_goes_on_when_the_line_is_there(tmp_path: Path) -> None:
    (tmp_path / "bus").mkdir()
    with running_bus(tmp_path / "bus") as bus:
        bus.mock("logind", LOGIND[0])
        world = World(tmp_path)
        world.system_bus = bus.address
        world.set_battery("Charging")
        story = Story(world, bus)
        world.behaviors["backup"] = story.behave
        teller = threading.Thread(target=story.tell)
        teller.start()
        task = make_task("backup", partial=True, when={"power": "mains", "grace_seconds": 0.3})
        assert world.run(make_profile("home", task, repo=REMOTE)) == 3
        teller.join()
        assert story.seen == ["offline: T", "awake, holds off sleep: ['backup of home']"]
        assert story.inhibitors() == []
        record = world.record()
        assert (record.failures, record.waiting) == (0, "on battery")
