"""pyrestic run, status, pause and resume, as a person and a timer call them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyrestic.runner.records import ProfileRecord, TaskRecord
from pyrestic.runner.state import RunStore
from tests.support.cli import Caller
from tests.support.runner_machine import PROFILES, RunnerMachine


@pytest.fixture
def machine(tmp_path: Path) -> RunnerMachine:
    return RunnerMachine(tmp_path)


@pytest.mark.process
def test_a_timer_and_a_person_use_the_same_profile(machine: RunnerMachine) -> None:
    assert "would run: it never ran" in machine("run", "--due", "--dry-run")
    first = machine("run", "--due")
    backup, forget = first.splitlines()
    assert backup.startswith("home: backup: 1 file, ")
    assert forget.startswith("home: forget: 1 snapshot kept, 0 removed, ")
    assert machine("run", "--due") == ""
    assert (machine.state / "output.log").read_text() == first
    row = machine("status").splitlines()[2].split()
    assert row[:3] == ["home", "just", "now"]
    kept, size, unit, *rest = row[row.index("now") + 4 :]
    assert (kept, unit, rest) == ("1", "KiB", [f"{machine.folder}/repository", "never", "never"])
    assert float(size) >= 1
    again = [json.loads(line) for line in machine("run", "home", "--task", "backup,check", "--json").splitlines()]
    assert [(one["task"], one["result"]) for one in again] == [("backup", "success"), ("check", "success")]
    state = json.loads(machine("status", "--online", "--json"))
    (home,) = state["profiles"]
    assert (home["well"], home["kept"], home["online"]["snapshots"]) == (True, 2, 2)
    assert home["last_good_snapshot"] == again[0]["summary"]["snapshot_id"]


@pytest.mark.process
def test_a_profile_without_a_backup_is_told(machine: RunnerMachine) -> None:
    machine.write(PROFILES.replace("[profile.home.backup]", "[profile.home.prune]").partition("source =")[0])
    assert machine("run", "home", "--dry-run").splitlines()[0] == (
        "home: there is nothing to back up, as the profile has no table backup"
    )
    assert "has no table backup" in machine("run", "home", "--task", "backup", code=1)


@pytest.mark.process
def test_a_tick_that_has_nothing_to_do_imports_and_uses_little(machine: RunnerMachine) -> None:
    machine("run", "--due")
    script = """
import sys
from pyrestic.cli.tick import has_nothing_to_do
sys.argv[1:] = ["run", "--due"]
assert has_nothing_to_do()
modules = " ".join(sys.modules)
with open("/proc/self/status") as file:
    print(modules, next(line for line in file if line.startswith("VmHWM")).split()[1])
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=machine.environment(), capture_output=True, text=True, check=True)
    *modules, peak = done.stdout.split()
    assert {"click", "msgspec", "tomllib", "numpy", "dataclasses"} & set(modules) == set()
    assert int(peak) < 20 << 10, "KiB"


@pytest.mark.process
def test_a_failure_is_the_exit_code_and_no_secret_is_shown(machine: RunnerMachine) -> None:
    (machine.folder / "password").write_text("wrong secret")
    said = machine("run", "--due", code=12, JOURNAL_STREAM="8:1")
    assert said.startswith("home: backup: failed: ")
    assert "secret" not in said
    assert not (machine.state / "output.log").exists()
    assert "secret" not in "".join(path.read_text() for path in machine.state.glob("runs.*"))
    assert "home: backup failed: " in machine("status", code=4)


@pytest.fixture
def configured(call: Caller) -> Caller:
    folder = call.folder / "config" / "pyrestic"
    folder.mkdir(parents=True)
    (folder / "profiles.toml").write_text(PROFILES.format(folder=call.folder))
    (folder / "profiles.toml").chmod(0o600)
    call.environment |= {
        "XDG_CONFIG_HOME": str(call.folder / "config"),
        "XDG_STATE_HOME": str(call.folder / "state"),
    }
    return call


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace("keep-last", "keep-lost"), "keep-lost"),
        (lambda text: text.replace("version = 1", "version = 9"), "version"),
        (lambda text: text + "[", "profiles.toml"),
    ],
)
def test_a_wrong_profile_is_one_sentence_and_nothing_runs(
    change: Callable[[str], str], sentence: str, configured: Caller
) -> None:
    file = configured.folder / "config" / "pyrestic" / "profiles.toml"
    file.write_text(change(file.read_text()))
    outcome = configured("run", "--due")
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.startswith("Fatal: ")
    assert sentence in outcome.err
    assert not (configured.folder / "state").exists()


def test_names_and_tasks_that_do_not_exist_are_refused(configured: Caller) -> None:
    assert "there is no profile 'hime'" in configured("run", "hime").err
    assert "there is no task 'chek'" in configured("run", "--task", "chek").err
    assert "there is no profile" in configured("status", XDG_CONFIG_HOME=str(configured.folder / "other")).err


def test_a_task_that_a_profile_has_not_is_no_success(configured: Caller) -> None:
    for words in (["home", "--task", "prune"], ["--task", "check,prune"]):
        outcome = configured("run", *words)
        assert outcome.code == 1
        assert "profile home has no table prune" in outcome.err


def test_a_pause_lasts_until_it_ends(configured: Caller) -> None:
    paused = configured("pause", "3h")
    assert paused.out.startswith("Nothing runs by itself until ")
    assert configured("run", "--due").out == ""
    assert "paused until" in configured("run", "--due", "-v").out
    assert "Nothing runs by itself: paused until" in configured("status").out
    assert json.loads(configured("status", "--json").out)["paused_until"] is not None
    assert configured("resume").out == "What is due runs again by itself.\n"
    assert configured("resume").out == "There was no pause.\n"
    assert configured("pause", "soon").code == 1
    assert configured("pause").code == 1


def test_the_status_has_a_code_of_its_own_for_what_needs_a_person(configured: Caller) -> None:
    assert configured("status").code == 0
    store = RunStore(str(configured.folder / "state" / "pyrestic"))
    store.change(lambda runs: runs.profiles.update(home=ProfileRecord(first_seen=1.0)))
    outcome = configured("status")
    assert outcome.code == 4
    assert "never  OVERDUE" in outcome.out
    good = TaskRecord(good_started=time.time(), good_ended=time.time(), failures=1, error="no answer")
    store.change(lambda runs: runs.profiles["home"].tasks.update(backup=good))
    outcome = configured("status", "home")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (4, "home: backup failed: no answer.")


def test_a_state_that_others_may_write_is_refused(configured: Caller) -> None:
    folder = configured.folder / "state" / "pyrestic"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    outcome = configured("run", "--due")
    assert outcome.code == 1
    assert "other users may write" in outcome.err
