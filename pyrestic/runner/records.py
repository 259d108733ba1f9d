"""What is remembered about the tasks of each profile, as values."""

from typing import TypeAlias

import msgspec

from pyrestic.profiles.profile import Profile
from pyrestic.runner.places import find_location

Hold: TypeAlias = tuple[str, str]
"""A fact for which a task waits, and its argument; see pyrestic.runner.quiet."""


BUDGET = "the month's budget is used up"
"""The reason for which a task waits that may cost more than the budget of its profile."""


class TaskRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The last run of a task, and the last good one. Times are seconds since 1970, None for never."""

    started: float | None = None
    ended: float | None = None
    """None while it runs, and if it was killed."""
    code: int = 0
    error: str = ""
    early: bool = False
    """The last run ended early: it was interrupted, or stored a partial snapshot."""
    failures: int = 0
    """Number of failures in a row."""
    good_started: float | None = None
    good_ended: float | None = None
    snapshot: str = ""
    """The ID of the last good snapshot, of `backup` alone."""
    waiting: str = ""
    """Why it waits although it is due, "" if it does not."""
    waiting_since: float | None = None
    facts: dict[str, int | float | None] = {}
    """Numbers of the summary of the last good run, for `status`."""

    @property
    def unended(self) -> bool:
        """Whether the last run began and did not end."""
        return self.started is not None and self.ended is None


class ProfileRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is remembered about a profile."""

    first_seen: float
    place: str = ""
    """The location of its repository, to which the rest applies; "" in a state of an older version."""
    tasks: dict[str, TaskRecord] = {}
    told: dict[str, float] = {}
    """When the person was last told, by kind of message."""
    kept: int | None = None
    """Number of snapshots in the repository after the last run, None if unknown."""
    stored_bytes: int | None = None
    """Stored bytes of all blobs of the repository after the last backup, None if unknown."""

    def find(self, task: str) -> TaskRecord:
        """Return the record of a task, an empty one if it never ran."""
        return self.tasks.get(task) or TaskRecord()


class WatchedFile(msgspec.Struct, frozen=True, array_like=True):
    """A file or folder of profiles as it was when the state was written; -1 for one that was missing."""

    path: str
    modified_ns: int
    size: int
    inode: int


class Runs(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The state of the runner."""

    version: int
    written: float = 0.0
    boot_id: str = ""
    slept_seconds: float = 0.0
    paused_until: float | None = None
    quiet_until: float = 0.0
    """Until then, nothing has to be done if the watched files do not change and the facts hold."""
    holds: list[Hold] = []
    watched: list[WatchedFile] = []
    profiles: dict[str, ProfileRecord] = {}

    def find(self, profile: Profile, now: float) -> ProfileRecord:
        """Return the record of a profile, a new one if it was never seen or had another repository."""
        place = str(find_location(profile))
        record = self.profiles.get(profile.name)
        if record is None or record.place not in ("", place):
            record = ProfileRecord(first_seen=now)
        record.place = place
        return record


VERSION = 1


def make_runs() -> Runs:
    """Return the state of a runner that has never run."""
    return Runs(version=VERSION)
