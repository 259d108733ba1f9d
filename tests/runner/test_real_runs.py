"""Several real runs at once, and runs on a disk that is full: what is left is whole, and the next run ends the work."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.private_bus import wait_until
from tests.support.restic import find_restic
from tests.support.runner_machine import PROFILES, RunnerMachine

pytestmark = pytest.mark.restic


def start(machine: RunnerMachine, *words: str, **variables: str) -> "subprocess.Popen[str]":
    """Start the program."""
    return subprocess.Popen(
        [*machine.program.command, *words],
        env=machine.environment() | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def count_snapshots(machine: RunnerMachine) -> int:
    """Let the real restic check the repository, and return the number of its snapshots."""
    restic = find_restic("0.19", machine.folder)
    restic.run("check", "--read-data", repository=machine.repository)
    return len(restic.run("snapshots", "--json", repository=machine.repository).json)


def test_a_second_run_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    machine = RunnerMachine(tmp_path)
    wait = f"touch {tmp_path}/began; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    machine.write(PROFILES + f'[profile.home.hooks]\nbefore = [["sh", "-c", "{wait}"]]\n')
    first = start(machine, "run", "home", "--task", "backup")
    wait_until((tmp_path / "began").exists, "the first run")
    second = start(machine, "run", "home", "--task", "backup")
    assert second.stdout is not None
    assert second.stdout.readline() == "home: backup: waiting for backup of home\n"
    # A timer does not wait.
    assert machine("run", "--due") == ""
    (tmp_path / "go").touch()
    for process in (first, second):
        said, _ = process.communicate(timeout=100)
        assert (process.returncode, said.startswith("home: backup: 1 file")) == (0, process is first), said
    assert count_snapshots(machine) == 2


def test_two_clones_use_one_repository_at_once(tmp_path: Path) -> None:
    """Clones have the same machine ID and host name, but each has its own home and state."""
    machine = RunnerMachine(tmp_path)
    homes = [tmp_path / name for name in ("one", "two")]
    clones = [
        {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "XDG_CACHE_HOME": str(home / "cache")}
        for home in homes
    ]
    running = [start(machine, "run", "home", **clone) for clone in clones]
    for process in running:
        said, _ = process.communicate(timeout=200)
        assert process.returncode == 0, said
    for home in homes:
        tasks = json.loads((home / "state" / "pyrestic" / "runs.json").read_text())["profiles"]["home"]["tasks"]
        assert [("good_ended" in one, one.get("failures", 0)) for one in tasks.values()] == [(True, 0)] * 2
    assert count_snapshots(machine) == 2
    assert list((machine.repository / "locks").iterdir()) == []


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of 2 MiB for the time of a with block."""
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(line, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_really_full_is_an_error_and_made_up_for(tmp_path: Path) -> None:
    machine = RunnerMachine(tmp_path)
    disk = tmp_path / "disk"
    with small_disk(disk):
        # Empty folders need no space there.
        shutil.copytree(machine.repository, disk / "repository")
        machine.repository = disk / "repository"
        machine.variables["XDG_STATE_HOME"] = str(disk / "state")
        machine.state = disk / "state" / "pyrestic"
        machine.write(PROFILES.replace("{folder}/repository", "{folder}/disk/repository"))
        (machine.source / "large").write_bytes(os.urandom(4 << 20))
        # The disk has no space for the data, or not even for the state.
        assert "no space left on device" in machine("run", "home", "--task", "backup", code=1)
        assert machine.record()["failures"] == 1
        with open(disk / "filler", "wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        said = machine("run", "home", "--task", "backup", code=1)
        assert "the state cannot be written" in said
        assert "Traceback" not in said
        subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
        machine("run", "home", "--task", "backup")
        assert machine("status").endswith("home: all well.\n")
        assert count_snapshots(machine) == 1
