"""The commands around tasks."""

import contextlib
import json
import os
import time
from pathlib import Path

import pytest

from pyrestic.profiles.profile import Command
from pyrestic.runner.hooks import HookFacts, HookFailure, HookRunner
from tests.support.profiles import make_profile
from tests.support.runner_world import World, fail

pytestmark = pytest.mark.process
FACTS = HookFacts("home", "backup")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(*commands: Command, seconds: float = 60.0) -> HookFailure | None:
    return HookRunner({"PATH": os.environ["PATH"]}, lambda: 2).run(commands, FACTS, seconds)


def note(world: World, word: str) -> str:
    """Return a shell command that writes down a word, the task and its result."""
    return f'echo "{word} $PYRESTIC_PROFILE $PYRESTIC_TASK $PYRESTIC_RESULT $PYRESTIC_EXIT_CODE" >>{world.folder}/notes'


def notes(world: World) -> list[str]:
    path = world.folder / "notes"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line.rstrip() for line in lines]


def wait_for_end(pid: int) -> None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while " Z " not in Path(f"/proc/{pid}/stat").read_text():
            time.sleep(0.01)


def test_hooks_run_before_and_after_by_result(world: World) -> None:
    hooks = {
        "before": (note(world, "before"),),
        "after": (note(world, "after"),),
        "failed": (note(world, "failed"),),
        "finally_": (note(world, "finally"),),
    }
    home = make_profile("home", hooks=hooks)
    assert world.run(home) == 0
    assert notes(world) == ["before home backup", "after home backup success 0", "finally home backup success 0"]
    world.behaviors["backup"] = fail(10, "no repository")
    assert world.run(home, due=False) == 10
    assert notes(world) == ["before home backup", "failed home backup failed 10", "finally home backup failed 10"]


def test_a_hook_before_that_fails_prevents_the_backup(world: World) -> None:
    finally_ = (note(world, "finally"),)
    home = make_profile("home", hooks={"before": ("exit 3",), "failed": (note(world, "failed"),), "finally_": finally_})
    assert world.run(home) == 1
    assert world.started() == []
    assert notes(world) == ["failed home backup failed 1", "finally home backup failed 1"]
    assert world.record().error == "the hook 'exit 3' failed with exit code 3"


def test_a_hook_before_that_says_so_lets_the_task_wait(world: World) -> None:
    home = make_profile("home", hooks={"before": ("exit 75",), "finally_": (note(world, "finally"),)})
    for _ in range(2):
        assert world.run(home) == 0
    assert world.started() == []
    assert notes(world) == ["finally home backup waiting 0"] * 2
    record = world.record()
    assert (record.waiting, record.failures, record.started) == ("the hook 'exit 75' says so", 0, None)


def test_a_hook_after_that_fails_is_noted_and_the_backup_stays_good(world: World) -> None:
    home = make_profile("home", hooks={"after": ("exit 1", "true")})
    assert world.run(home) == 3
    assert world.said()[-1] == "home: backup: the hook 'exit 1' failed with exit code 1"
    assert (world.record().failures, world.record().code) == (0, 0)


def test_hooks_get_the_summary_and_no_secret(world: World) -> None:
    world.environment = {
        "PATH": os.environ["PATH"],
        "RESTIC_PASSWORD": "secret",
        "B2_ACCOUNT_KEY": "secret",
        "COLOR": "blue",
    }
    script = f"env >{world.folder}/env; cat >{world.folder}/summary"
    assert world.run(make_profile("home", hooks={"after": (script,)})) == 0
    environment = dict(line.split("=", 1) for line in (world.folder / "env").read_text().splitlines() if "=" in line)
    assert environment["PYRESTIC_SNAPSHOT_ID"] == "5ab" * 21 + "d"
    assert environment["COLOR"] == "blue"
    assert "secret" not in str(environment)
    assert json.loads((world.folder / "summary").read_text())["files_new"] == 2


def test_a_hook_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    hang = f"trap '' TERM; sleep 1000 & echo $! >{tmp_path}/pid; sleep 1000"
    failure = run(("true",), f"sh -c '{hang.replace(chr(39), chr(34))}'", seconds=0.3)
    assert failure is not None
    assert failure.message.endswith("did not end within 0.3 seconds")
    wait_for_end(int((tmp_path / "pid").read_text()))


def test_a_hook_that_reads_nothing_blocks_nothing() -> None:
    facts = HookFacts("home", "backup", summary=b"x" * (1 << 20))
    assert HookRunner({"PATH": os.environ["PATH"]}, lambda: 2).run([("true",)], facts, 60) is None


def test_a_command_that_does_not_exist_is_named() -> None:
    assert run(("/nonexistent", "x")) == HookFailure(
        "the hook '/nonexistent x' could not be started: No such file or directory"
    )


def test_a_signal_to_the_runner_ends_a_hook_but_the_last_ones_run(world: World) -> None:
    world.ending.count = 1
    home = make_profile("home", hooks={"finally_": (note(world, "finally"),)})
    hooks = HookRunner(world.environment, lambda: 2, world.ending.is_asked)
    failure = hooks.run([("sleep", "1000")], FACTS, 60)
    assert failure == HookFailure("the hook 'sleep 1000' was interrupted")
    assert hooks.run(home.hooks.finally_, FACTS, 60, to_the_end=True) is None
    assert len(notes(world)) == 1
