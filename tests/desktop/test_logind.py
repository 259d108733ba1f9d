"""Holding off sleep with the real logind, on a machine of our own."""

import sys
from collections.abc import Iterator

import pytest

from tests.support.own_machine import OwnMachine, running_machine
from tests.support.restic import ROOT

pytestmark = pytest.mark.process

HOLD = """
import os, subprocess, sys
import jeepney.io.blocking
from pyrestic.desktop.bus import find_system_bus
from pyrestic.desktop.sleep import hold_sleep_off, watch_sleep
uid = int(sys.argv[1])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
with hold_sleep_off(find_system_bus({}), "backup of home") as why_not, watch_sleep(find_system_bus({})) as signals:
    print(why_not)
    print(signals.wait(0.0))
    subprocess.run(["systemd-inhibit", "--list", "--no-legend"])
print("after", flush=True)
subprocess.run(["systemd-inhibit", "--list", "--no-legend"])
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMachine]:
    with running_machine(tmp_path_factory.mktemp("machine")) as running:
        running.start_logind()
        yield running


def hold(machine: OwnMachine, uid: int) -> list[str]:
    done = machine.run(sys.executable, "-u", "-c", HOLD, str(uid), PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_root_holds_off_sleep_and_idling_until_the_block_ends(machine: OwnMachine) -> None:
    why_not, signal, held, *rest = hold(machine, 0)
    assert (why_not, signal) == ("", "None")
    assert held.split()[0] == "pyrestic"
    assert held.split()[5:] == ["sleep:idle", "backup", "of", "home", "block"]
    assert rest[0] == "after"
    assert not any("pyrestic" in line for line in rest)


def test_a_refusal_is_told_and_the_block_runs(machine: OwnMachine) -> None:
    why_not, signal, *rest = hold(machine, 65534)
    assert "denied" in why_not.lower() or "authentication" in why_not.lower()
    assert signal == "None"
    assert not any("pyrestic" in line for line in rest)
