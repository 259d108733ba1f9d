"""A machine, a state and profiles for tests of the runner, with commands that do what a test says."""

import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pyrestic.profiles.profile import Profile, TaskName
from pyrestic.runner.conditions import Conditions
from pyrestic.runner.ending import EndRequest
from pyrestic.runner.hooks import HookRunner
from pyrestic.runner.records import TaskRecord
from pyrestic.runner.runner import Request, Runner
from pyrestic.runner.state import RunStore
from pyrestic.runner.task_run import Surroundings
from pyrestic.runner.this_machine import ThisMachine

NOON = 1_780_056_000.0
ROUTE = "Iface\tDestination\nwlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
SUMMARY = {"message_type": "summary", "files_new": 2, "files_changed": 1, "data_added_packed": 5 << 20}
Behavior = Callable[[Sequence[str]], int]
"""What a command does, in a process of its own; returns its exit code."""


def succeed(arguments: Sequence[str]) -> int:
    """Do what a successful command does: print a summary."""
    print(json.dumps({**SUMMARY, **({"snapshot_id": "5ab" * 21 + "d"} if "backup" in arguments else {})}))
    return 0


def fail(code: int, message: str) -> Behavior:
    """Return what a failing command does."""

    def behave(_: Sequence[str]) -> int:
        print("some text that is no JSON", file=sys.stderr)
        document = {"message_type": "exit_error", "code": code, "message": f"Fatal: {message}\nmore"}
        print(json.dumps(document), file=sys.stderr)
        return code

    return behave


def hang(_: Sequence[str]) -> int:
    """Run until a signal comes, and end as a command does."""
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, lambda number, _: ended.append(number))
    while not ended:
        time.sleep(0.01)
    if ended[0] == signal.SIGUSR2:
        print(json.dumps({**SUMMARY, "snapshot_id": "f" * 64, "partial": True}))
        return 3
    return 130


class Recorder:
    """Keeps what the runner prints."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.entries: list[dict[str, object]] = []

    def report(self, line: str, fields: dict[str, object]) -> None:
        """Keep a result."""
        self.lines.append(line)
        self.entries.append(fields)

    def tell(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)

    complain = tell

    def begin(self, line: str) -> None:
        """Ignore what only a terminal shows."""

    def note(self, line: str) -> None:
        """Ignore what only matters with -v."""

    def open_for_hooks(self) -> int:
        """Return the descriptor of standard error."""
        return 2


class World:
    """Everything that a runner needs, in a folder. `now` is its clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOON
        self.output = Recorder()
        self.ending = EndRequest()
        self.behaviors: dict[str, Behavior] = {}
        """What commands do, by task or by profile and task; the others succeed."""
        self.system_bus = ""
        self.look_seconds = 0.05
        self.store = RunStore(str(folder / "state"), lambda: self.now)
        self.environment: Mapping[str, str] = {"PATH": os.environ["PATH"]}
        self.set_online(True)

    def set_online(self, online: bool) -> None:
        """Add or remove the default route."""
        (self.folder / "route").write_text(ROUTE if online else "\n")

    def set_battery(self, status: str, level: int = 41) -> None:
        """Let the machine run on battery, or not."""
        battery = self.folder / "power" / "BAT0"
        battery.mkdir(parents=True, exist_ok=True)
        for name, value in {"type": "Battery", "status": status, "capacity": str(level)}.items():
            (battery / name).write_text(value)

    def around(self, **more: Any) -> Surroundings:
        """Return the surroundings of a runner."""
        machine = ThisMachine(
            system_bus=self.system_bus,
            power_folder=str(self.folder / "power"),
            routes=str(self.folder / "route"),
            routes_6=str(self.folder / "route6"),
            resolve=lambda _: True,
        )
        values: dict[str, Any] = {
            "store": self.store,
            "machine": machine,
            "conditions": Conditions(machine, self.environment, lambda: self.now),
            "hooks": HookRunner(self.environment, self.output.open_for_hooks, self.ending.is_asked),
            "run_command": self._run_command,
            "output": self.output,
            "ending": self.ending,
            "now": lambda: self.now,
            "look_seconds": self.look_seconds,
        }
        world = self

        class Simulated(Surroundings, frozen=True):
            """Has the clock of the world."""

            def sleep(self, seconds: float) -> None:
                world.now += seconds

        return Simulated(**(values | more))

    def _run_command(self, arguments: Sequence[str]) -> NoReturn:
        # The streams of the test runner are not those of a process.
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False)) for number in (1, 2))
        name = next(word for word in arguments if word in ("backup", "forget", "prune", "check", "drill"))
        profile = arguments[arguments.index("-P") + 1]
        with open(self.folder / "started", "a") as file:
            file.write(f"{profile} {name}\n")
        code = self.behaviors.get(f"{profile} {name}", self.behaviors.get(name, succeed))(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def run(self, *profiles: Profile, tasks: tuple[TaskName, ...] = (), due: bool = True, **more: Any) -> int:
        """Run profiles and return the exit code."""
        return Runner(Request(profiles, tasks, due), self.around(**more)).run()

    def started(self) -> list[str]:
        """Return which commands started, and forget them."""
        try:
            lines = (self.folder / "started").read_text().splitlines()
            (self.folder / "started").unlink()
        except FileNotFoundError:
            return []
        return lines

    def said(self) -> list[str]:
        """Return the lines that were printed, and forget them."""
        lines, self.output.lines = self.output.lines, []
        return lines

    def record(self, profile: str = "home", task: str = "backup") -> TaskRecord:
        """Return what is remembered about a task."""
        found = self.store.read().profiles.get(profile)
        return TaskRecord() if found is None else found.find(task)
