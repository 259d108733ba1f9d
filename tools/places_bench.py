"""Compares backup and restore with the real restic at places on loopback, both in turn, and prints a table.

    python3 tools/places_bench.py sftp rclone          # 1 GiB that cannot be compressed, one round
    python3 tools/places_bench.py --mib 256 --rounds 3 sftp

The rates are MiB of the source per second; `cpu` is processor time of the client with the programs that it starts.
Other work on the machine slows both, so the ratio counts, not the rate.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import install_restic  # noqa: E402 - the checkout need not be installed
from tools.place_servers.place import Place  # noqa: E402 - as above
from tools.places import PLACES  # noqa: E402 - as above

FILE_BYTES = 64 << 20
PASSWORD = "a password for measurements"


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    cpu_seconds: float


def main() -> int:
    """Measure the places that the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("places", nargs="+", choices=sorted(PLACES))
    options = parser.parse_args()
    programs = {
        "restic": [str(install_restic.TOOLS / "restic-0.19")],
        "pyrestic": [sys.executable, "-m", "pyrestic"],
    }
    print("| place | command | restic MiB/s (cpu s) | pyrestic MiB/s (cpu s) | ratio |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/dev/shm") as made:
        folder = Path(made)
        write_source(folder / "source", options.mib << 20)
        # Once, as on a user's machine.
        run([*programs["pyrestic"], "compile-code"], make_environment(folder / "home", Place("")))
        for name in options.places:
            with PLACES[name][1](folder / name, install_restic.TOOLS) as place:
                results = measure(place, programs, folder, options.rounds)
            for command in ("backup", "restore"):
                print_row(name, command, results, options.mib)
            shutil.rmtree(folder / name)
    return 0


def measure(place: Place, programs: dict[str, list[str]], folder: Path, rounds: int) -> dict[tuple[str, str], Cost]:
    """Return the best of some rounds of each program and command, which take turns."""
    best: dict[tuple[str, str], Cost] = {}
    for number in range(rounds):
        for name, words in programs.items():
            flags = place.flags(f"{name}-{number}")
            environment = make_environment(folder / "home", place)
            run([*words, *flags, "init"], environment)
            lines = {
                "backup": ["backup", "--quiet", str(folder / "source")],
                "restore": ["restore", "--quiet", "latest", "--target", str(folder / "target")],
            }
            for command, line in lines.items():
                cost = run([*words, *flags, *line], environment)
                best[name, command] = min(best.get((name, command), cost), cost)
            shutil.rmtree(folder / "target")
    return best


def print_row(place: str, command: str, results: dict[tuple[str, str], Cost], mib: int) -> None:
    """Print a row of the table."""
    theirs, ours = results["restic", command], results["pyrestic", command]
    cells = [f"{mib / cost.seconds:.0f} ({cost.cpu_seconds:.1f})" for cost in (theirs, ours)]
    print(f"| {place} | {command} | {' | '.join(cells)} | {theirs.seconds / ours.seconds:.2f} |", flush=True)


def write_source(folder: Path, length: int) -> None:
    """Write files of random bytes."""
    folder.mkdir()
    for number in range(max(length // FILE_BYTES, 1)):
        (folder / f"file {number}").write_bytes(os.urandom(min(FILE_BYTES, length)))


def make_environment(home: Path, place: Place) -> dict[str, str]:
    """Return the environment of a program."""
    home.mkdir(exist_ok=True)
    known = {"PATH": os.environ["PATH"], "HOME": str(home), "RESTIC_PASSWORD": PASSWORD, "PYTHONPATH": str(ROOT)}
    return {**known, "XDG_CACHE_HOME": str(home / "cache"), **place.environment}


def run(command: list[str], environment: dict[str, str]) -> Cost:
    """Run a command, and return what it took."""
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command} ended with {process.returncode}")
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    sys.exit(main())
