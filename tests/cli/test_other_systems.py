"""On another system than Linux: one sentence, instead of whatever is missing there first."""

import subprocess
import sys
from pathlib import Path

import pytest

import pyrestic

pytestmark = pytest.mark.process

ROOT = Path(pyrestic.__file__).parent.parent


def run_elsewhere(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that says it is on a Mac and has no SIGHUP, which is how Windows differs first."""
    before = "import signal, sys; sys.platform = 'darwin'; del signal.SIGHUP; "
    return subprocess.run([sys.executable, "-c", before + code], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "code",
    [
        "import runpy; runpy.run_module('pyrestic', run_name='__main__')",
        "from pyrestic.__main__ import run; run()",
    ],
)
def test_the_program_ends_with_one_sentence(code: str) -> None:
    done = run_elsewhere(code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Fatal: pyrestic runs on Linux only, not on darwin\n"


@pytest.mark.parametrize("code", ["from pyrestic import open_repository", "import pyrestic.api.filesystem"])
def test_a_program_that_imports_it_gets_an_import_error(code: str) -> None:
    done = run_elsewhere(code)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: pyrestic runs on Linux only, not on darwin"


def test_the_version_is_known_everywhere() -> None:
    done = run_elsewhere("import pyrestic; print(pyrestic.__version__)")
    assert done.stdout.strip() == pyrestic.__version__
