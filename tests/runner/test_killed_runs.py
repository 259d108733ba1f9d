"""`run --due`, killed before its changes of state and repository, one after the other.

Whatever happens, the state can be read, the real check calls the repository intact, nothing stays locked, and the next
run ends the work.
"""

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from pyrestic.runner.place_lock import PlaceLock
from pyrestic.runner.places import find_location
from tests.support import supervisor
from tests.support.profiles import make_profile
from tests.support.restic import find_restic
from tests.support.runner_machine import RunnerMachine, find_session, kill_session
from tests.support.supervisor import KILL, Action, Call, Supervised

pytestmark = pytest.mark.restic
SPREAD = 3
"""How many calls are tried in CI; the nightly run tries all of them."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine that has never run, and one file that fills several packs."""
    supervisor.require()
    folder = tmp_path_factory.mktemp("killed") / "machine"
    folder.mkdir()
    machine = RunnerMachine(folder)
    (machine.source / "large").write_bytes(random.Random(1).randbytes(3 << 20))
    return folder


def copy(original: Path, folder: Path) -> RunnerMachine:
    """Return a copy of a machine, whose profile names the copy."""
    machine = RunnerMachine(folder)
    shutil.rmtree(machine.source)
    shutil.copytree(original / "source", machine.source)
    return machine


def run(machine: RunnerMachine, kill_at: int | None, *, whole: bool) -> Supervised:
    """Run what is due, and kill the runner before a call, with the command it runs or without."""

    def decide(number: int, _call: Call) -> Action:
        if number != kill_at:
            return None
        if not whole:
            return KILL
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for child in children:
            kill_session(int(child))
        return None

    command = [*machine.program.command, "run", "--due"]
    return supervisor.run_supervised(
        command, machine.folder, decide, environment=machine.environment(), cwd=machine.folder.parent, seconds=100
    )


def find_problem(original: Path, folder: Path, kill_at: int, *, whole: bool) -> str:
    """Kill a run once; return what is wrong afterwards, "" for nothing."""
    folder.mkdir()
    try:
        machine = copy(original, folder)
        done = run(machine, kill_at, whole=whole)
        if kill_at >= len(done.calls):
            # Threads take turns: this run had fewer calls.
            return ""
        where = f"{done.calls[kill_at]} of {len(done.calls)}, {'with' if whole else 'without'} its command"
        lock = PlaceLock(str(machine.state), find_location(make_profile("home", repo=machine.repository)))
        deadline = time.monotonic() + 60
        while lock.is_held():
            # The command that outlives its runner keeps it.
            if time.monotonic() > deadline:
                return f"{where}: the lock is still held"
            time.sleep(0.05)
        said = machine("status", code=None)
        if "Fatal" in said:
            return f"{where}: status says {said}"
        # By hand: what was killed is due again only after five minutes.
        again = machine("run", "--task=backup,forget", code=None)
        restic = find_restic("0.19", folder)
        checked = restic.run("check", "--no-lock", "--read-data", repository=machine.repository, code=None)
        problems = [
            "" if checked.code == 0 else f"check says {checked.text}{checked.stderr.decode()}",
            "" if machine.record().get("good_ended") and not machine.record().get("code") else f"run says {again}",
            "" if (said := machine("status", code=None)).endswith("home: all well.\n") else said,
            "" if machine("run", "--due", code=None) == "" else "something is due again",
        ]
        found = "\n".join(filter(None, problems))
        return f"{where}: {found}" if found else ""
    finally:
        shutil.rmtree(folder)


def campaign(original: Path, folder: Path, spread: int | None) -> None:
    (folder / "counted").mkdir()
    calls = len(run(copy(original, folder / "counted"), None, whole=False).calls)
    assert calls > 50
    numbers = range(calls) if spread is None else [calls * (2 * one + 1) // (2 * spread) for one in range(spread)]
    found = []
    for number in numbers:
        for whole in (True, False) if spread is None else (number % 2 == 0,):
            problem = find_problem(original, folder / f"{number} {whole}", number, whole=whole)
            found += [problem] if problem else []
    assert "\n\n".join(found) == ""


def test_a_killed_run_does_no_harm(original: Path, tmp_path: Path) -> None:
    campaign(original, tmp_path, SPREAD)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_a_run_killed_at_any_call_does_no_harm(original: Path, tmp_path: Path) -> None:
    campaign(original, tmp_path, None)


def test_the_processes_of_a_session_are_found() -> None:
    assert os.getpid() in find_session(os.getsid(0))
