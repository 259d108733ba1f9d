"""Which tasks run, in processes that do what a test says, and what is remembered and said about them."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyrestic.localfs.online import read_sleep_seconds
from pyrestic.operations.early_end import EarlyReason
from pyrestic.runner import runner as runners
from pyrestic.runner.due import DueTask
from pyrestic.runner.place_lock import PlaceLock
from pyrestic.runner.places import find_location
from pyrestic.runner.records import BUDGET, Runs
from pyrestic.runner.runner import Request, describe_plan
from pyrestic.runner.status import find_statuses
from pyrestic.runner.task_run import build_arguments
from tests.support.profiles import DAY, HOUR, make_profile, make_task
from tests.support.runner_world import NOON, World, fail, hang, succeed
from tests.support.zone import use_zone

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("zone_again")]
MINUTE = 60.0


def last_a_second(arguments: Sequence[str]) -> int:
    time.sleep(1)
    return succeed(arguments)


@pytest.fixture
def world(tmp_path: Path) -> World:
    use_zone("UTC")
    return World(tmp_path)


def test_what_is_due_runs_once_and_is_remembered(world: World) -> None:
    home = make_profile("home", make_task("backup"), make_task("forget", DAY), repo="/place")
    assert world.run(home) == 0
    assert world.started() == ["home backup", "home forget"]
    assert world.said()[0] == "home: backup: 3 files, 5.0 MiB sent, 0 s, snapshot 5ab5ab5a"
    record = world.record()
    assert (record.good_started, record.ended, record.code, record.failures) == (NOON, NOON, 0, 0)
    assert record.snapshot == "5ab" * 21 + "d"
    world.now += HOUR - 2 * MINUTE
    assert world.run(home) == 0
    assert world.started() == []
    assert world.said() == []
    world.now += 2 * MINUTE
    assert world.run(home) == 0
    assert world.started() == ["home backup"]
    entries = [json.loads(line) for line in Path(world.store.folder, "runs.log").read_text().splitlines()]
    assert [(one["profile"], one["task"], one["result"]) for one in entries] == [
        ("home", "backup", "success"),
        ("home", "forget", "success"),
        ("home", "backup", "success"),
    ]
    assert entries[0]["summary"]["files_new"] == 2


def test_a_task_is_the_command_of_its_name_with_the_profile() -> None:
    backup, check = make_task("backup"), make_task("check")
    home = make_profile("home", backup, check)
    common = ["--json", "--quiet"]
    assert build_arguments(DueTask(home, backup), ("--config", "/f")) == [
        *["-P", "home", "--config", "/f", "backup"],
        *common,
        *["--no-scan", "--retry-lock", "10m"],
    ]
    patient = make_profile("home", check, flags={"retry-lock": "1h", "verbose": True})
    assert build_arguments(DueTask(patient, check), ()) == ["-P", "home", "check", "--json"]


def test_a_missed_week_is_one_run(world: World) -> None:
    home = make_profile("home")
    world.run(home)
    world.now += 7 * DAY
    for _ in range(3):
        world.run(home)
    assert world.started() == ["home backup"] * 2


def test_a_failure_stops_no_other_profile_and_is_tried_again_later(world: World) -> None:
    home, disk = make_profile("home", repo="/a"), make_profile("disk", repo="/b")
    world.behaviors["home backup"] = fail(12, "wrong password")
    assert world.run(home, disk) == 12
    assert world.started() == ["home backup", "disk backup"]
    said = world.said()
    assert said[:2] == ["home: backup: some text that is no JSON", "home: backup: failed: wrong password"]
    record = world.record()
    assert (record.code, record.error, record.failures, record.good_started) == (12, "wrong password", 1, None)
    for minutes, runs in [(3, 0), (2, 1), (13, 0), (2, 1), (58, 0), (2, 1)]:
        world.now += minutes * MINUTE
        world.run(home)
        assert len(world.started()) == runs
    world.behaviors.clear()
    world.now += HOUR
    assert world.run(home) == 0
    assert world.record().failures == 0


def test_the_exit_code_is_the_worst(world: World) -> None:
    profiles = [make_profile(str(code), repo=f"/{code}") for code in (1, 3, 11, 10)]
    for code in (1, 11, 10):
        world.behaviors[f"{code} backup"] = fail(code, "x")
    world.behaviors["3 backup"] = lambda arguments: succeed(arguments) + 3
    assert world.run(*profiles) == 10
    # A snapshot without some files is a good backup.
    assert world.record("3").good_started == NOON


def test_a_child_that_dies_is_a_failure(world: World) -> None:
    def die(_: object) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    world.behaviors["backup"] = die
    assert world.run(make_profile("home")) == 1
    assert world.record().error == "the process was ended by SIGKILL"


def test_a_backup_without_one_of_its_sources_is_remembered(world: World) -> None:
    world.behaviors["backup"] = lambda arguments: succeed(arguments) + 3
    assert world.run(make_profile("home")) == 3
    assert world.record().facts["missing_source"] == 1
    world.behaviors.clear()
    assert world.run(make_profile("home"), due=False) == 0
    assert "missing_source" not in world.record().facts


def test_a_backup_that_ended_before_anything_was_complete_is_not_good(world: World) -> None:
    def end_early(_: Sequence[str]) -> int:
        print(json.dumps({"message_type": "summary", "partial": False, "ended_early": "time limit reached"}))
        return 3

    world.behaviors["backup"] = end_early
    assert world.run(make_profile("home")) == 3
    assert (world.record().good_started, world.record().early) == (None, True)


def test_waiting_is_told_once_until_the_reason_changes(world: World) -> None:
    home = make_profile("home", make_task("backup", when={"power": "mains"}), repo="rest:https://backup.example/")
    world.set_battery("Discharging", 41)
    assert world.run(home) == 0
    assert world.said() == ["home: waiting: on battery (41 %) since 12:00"]
    world.set_battery("Discharging", 40)
    world.now += 10 * MINUTE
    assert world.run(home) == 0
    assert world.said() == []
    assert (world.record().waiting, world.record().waiting_since) == ("on battery", NOON)
    world.set_battery("Charging")
    world.set_online(False)
    world.now += 10 * MINUTE
    world.run(home)
    assert world.said() == ["home: waiting: no network connection since 12:20"]
    world.set_online(True)
    world.run(home)
    assert world.started() == ["home backup"]
    assert world.record().waiting == ""


def test_a_person_who_asks_is_told_and_obeyed(world: World) -> None:
    tasks = [make_task("backup", when={"power": "mains"}), make_task("forget", DAY), make_task("drill", None)]
    home = make_profile("home", *tasks)
    world.set_battery("Discharging", 41)
    for _ in range(2):
        assert world.run(home, due=False) == 0
    # The first time, forget was due as well.
    assert world.started() == ["home backup", "home forget", "home backup"]
    assert world.said()[0] == "home: backup: on battery (41 %), but it was asked for"
    assert world.run(home, due=False, tasks=("drill",)) == 0
    assert world.started() == ["home drill"]


def test_an_absent_drive_is_waited_for_even_if_a_person_asks(world: World) -> None:
    disk = make_profile("disk", repo=world.folder / "drive", skips_missing=True)
    assert world.run(disk, due=False) == 0
    assert world.started() == []
    assert world.said() == [f"disk: waiting: {world.folder}/drive is not there since 12:00"]


def test_a_condition_of_the_person_that_fails_is_a_failure(world: World) -> None:
    home = make_profile("home", make_task("backup", when={"command": ("/nonexistent",)}))
    assert world.run(home) == 1
    assert world.started() == []
    assert world.record().failures == 1


def test_a_key_ring_that_is_locked_is_waited_for(world: World) -> None:
    world.behaviors["backup"] = fail(75, "the key ring is locked")
    home = make_profile("home")
    assert world.run(home) == 0
    assert world.said()[-1] == "home: backup: waiting: the key ring is locked"
    assert (world.record().failures, world.record().waiting) == (0, "the key ring is locked")
    assert world.run(home, due=False) == 1


def end_early_for_budget(_: Sequence[str]) -> int:
    print(json.dumps({"message_type": "summary", "partial": True, "ended_early": EarlyReason.BUDGET.value}))
    return 3


def test_a_backup_without_a_budget_waits_for_the_next_day_of_the_service(world: World) -> None:
    home = make_profile("home")
    error = "this backup would cost $0.02 beyond: $1.99 of this month's budget of $2.00 were spent before"
    world.behaviors["backup"] = fail(75, error)
    assert world.run(home) == 0
    assert world.said()[-1] == f"home: backup: waiting: {BUDGET} ({error})"
    (found,) = find_statuses([home], world.store.read(), world.now, {})
    assert found.sentences() == [f"home: backup waiting: {BUDGET} since 12:00."]
    world.started()
    world.now += 12 * HOUR - MINUTE - 1
    world.run(home)
    assert world.started() == []
    # What is free each day is done, and ends early.
    world.behaviors["backup"] = end_early_for_budget
    world.now += MINUTE + 1
    assert world.run(home) == 3
    assert world.started() == ["home backup"]
    world.now += 23 * HOUR
    world.run(home)
    assert world.started() == []


def test_a_charger_that_is_pulled_for_long_ends_a_backup_early(world: World) -> None:
    task = make_task("backup", partial=True, when={"power": "mains", "grace_seconds": 0.2})
    world.set_battery("Charging")
    world.behaviors["backup"] = hang
    threading.Timer(0.5, world.set_battery, ("Discharging",)).start()
    assert world.run(make_profile("home", task)) == 3
    assert world.said()[-1] == (
        "home: backup: 3 files, 5.0 MiB sent, 0 s, snapshot ffffffff, partial, ended early: on battery"
    )
    record = world.record()
    assert (record.good_started, record.failures, record.early, record.waiting) == (None, 0, True, "on battery")


def test_another_task_is_interrupted_and_waits(world: World) -> None:
    task = make_task("check", when={"power": "mains", "grace_seconds": 0.01})
    world.set_battery("Charging")
    world.behaviors["check"] = hang
    threading.Timer(0.3, world.set_battery, ("Discharging",)).start()
    assert world.run(make_profile("home", task)) == 0
    record = world.record(task="check")
    assert (record.failures, record.early, record.waiting) == (0, True, "on battery")


def test_a_charger_that_is_pulled_for_a_moment_changes_nothing(world: World) -> None:
    task = make_task("backup", partial=True, when={"power": "mains", "grace_seconds": 30.0})
    world.set_battery("Charging")

    world.behaviors["backup"] = last_a_second
    threading.Timer(0.2, world.set_battery, ("Discharging",)).start()
    threading.Timer(0.6, world.set_battery, ("Charging",)).start()
    assert world.run(make_profile("home", task)) == 0
    assert world.record().good_started == NOON


def test_a_signal_to_the_runner_ends_the_command_and_nothing_else_starts(world: World) -> None:
    reader, writer = os.pipe()
    world.ending.descriptor = reader
    world.behaviors["backup"] = hang

    def ask() -> None:
        world.ending.count = 1
        os.close(writer)

    threading.Timer(0.3, ask).start()
    world.ending.drain = lambda: None  # type: ignore[method-assign]
    assert world.run(make_profile("home", repo="/a"), make_profile("disk", repo="/b")) == 130
    assert world.started() == ["home backup"]
    record = world.record()
    assert (record.code, record.failures, record.early) == (130, 0, True)
    os.close(reader)


def test_a_repository_that_another_runner_works_on_is_left_alone(world: World, tmp_path: Path) -> None:
    home = make_profile("home", repo=tmp_path / "place")
    lock = PlaceLock(world.store.folder, find_location(make_profile("x", repo=f"{tmp_path}/./place/")))
    with lock.held("backup of x", lambda _: False) as acquired:
        assert acquired
        assert PlaceLock(world.store.folder, find_location(home)).is_held()
        assert world.run(home) == 0
        assert world.started() == []
    assert not PlaceLock(world.store.folder, find_location(home)).is_held()
    assert world.run(home) == 0
    assert world.started() == ["home backup"]


def test_a_person_waits_for_another_runner_and_is_told_for_whom(world: World) -> None:
    home = make_profile("home", repo="/place")
    acquired, release = threading.Event(), threading.Event()

    def hold() -> None:
        with PlaceLock(world.store.folder, find_location(home)).held("check of disk", lambda _: False):
            acquired.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    acquired.wait()
    threading.Timer(0.3, release.set).start()
    assert world.run(home, due=False) == 0
    holder.join()
    assert world.said()[0] == "home: backup: waiting for check of disk"
    assert world.started() == ["home backup"]


def test_a_task_that_outlives_its_runner_keeps_the_repository_locked(world: World) -> None:
    """As after a kill of the runner, whose child goes on."""
    home = make_profile("home", repo="/place")
    world.behaviors["backup"] = last_a_second
    pid = os.fork()
    if pid == 0:
        world.run(home)
        os._exit(0)
    while not (world.folder / "started").exists():
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    lock = PlaceLock(world.store.folder, find_location(home))
    assert lock.is_held()
    assert world.record().unended
    assert world.run(home) == 0
    while lock.is_held():
        time.sleep(0.05)
    world.behaviors.clear()
    world.started()
    # It counts as one failure.
    world.now += 5 * MINUTE
    assert world.run(home) == 0
    assert world.started() == ["home backup"]


def test_a_full_disk_prevents_no_backup_but_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_profile("home")
    with PlaceLock(world.store.folder, find_location(home)).held("nobody", lambda _: False):
        pass

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyrestic.backend.private_folder.write_all", refuse)
    monkeypatch.setattr("pyrestic.runner.state.write_all", refuse)
    assert world.run(home) == 1
    assert world.started() == ["home backup"]
    said = world.said()
    assert said[0].startswith("home: backup: the state cannot be written: ")
    assert "No space left on device" in said[0]
    assert said[1].startswith("home: backup: 3 files")


def test_a_state_folder_that_cannot_be_made_prevents_no_backup_but_is_an_error(world: World) -> None:
    Path(world.store.folder).parent.mkdir(parents=True, exist_ok=True)
    Path(world.store.folder).write_text("a file in its place")
    assert world.run(make_profile("home")) == 1
    assert world.started() == ["home backup"]
    assert world.said()[0].startswith("home: backup: the state cannot be written: ")


def test_a_file_system_without_locks_prevents_no_backup(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a home on a server."""

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("pyrestic.runner.place_lock.fcntl.flock", refuse)
    assert world.run(make_profile("home")) == 1
    assert world.started() == ["home backup"]
    assert "cannot be locked: No locks available" in world.said()[0]


