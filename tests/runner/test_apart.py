"""What runs in a process of its own, and ends with the runner."""

import os
import signal
import sys
import time

import pytest

from pyrestic.cli.runner_setup import hearing_signals
from pyrestic.runner.apart import run_apart
from pyrestic.runner.ending import EndRequest
from pyrestic.runner.this_machine import resolves_apart

pytestmark = pytest.mark.process
LONG = 3600.0


def test_the_result_comes_back() -> None:
    pid = os.getpid()
    assert run_apart(lambda: [os.getppid() == pid, os.getpid() == pid, "ü" * 100_000], LONG, EndRequest()) == [
        True,
        False,
        "ü" * 100_000,
    ]


def test_what_fails_or_takes_too_long_has_no_result(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_apart(lambda: sys.exit(1), LONG, EndRequest()) is None
    assert run_apart(object, LONG, EndRequest()) is None
    assert run_apart(lambda: time.sleep(LONG), 0.1, EndRequest()) is None
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_runner_ends_what_hangs(number: signal.Signals) -> None:
    def hang() -> None:
        os.kill(os.getppid(), number)
        time.sleep(LONG)

    with hearing_signals() as ending:
        assert run_apart(hang, LONG, ending) is None
        assert ending.is_asked()


def test_a_name_is_looked_up() -> None:
    assert resolves_apart("localhost", EndRequest())
