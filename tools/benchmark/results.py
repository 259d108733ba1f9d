"""What a run of the benchmark found out, as it is kept in JSON."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tools.benchmark.measuring import OURS, REAL, Run, Tool

FIGURES = ("wall_seconds", "cpu_seconds", "peak_mib")


class Figure(NamedTuple):
    """Medians of both tools, and of the ratios of the pairs."""

    pyrestic: float
    restic: float
    ratio: float


Figures = dict[str, Figure]
"""By the names in FIGURES."""


class Results(NamedTuple):
    """The figures by part and step, and what they were measured with and on."""

    about: Mapping[str, Any]
    parts: dict[str, dict[str, Figures]]

    @property
    def is_base(self) -> bool:
        """Tell whether pyrestic ran without the extra `fast`."""
        return bool(self.about["install"] == "base")

    @property
    def on_disk(self) -> bool:
        """Tell whether the repositories were on a disk and not in memory."""
        return bool(self.about["place"] == "disk")


def summarize(pairs: list[tuple[Run, Run]]) -> Figures:
    """Return the medians of pairs of runs (pyrestic, restic)."""
    figures = {}
    for name in FIGURES:
        ours = [getattr(mine, name) for mine, _ in pairs]
        theirs = [getattr(real, name) for _, real in pairs]
        # A process that was asked for next to nothing may have taken no whole tick of CPU time.
        ratios = [max(one, 0.01) / max(other, 0.01) for one, other in zip(ours, theirs, strict=True)]
        medians = (statistics.median(values) for values in (ours, theirs, ratios))
        figures[name] = Figure(*(round(value, 3) for value in medians))
    return figures


def describe(tools: tuple[Tool, Tool], folder: Path, *, runs: int, scale: float) -> dict[str, Any]:
    """Return what the figures are measured with and on."""
    ours, real = tools
    fast = "import cryptography, numba"
    installed = subprocess.run([ours.command[0], "-c", fast], capture_output=True, check=False).returncode == 0
    return {
        "install": "fast" if installed else "base",
        "place": "RAM disk" if _file_system(folder) in ("tmpfs", "ramfs") else "disk",
        "runs": runs,
        "scale": scale,
        "processor": _processor(),
        "threads": os.cpu_count() or 1,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": _output([ours.command[0], "-c", "import platform; print(platform.python_version())"]),
        REAL: " ".join(_output([*real.command, "version"]).split()[:2]),
        OURS: " ".join(_output([*ours.command, "version"]).split()[:2]),
    }


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    best, found = "", ""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind = line.split()[:3]
        if folder.resolve().is_relative_to(place) and len(place) >= len(best):
            best, found = place, kind
    return found


def write(path: Path, results: Results) -> None:
    """Write results as JSON."""
    document = {
        **results.about,
        "parts": {
            part: {
                step: {name: figure._asdict() for name, figure in figures.items()} for step, figures in steps.items()
            }
            for part, steps in results.parts.items()
        },
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def read(path: Path) -> Results:
    """Read what `write` wrote."""
    document = json.loads(path.read_text())
    parts = {
        part: {step: {name: Figure(**figure) for name, figure in figures.items()} for step, figures in steps.items()}
        for part, steps in document.pop("parts").items()
    }
    return Results(document, parts)


def merge(several: list[Results]) -> list[Results]:
    """Return one result for each install and place; of a part that was measured twice, the later one counts."""
    merged: dict[tuple[bool, bool], Results] = {}
    for one in several:
        key = (one.is_base, one.on_disk)
        before = merged.get(key)
        merged[key] = one if before is None else Results(one.about, {**before.parts, **one.parts})
    return [merged[key] for key in sorted(merged)]
