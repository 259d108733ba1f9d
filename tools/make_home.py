"""Makes a repository of a made-up home folder that changes over half a year, to look at with `pyrestic serve`.

    python3 tools/make_home.py FOLDER    # FOLDER/repository; its password is "a test password"

Everything comes from a seed: names, dates, texts, pictures. The web tests and docs/serve.md use it.
"""

import argparse
import contextlib
import math
import os
import random
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pyrestic.format.keyfile import ScryptParams  # noqa: E402 - the checkout need not be installed
from pyrestic.ids import ID  # noqa: E402
from pyrestic.localfs.scan import resolve  # noqa: E402
from pyrestic.localfs.select import BackupSelector  # noqa: E402
from pyrestic.operations.archive_snapshot import SnapshotDetails, archive_files  # noqa: E402
from pyrestic.operations.backup_progress import BackupProgress  # noqa: E402
from pyrestic.report import NullReporter  # noqa: E402
from pyrestic.repository.repository import Repository, RepositoryOptions  # noqa: E402
from pyrestic.repository.snapshots import StoredSnapshot, load_snapshot  # noqa: E402
from tools.make_history import QuickBackend  # noqa: E402

PASSWORD = "a test password"
HOME = "/home/ann"
PLAN = f"{HOME}/Projects/garden/plan.md"
PICTURE = f"{HOME}/Pictures/Lake/evening.png"
NOTES = f"{HOME}/notes.txt"
FIRST = datetime(2025, 9, 7, 18, 30, tzinfo=UTC)
WEEKS = 26

_PLAN = [
    "# Garden plan",
    "",
    "Beans along the wall, two rows.",
    "Tomatoes in the corner with most sun.",
    "The apple tree stays where it is.",
    "",
    "## To do",
    "",
    "- mend the fence",
    "- order seeds",
    "- ask Bob for his ladder",
]
_DONE = ["mend the fence", "order seeds", "ask Bob for his ladder", "build the cold frame", "paint the shed"]


@dataclass(frozen=True)
class Week:
    """One week of the made-up life, from 0 on."""

    number: int
    moment: datetime


def picture(width: int, height: int, evening: float) -> bytes:
    """Return a PNG of hills under a sky; `evening` from 0 to 1 is how far the sun has gone down."""
    sky_top = (64 + 60 * evening, 120 - 50 * evening, 190 - 60 * evening)
    sky_low = (200 + 50 * evening, 215 - 60 * evening, 235 - 130 * evening)
    sun_x, sun_y = width * 0.7, height * (0.25 + 0.3 * evening)
    rows = []
    for y in range(height):
        row = bytearray(b"\0")
        share = y / height
        for x in range(width):
            color = [top + (low - top) * share for top, low in zip(sky_top, sky_low, strict=True)]
            if math.hypot(x - sun_x, y - sun_y) < height * 0.08:
                color = [255.0, 235 - 60 * evening, 190 - 90 * evening]
            for depth, (base, swing, step) in enumerate(((0.6, 0.08, 47.0), (0.72, 0.06, 31.0), (0.86, 0.04, 23.0))):
                if share > base + swing * math.sin(x / step + depth * 2) * (1 - depth * 0.2):
                    dark = 1 - 0.25 * evening
                    color = [(70 - 18 * depth) * dark, (105 - 22 * depth) * dark, (92 - 20 * depth) * dark]
            row += bytes(round(max(0, min(255, each))) for each in color)
        rows.append(bytes(row))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"".join(rows), 6))
        + chunk(b"IEND", b"")
    )


