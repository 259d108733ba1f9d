"""Running a tool and telling what it took."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "bench"
OURS, REAL = "pyrestic", "restic"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """What one process took: wall time, CPU time of all its threads (user and system), peak memory; what it printed."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    output: bytes = b""


@dataclass(frozen=True)
class Tool:
    """A program with restic's command line."""

    name: str
    command: list[str]


class BenchmarkError(Exception):
    """A step failed or gave a wrong result, so that no figure of it counts."""


def environment_for(tool: Tool, work: Path, home: Path | None = None) -> dict[str, str]:
    """Return the environment of a tool: passwords, and a cache of its own below `work`, or all that in another home."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RESTIC_", "PYTHONDONT"))}
    kept |= {"RESTIC_PASSWORD": PASSWORD, "RESTIC_FROM_PASSWORD": PASSWORD, "PYTHONPATH": str(ROOT)}
    if home is None:
        return kept | {"RESTIC_CACHE_DIR": str(cache_of(tool, work))}
    return {key: value for key, value in kept.items() if not key.startswith("XDG_")} | {"HOME": str(home)}


def cache_of(tool: Tool, work: Path) -> Path:
    """Return the folder of the tool's cache."""
    return work / f"cache-{tool.name}"


def run(tool: Tool, arguments: list[str], work: Path, home: Path | None = None) -> Run:
    """Run the tool, with its usual home or another, and return what it took; raise BenchmarkError if it fails."""
    reader, writer = os.pipe()
    launcher = [sys.executable, "-S", str(Path(__file__).with_name("launch.py")), str(writer)]
    try:
        done = subprocess.run(
            [*launcher, *tool.command, *arguments],
            env=environment_for(tool, work, home),
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=[writer],
        )
    finally:
        os.close(writer)
        with open(reader, "rb") as file:
            told = json.loads(file.read() or b'{"code": -1}')
    if told.pop("code") != 0:
        said = (done.stdout[-2000:] + done.stderr[-2000:]).decode(errors="replace")
        raise BenchmarkError(f"{tool.name} {' '.join(arguments)} failed:\n{said}")
    return Run(**told, output=done.stdout)


def wait_for_others(word: str) -> None:
    """Wait until no process has a word that begins so in its command line."""
    while any(part.startswith(word.encode()) for line in _command_lines() for part in line.split(b"\0")):
        time.sleep(0.1)


def _command_lines() -> Iterator[bytes]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                yield Path("/proc", entry, "cmdline").read_bytes()
            except OSError:
                # It has ended since.
                continue


def cpu_seconds_of(process: int) -> float:
    """Return the CPU seconds that a running process has taken so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_mib_of(process: int) -> float:
    """Return the peak memory of a running process so far."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


def find_restic() -> str:
    """Return the newest real restic that the tests installed, or the one on the path; raise BenchmarkError."""
    installed = Path(os.environ.get("PYRESTIC_TEST_TOOLS", ROOT / ".tools")) / "restic-0.19"
    found = str(installed) if installed.exists() else shutil.which("restic")
    if found is None:
        raise BenchmarkError("no restic to compare with: run tools/install_restic.py or give --restic")
    return found


def make_tools(python: str, restic: str | None) -> tuple[Tool, Tool]:
    """Return pyrestic of this checkout, run by `python`, and the real restic."""
    return Tool(OURS, [python or sys.executable, "-m", "pyrestic"]), Tool(REAL, [restic or find_restic()])


def warm_memory(folder: Path, length: int) -> None:
    """Write a file of `length` bytes and remove it.

    Memory that a RAM disk was never given before costs its first writer more; after this neither tool pays for it.
    """
    block = bytes(1 << 20)
    path = folder / "warm"
    with path.open("wb") as file:
        for _ in range(length >> 20):
            file.write(block)
    path.unlink()
