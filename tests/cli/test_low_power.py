"""A backup with --max-cpu: what the kernel says of it while it runs, and when it is over."""

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import usage
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program


def nicenesses(process: int) -> set[int]:
    """Those of all threads of a process, nothing once it has ended."""
    found = set()
    for path in Path(f"/proc/{process}/task").glob("*/stat"):
        try:
            found.add(int(path.read_text().rpartition(")")[2].split()[16]))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.restic
def test_a_backup_leaves_processor_and_disk_to_others(tmp_path: Path, pyrestic: Program, newest: Program) -> None:
    repository, source = make_quick_repository(tmp_path / "repository"), tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(random.Random(1).randbytes(6 << 20))
    words = ["backup", "-q", "--max-cpu", "40", str(source)]
    usage.note(pyrestic.name, words, {})
    start, seen = time.monotonic(), []
    process = subprocess.Popen([*pyrestic.command, "-r", repository, *words], env=pyrestic.environment())
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        seen.append(nicenesses(process.pid))
        time.sleep(0.05)
    _, status, taken = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    assert process.returncode == 0
    assert {19} in seen
    # The start, until flags are read, is not limited.
    assert taken.ru_utime + taken.ru_stime < 0.3 + 0.55 * wall
    assert "no errors were found" in newest.run("check", "--read-data", repository=repository).text


@pytest.mark.parametrize("value", ["0", "101", "-5", "half"])
def test_a_share_that_is_none_is_refused(pyrestic: Program, value: str) -> None:
    said = pyrestic.run("snapshots", f"--max-cpu={value}", code=1).stderr.decode()
    assert f'invalid argument "{value}" for "--max-cpu" flag' in said