def leave_a_daemon(arguments: Sequence[str]) -> int:
    """Succeed, and leave a process that holds the pipes, as a password command may."""
    daemon = os.fork()
    if daemon == 0:
        signal.alarm(20)
        signal.pause()
    print(daemon, end="", file=sys.stderr)
    return succeed(arguments)


def test_a_daemon_that_a_command_leaves_is_not_waited_for(world: World) -> None:
    world.behaviors["backup"] = leave_a_daemon
    assert world.run(make_profile("home")) == 0
    # The number is a line without a line break.
    daemon = int(next(line for line in world.said() if line.startswith("home: backup: ")).split()[-1])
    assert Path(f"/proc/{daemon}/stat").read_text().split()[2] != "Z"
    os.kill(daemon, signal.SIGKILL)


def test_a_broken_state_means_that_everything_is_due_once(world: World) -> None:
    home = make_profile("home")
    world.run(home)
    Path(world.store.folder, "runs.json").write_text("{")
    assert world.run(home) == 0
    assert world.run(home) == 0
    assert world.started() == ["home backup"] * 2


def test_after_sleep_the_line_may_take_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_profile("home", repo="rest:https://backup.example/")
    world.run(home)
    world.now += HOUR
    monkeypatch.setattr(runners, "read_sleep_seconds", lambda: read_sleep_seconds() + 3600)
    world.set_online(False)
    around = world.around()
    threading.Timer(0.2, world.set_online, (True,)).start()
    assert runners.Runner(Request([home], due=True), around).run() == 0
    assert world.started() == ["home backup"] * 2
    assert len(world.said()) == 2


