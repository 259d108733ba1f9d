"""The low-power mode, in processes of its own: priorities as the kernel tells them, CPU time as it counted it."""

import json
import platform
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.localfs.cpu_limit import CpuAccount
from tests.support.restic import ROOT

BURN = """
import hashlib, json, threading, time
from pyrestic.localfs.cpu_limit import limited_cpu

def burn(end):
    data = bytes(1 << 20)
    while time.monotonic() < end:
        hashlib.sha256(data)
        sum(range(10_000))

wall, cpu = time.monotonic(), time.process_time()
with limited_cpu(20):
    threads = [threading.Thread(target=burn, args=(wall + 2,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(json.dumps([time.monotonic() - wall, time.process_time() - cpu]))
"""
PRIORITIES = """
import ctypes, json, os, threading
from pyrestic.priority import lower_priority

lower_priority()
told = []

def look():
    told.append(os.getpriority(os.PRIO_PROCESS, 0))
    told.append(ctypes.CDLL(None).syscall(252, 1, 0) >> 13)

look()
thread = threading.Thread(target=look)
thread.start()
thread.join()
print(json.dumps(told))
"""


def run(source: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    told: list[float] = json.loads(done.stdout)
    return told


@pytest.mark.process
def test_threads_together_stay_below_their_share_of_a_processor() -> None:
    # Without a limit they take up to 2 s of CPU time per second; other programs only make it less.
    wall, cpu = run(BURN)
    assert wall >= 2
    assert 0 < cpu < 0.35 * wall


@pytest.mark.process
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of system calls are those of x86-64")
def test_this_thread_and_later_ones_have_the_lowest_priority() -> None:
    assert run(PRIORITIES) == [19, 3, 19, 3]


@given(st.floats(0.01, 1), st.lists(st.tuples(st.floats(0.001, 0.1), st.floats(0, 0.2)), min_size=1, max_size=50))
def test_pauses_bring_the_share_down_to_what_is_allowed(share: float, looks: list[tuple[float, float]]) -> None:
    account = CpuAccount(share)
    wall, cpu, pause = 0.0, 0.0, 0.0
    for busy, used in looks:
        wall += pause + busy
        cpu += used
        pause = account.pause_seconds(pause + busy, used)
    assert cpu <= share * (wall + pause) + 1e-9


def test_a_process_that_did_little_for_long_gets_no_more_than_a_moment_of_credit() -> None:
    account = CpuAccount(0.5)
    assert account.pause_seconds(100, 0) == 0
    assert account.pause_seconds(0, 0.125) == 0
    assert account.pause_seconds(0, 1) == 2
