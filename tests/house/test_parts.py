"""The parts of the suite: each test is in one, and no unit test starts a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.restic import ROOT

pytestmark = pytest.mark.process

CONFTEST = """
from tests.support.parts import (
    pytest_collection_modifyitems,
    pytest_ignore_collect,
    pytest_runtest_protocol,
    pytest_runtest_teardown,
)
"""
STARTS = {
    "popen": "subprocess.run(['true'])",
    "fork": "os.waitpid(os.fork() or os._exit(0), 0)",
    "spawn": "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    "system": "os.system('true')",
}
TESTS = """
import os, subprocess, threading
import pytest

@pytest.fixture
def browser():
    return None

@pytest.fixture
def started():
    {start}

def test_call():
    {start}

def test_in_a_fixture(started):
    pass

def test_caught():
    try:
        {start}
    except BaseException:
        pass

def test_in_a_thread():
    def work():
        try:
            {start}
        except BaseException:
            pass
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

@pytest.mark.process
def test_marked():
    {start}

@pytest.mark.slow
def test_slow():
    {start}

def test_page(browser):
    {start}

@pytest.mark.nightly
def test_campaign():
    {start}

def test_quiet():
    pass
"""


def run_pytest(folder: Path, start: str, *arguments: str) -> list[str]:
    """Return the lines of a run of the tests that start a process in one way."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_one.py").write_text(TESTS.format(start=start))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=no", "-rA", *arguments, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "300"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("how", STARTS)
def test_a_unit_test_that_starts_a_process_fails(tmp_path: Path, how: str) -> None:
    lines = run_pytest(tmp_path, STARTS[how], "-W", "ignore")
    bad = {"call", "in_a_fixture", "caught", "in_a_thread"}
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    assert {line.split("::test_")[1].split()[0] for line in failed} == bad
    assert all("a unit test starts a process" in line for line in failed)
    passed = {line.split("::test_")[1] for line in lines if line.startswith("PASSED")}
    assert {"marked", "slow", "page", "campaign", "quiet"} <= passed


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("unit", ["call", "in_a_fixture", "caught", "in_a_thread", "quiet"]),
        ("compat", ["marked", "slow"]),
        ("browser", ["page"]),
        ("nightly", ["campaign"]),
    ],
)
def test_each_test_is_in_one_part(tmp_path: Path, part: str, names: list[str]) -> None:
    lines = run_pytest(tmp_path, "pass", "-W", "ignore", "-m", part)
    passed = [line.split("::test_")[1] for line in lines if line.startswith("PASSED")]
    assert sorted(passed) == sorted(names)


def test_a_module_that_is_marked_as_a_whole_is_imported_for_its_part_alone(tmp_path: Path) -> None:
    (tmp_path / "test_whole.py").write_text(
        "import pytest\n\npytestmark = [pytest.mark.filterwarnings('error'), pytest.mark.process]\nraise OSError\n"
    )
    assert not any("OSError" in line for line in run_pytest(tmp_path, "pass", "-m", "unit", "--tb=short"))
    assert any("OSError" in line for line in run_pytest(tmp_path, "pass", "-m", "compat", "--tb=short"))
