"""What find, diff, stats and tag ask of B2, beside the real restic on the same repository."""

import os
import subprocess
from pathlib import Path

import pytest

from pyrestic.format.keyfile import ScryptParams
from pyrestic.repository.repository import Repository
from tests.support.b2 import BUCKET, open_b2
from tests.support.restic import Program
from tools.b2_calls import Count, Tool, find_tools
from tools.b2_server import B2Server

PASSWORD = "a password"
LINES = [
    "find a.txt",
    "find --pack {pack}",
    "diff {first} {last}",
    "stats",
    "stats --mode raw-data",
    "tag --add {tool}",
]


def make_repository(server: B2Server, tools: list[Tool], folder: Path) -> dict[str, str]:
    """Make a repository with four snapshots; return what stands for IDs."""
    backend = open_b2(server, f"{BUCKET}:path")
    backend.create()
    created = "2024-01-01T00:00:00Z"
    Repository.create(
        backend, PASSWORD, hostname="host", username="user", created=created, params=ScryptParams(2, 8, 1)
    ).close()
    source = folder / "source"
    for number in range(40):
        below = source / f"folder {number % 8}" / f"below {number % 4}" / f"deep {number}"
        below.mkdir(parents=True)
        (below / "a.txt").write_bytes(b"%d" % number)
    for number in range(4):
        (source / f"folder {number}" / "new").write_bytes(b"new %d" % number)
        run(tools[0], ["backup", str(source)])
    snapshots = run(tools[0], ["list", "snapshots"]).split()
    return {"first": snapshots[0], "last": snapshots[-1], "pack": run(tools[0], ["list", "packs"]).split()[0]}


def run(tool: Tool, words: list[str]) -> str:
    command = [*tool.command, "-r", f"b2:{BUCKET}:path", *words]
    done = subprocess.run(command, env=tool.environment, check=True, capture_output=True, timeout=120)
    return done.stdout.decode()


@pytest.mark.restic
def test_without_a_cache_many_trees_cost_few_calls(newest: Program, tmp_path: Path) -> None:
    del newest  # only that it is there
    with B2Server(tmp_path / "service") as server:
        tools = find_tools(server, tmp_path)
        for tool in tools:
            os.makedirs(tool.environment["HOME"])
        names = make_repository(server, tools, tmp_path)
        counts: dict[str, dict[str, Count]] = {}
        for line in LINES:
            for tool in tools:
                server.counters.reset()
                run(tool, ["--no-cache", *(word.format(**names, tool=tool.name) for word in line.split())])
                classes = server.counters.snapshot()["classes"]
                counts.setdefault(line, {})[tool.name] = Count(classes["A"], classes["B"], classes["C"])
        for found in counts.values():
            ours, theirs = found["pyrestic"], found["restic"]
            # Class A is free, and how many upload URLs either tool asks for is a matter of timing.
            assert ours.a <= theirs.a + 2, counts
            assert ours.c <= theirs.c, counts
            assert ours.b <= theirs.b / 2, counts