def test_a_plan_says_what_would_run_and_why(world: World) -> None:
    tasks = [make_task("backup", when={"power": "mains"}), make_task("forget", DAY), make_task("drill", None)]
    home = make_profile("home", *tasks)
    world.run(home)
    world.now += 2 * HOUR
    world.set_battery("Discharging", 9)
    around = world.around()
    assert list(describe_plan(Request([home], due=True), around)) == [
        "home: backup: would wait: on battery (9 %); due since 13:00",
        "home: forget: due in 22 h",
        "home: drill: never by itself",
    ]
    plan = list(describe_plan(Request([home]), around))
    assert plan[0] == "home: backup: would run: asked for, although on battery (9 %)"
    assert world.started() == ["home backup", "home forget"]


def test_nothing_has_to_be_done_until_the_next_task_is_due(world: World) -> None:
    home = make_profile("home", make_task("backup"), make_task("check", DAY))
    runner = runners.Runner(Request([home], due=True), world.around())
    runner.run()
    assert runner.find_quiet_until(world.store.read()) == NOON + HOUR - MINUTE
    late = make_profile("home", make_task("backup", 90 * DAY), overdue_seconds=2 * DAY)
    assert runners.Runner(Request([late], due=True), world.around()).find_quiet_until(world.store.read()) == (
        NOON + 2 * DAY
    )


