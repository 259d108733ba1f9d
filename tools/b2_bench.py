"""Measures uploads to and downloads from B2, beside the real restic, and prints the figures of docs/performance.md.

    python3 tools/b2_bench.py [--megabytes 512] [--runs 3]

Both tools use one service in a process of its own on loopback, with five connections each. First without limits, where
the tools are the limit: a backup of incompressible data and its restore, as ratios. Then over a line with 50 ms of
latency and a capped rate, where the line should be: how much of it was used over the whole run, start-up included.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RESTIC = Path(os.environ.get("PYRESTIC_TEST_TOOLS", ROOT / ".tools")) / "restic-0.19"
LATENCY_SECONDS = 0.05
CAP_BYTES = 12_500_000
"""A line of 100 Mbit/s."""


class Service(NamedTuple):
    """The running service: where it is, and the variables of each tool."""

    url: str
    ours: dict[str, str]
    theirs: dict[str, str]

    def control(self, what: str, **values: object) -> None:
        """Set conditions, faults or counters."""
        body = json.dumps(values).encode()
        request = urllib.request.Request(f"{self.url}/_control/{what}", data=body, method="POST")
        urllib.request.urlopen(request).close()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Service]:
    """Run the service as a process of its own."""
    command = [sys.executable, str(ROOT / "tools" / "b2_server.py"), str(folder), "--control"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        exports: dict[str, str] = {}
        url = ""
        for line in process.stdout:
            url = url or (re.findall(r"http://127[0-9.:]+", line) or [""])[0]
            if line.startswith("export "):
                name, _, value = line[7:].strip().partition("=")
                exports[name] = value
            if "RESTIC_CACERT" in exports and "HTTPS_PROXY" in exports:
                break
        keys = {name: exports[name] for name in ("B2_ACCOUNT_ID", "B2_ACCOUNT_KEY")}
        try:
            yield Service(url, keys, exports)
        finally:
            process.terminate()


class Tool:
    """A program with a home and a repository of its own."""

    def __init__(self, name: str, service: Service, folder: Path) -> None:
        self.name = name
        self._home = folder / f"home {name}"
        self._home.mkdir()
        base = {"PATH": os.environ["PATH"], "HOME": str(self._home), "RESTIC_PASSWORD": "x", "PYTHONPATH": str(ROOT)}
        if name == "pyrestic":
            self._command = [sys.executable, "-m", "pyrestic", "-o", f"b2.endpoint={service.url}"]
            self._environment = base | service.ours
        else:
            self._command = [str(RESTIC)]
            self._environment = base | service.theirs
        self._count = 0

    def new_repository(self) -> None:
        """Turn to a new, empty repository."""
        self._count += 1
        self.run("init")

    def run(self, *words: str) -> float:
        """Run a command; return its wall time in seconds."""
        location = f"b2:bench-of-{self.name}:{self._count}"
        started = time.perf_counter()
        subprocess.run(
            [*self._command, "-r", location, *words], env=self._environment, check=True, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - started


def measure(tools: list[Tool], source: Path, target: Path, runs: int) -> dict[str, dict[str, float]]:
    """Return the median seconds of backup and restore for each tool, run in turns."""
    times: dict[str, dict[str, list[float]]] = {"backup": {}, "restore": {}}
    for number in range(runs):
        for tool in tools if number % 2 else tools[::-1]:
            tool.new_repository()
            times["backup"].setdefault(tool.name, []).append(tool.run("backup", str(source)))
            shutil.rmtree(target, ignore_errors=True)
            seconds = tool.run("restore", f"latest:{source}", "--target", str(target))
            times["restore"].setdefault(tool.name, []).append(seconds)
            subprocess.run(["diff", "-r", str(source), str(target)], check=True)
    return {work: {name: statistics.median(values) for name, values in found.items()} for work, found in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--runs", type=int, default=4)
    arguments = parser.parse_args()
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        source = folder / "source"
        source.mkdir()
        length = arguments.megabytes * 1_000_000
        (source / "data").write_bytes(os.urandom(length))
        with serving(folder / "service") as service:
            tools = [Tool("pyrestic", service, folder), Tool("restic", service, folder)]
            print("| work | pyrestic MB/s | restic MB/s | rate, ours / restic's |\n|---|---|---|---|")
            for work, found in measure(tools, source, folder / "target", arguments.runs).items():
                ours, theirs = length / found["pyrestic"] / 1e6, length / found["restic"] / 1e6
                print(f"| {work}, no limits | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |", flush=True)
            length = 300_000_000
            (source / "data").write_bytes(os.urandom(length))
            service.control("conditions", up=CAP_BYTES, down=CAP_BYTES, latency_seconds=LATENCY_SECONDS)
            for work, found in measure(tools, source, folder / "target", 1).items():
                ours, theirs = (length / found[tool] / CAP_BYTES for tool in ("pyrestic", "restic"))
                print(f"| {work}, 100 Mbit/s, 50 ms: of the line | {ours:.0%} | {theirs:.0%} | {ours / theirs:.2f} |")


if __name__ == "__main__":
    main()
