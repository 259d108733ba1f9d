"""Makes a repository with thousands of hourly snapshots of a small home folder in which files come, change and go.

    python3 tools/make_home_history.py /tmp/home                            # 2,000 snapshots, in a few seconds
    python3 tools/make_home_history.py /tmp/home --restic .tools/restic-0.19  # by the real restic, in a few minutes

Without --restic each snapshot is stored as a backup of its own stores it: new blobs and trees in packs of their own, an
index file, a snapshot. With it the folder is made in FOLDER.files, and the given program backs it up each time. Either
way FOLDER.json says what each snapshot, oldest first, has changed: for each path the SHA-256 of its content, which is
also the ID of its only blob, or null if it is gone. The same seed gives the same contents, so a repository that has
fewer snapshots than are asked for gets those that it lacks.
"""

import argparse
import hashlib
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from pyrestic import __version__  # noqa: E402 - the checkout may not be installed
from pyrestic.format import snapshot as snapshots  # noqa: E402
from pyrestic.format.gojson import format_time  # noqa: E402
from pyrestic.format.keyfile import ScryptParams  # noqa: E402
from pyrestic.format.node import DIRECTORY  # noqa: E402
from pyrestic.format.snapshot import Snapshot  # noqa: E402
from pyrestic.format.tree import encode_tree  # noqa: E402
from pyrestic.handle import BlobType, FileType  # noqa: E402
from pyrestic.report import NullReporter  # noqa: E402
from pyrestic.repository.repository import Repository, RepositoryOptions  # noqa: E402
from pyrestic.repository.snapshots import load_snapshots  # noqa: E402
from tools.make_history import HOUR_NS, SECOND_NS, START_NS, QuickBackend, make_file_node, make_node  # noqa: E402

HOME = "/home/ann"
PASSWORD = "history"
FOLDERS = 40
FILES = 300


@dataclass(frozen=True)
class File:
    """A file of the home: what is in it, and when that was written, in seconds since 1970."""

    content: bytes
    mtime: int

    @property
    def blob(self) -> str:
        """The ID of its blob."""
        return hashlib.sha256(self.content).hexdigest()


class Home:
    """The files by their paths below the home. Each `step` changes a few, as a person does in an hour."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._folders = [""] + [f"folder{number}" for number in range(8)]
        while len(self._folders) < FOLDERS:
            self._folders.append(f"{self._dice.choice(self._folders[1:])}/sub{len(self._folders)}")
        self.files: dict[str, File] = {}
        self._past: dict[str, list[File]] = {}
        self._gone: list[str] = []
        self._favourites = ["folder0/notes.txt", "folder1/thesis.tex", "todo"]
        start = START_NS // SECOND_NS - 1000
        for path in self._favourites:
            self._write(path, start)
        while len(self.files) < FILES:
            self._create(start)

    def step(self, now: int) -> None:
        """Make a few changes just before a moment, in seconds since 1970."""
        if self._dice.random() < 0.1:
            return
        for _ in range(self._dice.randrange(1, 4)):
            self._change(now - self._dice.randrange(60, 3000))

    def _change(self, moment: int) -> None:
        dice = self._dice
        action = dice.choices(
            [self._edit, self._create, self._remove, self._revert, self._recreate, self._move, self._touch],
            [60, 10, 8, 8, 6, 4, 4],
        )[0]
        action(moment)
        # The same few files are what a person works on, and looks for.
        if dice.random() < 0.3:
            self._write(dice.choice(self._favourites), moment)

    def _some(self) -> str:
        return self._dice.choice(sorted(self.files))

    def _write(self, path: str, moment: int) -> None:
        old = self.files.get(path, File(b"", 0)).content[-2000:]
        text = " ".join(self._dice.choices(["green", "tea", "wants", "no", "sugar", "today", "perhaps"], k=12))
        self.files[path] = File(old + f"{moment} {text}\n".encode(), moment)
        self._past.setdefault(path, []).append(self.files[path])

    def _edit(self, moment: int) -> None:
        self._write(self._some(), moment)

    def _create(self, moment: int) -> None:
        number = len(self._past) + len(self._gone)
        self._write(f"{self._dice.choice(self._folders)}/file{number}".lstrip("/"), moment)

    def _remove(self, _: int) -> None:
        path = self._some()
        del self.files[path]
        self._gone.append(path)

    def _revert(self, _: int) -> None:
        path = self._some()
        self.files[path] = self._dice.choice(self._past[path])

    def _recreate(self, moment: int) -> None:
        if not self._gone:
            return
        path = self._gone.pop(self._dice.randrange(len(self._gone)))
        if self._dice.random() < 0.5:
            self.files[path] = self._past[path][-1]
        else:
            self._write(path, moment)

    def _move(self, _: int) -> None:
        path = self._some()
        target = f"{self._dice.choice(self._folders)}/moved{len(self._past)}".lstrip("/")
        if path in self._favourites or target in self.files:
            return
        self.files[target] = self.files.pop(path)
        self._past.setdefault(target, []).append(self.files[target])
        self._gone.append(path)

    def _touch(self, moment: int) -> None:
        path = self._some()
        self.files[path] = File(self.files[path].content, moment)


class Writer:
    """Stores the home as a backup of its own would."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._parent: str | None = None

    def pass_over(self, home: Home, snapshot: str) -> None:  # noqa: ARG002 - the other writer's signature
        """Take note of a snapshot that is there already."""
        self._parent = snapshot

    def backup(self, home: Home, time_ns: int) -> str:
        """Store a snapshot and return its ID."""
        root: dict[str, object] = {}
        for path, file in sorted(home.files.items()):
            folder = root
            *above, name = f"{HOME}/{path}".strip("/").split("/")
            for part in above:
                below = folder.setdefault(part, {})
                assert isinstance(below, dict)
                folder = below
            folder[name] = file
        tree = self._save(root)[0]
        self._repository.flush()
        snapshot = Snapshot(
            time=format_time(time_ns, 0),
            parent=self._parent,
            tree=tree,
            paths=[HOME],
            hostname="home",
            username="ann",
            uid=os.getuid(),
            gid=os.getgid(),
            program_version=f"pyrestic {__version__}",
        )
        self._parent = self._repository.save_unpacked(FileType.SNAPSHOT, snapshots.encode(snapshot)).hex()
        return self._parent

    def _save(self, folder: dict[str, object]) -> tuple[str, int]:
        """Save a folder; return the ID of its tree and the time of its newest file."""
        nodes = []
        newest = START_NS - HOUR_NS
        for name, thing in sorted(folder.items()):
            if isinstance(thing, File):
                blob = self._repository.saver.save(BlobType.DATA, thing.content).id
                moment = thing.mtime * SECOND_NS
                nodes.append(make_file_node(name, len(thing.content), moment, [blob]))
            else:
                assert isinstance(thing, dict)
                tree, moment = self._save(thing)
                nodes.append(make_node(name, DIRECTORY, 0o40755, moment, tree))
            newest = max(newest, moment)
        return self._repository.saver.save(BlobType.TREE, encode_tree(nodes)).id.hex(), newest