def test_a_tick_that_comes_a_little_early_waits_for_the_task(world: World) -> None:
    home = make_profile("home")
    world.run(home)
    world.now += HOUR - 61
    world.run(home)
    assert world.started() == ["home backup"]
    assert world.now == NOON + HOUR - 61
    world.now += 1
    world.run(home)
    assert world.started() == ["home backup"]
    assert world.record().good_started == world.now == NOON + HOUR
    # Who asks for nothing more does not wait.
    world.now += HOUR - 1
    world.run(home, due=False, tasks=("backup",))
    assert world.now == NOON + 2 * HOUR - 1


@pytest.mark.parametrize(
    ("when", "battery", "holds", "seconds"),
    [
        ({"power": "mains"}, True, [("battery", "")], DAY),
        ({"power": "mains", "insist_after_seconds": 2 * HOUR}, True, [("battery", "")], 2 * HOUR),
        ({"window": (22 * 60, 6 * 60)}, False, [("until", repr(NOON + 10 * HOUR))], DAY),
        # Only asking tells whether these still hold.
        ({"command": ("sh", "-c", "exit 75")}, False, [], -NOON),
    ],
)
def test_while_a_task_waits_little_has_to_be_looked_at(
    when: dict[str, Any], battery: bool, holds: list[tuple[str, str]], seconds: float, world: World
) -> None:
    home = make_profile("home", make_task("backup", when=when))
    if battery:
        world.set_battery("Discharging")
    runner = runners.Runner(Request([home], due=True), world.around())
    runner.run()
    assert world.started() == []
    assert runner.find_holds() == holds
    assert runner.find_quiet_until(world.store.read()) == NOON + seconds