class _Home:
    """The folder as it is at the moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dice = random.Random(7)
        self._plan = list(_PLAN)

    def write(self, name: str, content: bytes | str, moment: datetime) -> None:
        """Write a file with its time."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self._touch(path, moment)

    def _touch(self, path: Path, moment: datetime) -> None:
        """Give a file or link its time, and the folders above it the same."""
        times = (moment.timestamp(), moment.timestamp())
        os.utime(path, times, follow_symlinks=False)
        for folder in path.parents:
            os.utime(folder, times)
            if folder == self._folder:
                return

    def live(self, week: Week) -> None:
        """Let a week pass."""
        number, moment = week.number, week.moment - timedelta(hours=3)
        if number == 0:
            self._begin(moment)
        if number % 4 == 1:
            self._plan_more(number // 4, moment)
        entries = "".join(
            f"{FIRST + timedelta(weeks=each):%Y-%m-%d},{40 + each * 7 % 23},{each}\n" for each in range(number + 1)
        )
        self.write("Documents/Accounts/household.csv", "day,euro,week\n" + entries, moment)
        if number % 3 == 0:
            self.write(
                f"Documents/Letters/to Bob {number // 3 + 1}.txt",
                "Dear Bob,\n\n" + "the garden grows.\n" * (number + 2),
                moment,
            )
        if number in (0, 5, 12):
            self.write("Pictures/Lake/evening.png", picture(360, 220, number / 12), moment)
        if number % 5 == 2:
            self.write(f"Music/take {number // 5 + 1}.flac", self._dice.randbytes(180_000), moment)
        if number in (3, 16):
            self.write("notes.txt", "milk\nbread\nladder back to Bob\n", moment)
        if number == 9:
            (self._folder / "notes.txt").unlink()
            self._touch(self._folder / "Documents", moment)

    def _begin(self, moment: datetime) -> None:
        self.write("Projects/garden/plan.md", "\n".join(self._plan) + "\n", moment)
        self.write(
            "Projects/garden/sketch.svg",
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 8h7V3z"/></svg>\n',
            moment,
        )
        self.write("Documents/recipes.md", "# Bread\n\n500 g flour, 350 g water, 10 g salt, patience.\n", moment)
        self.write("Pictures/Lake/morning.png", picture(360, 220, 0), moment)
        link = self._folder / "plan"
        link.symlink_to("Projects/garden/plan.md")
        self._touch(link, moment)

    def _plan_more(self, step: int, moment: datetime) -> None:
        line = f"- {_DONE[step % len(_DONE)]}"
        if line in self._plan:
            self._plan.remove(line)
        self._plan.insert(5, f"{moment:%-d %B}: {_DONE[step % len(_DONE)]}, done.")
        if step == 2:
            self._plan[3] = "Tomatoes in the corner with most sun, three kinds."
        self.write("Projects/garden/plan.md", "\n".join(self._plan) + "\n", moment)


def make_home(folder: Path, prepare: Callable[[Path], None] = lambda _: None) -> Path:
    """Make the repository and return its folder; `prepare` may put more files into the home before the first backup.

    The key of the password costs next to no time to derive.
    """
    home = folder / HOME.strip("/")
    home.mkdir(parents=True)
    place = folder / "repository"
    repository = Repository.create(
        QuickBackend(str(place)),
        PASSWORD,
        hostname="laptop",
        username="ann",
        created="2025-09-01T00:00:00Z",
        params=ScryptParams(2, 8, 1),
        options=RepositoryOptions(no_extra_verify=True),
    )
    life = _Home(home)
    prepare(home)
    try:
        with contextlib.chdir(folder):
            parent: ID | None = None
            for number in range(WEEKS):
                week = Week(number, FIRST + timedelta(weeks=number, minutes=number * 7 % 50))
                life.live(week)
                parent = _back_up(repository, week, parent)
    finally:
        repository.close()
    return place


def _back_up(repository: Repository, week: Week, parent: ID | None) -> ID:
    options = SnapshotDetails(
        time_ns=round(week.moment.timestamp()) * 1_000_000_000,
        targets=[HOME],
        hostname="laptop",
        username="ann",
        uid=os.getuid(),
        gid=os.getgid(),
        tags=["monthly"] if week.number % 4 == 0 else [],
        program_version="pyrestic",
    )
    before = None if parent is None else StoredSnapshot(parent, load_snapshot(repository, parent))
    source = resolve([HOME.strip("/").encode()])
    result = archive_files(
        repository, source, BackupSelector(), options, NullReporter(), BackupProgress("backup"), parent=before
    )
    assert result.id is not None
    return result.id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to make home folder and repository")
    options = parser.parse_args()
    print(f"made {make_home(options.folder)}; its password is: {PASSWORD}")


if __name__ == "__main__":
    main()
