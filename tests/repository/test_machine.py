"""When the process that left a lock counts as dead, and when nobody can know."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.format import gojson
from pyrestic.format.lock import LockFile
from pyrestic.repository.machine import Machine

BOOTED_AT = 1_700_000_000
NOW = BOOTED_AT + 100_000.0
TICKS = os.sysconf("SC_CLK_TCK")
HOST = "lighthouse"
ROOT = Path(__file__).parents[2]


def at(seconds: float) -> str:
    return gojson.format_time(int(seconds * 1e9), 0)


class FakeMachine:
    """A /proc of files, and the Machine that reads it."""

    def __init__(self, folder: Path, *, namespace: str = "pid:[4026531836]", boot: str = "boot-1") -> None:
        self.folder = folder
        (folder / "proc" / "self" / "ns").mkdir(parents=True)
        (folder / "proc" / "self" / "ns" / "pid").symlink_to(namespace)
        (folder / "proc" / "sys" / "kernel" / "random").mkdir(parents=True)
        (folder / "proc" / "sys" / "kernel" / "random" / "boot_id").write_text(f"{boot}\n")
        (folder / "proc" / "stat").write_text(f"cpu 1 2 3\nbtime {BOOTED_AT}\nprocesses 5\n")
        (folder / "machine-id").write_text("0123456789abcdef\n")
        self.add(1, "systemd", started_at=BOOTED_AT)
        self.add(500, "python3", started_at=NOW - 1)
        self.hidden: set[int] = set()

    def add(self, pid: int, name: str, *, started_at: float, state: str = "S", inner: tuple[int, ...] = ()) -> None:
        folder = self.folder / "proc" / str(pid)
        folder.mkdir(exist_ok=True)
        numbers = "\t".join(map(str, (pid, *inner)))
        (folder / "status").write_text(f"Name:\t{name}\nNSpid:\t{numbers}\n")
        ticks = int((started_at - BOOTED_AT) * TICKS)
        fields = " ".join(["0"] * 18)
        (folder / "stat").write_text(f"{pid} ({name}) {state} {fields} {ticks} 0 0\n")

    def machine(self, pid: int = 500) -> Machine:
        return Machine(
            hostname=HOST,
            pid=pid,
            proc=str(self.folder / "proc"),
            machine_id_file=str(self.folder / "machine-id"),
            exists=lambda number: number in self.hidden or (self.folder / "proc" / str(number)).exists(),
        )

    def is_dead(self, lock: LockFile, now: float = NOW) -> bool:
        return self.machine().is_certainly_dead(lock, now)


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "here")


def lock_of(pid: int, *, written_at: float = NOW - 60, hostname: str = HOST) -> LockFile:
    """A lock as restic writes it."""
    return LockFile(time=at(written_at), exclusive=True, hostname=hostname, username="root", pid=pid)


def test_a_lock_of_restic_whose_process_is_gone_is_dead(fake: FakeMachine) -> None:
    assert fake.is_dead(lock_of(4711))
    assert fake.machine().seems_dead(lock_of(4711), NOW)


def test_a_lock_of_restic_whose_process_runs_is_alive(fake: FakeMachine) -> None:
    fake.add(4711, "restic", started_at=NOW - 500)
    assert not fake.is_dead(lock_of(4711))
    assert not fake.machine().seems_dead(lock_of(4711), NOW)


@pytest.mark.parametrize("hostname", ["elsewhere", "", "LIGHTHOUSE", "lighthouse.local"])
def test_locks_of_other_hosts_are_never_dead(fake: FakeMachine, hostname: str) -> None:
    for written_at in (0, BOOTED_AT - 100_000, NOW):
        assert not fake.is_dead(lock_of(4711, written_at=written_at, hostname=hostname))
        assert not fake.machine().seems_dead(lock_of(4711, written_at=written_at, hostname=hostname), NOW)


@pytest.mark.parametrize("hostname", ["", "localhost"])
def test_a_host_name_that_says_nothing_proves_nothing(hostname: str) -> None:
    machine = Machine(hostname=hostname)
    assert not machine.is_certainly_dead(lock_of(4711, hostname=hostname), NOW)


@pytest.mark.parametrize("pid", [0, -1, -4711])
def test_a_number_that_is_no_process_proves_nothing(fake: FakeMachine, pid: int) -> None:
    assert not fake.is_dead(lock_of(pid))
    assert not fake.machine().seems_dead(lock_of(pid), NOW)


def test_a_process_that_started_after_the_lock_is_another_one(fake: FakeMachine) -> None:
    fake.add(4711, "sshd", started_at=NOW - 30)
    assert fake.is_dead(lock_of(4711, written_at=NOW - 60))
    assert not fake.is_dead(lock_of(4711, written_at=NOW - 27))
    assert not fake.is_dead(lock_of(4711, written_at=NOW))


def test_after_a_boot_all_earlier_holders_are_dead(fake: FakeMachine) -> None:
    fake.add(4711, "kworker/0:1", started_at=BOOTED_AT)
    assert fake.is_dead(lock_of(4711, written_at=BOOTED_AT - 60))
    assert not fake.is_dead(lock_of(4711, written_at=BOOTED_AT + 1))


@pytest.mark.parametrize("name", ["restic", "restic_0.18.0", "python3.11", "pyrestic", "rustic"])
def test_a_process_that_may_be_a_backup_is_trusted_over_the_clock(fake: FakeMachine, name: str) -> None:
    fake.add(4711, name, started_at=NOW - 30)
    assert not fake.is_dead(lock_of(4711, written_at=NOW - 60))


def test_a_process_of_a_container_counts_by_its_inner_number(fake: FakeMachine) -> None:
    fake.add(90_000, "restic", started_at=NOW - 500, inner=(4711, 17))
    assert not fake.is_dead(lock_of(4711))
    assert not fake.is_dead(lock_of(17))
    assert fake.is_dead(lock_of(18))


def test_a_process_that_only_waits_to_be_collected_is_dead(fake: FakeMachine) -> None:
    fake.add(4711, "restic", started_at=NOW - 500, state="Z")
    assert fake.is_dead(lock_of(4711))


def test_a_process_with_parentheses_in_its_name_is_read_right(fake: FakeMachine) -> None:
    fake.add(4711, "a) Z (b", started_at=NOW - 500)
    assert not fake.is_dead(lock_of(4711))
    fake.add(4711, "a) S (b", started_at=NOW - 30)
    assert fake.is_dead(lock_of(4711))


def test_our_own_number_in_a_lock_of_restic_was_used_before_us(fake: FakeMachine) -> None:
    assert fake.is_dead(lock_of(500))


def test_a_process_hidden_from_us_is_alive(fake: FakeMachine) -> None:
    fake.hidden.add(4711)
    assert not fake.is_dead(lock_of(4711))


def test_where_processes_are_hidden_only_old_locks_are_dead(fake: FakeMachine) -> None:
    (fake.folder / "proc" / "1" / "stat").unlink()
    assert not fake.is_dead(lock_of(4711))
    assert fake.is_dead(lock_of(4711, written_at=NOW - 31 * 60))


def test_within_a_container_only_old_locks_of_restic_are_dead(tmp_path: Path) -> None:
    fake = FakeMachine(tmp_path, namespace="pid:[4026539999]")
    assert not fake.is_dead(lock_of(4711, written_at=NOW - 29 * 60))
    assert not fake.is_dead(lock_of(4711, written_at=BOOTED_AT + 100), now=BOOTED_AT + 200)
    assert fake.is_dead(lock_of(4711, written_at=NOW - 31 * 60))
    # unlock goes by restic's rule.
    assert fake.machine().seems_dead(lock_of(4711), NOW)


def test_without_proc_nothing_is_certain(tmp_path: Path) -> None:
    machine = Machine(hostname=HOST, pid=500, proc=str(tmp_path / "none"), exists=lambda pid: False)
    assert not machine.is_certainly_dead(lock_of(4711, written_at=0), NOW)
    assert machine.seems_dead(lock_of(4711), NOW)
    assert machine.describe_lock(exclusive=True, time=at(NOW)).pyrestic_process == ""


def own_lock(fake: FakeMachine, pid: int, written_at: float = NOW - 60) -> LockFile:
    """A lock as pyrestic writes it."""
    lock = fake.machine(pid).describe_lock(exclusive=True, time=at(written_at))
    assert lock.pyrestic_process
    return lock


def test_our_locks_say_who_we_are(fake: FakeMachine) -> None:
    lock = own_lock(fake, 500)
    assert (lock.hostname, lock.pid, lock.uid, lock.gid) == (HOST, 500, os.getuid(), os.getgid())
    assert lock.exclusive
    assert "0123456789abcdef" not in lock.pyrestic_process


def test_our_lock_is_alive_as_long_as_our_process(fake: FakeMachine) -> None:
    fake.add(4711, "python3", started_at=NOW - 500)
    lock = own_lock(fake, 4711)
    assert not fake.is_dead(lock)
    assert not fake.machine().seems_dead(lock, NOW)
    fake.add(4711, "python3", started_at=NOW - 499)
    assert fake.is_dead(lock)
    fake.add(4711, "python3", started_at=NOW - 500, state="Z")
    assert fake.is_dead(lock)
    for name in ("stat", "status"):
        (fake.folder / "proc" / "4711" / name).unlink()
    assert not fake.is_dead(lock)
    (fake.folder / "proc" / "4711").rmdir()
    assert fake.is_dead(lock)
    assert fake.machine().seems_dead(lock, NOW)


def test_our_lock_of_an_earlier_boot_is_dead(fake: FakeMachine, tmp_path: Path) -> None:
    before = FakeMachine(tmp_path / "before", boot="boot-0")
    assert fake.is_dead(own_lock(before, 500))


@pytest.mark.parametrize("identifier", ["another-machine", ""])
def test_our_lock_of_another_machine_with_the_same_name_is_respected(
    fake: FakeMachine, tmp_path: Path, identifier: str
) -> None:
    other = FakeMachine(tmp_path / "other", boot="boot-7")
    (other.folder / "machine-id").write_text(identifier)
    lock = own_lock(other, 1, written_at=BOOTED_AT - 100_000)
    assert not fake.is_dead(lock)
    if identifier == "":
        (fake.folder / "machine-id").unlink()
        assert not fake.is_dead(lock)


def test_our_lock_of_another_container_is_respected_for_half_an_hour(fake: FakeMachine, tmp_path: Path) -> None:
    container = FakeMachine(tmp_path / "container", namespace="pid:[4026532222]")
    container.add(7, "python3", started_at=NOW - 500)
    assert not fake.is_dead(own_lock(container, 7))
    assert not fake.is_dead(own_lock(container, 7, written_at=NOW - 29 * 60))
    assert fake.is_dead(own_lock(container, 7, written_at=NOW - 31 * 60))


@given(st.text(max_size=40) | st.lists(st.text(max_size=8), min_size=4, max_size=4).map("/".join))
def test_any_mark_is_answered(mark: str) -> None:
    machine = Machine()
    lock = msgspec.structs.replace(lock_of(os.getpid(), hostname=machine.hostname), pyrestic_process=mark)
    assert machine.is_certainly_dead(lock, NOW) in (True, False)


DESCRIBE = """
import msgspec, sys, time
from pyrestic.format import gojson, lock
from pyrestic.repository.machine import Machine
time_text = gojson.format_time(time.time_ns(), 0)
sys.stdout.buffer.write(lock.encode(Machine().describe_lock(exclusive=False, time=time_text)) + b"\\n")
sys.stdout.buffer.flush()
time.sleep(60)
"""


def test_a_real_process_is_alive_until_it_is_killed() -> None:
    machine = Machine()
    if machine.hostname in ("", "localhost") or not Path("/proc/self/stat").exists():
        pytest.skip("this machine has no name or no /proc")
    with subprocess.Popen([sys.executable, "-c", DESCRIBE], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        lock = msgspec.json.decode(process.stdout.readline(), type=LockFile)
        assert lock.hostname == socket.gethostname()
        assert lock.pid == process.pid
        assert not machine.is_certainly_dead(lock, time.time())
        process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not machine.is_certainly_dead(lock, time.time()) and time.monotonic() < deadline:
            time.sleep(0.01)
        # Dead before its parent has collected it, and after.
        assert machine.is_certainly_dead(lock, time.time())
    assert machine.is_certainly_dead(lock, time.time())
    assert machine.seems_dead(lock, time.time())


def test_this_process_is_alive() -> None:
    machine = Machine()
    lock = machine.describe_lock(exclusive=True, time=at(time.time()))
    assert not machine.is_certainly_dead(lock, time.time())
    assert not machine.seems_dead(lock, time.time())
