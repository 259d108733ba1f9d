"""Why a task waits, on machines made of files."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyrestic.desktop.network import NetworkFacts
from pyrestic.profiles.profile import Profile, Task, TaskName
from pyrestic.runner import this_machine as machines
from pyrestic.runner.conditions import Conditions, Obstacle, is_within
from pyrestic.runner.due import DueTask
from pyrestic.runner.records import ProfileRecord, TaskRecord
from pyrestic.runner.this_machine import ThisMachine
from tests.support.profiles import DAY, make_profile, make_task
from tests.support.zone import use_zone

NOON = 1_780_056_000.0  # 12:00 UTC
REMOTE = "rest:https://backup.example/home/"
ROUTE = "Iface\tDestination\nwlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"


class Place:
    """A machine whose power and network a test sets."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self.known = True
        self.facts = NetworkFacts()
        monkeypatch.setattr(machines, "ask_network", lambda _: self.facts)
        self.machine = ThisMachine(
            power_folder=str(folder / "power"),
            routes=str(folder / "route"),
            routes_6=str(folder / "route6"),
            resolve=lambda _: self.known,
        )
        self.set_online(True)

    def set_battery(self, level: int, status: str = "Discharging") -> None:
        battery = self._folder / "power" / "BAT0"
        battery.mkdir(parents=True, exist_ok=True)
        for name, value in {"type": "Battery", "status": status, "capacity": str(level)}.items():
            (battery / name).write_text(value)

    def set_online(self, online: bool) -> None:
        (self._folder / "route").write_text(ROUTE if online else ROUTE.splitlines()[0])

    def look(self, profile: Profile, task: TaskName = "backup", record: ProfileRecord | None = None) -> str:
        conditions = Conditions(self.machine, {}, lambda: NOON)
        record = record or ProfileRecord(first_seen=NOON)
        found = conditions.find_obstacle(DueTask(profile, profile.tasks[task]), record)
        return "" if found is None else str(found)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def backup(**when: Any) -> Task:
    return make_task("backup", when=when)


def test_a_battery_counts_with_its_level(place: Place) -> None:
    assert place.look(make_profile("home", backup(power="mains"))) == ""
    place.set_battery(41)
    assert place.look(make_profile("home", backup(power="mains"))) == "on battery (41 %)"
    assert place.look(make_profile("home", backup(power="any", battery_min=41))) == ""
    assert place.look(make_profile("home", backup(power="any", battery_min=42))) == "on battery (41 %)"
    place.set_battery(41, "Charging")
    assert place.look(make_profile("home", backup(power="mains"))) == ""


def test_a_task_insists_after_a_while_if_the_battery_is_half_full(place: Place) -> None:
    profile = make_profile("home", backup(power="mains", metered=False, insist_after_seconds=7 * DAY), repo=REMOTE)
    place.facts = NetworkFacts(True, frozenset({"phone"}))
    recent = ProfileRecord(first_seen=0.0, tasks={"backup": TaskRecord(good_started=NOON - 6 * DAY)})
    old = ProfileRecord(first_seen=NOON - 7 * DAY)
    for level, record, expected in [
        (50, recent, "on battery (50 %)"),
        (50, old, ""),
        (49, old, "on battery (49 %)"),
    ]:
        place.set_battery(level)
        assert place.look(profile, record=record) == expected


def test_a_metered_line_counts_only_where_the_place_is_remote(place: Place) -> None:
    remote = make_profile("home", backup(metered=False), repo=REMOTE)
    place.facts = NetworkFacts(True, frozenset({"phone"}))
    assert place.look(remote) == "on a metered connection"
    assert place.look(make_profile("home", backup(metered=False))) == ""
    assert place.look(make_profile("home", backup(metered=True), repo=REMOTE)) == ""
    for facts in (NetworkFacts(False), NetworkFacts()):
        place.facts = facts
        assert place.look(remote) == ""


def test_only_the_allowed_networks_are_used(place: Place) -> None:
    profile = make_profile("home", backup(networks=("home", "office")), repo=REMOTE)
    place.facts = NetworkFacts(None, frozenset({"cafe"}))
    assert place.look(profile) == "not connected to home or office"
    place.facts = NetworkFacts(None, frozenset({"cafe", "office"}))
    assert place.look(profile) == ""
    # Nobody knows the name of the network.
    place.facts = NetworkFacts()
    assert place.look(profile) == ""


@pytest.mark.parametrize(
    ("repo", "flags", "offline", "unknown"),
    [
        ("/mnt/disk", {}, "", ""),
        ("rest:http://localhost:8000/", {}, "", ""),
        ("rest:http+unix:///run/rest.socket:/", {}, "", ""),
        (REMOTE, {}, "no network connection", "the name backup.example cannot be resolved"),
        ("b2:bucket:home", {}, "no network connection", "the name api.backblazeb2.com cannot be resolved"),
        ("b2:bucket:home", {"option": ("b2.endpoint=http://127.0.0.1:1",)}, "", ""),
        ("sftp:host:/folder", {}, "no network connection", ""),
    ],
)
def test_a_remote_place_needs_a_network(
    repo: str, flags: dict[str, Any], offline: str, unknown: str, place: Place
) -> None:
    profile = make_profile("home", repo=repo, flags=flags)
    assert place.look(profile) == ""
    place.known = False
    assert place.look(profile) == unknown
    place.set_online(False)
    assert place.look(profile) == offline


