"""How things stand with profiles, gathered from the state and the locks on this machine: for `status` and for pages."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pyrestic.profiles.profile import Profile
from pyrestic.runner.place_lock import PlaceLock
from pyrestic.runner.places import find_location
from pyrestic.runner.records import ProfileRecord
from pyrestic.runner.runner import describe_pause
from pyrestic.runner.state import RunStore
from pyrestic.runner.status import COLUMNS, NEEDS_ATTENTION, OnlineState, ProfileStatus, find_statuses
from pyrestic.runner.wording import show_time

FindCost = Callable[[str], float | None]
"""Returns what a location costs this month in dollars, None if that is unknown."""


class Overview(NamedTuple):
    """How things stand with some profiles; `paused` says until when nothing runs by itself, "" if it does."""

    statuses: Sequence[ProfileStatus]
    paused: str
    paused_until: str | None

    @property
    def exit_code(self) -> int:
        """The exit code of `status`, without the answers of repositories."""
        return 0 if all(status.well for status in self.statuses) else NEEDS_ATTENTION

    def table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Return the heads and the rows of a table."""
        return COLUMNS, [status.row() for status in self.statuses]

    def sentences(self) -> list[str]:
        """Return what there is to say."""
        found = [sentence for status in self.statuses for sentence in status.sentences()]
        return [*found, f"Nothing runs by itself: {self.paused}."] if self.paused else found

    def fields(self) -> dict[str, object]:
        """Return the JSON object."""
        profiles = [status.fields() for status in self.statuses]
        return {"message_type": "status", "paused_until": self.paused_until, "profiles": profiles}


def make_overview(
    profiles: Sequence[Profile],
    store: RunStore,
    now: float,
    find_cost: FindCost,
    online: Mapping[str, OnlineState] | None = None,
) -> Overview:
    """Return how things stand with these profiles; `online` has what their repositories say."""
    runs = store.read()
    running = {one.name: _is_running(store.folder, one, runs.find(one, now)) for one in profiles}
    costs = {one.name: find_cost(str(find_location(one))) for one in profiles}
    paused = describe_pause(runs, now)
    until = show_time(runs.paused_until) if paused else None
    return Overview(find_statuses(profiles, runs, now, running, online, costs), paused, until)


def _is_running(folder: str, profile: Profile, record: ProfileRecord) -> bool:
    unended = any(task.unended for task in record.tasks.values())
    return unended and PlaceLock(folder, find_location(profile)).is_held()
