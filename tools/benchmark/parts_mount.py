"""The part that reads through mounted repositories."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tools.benchmark.datasets import DATA, compare
from tools.benchmark.measuring import BenchmarkError, Run, Tool, cpu_seconds_of, environment_for, peak_mib_of
from tools.benchmark.part import Part

_DEADLINE_SECONDS = 60.0


class MountPart(Part):
    """A file of 1 GiB and 100,000 small ones, mounted: read from start to end, and listed with `ls -lR`.

    The time is that of the reader, CPU and memory are those of the process that serves the mount.
    """

    name = "mount"
    same_output = frozenset(("list",))

    def make(self) -> None:
        """Let the real restic back up the files."""
        self.source, self.repository = self.work / "source", self.work / "repository"
        for kind in ("random", "small"):
            (self.source / kind).mkdir(parents=True)
            DATA[kind](self.source / kind, self.scale)
        self.create(self.repository, self.key)
        self.real(self.repository, "backup", "-q", self.source)
        self.steps = {"read": self.read_file, "list": self.list_files}

    def read_file(self, tool: Tool) -> Run:
        """Read the large file in pieces of 1 MiB, then compare all of it."""
        with self._mounted(tool) as (process, latest):
            path = latest / "random" / "random.bin"
            result = self._timed(process, ["dd", f"if={path}", "of=/dev/null", "bs=1M", "status=none"])
            compare(self.source / "random", latest / "random")
        return result

    def list_files(self, tool: Tool) -> Run:
        """List all small files with their metadata."""
        with self._mounted(tool) as (process, latest):
            return self._timed(process, ["ls", "-lR"], cwd=latest / "small")

    @contextlib.contextmanager
    def _mounted(self, tool: Tool) -> Iterator[tuple[int, Path]]:
        """Mount for the time of a with block; give the process and the folder of the snapshot's source."""
        folder = self.work / f"mount-{tool.name}"
        folder.mkdir(exist_ok=True)
        command = [*tool.command, "-r", str(self.repository), "mount", str(folder)]
        with (self.work / f"mount-{tool.name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environment_for(tool, self.work), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        try:
            deadline = time.monotonic() + _DEADLINE_SECONDS
            while not os.path.ismount(folder):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise BenchmarkError(f"{tool.name} did not mount: {Path(log.name).read_text()}")
                time.sleep(0.02)
            yield process.pid, folder / "snapshots" / "latest" / str(self.source).lstrip("/")
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(_DEADLINE_SECONDS)

    def _timed(self, process: int, command: list[str], cwd: Path | None = None) -> Run:
        before, start = cpu_seconds_of(process), time.perf_counter()
        output = subprocess.run(command, cwd=cwd, check=True, capture_output=True).stdout
        wall = time.perf_counter() - start
        return Run(wall, cpu_seconds_of(process) - before, peak_mib_of(process), output)