def test_a_tick_after_an_overdue_profile_was_told_is_quiet_for_a_day(world: World) -> None:
    home = make_profile("home", make_task("backup", when={"power": "mains"}))
    world.set_battery("Discharging")
    runner = runners.Runner(Request([home], due=True), world.around())
    runner.run()
    world.now += 2 * DAY
    assert runner.find_quiet_until(world.store.read()) < world.now
    world.store.change_profile(home, lambda record: record.told.update(overdue=world.now))
    assert runner.find_quiet_until(world.store.read()) == world.now + DAY


def test_another_repository_has_a_record_of_its_own(world: World) -> None:
    home = make_profile("home", make_task("backup"), make_task("check", DAY), repo="/old")
    assert world.run(home) == 0
    assert world.started() == ["home backup", "home check"]
    world.now += 10 * MINUTE
    assert world.run(home) == 0
    assert world.started() == []
    moved = make_profile("home", make_task("backup"), make_task("check", DAY), repo="/new")
    (found,) = find_statuses([moved], world.store.read(), world.now, {})
    assert (found.backup.good_ended, found.fields()["kept"]) == (None, None)
    assert world.run(moved) == 0
    assert world.started() == ["home backup", "home check"]
    assert world.store.read().profiles["home"].first_seen == world.now


def test_a_clock_that_was_set_back_lets_no_overdue_backup_stay_silent(world: World) -> None:
    home = make_profile("home", make_task("backup", when={"power": "mains"}))
    world.now += 300 * DAY
    assert world.run(home) == 0
    world.now -= 300 * DAY
    world.set_battery("Discharging")
    (found,) = find_statuses([home], world.store.read(), world.now, {})
    assert found.sentences() == ["home: the last good backup is dated in the future: the clock was set back."]
    world.said()
    assert world.run(home) == 0
    said = world.said()
    assert said[0].startswith("home: the last good backup is dated in the future, so the clock was set back")
    assert said[1].startswith("home: waiting: on battery")
    world.now += DAY - MINUTE
    world.run(home)
    (found,) = find_statuses([home], world.store.read(), world.now, {})
    assert (found.overdue, world.said()) == (False, [])
    world.now += 2 * MINUTE
    (found,) = find_statuses([home], world.store.read(), world.now, {})
    assert found.overdue


def test_a_paused_runner_is_described(world: World) -> None:
    assert runners.describe_pause(Runs(version=1, paused_until=NOON + 3 * HOUR), NOON) == "paused until 15:00"
    assert runners.describe_pause(Runs(version=1, paused_until=NOON), NOON) == ""
