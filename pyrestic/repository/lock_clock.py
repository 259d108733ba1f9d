"""The time as locks see it, by two clocks: neither alone is enough.

The clock on the wall is what locks are dated by, and other machines judge them by it; it can be set, forwards and
back. The time since boot cannot be set and goes on while the machine sleeps, but not while a virtual machine is
stopped, whose clock on the wall is put right later.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from pyrestic.format import gojson


def _boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Moment(NamedTuple):
    """A moment by both clocks, in seconds since 1970 and since boot."""

    wall: float
    elapsed: float

    def text(self) -> str:
        """Return it as lock files have it."""
        return gojson.format_time(int(self.wall * 1e9), time.localtime(self.wall).tm_gmtoff)


NEVER = Moment(float("-inf"), float("-inf"))


class LockClock:
    """Both clocks, and how to sleep; tests bring their own."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = _boot_seconds,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self.sleep = sleep

    def now(self) -> Moment:
        """Return this moment."""
        return Moment(self._wall(), self._elapsed())

    def since(self, moment: Moment) -> float:
        """Return how many seconds have passed since then, by the clock that says more."""
        now = self.now()
        return max(now.wall - moment.wall, now.elapsed - moment.elapsed)

    def was_set_back(self, moment: Moment) -> bool:
        """Whether the clock on the wall shows less than it did then."""
        return self._wall() < moment.wall
