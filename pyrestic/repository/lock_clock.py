"""Time for locks, from two clocks: neither alone is sufficient.

Locks carry wall-clock time, and other machines judge them by it; but it can be set, forward and back. The time since
boot cannot be set and continues while the machine sleeps, but not while a virtual machine is stopped; its wall clock is
corrected later.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from pyrestic.format import gojson


def _boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Moment(NamedTuple):
    """A point in time on both clocks, in seconds since 1970 and since boot."""

    wall: float
    elapsed: float

    def text(self) -> str:
        """Return it in the format of lock files."""
        return gojson.format_time(int(self.wall * 1e9), time.localtime(self.wall).tm_gmtoff)


NEVER = Moment(float("-inf"), float("-inf"))


class LockClock:
    """Both clocks, and a sleep function; tests pass their own."""

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
        """Return the seconds since then, by the clock that advanced more."""
        now = self.now()
        return max(now.wall - moment.wall, now.elapsed - moment.elapsed)

    def was_set_back(self, moment: Moment) -> bool:
        """Whether the wall clock has gone back since then."""
        return self._wall() < moment.wall
