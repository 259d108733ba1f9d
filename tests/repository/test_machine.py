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
        """Whether the lock is removed without unlock."""
        end = self.machine().find_end(lock)
        return end is not None and now > end.at

    def unlocks(self, lock: LockFile, now: float = NOW) -> bool:
        """Whether unlock removes it, be it ever so young."""
        return self.machine().seems_dead(lock, now)


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "here")


def lock_of(pid: int, *, written_at: float = NOW - 60, hostname: str = HOST) -> LockFile:
    """A lock as restic writes it."""
    return LockFile(time=at(written_at), exclusive=True, hostname=hostname, username="root", pid=pid)


LONG_AGO = BOOTED_AT - 100_000


@pytest.mark.parametrize("written_at", [NOW, NOW - 60, NOW - 31 * 60, BOOTED_AT - 60, LONG_AGO])
def test_a_lock_without_our_mark_is_left_to_unlock_which_goes_by_the_process(
    fake: FakeMachine, written_at: float
) -> None:
    """Another machine may have our host name: a clone, an image, a default name."""
    lock = lock_of(4711, written_at=written_at)
    assert fake.machine().find_end(lock) is None
    assert fake.unlocks(lock)
    fake.add(4711, "sshd", started_at=NOW - 30)
    assert fake.machine().find_end(lock) is None
    assert not fake.unlocks(lock)


@pytest.mark.parametrize("hostname", ["elsewhere", "", "LIGHTHOUSE", "lighthouse.local"])
def test_locks_of_other_hosts_are_never_dead(fake: FakeMachine, hostname: str) -> None:
    for written_at in (0, BOOTED_AT - 100_000, NOW):
        assert not fake.is_dead(lock_of(4711, written_at=written_at, hostname=hostname))
        assert not fake.machine().seems_dead(lock_of(4711, written_at=written_at, hostname=hostname), NOW)


@pytest.mark.parametrize("hostname", ["", "localhost"])
def test_a_host_name_that_says_nothing_proves_nothing(hostname: str) -> None:
    machine = Machine(hostname=hostname)
    assert not machine.seems_dead(lock_of(2**30, hostname=hostname), NOW)
    assert machine.find_end(machine.describe_lock(exclusive=True, time=at(0))) is None


@pytest.mark.parametrize("pid", [0, -1, -4711])
def test_a_number_that_is_no_process_proves_nothing(fake: FakeMachine, pid: int) -> None:
    assert not fake.is_dead(lock_of(pid))
    assert not fake.machine().seems_dead(lock_of(pid), NOW)


def test_a_process_hidden_from_us_is_alive(fake: FakeMachine) -> None:
    fake.hidden.add(4711)
    assert not fake.unlocks(lock_of(4711))
    fake.add(4711, "python3", started_at=NOW - 500)
    lock = own_lock(fake, 4711)
    for name in ("stat", "status"):
        (fake.folder / "proc" / "4711" / name).unlink()
    (fake.folder / "proc" / "4711").rmdir()
    assert not fake.is_dead(lock)


def test_without_proc_nothing_is_certain(fake: FakeMachine, tmp_path: Path) -> None:
    machine = Machine(hostname=HOST, pid=500, proc=str(tmp_path / "none"), exists=lambda pid: False)
    assert machine.find_end(own_lock(fake, 500, written_at=0)) is None
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
    assert not fake.unlocks(lock)
    fake.add(4711, "python3", started_at=NOW - 499)
    assert fake.is_dead(lock)
    fake.add(4711, "python3", started_at=NOW - 500, state="Z")
    assert fake.is_dead(lock)
    for name in ("stat", "status"):
        (fake.folder / "proc" / "4711" / name).unlink()
    assert not fake.is_dead(lock)
    (fake.folder / "proc" / "4711").rmdir()
    assert fake.is_dead(lock)
    assert fake.unlocks(lock)


@pytest.mark.parametrize("name", ["a) Z (b", "Z Z Z", ") Z 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"])
def test_a_process_whose_name_looks_like_its_state_is_read_right(fake: FakeMachine, name: str) -> None:
    fake.add(4711, "python3", started_at=NOW - 500)
    lock = own_lock(fake, 4711)
    fake.add(4711, name, started_at=NOW - 500)
    assert not fake.is_dead(lock)


def test_our_lock_of_an_earlier_boot_ends_after_half_an_hour(fake: FakeMachine, tmp_path: Path) -> None:
    """This disk, an earlier boot, and a clone that runs now look the same: a live clone refreshes its lock."""
    before = FakeMachine(tmp_path / "before", boot="boot-0")
    lock = own_lock(before, 500, written_at=BOOTED_AT - 60)
    assert not fake.is_dead(lock, BOOTED_AT + 1)
    assert not fake.is_dead(lock, BOOTED_AT + 29 * 60)
    assert fake.is_dead(lock, BOOTED_AT + 29 * 60 + 1)
    assert fake.unlocks(lock, BOOTED_AT + 1)


