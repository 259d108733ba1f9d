"""What is backed up: the same bytes at every run."""

import filecmp
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tools.benchmark.measuring import BenchmarkError

MIB = 1 << 20


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


def length_of(folder: Path) -> int:
    """Return the bytes that the files of a folder take on a disk with pages of 4 KiB."""
    return sum(
        -(-os.lstat(os.path.join(above, name)).st_size // 4096) * 4096
        for above, _, names in os.walk(folder)
        for name in names
    )


def compare(source: Path, target: Path) -> None:
    """Raise BenchmarkError unless every file of source is in target with the same bytes."""
    for folder, _, names in os.walk(source):
        other = target / Path(folder).relative_to(source)
        _, wrong, broken = filecmp.cmpfiles(folder, other, names, shallow=False)
        if wrong or broken:
            raise BenchmarkError(f"restored files differ in {folder}: {(wrong + broken)[:5]}")