class Runner:
    """Writes the home to a folder, and lets a program back that up."""

    def __init__(self, command: list[str], repository: Path, folder: Path, password: str) -> None:
        self._password = password
        self._command = [*command, "--repo", str(repository)]
        self._folder = folder
        self._written: dict[str, File] = {}

    def pass_over(self, home: Home, snapshot: str) -> None:  # noqa: ARG002 - the other writer's signature
        """Take note of a snapshot that is there already."""
        self._written = dict(home.files)

    def backup(self, home: Home, time_ns: int) -> str:
        """Back up and return the ID of the snapshot."""
        for path in self._written.keys() - home.files.keys():
            (self._folder / path).unlink()
        for path, file in home.files.items():
            if self._written.get(path) != file:
                place = self._folder / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file.content)
                os.utime(place, (file.mtime, file.mtime))
        self._written = dict(home.files)
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_ns // SECOND_NS))
        words = ["backup", "--json", "--quiet", "--host=home", "--time", moment, str(self._folder)]
        environment = {**os.environ, "RESTIC_PASSWORD": self._password, "TZ": "UTC"}
        done = subprocess.run([*self._command, *words], env=environment, capture_output=True, check=True)
        identifier: str = json.loads(done.stdout.splitlines()[-1])["snapshot_id"]
        return identifier


def make_home_history(
    folder: Path, *, count: int = 2000, seed: int = 1, restic: str = "", password: str = PASSWORD
) -> Iterator[tuple[str, dict[str, str]]]:
    """Make the repository; iterate, oldest first, the ID of each snapshot and the blobs of the files by their paths."""
    files = folder.with_name(folder.name + ".files")
    if not folder.exists():
        shutil.rmtree(files, ignore_errors=True)
    repository = _open(folder, password)
    there = sorted(load_snapshots(repository, NullReporter()), key=lambda stored: stored.snapshot.time_ns)
    writer = Runner(shlex.split(restic), folder, files, password) if restic else Writer(repository)
    prefix = str(files) if restic else HOME
    home = Home(seed)
    try:
        for number in range(count):
            moment = START_NS + (number + 1) * HOUR_NS
            if number:
                home.step(moment // SECOND_NS)
            if number < len(there):
                snapshot = there[number].id.hex()
                writer.pass_over(home, snapshot)
            else:
                snapshot = writer.backup(home, moment)
            yield snapshot, {f"{prefix}/{path}": file.blob for path, file in home.files.items()}
    finally:
        repository.close()


def _open(folder: Path, password: str) -> Repository:
    """Open the repository in a folder, or make it."""
    # What is saved here is checked by whoever reads it.
    options = RepositoryOptions(no_extra_verify=True)
    backend = QuickBackend(str(folder))
    if folder.exists():
        repository = Repository.open(backend, password, options=options)
        repository.load_index(NullReporter())
        return repository
    return Repository.create(
        backend,
        password,
        hostname="home",
        username="ann",
        created=format_time(START_NS, 0),
        params=ScryptParams(2, 8, 1),
        options=options,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to make the repository; its password is " + PASSWORD)
    parser.add_argument("--snapshots", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--restic", default="", help="the program, with arguments, that backs up each time")
    arguments = parser.parse_args()
    started = time.monotonic()
    found: list[tuple[str, dict[str, str | None]]] = []
    before: dict[str, str] = {}
    folder = arguments.folder.absolute()
    made = make_home_history(folder, count=arguments.snapshots, seed=arguments.seed, restic=arguments.restic)
    for snapshot, files in made:
        paths = files.keys() | before.keys()
        found.append((snapshot, {path: files.get(path) for path in paths if files.get(path) != before.get(path)}))
        before = files
        if len(found) % 100 == 0:
            print(f"{len(found)} snapshots", flush=True)
    manifest = folder.with_name(folder.name + ".json")
    manifest.write_text(json.dumps(found))
    print(f"{len(found)} snapshots in {time.monotonic() - started:.1f} s; what they hold is in {manifest}")


if __name__ == "__main__":
    main()
