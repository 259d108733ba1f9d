"""A laptop for two months: a mail file, hourly backups to B2 by a timer, nights, battery, lost networks, kills.

The clock is simulated, everything else is real: the runner, the commands in forked processes, the B2 service.
"""

import atexit
import contextlib
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from pyrestic.cli.main import run_forked
from pyrestic.profiles.load import load_profiles
from tests.support.b2 import BUCKET, make_quick_on_b2
from tests.support.restic import PASSWORD, ROOT, find_pyrestic
from tests.support.runner_world import World
from tools.b2_server import B2Server

RUNS = int(os.environ.get("PYRESTIC_TEST_STORY", "900"))
KEPT = (RUNS // 2, RUNS - 1)
"""The runs whose mail file is restored in the end."""
TICK = 600.0
HOUR = 3600.0
PROFILES = """
version = 1
[profile.home]
repo = "b2:{bucket}:laptop"
password = {{ file = "{folder}/password" }}
option = ["b2.endpoint={url}"]
env.B2_ACCOUNT_ID = "{key_id}"
env.B2_ACCOUNT_KEY = {{ file = "{folder}/b2.key" }}
[profile.home.backup]
source = ["{folder}/home"]
priority = "normal"
[profile.home.forget]
keep-last = 5000
[profile.home.prune]
[profile.home.check]
"""


@contextlib.contextmanager
def running_service(folder: Path) -> Iterator[dict[str, str]]:
    """Run the B2 service in a process of its own: this one forks, so it must not have threads of a server."""
    command = [sys.executable, str(ROOT / "tools" / "b2_server.py"), str(folder), "--control"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found: dict[str, str] = {}
        while "B2_ACCOUNT_KEY" not in found:
            line = process.stdout.readline()
            url = re.match(r"B2 on (\S+),", line)
            if url is not None:
                found["url"] = url[1]
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                found[name] = value
        yield found
    finally:
        process.terminate()
        process.wait()


class Laptop:
    """The machine, its owner's mail, and the world around it."""

    def __init__(self, folder: Path, service: dict[str, str]) -> None:
        self.folder = folder
        self.service = service
        self.program = find_pyrestic(folder)
        self.home = folder / "home"
        self.home.mkdir()
        self.mail = self.home / "mail" / "inbox"
        self.mail.parent.mkdir()
        self._chance = random.Random(13)
        for number in range(30):
            (self.home / f"{number}.txt").write_text(f"{self._chance.random()}\n" * 100)
        for name, text in (("password", PASSWORD), ("b2.key", service["B2_ACCOUNT_KEY"])):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        self.config = folder / "profiles.toml"
        values = {"bucket": BUCKET, "folder": folder, "url": service["url"], "key_id": service["B2_ACCOUNT_ID"]}
        self.config.write_text(PROFILES.format(**values))
        self.config.chmod(0o600)
        (folder / "world").mkdir()
        self.world = World(folder / "world")
        self.environment = self.program.environment(XDG_STATE_HOME=str(folder / "state"))
        self.kills = 0
        """Commands to kill."""

    def run_command(self, arguments: Sequence[str]) -> NoReturn:
        """Run a command in this forked process, at the time of the simulated clock."""
        # What the test runner does at its end is not for this process.
        atexit._clear()
        os.environ.clear()
        os.environ.update(self.environment)
        time.tzset()
        sys.argv = ["pyrestic"]
        if "backup" in arguments:
            moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.world.now))
            arguments = [*arguments, "--time", moment]
            if self.kills:
                threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGKILL)).start()
        run_forked(["--config", str(self.config), *arguments])

    def receive_mail(self) -> None:
        """Add a message; now and then mark an old one as read, or clean up."""
        words = "the quick brown fox jumps over the lazy dog " * self._chance.randrange(10, 40)
        with open(self.mail, "ab") as file:
            file.write(f"From {self._chance.random()}\nStatus: N\n\n{words}\n\n".encode())
        if self._chance.random() < 0.2:
            with open(self.mail, "r+b") as file:
                file.seek(self._chance.randrange(self.mail.stat().st_size))
                file.write(b"R")

    def call(self, *words: str | Path, files: int = 1024) -> str:
        """Run a plain command with the profile, with at most so many open files and no place for temporary ones."""
        limited = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *self.program.command]
        done = subprocess.run(
            [*limited, "--config", self.config, "-P", "home", *words],
            env={**self.environment, "TMPDIR": "/nonexistent"},
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def count_calls(self) -> Any:
        """Return what the service was asked for."""
        with urllib.request.urlopen(f"{self.service['url']}/_control/counters") as answer:
            return json.load(answer)


def live(laptop: Laptop, runs: int) -> tuple[list[str], list[float]]:
    """Live until so many backups were made; return their snapshots, and the CPU seconds of those that ran alone."""
    world, chance = laptop.world, random.Random(7)
    home = load_profiles(laptop.environment, str(laptop.config)).by_name["home"]
    snapshots: list[str] = []
    costs: list[float] = []
    killed = 0
    hour = 0.0
    while len(snapshots) < runs:
        world.now += TICK
        if not 7 <= world.now // HOUR % 24 < 23:
            continue
        if world.now // HOUR != hour:
            hour = world.now // HOUR
            laptop.receive_mail()
            world.set_battery("Discharging" if chance.random() < 0.15 else "Charging")
            world.set_online(chance.random() >= 0.1)
        laptop.kills = killed < 3 and len(snapshots) >= (killed + 1) * runs // 4
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        world.run(home, run_command=laptop.run_command)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = world.said()
        killed += any("SIGKILL" in line for line in lines)
        record = world.record()
        if record.good_started == world.now:
            snapshots.append(record.snapshot)
            if len(snapshots) - 1 in KEPT:
                shutil.copy(laptop.mail, laptop.folder / f"mail {len(snapshots) - 1}")
            if len([line for line in lines if ": waiting: " not in line]) == 1:
                costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert killed == 3
    return snapshots, costs


def service_as_object(service: dict[str, str]) -> SimpleNamespace:
    """Return what is needed of a service to reach it."""
    return SimpleNamespace(url=service["url"], master_id=service["B2_ACCOUNT_ID"], master_key=service["B2_ACCOUNT_KEY"])


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_two_months_of_a_laptop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_service(tmp_path / "b2") as service:
        laptop = Laptop(tmp_path, service)
        laptop.receive_mail()
        make_quick_on_b2(cast("B2Server", service_as_object(service)), f"{BUCKET}:laptop")
        started = laptop.world.now
        snapshots, costs = live(laptop, RUNS)
        days = (laptop.world.now - started) / 86_400
        counted = laptop.count_calls()
        assert len(set(snapshots)) == RUNS
        # Never two good runs within an hour, and nothing failed but what was killed.
        log = Path(laptop.world.store.folder)
        entries = [
            json.loads(line)
            for name in ("runs.log.1", "runs.log")
            if (log / name).exists()
            for line in (log / name).read_text().splitlines()
        ]
        failed = [one for one in entries if one["result"] == "failed"]
        assert [one["error"] for one in failed if "SIGKILL" not in one["error"]] == []
        versions = json.loads(laptop.call("history", "--json", str(laptop.mail)))
        present = [one for one in versions[0]["versions"] if one["state"] == "present"]
        assert len(present) == RUNS
        assert all(one["count"] == 1 for one in present)
        for number in KEPT:
            target = laptop.folder / f"restored {number}"
            laptop.call("restore", f"{snapshots[number]}:{laptop.mail.parent}", "--target", target, files=64)
            expected = (laptop.folder / f"mail {number}").read_bytes()
            restored = (target / "inbox").read_bytes()
            assert hashlib.sha256(restored).digest() == hashlib.sha256(expected).digest()
        laptop.call("check", "--read-data")
        cost = json.loads(laptop.call("cost", "--json", "--offline"))
    costs.sort()
    with capsys.disabled():
        print(
            f"\n{RUNS} runs in {days:.0f} days; CPU seconds of a run alone: median {costs[len(costs) // 2]:.2f}, most"
            f" {costs[-1]:.2f}"
        )
        print(f"calls: {counted}")
        print(f"cost: {json.dumps(cost)}")
