"""Settings and fixtures that hold for every test."""

import gc
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

from pyrestic.repository import locks
from pyrestic.repository.held_lock import LockTiming
from tests.support import usage
from tests.support.b2 import b2
from tests.support.parts import (
    pytest_collection_modifyitems,
    pytest_ignore_collect,
    pytest_runtest_protocol,
    pytest_runtest_teardown,
)
from tests.support.places import can_hold_tests, make_own_folder
from tests.support.restic import NEWEST, RELEASES, ROOT, Program, find_pyrestic, find_restic
from tests.support.zone import zone_again

__all__ = [
    "b2",
    "pytest_collection_modifyitems",
    "pytest_ignore_collect",
    "pytest_runtest_protocol",
    "pytest_runtest_teardown",
    "zone_again",
]

settings.register_profile(
    "ci", derandomize=True, max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dev", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# tools/run_tests.py --nightly names it.
settings.register_profile(
    "night", derandomize=False, max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# A new repository has 256 folders, which take a disk up to a second; in memory they take no time. Backups record the
# folders above their sources too, and count those that changed. Every program on the machine touches /tmp all the time,
# and every run of tests the folder of the runs, so that two backups could differ; these folders are left alone.
if "PYTEST_DEBUG_TEMPROOT" not in os.environ:
    if can_hold_tests("/dev/shm"):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = make_own_folder("/dev/shm", ROOT)
    elif os.access("/var/tmp", os.W_OK):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = make_own_folder("/var/tmp", ROOT)

# Under nohup, or in the background of a script, signals are ignored, and so they would be by all that tests start.
for _ignored in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_ignored) == signal.SIG_IGN:
        signal.signal(_ignored, signal.default_int_handler if _ignored == signal.SIGINT else signal.SIG_DFL)

# Processes that tests start find the package even where it is not installed.
os.environ["PYTHONPATH"] = str(ROOT)


@pytest.fixture(scope="session", autouse=True)
def short_second_look() -> Iterator[None]:
    """Let locks taken in the tests' own process look again sooner: every command waits for that."""
    with mock.patch.object(locks, "LockTiming", partial(LockTiming, second_look=0.02)):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Search for no garbage meanwhile: all that is collected stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        # Not gc.freeze(): from Python 3.14 on hypothesis then takes its own random source for garbage.
        gc.enable()


@pytest.fixture
def pyrestic(tmp_path: Path) -> Program:
    """This checkout's program."""
    return find_pyrestic(tmp_path)


@pytest.fixture
def newest(tmp_path: Path) -> Program:
    """The newest real restic."""
    return find_restic(NEWEST, tmp_path)


@pytest.fixture(params=RELEASES)
def restic(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """Each release of the real restic in turn."""
    release: str = request.param
    return find_restic(release, tmp_path)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave what this process saw of commands and flags."""
    usage.leave(os.environ.get("PYTEST_XDIST_WORKER", "main"))
