"""A charger that is pulled while a real backup runs slowly: it ends early, and the next run goes on."""

import atexit
import filecmp
import os
import random
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from pyrestic.cli.main import run_forked
from pyrestic.profiles.load import load_profiles
from tests.support.restic import Program
from tests.support.runner_machine import PROFILES, RunnerMachine
from tests.support.runner_world import World

pytestmark = pytest.mark.restic
KIB_PER_SECOND = 6000
FILES = 30
FILE_BYTES = 400_000
SECONDS = FILES * FILE_BYTES / 1024 / KIB_PER_SECOND
"""How long a backup takes at least."""
MAINS = PROFILES.replace('power = "any"', 'power = "mains"\ngrace = "0.1s"').replace(
    "[profile.home]", f"[profile.home]\nlimit-upload = {KIB_PER_SECOND}\npack-size = 4"
)


class PortableMachine(RunnerMachine):
    """A machine whose charger can be pulled, with the runner in this process and its commands in forked ones."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.write(MAINS)
        (folder / "world").mkdir()
        self.world = World(folder / "world")
        self.world.set_battery("Charging")
        chance = random.Random(3)
        for number in range(FILES):
            (self.source / f"folder{number % 5}").mkdir(exist_ok=True)
            (self.source / f"folder{number % 5}" / f"{number}").write_bytes(chance.randbytes(FILE_BYTES))

    def _run_forked(self, arguments: Sequence[str]) -> NoReturn:
        # What the test runner does at its end is not for this process.
        atexit._clear()
        environment = self.environment()
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["pyrestic"]
        run_forked(arguments)

    def run(self) -> int:
        """Run what is due."""
        home = load_profiles(self.environment(), str(self.profiles)).by_name["home"]
        return self.world.run(home, tasks=("backup",), run_command=self._run_forked)


def pull(folder: Path, restic: Program, seconds: float) -> None:
    """Pull the charger so long after the start of a backup."""
    folder.mkdir()
    machine = PortableMachine(folder)
    world = machine.world
    timer = threading.Timer(seconds, world.set_battery, ("Discharging",))
    timer.start()
    code = machine.run()
    timer.cancel()
    record = world.record()
    assert code in (0, 3), world.said()
    complete = not record.early
    assert complete == (record.good_started is not None)
    if not complete and restic.snapshots(machine.repository):
        assert (code, record.failures, record.waiting) == (3, 0, "on battery")
        (partial,) = restic.snapshots(machine.repository)
        assert partial["tags"] == ["pyrestic:partial"]
    restic.run("check", "--no-lock", "--read-data", repository=machine.repository)
    world.set_battery("Charging")
    world.now += 3600
    assert machine.run() == 0, world.said()
    assert world.record().good_started == world.now
    # What replaces the partial snapshot removes it.
    assert [one.get("tags") for one in restic.snapshots(machine.repository)] == [None] * (2 if complete else 1)
    restic.run("restore", "latest", "--target", folder / "restored", "--no-lock", repository=machine.repository)
    compared = filecmp.dircmp(machine.source, folder / "restored" / str(machine.source).lstrip("/"))
    for name, below in {".": compared, **compared.subdirs}.items():
        assert [*below.left_only, *below.right_only] == [], name
        assert filecmp.cmpfiles(below.left, below.right, below.common_files, shallow=False)[1:] == ([], [])


def test_a_pulled_charger_ends_a_backup_early(tmp_path: Path, newest: Program) -> None:
    pull(tmp_path / "one", newest, 0.6 * SECONDS)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_charger_may_be_pulled_at_any_moment(tmp_path: Path, newest: Program) -> None:
    for number in range(30):
        pull(tmp_path / f"{number}", newest, number / 30 * 1.2 * SECONDS)
