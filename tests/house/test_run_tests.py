"""What tools/run_tests.py tells CI: pytest's closing line, and 1 where a test failed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.restic import ROOT

pytestmark = pytest.mark.process

RUN = """
import sys
from pathlib import Path
from tools import run_tests
run_tests.make_environment = lambda folder, lock, **more: Path(sys.executable).parent
run_tests.install_tools = lambda: True
run_tests.install_packages = lambda: None
sys.exit(run_tests.main())
"""


@pytest.mark.parametrize(
    ("body", "code", "closing", "last"),
    [
        ("assert True", 0, "1 passed in", "== everything passed"),
        ("assert False", 1, "1 failed in", "== failed: pytest"),
        ("raise SystemExit(0)", 1, "1 failed in", "== failed: pytest"),
    ],
)
def test_a_failed_test_is_a_failed_run(tmp_path: Path, body: str, code: int, closing: str, last: str) -> None:
    tests = tmp_path / "test_one.py"
    tests.write_text(f"def test_one():\n    {body}\n")
    command = [sys.executable, "-c", RUN, "-n", "0", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", str(tests)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stdout
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith(closing)]
    assert lines[-1] == last


def test_a_run_without_a_test_fails(tmp_path: Path) -> None:
    (tmp_path / "test_none.py").touch()
    command = [sys.executable, "-c", RUN, "-n", "0", "-p", "no:cacheprovider", str(tmp_path / "test_none.py")]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 1
