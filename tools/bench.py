"""Times pyrestic and the real restic in turn and prints ratios.

    python3 tools/bench.py                      # all data sets and steps, five pairs
    python3 tools/bench.py --scale 0.1 --runs 3 # a tenth of the data, three pairs
    python3 tools/bench.py --data small --steps backup,rescan

Each pair runs the same step with both tools, one right after the other and the first one changing from pair to pair, on
equal copies, so that a machine whose speed drifts slows both. Quoted are medians over the pairs of wall seconds, CPU
seconds (user and system, all threads) and peak memory, and the median of the ratios pyrestic / restic. What was
written is checked with the real `restic check` and what was restored is compared with the source before a figure is
printed.
"""

import argparse
import filecmp
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "bench"
STEPS = ("backup", "rescan", "restore", "check", "one-changed")
MIB = 1 << 20


@dataclass(frozen=True)
class Run:
    """What one process took."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Tool:
    """A program with restic's command line."""

    name: str
    command: list[str]


def run(tool: Tool, arguments: list[str], cache: Path) -> Run:
    """Run the tool, return what it took; end the benchmark if it fails."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RESTIC_", "PYTHONDONT"))}
    environment |= {"RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(cache / tool.name)}
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*tool.command, *arguments], env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=cache
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            sys.exit(f"{tool.name} {' '.join(arguments)} failed:\n{output.read().decode(errors='replace')}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


# Data sets


def make_random(folder: Path, scale: float) -> None:
    """1 GiB that no compressor shortens, in one file."""
    source = np.random.default_rng(1)
    with (folder / "random.bin").open("wb") as file:
        for _ in range(max(1, round(1024 * scale))):
            file.write(source.bytes(MIB))


def make_text(folder: Path, scale: float) -> None:
    """400 MB of words in the proportions of natural text, in files of 4 MB."""
    source = np.random.default_rng(2)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = np.array(["".join(source.choice(letters, source.integers(2, 12))) for _ in range(20_000)])
    for number in range(max(1, round(100 * scale))):
        picks = np.minimum(source.zipf(1.2, 800_000) - 1, len(words) - 1)
        lines = "\n".join(" ".join(words[picks[start : start + 12]]) for start in range(0, len(picks), 12))
        (folder / f"text-{number:03}.txt").write_text(lines[: 4 * MIB])


def make_small(folder: Path, scale: float) -> None:
    """100,000 files of 10 to 4,000 bytes of text, 100 to a folder."""
    source = random.Random(3)
    text = " ".join("".join(source.choices("etaoinshrdlu", k=source.randint(2, 9))) for _ in range(100_000))
    for directory in range(max(1, round(1000 * scale))):
        place = folder / f"{directory // 50:02}" / f"{directory % 50:02}"
        place.mkdir(parents=True)
        for number in range(100):
            start = source.randrange(len(text) - 4000)
            content = f"{directory} {number} {text[start : start + source.randint(10, 4000)]}"
            (place / f"file-{number:02}.txt").write_text(content[:4000])


DATA: dict[str, Callable[[Path, float], None]] = {"random": make_random, "text": make_text, "small": make_small}


# Steps


class Bench:
    """One data set and both tools; `pairs[step]` are the runs (pyrestic, restic)."""

    def __init__(self, tools: tuple[Tool, Tool], data: str, work: Path, scale: float) -> None:
        self.tools = tools
        self.work = work / data
        self.source = self.work / "source"
        self.source.mkdir(parents=True)
        self.pairs: dict[str, list[tuple[Run, Run]]] = {}
        DATA[data](self.source, scale)
        self.empty = self.work / "empty"
        self._real(["init", "-r", str(self.empty)])

    def measure(self, step: str) -> None:
        """Run the step once with each tool."""
        order = list(self.tools)
        if len(self.pairs.setdefault(step, [])) % 2:
            order.reverse()
        runs = {tool.name: getattr(self, "step_" + step.replace("-", "_"))(tool) for tool in order}
        self.pairs[step].append((runs[self.tools[0].name], runs[self.tools[1].name]))

    def repository(self, tool: Tool) -> str:
        """Path of the tool's own repository."""
        return str(self.work / f"repository-{tool.name}")

    def step_backup(self, tool: Tool) -> Run:
        """First backup into an empty repository."""
        repository = self.repository(tool)
        shutil.rmtree(repository, ignore_errors=True)
        shutil.rmtree(self.work / tool.name, ignore_errors=True)
        shutil.copytree(self.empty, repository)
        result = run(tool, ["backup", "-q", "-r", repository, str(self.source)], self.work)
        self._real(["check", "-q", "-r", repository])
        return result

    def step_rescan(self, tool: Tool) -> Run:
        """The same again, nothing changed."""
        return run(tool, ["backup", "-q", "-r", self.repository(tool), str(self.source)], self.work)

    def step_one_changed(self, tool: Tool) -> Run:
        """The same again, one small file changed."""
        (self.source / "changed.txt").write_text(f"{time.time_ns()}")
        return run(tool, ["backup", "-q", "-r", self.repository(tool), str(self.source)], self.work)

    def step_restore(self, tool: Tool) -> Run:
        """Restore everything to an empty folder, and compare it."""
        target = self.work / f"target-{tool.name}"
        arguments = ["restore", "-q", "-r", self.repository(tool), f"latest:{self.source}", "--target", str(target)]
        result = run(tool, arguments, self.work)
        compare(self.source, target)
        shutil.rmtree(target)
        return result

    def step_check(self, tool: Tool) -> Run:
        """Read and verify all data."""
        return run(tool, ["check", "-q", "--read-data", "-r", self.repository(tool)], self.work)

    def _real(self, arguments: list[str]) -> None:
        run(self.tools[1], arguments, self.work)


