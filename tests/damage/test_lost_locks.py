"""Writing commands whose lock somebody removes at one of their system calls, one after the other.

What had been permitted goes on; nothing more is saved or removed but packs that nobody relies on, and the command ends
as one that lost its lock.
"""

import random
import shutil
from pathlib import Path

import pytest

from tests.damage.test_faults import check, kept, prepare
from tests.support import supervisor
from tests.support.restic import find_pyrestic, find_restic
from tests.support.scenarios import SCENARIOS, Scenario, State, make_state
from tests.support.supervisor import Action, Call, Supervised

pytestmark = pytest.mark.restic

SENTENCE = "Fatal: the lock was lost, another process has removed it\n"
SPREAD = 8
"""How many boundaries are tried in CI; the nightly run tries all of them."""
LOCKING = [scenario for scenario in SCENARIOS if scenario.name not in ("init", "unlock --remove-all", "restore")]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    supervisor.require()
    folder = tmp_path_factory.mktemp("lost")
    return make_state(folder, find_pyrestic(folder), find_restic("0.19", folder))


def run(scenario: Scenario, state: State, boundary: int | None) -> tuple[Supervised, bool]:
    """Run the command; its lock goes before the call of this number. Return whether there was one."""
    removed = []

    def decide(number: int, _call: Call) -> Action:
        if number == boundary:
            for name in state.names("locks"):
                (state.repository / "locks" / name).unlink()
                removed.append(name)
        return None

    command = [*state.pyrestic.command, "--repo", str(state.repository), *scenario.words(state)]
    environment = state.pyrestic.environment(RESTIC_CACHE_DIR=str(state.folder / "cache"))
    done = supervisor.run_supervised(command, state.repository, decide, environment=environment, cwd=state.folder)
    return done, bool(removed)


def is_guarded(call: Call) -> bool:
    """Whether a call begins to save, or removes, a file that others rely on: not an unfinished one."""
    folder = call.path.partition("/")[0]
    if folder == "locks" or (call.name.startswith("unlink") and "-tmp-" in call.path):
        return False
    return call.name.startswith("unlink") or (call.name == "openat to write" and folder != "data")


def find_fault(scenario: Scenario, original: State, folder: Path, boundary: int) -> str:
    """Remove the lock at one boundary; return what is wrong after it, "" for nothing."""
    state = prepare(scenario, original, folder)
    try:
        before = kept(scenario, state)
        done, lost = run(scenario, state, boundary)
        if boundary >= len(done.calls):
            return ""
        problems = []
        at = done.calls[boundary]
        later = [call for call in done.calls[boundary + 1 :] if is_guarded(call)]
        # Of two threads that remove files the other one may have been permitted, too.
        if lost and len(later) > (scenario.name not in ("rewrite", "copy")):
            problems.append(f"it goes on with {later}")
        if lost and not at.path.startswith("locks") and (done.code, done.err.count(SENTENCE)) != (11, 1):
            problems.append(f"it ends with {done.code}: {done.out}{done.err}")
        if scenario.intact:
            problems.append(check(state))
        missing = before - kept(scenario, state)
        problems.append(f"snapshots are lost: {missing}" if missing else "")
        found = "\n".join(filter(None, problems))
        return f"{scenario.name}: the lock goes at {at}, call {boundary} of {len(done.calls)}: {found}" if found else ""
    finally:
        shutil.rmtree(folder)


def campaign(scenario: Scenario, original: State, folder: Path, *, spread: int | None) -> None:
    """Count the boundaries of the command at which it holds its lock, then try `spread` of them, all for None."""
    counted = prepare(scenario, original, folder / "counted")
    plain, _ = run(scenario, counted, None)
    assert plain.code == scenario.code, plain.err
    boundaries = [number for number, call in enumerate(plain.calls) if not call.path.startswith("locks")]
    assert any(is_guarded(plain.calls[number]) for number in boundaries)
    if spread is not None:
        boundaries = sorted(random.Random(scenario.name).sample(boundaries, spread))
    found = [find_fault(scenario, original, folder / f"{number}", number) for number in boundaries]
    assert not any(found), "\n\n".join(filter(None, found))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "scenario", [one for one in LOCKING if one.name in ("rewrite", "copy")], ids=lambda one: one.name
)
def test_a_spread_of_moments_at_which_the_lock_goes(scenario: Scenario, state: State, tmp_path: Path) -> None:
    campaign(scenario, state, tmp_path, spread=SPREAD)


@pytest.mark.nightly
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("scenario", LOCKING, ids=lambda one: one.name)
def test_the_lock_goes_at_every_change(scenario: Scenario, state: State, tmp_path: Path) -> None:
    campaign(scenario, state, tmp_path, spread=None)