def test_our_lock_of_another_boot_that_was_written_during_this_one_is_a_clones(
    fake: FakeMachine, tmp_path: Path
) -> None:
    clone = FakeMachine(tmp_path / "clone", boot="boot-0")
    lock = own_lock(clone, 500, written_at=BOOTED_AT + 60)
    assert fake.machine().find_end(lock) is None
    assert not fake.unlocks(lock)


@pytest.mark.parametrize("boot", ["boot-1", "boot-7"])
@pytest.mark.parametrize("identifier", ["another-machine", ""])
def test_our_lock_of_another_machine_with_the_same_name_is_respected(
    fake: FakeMachine, tmp_path: Path, identifier: str, boot: str
) -> None:
    other = FakeMachine(tmp_path / "other", boot=boot)
    (other.folder / "machine-id").write_text(identifier)
    lock = own_lock(other, 500, written_at=LONG_AGO)
    assert fake.machine().find_end(lock) is None
    if identifier:
        assert not fake.unlocks(lock)


def test_without_an_id_of_the_machine_only_this_boot_is_known(fake: FakeMachine, tmp_path: Path) -> None:
    (fake.folder / "machine-id").unlink()
    fake.add(4711, "python3", started_at=NOW - 500)
    lock = own_lock(fake, 4711)
    fake.add(4711, "python3", started_at=NOW - 499)
    assert fake.is_dead(lock)
    before = FakeMachine(tmp_path / "before", boot="boot-0")
    (before.folder / "machine-id").unlink()
    assert fake.machine().find_end(own_lock(before, 500, written_at=LONG_AGO)) is None


def test_our_lock_of_another_container_is_respected_for_half_an_hour(fake: FakeMachine, tmp_path: Path) -> None:
    container = FakeMachine(tmp_path / "container", namespace="pid:[4026532222]")
    container.add(7, "python3", started_at=NOW - 500)
    assert not fake.is_dead(own_lock(container, 7))
    assert not fake.is_dead(own_lock(container, 7, written_at=NOW - 29 * 60))
    assert fake.is_dead(own_lock(container, 7, written_at=NOW - 31 * 60))
    assert not fake.unlocks(own_lock(container, 7))


def test_where_start_times_are_counted_otherwise_nothing_is_certain(fake: FakeMachine) -> None:
    lock = own_lock(fake, 500)
    fake.add(500, "python3", started_at=NOW - 2)
    assert fake.is_dead(lock)
    (fake.folder / "proc" / "self" / "ns" / "time").symlink_to("time:[4026531834]")
    assert fake.is_dead(lock)
    (fake.folder / "proc" / "self" / "ns" / "time").unlink()
    (fake.folder / "proc" / "self" / "ns" / "time").symlink_to("time:[4026533333]")
    assert not fake.is_dead(lock)
    assert fake.machine().describe_lock(exclusive=True, time=at(NOW)).pyrestic_process == ""


@given(st.text(max_size=40) | st.lists(st.text(max_size=8), min_size=4, max_size=4).map("/".join))
def test_any_mark_is_answered(mark: str) -> None:
    machine = Machine()
    lock = msgspec.structs.replace(lock_of(os.getpid(), hostname=machine.hostname), pyrestic_process=mark)
    end = machine.find_end(lock)
    assert end is None or end.at <= NOW


DESCRIBE = """
import msgspec, sys, time
from pyrestic.format import gojson, lock
from pyrestic.repository.machine import Machine
time_text = gojson.format_time(time.time_ns(), 0)
sys.stdout.buffer.write(lock.encode(Machine().describe_lock(exclusive=False, time=time_text)) + b"\\n")
sys.stdout.buffer.flush()
time.sleep(60)
"""


@pytest.mark.process
def test_a_real_process_is_alive_until_it_is_killed() -> None:
    machine = Machine()

    def is_dead(lock: LockFile) -> bool:
        end = machine.find_end(lock)
        return end is not None and time.time() > end.at

    if machine.hostname in ("", "localhost") or not Path("/proc/self/stat").exists():
        pytest.skip("this machine has no name or no /proc")
    with subprocess.Popen([sys.executable, "-c", DESCRIBE], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        lock = msgspec.json.decode(process.stdout.readline(), type=LockFile)
        assert lock.hostname == socket.gethostname()
        assert lock.pid == process.pid
        assert not is_dead(lock)
        process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not is_dead(lock) and time.monotonic() < deadline:
            time.sleep(0.01)
        # Dead before its parent has collected it, and after.
        assert is_dead(lock)
    assert is_dead(lock)
    assert machine.seems_dead(lock, time.time())


def test_this_process_is_alive() -> None:
    machine = Machine()
    lock = machine.describe_lock(exclusive=True, time=at(time.time()))
    assert machine.find_end(lock) is None
    assert not machine.seems_dead(lock, time.time())
