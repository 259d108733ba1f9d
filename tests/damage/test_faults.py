"""Every writing command, killed before and failed at its system calls, one after the other.

Whatever happens, the real check calls the repository intact, no reported snapshot is lost, an exit code of 0 means that
the work is done, and the same command again finishes it.
"""

import errno
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import supervisor
from tests.support.restic import find_pyrestic, find_restic
from tests.support.scenarios import SCENARIOS, Scenario, State, make_state
from tests.support.supervisor import KILL, Action, Call, Supervised

pytestmark = pytest.mark.restic

ERRNOS = (errno.EIO, errno.ENOSPC, errno.EACCES)
SPREAD = 3
"""At how many boundaries of each of 17 commands CI kills it, and at how many a call fails; the night tries all."""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    supervisor.require()
    folder = tmp_path_factory.mktemp("faults")
    return make_state(folder, find_pyrestic(folder), find_restic("0.19", folder))


def prepare(scenario: Scenario, original: State, folder: Path) -> State:
    state = original.copy(folder)
    scenario.prepare(state)
    if scenario.targets:
        state.target.mkdir()
    return state


def run(scenario: Scenario, state: State, fault: tuple[int, Action] | None, *, reads: bool = False) -> Supervised:
    """Run the command; at the boundary of the fault's number it happens."""

    def decide(number: int, _call: Call) -> Action:
        return fault[1] if fault is not None and number == fault[0] else None

    command = [*state.pyrestic.command, "--repo", str(state.repository), *scenario.words(state)]
    folder = state.target if scenario.targets else state.repository
    environment = state.pyrestic.environment(RESTIC_CACHE_DIR=str(state.folder / "cache"))
    return supervisor.run_supervised(
        command, folder, decide, environment=environment, cwd=state.folder, reads=reads, seconds=200
    )


def check(state: State) -> str:
    """Return what the real check finds, "" for nothing."""
    done = state.restic.run("check", "--no-lock", "--read-data", repository=state.repository, code=None)
    return "" if done.code == 0 else (done.text + done.stderr.decode())[-2000:]


def kept(scenario: Scenario, state: State) -> set[str]:
    """Return the snapshots that may never be lost, by the ID they had first."""
    if not (state.repository / "config").exists():
        return set()
    found = state.restic.snapshots(state.repository)
    return {
        str(one.get("original", one["id"]))
        for one in found
        if all(scenario.keeps(tag) for tag in one.get("tags") or ())
    }


def find_fault(scenario: Scenario, original: State, folder: Path, fault: tuple[int, Action], *, reads: bool) -> str:
    """Try one fault; return what is wrong after it, "" for nothing."""
    state = prepare(scenario, original, folder)
    try:
        before = kept(scenario, state)
        done = run(scenario, state, fault, reads=reads)
        if fault[0] >= len(done.calls):
            # Threads take turns: this run had fewer calls.
            return ""
        where = f"{done.calls[fault[0]]} of {len(done.calls)}"
        problems = [] if fault[1] == KILL else _problems_of_failure(scenario, state, done)
        if scenario.intact or (problems == [] and done.code == scenario.code):
            problems.append(check(state))
        missing = before - kept(scenario, state)
        problems.append(f"snapshots are lost: {missing}" if missing else "")
        for words in filter(None, (scenario.words, scenario.then)):
            if not scenario.done(state):
                again = run(replace(scenario, words=words), state, None)
                problems.append(
                    "" if again.code in (0, scenario.code) else f"the next run ends with {again.code}: {again.err}"
                )
        problems.append("" if scenario.done(state) else "the next run does not end the work")
        problems.append(check(state))
        found = "\n".join(filter(None, problems))
        shown = fault[1] if isinstance(fault[1], str) else errno.errorcode[fault[1] or 0]
        return f"{scenario.name}: {shown} at {where} (exit code {done.code}): {found}" if found else ""
    finally:
        shutil.rmtree(folder)


def _problems_of_failure(scenario: Scenario, state: State, done: Supervised) -> list[str]:
    problems = []
    if done.code in (0, scenario.code) and not scenario.done(state):
        problems.append(f"it ended with {done.code} and has not done its work: {done.out}{done.err}")
    if "Traceback" in done.err or "unexpected error" in done.err:
        problems.append(f"it ended with a traceback: {done.err}")
    if done.code < 0:
        problems.append(f"a signal ended it: {done.code}")
    if done.code > 0 and not done.err:
        problems.append("it failed without a word")
    return problems


def count_calls(scenario: Scenario, original: State, folder: Path, *, reads: bool = False) -> list[Call]:
    """Run the command without a fault; return its calls."""
    counted = prepare(scenario, original, folder / "counted")
    plain = run(scenario, counted, None, reads=reads)
    assert plain.code == scenario.code, plain.err
    assert scenario.done(counted)
    assert check(counted) == ""
    assert plain.calls, plain.out
    return plain.calls


def failure_at(scenario: Scenario, number: int) -> tuple[int, Action]:
    return number, ERRNOS[(number + SCENARIOS.index(scenario)) % len(ERRNOS)]


def campaign(
    scenario: Scenario, original: State, folder: Path, faults: list[tuple[int, Action]], *, reads: bool = False
) -> None:
    """Try the faults, one after the other; none does harm."""
    assert faults
    found = []
    for index, fault in enumerate(faults):
        problem = find_fault(scenario, original, folder / f"{index}", fault, reads=reads)
        found += [problem] if problem else []
    assert not found, "\n\n".join([f"{len(found)} of {len(faults)} faults:", *found])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_spread_of_kills_and_failures_harms_nothing(scenario: Scenario, state: State, tmp_path: Path) -> None:
    count = len(count_calls(scenario, state, tmp_path))
    dice = random.Random(scenario.name)
    kills, fails = (sorted(dice.sample(range(count), min(SPREAD, count))) for _ in range(2))
    faults = [*(failure_at(scenario, number) for number in fails), *((number, KILL) for number in kills)]
    campaign(scenario, state, tmp_path, faults)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_failure_at_every_change_harms_nothing(scenario: Scenario, state: State, tmp_path: Path) -> None:
    numbers = range(len(count_calls(scenario, state, tmp_path)))
    campaign(scenario, state, tmp_path, [failure_at(scenario, number) for number in numbers])


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_kill_at_every_change_harms_nothing(scenario: Scenario, state: State, tmp_path: Path) -> None:
    numbers = range(len(count_calls(scenario, state, tmp_path)))
    campaign(scenario, state, tmp_path, [(number, KILL) for number in numbers])


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_failure_at_every_read_harms_nothing(scenario: Scenario, state: State, tmp_path: Path) -> None:
    calls = count_calls(scenario, state, tmp_path, reads=True)
    faults = [failure_at(scenario, number) for number, call in enumerate(calls) if not call.changes]
    campaign(scenario, state, tmp_path, faults, reads=True)