def test_a_proxy_resolves_names_itself(place: Place) -> None:
    place.known = False
    assert place.look(make_profile("home", repo=REMOTE, env={"HTTPS_PROXY": "http://proxy:1"})) == ""


def test_a_drive_that_is_not_there_is_waited_for_only_on_request(place: Place, tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    assert place.look(make_profile("disk", repo=drive)) == ""
    waiting = make_profile("disk", repo=drive, skips_missing=True)
    assert place.look(waiting) == f"{drive} is not there"
    # The folder on which it is mounted is there, too.
    drive.mkdir()
    assert place.look(waiting) == f"{drive} is not there"
    (drive / "config").touch()
    assert place.look(waiting) == ""


@pytest.mark.parametrize(
    ("minute", "begin", "end", "within"),
    [
        *[(0, 0, 1440, True), (1439, 0, 1440, True), (60, 60, 120, True), (120, 60, 120, False), (59, 60, 120, False)],
        *[(1400, 1320, 360, True), (0, 1320, 360, True), (359, 1320, 360, True), (360, 1320, 360, False)],
    ],
)
def test_a_window_may_include_midnight(minute: int, begin: int, end: int, within: bool) -> None:
    assert is_within(minute, begin, end) is within


@pytest.mark.usefixtures("zone_again")
def test_a_window_is_in_local_time(place: Place) -> None:
    use_zone("UTC")
    assert place.look(make_profile("home", backup(window=(22 * 60, 6 * 60)))) == "outside of 22:00-06:00"
    use_zone("Asia/Tokyo")
    assert time.localtime(NOON).tm_hour == 21
    assert place.look(make_profile("home", backup(window=(20 * 60, 22 * 60)))) == ""


def test_a_lost_condition_ends_a_task_early_but_its_window_and_command_do_not(place: Place) -> None:
    conditions = Conditions(place.machine, {}, lambda: NOON)
    task = backup(power="mains", window=(0, 1), command=("/nonexistent",))
    choice, record = DueTask(make_profile("home", task, repo=REMOTE), task), ProfileRecord(first_seen=NOON)
    assert conditions.find_lost(choice, record) is None
    place.set_online(False)
    assert conditions.find_lost(choice, record) == Obstacle("no network connection")
    place.set_battery(12)
    lost = conditions.find_lost(choice, record)
    assert lost is not None
    assert str(lost) == "on battery (12 %)"


def test_the_line_may_take_a_minute_to_return_after_sleep(place: Place) -> None:
    conditions = Conditions(place.machine, {}, lambda: NOON)
    slept: list[float] = []
    place.set_online(False)
    conditions.wait_for_line([make_profile("disk")], slept.append)
    assert slept == []
    conditions.wait_for_line([make_profile("home", repo=REMOTE)], slept.append)
    assert sum(slept) == 60

    def come_back(seconds: float) -> None:
        slept.append(seconds)
        place.set_online(True)

    slept.clear()
    conditions.wait_for_line([make_profile("home", repo=REMOTE)], come_back)
    assert len(slept) == 1


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "reason", "failure"),
    [
        (("true",), "", False),
        (("sh", "-c", "exit 75"), "sh says so", False),
        (("sh", "-c", "exit 3"), "sh of when.command failed with exit code 3", True),
        (("/nonexistent",), "/nonexistent of when.command could not be started: No such file or directory", True),
    ],
)
def test_a_command_of_the_person_decides(command: tuple[str, ...], reason: str, failure: bool, place: Place) -> None:
    task = backup(command=command)
    choice, record = DueTask(make_profile("home", task), task), ProfileRecord(first_seen=NOON)
    found = Conditions(place.machine, {"PATH": "/usr/bin:/bin"}, lambda: NOON).find_obstacle(choice, record)
    assert ("" if found is None else str(found), found is not None and found.is_failure) == (reason, failure)


@pytest.mark.process
def test_nothing_is_waited_for_after_the_wish_to_end(place: Place) -> None:
    conditions = Conditions(place.machine, {"PATH": "/usr/bin:/bin"}, lambda: NOON, lambda: True)
    task = backup(command=("sleep", "1000"))
    assert conditions.find_obstacle(DueTask(make_profile("home", task), task), ProfileRecord(first_seen=NOON)) is None
    place.set_online(False)
    slept: list[float] = []
    conditions.wait_for_line([make_profile("home", repo=REMOTE)], slept.append)
    assert slept == []


def test_the_host_of_b2_is_that_of_its_backend() -> None:
    from pyrestic.backend.b2.api import DEFAULT_ENDPOINT

    assert f"https://{machines._B2_HOST}" == DEFAULT_ENDPOINT


def test_records_survive_json() -> None:
    record = ProfileRecord(first_seen=1.0, tasks={"backup": TaskRecord(started=2.0)})
    assert msgspec.convert(msgspec.to_builtins(record), ProfileRecord) == record
