"""An interrupt leaves no lock behind, wherever it comes between taking the lock and the work that it is for."""

import gc
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import pyrestic
from pyrestic.repository import locks
from pyrestic.repository.held_lock import LockTiming
from pyrestic.repository.locking import LockMode
from pyrestic.repository.locks import Lock
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD

pytestmark = pytest.mark.process


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(locks, "LockTiming", partial(LockTiming, second_look=0.0))
    return make_quick_repository(tmp_path / "repository")


def count_locks(place: Path) -> int:
    return len(list((place / "locks").iterdir()))


class Interrupter:
    """A trace function that raises KeyboardInterrupt before the n-th instruction after the last of some locks."""

    def __init__(self, after: int, locks: int) -> None:
        self._left = after
        self._locks = locks
        self._armed = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> "Interrupter":
        if event == "return" and frame.f_code is Lock.acquire.__code__:
            self._locks -= 1
            self._armed = self._locks == 0
            outer: FrameType | None = frame
            while outer is not None:
                outer.f_trace_opcodes = True
                outer = outer.f_back
        if self._armed:
            frame.f_trace_opcodes = True
            if event == "opcode":
                self._left -= 1
                if self._left < 0:
                    self._armed = False
                    raise KeyboardInterrupt
        return self


def interrupt_everywhere(place: Path, work: Callable[[], None], *, locks: int = 1) -> int:
    """Do the work again and again, each time interrupted one instruction later; return the number of interrupts.

    The first interrupt comes when the work has taken so many locks.
    """
    for number in itertools.count():
        sys.settrace(Interrupter(number, locks))
        try:
            work()
        except KeyboardInterrupt:
            pass
        else:
            return number
        finally:
            sys.settrace(None)
        assert count_locks(place) == 0, f"a lock is left by an interrupt at instruction {number}"
    raise AssertionError("without end")


def test_while_a_repository_is_opened(place: Path) -> None:
    def work() -> None:
        with pyrestic.open_repository(place, password=PASSWORD):
            sys.settrace(None)

    assert interrupt_everywhere(place, work) > 10
    assert count_locks(place) == 0


def test_while_a_verb_takes_a_lock(place: Path) -> None:
    with pyrestic.open_repository(place, password=PASSWORD, lock=False) as repository:
        # What a verb does with its lock is another matter.
        def work() -> None:
            with repository._locked(LockMode.EXCLUSIVE):
                sys.settrace(None)

        assert interrupt_everywhere(place, work) > 10
        assert repository.unlock() == 0


def test_while_a_lock_is_taken_again_after_a_verb_was_alone(place: Path) -> None:
    def work() -> None:
        with pyrestic.open_repository(place, password=PASSWORD) as repository:
            with repository._lock_given_back():
                pass
            sys.settrace(None)

    assert interrupt_everywhere(place, work, locks=2) > 10


@pytest.mark.parametrize(
    "end", ["raise KeyboardInterrupt", "sys.exit()", "os.fork() or sys.exit()\nos.wait()\nleave()"]
)
def test_at_the_end_of_the_program(place: Path, end: str) -> None:
    code = (
        "import os, sys, pyrestic\n"
        f"repository = pyrestic.open_repository({str(place)!r}, password={PASSWORD!r})\n"
        f"def leave():\n    assert len(os.listdir({str(place / 'locks')!r})) == 1\n"
        f"leave()\n{end}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "AssertionError" not in done.stderr
    assert count_locks(place) == 0
    assert os.listdir(place / "keys")


def test_what_is_still_in_use_is_still_locked(place: Path) -> None:
    repository = pyrestic.open_repository(place, password=PASSWORD)
    repository.backup([place / "config"])
    snapshot = repository.snapshot()
    del repository
    assert count_locks(place) == 1
    assert [entry.name for entry in snapshot.walk()][-1] == "config"
    del snapshot
    gc.collect()
    assert count_locks(place) == 0
