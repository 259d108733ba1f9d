"""The state of the runner on disk, and its logs, in this user's state folder.

`runs.json` is replaced atomically under a lock. It contains no secret. If it is lost or unreadable, a new one begins:
everything is due once, nothing is lost. `runs.log` has a line of JSON for each run; a log that is full is renamed, and
one old log is kept.
"""

import json
import os
import time
from collections.abc import Callable, Iterator

import msgspec

from pyrestic.backend.files import write_all
from pyrestic.backend.private_folder import open_private
from pyrestic.errors import LocalFileError
from pyrestic.localfs.identity import read_boot_id
from pyrestic.localfs.json_state import StateFile
from pyrestic.localfs.online import read_sleep_seconds
from pyrestic.profiles.profile import Profile
from pyrestic.runner.records import VERSION, ProfileRecord, Runs, TaskRecord, make_runs

STATE_NAME = "runs.json"
LOG_NAME = "runs.log"
OUTPUT_NAME = "output.log"
_MOST_LOG_BYTES = 1_000_000
_OLD = ".1"
_NO_TIME = 1e12
"""Later than any pause."""


class RunStore:
    """The state in a folder, which is created on the first write. Methods raise LocalFileError."""

    def __init__(self, folder: str, now: Callable[[], float] = time.time) -> None:
        self._file: StateFile[Runs] = StateFile(folder, STATE_NAME, _parse, msgspec.to_builtins, make_runs)
        self._now = now
        self.folder = folder

    def read(self) -> Runs:
        """Return the state."""
        return self._file.read()

    def change(self, change: Callable[[Runs], None]) -> Runs:
        """Change the state and return it; no other process writes meanwhile."""
        changed: list[Runs] = []

        def apply(runs: Runs) -> Runs:
            # Whatever has changed, the next tick must look.
            runs.quiet_until, runs.holds = 0.0, []
            runs.written = self._now()
            runs.boot_id = read_boot_id()
            runs.slept_seconds = read_sleep_seconds()
            change(runs)
            changed.append(runs)
            return runs

        self._file.change(apply)
        return changed[0]

    def change_profile(self, profile: Profile, change: Callable[[ProfileRecord], None]) -> ProfileRecord:
        """Change the record of a profile and return it."""

        def apply(runs: Runs) -> None:
            record = runs.profiles[profile.name] = runs.find(profile, self._now())
            change(record)

        return self.change(apply).profiles[profile.name]

    def change_task(self, profile: Profile, task: str, change: Callable[[TaskRecord], None]) -> ProfileRecord:
        """Change the record of a task and return that of its profile."""
        return self.change_profile(profile, lambda record: change(record.tasks.setdefault(task, TaskRecord())))

    def log(self, entry: dict[str, object]) -> None:
        """Add a line to the log of runs."""
        append_to_log(self.folder, LOG_NAME, json.dumps(entry, separators=(",", ":")).encode() + b"\n")


def _parse(document: object) -> Runs:
    """Return the state in a document; raise ValueError."""
    runs = msgspec.convert(document, Runs)
    if runs.version != VERSION:
        raise ValueError("another version")
    if not all(0 <= one < _NO_TIME for one in _times(runs)):
        raise ValueError("an impossible time")
    return runs


def _times(runs: Runs) -> Iterator[float]:
    """Yield all times: one that is not a number would make a task never due."""
    found: list[float | None] = [runs.written, runs.paused_until, runs.quiet_until]
    for profile in runs.profiles.values():
        found += [profile.first_seen, *profile.told.values()]
        for task in profile.tasks.values():
            found += [task.started, task.ended, task.good_started, task.good_ended, task.waiting_since]
    yield from (one for one in found if one is not None)


def append_to_log(folder: str, name: str, data: bytes) -> None:
    """Append to a log in a private folder, and rename it first if it is full; raise LocalFileError."""
    try:
        with open_private(folder, create=True) as opened, opened.locked(f"{name}.lock"):
            descriptor = opened.open_or_create_file(name, os.O_WRONLY | os.O_APPEND)
            try:
                size = os.fstat(descriptor).st_size
                if size and size + len(data) > _MOST_LOG_BYTES:
                    opened.rename(name, name + _OLD)
                    os.close(descriptor)
                    descriptor = opened.open_or_create_file(name, os.O_WRONLY | os.O_APPEND)
                write_all(descriptor, memoryview(data))
            finally:
                os.close(descriptor)
    except OSError as error:
        raise LocalFileError(f"{os.path.join(folder, name)}: {error.strerror}") from error
