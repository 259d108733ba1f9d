"""Counts what the commands ask of B2, for pyrestic and for the real restic, and prints the table of docs/b2.md.

    python3 tools/b2_calls.py        # needs .tools/restic-0.19 (tools/install_restic.py)

Both tools work on the same service on loopback, each on a repository of its own with the same files and with a cache
that its earlier commands have filled; the service counts.
"""

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.b2_server import B2Server

ROOT = Path(__file__).resolve().parent.parent
STEPS = (
    "init",
    "first backup",
    "unchanged backup",
    "one file changed",
    "snapshots",
    "ls latest",
    "restore one file",
    "check",
    "forget",
    "prune",
)


class Count(NamedTuple):
    """Calls of each class."""

    a: int
    b: int
    c: int


class Tool(NamedTuple):
    """A program, and how it gets to the service."""

    name: str
    command: list[str]
    environment: dict[str, str]


def find_tools(server: B2Server, folder: Path) -> list[Tool]:
    """Return pyrestic and the real restic."""
    base = {"PATH": os.environ["PATH"], "RESTIC_PASSWORD": "a password", "PYTHONPATH": str(ROOT), "TZ": "UTC"}
    ours = [sys.executable, "-m", "pyrestic", "-o", f"b2.endpoint={server.url}"]
    theirs = [str(Path(os.environ.get("PYRESTIC_TEST_TOOLS", ROOT / ".tools")) / "restic-0.19")]
    return [
        Tool("pyrestic", ours, base | server.environment() | {"HOME": str(folder / "home ours")}),
        Tool("restic", theirs, base | server.real_restic_environment() | {"HOME": str(folder / "home theirs")}),
    ]


def make_source(folder: Path) -> None:
    """Write 64 MB in files of all sizes."""
    folder.mkdir()
    dice = random.Random(5)
    for number in range(12):
        (folder / f"large {number}").write_bytes(dice.randbytes(5_000_000))
    for number in range(400):
        path = folder / f"folder {number % 10}" / f"small {number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(dice.randbytes(dice.randrange(20_000)))


def measure(folder: Path) -> dict[str, dict[str, Count]]:
    """Return the calls of each step for each tool; raise CalledProcessError if a command fails."""
    counts: dict[str, dict[str, Count]] = {step: {} for step in STEPS}
    with B2Server(folder / "service") as server:
        for tool in find_tools(server, folder):
            source = folder / f"source {tool.name}"
            make_source(source)
            os.makedirs(tool.environment["HOME"])
            words: dict[str, list[str]] = {
                "init": ["init"],
                "first backup": ["backup", str(source)],
                "unchanged backup": ["backup", str(source)],
                "one file changed": ["backup", str(source)],
                "snapshots": ["snapshots"],
                "ls latest": ["ls", "latest"],
                "restore one file": ["restore", f"latest:{source}", "--include", "large 3", "--target"],
                "check": ["check"],
                "forget": ["forget", "--keep-last", "1"],
                "prune": ["prune", "--max-unused", "0"],
            }
            for step in STEPS:
                if step == "one file changed":
                    (source / "large 0").write_bytes(random.Random(6).randbytes(5_000_000))
                command = [*tool.command, "-r", f"b2:calls-of-{tool.name}:path", *words[step]]
                if step == "restore one file":
                    command.append(str(folder / f"back {tool.name}"))
                server.counters.reset()
                subprocess.run(command, env=tool.environment, check=True, capture_output=True, timeout=300)
                classes = server.counters.snapshot()["classes"]
                counts[step][tool.name] = Count(classes["A"], classes["B"], classes["C"])
    return counts


def format_counts(counts: dict[str, dict[str, Count]]) -> str:
    """Return the table in Markdown."""
    lines = [
        "| command, warm cache | pyrestic A / B / C | restic 0.19 A / B / C |",
        "|---|---|---|",
    ]
    for step, found in counts.items():
        shown = [" / ".join(map(str, found[name])) for name in ("pyrestic", "restic")]
        lines.append(f"| {step} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(format_counts(measure(Path(name))))
