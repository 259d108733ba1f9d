"""Who is told what by `run`, with a server on loopback, a desktop and a metrics file; and that no secret gets out."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.private_bus import PrivateBus, running_bus, wait_until
from tests.support.restic import PASSWORD
from tests.support.runner_machine import PROFILES, RunnerMachine, find_session
from tests.support.scripted import ScriptedServer, answer, scripted

pytestmark = pytest.mark.process

PING, TOPIC, HOOK, KEY = "0b5e2a17-ping-4f6e", "tk_ntfy0123456789", "T0123456789-hook", "K002planted-key"
NOTIFY = """
[profile.home.env]
B2_ACCOUNT_KEY = {{ file = "{folder}/key" }}
[notify]
ping = "http://ADDRESS/PING"
ntfy = {{ file = "{folder}/topic" }}
webhook = "http://ADDRESS/hooks/HOOK"
metrics-file = "{folder}/pyrestic.prom"
"""
NOTICES = ("org.freedesktop.Notifications", "/org/freedesktop/Notifications")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(lambda _method, _path: answer(200)) as running:
        yield running


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[PrivateBus]:
    folder = tmp_path / "bus"
    folder.mkdir()
    with running_bus(folder) as running:
        running.mock("notification_daemon", NOTICES[0])
        yield running


@pytest.fixture
def machine(tmp_path: Path, server: ScriptedServer, bus: PrivateBus) -> RunnerMachine:
    made = RunnerMachine(tmp_path)
    for name, text in (("topic", f"http://me:{TOPIC}@{server.address}/{TOPIC}"), ("key", KEY)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    notify = NOTIFY.replace("ADDRESS", server.address).replace("PING", PING).replace("HOOK", HOOK)
    made.write(PROFILES + notify)
    made.variables |= bus.environment
    return made


def pass_time(machine: RunnerMachine, hours: float) -> None:
    """Let all that is remembered be so much older."""
    path = machine.state / "runs.json"
    state = json.loads(path.read_text())
    state.pop("quiet_until", None)
    for task in state["profiles"]["home"]["tasks"].values():
        for name in ("started", "ended", "good_started", "good_ended"):
            if name in task:
                task[name] -= hours * 3600
    path.write_text(json.dumps(state))


def tick(machine: RunnerMachine, code: int = 0) -> str:
    """What a timer runs two hours later."""
    if (machine.state / "runs.json").exists():
        pass_time(machine, 2)
    return machine("run", "--due", "--task", "backup", code=code)


def hear(server: ScriptedServer) -> list[str]:
    """The requests since the last time, without what is secret in them."""
    heard = [path.replace(PING, "ping").replace(TOPIC, "topic").replace(HOOK, "hook") for _, path, _ in server.requests]
    server.requests.clear()
    return heard


def failures(machine: RunnerMachine) -> str:
    found = re.search(r'^pyrestic_task_failures\{profile="home",task="backup"\} (.*)$', metrics(machine), re.MULTILINE)
    assert found
    return found[1]


def metrics(machine: RunnerMachine) -> str:
    return (machine.folder / "pyrestic.prom").read_text()


def test_a_person_is_told_of_the_second_failure_and_of_its_end(
    machine: RunnerMachine, server: ScriptedServer, bus: PrivateBus
) -> None:
    said = tick(machine)
    assert hear(server) == ["/ping/start", "/ping"]
    assert failures(machine) == "0.0"
    (machine.folder / "password").write_text("planted password")
    said += tick(machine, code=12)
    assert hear(server) == ["/ping/start"]
    said += tick(machine, code=12)
    assert hear(server) == ["/ping/start", "/ping/fail", "/topic", "/hooks/hook"]
    assert failures(machine) == "2.0"
    failed = json.loads(server.bodies[-1])
    assert (failed["event"], failed["profile"], failed["task"]) == ("failed", "home", "backup")
    assert "It failed 2 times in a row." in failed["text"]
    said += tick(machine, code=12)
    assert hear(server) == ["/ping/start", "/ping/fail"]
    (machine.folder / "password").write_text(PASSWORD)
    said += tick(machine)
    assert hear(server) == ["/ping/start", "/ping", "/topic", "/hooks/hook"]
    recovered = json.loads(server.bodies[-1])
    assert (recovered["event"], recovered["summary"]["message_type"]) == ("recovered", "summary")
    titles = [call[3] for call in bus.calls(*NOTICES, "Notify")]
    assert titles == ["home: backup failed", "home: backup works again"]
    left = "".join(path.read_text() for path in [*machine.state.glob("*.*"), machine.folder / "pyrestic.prom"])
    shown = "".join(str(call) for call in bus.calls(*NOTICES, "Notify"))
    sent = b"".join(server.bodies).decode()
    for secret in (PING, TOPIC, HOOK, KEY, "planted password", PASSWORD):
        assert secret not in said + left + shown + sent


def test_a_signal_ends_a_run_whose_message_hangs(machine: RunnerMachine) -> None:
    hangs = f"touch {machine.folder}/hangs; exec sleep 3600"
    notify = f'[notify]\non = ["success"]\nntfy = {{{{ command = ["sh", "-c", "{hangs}"] }}}}\n'
    machine.write(PROFILES + notify)
    process = subprocess.Popen(
        [*machine.program.command, "run", "--due"], env=machine.environment(), start_new_session=True
    )
    wait_until((machine.folder / "hangs").exists, "the message")
    process.send_signal(signal.SIGTERM)
    # Two seconds on a machine that does nothing else.
    assert process.wait(20) == 130
    assert find_session(process.pid) == []
    assert "good_ended" in machine.record()


def test_messages_that_nobody_takes_are_named_and_end_a_run_with_3(
    machine: RunnerMachine, server: ScriptedServer
) -> None:
    server.reply = lambda _method, _path: answer(503)
    said = tick(machine, code=3)
    assert f"ping ({server.address}): {server.address} answered with status 503" in said
    assert PING not in said
    assert json.loads(machine("snapshots", "--json", "-P", "home"))
