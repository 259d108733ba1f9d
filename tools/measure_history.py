"""Measures how long histories take, and how many files of the repository are asked for.

    python3 tools/make_home_history.py /tmp/home
    python3 tools/measure_history.py /tmp/home /home/ann/todo /home/ann/folder0 /home/ann

For each path three lines: without an index, with an empty one, and with what that has learned. Seconds are those of the
look-up alone; opening the repository and reading the snapshots is a line of its own. Requests are loads from the
repository without any cache, those of packs in pieces as they were asked for.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from pyrestic.backend.local import LocalBackend  # noqa: E402 - the checkout may not be installed
from pyrestic.handle import FileType, Handle  # noqa: E402
from pyrestic.localfs.tree_facts import HistoryIndex  # noqa: E402
from pyrestic.report import NullReporter  # noqa: E402
from pyrestic.repository.repository import Repository  # noqa: E402
from pyrestic.repository.snapshots import StoredSnapshot, load_snapshots  # noqa: E402
from pyrestic.vfs.history import find_history  # noqa: E402
from tools.make_home_history import PASSWORD  # noqa: E402


class _CountingBackend(LocalBackend):
    """A folder that counts what is loaded from it."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.loads: Counter[FileType] = Counter()

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Return a range of a file."""
        self.loads[handle.type] += 1
        return super().load(handle, offset, length)


def _open(folder: Path, password: str) -> tuple[Repository, _CountingBackend, list[StoredSnapshot]]:
    backend = _CountingBackend(str(folder))
    repository = Repository.open(backend, password)
    return repository, backend, load_snapshots(repository, NullReporter())


def _measure(folder: Path, password: str, path: str, index: HistoryIndex | None, label: str) -> None:
    repository, backend, snapshots = _open(folder, password)
    backend.loads.clear()
    started = time.perf_counter()
    history = find_history(repository, snapshots, os.fsencode(path), index, NullReporter())
    seconds = time.perf_counter() - started
    repository.close()
    packs, indexes = backend.loads[FileType.PACK], backend.loads[FileType.INDEX]
    print(
        f"{path:<24} {label:<14} {seconds:6.2f} s  {packs:5} of packs, {indexes:4} index files;"
        f" {len(history.versions)} versions in {history.snapshots} snapshots"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the repository")
    parser.add_argument("paths", nargs="+", help="absolute paths in it")
    parser.add_argument("--password", default=PASSWORD)
    arguments = parser.parse_args()
    started = time.perf_counter()
    repository, _, snapshots = _open(arguments.folder, arguments.password)
    repository.close()
    print(f"opened, {len(snapshots)} snapshots read in {time.perf_counter() - started:.2f} s")
    for path in arguments.paths:
        _measure(arguments.folder, arguments.password, path, None, "no index")
        with tempfile.TemporaryDirectory() as folder:
            for label in ("empty index", "warm"):
                index = HistoryIndex(os.path.join(folder, "index"))
                _measure(arguments.folder, arguments.password, path, index, label)
                index.close()


if __name__ == "__main__":
    main()