def compare(source: Path, target: Path) -> None:
    """End the benchmark unless every file of source is in target with the same bytes."""
    for folder, _, names in os.walk(source):
        other = target / Path(folder).relative_to(source)
        _, wrong, broken = filecmp.cmpfiles(folder, other, names, shallow=False)
        if wrong or broken:
            sys.exit(f"restored files differ in {folder}: {(wrong + broken)[:5]}")


# Output


def summarize(pairs: list[tuple[Run, Run]]) -> dict[str, dict[str, float]]:
    """Return the medians of both tools and of the ratios, per figure."""
    figures = {}
    for figure in ("wall_seconds", "cpu_seconds", "peak_mib"):
        ours = [getattr(mine, figure) for mine, _ in pairs]
        theirs = [getattr(real, figure) for _, real in pairs]
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        figures[figure] = {
            "pyrestic": round(statistics.median(ours), 3),
            "restic": round(statistics.median(theirs), 3),
            "ratio": round(statistics.median(ratios), 3),
        }
    return figures


def print_table(results: dict[str, dict[str, dict[str, dict[str, float]]]]) -> None:
    """Print a Markdown table of all results."""
    print("| data | step | wall s, ours / restic | ratio | CPU s, ours / restic | ratio | peak MiB | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for data, steps in results.items():
        for step, figures in steps.items():
            cells = [
                f"{figure['pyrestic']:.2f} / {figure['restic']:.2f} | **{figure['ratio']:.2f}**"
                for figure in figures.values()
            ]
            print(f"| {data} | {step} | {' | '.join(cells)} |")


def find_restic() -> str:
    """Return the newest real restic that the tests installed, or the one on the path."""
    installed = ROOT / ".tools" / "restic-0.19"
    found = str(installed) if installed.exists() else shutil.which("restic")
    if found is None:
        sys.exit("no restic to compare with: run tools/install_restic.py or give --restic")
    return found


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs per step (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full data (1.0)")
    parser.add_argument("--data", default=",".join(DATA), help="data sets, comma separated")
    parser.add_argument("--steps", default=",".join(STEPS), help="steps, comma separated")
    parser.add_argument("--dir", default="/dev/shm", help="where to work (a RAM disk: /dev/shm)")
    parser.add_argument("--restic", default=None, help="the real restic")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs pyrestic")
    parser.add_argument("--json", default=None, help="write all figures to this file")
    options = parser.parse_args()
    tools = (
        Tool("pyrestic", [options.python, "-m", "pyrestic"]),
        Tool("restic", [options.restic or find_restic()]),
    )
    os.environ["PYTHONPATH"] = str(ROOT)
    results: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    work = Path(tempfile.mkdtemp(prefix="pyrestic-bench-", dir=options.dir))
    try:
        for data in options.data.split(","):
            bench = Bench(tools, data, work, options.scale)
            steps = options.steps.split(",")
            for _ in range(options.runs):
                for step in steps:
                    bench.measure(step)
            results[data] = {step: summarize(bench.pairs[step]) for step in steps}
            shutil.rmtree(bench.work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print_table(results)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
